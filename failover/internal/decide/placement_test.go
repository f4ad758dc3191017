package decide_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

func failed(zone, kind string, failures int32, ago, again time.Duration) v1.FailedPlacement {
	return v1.FailedPlacement{Zone: zone, MachineType: kind, Failures: failures, FailedAt: *v1.At(noon.Add(-ago)), RetryAt: *v1.At(noon.Add(again)), Reason: v1.GaveUpQuota}
}

// Where the next attempt is made, by what has failed and worked before.
func TestPlacement(t *testing.T) {
	const small, large = "n2-standard-4", "n2-standard-8"
	worked := func(zone, kind string, age time.Duration) v1.NodeFailover {
		f := made("worked", v1.Active, age)
		f.Spec.OnpremNodeName = "worker-2"
		f.Status.VM.Zone, f.Status.VM.MachineType, f.Status.VM.JoinedAt = zone, kind, ago(age)
		return *f
	}
	for name, tt := range map[string]struct {
		own, others []v1.FailedPlacement
		siblings    []v1.NodeFailover
		cost        int64
		want        string
	}{
		"nothing has failed":      {want: "zone-a n2-standard-4"},
		"the zone has failed":     {own: []v1.FailedPlacement{failed("zone-a", small, 1, time.Second, 10*time.Second)}, want: "zone-b n2-standard-4"},
		"the type has failed":     {own: []v1.FailedPlacement{failed("zone-a", small, 1, time.Second, 10*time.Second), failed("zone-b", small, 1, time.Second, 10*time.Second)}, want: "zone-a n2-standard-8"},
		"the larger is too dear":  {cost: 200, own: []v1.FailedPlacement{failed("zone-a", small, 1, time.Second, 10*time.Second), failed("zone-b", small, 1, time.Second, 20*time.Second)}, want: "after 10s"},
		"all have failed once":    {own: []v1.FailedPlacement{failed("zone-a", small, 1, time.Hour, 0), failed("zone-b", small, 2, time.Hour, 0), failed("zone-a", large, 2, time.Hour, 0), failed("zone-b", large, 2, time.Hour, 0)}, want: "zone-a n2-standard-4"},
		"the pause is over":       {own: []v1.FailedPlacement{failed("zone-a", small, 3, 10*time.Minute, 0)}, want: "zone-b n2-standard-4"},
		"another's failure":       {others: []v1.FailedPlacement{failed("zone-a", small, 1, time.Minute, 0)}, want: "zone-b n2-standard-4"},
		"long ago":                {others: []v1.FailedPlacement{failed("zone-a", small, 1, 2*time.Hour, -time.Hour)}, want: "zone-a n2-standard-4"},
		"has worked since":        {others: []v1.FailedPlacement{failed("zone-a", small, 1, 30*time.Minute, 0)}, siblings: []v1.NodeFailover{worked("zone-a", small, 10*time.Minute)}, want: "zone-a n2-standard-4"},
		"has worked before":       {others: []v1.FailedPlacement{failed("zone-a", small, 1, 5*time.Minute, 0)}, siblings: []v1.NodeFailover{worked("zone-a", small, 10*time.Minute)}, want: "zone-b n2-standard-4"},
		"the other type worked":   {others: []v1.FailedPlacement{failed("zone-a", small, 1, 5*time.Minute, 0)}, siblings: []v1.NodeFailover{worked("zone-a", large, time.Minute)}, want: "zone-b n2-standard-4"},
		"a zone that is not used": {own: []v1.FailedPlacement{failed("zone-z", small, 1, time.Second, time.Hour)}, want: "zone-a n2-standard-4"},
	} {
		t.Run(name, func(t *testing.T) {
			f := down(made("a", v1.Creating, time.Hour))
			f.Status.VM, f.Status.GCPVMName, f.Status.FailedPlacements = nil, "", tt.own
			other := made("other", v1.Completed, time.Hour)
			other.Spec.OnpremNodeName, other.Status.VM, other.Status.FailedPlacements = "worker-3", nil, tt.others
			set := settings()
			set.MaxMilliCost = tt.cost
			if tt.cost > 0 {
				tt.siblings = nil
			}
			p := decide.Decide(&set, &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: append(slices.Clone(tt.siblings), *other)}, noon)
			got := "nowhere"
			if p.Status != nil && p.Status.VM != nil {
				got = p.Status.VM.Zone + " " + p.Status.VM.MachineType
			} else if p.Status != nil && p.Status.NextAttemptAt != nil {
				got = fmt.Sprintf("after %s", p.Status.NextAttemptAt.Sub(noon))
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// However many attempts are allowed in a row, the pause between them grows to its
// limit and stays there.
func TestBackoffOfManyAttempts(t *testing.T) {
	w := newHarness()
	w.set.MaxAttempts, w.set.Zones, w.set.MachineTypes = 1000, w.set.Zones[:1], w.set.MachineTypes[:1]
	w.setNode("worker-1", "ready")
	w.serve("worker-1", "Ready")
	w.faults.create["*"] = decide.Stockout
	w.setNode("worker-1", "notready")
	w.advance(4 * time.Hour)
	if n := w.failovers[0].Status.TotalAttempts; n < 100 || n > 125 {
		t.Errorf("%d attempts in 4 hours, with a pause of %s", n, w.set.BackoffMax)
	}
}
