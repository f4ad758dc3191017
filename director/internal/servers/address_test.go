package servers_test

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"

	"torikumi/director/internal/servers"
)

func ports(list ...servers.Port) []servers.Port { return list }

// TestGamePort: the port that players connect to, by the queue's name for it or by
// what is usual.
func TestGamePort(t *testing.T) {
	for _, c := range []struct {
		ports []servers.Port
		name  string
		want  int32
	}{
		{nil, "", 0},
		{ports(servers.Port{Name: "b", Number: 2}, servers.Port{Name: "a", Number: 1}), "", 2},
		{ports(servers.Port{Name: "admin", Number: 1}, servers.Port{Name: "game", Number: 2}), "", 2},
		{ports(servers.Port{Name: "game", Number: 1}, servers.Port{Name: "default", Number: 2}), "", 2},
		{ports(servers.Port{Name: "game", Number: 1}, servers.Port{Name: "default", Number: 2}), "game", 1},
		{ports(servers.Port{Name: "game", Number: 1}), "voice", 0},
		{ports(servers.Port{Name: "game", Number: 0}), "", 0},
		{ports(servers.Port{Name: "game", Number: 65536}), "", 0},
		{ports(servers.Port{Name: "game", Number: 1}, servers.Port{Name: "voice", Number: -1}), "", 0},
	} {
		e, err := (servers.Addresses{}).Endpoint(t.Context(), servers.Server{Address: "192.0.2.1", Ports: c.ports}, c.name)
		if e.Port != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%v, %q: %+v, %v", c.ports, c.name, e, err)
		}
	}
}

// TestEndpoint: an annotation goes before the label of the node, that before the types,
// and those before what Agones has chosen. What is invalid is not passed over.
func TestEndpoint(t *testing.T) {
	const key = "studio.example.com/address"
	node := func(label string, err error) func(context.Context, servers.Server) (string, error) {
		return func(_ context.Context, s servers.Server) (string, error) {
			if s.Node != "node-1" {
				t.Errorf("node %q was read", s.Node)
			}
			return label, err
		}
	}
	types := []string{"ExternalDNS", "ExternalIP"}
	for name, c := range map[string]struct {
		annotation string
		addresses  servers.Addresses
		has        []servers.Address
		agones     string
		want, fail string
		ports      map[string]int32
	}{
		"agones":                {agones: "192.0.2.1", want: "192.0.2.1:7000"},
		"IPv6":                  {agones: "2001:db8::1", want: "[2001:db8::1]:7000"},
		"DNS name":              {agones: "node-1.games.example.com", want: "node-1.games.example.com:7000"},
		"none":                  {fail: "address must be an IP address or a DNS name"},
		"no address":            {agones: "300.1.1.1", fail: "must be an IP address or a DNS name"},
		"with a port":           {agones: "192.0.2.1:1", fail: "must be an IP address or a DNS name"},
		"link-local":            {agones: "169.254.7.7", fail: "not link-local"},
		"link-local IPv6":       {agones: "fe80::1", fail: "not link-local"},
		"IPv4 in IPv6":          {agones: "::ffff:169.254.7.7", fail: "not link-local"},
		"zone":                  {agones: "2001:db8::1%eth0", fail: "no zone"},
		"unspecified":           {agones: "0.0.0.0", fail: "must be of one host"},
		"multicast":             {agones: "ff0e::1", fail: "must be of one host"},
		"broadcast":             {agones: "255.255.255.255", fail: "must be of one host"},
		"loopback":              {agones: "127.0.0.1", want: "127.0.0.1:7000"},
		"annotation unset":      {annotation: "203.0.113.9", agones: "192.0.2.1", want: "192.0.2.1:7000"},
		"annotation":            {annotation: "203.0.113.9", addresses: servers.Addresses{Annotation: key, Node: node("203.0.113.8", nil)}, want: "203.0.113.9:7000"},
		"annotation, port":      {annotation: "play.example.com:31000", addresses: servers.Addresses{Annotation: key}, want: "play.example.com:31000", ports: map[string]int32{"game": 31000, "voice": 7001}},
		"annotation, ports":     {annotation: " [2001:db8::9]:31000  voice=31001 web=443 ", addresses: servers.Addresses{Annotation: key}, want: "[2001:db8::9]:31000", ports: map[string]int32{"game": 31000, "voice": 31001, "web": 443}},
		"annotation, game port": {annotation: "203.0.113.9 game=31000", addresses: servers.Addresses{Annotation: key}, want: "203.0.113.9:31000"},
		"annotation, IPv6":      {annotation: "2001:db8::9", addresses: servers.Addresses{Annotation: key}, want: "[2001:db8::9]:7000"},
		"annotation, brackets":  {annotation: "[2001:db8::9]", addresses: servers.Addresses{Annotation: key}, want: "[2001:db8::9]:7000"},
		"annotation, no host":   {annotation: ":31000", agones: "192.0.2.1", addresses: servers.Addresses{Annotation: key}, fail: "annotation " + key},
		"annotation, bad port":  {annotation: "a:70000", agones: "192.0.2.1", addresses: servers.Addresses{Annotation: key}, fail: "from 1 to 65535"},
		"annotation, bad ports": {annotation: "a voice", agones: "192.0.2.1", addresses: servers.Addresses{Annotation: key}, fail: "NAME=PORT"},
		"annotation, twice":     {annotation: "a x=1 x=2", agones: "192.0.2.1", addresses: servers.Addresses{Annotation: key}, fail: "each name once"},
		"annotation, local":     {annotation: "fe80::1", agones: "192.0.2.1", addresses: servers.Addresses{Annotation: key}, fail: "not link-local"},
		"node":                  {agones: "192.0.2.1", addresses: servers.Addresses{Annotation: key, Node: node("203.0.113.8", nil), Types: types}, want: "203.0.113.8:7000"},
		"node without label":    {agones: "192.0.2.1", addresses: servers.Addresses{Node: node("", nil)}, want: "192.0.2.1:7000"},
		"node unread":           {agones: "192.0.2.1", addresses: servers.Addresses{Node: node("", errors.New("forbidden"))}, fail: `label of node "node-1": forbidden`},
		"node invalid":          {agones: "192.0.2.1", addresses: servers.Addresses{Node: node("169.254.0.1", nil)}, fail: "not link-local"},
		"types": {agones: "192.0.2.1", addresses: servers.Addresses{Types: types}, want: "203.0.113.1:7000",
			has: []servers.Address{{"InternalIP", "192.0.2.1"}, {"ExternalIP", "fe80::1"}, {"ExternalIP", "203.0.113.1"}}},
		"types in order": {agones: "192.0.2.1", addresses: servers.Addresses{Types: types}, want: "a.example.com:7000",
			has: []servers.Address{{"ExternalIP", "203.0.113.1"}, {"ExternalDNS", "a.example.com"}}},
		"types missing": {agones: "192.0.2.1", addresses: servers.Addresses{Types: types}, fail: "no valid address of the types ExternalDNS, ExternalIP",
			has: []servers.Address{{"InternalIP", "192.0.2.1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := servers.Server{
				Address: c.agones, Addresses: c.has, Node: "node-1", Annotations: map[string]string{key: c.annotation},
				Ports: ports(servers.Port{Name: "game", Number: 7000}, servers.Port{Name: "voice", Number: 7001}),
			}
			e, err := c.addresses.Endpoint(t.Context(), s, "")
			if c.fail != "" {
				if err == nil || !strings.Contains(err.Error(), c.fail) {
					t.Errorf("%+v, %v; want %q", e, err, c.fail)
				}
				return
			}
			if err != nil || e.Connection() != c.want {
				t.Errorf("%s, %v; want %s", e.Connection(), err, c.want)
			}
			if c.ports != nil && !maps.Equal(e.Ports, c.ports) {
				t.Errorf("ports %v, want %v", e.Ports, c.ports)
			}
			if s.Ports[0].Number != 7000 {
				t.Error("the server's own ports were changed")
			}
		})
	}
}

