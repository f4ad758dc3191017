package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	podresource "k8s.io/component-helpers/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
)

// readOnly lets a list from the cache share its objects, which are not changed:
// copying them all at each event is most of the work with a long history.
const readOnly = client.UnsafeDisableDeepCopy

// observe gathers what a decision needs. An error means that nothing is
// decided: what could not be seen is not taken for absent.
func (r *Reconciler) observe(ctx context.Context, f *v1.NodeFailover) (*decide.State, error) {
	s := &decide.State{Failover: f, APIHealthySince: r.opts.APIHealthySince(), FreshTokenID: join.NewTokenID()}
	if text := f.Annotations[RecordAnnotation]; text != "" {
		s.Record = new(decide.Record)
		if err := json.Unmarshal([]byte(text), s.Record); err != nil {
			r.opts.Log.Warn("the failover's record is unreadable", "failover", f.Name, "error", err)
			s.Record = nil
		}
	}
	for _, see := range []func(context.Context, *decide.State) error{r.observeNode, r.observeWatched, r.observeSiblings, r.observeGone, r.observeTemp, r.observeServers, r.observeLost, r.observeProbe, r.observeVersions} {
		if err := see(ctx, s); err != nil {
			return nil, err
		}
	}
	r.observeVM(ctx, s)
	return s, nil
}

// node reads a Node; nil if the API server says that there is none.
func (r *Reconciler) node(ctx context.Context, name string) (*corev1.Node, error) {
	var n corev1.Node
	err := r.opts.Client.Get(ctx, client.ObjectKey{Name: name}, &n)
	if apierrors.IsNotFound(err) { // the cache may be behind
		err = r.opts.Live.Get(ctx, client.ObjectKey{Name: name}, &n)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read node %q: %w", name, err)
	}
	return &n, nil
}

func (r *Reconciler) observeNode(ctx context.Context, s *decide.State) error {
	n, err := r.node(ctx, s.Failover.Spec.OnpremNodeName)
	if err != nil || n == nil {
		return err
	}
	s.Node = decide.Node{Health: health(n), UID: n.UID, Labels: n.Labels, Tainted: hasTaint(n, TaintKey, corev1.TaintEffectNoExecute), Watched: n.Labels[r.opts.Settings.WatchedKey] == r.opts.Settings.WatchedValue && !paused(n), Cordoned: n.Spec.Unschedulable}
	s.Node.Reports = r.reports(ctx, n)
	if n.DeletionTimestamp != nil {
		s.Node.Health = decide.NotReady // it is on its way out
	}
	return nil
}

// observeWatched looks at all watched nodes, for the storm protection.
func (r *Reconciler) observeWatched(ctx context.Context, s *decide.State) error {
	var all corev1.NodeList
	if err := r.opts.Client.List(ctx, &all, readOnly, client.MatchingLabels{r.opts.Settings.WatchedKey: r.opts.Settings.WatchedValue}); err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	for i := range all.Items {
		n := &all.Items[i]
		s.Nodes = append(s.Nodes, decide.WatchedNode{Name: n.Name, Health: health(n), Planned: paused(n) || n.Spec.Unschedulable})
	}
	return nil
}

// observeGone counts the nodes that failed and whose Node was then deleted, as a
// cloud-controller-manager does: they are down as well.
func (r *Reconciler) observeGone(ctx context.Context, s *decide.State) error {
	counted := make(map[string]bool)
	count := func(f *v1.NodeFailover) error {
		node := f.Spec.OnpremNodeName
		if f.Status.Phase == v1.Completed || f.Spec.Drill || f.Status.NotReadySince == nil || counted[node] {
			return nil
		}
		counted[node] = true
		switch err := r.opts.Client.Get(ctx, client.ObjectKey{Name: node}, new(corev1.Node)); {
		case apierrors.IsNotFound(err):
			s.Nodes = append(s.Nodes, decide.WatchedNode{Name: node})
		case err != nil:
			return fmt.Errorf("read node %q: %w", node, err)
		}
		return nil
	}
	err := count(s.Failover)
	for i := 0; i < len(s.Siblings) && err == nil; i++ {
		err = count(&s.Siblings[i])
	}
	return err
}

// observeSiblings: while a failover waits for room in the budgets, the list is
// live; two that are decided one after the other then see each other.
func (r *Reconciler) observeSiblings(ctx context.Context, s *decide.State) error {
	from := client.Reader(r.opts.Client)
	if waits(s.Failover) {
		from = r.opts.Live
	}
	var all v1.NodeFailoverList
	if err := from.List(ctx, &all, readOnly); err != nil {
		return fmt.Errorf("list failovers: %w", err)
	}
	s.Siblings = slices.DeleteFunc(all.Items, func(f v1.NodeFailover) bool { return f.UID == s.Failover.UID })
	return nil
}

