// Package reconcile brings the game servers of a cluster from one state to the
// next: Fleets get their GameServers, GameServers their pods. All state is in
// the API server; each change is of one version of an object and fails if that
// is no longer the current one, so that a controller that has been replaced
// without knowing can do no harm. The states are those of package state.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/pkg/agones"
)

// Options are what both reconcilers need. All fields have to be set.
type Options struct {
	// Client reads from the cache; Live asks the API server.
	Client client.Client
	Live   client.Reader
	Events events.EventRecorder
	Clock  clock.Clock
	// Ports are the host ports.
	Ports *pod.Ports
	Pod   pod.Options
	// StartTimeout is how long the containers of a pod may take to start on the
	// node that it was given.
	StartTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause of a fleet whose servers fail.
	BackoffMin, BackoffMax time.Duration
}

// gameServers reconciles GameServers.
type gameServers struct {
	Options
	failures *failures
	loaded   portLoader
}

// conflictPause is for how long the cache gets to see what somebody else wrote.
const conflictPause = 20 * time.Millisecond

// unlessConflict makes another attempt of a change that was of an old version.
func unlessConflict(result ctrl.Result, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: conflictPause}, nil
	}
	return result, client.IgnoreNotFound(err)
}

func (r *gameServers) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	gs := new(v1.GameServer)
	if err := r.Client.Get(ctx, req.NamespacedName, gs); err != nil {
		if !apierrors.IsNotFound(err) {
			return ctrl.Result{}, err
		}
		return unlessConflict(ctrl.Result{}, r.collect(ctx, req.NamespacedName, nil))
	}
	if !gs.DeletionTimestamp.IsZero() {
		return unlessConflict(ctrl.Result{}, r.collect(ctx, req.NamespacedName, nil))
	}
	if address, ok := gs.Annotations[agones.DevAddressAnnotation]; ok {
		return unlessConflict(r.develop(ctx, gs, address))
	}
	r.Ports.Note(gs)
	return unlessConflict(r.step(ctx, gs))
}

// step takes a server one state further.
func (r *gameServers) step(ctx context.Context, gs *v1.GameServer) (ctrl.Result, error) {
	switch gs.Status.State {
	case "", agones.PortAllocation:
		return ctrl.Result{}, r.place(ctx, gs)
	case agones.Creating:
		return r.createPod(ctx, gs)
	case agones.Shutdown, agones.Error, agones.Unhealthy:
		return ctrl.Result{}, r.end(ctx, gs)
	}
	return r.watchPod(ctx, gs)
}

// place gives a server its host ports.
func (r *gameServers) place(ctx context.Context, gs *v1.GameServer) error {
	if _, err := pod.Template(&gs.Spec, ""); err != nil {
		return r.fail(ctx, gs, err)
	}
	if err := r.loaded.load(ctx, r.Live, r.Ports); err != nil {
		return err
	}
	nodes := new(corev1.NodeList)
	if err := r.Client.List(ctx, nodes); err != nil {
		return err
	}
	next := gs.DeepCopy()
	if err := r.Ports.Assign(next, len(nodes.Items)); err != nil {
		return r.fail(ctx, gs, err)
	}
	if gs.Status.State == "" {
		gs.Status.State = agones.PortAllocation
		next.Status.Counters, next.Status.Lists = next.Spec.Counters, next.Spec.Lists
	}
	err := r.apply(ctx, gs, next, state.InputPlaced)
	if err != nil {
		r.Ports.Free(gs.UID)
	}
	return err
}

func (r *gameServers) createPod(ctx context.Context, gs *v1.GameServer) (ctrl.Result, error) {
	p, err := pod.New(gs, r.Pod)
	if err != nil {
		return ctrl.Result{}, r.fail(ctx, gs, err)
	}
	err = r.Client.Create(ctx, p)
	switch {
	case apierrors.IsAlreadyExists(err):
		// Ours from before a crash, or a former server's of the same name.
		if err := r.collect(ctx, client.ObjectKeyFromObject(gs), gs); err != nil {
			return ctrl.Result{}, err
		}
		found := new(corev1.Pod)
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(gs), found); err != nil || !metav1.IsControlledBy(found, gs) {
			return ctrl.Result{RequeueAfter: 5 * conflictPause}, client.IgnoreNotFound(err)
		}
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err):
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return ctrl.Result{}, nil
		}
		return ctrl.Result{}, r.fail(ctx, gs, err)
	case err != nil:
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.apply(ctx, gs, gs.DeepCopy(), state.InputStarting)
}

// watchPod is for servers that have a pod.
func (r *gameServers) watchPod(ctx context.Context, gs *v1.GameServer) (ctrl.Result, error) {
	p, err := r.pod(ctx, gs)
	if err != nil {
		return ctrl.Result{}, err
	}
	if reason, err := r.ended(ctx, gs, p); err != nil || reason != "" {
		if err != nil {
			return ctrl.Result{}, err
		}
		r.warn(gs, "Unhealthy", reason)
		return ctrl.Result{}, r.apply(ctx, gs, gs.DeepCopy(), state.InputExited)
	}
	now := r.Clock.Now()
	switch gs.Status.State {
	case agones.Starting, agones.RequestReady:
		return r.address(ctx, gs, p)
	case agones.Scheduled:
		return r.starts(ctx, gs, p, now)
	case agones.Reserved:
		return r.reserved(ctx, gs, now)
	}
	return ctrl.Result{}, nil
}

// pod returns a server's pod, or nil. The API server has the last word: the cache
// may not have seen the pod yet.
func (r *gameServers) pod(ctx context.Context, gs *v1.GameServer) (*corev1.Pod, error) {
	p := new(corev1.Pod)
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(gs), p)
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(p, gs)) {
		err = r.Live.Get(ctx, client.ObjectKeyFromObject(gs), p)
	}
	switch {
	case apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(p, gs)):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return p, nil
}

