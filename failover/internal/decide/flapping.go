package decide

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// A node that fails again and again costs a VM and its games each time. Each failure
// of the last while doubles how long it has to be Ready before its VM is drained,
// and how long nothing may be heard of it before it is tainted.

// taintTimes is how often the taint's grace doubles at most, as a factor: a node
// that is really dead is tainted in the end.
const taintTimes = 10

// failures counts the outages of the node that have come to a VM, but for the
// present one, within the last while.
func (d *decision) failures() int {
	n := d.relapses(d.st)
	for i := range d.s.Siblings {
		o := &d.s.Siblings[i]
		st := &o.Status
		if o.Spec.OnpremNodeName != d.f.Spec.OnpremNodeName || o.Spec.Drill || o.Spec.ParentFailover != "" {
			continue
		}
		if o.Name == d.f.Spec.Replaces { // the same outage
			n += d.relapses(st)
			continue
		}
		if o.Spec.Replaces != "" {
			continue
		}
		if st.CompletedAt == nil || st.ActiveAt == nil || d.now.Sub(st.CompletedAt.Time) >= d.set.FlapWindow {
			continue
		}
		n += 1 + d.relapses(st)
	}
	return n
}

// relapses counts those of a failover, of which the last is not long ago.
func (d *decision) relapses(st *v1.NodeFailoverStatus) int {
	if st.RelapsedAt == nil || d.now.Sub(st.RelapsedAt.Time) >= d.set.FlapWindow {
		return 0
	}
	return int(st.Relapses)
}

// grown doubles a delay for each failure, up to a limit.
func grown(delay time.Duration, failures int, limit time.Duration) time.Duration {
	for range failures {
		if delay >= limit {
			break
		}
		delay = min(2*delay, limit)
	}
	return delay
}

// stability is how long the node must be Ready before its VM is drained.
func (d *decision) stability() time.Duration {
	return grown(d.set.Stability, d.failures(), d.set.StabilityMax)
}

// relapsed notes that the node has failed again while its VM is there. One that
// was well for long enough begins anew.
func (d *decision) relapsed() {
	if d.st.RelapsedAt != nil && d.now.Sub(d.st.RelapsedAt.Time) >= d.set.FlapWindow {
		d.st.Relapses = 0
	}
	d.st.Relapses++
	d.st.RelapsedAt = d.instant()
}

// flapping says why a node that is Ready is not trusted yet, if it is for that.
func (d *decision) flapping() {
	if n := d.failures(); n > 0 {
		d.condition(v1.OnPremRecovered, metav1.ConditionFalse, "Flapping", fmt.Sprintf("it has failed %d times within %s: it has to be Ready for %s", n+1, d.set.FlapWindow, d.stability()))
	}
}
