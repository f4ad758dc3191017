package decide

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// heldRetry is how often a failover that is held back looks for room.
const heldRetry = 15 * time.Second

func (d *decision) pending() {
	switch older := d.duplicateOf(); {
	case d.deleting():
		d.complete("Cancelled", "deleted before a VM was asked for")
		return
	case older != "":
		d.complete("Duplicate", fmt.Sprintf("failover %s is for the same node", older))
		return
	case d.s.Node.Health == Ready:
		if d.restored() {
			d.complete("NotNeeded", "the node is Ready")
		}
		return
	case d.renewed():
		d.complete("NotNeeded", "the VM that it was to replace is gone, and has been replaced without it")
		return
	case !d.down():
		// The Node does not exist, and no failure of it was seen: it may have
		// been taken away on purpose, or never have been.
		d.condition(v1.Admitted, metav1.ConditionFalse, "NodeUnknown", "there is no Node of that name, and its failure was not seen")
		return
	}
	if wrong := wrongLabels(d.f); wrong != "" {
		d.hold("InvalidLabels", wrong)
		return
	}
	d.recordLost()
	if d.predecessor() == nil {
		if over := d.graceOver(); d.s.Node.Reports && !(over && d.set.FalseStartsVM) {
			d.hold("KubeletAlive", reporting+", and "+d.vmOfReporting())
			return
		} else if !over {
			if d.workedOn() {
				d.hold("Cordoned", fmt.Sprintf("the node was cordoned when it failed, so somebody works on it: a VM after %s", d.grace()))
			}
			return
		}
		if !d.calm() {
			d.hold("Storm", d.storm())
			return
		}
	}
	if d.predecessor() == nil && d.nothingLost() {
		d.hold("NothingLost", "no game server ran on the node: no VM is made; --empty-node-starts-vm makes one all the same")
		return
	}
	d.deleteReady()
	if d.lostUnknown() {
		return
	}
	if d.predecessor() == nil {
		if host := d.roomAt(); host != "" {
			d.admit(fmt.Sprintf("the VM of failover %s has room for the lost game servers", host))
			d.st.SharesWith = host
			d.unplan()
			return
		}
	}
	if d.skewed() {
		return
	}
	d.plan()
	if reason, message := d.overBudget(); reason != "" {
		d.hold(reason, message)
		d.wakeAt(d.now.Add(heldRetry))
		return
	}
	d.admit("the grace is over and the budgets have room")
	d.further()
	d.attempt()
}

// lostUnknown holds a VM back for a while whose size is not known yet.
func (d *decision) lostUnknown() bool {
	if d.st.Lost != nil || d.s.LostErr == "" || d.reached(d.after(d.since(d.st.NotReadySince), d.grace()+hangs)) {
		return false
	}
	d.hold("NotListed", fmt.Sprintf("what ran on the node is not known: %s; %s after the grace a VM is made without that", d.s.LostErr, hangs))
	return true
}

// reporting says what becomes of a node whose kubelet reports.
const reporting = "the node is not Ready by its kubelet's own word, so its games may go on: no taint while it renews its lease"

// vmOfReporting says when such a node gets a VM.
func (d *decision) vmOfReporting() string {
	if !d.set.FalseStartsVM {
		return "no VM"
	}
	return fmt.Sprintf("a VM after %s", max(d.set.Grace, d.set.FalseGrace))
}

// renewed reports whether the failover that this one is to replace goes on with a
// VM that is new.
func (d *decision) renewed() bool {
	o := d.predecessor()
	if o == nil || o.DeletionTimestamp != nil || o.Status.Phase != v1.Creating && o.Status.Phase != v1.Active {
		return false
	}
	return o.Status.VM == nil || o.Status.VM.GaveUp != "" || d.now.Before(d.replacedAt(o))
}

// hold keeps the failover back, visibly.
func (d *decision) hold(reason, message string) {
	if c := meta.FindStatusCondition(d.st.Conditions, v1.Admitted); c == nil || c.Reason != reason {
		d.event(Warning, reason, message)
	}
	d.condition(v1.Admitted, metav1.ConditionFalse, reason, message)
}

func (d *decision) admit(message string) {
	d.condition(v1.Admitted, metav1.ConditionTrue, "Admitted", message)
	d.enter(v1.Creating)
	d.event(Normal, "Admitted", message)
}

// duplicateOf is the name of an older open failover for the same node. It is
// asked of one that is Pending.
func (d *decision) duplicateOf() string {
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if o.Spec.OnpremNodeName != d.f.Spec.OnpremNodeName || o.Spec.Drill != d.f.Spec.Drill || !open(o) || o.DeletionTimestamp != nil || o.Name == d.f.Spec.Replaces || !d.sameVM(o) {
			continue
		}
		// Creation is told by the second: who has begun is the first in any case.
		if t, own := o.CreationTimestamp, d.f.CreationTimestamp; underWay(o) || t.Before(&own) || t.Equal(&own) && o.Name < d.f.Name {
			return o.Name
		}
	}
	return ""
}

// open reports whether a failover may still have a VM or need one.
func open(f *v1.NodeFailover) bool { return f.Status.Phase != v1.Completed }

