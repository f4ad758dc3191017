package ledger_test

import (
	"slices"
	"testing"
	"time"

	"torikumi/director/internal/ledger"
)

func TestLedger(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ledger.New(time.Minute)
	take := func(want bool, wantFree []string, ids ...string) {
		t.Helper()
		if ok, free := l.Take(ids, now); ok != want || !slices.Equal(free, wantFree) {
			t.Errorf("take %v = %v, free %v", ids, ok, free)
		}
	}
	take(true, nil, "a", "b")
	take(false, []string{"c"}, "b", "c")
	take(true, nil, "c")
	l.Return([]string{"a", "b"})
	take(true, nil, "a", "b")
	l.Assigned([]string{"a", "b"}, now)

	now = now.Add(59 * time.Second)
	take(false, []string{"d"}, "a", "d")
	now = now.Add(time.Second)
	take(true, nil, "a", "d")
	// The old entry is forgotten; the new one stays, however long it takes.
	now = now.Add(time.Hour)
	take(false, nil, "a")
	take(false, nil, "c")
	take(true, nil, "b")
}

// TestAssignedAgain: forgetting an old assignment leaves a newer one alone.
func TestAssignedAgain(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ledger.New(time.Minute)
	l.Take([]string{"a"}, now)
	l.Assigned([]string{"a"}, now)
	l.Return([]string{"a"})
	now = now.Add(30 * time.Second)
	l.Take([]string{"a"}, now)
	l.Assigned([]string{"a"}, now)
	if ok, _ := l.Take([]string{"a"}, now.Add(40*time.Second)); ok {
		t.Error("forgotten with the first assignment")
	}
	if ok, _ := l.Take([]string{"a"}, now.Add(60*time.Second)); !ok {
		t.Error("never forgotten")
	}
}
