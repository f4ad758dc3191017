package test_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"torikumi/director/director"
	"torikumi/director/internal/servers/kubernetes"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/service"
)

// directorVariable makes the test binary a director, which can be killed.
const directorVariable = "DIRECTOR_TEST_PROGRAM"

// program is the director as director/main.go has it.
var program = director.Program{Kubernetes: kubernetes.API{}}

func TestMain(m *testing.M) {
	if os.Getenv(directorVariable) != "" {
		none := func(string) string { return "" }
		os.Exit(service.Start(context.Background(), "director", program.Run, os.Args[1:], none, os.Stdout, os.Stderr))
	}
	quiet := slog.DiscardHandler
	ctrl.SetLogger(logr.FromSlogHandler(quiet))
	klog.SetSlogLogger(slog.New(quiet))
	code := m.Run()
	if shared.Cluster != nil {
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the cluster:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared is the cluster of all tests of the package.
var shared struct {
	once sync.Once
	*kubetest.Cluster
	err error
}

func testCluster(t testing.TB) *kubetest.Cluster {
	t.Helper()
	shared.once.Do(func() {
		if kubeconfig := os.Getenv(agonesVariable); kubeconfig != "" {
			shared.Cluster, shared.err = kubetest.Open(kubeconfig, "../../manifests")
			return
		}
		shared.Cluster, shared.err = kubetest.Start(context.Background(), "../../manifests")
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.Cluster
}
