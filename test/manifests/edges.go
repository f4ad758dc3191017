package manifests

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Edges are who may call whom, in all overlays together: the one table that
// the network policies are held to.
var Edges = []Edge{
	{"players", "frontend", 8080}, {"players", "frontend", 50600}, {"players", "frontend", 8443},
	{"players", "devissuer", 8081}, {"players", "beacon", 7800}, {"players", "beacon", 7801},
	{"players", "games", 7777},
	{"frontend", "director", 50520}, {"frontend", "matchfunction", 50502},
	{"frontend", "devissuer", 8081}, {"frontend", "issuer", 443},
	{"frontend", "minimatch", 50504}, {"director", "minimatch", 50504}, {"director", "minimatch", 50505},
	{"matchfunction", "minimatch", 50503}, {"minimatch", "matchfunction", 50502}, {"minimatch", "evaluator", 50508},
	{"frontend", "open-match-frontend", 50504}, {"director", "open-match-frontend", 50504}, {"director", "open-match-backend", 50505},
	{"matchfunction", "open-match-query", 50503}, {"open-match-backend", "matchfunction", 50502},
	{"open-match-synchronizer", "evaluator", 50508}, {"open-match-backend", "open-match-synchronizer", 50506},
	{"open-match-frontend", "redis", 6379}, {"open-match-backend", "redis", 6379},
	{"frontend", "redis", 6379}, {"director", "redis", 6379}, {"open-match-query", "redis", 6379}, {"open-match-synchronizer", "redis", 6379},
	{"director", "agones-allocator", 8443}, {"director", "miniagones", 8443}, {"director", "apiserver", 6443},
	{"apiserver", "miniagones", 8445}, {"miniagones", "apiserver", 6443},
	{"games", "frontend", 8080}, {"games", "apiserver", 6443}, {"games", "director", 50521},
	// Metrics.
	{"prometheus", "frontend", 8082}, {"prometheus", "beacon", 7802}, {"prometheus", "matchfunction", 51502}, {"prometheus", "evaluator", 51508},
	{"prometheus", "director", 51520}, {"prometheus", "minimatch", 51504}, {"prometheus", "failover", 51550}, {"prometheus", "miniagones", 8444},
	{"prometheus", "games", 8086},
}

// free are endpoints whose own side is not ours: what they may reach of each other
// and of the internet is not looked at.
var free = []string{"players", "issuer", "apiserver", "metadata", "prometheus", "dns", "failover", "agones-allocator", "miniagones"}

// Known reports whether the table has an edge, or need not: DNS, and what leaves
// those whose ends are not ours.
func Known(e Edge) bool {
	if e.To == "dns" && e.Port == 53 || slices.Contains(Edges, e) {
		return true
	}
	// Those outside reach what lets everybody in, which players stand for.
	return slices.Contains(free, e.From) && (slices.Contains(free, e.To) || slices.Contains(Edges, Edge{"players", e.To, e.Port}))
}

func tcp(numbers ...int32) []Port {
	var ports []Port
	for _, n := range numbers {
		ports = append(ports, Port{n, corev1.ProtocolTCP})
	}
	return ports
}

// Outside are the addresses that are no pods, DNS and Prometheus.
func Outside() []Endpoint {
	return []Endpoint{
		{Name: "players", IP: netip.MustParseAddr("203.0.113.7")},
		{Name: "issuer", IP: netip.MustParseAddr("198.51.100.7"), Ports: tcp(443)},
		{Name: "apiserver", IP: netip.MustParseAddr("192.0.2.10"), Ports: tcp(6443)},
		{Name: "metadata", IP: netip.MustParseAddr("169.254.169.254"), Ports: tcp(80, 443, 6443)},
		{Name: "dns", Namespace: "kube-system", Labels: map[string]string{"k8s-app": "kube-dns"}, IP: podIP, Ports: append(tcp(53), Port{53, corev1.ProtocolUDP})},
		{Name: "prometheus", Namespace: "monitoring", IP: podIP},
	}
}

// OpenMatch are the pods of Open Match's chart.
func OpenMatch() []Endpoint {
	var all []Endpoint
	for component, ports := range map[string][]Port{
		"frontend": tcp(50504, 51504), "backend": tcp(50505, 51505), "query": tcp(50503, 51503), "synchronizer": tcp(50506, 51506),
	} {
		all = append(all, Endpoint{
			Name: "open-match-" + component, Namespace: "open-match", IP: podIP, Ports: ports,
			Labels: map[string]string{"app": "open-match", "component": component, "release": "open-match"},
		})
	}
	return all
}

// Agones is the allocator of Agones's chart.
func Agones() []Endpoint {
	return []Endpoint{{
		Name: "agones-allocator", Namespace: "agones-system", IP: podIP, Ports: tcp(8443, 8080),
		Labels: map[string]string{"multicluster.agones.dev/role": "allocator", "app": "agones", "release": "agones"},
	}}
}
