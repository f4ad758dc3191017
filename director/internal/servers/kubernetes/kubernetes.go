// Package kubernetes gets game servers through the API of the Kubernetes cluster
// that Agones runs in: it allocates by creating a GameServerAllocation, and finds
// and deletes GameServers. The director uses it where there is no allocator
// service for it, or nothing else that lists game servers.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"torikumi/director/internal/review"
	"torikumi/director/internal/servers"
	"torikumi/pkg/config"
)

// API connects to clusters.
type API struct{}

var _ servers.Kubernetes = API{}

// Open implements servers.Kubernetes.
func (API) Open(kubeconfig string) (servers.KubernetesCluster, error) {
	access, err := Config(kubeconfig)
	if err != nil {
		return nil, err
	}
	return cluster{access}, nil
}

type cluster struct{ access *rest.Config }

func (c cluster) Allocator() (servers.KubernetesAllocator, error) { return NewAllocator(c.access) }

func (c cluster) GameServers(namespaces []string, log *slog.Logger) (servers.KubernetesGameServers, error) {
	return NewGameServers(c.access, namespaces, log)
}

func (c cluster) Nodes(label string, log *slog.Logger) (servers.KubernetesNodes, error) {
	return NewNodes(c.access, label, log)
}

func (c cluster) Reviewer() (review.Reviewer, error) { return NewReviewer(c.access) }

// LogTo is where client-go logs, in the whole process. A program calls it first.
func LogTo(log *slog.Logger) { klog.SetSlogLogger(log) }

// Config is the access that a kubeconfig file describes; without one, that of the
// pod in which the director runs.
func Config(file string) (*rest.Config, error) {
	var c *rest.Config
	var err error
	if file == "" {
		c, err = rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, config.Missing("kubeconfig", "this is no pod of a cluster")
		}
	} else {
		c, err = clientcmd.BuildConfigFromFlags("", file)
	}
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: must be a kubeconfig file: %w", err)
	}
	c.UserAgent = "torikumi-director"
	// The API server has limits of its own, and --max-in-flight is ours.
	c.QPS = -1
	c.WarningHandler = rest.NoWarnings{}
	return c, nil
}

// newREST makes a client for what no typed client is for.
func newREST(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // errors are of a type in it
	c := rest.CopyConfig(config)
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := rest.UnversionedRESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return client, nil
}

// served checks that the API server, and who stands behind it for an API, answer.
func served(ctx context.Context, client rest.Interface, api string) error {
	if err := client.Get().AbsPath(api).MaxRetries(0).Do(ctx).Error(); err != nil {
		return fmt.Errorf("%s: %w", api, err)
	}
	return nil
}