// tempName is the name of the temporary Node, be it shared or not.
func tempName(s *decide.State) string {
	if host := s.Failover.Status.SharesWith; host != "" {
		for i := range s.Siblings {
			if s.Siblings[i].Name == host {
				return s.Siblings[i].Status.GCPVMName
			}
		}
		return ""
	}
	return s.Failover.Status.GCPVMName
}

func (r *Reconciler) observeTemp(ctx context.Context, s *decide.State) error {
	name := tempName(s)
	if name == "" {
		return nil
	}
	n, err := r.node(ctx, name)
	if err != nil || n == nil {
		return err
	}
	cpu, memory := n.Status.Allocatable[corev1.ResourceCPU], n.Status.Allocatable[corev1.ResourceMemory]
	s.Temp = decide.Temp{
		Kubelet: n.Status.NodeInfo.KubeletVersion,
		Taints:  foreignTaints(n), MilliCPU: cpu.MilliValue(), Memory: memory.Value(),
		ExternalIP: slices.ContainsFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeExternalIP }),
		Exists:     true, UID: n.UID, Ready: health(n) == decide.Ready, Cordoned: n.Spec.Unschedulable,
		Uninitialised: hasTaint(n, uninitialized, ""), ProviderID: n.Spec.ProviderID, Labels: n.Labels,
	}
	return nil
}

// foreignTaints are the keys of a temporary Node's taints that keep pods away, but
// for those that say what is known otherwise: that it is cordoned, not Ready,
// uninitialised, or a drill's.
func foreignTaints(n *corev1.Node) []string {
	var keys []string
	for _, t := range n.Spec.Taints {
		switch t.Key {
		case uninitialized, corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable, corev1.TaintNodeUnschedulable, DrillTaint:
			continue
		}
		if t.Effect == corev1.TaintEffectNoSchedule || t.Effect == corev1.TaintEffectNoExecute {
			keys = append(keys, t.Key)
		}
	}
	return keys
}

func (r *Reconciler) observeServers(ctx context.Context, s *decide.State) error {
	// Also before a drain: the decision that begins it takes the first server away.
	if s.Failover.Status.VM != nil && s.Failover.Status.Phase != v1.Completed {
		if err := r.observeRunning(ctx, s); err != nil {
			return err
		}
	}
	for _, name := range []string{s.Failover.Spec.OnpremNodeName, s.Failover.Status.GCPVMName} {
		if name == "" {
			continue
		}
		var all gameserver.GameServerList
		if err := r.opts.Client.List(ctx, &all, readOnly, client.MatchingFields{byNode: name}); err != nil {
			return fmt.Errorf("list game servers on %q: %w", name, err)
		}
		for i := range all.Items {
			s.Servers = append(s.Servers, seenServer(&all.Items[i], name))
		}
	}
	return nil
}

// seenServer is a game server on a node as decisions see it.
func seenServer(g *gameserver.GameServer, node string) decide.Server {
	_, hidden := g.Annotations[gameserver.HiddenAnnotation]
	label, labelled := g.Labels[contract.AllocatableLabel]
	return decide.Server{
		Namespace: g.Namespace, Name: g.Name, UID: g.UID, ResourceVersion: g.ResourceVersion, State: g.Status.State,
		Node: node, Deleting: g.DeletionTimestamp != nil, Hidden: hidden, Allocatable: label == "true", Relabelled: hidden && labelled,
	}
}

// observeRunning counts what runs anywhere: what a drain takes away is counted
// against it.
func (r *Reconciler) observeRunning(ctx context.Context, s *decide.State) error {
	var all gameserver.GameServerList
	if err := r.opts.Client.List(ctx, &all, readOnly); err != nil {
		return fmt.Errorf("list game servers: %w", err)
	}
	for i := range all.Items {
		switch g := &all.Items[i]; {
		case g.DeletionTimestamp != nil:
		case g.Status.State == agones.Ready, g.Status.State == agones.Allocated, g.Status.State == agones.Reserved:
			s.Running++
		}
	}
	return nil
}

// pods are the game servers' pods on a node, from a live list: once when a
// node fails.
func (r *Reconciler) pods(ctx context.Context, node string) ([]corev1.Pod, error) {
	var all corev1.PodList
	err := r.opts.Live.List(ctx, &all, client.MatchingLabels{agones.RoleLabel: agones.RoleGameServer}, client.MatchingFields{"spec.nodeName": node})
	if err != nil {
		return nil, fmt.Errorf("list pods on %q: %w", node, err)
	}
	return all.Items, nil
}

// observeLost sums up what ran on the node, as soon as it has failed.
func (r *Reconciler) observeLost(ctx context.Context, s *decide.State) error {
	st, spec := s.Failover.Status, s.Failover.Spec
	if st.Lost != nil || spec.SharedLoad != nil || spec.Replaces != "" || st.Phase != v1.Pending && st.Phase != "" {
		return nil
	}
	pods, err := r.pods(ctx, s.Failover.Spec.OnpremNodeName)
	if err != nil {
		if spec.Drill {
			return err
		}
		s.LostErr = err.Error() // servers are hidden all the same
		return nil
	}
	s.Lost = sumUp(pods)
	if spec.Drill {
		s.Probe = r.probe(pods)
	}
	return nil
}

