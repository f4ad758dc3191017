package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
)

// GameServers are the servers.GameServers of a cluster. It keeps those that carry
// contract.MatchLabel in a cache that follows the API server.
type GameServers struct {
	client rest.Interface
	api    rest.Interface
	log    *slog.Logger
	// informers by namespace.
	informers map[string]cache.SharedIndexInformer
}

// byMatch is the index of the cache, by contract.MatchLabel.
const byMatch = "match"

// NewGameServers makes the GameServers of some namespaces; Run follows them.
func NewGameServers(config *rest.Config, namespaces []string, log *slog.Logger) (*GameServers, error) {
	client, err := newClient(config)
	if err != nil {
		return nil, err
	}
	api, err := newREST(config)
	if err != nil {
		return nil, err
	}
	g := &GameServers{client: client, api: api, log: log, informers: make(map[string]cache.SharedIndexInformer)}
	for _, namespace := range namespaces {
		if g.informers[namespace], err = newInformer(client, namespace); err != nil {
			return nil, fmt.Errorf("watch game servers: %w", err)
		}
	}
	return g, nil
}

func newInformer(client rest.Interface, namespace string) (cache.SharedIndexInformer, error) {
	stamped := func(o *metav1.ListOptions) { o.LabelSelector = contract.MatchLabel }
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(
		cache.NewFilteredListWatchFromClient(client, resource, namespace, stamped), client,
	), &gameServer{}, 0, cache.Indexers{byMatch: func(obj any) ([]string, error) {
		return []string{obj.(*gameServer).Labels[contract.MatchLabel]}, nil
	}})
	return informer, informer.SetTransform(trim)
}

// trim drops what nobody reads before it is kept.
func trim(obj any) (any, error) {
	if gs, ok := obj.(*gameServer); ok {
		gs.ManagedFields = nil
	}
	return obj, nil
}

// Follow tells of each server that carries contract.MatchLabel, whenever it is seen
// to have changed, and of each that ends. It has to be called before Run; the calls
// come one at a time for a namespace.
func (g *GameServers) Follow(changed, gone func(servers.Server)) error {
	tell := func(obj any, over bool) {
		if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
			obj = last.Obj
		}
		gs, ok := obj.(*gameServer)
		if !ok {
			return
		}
		s, err := gs.server()
		switch {
		case err != nil:
			g.log.Warn("game server cannot be read", "error", err)
		case over || gs.DeletionTimestamp != nil:
			gone(s)
		default:
			changed(s)
		}
	}
	for _, informer := range g.informers {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(obj any) { tell(obj, false) }, UpdateFunc: func(_, obj any) { tell(obj, false) },
			DeleteFunc: func(obj any) { tell(obj, true) },
		})
		if err != nil {
			return fmt.Errorf("watch game servers: %w", err)
		}
	}
	return nil
}

