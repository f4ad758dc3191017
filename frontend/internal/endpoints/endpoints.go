// Package endpoints finds the processes behind the names of settings: a name may
// stand for several of them, as that of a headless Service does, and they come and
// go.
package endpoints

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/grpc"

	"torikumi/pkg/rpc"
)

// lookUpTimeout bounds the look-up of one name.
const lookUpTimeout = time.Second

// LookUp returns the addresses of a host, as [net.Resolver.LookupNetIP] does.
type LookUp func(ctx context.Context, network, host string) ([]netip.Addr, error)

// Dial connects to one process, whose address has been looked up for a host.
func Dial(tls rpc.PeerTLS, addr, host string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	return tls.DialPeer("passthrough:///"+addr, host, opts...)
}

// Names are settings host:port whose addresses are looked up again and again. It is
// not safe for concurrent use.
type Names struct {
	lookUp LookUp
	names  []*name
}

// name is one of them.
type name struct {
	text string
	// addrs are those of the last look-up that did not fail.
	addrs  []string
	health *rpc.Health
}

// NewNames makes Names; nothing is looked up yet. With lookUp nil the system's
// resolver is asked. The message is logged when a name cannot be looked up.
func NewNames(targets []string, lookUp LookUp, logger *slog.Logger, message string) *Names {
	if lookUp == nil {
		// Read at each call: a test may have set another one.
		lookUp = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, network, host)
		}
	}
	n := &Names{lookUp: lookUp}
	for _, t := range targets {
		n.names = append(n.names, &name{text: t, health: rpc.NewHealth(logger.With("name", t), message, "")})
	}
	return n
}

// Addresses looks all names up and returns their addresses, host:port, each once. A
// name that cannot be looked up keeps the addresses that it had.
func (n *Names) Addresses(ctx context.Context) map[string]string {
	current := make(map[string]string)
	for _, name := range n.names {
		addrs, err := n.resolve(ctx, name.text)
		if ctx.Err() == nil {
			name.health.Record(err)
		}
		if err == nil {
			name.addrs = addrs
		}
		for _, a := range name.addrs {
			if _, ok := current[a]; !ok {
				current[a] = name.host()
			}
		}
	}
	return current
}

func (n *name) host() string {
	host, _, _ := net.SplitHostPort(n.text) // the settings' rule
	return host
}

// resolve returns the addresses of a name. A machine that has both kinds has one
// of them here.
func (n *Names) resolve(ctx context.Context, target string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	ips, err := n.lookUp(ctx, "ip", host)
	if err == nil && len(ips) == 0 {
		err = errors.New("the name has no address")
	}
	four := slices.ContainsFunc(ips, func(ip netip.Addr) bool { return ip.Unmap().Is4() })
	var addrs []string
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() == four {
			addrs = append(addrs, net.JoinHostPort(ip.String(), port))
		}
	}
	return addrs, err
}
