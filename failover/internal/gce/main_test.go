package gce_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"google.golang.org/api/option"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/internal/gce"
	"torikumi/failover/internal/gce/fake"
	"torikumi/pkg/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a provider that talks to a fake.
type harness struct {
	*testing.T
	*gce.Provider
	fake *fake.Server
	cfg  gce.Config
}

func newHarness(t *testing.T, opts fake.Options, set ...func(*gce.Config)) *harness {
	t.Helper()
	srv := fake.New(opts)
	t.Cleanup(srv.Close)
	r := &harness{T: t, fake: srv}
	config.Default(&r.cfg)
	r.cfg.Project, r.cfg.Zones, r.cfg.Endpoint = srv.Project(), srv.Zones(), srv.URL
	for _, f := range set {
		f(&r.cfg)
	}
	p, err := gce.New(t.Context(), r.cfg, option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	r.Provider = p
	return r
}

func manual() fake.Options { return fake.Options{Manual: true} }

func (r *harness) ctx() context.Context { return r.Context() }

// until ends when the fake has got so many calls of that name.
func (r *harness) until(call string, n int) context.Context {
	ctx, cancel := context.WithCancel(r.ctx())
	var watch sync.WaitGroup
	watch.Go(func() {
		_ = r.fake.Wait(ctx, func() bool { return r.fake.Count(call) >= n })
		cancel()
	})
	r.Cleanup(func() { cancel(); watch.Wait() })
	return ctx
}

func (r *harness) spec() cloud.Spec {
	return cloud.Spec{
		Ref:           cloud.Ref{Name: "gcp-temp-worker-1-ab12c", Zone: r.fake.Zones()[0]},
		Owner:         cloud.Owner{Cluster: "6f0c1b7e", Node: "worker-1.example.com", NodeUID: "0b5a", Failover: "77aa"},
		RequestID:     uuid.NewString(),
		StartupScript: "#!/bin/sh\nkubeadm join --token " + cloudtest.Token + " 10.0.0.1:6443\n",
		Image:         "node",
		MaxLifetime:   24 * time.Hour,
		Tags:          []string{"game-runner"},
		Labels:        map[string]string{"studio": "kitsune"},
	}
}

var kinds = []error{cloud.ErrNotFound, cloud.ErrForeign, cloud.ErrStockout, cloud.ErrQuota, cloud.ErrInvalid}

// is demands an error of exactly one kind; errTransient is that of none, nil no
// error.
func (r *harness) is(err, kind error, what string) {
	r.Helper()
	if err != nil && strings.Contains(err.Error(), cloudtest.Token) {
		r.Fatalf("%s: the error tells a token: %v", what, err)
	}
	if kind == nil || kind == errTransient {
		if (err == nil) != (kind == nil) {
			r.Fatalf("%s: got %v, want %v", what, err, kind)
		}
	} else if !errors.Is(err, kind) {
		r.Fatalf("%s: got %v, want %v", what, err, kind)
	}
	for _, k := range kinds {
		if k != kind && errors.Is(err, k) {
			r.Fatalf("%s: %v is %v", what, err, k)
		}
	}
}

var errTransient = errors.New("an error that may pass")

func (r *harness) get(s cloud.Spec) error {
	_, err := r.Get(r.ctx(), s.Ref, s.Owner)
	return err
}

func (r *harness) vms(want int) {
	r.Helper()
	if got := len(r.fake.VMs()); got != want {
		r.Fatalf("%d VMs, want %d", got, want)
	}
}

func TestConformance(t *testing.T) {
	for name, opts := range map[string]fake.Options{"at once": {}, "step by step": manual()} {
		t.Run(name, func(t *testing.T) {
			cloudtest.Run(t, func(t *testing.T) cloudtest.Env { return env(newHarness(t, opts)) })
		})
	}
	t.Run("small pages", func(t *testing.T) {
		cloudtest.Run(t, func(t *testing.T) cloudtest.Env {
			r := newHarness(t, fake.Options{})
			r.fake.SetPages(1, true)
			return env(r)
		})
	})
}

var callNames = map[cloud.Call]string{
	cloud.CallCreate: fake.Insert, cloud.CallGet: fake.Get, cloud.CallList: fake.List, cloud.CallDelete: fake.Delete,
}

func env(r *harness) cloudtest.Env {
	reply := func(kind error) *fake.Reply {
		switch kind {
		case cloud.ErrStockout:
			return &fake.Reply{Status: 503, Reason: "backendError", Message: fake.Stockout(true, 0).Message, Info: "resource_availability"}
		case cloud.ErrQuota:
			return fake.QuotaExceeded()
		}
		return &fake.Reply{Status: 403, Reason: "forbidden", Message: "Required 'compute.instances.create' permission for 'projects/studio-games/zones/europe-west3-a/instances/x'"}
	}
	failure := func(kind error) *fake.Failure {
		switch kind {
		case cloud.ErrStockout:
			return fake.Stockout(true, 0)
		case cloud.ErrQuota:
			return fake.QuotaFailure(0)
		case cloud.ErrInvalid:
			return &fake.Failure{Code: "RESOURCE_NOT_FOUND", Message: "The resource 'projects/studio-games/global/images/node' was not found"}
		}
		return fake.Internal()
	}
	return cloudtest.Env{
		Provider:  r.Provider,
		Zones:     r.fake.Zones(),
		Finish:    r.fake.Finish,
		Live:      func() int { return len(r.fake.VMs()) },
		Refuse:    func(c cloud.Call) { r.fake.Inject(fake.Fault{Call: callNames[c], Reply: fake.Unavailable()}) },
		Lose:      func(c cloud.Call) { r.fake.Inject(fake.Fault{Call: callNames[c], Cut: true, Commit: true}) },
		Hang:      func(c cloud.Call) { r.fake.Inject(fake.Fault{Call: callNames[c], Hang: true}) },
		Heal:      r.fake.Heal,
		Reject:    func(kind error) { r.fake.Inject(fake.Fault{Call: fake.Insert, Reply: reply(kind)}) },
		FailLater: func(kind error) { r.fake.Inject(fake.Fault{Call: fake.Insert, Fail: failure(kind)}) },
		LoseZone: func(zone string) {
			r.fake.Inject(fake.Fault{Zone: zone, Times: -1, Reply: fake.Unavailable()})
		},
		Stop:   func(ref cloud.Ref) { r.fake.Preempt(ref.Zone, ref.Name) },
		Vanish: func(ref cloud.Ref) { r.fake.Vanish(ref.Zone, ref.Name) },
	}
}
