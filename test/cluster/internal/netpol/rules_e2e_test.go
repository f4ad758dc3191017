//go:build e2e

package netpol

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The hosts of the tests. All but two are pods.
var addresses = map[string]string{
	"a/web": "10.1.0.1", "a/db": "10.1.0.2", "b/web": "10.1.0.3", "c/db": "10.1.0.4",
	"player": "192.168.7.7", "stranger": "192.168.7.66", "node": nodeAddress,
}

func testSnapshot(t *testing.T, specs []string) Snapshot {
	s := Snapshot{Node: "here",
		Pods: []*corev1.Pod{
			testPod("a", "web", addresses["a/web"], map[string]string{"app": "web"}, corev1.ContainerPort{Name: "http", ContainerPort: 80}),
			testPod("a", "db", addresses["a/db"], map[string]string{"app": "db"}),
			testPod("b", "web", addresses["b/web"], map[string]string{"app": "web"}, corev1.ContainerPort{Name: "http", ContainerPort: 8080}),
			testPod("c", "db", addresses["c/db"], map[string]string{"app": "db"}, corev1.ContainerPort{Name: "http", ContainerPort: 81, Protocol: corev1.ProtocolUDP}),
		},
		Namespaces: []*corev1.Namespace{testNamespace("a", nil), testNamespace("b", map[string]string{"team": "b"}), testNamespace("c", map[string]string{"team": "c"})},
	}
	for _, spec := range specs {
		s.Policies = append(s.Policies, testPolicy(t, spec))
	}
	return s
}

