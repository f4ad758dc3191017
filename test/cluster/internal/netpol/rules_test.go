package netpol

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// testPod is one on node "here", unless it is moved.
func testPod(namespace, name, ip string, set map[string]string, ports ...corev1.ContainerPort) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: set},
		Spec:       corev1.PodSpec{NodeName: "here", Containers: []corev1.Container{{Ports: ports}}},
		Status:     corev1.PodStatus{PodIP: ip, Phase: corev1.PodRunning},
	}
}

// testPolicy is a policy of namespace "a" with a spec in YAML.
func testPolicy(t *testing.T, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "policy"}}
	if err := yaml.UnmarshalStrict([]byte(spec), &policy.Spec); err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestPodsThatAreNotFiltered(t *testing.T) {
	deny := testPolicy(t, `{podSelector: {}, policyTypes: [Ingress, Egress]}`)
	for name, change := range map[string]func(*corev1.Pod){
		"of another namespace": func(p *corev1.Pod) { p.Namespace = "b" },
		"of another node":      func(p *corev1.Pod) { p.Spec.NodeName = "there" },
		"on the host network":  func(p *corev1.Pod) { p.Spec.HostNetwork = true },
		"that has ended":       func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed },
		"without an address":   func(p *corev1.Pod) { p.Status.PodIP = "" },
	} {
		pod := testPod("a", "x", "10.0.0.1", nil)
		s := Snapshot{Node: "here", Pods: []*corev1.Pod{pod}, Policies: []*networkingv1.NetworkPolicy{deny}}
		if !strings.Contains(Rules(s), "10.0.0.1 : jump ingress-10-0-0-1") {
			t.Fatalf("a pod that a policy selects is not filtered:\n%s", Rules(s))
		}
		change(pod)
		if strings.Contains(Rules(s), "jump ingress-") || strings.Contains(Rules(s), "jump egress-") {
			t.Errorf("a pod %s is filtered:\n%s", name, Rules(s))
		}
	}
}

// Two pods may have one address for a moment: nft refuses a map with one key
// twice.
func TestOneAddressOfTwoPods(t *testing.T) {
	s := Snapshot{Node: "here", Policies: []*networkingv1.NetworkPolicy{testPolicy(t, `{podSelector: {}}`)},
		Pods: []*corev1.Pod{testPod("a", "old", "10.0.0.1", nil), testPod("a", "new", "10.0.0.1", nil)}}
	if n := strings.Count(Rules(s), "10.0.0.1 : jump"); n != 1 {
		t.Errorf("%d jumps for one address:\n%s", n, Rules(s))
	}
}

// The order in which informers list must not make other rules.
func TestRulesAreStable(t *testing.T) {
	pods := []*corev1.Pod{testPod("a", "x", "10.0.0.1", nil), testPod("a", "y", "10.0.0.2", nil), testPod("a", "z", "10.0.0.3", nil)}
	policies := []*networkingv1.NetworkPolicy{
		testPolicy(t, `{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 1}]}]}`),
		testPolicy(t, `{podSelector: {}, ingress: [{ports: [{port: 2}]}]}`),
	}
	first := Rules(Snapshot{Node: "here", Pods: pods, Policies: policies})
	pods[0], pods[2] = pods[2], pods[0]
	policies[0], policies[1] = policies[1], policies[0]
	if second := Rules(Snapshot{Node: "here", Pods: pods, Policies: policies}); second != first {
		t.Errorf("got\n%s\nwant\n%s", second, first)
	}
}
