// Package registry serves images to the nodes of a cluster over plain HTTP.
package registry

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/google/go-containerregistry/pkg/registry"
)

// New is a registry that keeps blobs in a folder, and manifests in memory. It is
// for this machine and for a network, that of the nodes; whoever else comes, such as
// a pod, is refused, as there are no passwords.
func New(folder string, network netip.Prefix) http.Handler {
	images := registry.New(
		registry.WithBlobHandler(registry.NewDiskBlobHandler(folder)),
		registry.WithReferrersSupport(true),
		registry.Logger(log.New(io.Discard, "", 0)), // a line for each request
	)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !network.Contains(from.Addr().Unmap()) && !own(from.Addr().Unmap()) {
			http.Error(w, "only nodes and their host may use this registry", http.StatusForbidden)
			return
		}
		images.ServeHTTP(w, r)
	})
}

// own reports whether an address is this machine's: who calls from here may come
// by any of them.
func own(addr netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(all, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == addr
	})
}
