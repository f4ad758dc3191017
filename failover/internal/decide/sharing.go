package decide

import (
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// roomAt is the failover whose VM has room for this one's servers.
func (d *decision) roomAt() string {
	if d.st.Lost == nil {
		return ""
	}
	cpu, memory := need(&d.st.Lost.Load)
	servers := func(l *v1.Load) int32 {
		if l == nil {
			return 0
		}
		return l.GameServers
	}
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if !d.canHost(o) {
			continue
		}
		m, ok := d.set.machine(o.Status.VM.MachineType)
		if !ok {
			continue
		}
		count := d.set.MaxServers - d.st.Lost.GameServers
		used := func(st *v1.NodeFailoverStatus) {
			c, b := need(load(st))
			m.MilliCPU, m.Memory, count = m.MilliCPU-c, m.Memory-b, count-servers(load(st))
		}
		used(&o.Status)
		for j := range d.s.Siblings { // those who share with its predecessor will share with it
			if s := &d.s.Siblings[j]; open(s) && s.Status.SharesWith != "" && (s.Status.SharesWith == o.Name || s.Status.SharesWith == o.Spec.Replaces) {
				used(&s.Status)
			}
		}
		if cpu <= m.MilliCPU && memory <= m.Memory && count >= 0 {
			return o.Name
		}
	}
	return ""
}

// canHost reports whether o has a VM, or will have it, that stays long enough to
// be worth sharing, and that gets the same labels.
func (d *decision) canHost(o *v1.NodeFailover) bool {
	st := &o.Status
	if o.Spec.Drill || o.DeletionTimestamp != nil || o.On(v1.PausedAnnotation) || st.VM == nil || st.VM.GaveUp != "" || st.RecoveryDetectedAt != nil {
		return false
	}
	if st.Phase != v1.Creating && st.Phase != v1.Active || st.VMCreationAttempts > 1 {
		return false
	}
	if d.replacedAt(o).Before(d.now) || st.Lost == nil {
		return false
	}
	mine, theirs := Labels(d.set, d.f, d.st.Recorded), Labels(d.set, o, st.Recorded)
	return len(missing(mine, theirs)) == 0
}

// replacedAt is when the VM of o is to be replaced.
func (d *decision) replacedAt(o *v1.NodeFailover) time.Time {
	return d.after(o.Status.VM.StartedAt.Time, d.set.Lifetime-d.set.ReplaceLead)
}

func (d *decision) sibling(name string) *v1.NodeFailover {
	for i := range d.s.Siblings {
		if name != "" && d.s.Siblings[i].Name == name {
			return &d.s.Siblings[i]
		}
	}
	return nil
}

// successor is the failover of that node that replaces the named one, if its VM
// has taken over.
func (d *decision) successor(name, node string) *v1.NodeFailover {
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if o.Spec.Replaces == name && o.Spec.OnpremNodeName == node && o.Status.ActiveAt != nil && open(o) {
			return o
		}
	}
	return nil
}

// next is this failover's own successor.
func (d *decision) next() *v1.NodeFailover { return d.successor(d.f.Name, d.f.Spec.OnpremNodeName) }

// predecessor is the failover that this one replaces; nil if there is none of
// that name for the same node, whatever the spec says.
func (d *decision) predecessor() *v1.NodeFailover {
	if o := d.sibling(d.f.Spec.Replaces); o != nil && o.Spec.OnpremNodeName == d.f.Spec.OnpremNodeName {
		return o
	}
	return nil
}

// sharers reports whether others' servers run on this failover's VM.
func (d *decision) sharers() bool {
	return slices.ContainsFunc(d.s.Siblings, func(o v1.NodeFailover) bool { return d.sharesMine(&o) })
}

// sharesMine reports whether o's servers run on this failover's VM.
func (d *decision) sharesMine(o *v1.NodeFailover) bool {
	return open(o) && o.Status.SharesWith == d.f.Name
}

// hosted reports whether the VM that this failover shares is still to be had.
// If not, it needs one of its own.
func (d *decision) hosted() bool {
	host := d.sibling(d.st.SharesWith)
	if host != nil {
		if next := d.successor(host.Name, host.Spec.OnpremNodeName); next != nil {
			d.st.SharesWith = next.Name
			return true
		}
		ends := host.DeletionTimestamp != nil || host.Status.Phase == v1.Draining || host.Status.Phase == v1.Completed ||
			host.Status.Phase == v1.Recovering && host.Status.VM != nil && !d.now.Before(d.replacedAt(host)) ||
			host.Status.Phase == v1.Active && d.outlived(host)
		if !ends {
			return true
		}
	}
	if d.s.Node.Health == Ready || d.deleting() {
		return true // it leaves anyway
	}
	d.st.SharesWith, d.st.ActiveAt = "", nil
	d.enter(v1.Pending)
	d.event(Warning, "SharedVMGone", "the shared VM goes away: this failover needs one of its own")
	d.wakeAt(d.now.Add(time.Millisecond))
	return false
}

// sharing waits for another failover's VM.
func (d *decision) sharing() {
	switch {
	case d.deleting(), d.stable():
		d.leave("no VM of its own to wait for")
	case !d.hosted():
	case d.s.Node.Health == Ready:
	default:
		d.deleteReadyLater()
		host := d.sibling(d.st.SharesWith)
		if host.Status.Phase != v1.Active && host.Status.Phase != v1.Recovering || !d.s.Temp.Ready {
			d.wakeAt(d.now.Add(heldRetry))
			return
		}
		d.enter(v1.Active)
		d.st.ActiveAt = d.instant()
		d.condition(v1.NodeJoined, metav1.ConditionTrue, "Shared", "the VM of failover "+host.Name)
		d.event(Normal, "NodeJoined", fmt.Sprintf("failover %s's VM is Ready", host.Name))
		d.active()
	}
}
