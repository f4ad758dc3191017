package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
)

// nodePaused on a Node keeps failovers from being made for it: it is being
// worked on.
const nodePaused = v1.PausedAnnotation

// Watcher makes a NodeFailover for each watched Node that is not Ready and has
// none; most of them end within the grace. Besides, it leaves no server hidden on a
// Node that is Ready and has none.
type Watcher struct {
	opts *Options

	beenReady sync.Map // UIDs of Nodes that were seen Ready
}

// Register adds it to a manager.
func (w *Watcher) Register(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("watcher").
		For(&corev1.Node{}).
		// A failover that has ended while its node is down makes room for the next.
		Watches(&v1.NodeFailover{}, handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
			return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: o.(*v1.NodeFailover).Spec.OnpremNodeName}}}
		})).
		WithOptions(controller.Options{RateLimiter: limiter()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), w))
}

// Reconcile looks at one Node.
func (w *Watcher) Reconcile(ctx context.Context, n *corev1.Node) (reconcile.Result, error) {
	ready := health(n) == decide.Ready
	if ready {
		w.beenReady.Store(n.UID, true)
		if err := w.show(ctx, n); err != nil {
			return reconcile.Result{}, err
		}
	}
	if n.Labels[w.opts.Settings.WatchedKey] != w.opts.Settings.WatchedValue || n.DeletionTimestamp != nil || paused(n) || ready {
		return reconcile.Result{}, nil
	}
	// A node that has just been added is NotReady until its network is up.
	_, known := w.beenReady.Load(n.UID)
	if age := w.opts.Clock.Now().Sub(n.CreationTimestamp.Time); !known && age < w.opts.Settings.Grace && age >= 0 {
		return reconcile.Result{RequeueAfter: w.opts.Settings.Grace - age}, nil
	}
	for _, r := range []client.Reader{w.opts.Client, w.opts.Live} { // the cache says mostly yes, and cheaply
		open, err := w.open(ctx, r, n.Name)
		if err != nil || open {
			return reconcile.Result{}, err
		}
	}
	return reconcile.Result{}, w.create(ctx, n)
}

// show gives the servers of a Node that is Ready their label back that nobody else
// would: the failover that hid them has ended while the Node was down, and it was
// Ready before there was a next one.
func (w *Watcher) show(ctx context.Context, n *corev1.Node) error {
	var all gameserver.GameServerList
	if err := w.opts.Client.List(ctx, &all, readOnly, client.MatchingFields{byNode: n.Name}); err != nil {
		return fmt.Errorf("list game servers on %q: %w", n.Name, err)
	}
	var hidden []decide.Server
	for i := range all.Items {
		if g := seenServer(&all.Items[i], n.Name); g.Hidden && !g.Deleting {
			hidden = append(hidden, g)
		}
	}
	if len(hidden) == 0 || w.opts.DryRun {
		return nil
	}
	for _, r := range []client.Reader{w.opts.Client, w.opts.Live} {
		var all v1.NodeFailoverList
		if err := r.List(ctx, &all, readOnly); err != nil {
			return fmt.Errorf("list failovers: %w", err)
		}
		if slices.ContainsFunc(all.Items, func(f v1.NodeFailover) bool {
			return f.Status.Phase != v1.Completed && !f.Spec.Drill && f.Spec.OnpremNodeName == n.Name || f.Status.GCPVMName == n.Name
		}) {
			return nil // it knows better
		}
	}
	for _, g := range hidden {
		if _, err := NewReconciler(w.opts).patchServer(ctx, decide.Action{Kind: decide.ShowServer, Server: g}); err != nil {
			return fmt.Errorf("show game server %s/%s: %w", g.Namespace, g.Name, err)
		}
		w.opts.Log.Info("no failover hides the game server any more: it is shown", "gameserver", g.Namespace+"/"+g.Name, "node", n.Name)
	}
	return nil
}

func (w *Watcher) open(ctx context.Context, r client.Reader, node string) (bool, error) {
	var all v1.NodeFailoverList
	if err := r.List(ctx, &all, readOnly); err != nil {
		return false, fmt.Errorf("list failovers: %w", err)
	}
	for i := range all.Items {
		if f := &all.Items[i]; f.Spec.OnpremNodeName == node && f.Spec.ParentFailover == "" && !f.Spec.Drill && f.Status.Phase != v1.Completed {
			return true, nil
		}
	}
	return false, nil
}

func (w *Watcher) create(ctx context.Context, n *corev1.Node) error {
	var whole corev1.Node // the cache has no annotations, and may be behind
	if err := w.opts.Live.Get(ctx, client.ObjectKeyFromObject(n), &whole); err != nil || whole.UID != n.UID {
		whole = *n // it may be gone by now
	}
	if paused(&whole) {
		return nil
	}
	record, err := encodeRecord(decide.Record{
		UID: n.UID, Labels: n.Labels, FailedAt: w.opts.Clock.Now(),
		Annotations: ownAnnotations(whole.Annotations), Taints: ownTaints(whole.Spec.Taints), Unschedulable: whole.Spec.Unschedulable,
	})
	if err != nil {
		return fmt.Errorf("record node %s: %w", n.Name, err)
	}
	f := &v1.NodeFailover{
		ObjectMeta: metav1.ObjectMeta{
			Name:        decide.Name(n.Name, n.UID, outage(n)),
			Finalizers:  []string{v1.Finalizer},
			Annotations: map[string]string{RecordAnnotation: string(record)},
		},
		Spec: v1.NodeFailoverSpec{OnpremNodeName: n.Name},
	}
	if w.opts.DryRun {
		w.opts.Log.Info("would make a failover", "node", n.Name, "failover", f.Name)
		return nil
	}
	for err := w.opts.Client.Create(ctx, f); err != nil; err = w.opts.Client.Create(ctx, f) {
		if !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create failover for node %s: %w", n.Name, err)
		}
		// One of the same outage may have completed, deleted by hand for example,
		// while the node went on being down. This one follows on it.
		var old v1.NodeFailover
		if err := w.opts.Live.Get(ctx, client.ObjectKeyFromObject(f), &old); err != nil {
			return client.IgnoreNotFound(err)
		}
		if old.Status.Phase != v1.Completed {
			return nil // another controller has been faster
		}
		f.Name = decide.Name(n.Name, n.UID, outage(n)+"/"+string(old.UID))
	}
	w.opts.Log.Info("node is not ready: failover made", "node", n.Name, "failover", f.Name)
	w.opts.event(f, decide.Event{Kind: decide.Normal, Reason: "NodeNotReady", Message: fmt.Sprintf("%s is not Ready", n.Name)})
	return nil
}

// paused reports whether somebody works on the node.
func paused(n *corev1.Node) bool { return v1.On(n.Annotations, nodePaused) }

// outage is since when the node has not been Ready, by its own condition.
func outage(n *corev1.Node) string {
	if c := readyCondition(n); c != nil {
		return c.LastTransitionTime.UTC().Format(time.RFC3339)
	}
	return "never ready"
}
