package cloudtest_test

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	for name, manual := range map[string]bool{"at once": false, "step by step": true} {
		t.Run(name, func(t *testing.T) {
			cloudtest.Run(t, func(*testing.T) cloudtest.Env {
				m := cloudtest.NewMemory()
				m.Manual = manual
				broken := errors.New("the connection is broken")
				return cloudtest.Env{
					Provider: m, Zones: m.Zones, Settle: m.Settle, Live: m.Live, Stop: m.Stop, Vanish: m.Vanish,
					Refuse: func(c cloudtest.Call) { m.Inject(cloudtest.Fault{Call: c, Err: broken}) },
					Lose:   func(c cloudtest.Call) { m.Inject(cloudtest.Fault{Call: c, Err: broken, Commit: true}) },
					Hang:   func(c cloudtest.Call) { m.Inject(cloudtest.Fault{Call: c, Hang: true}) },
					Heal:   m.Heal,
					Reject: func(kind error) { m.Inject(cloudtest.Fault{Call: cloudtest.Create, Err: kind}) },
					FailLater: func(kind error) {
						if kind == nil {
							kind = broken
						}
						m.Inject(cloudtest.Fault{Call: cloudtest.Create, Err: kind, Later: true})
					},
					LoseZone: func(zone string) { m.Inject(cloudtest.Fault{Zone: zone, Err: broken, Times: -1}) },
				}
			})
		})
	}
}

func spec(name string) cloud.Spec {
	return cloud.Spec{
		Ref: cloud.Ref{Name: name, Zone: "memory-a"}, RequestID: "r-" + name, StartupScript: "script of " + name,
		Owner: cloud.Owner{Cluster: "c", Node: "n", NodeUID: "u", Failover: "f"},
	}
}

func TestMemoryEndsLifetimes(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := cloudtest.NewMemory()
	m.Now = func() time.Time { return now }
	s := spec("a")
	s.MaxLifetime = time.Hour
	if err := m.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour - 1)
	if m.Live() != 1 {
		t.Error("ended early")
	}
	now = now.Add(1)
	if m.Live() != 0 || m.Peak() != 1 {
		t.Error("outlived its time")
	}
}

func TestMemoryTellsWhatRuns(t *testing.T) {
	m := cloudtest.NewMemory()
	var up []string
	m.OnRunning = func(s cloud.Spec, i cloud.Instance) {
		if i.State != cloud.Running || i.InternalIP == "" || m.Script(i.Ref) != s.StartupScript {
			t.Errorf("came up as %+v", i)
		}
		up = append(up, s.Name)
	}
	m.Inject(cloudtest.Fault{Call: cloudtest.Create, Name: "b", NeverRuns: true})
	for _, name := range []string{"a", "b", "a"} {
		if err := m.Create(t.Context(), spec(name)); err != nil {
			t.Fatal(err)
		}
	}
	if len(up) != 1 || up[0] != "a" {
		t.Errorf("came up: %v", up)
	}
	if m.Count(cloudtest.Create) != 3 {
		t.Errorf("%d creates", m.Count(cloudtest.Create))
	}
}
