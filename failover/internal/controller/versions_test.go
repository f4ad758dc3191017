package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/pkg/eventually"
)

// A cloud that is slow to say what an image is keeps no decision waiting; its answer
// is there for a later one, and none leaves what was known.
func TestVersionsWaitForNobody(t *testing.T) {
	r, _ := fakeCluster(t)
	clock := testclock.NewFakeClock(noon)
	r.opts.Clock = clock
	answers := make(chan string)
	r.opts.Versions = Versions{
		Known: decide.Versions{Image: "1.34.1", APIServer: "1.34.0"},
		Image: func(context.Context) (string, decide.Source, error) {
			select {
			case v := <-answers: // however late: nobody asks again before the clock goes on
				return v, decide.FromLabel, nil
			case <-t.Context().Done():
				return "", "", t.Context().Err()
			}
		},
		APIServer: func(context.Context) (string, error) { return "", errors.New("no answer") },
	}
	look := func() decide.Versions {
		s := &decide.State{Failover: aFailover(func(f *v1.NodeFailover) { f.Status.Phase = v1.Pending })}
		if err := r.observeVersions(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s.Versions
	}
	known := decide.Versions{Image: "1.34.1", APIServer: "1.34.0"}
	for range 3 { // it is asked once
		if got := look(); got != known {
			t.Errorf("%+v", got)
		}
	}
	answers <- "1.35.0"
	known.Image, known.Source = "1.35.0", decide.FromLabel
	eventually.True(t, "the answer is known", func() bool { return look() == known })
	clock.Step(versionsAge + time.Second)
	look()
	answers <- "1.36.0"
	known.Image = "1.36.0"
	eventually.True(t, "it is asked again", func() bool { return look() == known })

	s := &decide.State{Failover: aFailover(func(f *v1.NodeFailover) { f.Status.Phase = v1.Draining })}
	if err := r.observeVersions(t.Context(), s); err != nil || s.Versions != (decide.Versions{}) {
		t.Errorf("%+v, %v", s.Versions, err)
	}
}

// One answer that is missing leaves what was known; without any, the name is better
// than nothing.
func TestVersionsOutliveAnError(t *testing.T) {
	var err error
	v := Versions{Image: func(context.Context) (string, decide.Source, error) {
		if err != nil {
			return "1.29.0", decide.FromName, err
		}
		return "1.34.4", decide.FromLabel, nil
	}}
	ask := func(want decide.Versions) {
		t.Helper()
		known, got := v.Ask(t.Context())
		if known != want || !errors.Is(got, err) {
			t.Errorf("%+v, %v; want %+v, %v", known, got, want, err)
		}
		v.Known = known
	}
	err = errors.New("503")
	ask(decide.Versions{Image: "1.29.0", Source: decide.FromName})
	err = nil
	ask(decide.Versions{Image: "1.34.4", Source: decide.FromLabel})
	err = errors.New("503")
	ask(decide.Versions{Image: "1.34.4", Source: decide.FromLabel})
}

// The image is asked for often while a VM is to be made of it, and seldom while one
// stands; the API server may be upgraded at any time.
func TestImageIsAskedForWhenItMatters(t *testing.T) {
	r, _ := fakeCluster(t)
	clock := testclock.NewFakeClock(noon)
	r.opts.Clock = clock
	images, servers := make(chan bool, 100), make(chan bool, 100)
	r.opts.Versions = Versions{
		Image: func(context.Context) (string, decide.Source, error) {
			images <- true
			return "1.34.1", decide.FromLabel, nil
		},
		APIServer: func(context.Context) (string, error) { servers <- true; return "1.34.0", nil },
	}
	f := aFailover(func(f *v1.NodeFailover) { f.Status.Phase, f.Status.VM = v1.Active, &v1.VMStatus{} })
	look := func(wantImages, wantServers int, what string) {
		t.Helper()
		if err := r.observeVersions(t.Context(), &decide.State{Failover: f}); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, what+": it has answered", func() bool {
			r.versions.mu.Lock()
			defer r.versions.mu.Unlock()
			return !r.versions.asking
		})
		if len(images) != wantImages || len(servers) != wantServers {
			t.Errorf("%s: the image was asked for %d times, the API server %d times; want %d and %d", what, len(images), len(servers), wantImages, wantServers)
		}
	}
	look(1, 1, "at first")
	clock.Step(versionsAge)
	look(1, 2, "a VM stands")
	f.Status.VM.GaveUp = v1.GaveUpLost
	look(2, 3, "it is lost")
	look(2, 3, "asked just now")
	f.Status.VM, f.Status.Phase = nil, v1.Pending
	clock.Step(versionsAge)
	look(3, 4, "none is there yet")
	f.Status.VM, f.Status.Phase = &v1.VMStatus{}, v1.Active
	clock.Step(imageAge)
	look(4, 5, "after a long time")
}
