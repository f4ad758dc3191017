package decide

import (
	"cmp"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/join"
)

// drill is a rehearsal: the way of a failover without the node's failure, and
// without all that is done to the node. It knows no outage, so that
// nothing that depends on one happens.
func (d *decision) drill() {
	if n := d.s.Node; n.Health != Gone && d.st.Recorded == nil {
		d.st.Recorded = &v1.RecordedNode{UID: n.UID, Labels: n.Labels}
	}
	reason, message := d.inTheWay()
	if d.s.ProbePod.Exists && (d.st.Phase != v1.Active || d.deleting() || reason != "") {
		d.do(Action{Kind: DeleteProbe})
		d.poll()
	}
	d.withdrawTemp() // of a server that has slipped in
	switch {
	case d.st.Phase == v1.Pending:
		d.drillPending(reason, message)
	case d.st.Phase == v1.Draining:
		d.draining()
	case d.st.VM != nil && d.st.VM.GaveUp != "":
		d.abandon()
	case d.deleting():
		d.fail("Cancelled", "the drill was deleted")
	case reason != "":
		d.fail(reason, message)
	case d.st.Phase == v1.Creating:
		d.creating()
	case d.st.Phase == v1.Active:
		d.active()
	}
}

func (d *decision) drillPending(reason, message string) {
	if d.deleting() {
		reason, message = "Cancelled", "deleted before anything was done"
	}
	if reason != "" {
		d.verdict(metav1.ConditionFalse, reason, message)
		d.complete(reason, message)
		return
	}
	if d.st.Lost == nil && d.s.Lost != nil {
		d.st.Lost = d.s.Lost // what would be lost now: price and quota are those of a real failover
	}
	if d.st.Probe == nil {
		d.st.Probe = d.s.Probe
	}
	if d.skewed() { // told before, as a verdict
		return
	}
	d.plan() // of several VMs the first is rehearsed
	if reason, message := d.overBudget(); reason != "" {
		d.hold(reason, message)
		d.wakeAt(d.now.Add(heldRetry))
		return
	}
	d.admit("the node is Ready and the budgets have room: a drill, the node is not touched")
	d.attempt()
}

// inTheWay tells why there can be no drill now, if so: its node is not well,
// or a real failover needs the room.
func (d *decision) inTheWay() (reason, message string) {
	node := d.f.Spec.OnpremNodeName
	switch n := d.s.Node; {
	case n.Health == Gone:
		return "NodeUnknown", fmt.Sprintf("there is no Node %s", node)
	case n.Health != Ready:
		return "NodeNotReady", fmt.Sprintf("%s is not Ready: this is no time for a drill", node)
	case !n.Watched:
		return "NodeNotWatched", fmt.Sprintf("%s is not watched: it would have no failover", node)
	}
	if wrong := wrongLabels(d.f); wrong != "" {
		return "InvalidLabels", wrong
	}
	if text := d.s.Versions.Refused(); text != "" && (d.st.Phase == v1.Pending || d.st.Phase == v1.Creating && d.st.VM == nil) {
		return "VersionSkew", text
	}
	if d.st.Phase == v1.Pending {
		if older := d.duplicateOf(); older != "" {
			return "Duplicate", fmt.Sprintf("%s is a drill for the same node", older)
		}
	}
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if o.Spec.Drill || !open(o) {
			continue
		}
		if o.Spec.OnpremNodeName == node {
			return "Failover", fmt.Sprintf("failover %s is for the same node", o.Name)
		}
		if needsNoVM(o) {
			continue
		}
		if o.Status.Phase == v1.Pending || o.Status.Phase == "" || o.Status.Phase == v1.Creating {
			return "Yielded", fmt.Sprintf("failover %s needs a VM", o.Name)
		}
	}
	return "", ""
}