// sumUp counts game servers of the same size as one entry. Should there be too
// many sizes, the smallest count as the largest of them.
func sumUp(pods []corev1.Pod) *v1.LostServers {
	lost := &v1.LostServers{Load: v1.Load{CPU: v1.Milli(0), Memory: v1.Bytes(0)}}
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		lost.GameServers++
		c, m := requests(p)
		cpu, memory := v1.Milli(c.MilliValue()), v1.Bytes(m.Value()) // whatever way they were written
		lost.CPU.Add(cpu.Quantity)
		lost.Memory.Add(memory.Quantity)
		same := func(z v1.Size) bool { return z.CPU.Cmp(cpu.Quantity) == 0 && z.Memory.Cmp(memory.Quantity) == 0 }
		if j := slices.IndexFunc(lost.Sizes, same); j >= 0 {
			lost.Sizes[j].Count++
		} else {
			lost.Sizes = append(lost.Sizes, v1.Size{CPU: cpu, Memory: memory, Count: 1})
		}
	}
	slices.SortStableFunc(lost.Sizes, func(a, b v1.Size) int { return cmp.Or(b.CPU.Cmp(a.CPU.Quantity), b.Memory.Cmp(a.Memory.Quantity)) })
	for n := len(lost.Sizes); n > v1.MaxSizes; n-- {
		a, b := &lost.Sizes[n-2], lost.Sizes[n-1]
		if b.Memory.Cmp(a.Memory.Quantity) > 0 {
			a.Memory = b.Memory
		}
		a.Count += b.Count
		lost.Sizes = lost.Sizes[:n-1]
	}
	return lost
}

// requests of a pod as the scheduler counts them, with the overhead of its
// RuntimeClass, which admission has written into the pod.
func requests(p *corev1.Pod) (cpu, memory resource.Quantity) {
	all := podresource.PodRequests(p, podresource.PodResourcesOptions{})
	return all[corev1.ResourceCPU], all[corev1.ResourceMemory]
}

// owner is whose the VM of a failover is.
func (r *Reconciler) owner(f *v1.NodeFailover) cloud.Owner {
	o := cloud.Owner{Cluster: r.opts.Cluster, Node: f.Spec.OnpremNodeName, Failover: string(f.UID)}
	if f.Status.Recorded != nil {
		o.NodeUID = string(f.Status.Recorded.UID)
	}
	return o
}

func ref(f *v1.NodeFailover) cloud.Ref {
	return cloud.Ref{Name: f.Status.GCPVMName, Zone: f.Status.VM.Zone}
}

// observeVM asks the cloud. Only while the VM stands and nothing depends on it is
// an older answer good enough.
func (r *Reconciler) observeVM(ctx context.Context, s *decide.State) {
	f := s.Failover
	vm := f.Status.VM
	if vm == nil || f.Status.Phase == v1.Completed {
		return
	}
	if n := len(vm.TokenIDs); n > 0 {
		_, s.TokenInMemory = r.token(vm.TokenIDs[n-1])
	}
	old, ok := r.lookedAt(f)
	age := r.opts.Clock.Since(old.at)
	stands := (f.Status.Phase == v1.Active || f.Status.Phase == v1.Recovering) && s.Temp.Ready && old.vm.Presence == decide.VMPresent
	// Players are sent to a node that is drained until its servers are hidden:
	// that waits for no cloud. An old absence would be no proof.
	drains := f.Status.Phase == v1.Draining && f.Status.VMDeletionStartedAt == nil && (old.vm.Presence == decide.VMPresent || old.vm.Presence == decide.VMUnknown)
	// An answer that was none is not asked for again at once: its text is a change
	// of the status, which is a reason to look.
	failed := old.vm.Err != "" && age < r.opts.Settings.Poll
	if ok && (failed || (stands || drains) && age < r.opts.Settings.Watch) {
		s.VM = old.vm
		return
	}
	limit := lookTimeout
	if old.slow {
		limit = callTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	instance, err := r.opts.Cloud.Get(ctx, ref(f), r.owner(f))
	r.opts.Metrics.call(cloud.CallGet, err, time.Since(began))
	switch {
	case err == nil:
		s.VM = decide.VM{Presence: decide.VMPresent, Instance: instance}
	case errors.Is(err, cloud.ErrNotFound):
		s.VM = decide.VM{Presence: decide.VMAbsent}
	case errors.Is(err, cloud.ErrForeign):
		s.VM = decide.VM{Presence: decide.VMForeign}
	default:
		s.VM = decide.VM{Err: err.Error()}
	}
	r.looks.Store(f.UID, look{at: r.opts.Clock.Now(), name: f.Status.GCPVMName, vm: s.VM, slow: time.Since(began) > lookTimeout/2})
}
