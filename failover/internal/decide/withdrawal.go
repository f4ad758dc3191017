package decide

import (
	"slices"

	"torikumi/pkg/agones"
)

// Whether a Node is Ready means nothing to allocation: players are sent to servers
// of a dead node until these lose the allocatable label or their state.

// withdraw takes all servers of a node that is not Ready out of allocation, from
// the first moment on. That is undone when the node is Ready again (reveal), so it
// waits neither for the grace nor for a storm to pass.
func (d *decision) withdraw() {
	if d.f.Spec.ParentFailover != "" || !d.down() || d.s.Node.Health == Ready || d.deleting() && !d.s.Node.Watched || d.next() != nil {
		return
	}
	d.hide(d.f.Spec.OnpremNodeName)
}

// withdrawTemp does the same for the temporary node, and shows its servers again
// once it is Ready, if they have not to leave it.
func (d *decision) withdrawTemp() {
	t, ok := d.temp()
	if !ok || d.st.SharesWith != "" || d.st.GCPVMName == "" {
		return
	}
	if !t.Ready {
		d.hide(d.st.GCPVMName)
		return
	}
	if d.st.VM != nil && d.st.VM.GaveUp != "" {
		return
	}
	switch {
	case d.st.DrainStartedAt == nil:
		d.show(d.onTemp())
	case d.gated(): // those that wait for their replacements may be the only ones
		d.show(slices.DeleteFunc(d.onTemp(), func(s Server) bool { return !s.isReady() }))
	}
}

// hide hides the servers on a node.
func (d *decision) hide(node string) {
	for _, s := range d.s.Servers {
		if s.Node == node {
			d.hideServer(s)
		}
	}
}

// hideServer takes the label away that allocation selects by. A server that shuts
// down is allocated no more.
func (d *decision) hideServer(s Server) {
	before := slices.ContainsFunc(d.actions, func(a Action) bool { return a.Kind == HideServer && a.Server.UID == s.UID })
	if s.Allocatable && !s.Deleting && s.State != agones.Shutdown && !before {
		d.do(Action{Kind: HideServer, Server: s})
	}
}

// show gives it back, and reports whether there was a server without it.
func (d *decision) show(servers []Server) bool {
	any := false
	for _, s := range servers {
		if s.Hidden && !s.Deleting {
			d.do(Action{Kind: ShowServer, Server: s})
			any = true
		}
	}
	return any
}

// remove deletes a server, which then needs not be hidden or shown: that would
// make it another one than was seen.
func (d *decision) remove(s Server) {
	d.actions = slices.DeleteFunc(d.actions, func(a Action) bool {
		return (a.Kind == HideServer || a.Kind == ShowServer) && a.Server.UID == s.UID
	})
	d.do(Action{Kind: DeleteServer, Server: s})
}

// startingStates are those of a server that was on its way to Ready.
var startingStates = []string{"Starting", "Scheduled", "RequestReady"}

// deleteReady deletes the dead node's servers that nobody plays on, so that they
// are replaced. One that shuts down is one whose deletion was cut short.
func (d *decision) deleteReady() {
	if d.f.Spec.ParentFailover != "" {
		return
	}
	for _, s := range d.s.Servers {
		if s.Node != d.f.Spec.OnpremNodeName || s.Deleting {
			continue
		}
		if s.State == agones.Ready || s.State == agones.Shutdown || slices.Contains(startingStates, s.State) {
			d.remove(s)
		}
	}
}

// deleteReadyLater deletes those of the dead node's Ready servers that the
// first sweep missed.
func (d *decision) deleteReadyLater() {
	if d.graceOver() {
		d.deleteReady()
	}
}

// deleteLost deletes what nobody plays on of a VM that is given up: it is gone, or
// goes now.
func (d *decision) deleteLost() {
	d.hide(d.st.GCPVMName)
	for _, s := range d.onTemp() {
		if !s.Deleting && !s.InUse() {
			d.remove(s)
		}
	}
}

// reveal shows the node's servers again that were hidden while it was dead:
// where the taint has not come, their games have gone on.
func (d *decision) reveal() {
	var on []Server
	for _, s := range d.s.Servers {
		if s.Node == d.f.Spec.OnpremNodeName {
			on = append(on, s)
		}
	}
	d.revealing = d.show(on)
}
