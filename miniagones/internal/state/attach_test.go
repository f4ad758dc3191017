package state_test

import (
	"errors"
	"testing"
	"time"

	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
)

func (r *harness) attach() *state.Server {
	r.t.Helper()
	s := r.Attach(state.Attachment{Address: "127.0.0.1", NodeName: "local", Ports: []state.Port{{Name: "default", Port: 7777}}}, r.now)
	if s == nil {
		r.t.Fatal("it cannot be attached")
	}
	return s
}

// TestAttach: what is attached is allocated first, and the fleet is as full as without it.
func TestAttach(t *testing.T) {
	r := newHarness(t, func(c *state.Config) { c.Max = 2 })
	own := r.up()
	a := r.attach()
	if a.State != agones.Scheduled || a.Annotations[agones.DevAddressAnnotation] != "127.0.0.1" || a.Labels[agones.FleetLabel] != "local" {
		t.Errorf("attached as %+v", a)
	}
	if got := r.allocate(nil); got.Name == a.Name {
		t.Error("allocated before it is Ready")
	}
	r.must(r.SDKReady(a.Name))
	if start, stop := r.step(); len(start)+len(stop) > 0 || r.ReadyCount() != 1 {
		t.Errorf("the fleet starts %v and stops %v: %d are Ready", start, stop, r.ReadyCount())
	}
	if got := r.allocate(nil); got.Name != a.Name {
		t.Errorf("%s is allocated, not the one that is attached", got.Name)
	}

	// A debugger may hold it: it need give no sign of life.
	for range 10 {
		r.now = r.now.Add(time.Minute)
		for _, name := range own {
			r.SDKHealth(name, r.now)
		}
		r.step()
	}
	if s := r.Get(a.Name); s.State != agones.Allocated || s.Going() {
		t.Errorf("without a sign of life it is %s", s.State)
	}
	r.must(r.SDKShutdown(a.Name))
	if _, stop := r.step(); len(stop) != 1 || stop[0] != a.Name {
		t.Errorf("after Shutdown %v is stopped", stop)
	}
	r.Gone(a.Name)
	if r.Get(a.Name) != nil || r.Len() != 2 {
		t.Errorf("%d servers are left", r.Len())
	}
	r.Close(r.now)
	if r.Attach(state.Attachment{}, r.now) != nil {
		t.Error("attached to a fleet that is closed")
	}
}

// TestExclusive: matches wait for the server that is attached.
func TestExclusive(t *testing.T) {
	r := newHarness(t, nil)
	own := r.up()
	a := r.attach()
	r.AddExclusive(1)
	ask := func() (*state.Server, error) {
		return r.Allocate(state.Allocation{Namespace: "default", Selectors: []state.Selector{{State: agones.Ready}}}, r.now)
	}
	if s, err := ask(); !errors.Is(err, state.ErrNoneFits) {
		t.Errorf("before it is Ready: %v, %v", s, err)
	}
	r.must(r.SDKReady(a.Name))
	if s, err := ask(); err != nil || s.Name != a.Name {
		t.Errorf("once it is Ready: %v, %v", s, err)
	}
	if s, err := ask(); !errors.Is(err, state.ErrNoneFits) {
		t.Errorf("while it is in use: %v, %v", s, err)
	}
	r.AddExclusive(-1)
	if s, err := ask(); err != nil || s.Name != own[0] {
		t.Errorf("without the attachment: %v, %v", s, err)
	}
}

// TestAttachSelectors: an allocation gets only what its selectors ask for, attached or not.
func TestAttachSelectors(t *testing.T) {
	r := newHarness(t, func(c *state.Config) { c.Ready = 1 })
	own := r.up()
	r.must(r.SDKLabel(own[0], "map", "desert"))
	for range 2 {
		r.must(r.SDKReady(r.attach().Name))
	}
	ask := func() (*state.Server, error) {
		return r.Allocate(state.Allocation{Namespace: "default", Selectors: []state.Selector{
			{State: agones.Ready, Labels: map[string]string{agones.SDKPrefix + "map": "desert"}},
		}}, r.now)
	}
	r.AddExclusive(1)
	if s, err := ask(); !errors.Is(err, state.ErrNoneFits) {
		t.Errorf("only attached ones may be allocated, and none fits: %v, %v", s, err)
	}
	r.AddExclusive(-1)
	if s, err := ask(); err != nil || s.Name != own[0] {
		t.Errorf("%v, %v", s, err)
	}
}

// TestAttachedSilence: with a limit, a server that has given signs of life and gives no more
// is taken for dead; one that has given none may not run yet.
func TestAttachedSilence(t *testing.T) {
	r := newHarness(t, nil)
	r.up()
	a := r.Attach(state.Attachment{Address: "127.0.0.1", Silence: 20 * time.Second}, r.now)
	r.must(r.SDKReady(a.Name))
	wait := func(seconds int) state.State {
		for range seconds {
			r.now = r.now.Add(time.Second)
			for _, s := range r.List("", nil) {
				if s.Name != a.Name {
					r.SDKHealth(s.Name, r.now)
				}
			}
			r.step()
		}
		return r.Get(a.Name).State
	}
	if got := wait(100); got != agones.Ready {
		t.Errorf("before it runs it is %s", got)
	}
	for range 5 {
		r.SDKHealth(a.Name, r.now)
		if got := wait(19); got != agones.Ready {
			t.Fatalf("with signs of life it is %s", got)
		}
	}
	if got := wait(30); got != agones.Unhealthy {
		t.Errorf("without it is %s", got)
	}
	if last, _ := r.LastFailure(); last != nil {
		t.Errorf("the fleet counts %v", last)
	}
}
