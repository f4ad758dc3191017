package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

const (
	// collectEvery is how often the cloud's list is compared.
	collectEvery = 2 * time.Minute
	// orphanAge is the least age of an orphan. Its failover's status is persisted
	// before it is made, so that none is needed for correctness; it is the
	// margin for a cloud whose list and clock are not ours.
	orphanAge = 2 * time.Minute
	// maxHistory is how many completed failovers of one node are kept at most.
	maxHistory = 50
)

// Collector deletes VMs of this cluster that no failover claims. There should
// be none; this is the net under crashes that nobody has thought of.
type Collector struct {
	opts   *Options
	seen   map[cloud.Ref]bool // orphans of the last round
	bare   map[types.UID]bool // Nodes without a VM in the last round
	warned bool               // of the cloud-controller-manager

	unwatched bool // it was said that no Node is watched
}

// NewCollector makes a Collector.
func NewCollector(o *Options) *Collector { return &Collector{opts: o, seen: map[cloud.Ref]bool{}} }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (c *Collector) NeedLeaderElection() bool { return true }

// Start collects until ctx ends.
func (c *Collector) Start(ctx context.Context) error {
	for {
		if err := c.Collect(ctx); err != nil && ctx.Err() == nil {
			c.opts.Log.Error("collect VMs", "error", err)
		}
		timer := c.opts.Clock.NewTimer(collectEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		}
	}
}

// Collect compares once. A VM is deleted when two rounds in a row have found
// it without a failover; nothing is deleted unless both lists are whole.
func (c *Collector) Collect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, collectEvery)
	defer cancel()
	vms, err := c.opts.Cloud.List(ctx, c.opts.Cluster)
	if err != nil {
		return fmt.Errorf("list VMs: %w", err)
	}
	var all v1.NodeFailoverList
	if err := c.opts.Live.List(ctx, &all); err != nil { // after the cloud's list: whatever is in that was persisted before
		return fmt.Errorf("list failovers: %w", err)
	}
	claimed := make(map[cloud.Ref]types.UID)
	prices := make(map[cloud.Ref]float64) // of --machines, where the cloud says none
	for i := range all.Items {
		if f := &all.Items[i]; f.Status.VM != nil && f.Status.Phase != v1.Completed {
			claimed[ref(f)] = f.UID
			prices[ref(f)] = f.Status.VM.HourlyCost.AsApproximateFloat64()
		}
	}
	orphans := make(map[cloud.Ref]bool)
	exists := make(map[string]bool)
	var errs []error
	for _, vm := range vms {
		exists[vm.Name] = true
		if uid, ok := claimed[vm.Ref]; ok && string(uid) == vm.Owner.Failover || vm.Owner.Cluster != c.opts.Cluster {
			continue
		}
		if age := c.opts.Clock.Since(vm.Created); age < orphanAge && age >= 0 {
			continue
		}
		orphans[vm.Ref] = true
		if !c.seen[vm.Ref] || vm.State == cloud.Stopping {
			continue
		}
		c.opts.Log.Warn("deleting a VM that no failover claims", "vm", vm.Name, "zone", vm.Zone, "node", vm.Owner.Node)
		if c.opts.DryRun {
			continue
		}
		switch err := c.opts.Cloud.Delete(ctx, vm.Ref, vm.Owner); {
		case err == nil:
			c.opts.Metrics.orphan()
		case !errors.Is(err, cloud.ErrNotFound):
			errs = append(errs, fmt.Errorf("delete VM %q: %w", vm.Name, err))
		}
	}
	c.seen = orphans
	c.opts.Metrics.instances(vms, prices)
	return errors.Join(append(errs, c.nodes(ctx, exists, claimed), c.history(ctx, all.Items), c.atRisk(ctx))...)
}