// A server without ports has those of its annotation.
func TestEndpointWithoutPorts(t *testing.T) {
	for annotation, want := range map[string]string{"a.example:1": "a.example:1", "a.example game=2": "a.example:2", "a.example": ""} {
		s := servers.Server{Annotations: map[string]string{"a": annotation}}
		e, err := (servers.Addresses{Annotation: "a"}).Endpoint(t.Context(), s, "")
		if (err == nil) != (want != "") || err == nil && e.Connection() != want {
			t.Errorf("%q: %+v, %v", annotation, e, err)
		}
	}
}

// FuzzAnnotation: whatever stands there, players get an address that can be dialled,
// or none.
func FuzzAnnotation(f *testing.F) {
	for _, text := range []string{"203.0.113.9", "[2001:db8::1]:7000 a=1", "a:b:c", "play.example.com:1 x=2 x=3", "::1", "[::1", "]:1", "fe80::1%eth0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := servers.Server{Address: "192.0.2.1", Ports: ports(servers.Port{Name: "game", Number: 7000}), Annotations: map[string]string{"a": text}}
		e, err := (servers.Addresses{Annotation: "a"}).Endpoint(t.Context(), s, "")
		if err != nil {
			return
		}
		if e.Port < 1 || e.Port > 65535 || e.Ports["game"] != e.Port {
			t.Errorf("%q: %+v", text, e)
		}
		if _, err := netip.ParseAddrPort(e.Connection()); err != nil && strings.ContainsAny(e.Host, ":%[]/@ \t") {
			t.Errorf("%q: %s", text, e.Connection())
		}
	})
}
