package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/rand"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/label"
	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/plan"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/pkg/agones"
)

// fleets reconciles Fleets.
type fleets struct {
	Options
	failures *failures
}

// burst is how many servers are made or deleted in one go.
const burst = 64

func (r *fleets) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	f := new(v1.Fleet)
	if err := r.Client.Get(ctx, req.NamespacedName, f); err != nil {
		if apierrors.IsNotFound(err) {
			r.failures.forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !f.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // its servers go with it
	}
	want, err := fleetPlan(f)
	if err != nil {
		r.Events.Eventf(f, nil, corev1.EventTypeWarning, "Invalid", "Reconcile", "%.900s", err.Error())
		return ctrl.Result{}, nil // until it is changed
	}
	servers, err := r.servers(ctx, r.Client, f)
	if err != nil {
		return ctrl.Result{}, err
	}
	p := plan.Decide(want, inputs(servers))
	if p.Empty() {
		return unlessConflict(ctrl.Result{}, r.status(ctx, f, p.Counts))
	}
	// The cache may lack what was just made: what is done follows from what
	// the API server has.
	if servers, err = r.servers(ctx, r.Live, f); err != nil {
		return ctrl.Result{}, err
	}
	p = plan.Decide(want, inputs(servers))
	result, err := r.carryOut(ctx, f, want.Set, p, servers)
	if err == nil {
		err = r.status(ctx, f, p.Counts)
	}
	return unlessConflict(result, err)
}

// servers returns a fleet's own servers.
func (r *fleets) servers(ctx context.Context, from client.Reader, f *v1.Fleet) ([]v1.GameServer, error) {
	list := new(v1.GameServerList)
	if err := from.List(ctx, list, client.InNamespace(f.Namespace), client.MatchingLabels{agones.FleetLabel: f.Name}); err != nil {
		return nil, err
	}
	own := list.Items[:0]
	for i := range list.Items {
		if metav1.IsControlledBy(&list.Items[i], f) {
			own = append(own, list.Items[i])
		}
	}
	return own, nil
}

func inputs(servers []v1.GameServer) []plan.Server {
	out := make([]plan.Server, 0, len(servers))
	for i := range servers {
		s := &servers[i]
		current := state.State(s.Status.State)
		if current == "" {
			current = agones.PortAllocation
		}
		out = append(out, plan.Server{Name: s.Name, Set: s.Labels[agones.SetLabel], State: current, Deleted: !s.DeletionTimestamp.IsZero()})
	}
	return out
}

// fleetPlan reads a Fleet. The error is a *pod.FieldError.
func fleetPlan(f *v1.Fleet) (plan.Fleet, error) {
	want := plan.Fleet{Replicas: int(f.Spec.Replicas)}
	template := &f.Spec.Template
	if _, err := pod.Template(&template.Spec, "spec.template."); err != nil {
		return want, err
	}
	if err := label.CheckLabels(template.Metadata.Labels); err != nil {
		return want, &pod.FieldError{Field: "spec.template.metadata.labels", Rule: err.Error()}
	}
	if err := label.CheckAnnotations(template.Metadata.Annotations); err != nil {
		return want, &pod.FieldError{Field: "spec.template.metadata.annotations", Rule: err.Error()}
	}
	if err := rollout(f, &want); err != nil {
		return want, err
	}
	text, err := json.Marshal(template)
	if err != nil {
		return want, &pod.FieldError{Field: "spec.template", Rule: err.Error()}
	}
	hash := fnv.New32a()
	_, _ = hash.Write(text) // never fails
	want.Set = f.Name + "-" + rand.SafeEncodeString(fmt.Sprintf("%08x", hash.Sum32()))
	return want, nil
}

func rollout(f *v1.Fleet, want *plan.Fleet) error {
	if f.Spec.Strategy.Type == "Recreate" {
		want.Unavailable = want.Replicas
		return nil
	}
	quarter := intstr.FromString("25%")
	surge, unavailable := &quarter, &quarter
	if u := f.Spec.Strategy.RollingUpdate; u != nil {
		if u.MaxSurge != nil {
			surge = u.MaxSurge
		}
		if u.MaxUnavailable != nil {
			unavailable = u.MaxUnavailable
		}
	}
	const path = "spec.strategy.rollingUpdate."
	var err error
	if want.Surge, err = intstr.GetScaledValueFromIntOrPercent(surge, want.Replicas, true); err != nil || want.Surge < 0 {
		return &pod.FieldError{Field: path + "maxSurge", Rule: "must be a number or a percentage, not negative"}
	}
	if want.Unavailable, err = intstr.GetScaledValueFromIntOrPercent(unavailable, want.Replicas, false); err != nil || want.Unavailable < 0 {
		return &pod.FieldError{Field: path + "maxUnavailable", Rule: "must be a number or a percentage, not negative"}
	}
	if want.Surge+want.Unavailable == 0 {
		want.Unavailable = 1 // both round to nothing, as in Deployments
	}
	return nil
}

func (r *fleets) carryOut(ctx context.Context, f *v1.Fleet, set string, p plan.Plan, servers []v1.GameServer) (ctrl.Result, error) {
	byName := make(map[string]*v1.GameServer, len(servers))
	for i := range servers {
		byName[servers[i].Name] = &servers[i]
	}
	var result ctrl.Result
	for i, name := range p.Delete {
		if i == burst {
			result.RequeueAfter = conflictPause
			break
		}
		s := byName[name]
		// Somebody may have allocated it since: then it is another version.
		err := r.Client.Delete(ctx, s, client.Preconditions{UID: &s.UID, ResourceVersion: &s.ResourceVersion},
			client.PropagationPolicy(metav1.DeletePropagationBackground))
		if client.IgnoreNotFound(err) != nil {
			return result, err
		}
	}
	if p.Create > 0 {
		if wait := r.failures.wait(client.ObjectKeyFromObject(f), r.Clock.Now()); wait > 0 {
			return ctrl.Result{RequeueAfter: wait}, nil
		}
	}
	for i := range p.Create {
		if i == burst {
			result.RequeueAfter = conflictPause
			break
		}
		err := r.Client.Create(ctx, server(f, set))
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return ctrl.Result{}, nil
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return result, err
		}
	}
	return result, nil
}

// server makes a server of a fleet that does not exist yet.
func server(f *v1.Fleet, set string) *v1.GameServer {
	t := f.Spec.Template.DeepCopy()
	gs := &v1.GameServer{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace, Name: set + "-" + rand.String(5),
			Labels: maps.Clone(t.Metadata.Labels), Annotations: maps.Clone(t.Metadata.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(f, v1.GroupVersion.WithKind("Fleet"))},
		},
		Spec:   t.Spec,
		Status: v1.GameServerStatus{State: agones.PortAllocation, Counters: t.Spec.Counters, Lists: t.Spec.Lists},
	}
	if gs.Labels == nil {
		gs.Labels = make(map[string]string)
	}
	gs.Labels[agones.FleetLabel], gs.Labels[agones.SetLabel] = f.Name, set
	gs.Spec.Scheduling = f.Spec.Scheduling
	return gs
}

func (r *fleets) status(ctx context.Context, f *v1.Fleet, c plan.Counts) error {
	next := f.DeepCopy()
	next.Status = v1.FleetStatus{
		Replicas: int32(c.All), ReadyReplicas: int32(c.Ready), ReservedReplicas: int32(c.Reserved), AllocatedReplicas: int32(c.Allocated),
	}
	if next.Status == f.Status {
		return nil
	}
	return r.Client.Status().Patch(ctx, next, client.MergeFrom(f))
}
