package controller_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/kubebuild"
)

// cluster is an API server without nodes and without other controllers, shared by
// all tests of the package.
type cluster struct {
	env    *envtest.Environment
	dir    string
	config *rest.Config
	admin  client.Client
}

var shared struct {
	once sync.Once
	*cluster
	err error
}

func testCluster(t testing.TB) *cluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = startCluster(context.Background()) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

func stopCluster() error {
	if shared.cluster == nil {
		return nil
	}
	return errors.Join(shared.env.Stop(), os.RemoveAll(shared.dir))
}

// programs are those of Kubernetes that a cluster of the tests runs.
var programs = []string{"etcd", "kube-apiserver"}

func startCluster(ctx context.Context) (_ *cluster, err error) {
	bin, err := kubebuild.Kubernetes.Find(programs...)
	if err != nil {
		return nil, fmt.Errorf("run `make kubernetes`, or set %s: %w", kubebuild.Env, err)
	}
	c := &cluster{}
	if c.dir, err = os.MkdirTemp("", "miniagones-"); err != nil {
		return nil, err
	}
	// The programs end with this process, however it ends.
	for _, p := range programs {
		script := fmt.Sprintf("#!/bin/sh\nexec setpriv --pdeathsig KILL -- %s \"$@\"\n", filepath.Join(bin, p))
		if err := os.WriteFile(filepath.Join(c.dir, p), []byte(script), 0o755); err != nil {
			return nil, err
		}
	}
	c.env = &envtest.Environment{
		BinaryAssetsDirectory:    c.dir,
		CRDDirectoryPaths:        []string{"../../../manifests/components/miniagones/crd"},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: 5 * time.Second,
	}
	if err := c.frontProxy(); err != nil {
		return nil, err
	}
	if c.config, err = c.env.Start(); err != nil {
		return nil, errors.Join(err, c.env.Stop())
	}
	c.config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(v1.AddToScheme(scheme), corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	if c.admin, err = client.New(c.config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	return c, c.prepare(ctx)
}

// prepare makes what is the same for all tests.
func (c *cluster) prepare(ctx context.Context) error {
	for i := range 2 {
		if err := c.node(ctx, fmt.Sprintf("node-%d", i+1)); err != nil {
			return err
		}
	}
	return c.apply(ctx, "../../../manifests/components/miniagones/rbac.yaml")
}

func (c *cluster) node(ctx context.Context, name string) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.admin.Create(ctx, n); err != nil {
		return err
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	return c.admin.Status().Update(ctx, n)
}

// apply creates what a file of the manifests holds.
func (c *cluster) apply(ctx context.Context, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, doc := range bytes.Split(content, []byte("\n---\n")) {
		obj := new(unstructured.Unstructured)
		if err := yaml.Unmarshal(doc, obj); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if obj.GetKind() == "" {
			continue
		}
		if err := c.ensureNamespace(ctx, obj.GetNamespace()); err != nil {
			return err
		}
		if err := c.admin.Create(ctx, obj); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("%s: %s %s: %w", file, obj.GetKind(), obj.GetName(), err)
		}
	}
	return nil
}

func (c *cluster) ensureNamespace(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	return client.IgnoreAlreadyExists(c.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// as writes a kubeconfig of a service account.
func (c *cluster) as(t testing.TB, namespace, account string) string {
	t.Helper()
	k := clientcmdapi.NewConfig()
	k.Clusters["test"] = &clientcmdapi.Cluster{Server: c.config.Host, CertificateAuthorityData: c.config.CAData}
	k.AuthInfos["admin"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: c.config.CertData, ClientKeyData: c.config.KeyData,
		Impersonate: "system:serviceaccount:" + namespace + ":" + account,
		// Else it would be in no group, not even that of those who are known.
		ImpersonateGroups: []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	k.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "admin"}
	k.CurrentContext = "test"
	file := filepath.Join(t.TempDir(), account+".kubeconfig")
	if err := clientcmd.WriteToFile(*k, file); err != nil {
		t.Fatal(err)
	}
	return file
}
