package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/agones"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
)

// result is what an action means for the run.
type result int

const (
	acted   result = iota
	learnt         // the state holds a call's result: decide again
	changed        // the object is another than was seen: look again soon
)

// act carries out one action. An error ends the run; what was not done is
// decided again.
func (r *Reconciler) act(ctx context.Context, s *decide.State, a decide.Action) (result, error) {
	f := s.Failover
	switch a.Kind {
	case decide.AddFinalizer:
		return acted, r.patchFinalizers(ctx, f, append(slices.Clone(f.Finalizers), v1.Finalizer))
	case decide.RemoveFinalizer:
		return acted, r.patchFinalizers(ctx, f, slices.DeleteFunc(slices.Clone(f.Finalizers), func(s string) bool { return s == v1.Finalizer }))
	case decide.DeleteFailover:
		return acted, client.IgnoreNotFound(r.Client.Delete(ctx, f, client.Preconditions{UID: &f.UID, ResourceVersion: &f.ResourceVersion}))
	case decide.CreateToken:
		return acted, r.createToken(ctx, f, a.ID)
	case decide.DeleteToken:
		return r.deleteToken(ctx, s, a.ID)
	case decide.CreateVM:
		return r.createVM(ctx, s)
	case decide.DeleteVM:
		return acted, r.deleteVM(ctx, f)
	case decide.InitNode:
		return acted, r.initNode(ctx, a.Node, s.VM.Instance)
	case decide.LabelNode:
		return acted, r.patchNode(ctx, a.Node, a.UID, map[string]any{"metadata": map[string]any{"labels": a.Labels}})
	case decide.Cordon, decide.Uncordon:
		return acted, r.patchNode(ctx, a.Node, a.UID, map[string]any{"spec": map[string]any{"unschedulable": a.Kind == decide.Cordon}})
	case decide.DeleteNode:
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.Node}}
		return acted, client.IgnoreNotFound(r.Client.Delete(ctx, n, client.Preconditions{UID: &a.UID}))
	case decide.Fence:
		return r.fence(ctx, s)
	case decide.Taint:
		added, err := r.taint(ctx, a)
		if err == nil && added && f.Status.ActiveAt != nil && f.Status.NotReadySince != nil {
			from := f.Status.ActiveAt.Time
			if end := r.graceEnd(s); end.After(from) { // the node has failed again since
				from = end
			}
			r.Metrics.tainted(r.Clock.Since(from))
		}
		return acted, err
	case decide.Untaint:
		return acted, r.untaint(ctx, a)
	case decide.DeleteServer:
		return r.deleteServer(ctx, s, a.Server)
	case decide.HideServer, decide.ShowServer:
		return r.patchServer(ctx, a)
	case decide.ForgetAnswers:
		return acted, r.forgetAnswers(ctx, f)
	case decide.CreateReplacement:
		return acted, r.createFailover(ctx, f, a.ID, v1.NodeFailoverSpec{Replaces: f.Name, Adds: f.Leader(), Share: f.Spec.Share})
	case decide.CreateAdded:
		return acted, r.createFailover(ctx, f, a.ID, v1.NodeFailoverSpec{Adds: f.Name, Share: a.Share})
	}
	return acted, fmt.Errorf("unknown action")
}

func (r *Reconciler) patchFinalizers(ctx context.Context, f *v1.NodeFailover, want []string) error {
	old := f.DeepCopy()
	f.Finalizers = want
	// Patch reads the object back; the status is not lost by it.
	err := r.Client.Patch(ctx, f, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		f.Finalizers = old.Finalizers
	}
	return client.IgnoreNotFound(err)
}

// forgetAnswers removes what an operator has said of an earlier spell.
func (r *Reconciler) forgetAnswers(ctx context.Context, f *v1.NodeFailover) error {
	old := f.DeepCopy()
	delete(f.Annotations, v1.FencedAnnotation)
	delete(f.Annotations, v1.ProceedAnnotation)
	err := r.Client.Patch(ctx, f, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		f.Annotations = old.Annotations
	}
	return client.IgnoreNotFound(err)
}

func (r *Reconciler) createToken(ctx context.Context, f *v1.NodeFailover, id string) error {
	secret := join.NewTokenSecret()
	if err := r.Client.Create(ctx, join.TokenSecret(id, secret, f.Status.GCPVMName, r.Clock.Now().Add(join.TokenLife))); err != nil {
		return err
	}
	r.keepToken(id, secret)
	return nil
}

