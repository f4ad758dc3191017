package decide

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// taint is the last step, and the only one that ends what may still run.
func (d *decision) taint() {
	const kind = v1.TaintApplied
	switch {
	case d.f.Spec.ParentFailover != "":
		return
	case d.s.Node.Health == Gone:
		// Its pods are collected because their Node does not exist.
		d.st.Taint = v1.TaintNone
		d.condition(kind, metav1.ConditionFalse, "NodeGone", "the Node does not exist")
		return
	case !d.tempReady() && !d.addedReady():
		return
	case d.st.Taint == v1.TaintSet && d.s.Node.Tainted:
		return
	case d.st.Taint == v1.TaintApplying && d.s.Node.Tainted:
		d.st.Taint = v1.TaintSet
		d.condition(kind, metav1.ConditionTrue, "Applied", "the dead node's pods are being deleted")
		d.event(Normal, "TaintApplied", "out-of-service: the dead node's pods are deleted, its game servers restart on the temporary node")
		return
	case d.st.Taint == v1.TaintNone && d.s.Node.Tainted && d.inherit():
		return
	case d.st.Taint == v1.TaintNone && d.s.Node.Tainted:
		d.condition(kind, metav1.ConditionFalse, "Foreign", "somebody else has tainted the node, and has to remove it")
		return
	case d.s.Node.Reports:
		d.st.Taint = v1.TaintNone
		d.condition(kind, metav1.ConditionFalse, "KubeletAlive", reporting)
		return
	case !d.taintGraceOver():
		d.condition(kind, metav1.ConditionFalse, "WaitingForTaintGrace", fmt.Sprintf("the node is tainted once nothing has been heard of it for %s", d.taintGrace()))
		return
	}
	if !d.fenced() {
		return
	}
	d.st.Taint = v1.TaintApplying
	d.do(Action{Kind: Taint, Node: d.f.Spec.OnpremNodeName, UID: d.s.Node.UID})
	if why := d.s.RefusedNode[Taint]; why != "" {
		d.condition(kind, metav1.ConditionFalse, "Refused", "the API server does not let the node be tainted: "+why)
	}
	d.poll()
}

// taintEarly taints although the own VM is not there yet, if another one is:
// what fits restarts on that, and the rest waits no longer than without.
func (d *decision) taintEarly() {
	if d.st.Phase == v1.Creating && !d.deleting() && d.addedReady() && d.graceOver() && d.calm() {
		d.taint()
	}
}

// taintGrace is how long nothing may have been heard of a node before the taint.
func (d *decision) taintGrace() time.Duration {
	least := max(d.grace(), d.set.TaintGrace)
	return grown(least, d.failures(), max(least, min(d.set.StabilityMax, taintTimes*least)))
}

func (d *decision) taintGraceOver() bool {
	return d.reached(d.after(d.unreachable(), d.taintGrace()))
}

// fenced reports whether the node is known to be off, as far as the policy wants.
func (d *decision) fenced() bool {
	wait := func(reason, message string) bool {
		d.condition(v1.TaintApplied, metav1.ConditionFalse, reason, message)
		return false
	}
	switch {
	case d.set.Fencing == FenceManual && !d.answered(v1.FencedAnnotation):
		return wait("WaitingForFencing", "make sure that the node is off, then set the annotation "+v1.FencedAnnotation)
	case d.set.Fencing == FenceWebhook && d.st.FencedAt == nil:
		switch d.s.Fenced {
		case NotCalled:
			if d.st.FenceAfter == nil || d.reached(d.st.FenceAfter.Time) {
				d.do(Action{Kind: Fence, Node: d.f.Spec.OnpremNodeName})
			}
			return false
		case Accepted:
			d.st.FencedAt, d.st.FenceAfter = d.instant(), nil
			d.event(Normal, "Fenced", "the webhook confirms that the node is off")
		default:
			d.st.FenceAfter = v1.At(d.now.Add(heldRetry))
			d.reached(d.st.FenceAfter.Time)
			return wait("FencingFailed", d.s.FenceErr)
		}
	}
	return true
}

// inherit takes over the taint of the failover that this one replaces, and reports
// whether there was one.
func (d *decision) inherit() bool {
	o := d.predecessor()
	if o == nil || o.Status.Taint == v1.TaintNone || !d.s.Node.Tainted {
		return false
	}
	d.st.Taint = v1.TaintSet
	d.condition(v1.TaintApplied, metav1.ConditionTrue, "Inherited", "from failover "+o.Name)
	return true
}

// untaint removes our taint.
func (d *decision) untaint() {
	switch {
	case d.st.Taint == v1.TaintNone:
	case d.s.Node.Tainted:
		d.do(Action{Kind: Untaint, Node: d.f.Spec.OnpremNodeName, UID: d.s.Node.UID})
		if why := d.s.RefusedNode[Untaint]; why != "" {
			d.condition(v1.TaintApplied, metav1.ConditionTrue, "Refused", "the API server does not let the taint be taken away: "+why)
		}
		d.poll()
	default:
		d.st.Taint = v1.TaintNone
		d.condition(v1.TaintApplied, metav1.ConditionFalse, "Removed", "the taint is gone")
		d.event(Normal, "TaintRemoved", "pods may run on the node again")
	}
}

// tainted reports whether the node has the taint of this failover, or of the one
// whose parent it has.
func (d *decision) tainted() bool {
	return d.st.Taint != v1.TaintNone || d.parent != nil && open(d.parent) && d.parent.Status.Taint != v1.TaintNone
}
