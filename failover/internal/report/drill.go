package report

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// DrillProgress reports each step of a drill once, as it goes. It is for one goroutine.
type DrillProgress struct {
	printed map[string]bool
	begun   time.Time
	// asked is how long it took until the first VM was asked for, by our clock;
	// all else is by the controller's.
	asked   time.Duration
	started *v1.Instant
	vm      *v1.VMStatus // the last that was seen: one that is given up leaves the status
	f       *v1.NodeFailover
}

// NewDrillProgress is that of a drill that was made at that time.
func NewDrillProgress(begun time.Time) *DrillProgress {
	return &DrillProgress{printed: map[string]bool{}, begun: begun}
}

// Update returns what is new since it was called last.
func (p *DrillProgress) Update(f *v1.NodeFailover, now time.Time) []string {
	var news []string
	say := func(key, format string, args ...any) {
		if !p.printed[key] {
			p.printed[key] = true
			news = append(news, fmt.Sprintf(format, args...))
		}
	}
	st := &f.Status
	p.f = f
	if TakenUp(f) {
		say("taken up", "the controller has taken it up")
	}
	if c := meta.FindStatusCondition(st.Conditions, v1.Admitted); c != nil && c.Status == metav1.ConditionFalse {
		say("held "+c.Reason, "waits: %s: %s", c.Reason, c.Message)
	}
	if c := meta.FindStatusCondition(st.Conditions, v1.VersionsFit); c != nil {
		say("versions "+c.Reason, "versions: %s", c.Message)
	}
	if vm := st.VM; vm != nil {
		if p.started == nil {
			p.started, p.asked = &vm.StartedAt, now.Sub(p.begun)
		}
		p.vm = vm
		id := vm.RequestID
		say(id, "VM asked for: %s %s in %s", vm.MachineType, st.GCPVMName, vm.Zone)
		if c := meta.FindStatusCondition(st.Conditions, v1.VMCreated); c != nil && vm.GaveUp == "" && c.Reason == string(v1.GaveUpTokenRefused) {
			say(id+" token "+c.Message, "no VM yet: %s", c.Message)
		}
		if vm.SeenAt != nil {
			say(id+" seen", "VM created")
		}
		if vm.JoinedAt != nil {
			say(id+" joined", "its Node has joined")
		}
		if vm.GaveUp != "" {
			say(id+" gave up", "VM given up: %s: %s", vm.GaveUp, st.LastError)
			p.printed["error "+st.LastError] = true // it stays there during the next attempt
		} else if st.LastError != "" {
			say("error "+st.LastError, "the cloud says: %s", st.LastError)
		}
	}
	if st.ActiveAt != nil {
		say("active", "its Node is Ready")
	}
	if p := st.Probe; p != nil && p.RequestedAt != nil {
		say("probe", "a probe pod is made on it, %s", p.Runtime())
		switch {
		case p.StartedAt != nil:
			say("probe started", "the probe pod has started")
		case p.Waiting != "":
			say("probe "+p.Waiting, "the probe pod waits: %s", p.Waiting)
		}
	}
	if c := meta.FindStatusCondition(st.Conditions, v1.Rehearsed); c != nil {
		if c.Status == metav1.ConditionTrue {
			say("verdict", "found fit: %s; it is drained", c.Message)
		} else {
			say("verdict", "ends early: %s: %s", c.Reason, c.Message)
		}
	}
	if st.VMDeletionStartedAt != nil {
		say("drained", "drained; the VM is being deleted")
	}
	if st.CompletedAt != nil && st.Phase == v1.Completed && p.vm != nil {
		say("completed", "VM, Node and tokens are gone")
	}
	return news
}

// TakenUp reports whether a controller has seen a drill.
func TakenUp(f *v1.NodeFailover) bool {
	return len(f.Finalizers) > 0 || f.Status.Phase != v1.Pending && f.Status.Phase != ""
}

// Verdict is nil if a completed drill has passed.
func Verdict(f *v1.NodeFailover) error {
	switch c := meta.FindStatusCondition(f.Status.Conditions, v1.Rehearsed); {
	case c == nil:
		return fmt.Errorf("it has ended without a verdict: the controller knows no drills, or it was deleted")
	case c.Status != metav1.ConditionTrue:
		return fmt.Errorf("%s: %s", c.Reason, c.Message)
	}
	return nil
}

// Table writes how many seconds each step has taken, from the end of the one
// before, and what all VMs have cost. Steps that were not reached have none.
func (p *DrillProgress) Table(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "STEP\tSECONDS\t")
	if p.started == nil {
		fmt.Fprintln(tw, "VM asked for\t-\t")
		return tw.Flush()
	}
	fmt.Fprintf(tw, "VM asked for\t%.1f\t\n", p.asked.Seconds())
	st := p.f.Status
	before := p.started.Time
	type step struct {
		name string
		at   *v1.Instant
	}
	steps := []step{{"VM created", p.vm.SeenAt}, {"joined", p.vm.JoinedAt}, {"Ready", st.ActiveAt}}
	if st.Probe != nil {
		steps = append(steps, step{"pod started", st.Probe.StartedAt})
	}
	for _, step := range append(steps, step{"drained", st.VMDeletionStartedAt}, step{"VM gone", st.CompletedAt}) {
		if step.at == nil {
			fmt.Fprintf(tw, "%s\t-\t\n", step.name)
			continue
		}
		fmt.Fprintf(tw, "%s\t%.1f\t\n", step.name, step.at.Sub(before).Seconds())
		before = step.at.Time
	}
	fmt.Fprintf(tw, "in all\t%.1f\t\n", (p.asked + before.Sub(p.started.Time)).Seconds())
	fmt.Fprintf(tw, "cost\t%s\t\n", cost(p.f, before, 4)) // minutes of a VM are cents
	return tw.Flush()
}
