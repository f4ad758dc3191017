package decide

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// More than one VM for one node: the first failover plans once what each VM is
// for, and makes a further failover for each VM but its own. Those make their
// VM by the same ways, follow the node by themselves, and leave the node itself
// (its Ready servers, fencing, the taint) to the first.

// recordLost takes over what was lost, before the taint deletes it.
func (d *decision) recordLost() {
	switch o := d.predecessor(); {
	case d.st.Lost != nil:
	case d.f.Spec.SharedLoad != nil:
		d.st.Lost = &v1.LostServers{Load: d.f.Spec.SharedLoad.Load}
	case o != nil: // by now the node has none
		d.st.Lost, d.st.SharedLoads = o.Status.Lost.DeepCopy(), slices.Clone(o.Status.SharedLoads)
	default:
		d.st.Lost = d.s.Lost
		if d.s.LostErr != "" {
			d.poll()
		}
	}
}

// plan decides what each VM is for. It is final once the failover is admitted.
func (d *decision) plan() {
	if d.st.Lost == nil || d.f.Spec.SharedLoad != nil || d.predecessor() != nil {
		return
	}
	shares, tooLarge := d.set.pack(d.st.Lost)
	d.unplan()
	if len(shares) > 1 || len(tooLarge) > 0 {
		d.st.SharedLoads = shares
	}
	old := meta.FindStatusCondition(d.f.Status.Conditions, v1.CapacityPlanned)
	say := func(kind EventKind, status metav1.ConditionStatus, reason, message string) {
		if old == nil || old.Reason != reason {
			d.event(kind, reason, message)
		}
		d.condition(v1.CapacityPlanned, status, reason, message)
	}
	if len(shares) > 1 {
		say(Normal, metav1.ConditionTrue, "SeveralVMs", fmt.Sprintf("%d VMs for what %d game servers request", len(shares), d.st.Lost.GameServers))
	}
	if len(tooLarge) > 0 {
		large, n := d.set.MachineTypes[len(d.set.MachineTypes)-1], int32(0)
		for _, z := range tooLarge {
			n += z.Count
		}
		cpu, memory := v1.Milli(large.MilliCPU), v1.Bytes(large.Memory)
		say(Warning, metav1.ConditionFalse, "TooLarge", fmt.Sprintf("%d game servers fit no machine type and pend: one requests %s CPU and %s of memory, and %s, the largest, has %s and %s",
			n, tooLarge[0].CPU.String(), tooLarge[0].Memory.String(), large.Name, cpu.String(), memory.String()))
	}
}

func (d *decision) unplan() {
	d.st.SharedLoads = nil
	meta.RemoveStatusCondition(&d.st.Conditions, v1.CapacityPlanned)
}

// further sees to it that there is a failover for each VM but the own one, as
// long as this one leads: one that has ended meanwhile is made anew.
func (d *decision) further() {
	leads := d.f.Spec.ParentFailover == "" && (d.st.Phase == v1.Active || d.st.Phase == v1.Creating && d.predecessor() == nil) && d.next() == nil
	if len(d.st.SharedLoads) < 2 || !leads || d.deleting() || !d.graceOver() {
		return
	}
	for i, l := range d.st.SharedLoads[1:] {
		if number := int32(i) + 2; d.added(func(o *v1.NodeFailover) bool { return o.Spec.SharedLoad.Number == number }) == nil {
			d.do(Action{Kind: CreateAdded, ID: d.unused(fmt.Sprintf("VM %d", number)), SharedLoad: &v1.SharedLoad{Number: number, Load: l}})
		}
	}
}

// unused is the name of a failover that this one makes: another one if there
// has been one of that name, which may be over.
func (d *decision) unused(what string) string {
	node := d.f.Spec.OnpremNodeName
	name := Name(node, d.f.UID, what)
	for o := d.sibling(name); o != nil; o = d.sibling(name) {
		name = Name(node, d.f.UID, what+" after "+string(o.UID))
	}
	return name
}

// added is an open failover for a further VM of this one that satisfies want.
func (d *decision) added(want func(*v1.NodeFailover) bool) *v1.NodeFailover {
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		lead := o.Parent()
		if o.Spec.SharedLoad != nil && o.Spec.OnpremNodeName == d.f.Spec.OnpremNodeName && open(o) && (lead == d.f.Name || lead == d.f.Spec.Replaces) && want(o) {
			return o
		}
	}
	return nil
}

// addedReady reports whether a further VM of the node is Ready.
func (d *decision) addedReady() bool {
	return d.added(func(o *v1.NodeFailover) bool {
		if o.Status.Phase != v1.Active {
			return false
		}
		if host := o.Status.SharesWith; host != "" { // who has the VM keeps track of it
			o = d.sibling(host)
		}
		return o != nil && o.Status.TempNotReadySince == nil
	}) != nil
}

// sameVM reports whether o is for the same VM of the same node.
func (d *decision) sameVM(o *v1.NodeFailover) bool {
	a, b := d.f.Spec.SharedLoad, o.Spec.SharedLoad
	if a == nil || b == nil {
		return a == b
	}
	return a.Number == b.Number && d.f.Parent() == o.Parent()
}

// follow finds out whether the parent failover goes on, or the
// one that has replaced that. If not, this one leaves too; but while the node is
// Ready, it ends by itself, and others may share its VM until then.
func (d *decision) follow() {
	if d.f.Spec.ParentFailover == "" {
		return
	}
	lead := d.f.Parent()
	if last := d.last(lead); last != lead {
		lead, d.st.ParentFailover = last, last
	}
	if d.parent = d.sibling(lead); d.parent != nil {
		switch {
		case d.st.ParentFailoverUID == "" || d.st.ParentFailover != d.f.Status.ParentFailover:
			d.st.ParentFailoverUID = d.parent.UID
		case d.st.ParentFailoverUID != d.parent.UID:
			d.parent = nil // another one: ours has ended
		}
	}
	switch {
	case d.parent == nil, !open(d.parent), d.parent.Status.VMDeletionStartedAt != nil:
		d.parentOver = d.s.Node.Health != Ready
	default:
		d.parentOver = d.parent.DeletionTimestamp != nil
	}
}

// last is the end of the chain of those that have replaced the named failover,
// one after the other. Some that replace one another, made by hand, have none.
func (d *decision) last(name string) string {
	lead := name
	for range len(d.s.Siblings) + 1 {
		next := d.successor(lead, d.f.Spec.OnpremNodeName)
		if next == nil {
			return lead
		}
		lead = next.Name
	}
	return name
}

// deleting reports whether the failover has to end whatever its node does.
func (d *decision) deleting() bool { return d.f.DeletionTimestamp != nil || d.parentOver }

func (d *decision) whyDeleting() string {
	if d.f.DeletionTimestamp == nil && d.parentOver {
		return "its parent failover is over"
	}
	return "the failover was deleted"
}