// Every case is policies of namespace "a", and what reaches what then: FROM TO
// PROTOCOL/PORT, and "yes" or "no".
var cases = []struct {
	name     string
	policies []string
	traffic  string
}{
	{"no policy", nil, `
		a/web  a/db   tcp/80  yes
		player a/web  udp/80  yes
		a/web  player tcp/80  yes`},
	{"deny all ingress", []string{`{podSelector: {}, policyTypes: [Ingress]}`}, `
		a/db   a/web  tcp/80  no
		b/web  a/web  udp/80  no
		player a/web  tcp/80  no
		player b/web  tcp/80  yes
		a/web  b/web  tcp/80  yes
		a/web  player udp/80  yes
		node   a/web  tcp/80  yes
		node   a/web  udp/80  yes`},
	{"deny all egress", []string{`{podSelector: {}, policyTypes: [Egress]}`}, `
		a/web  a/db   tcp/80  no
		a/web  b/web  udp/80  no
		a/web  player tcp/80  no
		a/web  node   tcp/80  no
		player a/web  tcp/80  yes
		b/web  a/web  udp/80  yes`},
	{"types that are left out are ingress alone", []string{`{podSelector: {}}`}, `
		b/web  a/web  tcp/80  no
		a/web  b/web  tcp/80  yes`},
	{"types that are left out are egress too, if it has rules", []string{`{podSelector: {}, egress: [{ports: [{port: 81}]}]}`}, `
		b/web  a/web  tcp/80  no
		a/web  b/web  tcp/80  no
		a/web  b/web  tcp/81  yes`},
	{"only what is selected", []string{`{podSelector: {matchLabels: {app: db}}}`}, `
		b/web  a/db   tcp/80  no
		b/web  a/web  tcp/80  yes`},
	{"a selector by expression", []string{`{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}`}, `
		b/web  a/db   tcp/80  no
		b/web  a/web  tcp/80  yes`},
	{"an empty rule allows all", []string{`{podSelector: {}, ingress: [{}]}`}, `
		player a/web  udp/80  yes`},
	{"pods of the policy's namespace", []string{`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: db}}}]}]}`}, `
		a/db   a/web  tcp/80  yes
		c/db   a/web  tcp/80  no
		player a/web  tcp/80  no`},
	{"namespaces", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}`}, `
		b/web  a/web  tcp/80  yes
		c/db   a/web  tcp/80  no
		a/db   a/web  tcp/80  no`},
	{"all namespaces are pods, not hosts", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`}, `
		c/db   a/web  tcp/80  yes
		a/db   a/web  tcp/80  yes
		player a/web  tcp/80  no`},
	{"namespace and pod in one peer are both needed", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]}]}`}, `
		c/db   a/web  tcp/80  yes
		b/web  a/db   tcp/80  no`},
	{"namespace and pod in two peers are enough alone", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}, {podSelector: {matchLabels: {app: db}}}]}]}`}, `
		b/web  a/web  tcp/80  yes
		a/db   a/web  tcp/80  yes
		c/db   a/web  tcp/80  no`},
	{"a peer that is nobody", []string{`{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: none}}}]}]}`}, `
		a/db   a/web  tcp/80  no`},
	{"a block with an exception", []string{`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.7.0/24, except: [192.168.7.64/26]}}]}]}`}, `
		player   a/web tcp/80 yes
		stranger a/web tcp/80 no
		a/db     a/web tcp/80 no`},
	{"all addresses with two exceptions", []string{`{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.168.7.64/26]}}]}]}`}, `
		a/web  player   udp/80 yes
		a/web  stranger udp/80 no
		a/web  b/web    udp/80 no`},
	{"a port is of TCP", []string{`{podSelector: {}, ingress: [{ports: [{port: 80}]}]}`}, `
		b/web  a/web  tcp/80  yes
		b/web  a/web  udp/80  no
		b/web  a/web  tcp/81  no`},
	{"a port of UDP", []string{`{podSelector: {}, ingress: [{ports: [{port: 80, protocol: UDP}]}]}`}, `
		player a/web  udp/80  yes
		player a/web  tcp/80  no`},
	{"a protocol alone", []string{`{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}`}, `
		player a/web  udp/80  yes
		player a/web  tcp/80  no`},
	{"a range of ports", []string{`{podSelector: {}, egress: [{ports: [{port: 81, endPort: 85}]}]}`}, `
		a/web  b/web  tcp/80  no
		a/web  b/web  tcp/81  yes
		a/web  b/web  tcp/85  yes
		a/web  b/web  tcp/86  no`},
	{"peer and port of one rule are both needed", []string{`{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}`}, `
		a/db   a/web  tcp/80  yes
		a/db   a/web  tcp/81  no
		b/web  a/web  tcp/80  no`},
	{"a port by its name in the pod", []string{`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`}, `
		b/web  a/web  tcp/80  yes
		b/web  a/web  tcp/81  no
		b/web  a/db   tcp/80  no`},
	{"a port by its name in the pods that are sent to", []string{`{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`}, `
		a/db   a/web  tcp/80   yes
		a/db   b/web  tcp/8080 yes
		a/db   b/web  tcp/80   no
		a/db   c/db   tcp/81   no
		a/db   player tcp/80   no`},
	{"a port by its name in selected pods", []string{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: b}}}], ports: [{port: http}]}]}`}, `
		a/db   b/web  tcp/8080 yes
		a/db   a/web  tcp/80   no`},
	{"policies add up", []string{
		`{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 80}]}]}`,
		`{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`}, `
		player a/web  tcp/80  yes
		a/db   a/web  tcp/81  yes
		player a/web  tcp/81  no
		player a/db   tcp/80  no`},
	{"both ends have to allow it", []string{
		`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`,
		`{podSelector: {matchLabels: {app: db}}, egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}`}, `
		a/db   a/web  tcp/80  no
		a/db   b/web  tcp/80  no`},
	{"egress that one end allows and the other does not filter", []string{
		`{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}`}, `
		a/db   a/web  tcp/80  yes
		a/db   b/web  tcp/80  no`},
}

func TestTraffic(t *testing.T) {
	var all []string
	for name, address := range addresses {
		if name != "node" {
			all = append(all, address)
		}
	}
	n := newNetwork(t, all...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rules := Rules(testSnapshot(t, c.policies))
			if err := n.node.do(func() error { return Apply(t.Context(), rules) }); err != nil {
				t.Fatalf("%v\n%s", err, rules)
			}
			for line := range strings.Lines(strings.TrimSpace(c.traffic)) {
				f := strings.Fields(line)
				protocol, port, _ := strings.Cut(f[2], "/")
				got := n.reaches(t, addresses[f[0]], addresses[f[1]], protocol, port)
				if want := f[3] == "yes"; got != want {
					t.Errorf("%s: got %v\n%s", strings.Join(f, " "), got, rules)
				}
			}
		})
	}
}

func testNamespace(name string, set map[string]string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: set}}
}
