package servers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// AddressTypes are the types of the addresses that Agones has of a game server: those
// of its node, and its pod's.
var AddressTypes = []string{"ExternalDNS", "ExternalIP", "InternalDNS", "InternalIP", "Hostname", "PodIP"}

// Address is one of several that a game server has.
type Address struct{ Type, Address string }

// Addresses say which address of a game server players get. The zero value means the
// one that Agones has chosen.
type Addresses struct {
	// Annotation of a game server with its address: "HOST [NAME=PORT …]", where HOST
	// may be "HOST:PORT" for the port that players connect to. Empty: there is none.
	Annotation string
	// Node reads what the label of a server's node says; "" if there is no such
	// label. Nil: nodes are not read.
	Node func(context.Context, Server) (string, error)
	// Types that players get if neither says anything, the most preferred first; none:
	// the address that Agones has chosen.
	Types []string
}

// Endpoint is where players reach a game server.
type Endpoint struct {
	// Host is an IP address, without brackets, or a DNS name.
	Host string
	// Port is the one that players connect to, and Ports are all by their names.
	Port  int32
	Ports map[string]int32
}

// Connection is "host:port", with brackets around an IPv6 address.
func (e Endpoint) Connection() string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// Endpoint says where players reach a server, whose port of that name they connect to:
// if it is empty, the one named "default" or "game", else the first. The error says why
// nobody can be sent there.
func (a Addresses) Endpoint(ctx context.Context, s Server, port string) (Endpoint, error) {
	said, err := parseAnnotation(s.Annotations[a.Annotation])
	if err != nil {
		return Endpoint{}, fmt.Errorf("annotation %s: %w", a.Annotation, err)
	}
	e := Endpoint{Host: said.host, Ports: make(map[string]int32, len(s.Ports))}
	if e.Host == "" {
		if e.Host, err = a.host(ctx, s); err != nil {
			return Endpoint{}, err
		}
	}
	ports := slices.Clone(s.Ports)
	for i := range ports {
		if n, ok := said.ports[ports[i].Name]; ok {
			ports[i].Number = n
			delete(said.ports, ports[i].Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(said.ports)) {
		ports = append(ports, Port{Name: name, Number: said.ports[name]})
	}
	i := gamePort(ports, port)
	switch {
	case i >= 0 && said.port != 0:
		ports[i].Number = said.port
	case i < 0 && said.port != 0 && port == "":
		ports = append(ports, Port{Number: said.port})
		i = len(ports) - 1
	case i < 0 && port != "":
		return Endpoint{}, fmt.Errorf("it has no port named %q", port)
	case i < 0:
		return Endpoint{}, errors.New("it has no port")
	}
	for _, p := range ports {
		if p.Number < 1 || p.Number > 65535 {
			return Endpoint{}, fmt.Errorf("port %q must be from 1 to 65535, got %d", p.Name, p.Number)
		}
		if p.Name != "" {
			e.Ports[p.Name] = p.Number
		}
	}
	e.Port = ports[i].Number
	return e, nil
}

// host is the address that no annotation says.
func (a Addresses) host(ctx context.Context, s Server) (string, error) {
	if a.Node != nil {
		host, err := a.Node(ctx, s)
		if err == nil && host != "" {
			err = checkHost(host)
		}
		if err != nil {
			return "", fmt.Errorf("label of node %q: %w", s.Node, err)
		}
		if host != "" {
			return host, nil
		}
	}
	if len(a.Types) == 0 {
		if err := checkHost(s.Address); err != nil {
			return "", err
		}
		return s.Address, nil
	}
	for _, want := range a.Types {
		for _, has := range s.Addresses {
			if has.Type == want && checkHost(has.Address) == nil {
				return has.Address, nil
			}
		}
	}
	return "", fmt.Errorf("it has no valid address of the types %s, only %v", strings.Join(a.Types, ", "), s.Addresses)
}

// gamePort is the index of the port that players connect to; -1 if there is none.
func gamePort(ports []Port, name string) int {
	index := func(name string) int {
		return slices.IndexFunc(ports, func(p Port) bool { return p.Name == name })
	}
	if name != "" {
		return index(name)
	}
	for _, usual := range []string{"default", "game"} {
		if i := index(usual); i >= 0 {
			return i
		}
	}
	return min(len(ports), 1) - 1
}

// saying is what an annotation says.
type saying struct {
	host string
	// port is that of the game, if it is not 0.
	port  int32
	ports map[string]int32
}

// parseAnnotation reads an Addresses.Annotation; an empty one says nothing.
func parseAnnotation(text string) (said saying, err error) {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return said, nil
	}
	said.host = fields[0]
	if inner, ok := strings.CutPrefix(said.host, "["); ok && strings.HasSuffix(inner, "]") {
		said.host = strings.TrimSuffix(inner, "]")
	} else if _, notIP := netip.ParseAddr(said.host); notIP != nil && strings.Contains(said.host, ":") {
		host, port, err := net.SplitHostPort(said.host)
		if err != nil {
			return saying{}, fmt.Errorf("must begin with HOST or HOST:PORT, got %q", said.host)
		}
		said.host = host
		if said.port, err = parsePort(port); err != nil {
			return saying{}, err
		}
	}
	if err := checkHost(said.host); err != nil {
		return saying{}, err
	}
	said.ports = make(map[string]int32)
	for _, field := range fields[1:] {
		name, port, found := strings.Cut(field, "=")
		n, err := parsePort(port)
		if _, twice := said.ports[name]; !found || name == "" || twice || err != nil {
			return saying{}, fmt.Errorf("must have NAME=PORT after the host, each name once and the port from 1 to 65535, got %q", field)
		}
		said.ports[name] = n
	}
	return said, nil
}

func parsePort(text string) (int32, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port must be from 1 to 65535, got %q", text)
	}
	return int32(n), nil
}

// hostName is a DNS name whose last label is no number.
var hostName = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?\.)*[A-Za-z]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$`)

// checkHost refuses what no player can connect to from another machine, whatever the
// network; private addresses and loopback can be right.
func checkHost(host string) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		if len(host) > 253 || !hostName.MatchString(host) {
			return fmt.Errorf("address must be an IP address or a DNS name, got %q", host)
		}
		return nil
	}
	addr = addr.Unmap()
	switch {
	case addr.Zone() != "":
		return fmt.Errorf("address must have no zone, got %q", host)
	case addr.IsUnspecified(), addr.IsLinkLocalUnicast(), addr.IsMulticast(), addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("address must be of one host, and not link-local, got %q", host)
	}
	return nil
}
