// Package decide is what the failover controller decides: from what is known
// of one failover to what is done next. It has no I/O and no clock, so that
// every behaviour that players could feel is tested without a cluster.
//
// Decide is called with a State and returns a Plan. The caller persists the
// plan's status first, if it differs, and does nothing else if that fails;
// then it carries out the actions in order, up to the first that fails; and it
// calls again at the plan's wake-up or when anything in the State has changed.
// Whatever is lost on the way (a crash, an answer) is made up for by the next
// call: that is what the crash tests check at every step.
package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v1 "torikumi/failover/api/v1"
)

// Decide says what to do next for s.Failover. It does not change s.
func Decide(set *Settings, s *State, now time.Time) Plan {
	d := &decision{set: set, s: s, f: s.Failover, st: s.Failover.Status.DeepCopy(), now: now}
	d.run()
	p := Plan{Actions: d.actions, Events: d.events, Wake: d.wake, LookAtPods: d.lookAtPods}
	if !equality.Semantic.DeepEqual(*d.st, s.Failover.Status) {
		p.Status = d.st
	}
	return p
}

// decision is one call of Decide.
type decision struct {
	set *Settings
	s   *State
	f   *v1.NodeFailover
	st  *v1.NodeFailoverStatus
	now time.Time

	actions    []Action
	events     []Event
	wake       time.Time
	lookAtPods bool
	revealing  bool

	// parent is the failover that this one has a further VM for; parentOver: it
	// does not go on.
	parent     *v1.NodeFailover
	parentOver bool
}

func (d *decision) run() {
	switch {
	case d.f.On(v1.PausedAnnotation):
		return
	case d.st.Phase == v1.Completed:
		d.completed()
		return
	case !slices.Contains(d.f.Finalizers, v1.Finalizer):
		// Made by hand. One that is being deleted can get no finalizer, and
		// nothing has been done for it.
		if !d.deleting() {
			d.do(Action{Kind: AddFinalizer})
		}
		return
	}
	if d.st.Phase == "" {
		d.enter(v1.Pending)
	}
	d.repair()
	d.turnedBack()
	if d.f.Spec.Drill {
		d.drill()
		return
	}
	d.recall()
	d.follow()
	d.health()
	d.answers()
	d.further()
	// There is no delay for the removal of the taint, and no phase in which it
	// could be left behind.
	if (d.s.Node.Health == Ready || d.deleting()) && d.next() == nil {
		if d.st.Taint == v1.TaintNone && d.st.ActiveAt != nil {
			d.inherit() // it was set in the moment in which this one took over
		}
		d.untaint()
	}
	// One that is taken away from a node that nobody watches any more leaves no
	// server hidden, unless another failover goes on that hides them and will
	// show them again.
	if d.s.Node.Health == Ready || d.deleting() && d.s.Node.Health == NotReady && !d.s.Node.Watched && !d.others() {
		d.reveal()
	}
	d.withdraw()
	d.withdrawTemp()
	if p, ok := phases[d.st.Phase]; ok { // the API server lets no other one through
		p.decide(d)
	}
}

// repair makes up for a status that this controller has not written: one of an
// earlier operator, or one that was edited or restored in part.
func (d *decision) repair() {
	for _, t := range []**v1.Instant{
		&d.st.FailedAt, &d.st.NotReadySince, &d.st.RecoveryDetectedAt, &d.st.ActiveAt, &d.st.TempNotReadySince, &d.st.DrainStartedAt,
		&d.st.VMDeletionStartedAt, &d.st.UnreachableSince, &d.st.NextAttemptAt, &d.st.FenceAfter, &d.st.FencedAt,
	} {
		if *t != nil && (*t).IsZero() { // it could not be read
			*t = nil
		}
	}
	if e := d.st.Eviction; e != nil && (e.ForcedAt != nil && e.ForcedAt.IsZero() || e.EndingSince != nil && e.EndingSince.IsZero()) {
		d.st.Eviction = nil
	}
	if e := d.st.Eviction; e != nil && e.NewestAt != nil && e.NewestAt.IsZero() {
		e.NewestAt = nil
	}
	if (d.st.Phase == v1.Active || d.st.Phase == v1.Recovering) && d.st.VM == nil && d.st.SharesWith == "" {
		d.event(Warning, "NoVM", fmt.Sprintf("%s without a VM that is known: it begins anew", d.st.Phase))
		d.st.Phase, d.st.GCPVMName, d.st.ActiveAt = v1.Pending, "", nil
	}
	if d.st.Phase == v1.Draining && d.st.DrainStartedAt == nil {
		d.st.DrainStartedAt = d.instant()
	}
	if d.st.Phase == v1.Draining && d.st.VM == nil && d.st.SharesWith == "" {
		d.st.ActiveAt = nil // there is nothing to go back to
	}
	if d.st.FailedAt == nil && d.st.Phase != v1.Pending && !d.f.Spec.Drill {
		d.st.FailedAt = d.instant()
	}
}

