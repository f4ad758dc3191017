package decide

import (
	"torikumi/pkg/agones"
)

// deleteReady deletes the dead node's Ready servers, and hides those in use:
// allocation would still hand them out, the latter to who asks for a game to
// join. One that shuts down is a Ready one whose deletion was cut short.
func (d *decision) deleteReady() {
	if d.f.Spec.ParentFailover != "" {
		return
	}
	for _, s := range d.s.Servers {
		switch {
		case s.Node != d.f.Spec.OnpremNodeName || s.Deleting:
		case s.State == agones.Ready || s.State == agones.Shutdown:
			d.do(Action{Kind: DeleteServer, Server: s})
		case s.InUse() && s.Allocatable:
			d.do(Action{Kind: HideServer, Server: s})
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

// reveal shows the node's servers again that were hidden while it was dead:
// where the taint has not come, their games have gone on.
func (d *decision) reveal() {
	for _, s := range d.s.Servers {
		if s.Node == d.f.Spec.OnpremNodeName && s.Hidden && !s.Deleting {
			d.do(Action{Kind: ShowServer, Server: s})
			d.revealing = true
		}
	}
}
