package decide

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
)

func (d *decision) active() {
	if d.f.Spec.Drill {
		d.rehearsed()
		return
	}
	if d.st.SharesWith != "" && !d.hosted() {
		return
	}
	if d.s.Node.Health == Ready && !d.deleting() {
		d.enter(v1.Recovering)
		d.event(Normal, "Recovering", "the node is Ready again")
		d.recovering()
		return
	}
	if d.st.SharesWith == "" {
		if !d.ownVM() {
			return
		}
		if d.next() != nil {
			d.leave("the next VM has taken over")
			return
		}
	}
	if d.deleting() {
		d.leave(d.whyDeleting())
		return
	}
	switch {
	case d.st.SharesWith == "" && d.outlived(d.f):
		if d.st.DrainStartedAt == nil {
			d.event(Warning, "LifetimeExceeded", fmt.Sprintf("%s has reached its longest lifetime, %s, and nothing has replaced it: it takes no new games", d.st.GCPVMName, d.set.Lifetime))
		}
		if d.drained() {
			d.giveUp(v1.GaveUpLifetime, "empty at the end of its longest lifetime: the next one takes its place")
			return
		}
	default:
		d.comeBack()
	}
	if !d.graceOver() {
		return // a new outage, since the last recovery
	}
	if !d.calm() {
		if d.st.Taint == v1.TaintNone && d.f.Spec.ParentFailover == "" {
			d.condition(v1.TaintApplied, metav1.ConditionFalse, "Storm", d.storm())
		}
		return
	}
	d.deleteReady()
	d.taint()
}

// ownVM looks after the VM, and reports whether it still stands.
func (d *decision) ownVM() bool {
	d.wakeAt(d.now.Add(d.set.Watch))
	switch vm := d.s.VM; vm.Presence {
	case VMAbsent, VMForeign:
		d.giveUp(v1.GaveUpLost, "the VM has vanished")
		return false
	case VMPresent:
		if vm.Instance.State == cloud.Stopping || vm.Instance.State == cloud.Stopped {
			d.giveUp(v1.GaveUpLost, "the cloud has ended the VM")
			return false
		}
	case VMUnknown:
		if vm.Err != "" {
			d.st.LastError = vm.Err
		}
	}
	d.joinedVersion()
	d.prepare() // one that was Ready when it was first seen lacks its labels
	d.tokensGone()
	if !d.tempStands() {
		return false
	}
	if d.reached(d.replacedAt(d.f)) && d.graceOver() && !d.deleting() && !d.replaced() {
		d.do(Action{Kind: CreateReplacement, ID: d.unused("replacement of " + d.st.GCPVMName)})
	}
	return true
}

// outlived reports whether the VM of o has reached the end of its life. It is
// drained where it stands, so that the games end in their time and before the
// cloud ends the VM, and the next one is made in its place.
func (d *decision) outlived(o *v1.NodeFailover) bool {
	return o.Status.VM != nil && d.reached(d.after(o.Status.VM.StartedAt.Time, d.set.Lifetime))
}

// replaced reports whether there is a failover that replaces this one, or another
// one for the same VM of the node: one that is made now would be its duplicate.
func (d *decision) replaced() bool {
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if o.Spec.OnpremNodeName == d.f.Spec.OnpremNodeName && open(o) && !o.Spec.Drill && (o.Spec.Replaces == d.f.Name || d.sameVM(o)) {
			return true
		}
	}
	return false
}

// tempStands reports whether the temporary node is worth keeping.
func (d *decision) tempStands() bool {
	if d.tempReady() {
		if d.st.TempNotReadySince != nil {
			d.st.TempNotReadySince = nil
			d.condition(v1.NodeJoined, metav1.ConditionTrue, "Ready", "the temporary node is Ready again")
		}
		return true
	}
	reason := "NotReady"
	if t, ok := d.temp(); ok && t.Ready {
		reason = "NotFit"
	}
	d.condition(v1.NodeJoined, metav1.ConditionFalse, reason, d.notReady())
	if d.st.TempNotReadySince == nil {
		d.st.TempNotReadySince = d.instant()
		d.event(Warning, "TempNotReady", fmt.Sprintf("%s: %s", d.st.GCPVMName, d.notReady()))
	}
	wait := d.set.JoinTimeout
	if slices.ContainsFunc(d.onTemp(), Server.InUse) {
		if t, ok := d.temp(); ok && t.Ready {
			return true // no game starts there any more, but those that are played go on
		}
		wait = d.set.MaxWait
	}
	if d.reached(d.after(d.since(d.st.TempNotReadySince), wait)) {
		d.giveUp(v1.GaveUpLost, fmt.Sprintf("for %s: %s", wait, d.notReady()))
		return false
	}
	return true
}

