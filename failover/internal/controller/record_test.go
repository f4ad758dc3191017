package controller

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "torikumi/failover/api/v1"
)

// A Node may have as many annotations as an object can hold. Its failover is made
// all the same: the API server takes what is recorded.
func TestRecordOfManyAnnotations(t *testing.T) {
	for _, count := range []int{100, 230} {
		n := aNode("worker-1", func(n *corev1.Node) {
			n.Annotations = map[string]string{}
			for i := range count {
				n.Annotations[fmt.Sprintf("studio/a%d", i)] = strings.Repeat(`"`, 1000)
			}
		})
		r, c := fakeCluster(t, n)
		if _, err := (&Watcher{opts: r.opts}).Reconcile(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		var all v1.NodeFailoverList
		if err := c.List(t.Context(), &all); err != nil || len(all.Items) != 1 {
			t.Fatalf("%v, %d failovers", err, len(all.Items))
		}
		if errs := apivalidation.ValidateAnnotations(all.Items[0].Annotations, field.NewPath("metadata")); len(errs) > 0 {
			t.Errorf("%d annotations: %v", count, errs.ToAggregate())
		}
		s, err := r.observe(t.Context(), &all.Items[0])
		if err != nil || s.Record == nil || s.Record.UID != n.UID || s.Record.Labels["node-type"] != "onpremise" {
			t.Errorf("%d annotations: %v, record %+v", count, err, s.Record)
		}
	}
}
