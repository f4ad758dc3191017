package director_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"torikumi/director/director"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/tlstest"
)

// secured makes a director call the fleet at an address over mutual TLS.
func secured(addr, caFile, certFile, keyFile string) func(*director.Config) {
	return func(cfg *director.Config) {
		cfg.Allocator, cfg.GameServers, cfg.AllocatorInsecure = []string{addr}, addr, false
		cfg.AllocatorCA, cfg.AllocatorCert, cfg.AllocatorKey = caFile, certFile, keyFile
	}
}

// TestMutualTLS: the allocator gets our certificate, and is believed only with
// one of the right authority, for the right name.
func TestMutualTLS(t *testing.T) {
	ours, theirs := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	certFile, keyFile := ours.Issue(t)
	for _, c := range []struct {
		name, ca, serverName string
		in                   []string // names in the server's certificate
		ok                   bool
	}{
		{name: "right authority", ca: ours.File, in: []string{"127.0.0.1"}, ok: true},
		{name: "wrong authority", ca: theirs.File, in: []string{"127.0.0.1"}},
		{name: "other name", ca: ours.File, in: []string{"agones-allocator"}},
		{name: "name that was set", ca: ours.File, in: []string{"agones-allocator"}, serverName: "agones-allocator", ok: true},
		{name: "no name", ca: ours.File},
		{name: "any name", ca: ours.File, serverName: "*", ok: true},
		{name: "any name of the wrong authority", ca: theirs.File, serverName: "*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t)
			h.addServers(1)
			ids := h.addTickets(2)
			addr, _ := serve(t, "127.0.0.1:0", h.registerFleet, grpc.Creds(credentials.NewTLS(ours.Server(t, c.in...))))
			settings := secured(addr, c.ca, certFile, keyFile)
			i := start(t, h, func(cfg *director.Config) { settings(cfg); cfg.AllocatorServerName = c.serverName })
			if c.ok {
				eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
				if r := get(t, i, "/readyz"); r.code != http.StatusOK {
					t.Errorf("ready: %v", r)
				}
				return
			}
			eventually.True(t, "the allocator is not believed", func() bool {
				return metric(t, i, `torikumi_director_allocations_total{allocator="`+addr+`",result="not_sent"}`) >= 2
			})
			if n := h.inState("Allocated"); n != 0 {
				t.Errorf("%d servers are allocated", n)
			}
			if r := get(t, i, "/readyz"); r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, `"allocator":"no connection`) {
				t.Errorf("ready: %v", r)
			}
		})
	}
}

// TestNewAuthority: an allocator that comes back with certificates of another
// authority, as after a rotation, is called with the new files.
func TestNewAuthority(t *testing.T) {
	before, after := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	certFile, keyFile := before.Issue(t)
	h := newHarness(t)
	addr := porttest.Hold(t).String()
	_, old := serve(t, addr, h.registerFleet, grpc.Creds(credentials.NewTLS(before.Server(t, "127.0.0.1"))))
	start(t, h, secured(addr, before.File, certFile, keyFile))
	h.addServers(2)
	ids := h.addTickets(2)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })

	old.Stop()
	newCert, newKey := after.Issue(t)
	tlstest.Copy(t, after.File, before.File)
	tlstest.Copy(t, newCert, certFile)
	tlstest.Copy(t, newKey, keyFile)
	serve(t, addr, h.registerFleet, grpc.Creds(credentials.NewTLS(after.Server(t, "127.0.0.1"))))
	ids = h.addTickets(2)
	eventually.True(t, "assigned after the rotation", func() bool { return h.assigned(ids...) == 2 })
}
