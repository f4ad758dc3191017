package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// Nodes are the servers.KubernetesNodes of a cluster. It keeps the label of each in a
// cache that follows the API server.
type Nodes struct {
	client   metadata.Getter
	informer cache.SharedIndexInformer
	label    string
	log      *slog.Logger
}

// NewNodes makes the Nodes whose label is read; Run follows them.
func NewNodes(config *rest.Config, label string, log *slog.Logger) (*Nodes, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	nodes := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return nodes.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return nodes.Watch(ctx, o)
		},
	}, client), &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	err = informer.SetTransform(func(obj any) (any, error) {
		if o, ok := obj.(*metav1.PartialObjectMetadata); ok {
			o.ManagedFields, o.Annotations = nil, nil
		}
		return obj, nil
	})
	return &Nodes{client: nodes, informer: informer, label: label, log: log}, err
}

// Run follows the nodes until ctx ends.
func (n *Nodes) Run(ctx context.Context) error {
	n.informer.RunWithContext(klog.NewContext(ctx, logr.FromSlogHandler(n.log.Handler())))
	return nil
}

// Ready checks that all nodes have been seen.
func (n *Nodes) Ready(context.Context) error {
	if !n.informer.HasSynced() {
		return errors.New("the nodes have not been seen yet")
	}
	return nil
}

// Label implements servers.KubernetesNodes. It asks the API server for a node that
// is not in the cache yet.
func (n *Nodes) Label(ctx context.Context, node string) (string, error) {
	if node == "" {
		return "", errors.New("the game server's node is unknown")
	}
	cached, found, err := n.informer.GetIndexer().GetByKey(node)
	if err != nil {
		return "", err
	}
	if o, ok := cached.(*metav1.PartialObjectMetadata); found && ok {
		return o.GetLabels()[n.label], nil
	}
	o, err := n.client.Get(ctx, node, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return o.GetLabels()[n.label], nil
}