// rehearsed looks at a temporary node that has joined, and ends the drill.
func (d *decision) rehearsed() {
	if !d.ownVM() {
		return
	}
	t, _ := d.temp()
	lacks := missing(Labels(d.set, d.f, d.st.Recorded), t.Labels)
	text, _ := skew(t.Kubelet, t.Kubelet, d.s.Versions.APIServer)
	switch {
	case text != "": // the image's version was not known, or not true
		d.fail("VersionSkew", text)
	case d.s.ProbeErr != "":
		d.fail("ProbeRefused", d.s.ProbeErr)
	case d.s.ProbePod.Failed && d.st.Probe.StartedAt == nil:
		d.fail("ProbeFailed", d.s.ProbePod.Waiting)
	case openMetadata(t):
		d.fail("MetadataOpen", metadataOpen(d.st.GCPVMName))
	case d.tempReady() && len(lacks) == 0 && len(d.st.VM.TokenIDs) == 0 && d.probed():
		fit := "the temporary node is Ready and has its labels, its token is deleted, " + d.probeResult()
		d.verdict(metav1.ConditionTrue, "Passed", fit)
		d.event(Normal, "Passed", fit)
		d.leave("the drill is over")
	case d.reached(d.after(d.st.VM.StartedAt.Time, d.set.JoinTimeout)):
		if d.tempReady() && len(lacks) == 0 && len(d.st.VM.TokenIDs) == 0 {
			d.fail("ProbeFailed", fmt.Sprintf("the probe pod has not started within %s: %s", d.set.JoinTimeout, cmp.Or(d.st.Probe.Waiting, "nothing is said of it")))
			return
		}
		d.fail("NotFit", fmt.Sprintf("within %s: usable %v (%s), labels missing %v, tokens left %d", d.set.JoinTimeout, d.tempReady(), d.notReady(), lacks, len(d.st.VM.TokenIDs)))
	default:
		d.prepare()
		d.poll()
	}
}

// openMetadata reports whether the machine itself says that pods on it may reach the
// metadata server. In a failover that is told and no more: the games go first.
func openMetadata(t Temp) bool { return t.Labels[join.MetadataOpenLabel] != "" }

func metadataOpen(vm string) string {
	return "pods on " + vm + " may reach the metadata server, with the startup script and the VM's credentials: its image has neither nft nor iptables that takes the rules"
}

// probed starts the probe pod, and reports whether it has started; that is so
// from the beginning if there is to be none.
func (d *decision) probed() bool {
	p := d.st.Probe
	switch {
	case p == nil || p.StartedAt != nil:
		return true
	case d.s.ProbePod.Started:
		p.StartedAt, p.Waiting = d.instant(), ""
		d.event(Normal, "ProbeStarted", fmt.Sprintf("a pod of image %s has started on %s %s", p.Image, d.st.GCPVMName, p.Runtime()))
		return true
	}
	if p.RequestedAt == nil {
		p.RequestedAt = d.instant()
	}
	p.Waiting = d.s.ProbePod.Waiting
	if !d.s.ProbePod.Exists {
		d.do(Action{Kind: CreateProbe, Node: d.st.GCPVMName})
	}
	d.poll()
	return false
}

// probeResult says in a verdict what the probe pod has shown.
func (d *decision) probeResult() string {
	p := d.st.Probe
	if p == nil {
		return "no pod was started there: no game server runs on the node, and --drill-probe-image names no image"
	}
	return fmt.Sprintf("a pod has started there %s", p.Runtime())
}

// drillMovesOn reports whether a drill goes on with the next zone or type. What it
// is there to find out (a quota, an image or a network with which no VM joins) is
// not to be made up for elsewhere; and each placement has one attempt.
func (d *decision) drillMovesOn(why v1.GaveUp) bool {
	c, at := d.choose()
	return why == v1.GaveUpStockout && c.failures == 0 && !at.After(d.now)
}

// fail ends a drill before its time.
func (d *decision) fail(reason, message string) {
	d.verdict(metav1.ConditionFalse, reason, message)
	d.event(Warning, reason, message)
	d.leave("the drill ends early")
}

func (d *decision) verdict(status metav1.ConditionStatus, reason, message string) {
	d.condition(v1.Rehearsed, status, reason, message)
}
