package kubebuild

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fill makes what a build makes, as far as missing looks at it.
func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Setenv(Env, "")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	_, err := Kubernetes.Find("etcd", "kubelet")
	if !errors.Is(err, ErrNotBuilt) || !strings.Contains(err.Error(), "etcd, kubelet") {
		t.Errorf("with an empty cache: %v, want what is not built", err)
	}
	if _, err := Kubernetes.Find("coredns"); err == nil || errors.Is(err, ErrNotBuilt) {
		t.Errorf("a program of another module: %v, want an error", err)
	}
}

func TestReadyMade(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(Env, dir)
	fill(t, dir, "etcd", "kube-apiserver") // as envtest's archives
	_, err := Kubernetes.Ensure(t.Context(), io.Discard, "etcd", "kube-controller-manager")
	if err == nil || !strings.Contains(err.Error(), "lacks kube-controller-manager") {
		t.Errorf("Ensure() = %v, want that kube-controller-manager is missing", err)
	}
	fill(t, dir, "kube-controller-manager")
	if got, err := Kubernetes.Ensure(t.Context(), io.Discard, "etcd", "kube-controller-manager"); err != nil || got != dir {
		t.Errorf("Ensure() = %q, %v, want %q", got, err, dir)
	}
}

func TestEnsureBuildsOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache", "key")
	var builds atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			err := ensure(t.Context(), dir, []string{"a", "b"}, io.Discard, func(_, file string) error {
				builds.Add(1)
				fill(t, filepath.Dir(file), filepath.Base(file))
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			if lacking := missing(dir, []string{"a", "b"}); len(lacking) > 0 {
				t.Errorf("%q are missing", lacking)
			}
		})
	}
	wg.Wait()
	if n := builds.Load(); n != 2 {
		t.Errorf("%d builds, want 2", n)
	}
}

// What was built stays, and only the rest is built when it is tried again.
func TestEnsureKeepsWhatWasBuilt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "key")
	broken := errors.New("broken")
	var built []string
	build := func(fail string) func(string, string) error {
		built = nil
		return func(program, file string) error {
			built = append(built, program)
			fill(t, filepath.Dir(file), filepath.Base(file))
			if program == fail {
				return broken
			}
			return nil
		}
	}
	if err := ensure(t.Context(), dir, []string{"a", "b", "c"}, io.Discard, build("b")); !errors.Is(err, broken) {
		t.Errorf("ensure() = %v, want %v", err, broken)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); !slices.Equal(left, []string{filepath.Join(dir, "a")}) {
		t.Errorf("a build that failed leaves %q", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("a build that failed leaves %q", left)
	}
	if err := ensure(t.Context(), dir, []string{"a", "b", "c"}, io.Discard, build("")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"b", "c"}; !slices.Equal(built, want) {
		t.Errorf("%q are built again, want %q", built, want)
	}
	if lacking := missing(dir, []string{"a", "b", "c"}); len(lacking) > 0 {
		t.Errorf("%q are missing", lacking)
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
	err = ensure(ctx, dir, []string{"a"}, &log, func(string, string) error { return errors.New("it is locked") })
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(log.String(), "waiting") {
		t.Errorf("ensure() = %v and says %q", err, log.String())
	}
}

func TestCacheKey(t *testing.T) {
	source := t.TempDir()
	write := func(name, content string) {
		if err := os.WriteFile(filepath.Join(source, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	key := func() string {
		dir, err := cacheDir(source, "name")
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	write("go.mod", "module m\nrequire a v1\n")
	first := key()
	write("go.mod", "// About.\nmodule m\n\ntool (\n\tx/y\n\tx/z\n)\ntool x/w\nrequire a v1 // indirect\n")
	if key() != first {
		t.Error("the key depends on which programs are listed, or on comments")
	}
	write("go.mod", "module m\nrequire a v2\n")
	if key() == first {
		t.Error("the key does not depend on versions")
	}
	write("go.mod", "module m\nrequire a v1\n")
	write("main.go", "package main\n")
	if key() == first {
		t.Error("the key does not depend on the programs of the module itself")
	}
}