// comeBack undoes what a drain had begun.
func (d *decision) comeBack() {
	if d.st.DrainStartedAt == nil || d.st.SharesWith != "" {
		return
	}
	before := len(d.actions)
	t, ok := d.temp()
	if ok && t.Cordoned {
		d.do(Action{Kind: Uncordon, Node: d.st.GCPVMName, UID: t.UID})
	}
	if t.Ready {
		d.show(d.onTemp())
	}
	if len(d.actions) == before {
		d.st.DrainStartedAt, d.st.Handover = nil, nil
		d.forgetPods()
	}
}

func (d *decision) recovering() {
	if d.deleting() {
		d.leave(d.whyDeleting())
		return
	}
	if d.down() {
		d.enter(v1.Active)
		d.relapsed()
		d.event(Warning, "FailedAgain", "the node is not Ready again")
		d.active()
		return
	}
	if d.tainted() {
		return
	}
	if d.st.SharesWith == "" && d.s.VM.Presence == VMPresent {
		d.tokensGone()
	}
	if !d.restored() {
		return
	}
	if !d.stable() {
		d.flapping()
		return
	}
	d.condition(v1.OnPremRecovered, metav1.ConditionTrue, "Stable", fmt.Sprintf("Ready for %s", d.stability()))
	switch {
	case d.st.SharesWith != "":
		d.complete("Completed", "the node is Ready again; the VM is another failover's")
	case d.sharers():
		d.condition(v1.GameServersDrained, metav1.ConditionFalse, "Shared", "other failed nodes' game servers run on the VM")
		d.wakeAt(d.now.Add(heldRetry))
	default:
		d.leave("the node is Ready again")
	}
}

// restoredRest does the same for annotations, taints and the cordon, once: what of
// them somebody takes away later is taken away.
func (d *decision) restoredRest() bool {
	r := d.st.Recorded
	switch {
	case len(r.Annotations) == 0 && len(r.Taints) == 0 && !r.Unschedulable, d.st.RestoredUID == d.s.Node.UID:
		return true
	case d.s.Restored:
		d.st.RestoredUID = d.s.Node.UID
		return true
	}
	d.do(Action{Kind: RestoreNode, Node: d.f.Spec.OnpremNodeName, UID: d.s.Node.UID})
	d.notRestored(RestoreNode)
	d.poll()
	return false
}

// notRestored says why a Node lacks what it had: its VM stays, as no game may start on
// the Node without it.
func (d *decision) notRestored(kind Kind) {
	if why := d.s.RefusedNode[kind]; why != "" {
		d.condition(v1.OnPremRecovered, metav1.ConditionFalse, "NotRestored", "the Node is back, and does not get back what it had: "+why)
	}
}

// restored gives a Node that was deleted and has come back its labels, and
// reports whether it has them. One that was there all the time is left alone:
// somebody may have changed its labels on purpose. So is one that somebody has
// given another value of the watched label: it is not to be watched any more.
func (d *decision) restored() bool {
	r := d.st.Recorded
	if r == nil || d.s.Node.UID == r.UID || d.f.Spec.Drill {
		return true
	}
	if now, ok := d.s.Node.Labels[d.set.WatchedKey]; ok && now != d.set.WatchedValue {
		return true
	}
	lost := make(map[string]string)
	for k, v := range r.Labels {
		if _, ok := d.s.Node.Labels[k]; !ok && d.givesBack(k, v) {
			lost[k] = v
		}
	}
	if len(lost) == 0 {
		return d.restoredRest()
	}
	if value, ok := lost[d.set.WatchedKey]; ok { // alone: another that is refused must not keep the Node from being watched
		lost = map[string]string{d.set.WatchedKey: value}
	}
	d.do(Action{Kind: LabelNode, Node: d.f.Spec.OnpremNodeName, Labels: lost})
	d.notRestored(LabelNode)
	d.poll()
	return false
}

// givesBack reports whether a Node may get a label back because a record says that it
// had it. Whoever writes NodeFailovers writes the record: of the labels that a kubelet
// can't give itself, only those come back that the controller's settings name.
func (d *decision) givesBack(key, value string) bool {
	switch {
	case key == d.set.WatchedKey:
		return value == d.set.WatchedValue
	case Restricted(key):
		return slices.Contains(d.set.RestoreLabels, key)
	}
	return !WellKnown(key)
}
