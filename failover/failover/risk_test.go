package failover_test

import (
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/decide"
)

// nodesAtRisk: a cloud-controller-manager, which a Node of its cloud gives
// away, deletes watched Nodes that have no provider id. That is told once, and
// in a metric as long as it lasts.
func nodesAtRisk(r *harness) {
	reg := prometheus.NewRegistry()
	logs := new(logBuffer)
	c := controller.NewCollector(&controller.Options{
		Client: r.admin, Live: r.admin, Cloud: r.cloud, Cluster: "c", Clock: clock.RealClock{},
		Log: slog.New(slog.NewTextHandler(logs, nil)), Metrics: controller.NewMetrics(reg),
		Settings: &decide.Settings{TempLabels: map[string]string{"node-type": "gcp-temporary"}, WatchedKey: watchedKey, WatchedValue: watchedValue},
	})
	collect := func(what string, atRisk float64, warnings int) {
		r.Helper()
		if err := c.Collect(r.Context()); err != nil {
			r.Fatal(err)
		}
		all, err := reg.Gather()
		if err != nil {
			r.Fatal(err)
		}
		for _, m := range all {
			if m.GetName() == "torikumi_failover_nodes_at_risk" && m.GetMetric()[0].GetGauge().GetValue() != atRisk {
				r.Errorf("%s: %v nodes at risk, want %v", what, m.GetMetric()[0].GetGauge().GetValue(), atRisk)
			}
		}
		if n := strings.Count(logs.String(), "cloud-controller-manager"); n != warnings {
			r.Errorf("%s: %d warnings, want %d: %s", what, n, warnings, logs)
		}
	}
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	r.setNode("worker-2", corev1.ConditionTrue, onpremLabels, "")
	r.setNode("other", corev1.ConditionTrue, nil, "")
	collect("no node of a cloud", 0, 0)
	r.setNode("gcp-temp-x", corev1.ConditionTrue, map[string]string{"node-type": "gcp-temporary"}, "gce://p/z/x")
	collect("a temporary node, whose id we gave it", 0, 0)
	r.setNode("permanent", corev1.ConditionTrue, map[string]string{"node-type": "gcp-permanent"}, "gce://p/z/permanent")
	collect("a node of a cloud", 2, 1)
	collect("again", 2, 1)
	for i, name := range []string{"worker-1", "worker-2"} {
		n := r.node(name)
		old := n.DeepCopy()
		n.Spec.ProviderID = "onprem://" + name
		if err := r.admin.Patch(r.Context(), n, client.MergeFrom(old)); err != nil {
			r.Fatal(err)
		}
		collect("with an id of its own: "+name, float64(1-i), 1)
	}
	r.setNode("worker-3", corev1.ConditionTrue, onpremLabels, "")
	collect("a new one", 1, 2)
}
