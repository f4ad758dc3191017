package servers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Cluster is one of several clusters that have game servers.
type Cluster struct {
	Name string
	GameServers
	// Seen reports whether Find answers without a call.
	Seen func() bool
	// Ready checks that the cluster can be reached.
	Ready func(context.Context) error
}

// Clusters are the GameServers of several clusters together. One that cannot be
// reached costs Find nothing.
type Clusters []Cluster

// List implements GameServers. It asks all clusters at a time.
func (c Clusters) List(ctx context.Context, namespace string, labels map[string]string) ([]Server, error) {
	lists, errs := make([][]Server, len(c)), make([]error, len(c))
	var asking sync.WaitGroup
	for i, cluster := range c {
		asking.Go(func() {
			var err error
			lists[i], err = cluster.List(ctx, namespace, labels)
			errs[i] = cluster.named(err)
		})
	}
	asking.Wait()
	var all []Server
	for i, list := range lists {
		all = append(all, c[i].own(list)...)
	}
	return all, errors.Join(errs...)
}

// Find implements GameServers. A cluster that has not been seen yet has no servers.
func (c Clusters) Find(ctx context.Context, namespace, match string) ([]Server, error) {
	var all []Server
	var errs []error
	for _, cluster := range c {
		if !cluster.Seen() {
			continue
		}
		list, err := cluster.Find(ctx, namespace, match)
		all, errs = append(all, cluster.own(list)...), append(errs, cluster.named(err))
	}
	return all, errors.Join(errs...)
}

// Seen reports whether the servers of all clusters have been seen.
func (c Clusters) Seen() bool {
	return !slices.ContainsFunc(c, func(cluster Cluster) bool { return !cluster.Seen() })
}

// Hold implements GameServers.
func (c Clusters) Hold(ctx context.Context, s Server, sel Selector) error {
	cluster, err := c.of(s)
	if err != nil {
		return err
	}
	return cluster.Hold(ctx, s, sel)
}

// Delete implements GameServers.
func (c Clusters) Delete(ctx context.Context, s Server) error {
	cluster, err := c.of(s)
	if err != nil {
		return err
	}
	return cluster.Delete(ctx, s)
}

// Annotate implements GameServers.
func (c Clusters) Annotate(ctx context.Context, s Server, annotations map[string]string) (Server, error) {
	cluster, err := c.of(s)
	if err != nil {
		return Server{}, err
	}
	now, err := cluster.Annotate(ctx, s, annotations)
	now.Cluster = cluster.Name
	return now, err
}

// AnyReady checks that one of them can be reached. It does not wait for the others.
func (c Clusters) AnyReady(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan error, len(c))
	for _, cluster := range c {
		go func() { answers <- cluster.named(cluster.Ready(ctx)) }()
	}
	var errs []error
	for range c {
		err := <-answers
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// named says whose error it is, if there are several clusters.
func (c Cluster) named(err error) error {
	if err == nil || c.Name == "" {
		return err
	}
	return fmt.Errorf("cluster %q: %w", c.Name, err)
}

func (c Clusters) of(s Server) (Cluster, error) {
	for _, cluster := range c {
		if cluster.Name == s.Cluster {
			return cluster, nil
		}
	}
	return Cluster{}, fmt.Errorf("game server %q: no cluster %q", s.ID(), s.Cluster)
}

// own marks servers as the cluster's.
func (c Cluster) own(list []Server) []Server {
	for i := range list {
		list[i].Cluster = c.Name
	}
	return list
}
