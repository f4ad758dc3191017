package fetch_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/director/internal/fetch"
)

func TestClaims(t *testing.T) {
	now := time.Unix(1000, 0)
	c := fetch.NewClaims(time.Minute)
	take := func(want bool, wantFree []string, ids ...string) {
		t.Helper()
		if ok, free := c.Acquire(t.Context(), ids, now); ok != want || !slices.Equal(free, wantFree) {
			t.Errorf("take %v = %v, free %v", ids, ok, free)
		}
	}
	take(true, nil, "a", "b")
	take(false, []string{"c"}, "b", "c")
	take(true, nil, "c")
	c.Drop([]string{"a", "b"})
	take(true, nil, "a", "b")
	c.MarkAssigned([]string{"a", "b"}, now)

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
	c := fetch.NewClaims(time.Minute)
	c.Acquire(t.Context(), []string{"a"}, now)
	c.MarkAssigned([]string{"a"}, now)
	c.Drop([]string{"a"})
	now = now.Add(30 * time.Second)
	c.Acquire(t.Context(), []string{"a"}, now)
	c.MarkAssigned([]string{"a"}, now)
	if ok, _ := c.Acquire(t.Context(), []string{"a"}, now.Add(40*time.Second)); ok {
		t.Error("forgotten with the first assignment")
	}
	if ok, _ := c.Acquire(t.Context(), []string{"a"}, now.Add(60*time.Second)); !ok {
		t.Error("never forgotten")
	}
}

// TestAcquireWhileReleased: tickets can be back before the answer to their release.
func TestAcquireWhileReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		c := fetch.NewClaims(time.Minute)
		c.Acquire(t.Context(), []string{"a", "b"}, now)
		c.Acquire(t.Context(), []string{"c"}, now)
		c.MarkReleasing([]string{"a", "b"})

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if ok, free := c.Acquire(ctx, []string{"a", "d"}, now); ok || !slices.Equal(free, []string{"d"}) || ctx.Err() == nil {
			t.Errorf("take = %v, free %v, %v", ok, free, ctx.Err())
		}

		// c is another match's, but a will be free.
		others := make(chan []string, 1)
		go func() {
			ok, free := c.Acquire(t.Context(), []string{"a", "c", "d"}, now)
			if ok {
				t.Error("c is taken")
			}
			others <- free
		}()
		synctest.Wait()
		c.Drop([]string{"a", "b"})
		if free := <-others; !slices.Equal(free, []string{"a", "d"}) {
			t.Errorf("free %v", free)
		}

		c.Acquire(t.Context(), []string{"a", "b"}, now)
		c.MarkReleasing([]string{"a", "b"})
		taken := make(chan bool, 2)
		for range cap(taken) {
			go func() {
				ok, _ := c.Acquire(t.Context(), []string{"b", "a"}, now)
				taken <- ok
			}()
		}
		synctest.Wait()
		if len(taken) > 0 {
			t.Fatal("taken before the release was over")
		}
		c.Drop([]string{"a", "b"})
		synctest.Wait()
		if one, two := <-taken, <-taken; one == two {
			t.Errorf("two matches take the same tickets: %v, %v", one, two)
		}
		if ok, _ := c.Acquire(t.Context(), []string{"a"}, now); ok {
			t.Error("not held after the release")
		}
	})
}
