package controlplane

import (
	"bytes"
	_ "embed"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

//go:embed bootstrap.yaml
var bootstrapYAML []byte

// Bootstrap lets nodes join by bootstrap tokens, as in a cluster that kubeadm
// made: the ConfigMap kube-public/cluster-info, which anybody may read, and the
// rights of the group system:bootstrappers:kubeadm:default-node-token, to which
// a token's secret has to say that it belongs. Signing and expiry are done by
// the controller manager. It may be called more than once.
func (c *Cluster) Bootstrap(t testing.TB) {
	t.Helper()
	objects, err := decode(bytes.NewReader(bootstrapYAML))
	if err != nil {
		t.Fatalf("bootstrap.yaml: %v", err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[""] = &clientcmdapi.Cluster{Server: c.URL, CertificateAuthorityData: c.CA}
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		t.Fatal(err)
	}
	c.apply(t, append(objects, clusterInfo(string(kubeconfig))))
}

func clusterInfo(kubeconfig string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "ConfigMap",
		"metadata":   map[string]any{"namespace": metav1.NamespacePublic, "name": "cluster-info"},
		"data":       map[string]any{"kubeconfig": kubeconfig},
	}}
}
