// Package kubetest runs an API server for tests, with the CRDs and the rights of
// miniagones: for its own tests, and for those of programs that use its game servers.
package kubetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// Cluster is an API server without nodes that run anything, and without other
// controllers. Its methods may be used concurrently.
type Cluster struct {
	// Config is that of an administrator.
	Config *rest.Config
	// Admin knows the types of miniagones, and those of Kubernetes that it uses.
	Admin client.Client

	env       *envtest.Environment
	dir       string
	manifests string
}

// programs are those of Kubernetes that a cluster of the tests runs.
var programs = []string{"etcd", "kube-apiserver"}

// Start starts a cluster. manifests is the folder of that name in the repository.
func Start(ctx context.Context, manifests string) (*Cluster, error) {
	var failures []error
	for range 3 { // envtest gives the server 5 s to make the default namespace
		c, err := start(ctx, manifests)
		if err == nil {
			return c, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

func start(ctx context.Context, manifests string) (_ *Cluster, err error) {
	bin, err := kubebuild.Kubernetes.Find(programs...)
	if err != nil {
		return nil, fmt.Errorf("run `make kubernetes`, or set %s: %w", kubebuild.Env, err)
	}
	c := &Cluster{manifests: manifests}
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
		CRDDirectoryPaths:        []string{filepath.Join(manifests, "components/miniagones/crd")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	if err := c.frontProxy(); err != nil {
		return nil, err
	}
	if c.Config, err = c.env.Start(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.connect(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	if err := c.prepare(ctx); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// Open is a cluster that runs already. kubeconfig is that of an administrator with a
// client certificate.
func Open(kubeconfig, manifests string) (*Cluster, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Config: config, manifests: manifests}
	if err := rest.LoadTLSFiles(config); err != nil {
		return nil, err
	}
	return c, c.connect()
}

// connect makes the administrator's client.
func (c *Cluster) connect() (err error) {
	c.Config.QPS = -1
	scheme := runtime.NewScheme()
	if err := errors.Join(v1.AddToScheme(scheme), corev1.AddToScheme(scheme), rbacv1.AddToScheme(scheme), coordinationv1.AddToScheme(scheme), eventsv1.AddToScheme(scheme)); err != nil {
		return err
	}
	c.Admin, err = client.New(c.Config, client.Options{Scheme: scheme})
	return err
}

// Stop ends the cluster, unless it ran already.
func (c *Cluster) Stop() error {
	if c.env == nil {
		return nil
	}
	return errors.Join(c.env.Stop(), os.RemoveAll(c.dir))
}

// prepare makes what is the same for all tests.
func (c *Cluster) prepare(ctx context.Context) error {
	for i := range 2 {
		if err := c.Node(ctx, fmt.Sprintf("node-%d", i+1)); err != nil {
			return err
		}
	}
	return c.Apply(ctx, filepath.Join(c.manifests, "components/miniagones/rbac.yaml"))
}

// Node makes a node, which nothing runs on.
func (c *Cluster) Node(ctx context.Context, name string) error {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.Admin.Create(ctx, n); err != nil {
		return err
	}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}, {Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	return c.Admin.Status().Update(ctx, n)
}

// Apply creates what a YAML file holds, and its namespaces.
func (c *Cluster) Apply(ctx context.Context, file string) error {
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
		if err := c.EnsureNamespace(ctx, obj.GetNamespace()); err != nil {
			return err
		}
		if err := c.Admin.Create(ctx, obj); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("%s: %s %s: %w", file, obj.GetKind(), obj.GetName(), err)
		}
	}
	return nil
}

// EnsureNamespace makes a namespace unless it is there.
func (c *Cluster) EnsureNamespace(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	return client.IgnoreAlreadyExists(c.Admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
}

// As writes a kubeconfig of a service account, and returns its path.
func (c *Cluster) As(t testing.TB, namespace, account string) string {
	t.Helper()
	k := clientcmdapi.NewConfig()
	k.Clusters["test"] = &clientcmdapi.Cluster{Server: c.Config.Host, CertificateAuthorityData: c.Config.CAData}
	k.AuthInfos["admin"] = &clientcmdapi.AuthInfo{
		ClientCertificateData: c.Config.CertData, ClientKeyData: c.Config.KeyData,
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