// Run follows the game servers until ctx ends.
func (g *GameServers) Run(ctx context.Context) error {
	ctx = klog.NewContext(ctx, logr.FromSlogHandler(g.log.Handler()))
	var running sync.WaitGroup
	for _, informer := range g.informers {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	running.Wait()
	return nil
}

// Seen reports whether all game servers are in the cache.
func (g *GameServers) Seen() bool {
	for _, informer := range g.informers {
		if !informer.HasSynced() {
			return false
		}
	}
	return true
}

// Ready checks that game servers are served, and that all have been seen.
func (g *GameServers) Ready(ctx context.Context) error {
	for namespace, informer := range g.informers {
		if !informer.HasSynced() {
			return fmt.Errorf("the game servers in namespace %q have not been seen yet", namespace)
		}
	}
	return served(ctx, g.api, "/apis/"+agones.Group+"/"+agones.Version)
}

// List implements servers.GameServers.
func (g *GameServers) List(ctx context.Context, namespace string, want map[string]string) ([]servers.Server, error) {
	got := new(gameServerList)
	err := g.client.Get().Namespace(namespace).Resource(resource).
		VersionedParams(&metav1.ListOptions{LabelSelector: labels.Set(want).String()}, metav1.ParameterCodec).Do(ctx).Into(got)
	if err != nil {
		return nil, fmt.Errorf("list game servers in %q: %w", namespace, err)
	}
	list := make([]servers.Server, 0, len(got.Items))
	for i := range got.Items {
		if list, err = appendServer(list, &got.Items[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Find implements servers.GameServers.
func (g *GameServers) Find(ctx context.Context, namespace, match string) ([]servers.Server, error) {
	informer := g.informers[namespace]
	if informer == nil || !informer.HasSynced() || informer.IsStopped() {
		return g.List(ctx, namespace, map[string]string{contract.MatchLabel: match})
	}
	objects, err := informer.GetIndexer().ByIndex(byMatch, match)
	if err != nil {
		return nil, err
	}
	var list []servers.Server
	for _, o := range objects {
		if list, err = appendServer(list, o.(*gameServer)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Hold implements servers.GameServers. It changes the version, so that a deletion
// that was decided before comes to nothing.
func (g *GameServers) Hold(ctx context.Context, s servers.Server, sel servers.Selector) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": s.UID, "annotations": map[string]string{contract.PlacingAnnotation: servers.Placing(sel.Placing)},
	}})
	if err != nil {
		return err
	}
	now, err := g.patch(ctx, s, patch)
	if err == nil && (now.State != s.State || now.Labels[contract.MatchLabel] != s.Labels[contract.MatchLabel]) {
		err = servers.ErrChanged
	}
	if err != nil {
		return fmt.Errorf("hold game server %q: %w", s.ID(), err)
	}
	return nil
}

// Delete implements servers.GameServers. Both preconditions have to hold: a server
// that has made itself Ready again may be another match's with the same UID.
func (g *GameServers) Delete(ctx context.Context, s servers.Server) error {
	if s.UID == "" || s.Version == "" {
		return fmt.Errorf("delete game server %q: must have a UID and a version", s.ID())
	}
	uid, background := types.UID(s.UID), metav1.DeletePropagationBackground
	err := g.client.Delete().Namespace(s.Namespace).Resource(resource).Name(s.Name).Body(&metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &s.Version}, PropagationPolicy: &background,
	}).Do(ctx).Error()
	if err = known(err); err != nil {
		return fmt.Errorf("delete game server %q: %w", s.ID(), err)
	}
	return nil
}

// Annotate implements servers.GameServers.
func (g *GameServers) Annotate(ctx context.Context, s servers.Server, annotations map[string]string) (servers.Server, error) {
	now, err := g.annotate(ctx, s, annotations)
	if err != nil {
		return servers.Server{}, fmt.Errorf("annotate game server %q: %w", s.ID(), err)
	}
	return now, nil
}

func (g *GameServers) annotate(ctx context.Context, s servers.Server, annotations map[string]string) (servers.Server, error) {
	if s.UID == "" || s.Version == "" {
		return servers.Server{}, errors.New("must have a UID and a version")
	}
	values := make(map[string]any, len(annotations)) // nil removes one
	for k, v := range annotations {
		values[k] = nil
		if v != "" {
			values[k] = v
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": s.UID, "resourceVersion": s.Version, "annotations": values}})
	if err != nil {
		return servers.Server{}, err
	}
	return g.patch(ctx, s, patch)
}

// patch changes a server, unless it is another one by now.
func (g *GameServers) patch(ctx context.Context, s servers.Server, patch []byte) (servers.Server, error) {
	now := new(gameServer)
	err := g.client.Patch(types.MergePatchType).Namespace(s.Namespace).Resource(resource).Name(s.Name).Body(patch).Do(ctx).Into(now)
	switch {
	case apierrors.IsInvalid(err): // so the API server refuses another UID
		return servers.Server{}, errors.Join(servers.ErrChanged, err)
	case err != nil:
		return servers.Server{}, known(err)
	case now.DeletionTimestamp != nil:
		return servers.Server{}, servers.ErrGone
	}
	return now.server()
}

// known makes the errors of package servers of those that mean the same.
func known(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return servers.ErrGone
	case apierrors.IsConflict(err):
		return errors.Join(servers.ErrChanged, err)
	}
	return err
}

// appendServer adds a GameServer to a list, unless it is being deleted.
func appendServer(list []servers.Server, gs *gameServer) ([]servers.Server, error) {
	if gs.DeletionTimestamp != nil {
		return list, nil
	}
	s, err := gs.server()
	if err != nil {
		return nil, err
	}
	return append(list, s), nil
}
