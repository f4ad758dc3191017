package test_test

import (
	"fmt"
	"log/slog"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/director/internal/servers/kubernetes"
	"torikumi/pkg/eventually"
)

// TestNodeLabel: the label of a node is read with the rights of the component alone, as
// it is now, and of a node that has just come.
func TestNodeLabel(t *testing.T) {
	f := startFleet(t)
	const label = "torikumi/address"
	access := f.director(t)
	nodes, err := kubernetes.NewNodes(access, label, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "address-1", Labels: map[string]string{label: "203.0.113.7"}}}
	if err := f.Admin.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Admin.Delete(t.Context(), node) })
	if _, err := nodes.Label(t.Context(), node.Name); err == nil {
		t.Error("the director reads nodes without the component's rights")
	}
	if err := f.Apply(t.Context(), "../../manifests/components/node-address/rbac.yaml"); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		eventually.NoError(t, "the label is read", func() error {
			got, err := nodes.Label(t.Context(), node.Name)
			if err == nil && got != want {
				err = fmt.Errorf("it says %q, not %q", got, want)
			}
			return err
		})
	}
	expect("203.0.113.7") // by a call: nothing has been seen yet
	run(t, nodes.Run)
	eventually.NoError(t, "the nodes are seen", func() error { return nodes.Ready(t.Context()) })
	if err := f.Admin.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+label+`":"play.example.com"}}}`))); err != nil {
		t.Fatal(err)
	}
	expect("play.example.com")
	if err := f.Admin.Patch(t.Context(), node, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"`+label+`":null}}}`))); err != nil {
		t.Fatal(err)
	}
	expect("")
	for _, name := range []string{"", "address-none"} {
		if got, err := nodes.Label(t.Context(), name); err == nil {
			t.Errorf("node %q: %q", name, got)
		}
	}
}