// history deletes the oldest completed failovers of a node that has too many: a
// node that flaps for days would make thousands.
func (c *Collector) history(ctx context.Context, all []v1.NodeFailover) error {
	over := make(map[string][]*v1.NodeFailover)
	for i := range all {
		if f := &all[i]; f.Status.Phase == v1.Completed && len(f.Finalizers) == 0 && f.DeletionTimestamp == nil {
			over[f.Spec.OnpremNodeName] = append(over[f.Spec.OnpremNodeName], f)
		}
	}
	ended := func(f *v1.NodeFailover) time.Time {
		if f.Status.CompletedAt != nil {
			return f.Status.CompletedAt.Time
		}
		return f.CreationTimestamp.Time
	}
	var errs []error
	for node, fs := range over {
		if len(fs) <= maxHistory || c.opts.DryRun {
			continue
		}
		slices.SortFunc(fs, func(a, b *v1.NodeFailover) int { return ended(b).Compare(ended(a)) })
		c.opts.Log.Info("deleting the oldest history of a node", "node", node, "failovers", len(fs)-maxHistory)
		for _, f := range fs[maxHistory:] {
			if err := client.IgnoreNotFound(c.opts.Client.Delete(ctx, f, client.Preconditions{UID: &f.UID, ResourceVersion: &f.ResourceVersion})); err != nil {
				errs = append(errs, fmt.Errorf("delete failover %q: %w", f.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// atRisk warns of a cloud-controller-manager: where one gives Nodes of its
// cloud a provider id, it deletes NotReady Nodes that have none.
func (c *Collector) atRisk(ctx context.Context) error {
	var all corev1.NodeList
	if err := c.opts.Client.List(ctx, &all); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	bare, known, temp := 0, "", labels.SelectorFromSet(c.opts.Settings.TempLabels)
	for i := range all.Items {
		n := &all.Items[i]
		switch id := n.Spec.ProviderID; {
		case n.Labels[c.opts.Settings.WatchedKey] == c.opts.Settings.WatchedValue && id == "":
			bare++
		case n.Labels[c.opts.Settings.WatchedKey] != c.opts.Settings.WatchedValue && id != "" && !temp.Matches(labels.Set(n.Labels)):
			known = n.Name
		}
	}
	if known == "" {
		bare = 0
	}
	c.opts.Metrics.atRisk.Set(float64(bare))
	if bare > 0 && !c.warned {
		c.opts.Log.Warn("a cloud-controller-manager seems to run, and deletes NotReady Nodes without a provider id (docs/failover.md)",
			"unprotected", bare, "cloud_node", known)
	}
	c.warned = bare > 0
	watched, earlier := countWatched(all.Items, c.opts.Settings)
	if watched == 0 && !c.unwatched {
		c.opts.Log.Warn("no Node is watched: no failover is made when one dies (docs/failover.md)",
			"label", c.opts.Settings.WatchedKey+"="+c.opts.Settings.WatchedValue, "nodes_of_earlier_versions", earlier)
	}
	c.unwatched = watched == 0
	return nil
}

// The label by which earlier versions watched.
const earlierKey, earlierValue = "node-type", "onpremise"

// CountWatched counts the Nodes that are watched, and those that only an earlier version
// would watch.
func CountWatched(ctx context.Context, r client.Reader, set *decide.Settings) (watched, earlier int, err error) {
	var all corev1.NodeList
	if err := r.List(ctx, &all, readOnly); err != nil {
		return 0, 0, fmt.Errorf("list nodes: %w", err)
	}
	watched, earlier = countWatched(all.Items, set)
	return watched, earlier, nil
}

func countWatched(all []corev1.Node, set *decide.Settings) (watched, earlier int) {
	for i := range all {
		switch labels := all[i].Labels; {
		case labels[set.WatchedKey] == set.WatchedValue:
			watched++
		case labels[earlierKey] == earlierValue:
			earlier++
		}
	}
	return watched, earlier
}

// NothingWatched says that no Node is watched, and what to do.
func NothingWatched(set *decide.Settings, earlier int) string {
	text := fmt.Sprintf("no Node has the label %s=%s (--watched-label): no failover is made when one dies", set.WatchedKey, set.WatchedValue)
	if earlier > 0 {
		text += fmt.Sprintf("; %d Nodes have %s=%s, which earlier versions watched: label them anew, or apply manifests/components/earlier-labels", earlier, earlierKey, earlierValue)
	}
	return text
}

// nodes deletes temporary Nodes whose VM is gone and which no failover claims,
// if two rounds in a row have found them so. Labels alone don't make one ours.
func (c *Collector) nodes(ctx context.Context, exists map[string]bool, claimed map[cloud.Ref]types.UID) error {
	want := client.MatchingLabels(c.opts.Settings.TempLabels)
	if len(want) == 0 {
		return nil
	}
	var all corev1.NodeList
	if err := c.opts.Client.List(ctx, &all, want); err != nil {
		return fmt.Errorf("list temporary nodes: %w", err)
	}
	for r := range claimed {
		exists[r.Name] = true
	}
	var errs []error
	bare := make(map[types.UID]bool)
	defer func() { c.bare = bare }()
	for i := range all.Items {
		n := &all.Items[i]
		if !strings.HasPrefix(n.Name, c.opts.Settings.NamePrefix) || exists[n.Name] || health(n) == decide.Ready || c.opts.DryRun || c.opts.Clock.Since(n.CreationTimestamp.Time) < orphanAge {
			continue
		}
		bare[n.UID] = true
		if !c.bare[n.UID] {
			continue
		}
		c.opts.Log.Warn("deleting a temporary Node without a VM", "node", n.Name)
		if err := client.IgnoreNotFound(c.opts.Client.Delete(ctx, n, client.Preconditions{UID: &n.UID})); err != nil {
			errs = append(errs, fmt.Errorf("delete node %q: %w", n.Name, err))
		}
	}
	return errors.Join(errs...)
}
