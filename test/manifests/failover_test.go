package manifests_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"torikumi/test/manifests"
)

// place reports how many pods of a workload find a node, as the scheduler would by
// labels, taints and the anti-affinity of failover's replicas.
func place(w manifests.Workload, nodes []corev1.Node) int {
	placed := 0
	for _, n := range nodes {
		fits := true
		for k, v := range w.Spec.NodeSelector {
			fits = fits && n.Labels[k] == v
		}
		for _, taint := range n.Spec.Taints {
			fits = fits && slices.ContainsFunc(w.Spec.Tolerations, func(t corev1.Toleration) bool { return t.Key == taint.Key && t.Operator == corev1.TolerationOpExists })
		}
		if fits && placed < w.Replicas {
			placed++ // one each: they keep away from each other
		}
	}
	return placed
}

func machine(labels map[string]string, taints ...string) corev1.Node {
	var n corev1.Node
	n.Labels = labels
	for _, key := range taints {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	}
	return n
}

// The controller's pods all find a place on the clusters that the manifests are for,
// and none where a kubelet only says that it is one.
func TestFailoverHasPlaces(t *testing.T) {
	const label, tainted = "node-restriction.kubernetes.io/node-type", "node-role.kubernetes.io/control-plane"
	watched := machine(map[string]string{label: "onpremise", "hardware": "game-runner"})
	liar, both := machine(map[string]string{"node-type": "gcp-permanent"}), map[string]string{label: "gcp-permanent", "node-type": "gcp-permanent"}
	for name, nodes := range map[string][]corev1.Node{
		"examples/failover":               {machine(map[string]string{label: "gcp-permanent"}), machine(map[string]string{label: "gcp-permanent"})},
		"examples/failover-one-node":      {machine(map[string]string{label: "gcp-permanent"}, tainted)},
		"overlays/hybrid":                 {machine(both, tainted)},
		"combinations/failover-earlier":   {liar, liar},
		"combinations/failover-placement": {machine(both), machine(both)},
	} {
		workloads, err := get(t, name).Workloads()
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, w := range workloads {
			if !strings.HasSuffix(w.ID, "/failover") {
				continue
			}
			found = true
			if got := place(w, append(nodes, watched)); got != w.Replicas || got == 0 {
				t.Errorf("%s: %d of %d pods find a place", name, got, w.Replicas)
			}
			if n := place(w, []corev1.Node{liar}); n != 0 && name != "combinations/failover-earlier" {
				t.Errorf("%s: a kubelet's own label draws the controller", name)
			}
		}
		if !found {
			t.Errorf("%s has no failover", name)
		}
	}
}
