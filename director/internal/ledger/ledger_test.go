package ledger_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/director/internal/ledger"
)

func TestLedger(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ledger.New(time.Minute)
	take := func(want bool, wantFree []string, ids ...string) {
		t.Helper()
		if ok, free := l.Take(t.Context(), ids, now); ok != want || !slices.Equal(free, wantFree) {
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
	l.Take(t.Context(), []string{"a"}, now)
	l.Assigned([]string{"a"}, now)
	l.Return([]string{"a"})
	now = now.Add(30 * time.Second)
	l.Take(t.Context(), []string{"a"}, now)
	l.Assigned([]string{"a"}, now)
	if ok, _ := l.Take(t.Context(), []string{"a"}, now.Add(40*time.Second)); ok {
		t.Error("forgotten with the first assignment")
	}
	if ok, _ := l.Take(t.Context(), []string{"a"}, now.Add(60*time.Second)); !ok {
		t.Error("never forgotten")
	}
}

// TestTakeWhileReleased: tickets can be back before the answer to their release.
func TestTakeWhileReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		l := ledger.New(time.Minute)
		l.Take(t.Context(), []string{"a", "b"}, now)
		l.Take(t.Context(), []string{"c"}, now)
		l.Releasing([]string{"a", "b"})

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ok, free := l.Take(ctx, []string{"a", "d"}, now); ok || !slices.Equal(free, []string{"d"}) || ctx.Err() == nil {
			t.Errorf("take = %v, free %v, %v", ok, free, ctx.Err())
		}

		// c is another match's, but a will be free.
		others := make(chan []string, 1)
		go func() {
			ok, free := l.Take(t.Context(), []string{"a", "c", "d"}, now)
			if ok {
				t.Error("c is taken")
			}
			others <- free
		}()
		synctest.Wait()
		l.Return([]string{"a", "b"})
		if free := <-others; !slices.Equal(free, []string{"a", "d"}) {
			t.Errorf("free %v", free)
		}

		l.Take(t.Context(), []string{"a", "b"}, now)
		l.Releasing([]string{"a", "b"})
		taken := make(chan bool, 2)
		for range cap(taken) {
			go func() {
				ok, _ := l.Take(t.Context(), []string{"b", "a"}, now)
				taken <- ok
			}()
		}
		synctest.Wait()
		if len(taken) > 0 {
			t.Fatal("taken before the release was over")
		}
		l.Return([]string{"a", "b"})
		synctest.Wait()
		if one, two := <-taken, <-taken; one == two {
			t.Errorf("two matches take the same tickets: %v, %v", one, two)
		}
		if ok, _ := l.Take(t.Context(), []string{"a"}, now); ok {
			t.Error("not held after the release")
		}
	})
}
