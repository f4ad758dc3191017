package reconcile

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestFailures(t *testing.T) {
	fleet := types.NamespacedName{Namespace: "games", Name: "arena"}
	now := time.Unix(1000, 0)
	f := newFailures(Options{BackoffMin: time.Second, BackoffMax: 4 * time.Second})
	expect := func(what string, want time.Duration) {
		t.Helper()
		if got := f.wait(fleet, now); got != want {
			t.Errorf("%s: waits %v, want %v", what, got, want)
		}
	}
	expect("at first", 0)
	f.note(fleet, true, now)
	expect("after a failure", time.Second)
	f.note(fleet, true, now)
	expect("after another in the pause", time.Second)
	for _, want := range []time.Duration{2 * time.Second, 4 * time.Second, 4 * time.Second} {
		now = now.Add(f.wait(fleet, now))
		f.note(fleet, true, now)
		expect("after the pause", want)
	}
	f.note(fleet, false, now)
	expect("after a server that did as it was asked", 0)
	f.note(fleet, true, now)
	expect("then a failure", time.Second)
	now = now.Add(9 * time.Second)
	f.note(fleet, true, now)
	expect("a failure long after", time.Second)
	f.forget(fleet)
	expect("forgotten", 0)
	if f.note(fleet, true, now); f.wait(types.NamespacedName{Namespace: "games", Name: "other"}, now) != 0 {
		t.Error("another fleet waits")
	}
}
