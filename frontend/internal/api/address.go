package api

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of load balancers whose word on whom they call for counts.
type Proxies []netip.Prefix

// ParseProxies reads addresses and networks.
func ParseProxies(texts []string) (Proxies, error) {
	var all Proxies
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("must be addresses or networks such as 10.0.0.0/8, got %q", text)
		}
		all = append(all, network.Masked())
	}
	return all, nil
}

func (p Proxies) has(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// Client returns from where a call comes: the peer's address, or as long as that is
// a proxy's, the one before it in X-Forwarded-For, whose left end anybody can make
// up. Of IPv6 it is the /64, which is one customer's. It is empty if nobody can tell.
func (p Proxies) Client(peer string, forwarded []string) string {
	addr, ok := parseAddr(peer)
	if !ok {
		return ""
	}
	hops := strings.Split(strings.Join(forwarded, ","), ",")
	for p.has(addr) && len(hops) > 0 {
		before, ok := parseAddr(strings.TrimSpace(hops[len(hops)-1]))
		if !ok {
			break
		}
		addr, hops = before, hops[:len(hops)-1]
	}
	if addr.Is4() {
		return addr.String()
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return ""
	}
	return network.String()
}

// parseAddr reads an address with or without a port.
func parseAddr(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		both, bothErr := netip.ParseAddrPort(text)
		addr, err = both.Addr(), bothErr
	}
	return addr.Unmap().WithZone(""), err == nil
}