func (r *Reconciler) deleteToken(ctx context.Context, s *decide.State, id string) (result, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: join.SecretName(id), Namespace: join.TokenNamespace}}
	if err := client.IgnoreNotFound(r.Client.Delete(ctx, secret)); err != nil {
		return acted, err
	}
	r.forgetToken(id)
	s.TokensDeleted = append(s.TokensDeleted, id)
	return learnt, nil
}

// spec is what the cloud is asked for: all of it persisted or configured, but
// for the token's secret half.
func (r *Reconciler) spec(ctx context.Context, f *v1.NodeFailover) (cloud.Spec, error) {
	vm := f.Status.VM
	var info corev1.ConfigMap
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: metav1.NamespacePublic, Name: "cluster-info"}, &info); err != nil {
		return cloud.Spec{}, fmt.Errorf("read cluster-info: %w", err)
	}
	cluster, err := join.ReadClusterInfo(&info)
	if err != nil {
		return cloud.Spec{}, err
	}
	if r.Join.Endpoint != "" {
		cluster.Endpoint = r.Join.Endpoint
	}
	id := vm.TokenIDs[len(vm.TokenIDs)-1]
	secret, _ := r.token(id)
	p := join.Params{
		Node: f.Status.GCPVMName, Endpoint: cluster.Endpoint, Token: id + "." + secret, CAHash: cluster.CAHash,
		Labels: decide.Labels(r.Settings, f, f.Status.Recorded), ExternalCloud: r.Join.ExternalCloud,
		NodeIP: r.Join.NodeIP, Hook: r.Join.Hook, RequireKata: r.Join.RequireKata,
	}
	if r.Join.ProviderID != nil {
		p.ProviderID = r.Join.ProviderID(ref(f))
	}
	if f.Spec.Drill {
		p.Taints = []string{DrillTaint + "=true:NoSchedule"}
	}
	script, err := join.Script(p)
	if err != nil {
		return cloud.Spec{}, err
	}
	return cloud.Spec{
		Ref: ref(f), Owner: r.owner(f), RequestID: vm.RequestID, StartupScript: script, MaxLifetime: r.Settings.MaxRun(),
		MachineType: vm.MachineType, Image: r.VM.Image, DiskGB: r.VM.DiskGB, DiskType: r.VM.DiskType,
		Network: r.VM.Network, Subnetwork: r.VM.Subnetwork, Tags: r.VM.Tags, Labels: r.VM.Labels,
	}, nil
}

// graceEnd is when the present grace ends, or has ended.
func (r *Reconciler) graceEnd(s *decide.State) time.Time {
	began := s.Failover.Status.NotReadySince.Time
	if s.ViewSince.After(began) {
		began = s.ViewSince
	}
	return began.Add(r.Settings.Grace)
}

func (r *Reconciler) createVM(ctx context.Context, s *decide.State) (result, error) {
	f := s.Failover
	spec, err := r.spec(ctx, f)
	if err != nil { // nothing was asked for; that it is tried ever more slowly is right all the same
		s.Created, s.CreateErr = decide.Unclear, err.Error()
		return learnt, nil
	}
	_, before := r.lookedAt(f)
	if f.Status.NotReadySince != nil && f.Status.TotalAttempts == 1 && !before && f.Status.LastError == "" && f.Spec.Replaces == "" && f.Spec.Adds == "" {
		r.Metrics.inserted(r.Clock.Since(r.graceEnd(s)))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	err = r.Cloud.Create(ctx, spec)
	r.Metrics.call("create", err, time.Since(began))
	switch {
	case err == nil:
		s.Created = decide.Accepted
	case errors.Is(err, cloud.ErrStockout):
		s.Created = decide.Stockout
	case errors.Is(err, cloud.ErrQuota):
		s.Created = decide.Quota
	case errors.Is(err, cloud.ErrInvalid):
		s.Created = decide.Invalid
	case errors.Is(err, cloud.ErrForeign):
		s.Created = decide.Alien
	default: // ErrNotFound too: Create has no use for it
		s.Created = decide.Unclear
	}
	if err != nil {
		s.CreateErr = err.Error()
	}
	return learnt, nil
}

// deleteVM: that it is gone already is for the next look to prove.
func (r *Reconciler) deleteVM(ctx context.Context, f *v1.NodeFailover) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	err := r.Cloud.Delete(ctx, ref(f), r.owner(f))
	r.Metrics.call("delete", err, time.Since(began))
	if err != nil && !errors.Is(err, cloud.ErrNotFound) && !errors.Is(err, cloud.ErrForeign) {
		return err
	}
	return nil
}

