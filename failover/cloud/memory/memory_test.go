package memory_test

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/cloud/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	for name, manual := range map[string]bool{"at once": false, "step by step": true} {
		t.Run(name, func(t *testing.T) {
			cloudtest.Run(t, func(*testing.T) cloudtest.Env {
				m := memory.New()
				m.Manual = manual
				return env(m)
			})
		})
	}
}

func env(m *memory.Provider) cloudtest.Env {
	broken := errors.New("the connection is broken")
	return cloudtest.Env{
		Provider: m, Zones: m.Zones, Finish: m.Finish, Live: m.Live, Stop: m.Stop, Vanish: m.Vanish,
		Refuse: func(c cloud.Call) { m.Inject(memory.Fault{Call: c, Err: broken}) },
		Lose:   func(c cloud.Call) { m.Inject(memory.Fault{Call: c, Err: broken, Commit: true}) },
		Hang:   func(c cloud.Call) { m.Inject(memory.Fault{Call: c, Hang: true}) },
		Heal:   m.Heal,
		Reject: func(kind error) { m.Inject(memory.Fault{Call: cloud.CallCreate, Err: kind}) },
		FailLater: func(kind error) {
			if kind == nil {
				kind = broken
			}
			m.Inject(memory.Fault{Call: cloud.CallCreate, Err: kind, Later: true})
		},
		LoseZone: func(zone string) { m.Inject(memory.Fault{Zone: zone, Err: broken, Times: -1}) },
	}
}

func spec(name string) cloud.Spec {
	return cloud.Spec{
		Ref: cloud.Ref{Name: name, Zone: "memory-a"}, RequestID: "r-" + name, StartupScript: "script of " + name,
		Owner: cloud.Owner{Cluster: "c", Node: "n", NodeUID: "u", Failover: "f"},
	}
}

func TestMaxLifetime(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	m := memory.New()
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

func TestOnRunning(t *testing.T) {
	m := memory.New()
	var up []string
	m.OnRunning = func(s cloud.Spec, i cloud.Instance) {
		if i.State != cloud.Running || i.InternalIP == "" || m.Script(i.Ref) != s.StartupScript {
			t.Errorf("came up as %+v", i)
		}
		up = append(up, s.Name)
	}
	m.Inject(memory.Fault{Call: cloud.CallCreate, Name: "b", NeverRuns: true})
	for _, name := range []string{"a", "b", "a"} {
		if err := m.Create(t.Context(), spec(name)); err != nil {
			t.Fatal(err)
		}
	}
	if len(up) != 1 || up[0] != "a" {
		t.Errorf("came up: %v", up)
	}
	if m.Count(cloud.CallCreate) != 3 {
		t.Errorf("%d creates", m.Count(cloud.CallCreate))
	}
}
