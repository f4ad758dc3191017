package decide_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// Of a record that somebody has written by hand, what no Node can have is not kept:
// the Node that comes back would refuse all of it, for ever.
func TestRecordKeepsWhatANodeCanHave(t *testing.T) {
	f := made("a", v1.Pending, 0)
	f.Status.Recorded = nil
	set := settings()
	p := decide.Decide(&set, &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: types.UID("n")}, Record: &decide.Record{
		UID: "n", Labels: map[string]string{"studio/rack": "7", "no label": "x"},
		Annotations: map[string]string{"studio/owner": "any text", "no key": "x", "a/b/c": "x"},
		Taints: []corev1.Taint{
			{Key: "studio/tournament", Value: "a", Effect: corev1.TaintEffectNoSchedule},
			{Key: "", Effect: corev1.TaintEffectNoSchedule}, {Key: "studio/x", Effect: "Never"}, {Key: "studio/y", Value: "not a value", Effect: corev1.TaintEffectNoExecute},
			{Key: "studio/" + strings.Repeat("z", 64), Effect: corev1.TaintEffectNoExecute}, {Key: "node.kubernetes.io/out-of-service", Value: "nodeshutdown", Effect: corev1.TaintEffectNoExecute},
		},
	}}, noon)
	if p.Status == nil || p.Status.Recorded == nil {
		t.Fatal("nothing is recorded")
	}
	r := p.Status.Recorded
	if len(r.Labels) != 1 || len(r.Annotations) != 1 || r.Annotations["studio/owner"] != "any text" || len(r.Taints) != 1 || r.Taints[0].Key != "studio/tournament" {
		t.Errorf("%v %v %v", r.Labels, r.Annotations, r.Taints)
	}
}
