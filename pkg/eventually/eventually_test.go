package eventually_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/pkg/eventually"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failure = fmt.Sprintf(format, args...)
	panic(r) // ends the call, as Fatalf does
}

func failure(t *testing.T, wait func(testing.TB)) string {
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()
		wait(r)
	}()
	return r.failure
}

func TestTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		eventually.True(t, "29 s pass", func() bool { return time.Since(began) >= 29*time.Second })
		if waited := time.Since(began); waited > 30*time.Second {
			t.Errorf("waited %v", waited)
		}
		got := failure(t, func(t testing.TB) { eventually.True(t, "pigs fly", func() bool { return false }) })
		if want := "not within 30s: pigs fly: not true"; got != want {
			t.Errorf("failed with %q, want %q", got, want)
		}
	})
}

func TestNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		eventually.NoError(t, "the third try", func() error {
			if tries++; tries < 3 {
				return errors.New("too early")
			}
			return nil
		})
		got := failure(t, func(t testing.TB) {
			eventually.Within(t, time.Second, "pigs fly", func() error { return errors.New("no wings") })
		})
		if want := "not within 1s: pigs fly: no wings"; got != want {
			t.Errorf("failed with %q, want %q", got, want)
		}
	})
}
