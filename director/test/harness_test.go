package test_test

import (
	"context"
	"testing"

	"k8s.io/client-go/rest"

	"torikumi/director/internal/servers/kubernetes"
	"torikumi/pkg/eventually"
)

// director is the access of the director's pod, by the rights of the manifests.
func (f *fleet) director(t testing.TB) *rest.Config {
	t.Helper()
	access, err := kubernetes.Config(f.As(t, "torikumi", "director"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := kubernetes.NewAllocator(access)
	if err != nil {
		t.Fatal(err)
	}
	eventually.NoError(t, "the API server reaches miniagones", func() error { return a.Ready(t.Context()) })
	return access
}

// run runs something until the test ends.
func run(t testing.TB, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
