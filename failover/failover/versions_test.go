package failover_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/failover"
)

func TestNameVersion(t *testing.T) {
	for image, want := range map[string]string{
		"node-1-34-4": "1.34.4", "family/node-1-34": "1.34", "node-v1.34.4": "1.34.4", "1-34-4": "1.34.4",
		"projects/p/global/images/node-1-34-12": "1.34.12",
		"node":                                  "", "family/node": "", "node-2": "", "node-20261130": "", "debian-12": "", "node-1-3": "", "node-11-34-4": "", "node-1-34-4-kata": "", "": "",
	} {
		if got := failover.NameVersion(image); got != want {
			t.Errorf("%q: %q, want %q", image, got, want)
		}
	}
}

// condition waits until worker-1's failover has that condition.
func (r *harness) condition(kind, reason, says string) {
	r.Helper()
	r.eventually(kind+" "+reason, func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(f.Status.Conditions, kind); c == nil || c.Reason != reason || !strings.Contains(c.Message, says) {
			return fmt.Errorf("%s: %+v", f.Status.Phase, c)
		}
		return nil
	})
}

// versionSkew lets no VM be made of an image that is newer than the API server, and
// tells of one that has joined all the same, or was overtaken by an upgrade.
func versionSkew(r *harness) {
	server, err := discovery.NewDiscoveryClientForConfigOrDie(r.kube).ServerVersionWithContext(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	r.cfg.ImageVersion = "1.199.0"
	var out bytes.Buffer
	if err := failover.CheckWith(r.Context(), r.cfg, r.kube, r.cloud, &out); err == nil || !strings.Contains(out.String(), "FAIL   versions: the kubelet, 1.199.0 by --vm-kubernetes-version, is newer than the API server, "+server.GitVersion) {
		r.Errorf("--check: %v\n%s", err, &out)
	}
	stop := r.controller(r.kube)
	r.fails("worker-1")
	r.condition(v1.Admitted, "VersionSkew", "the kubelet, 1.199.0 by --vm-kubernetes-version, is newer than the API server, "+server.GitVersion)
	r.condition(v1.VersionsFit, "VersionSkew", server.GitVersion)
	f, err := r.failover("worker-1")
	if err != nil {
		r.Fatal(err)
	}
	r.waitForEvents(f, "VersionSkew")
	if n := r.cloud.Peak(); n > 0 {
		r.Errorf("%d VMs", n)
	}
	stop()

	r.cfg.ImageVersion = server.GitVersion
	out.Reset()
	if err := failover.CheckWith(r.Context(), r.cfg, r.kube, r.cloud, &out); err != nil || strings.Count(out.String(), "failover: ok     ") != 9 || !strings.Contains(out.String(), "the kubelet in the image is "+server.GitVersion+" by --vm-kubernetes-version") {
		r.Errorf("--check: %v\n%s", err, &out)
	}
	r.controller(r.kube)
	vm := r.phase("worker-1", v1.Active).Status.GCPVMName
	r.condition(v1.VersionsFit, "Fits", server.GitVersion)
	n := r.node(vm)
	old := n.DeepCopy()
	n.Status.NodeInfo.KubeletVersion = "v1.2.3"
	if err := r.admin.Status().Patch(r.Context(), n, client.MergeFrom(old)); err != nil {
		r.Fatal(err)
	}
	r.condition(v1.VersionsFit, "VersionSkew", "the kubelet, v1.2.3, is ")
	r.returns("worker-1")
}

// workedOn: a node that was cordoned before it failed is rebooted, and nothing is
// bought for that.
func workedOn(r *harness) {
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	cordon := func(yes bool) {
		n := r.node("worker-1")
		old := n.DeepCopy()
		n.Spec.Unschedulable = yes
		if err := r.admin.Patch(r.Context(), n, client.MergeFrom(old)); err != nil {
			r.Fatal(err)
		}
	}
	cordon(true)
	r.server("game", "worker-1", "Allocated")
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionUnknown, nil, "")
	r.condition(v1.Admitted, "Cordoned", "a VM after 10m0s")
	r.eventually("its servers are hidden", func() error { return r.hidden("game") })
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	cordon(false)
	r.phase("worker-1", v1.Completed)
	if n := r.cloud.Peak(); n > 0 {
		r.Errorf("%d VMs", n)
	}
	if c := meta.FindStatusCondition(r.failovers()[0].Status.Conditions, v1.Admitted); c.Status != metav1.ConditionFalse {
		r.Errorf("%+v", c)
	}
}