// underWay reports whether a failover has been admitted and is not over.
func underWay(f *v1.NodeFailover) bool {
	return open(f) && f.Status.Phase != v1.Pending && f.Status.Phase != ""
}

// calm reports whether few enough nodes are down for it to be theirs, and not
// the view's, fault.
func (d *decision) calm() bool {
	watched, down := d.unplanned()
	if d.answered(v1.ProceedAnnotation) || d.parent != nil && d.parent.On(v1.ProceedAnnotation) && !d.parent.Status.AnswersSpent || down < d.set.StormNodes || float64(down) < d.set.StormShare*float64(watched) {
		return true
	}
	return d.down() && d.reached(d.after(d.unreachable(), d.set.StormGrace))
}

func (d *decision) storm() string {
	watched, down := d.unplanned()
	return fmt.Sprintf("%d of %d watched nodes are down at once: waiting for %s, or for the annotation %s",
		down, watched, d.set.StormGrace, v1.ProceedAnnotation)
}

// unplanned counts the nodes that should be up, and those of them that are down.
// Those that somebody works on don't count, nor those that have been down for so
// long that a storm would have passed, and are stood in for or need no VM.
func (d *decision) unplanned() (watched, down int) {
	settled := map[string]bool{}
	note := func(f *v1.NodeFailover) {
		from := f.Status.ActiveAt
		if f.Status.Phase == v1.Pending && needsNoVM(f) {
			from = cmp.Or(f.Status.UnreachableSince, f.Status.NotReadySince) // who has fallen silent now is down now
		} else if f.Status.Phase != v1.Active {
			return
		}
		if from != nil && !f.Spec.Drill && d.now.Sub(from.Time) >= d.set.StormGrace {
			settled[f.Spec.OnpremNodeName] = true
		}
	}
	note(d.f)
	for i := range d.s.Siblings {
		note(&d.s.Siblings[i])
	}
	for _, n := range d.s.Nodes {
		switch {
		case n.Health == Ready:
			watched++
		case !n.Planned && !settled[n.Name]:
			watched++
			down++
		}
	}
	return watched, down
}

// nothingLost reports whether no game server ran on the node when it failed. What
// ran on a Node that was gone by then is not known.
func (d *decision) nothingLost() bool {
	if d.set.EmptyStartsVM || d.s.Node.Health != NotReady || d.st.Lost == nil || d.st.Lost.GameServers > 0 || d.f.Spec.SharedLoad != nil {
		return false
	}
	return !slices.ContainsFunc(d.s.Servers, func(s Server) bool { return s.Node == d.f.Spec.OnpremNodeName })
}

// needsNoVM reports whether a failover that is Pending waits for something else than
// room.
func needsNoVM(f *v1.NodeFailover) bool {
	c := meta.FindStatusCondition(f.Status.Conditions, v1.Admitted)
	return c != nil && c.Status == metav1.ConditionFalse && (c.Reason == "NothingLost" || c.Reason == "KubeletAlive" || c.Reason == "Cordoned" || c.Reason == "VersionSkew")
}

// committed is what the other failovers use of the budgets: the nodes that have
// failed, VMs, and what these cost in an hour.
func (d *decision) committed() (nodes map[string]bool, vms int, cost int64) {
	nodes = make(map[string]bool) // one that is replaced is no second failover
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		if underWay(o) && o.Spec.ParentFailover == "" && !o.Spec.Drill {
			nodes[o.Spec.OnpremNodeName] = true
		}
		// One that has no VM just now will have one: its place is taken.
		if underWay(o) && o.Status.SharesWith == "" {
			vms++
			if o.Status.VM != nil {
				cost += o.Status.VM.HourlyCost.MilliValue()
			} else {
				cost += d.least(o, &o.Status).MilliCost
			}
		}
	}
	return nodes, vms, cost
}

// affordable reports whether the budget has room for a VM of that type.
func (d *decision) affordable(m MachineType) bool {
	_, _, cost := d.committed()
	return d.set.MaxMilliCost == 0 || cost+m.MilliCost <= d.set.MaxMilliCost
}

// overBudget tells which limit the next VM would break, if any.
func (d *decision) overBudget() (reason, message string) {
	nodes, vms, cost := d.committed()
	cost += d.pick().MilliCost
	switch {
	case len(nodes) >= d.set.MaxFailovers && !nodes[d.f.Spec.OnpremNodeName] && d.f.Spec.ParentFailover == "" && !d.f.Spec.Drill:
		return "TooManyFailovers", fmt.Sprintf("%d failovers are under way, which is the limit", len(nodes))
	case vms >= d.set.MaxVMs:
		return "TooManyVMs", fmt.Sprintf("%d VMs exist, which is the limit", vms)
	case d.set.MaxMilliCost > 0 && cost > d.set.MaxMilliCost:
		return "TooExpensive", fmt.Sprintf("the VMs would cost %d.%03d an hour, the limit is %d.%03d",
			cost/1000, cost%1000, d.set.MaxMilliCost/1000, d.set.MaxMilliCost%1000)
	}
	return "", ""
}
