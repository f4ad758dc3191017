package test_test

import (
	"log/slog"
	"net/url"
	"testing"

	"k8s.io/client-go/rest"

	"torikumi/director/internal/servers"
	"torikumi/director/internal/servers/kubernetes"
	"torikumi/director/test/conformance"
	"torikumi/pkg/eventually"
)

// TestConformance: the allocator service, and the Kubernetes API, keep the same
// rules.
func TestConformance(t *testing.T) {
	f := startFleet(t)
	target := conformance.Target{Namespace: f.namespace, Add: f.addWith, Counts: f.counts, Touch: f.touch, End: f.end}

	t.Run("service", func(t *testing.T) {
		target := target
		target.Addr, target.Reclaims = f.allocator, f.real()
		target.Connect = func(t testing.TB, addr string) (servers.Allocator, servers.GameServers) {
			conn := f.dialAllocator(t, addr)
			if f.real() {
				return servers.NewAgones(conn), startGameServers(t, f.director(t), f.namespace)
			}
			return servers.NewAgones(conn), servers.NewRemote(conn)
		}
		conformance.Run(t, target)
	})

	t.Run("kubernetes", func(t *testing.T) {
		access := f.director(t)
		server, err := url.Parse(access.Host)
		if err != nil {
			t.Fatal(err)
		}
		target := target
		target.Addr, target.Reclaims = server.Host, true
		target.Connect = func(t testing.TB, addr string) (servers.Allocator, servers.GameServers) {
			through := rest.CopyConfig(access)
			through.Host, through.ServerName = "https://"+addr, server.Hostname()
			a, err := kubernetes.NewAllocator(through)
			if err != nil {
				t.Fatal(err)
			}
			return a, startGameServers(t, access, f.namespace)
		}
		conformance.Run(t, target)
	})
}

// startGameServers follows the game servers of a namespace until the test ends.
func startGameServers(t testing.TB, access *rest.Config, namespace string) *kubernetes.GameServers {
	t.Helper()
	g, err := kubernetes.NewGameServers(access, []string{namespace}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	run(t, g.Run)
	eventually.NoError(t, "the game servers are seen", func() error { return g.Ready(t.Context()) })
	return g
}
