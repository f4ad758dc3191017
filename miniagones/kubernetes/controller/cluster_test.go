package controller_test

import (
	"context"
	"sync"
	"testing"

	"torikumi/miniagones/kubernetes/kubetest"
)

// shared is the cluster of all tests of the package.
var shared struct {
	once sync.Once
	*kubetest.Cluster
	err error
}

func testCluster(t testing.TB) *kubetest.Cluster {
	t.Helper()
	shared.once.Do(func() { shared.Cluster, shared.err = kubetest.Start(context.Background(), "../../../manifests") })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.Cluster
}

func stopCluster() error {
	if shared.Cluster == nil {
		return nil
	}
	return shared.Stop()
}
