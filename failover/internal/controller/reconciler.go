package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
)

// rounds bounds how often one run decides: a call's result is the reason for
// each further one.
const rounds = 8

// workers is how many failovers are looked at side by side.
const workers = 8

// serverCalls is how many game servers one failover changes at a time.
const serverCalls = 16

// Reconciler carries failovers from their first NotReady to their end.
type Reconciler struct {
	opts *Options

	// admission is held while a failover that is Pending is looked at: two never
	// use the same room in a budget, or on a VM. All others are looked at side
	// by side, so that none waits for the cloud's answers about another.
	admission sync.Mutex

	tokens sync.Map // secret halves by id; they are nowhere else
	looks  sync.Map // the last look by the failover's UID
	said   sync.Map // dry run: what was said last, by the failover's UID

	scripts sync.Map // the last try to take a VM's startup script away, by the failover's UID

	renewals sync.Map // of nodes' leases, by the node's name
	unread   sync.Map // nodes whose lease can't be read

	versions versions
}

// look is what the cloud said of a failover's VM.
type look struct {
	at   time.Time
	name string
	vm   decide.VM
	slow bool // the next one gets more time
}

// script is the last try to take a VM's startup script away.
type script struct {
	at   time.Time
	vm   string
	over bool // nothing is left to be tried
}

// NewReconciler makes a Reconciler.
func NewReconciler(o *Options) *Reconciler {
	return &Reconciler{opts: o}
}

func limiter() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, 15*time.Second)
}

// Register adds it to a manager.
func (r *Reconciler) Register(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("failover").
		For(&v1.NodeFailover{}).
		Watches(&v1.NodeFailover{}, handler.EnqueueRequestsFromMapFunc(r.related)).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.ofNode)).
		Watches(&gameserver.GameServer{}, handler.EnqueueRequestsFromMapFunc(r.ofServer)).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers, RateLimiter: limiter()}).
		Complete(r)
}

// open are the names of failovers that are not over and satisfy want.
func (r *Reconciler) open(ctx context.Context, want func(*v1.NodeFailover) bool) []reconcile.Request {
	var all v1.NodeFailoverList
	if err := r.opts.Client.List(ctx, &all, readOnly); err != nil {
		r.opts.Log.Error("list failovers from the cache", "error", err)
		return nil
	}
	var found []reconcile.Request
	for i := range all.Items {
		if f := &all.Items[i]; f.Status.Phase != v1.Completed && want(f) {
			found = append(found, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(f)})
		}
	}
	return found
}

// related are the failovers that wait for, share with, or add to another one,
// and the drills that make room for it.
func (r *Reconciler) related(ctx context.Context, o client.Object) []reconcile.Request {
	changed := o.(*v1.NodeFailover)
	return r.open(ctx, func(f *v1.NodeFailover) bool {
		return f.Name != changed.Name && (f.Status.SharesWith == changed.Name || f.Name == changed.Status.SharesWith || f.Name == changed.Spec.Replaces ||
			f.Parent() == changed.Name || f.Name == changed.Parent() || f.Spec.ParentFailover != "" && f.Parent() == changed.Spec.Replaces ||
			f.Spec.Replaces == changed.Name || f.Spec.Drill && !changed.Spec.Drill || changed.Status.Phase == v1.Completed && f.Status.Phase == v1.Pending)
	})
}

func (r *Reconciler) ofNode(ctx context.Context, o client.Object) []reconcile.Request {
	host := r.hosts(ctx, o.GetName())
	return r.open(ctx, func(f *v1.NodeFailover) bool {
		return f.Spec.OnpremNodeName == o.GetName() || f.Status.GCPVMName == o.GetName() || host != "" && f.Status.SharesWith == host
	})
}

// hosts is the name of the failover whose temporary node has that name.
func (r *Reconciler) hosts(ctx context.Context, node string) string {
	found := r.open(ctx, func(f *v1.NodeFailover) bool { return f.Status.GCPVMName == node })
	if len(found) == 0 {
		return ""
	}
	return found[0].Name
}

// ofServer: a change of a game server matters while its node is drained, or
// dead.
func (r *Reconciler) ofServer(ctx context.Context, o client.Object) []reconcile.Request {
	node := o.(*gameserver.GameServer).Status.NodeName
	if node == "" {
		return nil
	}
	return r.open(ctx, func(f *v1.NodeFailover) bool {
		drains := f.Status.Phase == v1.Draining || f.Status.DrainStartedAt != nil
		return f.Status.GCPVMName == node && drains ||
			f.Spec.OnpremNodeName == node && f.Status.Phase != v1.Draining && !f.Spec.Drill
	})
}

