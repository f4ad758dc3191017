package controlplane

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fill makes what a build makes, as far as complete looks at it.
func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

var allPrograms = []string{"etcd", "kube-apiserver", "kube-controller-manager"}

func TestFindSaysWhatToRun(t *testing.T) {
	t.Setenv(assetsEnv, "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := Find()
	if !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "make kubernetes") {
		t.Errorf("Find() with an empty cache = %v, want what to run", err)
	}
}

func TestReadyMadeAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(assetsEnv, dir)
	fill(t, dir, "etcd", "kube-apiserver") // as envtest's archives
	if _, err := Binaries(t.Context()); err == nil || !strings.Contains(err.Error(), "kube-controller-manager is missing") {
		t.Errorf("Binaries() = %v, want that kube-controller-manager is missing", err)
	}
	fill(t, dir, "kube-controller-manager")
	if got, err := Binaries(t.Context()); err != nil || got != dir {
		t.Errorf("Binaries() = %q, %v, want %q", got, err, dir)
	}
}

func TestEnsureBuildsOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache", "key")
	var builds atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := ensure(t.Context(), dir, controlPlane, io.Discard, func(into string) error {
				builds.Add(1)
				fill(t, into, allPrograms...)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if err := complete(dir, controlPlane); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("%d builds, want 1", n)
	}
}

func TestEnsureLeavesNoHalves(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "key")
	broken := errors.New("broken")
	err := ensure(t.Context(), dir, controlPlane, io.Discard, func(into string) error {
		fill(t, into, "etcd")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("ensure() = %v, want %v", err, broken)
	}
	if left, _ := filepath.Glob(filepath.Join(root, "*")); len(left) != 1 || left[0] != dir+".lock" {
		t.Errorf("a build that failed leaves %q", left)
	}

	// One that somebody has taken a part out of is made again.
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	fill(t, dir, "etcd")
	if err := ensure(t.Context(), dir, controlPlane, io.Discard, func(into string) error {
		fill(t, into, allPrograms...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := complete(dir, controlPlane); err != nil {
		t.Error(err)
	}
}

func TestEnsureWaitsNoLongerThanAsked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "key")
	unlock, err := lock(t.Context(), dir+".lock", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var log strings.Builder
	err = ensure(ctx, dir, controlPlane, &log, func(string) error { return errors.New("it is locked") })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(log.String(), "waiting") {
		t.Errorf("ensure() = %v and says %q", err, log.String())
	}
}

func TestCacheKey(t *testing.T) {
	module := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(module, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		dir, err := cacheDir(module)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	write("go.mod", "a")
	write("go.sum", "b")
	first := key()
	if key() != first {
		t.Error("the key is not stable")
	}
	write("go.sum", "c")
	if key() == first {
		t.Error("the key does not depend on go.sum")
	}
}