// recall takes over what the watcher saw when it made the failover: by now the
// Node may be gone.
func (d *decision) recall() {
	r := d.s.Record
	if r == nil || d.st.Recorded != nil {
		return
	}
	// Whoever makes a failover writes its record too. A Node that is to get back what
	// none can have would refuse the rest as well.
	labels, annotations := maps.Clone(r.Labels), maps.Clone(r.Annotations)
	maps.DeleteFunc(labels, func(k, v string) bool {
		return len(validation.IsQualifiedName(k)) > 0 || len(validation.IsValidLabelValue(v)) > 0
	})
	maps.DeleteFunc(annotations, func(k, _ string) bool {
		return len(validation.IsQualifiedName(strings.ToLower(k))) > 0 || WellKnown(k)
	})
	taints := slices.DeleteFunc(slices.Clone(r.Taints), func(t corev1.Taint) bool {
		effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
		return len(validation.IsQualifiedName(t.Key)) > 0 || len(validation.IsValidLabelValue(t.Value)) > 0 || !slices.Contains(effects, t.Effect) || WellKnown(t.Key)
	})
	d.st.Recorded = &v1.RecordedNode{UID: r.UID, Labels: labels, Annotations: annotations, Taints: taints, Unschedulable: r.Unschedulable}
	if d.st.FailedAt == nil && !r.FailedAt.IsZero() {
		d.st.FailedAt = v1.At(r.FailedAt)
		d.st.NotReadySince = d.st.FailedAt.DeepCopy()
	}
}

// health keeps track of the present outage. A Node that is gone is one that has
// not recovered, if its failure was seen before; its absence alone says nothing.
func (d *decision) health() {
	n := d.s.Node
	if n.Health != Gone && d.st.Recorded == nil {
		d.st.Recorded = &v1.RecordedNode{UID: n.UID, Labels: n.Labels}
	}
	switch {
	case n.Health == Ready:
		if d.st.RecoveryDetectedAt == nil && d.st.FailedAt != nil {
			d.st.RecoveryDetectedAt = d.instant()
		}
		d.st.NotReadySince, d.st.UnreachableSince, d.st.FencedAt = nil, nil, nil
		d.st.KubeletReports = false
		if r := d.st.Recorded; r.UID == n.UID && !n.Cordoned {
			r.Unschedulable = false // the work is done
		}
	case n.Health == NotReady, d.st.FailedAt != nil:
		if d.st.FailedAt == nil {
			d.st.FailedAt = d.instant()
		}
		if d.st.NotReadySince == nil {
			d.st.NotReadySince = d.instant()
		}
		d.st.RecoveryDetectedAt = nil
		d.reachability()
	}
}

// reachability keeps track of since when nothing is heard of a node that is not
// Ready.
func (d *decision) reachability() {
	if d.s.Node.Reports {
		d.st.UnreachableSince = nil
		d.wakeAt(d.now.Add(heldRetry)) // nothing but a look tells that a lease is not renewed
	} else if d.st.KubeletReports {
		d.st.UnreachableSince = d.instant()
	}
	d.st.KubeletReports = d.s.Node.Reports
}

// unreachable is since when nothing is heard of the node.
func (d *decision) unreachable() time.Time {
	return d.since(cmp.Or(d.st.UnreachableSince, d.st.NotReadySince))
}

// answers sees to it that what an operator has said of one outage does
// not count for the next: a node that has been Ready is not off.
func (d *decision) answers() {
	annotated := d.f.On(v1.FencedAnnotation) || d.f.On(v1.ProceedAnnotation)
	d.st.AnswersSpent = annotated && (d.st.AnswersSpent || d.s.Node.Health == Ready)
	if d.st.AnswersSpent {
		d.do(Action{Kind: RemoveAnswers})
	}
}