// Reconcile looks at one failover once.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	// Live: a decision on an old status could repeat what is long over.
	f := new(v1.NodeFailover)
	if err := r.opts.Live.Get(ctx, req.NamespacedName, f); err != nil {
		if apierrors.IsNotFound(err) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read failover %q: %w", req.Name, err)
	}
	admitted := func() {}
	if waits(f) {
		r.admission.Lock()
		admitted = sync.OnceFunc(r.admission.Unlock)
		defer admitted()
	}
	s, err := r.observe(ctx, f)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("observe failover %q: %w", req.Name, err)
	}
	wake, err := r.run(ctx, s, admitted)
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: 50 * time.Millisecond}, nil // somebody was faster; look again
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("failover %q: %w", req.Name, err)
	}
	if !r.opts.DryRun {
		r.forgetScript(ctx, s)
	}
	if f.Status.Phase == v1.Completed {
		r.scripts.Delete(f.UID)
		r.looks.Delete(f.UID)
		r.said.Delete(f.UID)
	}
	if wake.IsZero() {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{RequeueAfter: max(wake.Sub(r.opts.Clock.Now()), time.Millisecond)}, nil
}

// waits reports whether it is still to be decided if a failover gets a VM, or how
// dear the next one may be.
func waits(f *v1.NodeFailover) bool {
	st := &f.Status
	return st.Phase == v1.Pending || st.Phase == "" || st.Phase == v1.Creating && st.VM == nil && st.SharesWith == ""
}

// run decides, persists and acts, and says when to look again. It calls
// admitted once the failover waits no longer.
func (r *Reconciler) run(ctx context.Context, s *decide.State, admitted func()) (time.Time, error) {
	var wake time.Time
	done := make(map[string]bool)
	var failed []error
	for range rounds {
		now := r.opts.Clock.Now()
		s.Skips = r.opts.Skips() // after now, or a jump could lie between them
		p := decide.Decide(r.opts.Settings, s, now)
		wake = p.Wake
		if r.opts.DryRun {
			r.logPlan(s.Failover, p)
			return wake, nil
		}
		if err := r.persist(ctx, s, p); err != nil {
			return wake, err
		}
		if !waits(s.Failover) {
			admitted()
		}
		again := p.LookAtPods
		if p.LookAtPods {
			if err := r.observePods(ctx, s); err != nil {
				s.PodsErr = err.Error() // what needs no pods is decided and done all the same
				failed = append(failed, err)
			}
		}
		retry, noVM := false, false
		todo := slices.DeleteFunc(p.Actions, func(a decide.Action) bool {
			key := a.Server.Namespace + " " + a.String()
			before := done[key]
			done[key] = true
			return before
		})
		for len(todo) > 0 {
			n := together(todo)
			for i, o := range r.actAll(ctx, s, todo[:n]) {
				a := todo[i]
				if refusal, ok := errors.AsType[refusal](o.err); ok {
					if s.Refused == nil {
						s.Refused = make(map[types.UID]string)
					}
					s.Refused[a.Pod.UID] = string(refusal)
					again = true
					continue
				}
				if o.err != nil {
					failed = append(failed, fmt.Errorf("%s: %w", a, o.err))
					known := refusedNode(s, a, o.err)
					if refusedToken(s, a, o.err) {
						noVM, again = true, true
						continue
					}
					again = again || known // a condition says so
					if known || byItself(a) {
						continue // one game server that can't be changed must keep neither the VM from being made nor the taint from being set
					}
					return wake, errors.Join(failed...)
				}
				again = again || o.res == learnt
				retry = retry || o.res == changed
			}
			if todo = todo[n:]; noVM {
				todo = slices.DeleteFunc(todo, func(a decide.Action) bool { return a.Kind == decide.CreateVM })
			}
		}
		if !again {
			if soon := now.Add(200 * time.Millisecond); retry && (wake.IsZero() || soon.Before(wake)) {
				wake = soon
			}
			break
		}
	}
	return wake, errors.Join(failed...)
}

// refusedNode reports whether the API server refuses an action on the on-premises Node
// for good, and remembers why.
func refusedNode(s *decide.State, a decide.Action, err error) bool {
	if a.Node == "" || a.Node != s.Failover.Spec.OnpremNodeName || !refusedForGood(err) {
		return false
	}
	if s.RefusedNode == nil {
		s.RefusedNode = make(map[decide.Kind]string)
	}
	s.RefusedNode[a.Kind] = short(err.Error())
	return true
}