// ended returns why a server's pod will serve no more, or nothing.
func (r *gameServers) ended(ctx context.Context, gs *v1.GameServer, p *corev1.Pod) (string, error) {
	if p == nil {
		return "its pod is gone", nil
	}
	inUse := gs.Status.State == agones.Allocated || gs.Status.State == agones.Reserved
	if !p.DeletionTimestamp.IsZero() && !inUse {
		return "its pod is being deleted", nil
	}
	if s := gameStatus(p); s != nil && s.State.Terminated != nil {
		t := s.State.Terminated
		return fmt.Sprintf("its container ended: exit status %d %s %s", t.ExitCode, t.Reason, t.Message), nil
	}
	if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return fmt.Sprintf("its pod has ended: %s %s %s", p.Status.Phase, p.Status.Reason, p.Status.Message), nil
	}
	if p.Spec.NodeName == "" {
		return "", nil
	}
	node := client.ObjectKey{Name: p.Spec.NodeName}
	if r.Client.Get(ctx, node, new(corev1.Node)) == nil {
		return "", nil
	}
	err := r.Live.Get(ctx, node, new(corev1.Node))
	if apierrors.IsNotFound(err) {
		return "its node is gone", nil
	}
	return "", err
}

func gameStatus(p *corev1.Pod) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if p.Status.ContainerStatuses[i].Name == p.Annotations[pod.ContainerAnnotation] {
			return &p.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// starts fails a server whose pod does not come up on its node.
func (r *gameServers) starts(ctx context.Context, gs *v1.GameServer, p *corev1.Pod, now time.Time) (ctrl.Result, error) {
	if s := gameStatus(p); s != nil && s.State.Running != nil {
		return ctrl.Result{}, nil
	}
	since := p.CreationTimestamp.Time
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue && !c.LastTransitionTime.IsZero() {
			since = c.LastTransitionTime.Time
		}
	}
	if wait := since.Add(r.StartTimeout).Sub(now); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{}, r.fail(ctx, gs, fmt.Errorf("its pod did not start within %v%s", r.StartTimeout, waiting(p)))
}

// waiting says what the containers of a pod wait for.
func waiting(p *corev1.Pod) (why string) {
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for _, s := range list {
			if w := s.State.Waiting; w != nil && w.Reason != "" {
				why += fmt.Sprintf("; container %s: %s %s", s.Name, w.Reason, w.Message)
			}
		}
	}
	return why
}

// fail moves a server that cannot be started to Error.
func (r *gameServers) fail(ctx context.Context, gs *v1.GameServer, cause error) error {
	next := gs.DeepCopy()
	next.Annotations = with(gs.Annotations, erroredAtAnnotation, r.Clock.Now().Format(time.RFC3339))
	if err := r.apply(ctx, gs, next, state.InputFailed); err != nil {
		return err
	}
	r.warn(gs, "Failed", cause.Error())
	return nil
}

const erroredAtAnnotation = "agones.dev/errored-at"

// end takes a server away that has ended. One without a fleet stays, for its
// owner to see why, unless it has asked to be ended itself.
func (r *gameServers) end(ctx context.Context, gs *v1.GameServer) error {
	owner := metav1.GetControllerOf(gs)
	failed := gs.Status.State != agones.Shutdown
	if failed && owner == nil {
		return nil
	}
	err := r.Client.Delete(ctx, gs, client.Preconditions{UID: &gs.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err == nil && owner != nil {
		r.failures.note(client.ObjectKey{Namespace: gs.Namespace, Name: owner.Name}, failed, r.Clock.Now())
	}
	return err
}

// collect deletes the pod of a server that is no more; keep is the server whose
// pod may stay, or nil. The cluster's garbage collector would do it too, later.
func (r *gameServers) collect(ctx context.Context, key client.ObjectKey, keep *v1.GameServer) error {
	p := new(corev1.Pod)
	if err := r.Live.Get(ctx, key, p); err != nil {
		return client.IgnoreNotFound(err)
	}
	owner := metav1.GetControllerOf(p)
	if owner == nil || owner.Kind != "GameServer" || owner.APIVersion != v1.GroupVersion.String() || !p.DeletionTimestamp.IsZero() {
		return nil
	}
	if keep != nil && owner.UID == keep.UID {
		return nil
	}
	gs := new(v1.GameServer)
	err := r.Live.Get(ctx, key, gs)
	if err == nil && gs.UID == owner.UID && gs.DeletionTimestamp.IsZero() {
		return nil
	}
	if err := client.IgnoreNotFound(err); err != nil {
		return err
	}
	return r.Client.Delete(ctx, p, client.Preconditions{UID: &p.UID})
}

// apply writes a server in the state that an input leads to, if the server is
// still the version that was read.
func (r *gameServers) apply(ctx context.Context, gs, next *v1.GameServer, in state.Input) error {
	to, moved := state.State(gs.Status.State).After(in)
	if !moved {
		return nil
	}
	next.Status.State = string(to)
	if to != agones.Reserved {
		next.Status.ReservedUntil = nil
	}
	return r.Client.Patch(ctx, next, client.MergeFromWithOptions(gs, client.MergeFromWithOptimisticLock{}))
}

func (r *gameServers) warn(gs *v1.GameServer, reason, note string) {
	r.Events.Eventf(gs, nil, corev1.EventTypeWarning, reason, "Reconcile", "%.900s", note)
}

func with(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}

var errNoAddress = errors.New("its node has no address")
