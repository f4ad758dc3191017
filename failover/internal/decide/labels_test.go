package decide_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

func TestRestricted(t *testing.T) {
	for key, want := range map[string]bool{
		"node-restriction.kubernetes.io/node-type": true, "studio.node-restriction.kubernetes.io/x": true,
		"node-type": false, "kubernetes.io/hostname": false, "node-restriction.kubernetes.io.example/x": false, "xnode-restriction.kubernetes.io/x": false,
	} {
		if got := decide.Restricted(key); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
}

// Of the labels that no kubelet can give itself a Node gets back what the settings
// name: whoever writes a NodeFailover writes the record too.
func TestLabelsComeBack(t *testing.T) {
	const watched, pool = "node-restriction.kubernetes.io/node-type", "node-restriction.kubernetes.io/pool"
	set := settings()
	set.WatchedKey, set.WatchedValue, set.RestoreLabels = watched, "onpremise", []string{pool}
	back := func(record, has map[string]string) (labels map[string]string, drains bool) {
		f := made("a", v1.Recovering, 2*time.Hour)
		f.Status.Recorded = &v1.RecordedNode{UID: "earlier", Labels: record}
		f.Status.RecoveryDetectedAt = ago(time.Hour)
		p := decide.Decide(&set, &decide.State{Failover: f, Node: decide.Node{Health: decide.Ready, UID: "n", Labels: has}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running}, noon)
		if i := slices.IndexFunc(p.Actions, func(a decide.Action) bool { return a.Kind == decide.LabelNode && a.Node == f.Spec.OnpremNodeName }); i >= 0 {
			labels = p.Actions[i].Labels
		}
		return labels, p.Status != nil && p.Status.Phase == v1.Draining
	}
	record := map[string]string{
		watched: "onpremise", pool: "games", "hardware": "game-runner",
		"node-restriction.kubernetes.io/secrets": "yes", "studio.node-restriction.kubernetes.io/x": "y", "node-role.kubernetes.io/control-plane": "",
	}
	// The watched label first: one of the others may be refused.
	first := map[string]string{watched: "onpremise"}
	if got, _ := back(record, nil); !maps.Equal(got, first) {
		t.Errorf("at first it gets %v, want %v", got, first)
	}
	if got, _ := back(record, first); !maps.Equal(got, map[string]string{pool: "games", "hardware": "game-runner"}) {
		t.Errorf("then it gets %v", got)
	}
	if got, drains := back(map[string]string{watched: "gcp-permanent"}, nil); len(got) > 0 || !drains {
		t.Errorf("another value of the watched label comes back: %v", got)
	}
	// Somebody has labelled the new Node, and not as a watched one: it is theirs, and
	// the VM does not wait for it.
	if got, drains := back(map[string]string{watched: "onpremise", "hardware": "game-runner"}, map[string]string{watched: "retired"}); len(got) > 0 || !drains {
		t.Errorf("a Node that is not watched any more gets %v, its VM is drained: %v", got, drains)
	}
}