// refusedToken reports whether the API server, or a webhook of it that fails, refuses the
// bootstrap token of a VM, and remembers why: no VM is made without.
func refusedToken(s *decide.State, a decide.Action, err error) bool {
	forGood := refusedForGood(err)
	if a.Kind != decide.CreateToken || !forGood && !apierrors.IsInternalError(err) {
		return false
	}
	s.TokenErr, s.TokenUnmade = short(err.Error()), forGood
	return true
}

// refusedForGood reports whether the API server refuses a request for what it is, and would
// refuse it again: a webhook's denial has no reason of its own, and is a bad request.
func refusedForGood(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || denied(err)
}

// byItself reports whether what follows an action goes ahead if that fails.
func byItself(a decide.Action) bool {
	switch a.Kind {
	case decide.CreateAdded, decide.CreateReplacement, decide.DeleteToken, decide.RemoveAnswers, decide.LabelNode, decide.RestoreNode, decide.Cordon, decide.Uncordon, decide.Untaint:
		return true
	}
	return a.Server.Name != "" || a.Pod.Name != ""
}

// together is how many of the first actions are carried out side by side: a
// node has up to a hundred game servers and other pods, and none is to wait for the
// others.
func together(todo []decide.Action) int {
	n := 0
	for n < len(todo) && (todo[n].Server.Name != "" || todo[n].Pod.Name != "") {
		n++
	}
	return max(n, 1)
}

// outcome is that of an action.
type outcome struct {
	res result
	err error
}

// actAll carries out several actions on game servers and pods, which change nothing in
// s, or one of any kind.
func (r *Reconciler) actAll(ctx context.Context, s *decide.State, all []decide.Action) []outcome {
	out := make([]outcome, len(all))
	var calls errgroup.Group
	calls.SetLimit(serverCalls)
	for i, a := range all {
		calls.Go(func() error {
			out[i].res, out[i].err = r.act(ctx, s, a)
			return nil
		})
	}
	_ = calls.Wait()
	return out
}

// persist writes the status, and reports the events once it is written.
func (r *Reconciler) persist(ctx context.Context, s *decide.State, p decide.Plan) error {
	f := s.Failover
	if p.Status != nil {
		before := f.DeepCopy()
		old := before.Status
		f.Status = *p.Status
		// A patch leaves fields alone that this version does not know: a newer
		// one's, during an update. The lock is why nothing else is overwritten.
		if err := r.opts.Client.Status().Patch(ctx, f, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
			f.Status = old
			return fmt.Errorf("persist status: %w", err)
		}
		// What the API server has made of it is what the next round goes on from,
		// but for the instants: it keeps no more than microseconds.
		if old.Phase != f.Status.Phase {
			r.opts.Log.Info("failover", "node", f.Spec.OnpremNodeName, "failover", f.Name, "from", old.Phase, "to", f.Status.Phase)
			r.opts.Metrics.transition(f)
		}
	}
	for _, e := range p.Events {
		r.opts.event(f, e)
	}
	return nil
}

// short cuts a text where the API server would refuse the event.
func short(text string) string {
	const longest = 1000
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + " …"
}

func (o *Options) event(f *v1.NodeFailover, e decide.Event) {
	o.Events.Eventf(f, nil, string(e.Kind), e.Reason, "Failover", "%s", short(e.Message))
}

// logPlan logs what would be done, once.
func (r *Reconciler) logPlan(f *v1.NodeFailover, p decide.Plan) {
	text := fmt.Sprint(p.Actions)
	if p.Status != nil {
		text += " phase " + string(p.Status.Phase)
	}
	if before, _ := r.said.Swap(f.UID, text); before != text {
		r.opts.Log.Info("dry run", "node", f.Spec.OnpremNodeName, "failover", f.Name, "would", text)
	}
}

// token is the secret half of a token, if it is known.
func (r *Reconciler) token(id string) (secret string, ok bool) {
	v, ok := r.tokens.Load(id)
	secret, _ = v.(string)
	return secret, ok
}

// lookedAt is the last look at a failover's present VM.
func (r *Reconciler) lookedAt(f *v1.NodeFailover) (look, bool) {
	v, _ := r.looks.Load(f.UID)
	l, ok := v.(look)
	if l.name != f.Status.GCPVMName {
		return look{}, false
	}
	return l, ok
}