// answered reports whether an operator has annotated that for this outage.
func (d *decision) answered(annotation string) bool {
	return d.f.On(annotation) && !d.st.AnswersSpent
}

func (d *decision) completed() {
	switch {
	case slices.Contains(d.f.Finalizers, v1.Finalizer):
		d.do(Action{Kind: RemoveFinalizer})
	case d.deleting():
	case d.st.CompletedAt == nil || d.st.CompletedAt.IsZero(): // written by hand
	case d.reached(d.after(d.st.CompletedAt.Time, d.set.KeepCompleted)):
		d.do(Action{Kind: DeleteFailover})
	}
}

// others reports whether another failover of the node goes on.
func (d *decision) others() bool {
	return slices.ContainsFunc(d.s.Siblings, func(o v1.NodeFailover) bool {
		goesOn := o.Status.Phase == v1.Pending || o.Status.Phase == v1.Creating || o.Status.Phase == v1.Active || o.Status.Phase == ""
		return o.Spec.OnpremNodeName == d.f.Spec.OnpremNodeName && o.Spec.ParentFailover == "" && !o.Spec.Drill && o.DeletionTimestamp == nil && goesOn
	})
}

// complete ends the failover, once nothing of it is left on the node.
func (d *decision) complete(reason, message string) {
	if d.st.Taint != v1.TaintNone || d.revealing || d.s.ProbePod.Exists {
		d.poll()
		return
	}
	d.enter(v1.Completed)
	d.st.CompletedAt = d.instant()
	d.spend()
	d.st.NextAttemptAt = nil
	d.event(Normal, reason, message)
	d.do(Action{Kind: RemoveFinalizer})
}

// down reports whether the node is not Ready, or gone after a failure.
func (d *decision) down() bool { return d.st.NotReadySince != nil }

func (d *decision) instant() *v1.Instant { return v1.At(d.now) }

// reached reports whether t has come, and otherwise sees to it that Decide is
// called then.
func (d *decision) reached(t time.Time) bool {
	if !d.now.Before(t) {
		return true
	}
	d.wakeAt(t)
	return false
}

func (d *decision) wakeAt(t time.Time) {
	if d.wake.IsZero() || t.Before(d.wake) {
		d.wake = t
	}
}

func (d *decision) poll() { d.wakeAt(d.now.Add(d.set.Poll)) }

func (d *decision) do(a Action) { d.actions = append(d.actions, a) }

func (d *decision) event(kind EventKind, reason, message string) {
	d.events = append(d.events, Event{Kind: kind, Reason: reason, Message: message})
}

// condition sets a condition; its transition time is the decision's.
func (d *decision) condition(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&d.st.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.Time{Time: d.now}, ObservedGeneration: d.f.Generation,
	})
}

// since is when a health timer begins that is persisted as t: what was not
// watched without a gap does not count.
func (d *decision) since(t *v1.Instant) time.Time {
	if t.Time.Before(d.s.APIHealthySince) {
		return d.s.APIHealthySince
	}
	return t.Time
}

// grace is that of a node of which nothing is heard. One that was cordoned when it
// failed is being upgraded, or rebooted.
func (d *decision) grace() time.Duration {
	if d.workedOn() {
		return max(d.set.Grace, d.set.CordonedGrace)
	}
	return d.set.Grace
}

// workedOn reports whether the node was cordoned when it failed. Who cordons a node
// that is dead does not work on it.
func (d *decision) workedOn() bool {
	return d.st.Recorded != nil && d.st.Recorded.Unschedulable
}

// graceOver reports whether this outage has lasted for the grace.
func (d *decision) graceOver() bool {
	if !d.down() {
		return false
	}
	if d.s.Node.Reports {
		return d.reached(d.after(d.since(d.st.NotReadySince), max(d.grace(), d.set.FalseGrace)))
	}
	return d.reached(d.after(d.unreachable(), d.grace()))
}

// stable reports whether the node has been Ready for the stability delay.
func (d *decision) stable() bool {
	if d.st.RecoveryDetectedAt == nil {
		return false
	}
	return d.reached(d.after(d.since(d.st.RecoveryDetectedAt), d.stability()))
}