func (r *Reconciler) fence(ctx context.Context, s *decide.State) (result, error) {
	if err := r.callFence(ctx, s.Failover); err != nil {
		s.Fenced, s.FenceErr = decide.Unclear, err.Error()
		return learnt, nil
	}
	s.Fenced = decide.Accepted
	return learnt, nil
}

// patchServer hides a server from allocation, or shows it again, if it is
// still the one that was seen.
func (r *Reconciler) patchServer(ctx context.Context, a decide.Action) (result, error) {
	label, note := any(nil), any("true")
	if a.Kind == decide.ShowServer {
		label, note = "true", nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": a.Server.UID, "resourceVersion": a.Server.ResourceVersion,
		"labels":      map[string]any{agones.AllocatableLabel: label},
		"annotations": map[string]any{agones.HiddenAnnotation: note},
	}})
	if err != nil {
		return acted, err
	}
	g := &agones.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: a.Server.Namespace, Name: a.Server.Name}}
	return unlessChanged(r.Client.Patch(ctx, g, client.RawPatch(types.MergePatchType, patch)))
}

// deleteServer deletes a server if it is exactly the one that was seen: one
// that has been allocated since has another resourceVersion. It is shut down
// first: Agones replaces a server at once whose state says so, but takes no
// notice of a mere deletion until the pod is gone, which on a dead node is when
// the taint has come.
func (r *Reconciler) deleteServer(ctx context.Context, s *decide.State, sv decide.Server) (result, error) {
	g := &agones.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: sv.Namespace, Name: sv.Name}}
	only := client.Preconditions{UID: &sv.UID, ResourceVersion: &sv.ResourceVersion}
	if sv.State != agones.Shutdown {
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": sv.UID, "resourceVersion": sv.ResourceVersion},
			"status":   map[string]any{"state": agones.Shutdown},
		})
		if err != nil {
			return acted, err
		}
		if err := r.Client.Patch(ctx, g, client.RawPatch(types.MergePatchType, patch)); err != nil {
			return unlessChanged(err)
		}
		only.ResourceVersion = nil // Agones may be at it by now; nobody is sent to it any more
	}
	res, err := unlessChanged(r.Client.Delete(ctx, g, only))
	if err == nil && res == acted {
		why := "drained"
		if sv.Node == s.Failover.Spec.OnpremNodeName {
			why = "dead node"
			// Not those that have become Ready later.
			if st := &s.Failover.Status; st.NotReadySince != nil && (st.VM == nil || st.VM.SeenAt == nil) {
				r.Metrics.withdrawn(r.Clock.Since(r.graceEnd(s)))
			}
		} else if sv.InUse() {
			why = "maximum wait"
		}
		r.Metrics.serverDeleted(why)
		r.Log.Info("game server deleted", "gameserver", sv.Namespace+"/"+sv.Name, "node", sv.Node, "state", sv.State, "why", why)
	}
	return res, err
}

func unlessChanged(err error) (result, error) {
	switch {
	case apierrors.IsConflict(err):
		return changed, nil
	case apierrors.IsNotFound(err):
		return acted, nil
	}
	return acted, err
}

// createFailover makes another failover for the same spell of the same node.
func (r *Reconciler) createFailover(ctx context.Context, f *v1.NodeFailover, name string, spec v1.NodeFailoverSpec) error {
	spec.OnpremNodeName, spec.TargetNodeLabels = f.Spec.OnpremNodeName, f.Spec.TargetNodeLabels
	next := &v1.NodeFailover{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1.Finalizer}, Annotations: map[string]string{}},
		Spec:       spec,
	}
	if f.Status.Recorded != nil && f.Status.NotReadySince != nil {
		record, err := json.Marshal(decide.Record{UID: f.Status.Recorded.UID, Labels: f.Status.Recorded.Labels, FailedAt: f.Status.NotReadySince.Time})
		if err != nil {
			return err
		}
		next.Annotations[RecordAnnotation] = string(record)
	}
	err := r.Client.Create(ctx, next)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
