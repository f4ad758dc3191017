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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
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
		return acted, r.patchMeta(ctx, f, func() { controllerutil.AddFinalizer(f, v1.Finalizer) })
	case decide.RemoveFinalizer:
		return acted, r.patchMeta(ctx, f, func() { controllerutil.RemoveFinalizer(f, v1.Finalizer) })
	case decide.DeleteFailover:
		return acted, client.IgnoreNotFound(r.opts.Client.Delete(ctx, f, client.Preconditions{UID: &f.UID, ResourceVersion: &f.ResourceVersion}))
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
	case decide.RestoreNode:
		return r.restore(ctx, s, a)
	case decide.Cordon, decide.Uncordon:
		return acted, r.patchNode(ctx, a.Node, a.UID, map[string]any{"spec": map[string]any{"unschedulable": a.Kind == decide.Cordon}})
	case decide.DeleteNode:
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: a.Node}}
		return acted, client.IgnoreNotFound(r.opts.Client.Delete(ctx, n, client.Preconditions{UID: &a.UID}))
	case decide.Fence:
		return r.fence(ctx, s)
	case decide.Taint:
		added, err := r.taint(ctx, a)
		if err == nil && added && f.Status.ActiveAt != nil && f.Status.NotReadySince != nil {
			from := f.Status.ActiveAt.Time
			if end := r.graceEnd(s, max(r.opts.Settings.Grace, r.opts.Settings.TaintGrace)); end.After(from) { // the node has failed again since
				from = end
			}
			r.opts.Metrics.tainted(r.opts.Clock.Since(from))
		}
		return acted, err
	case decide.Untaint:
		return acted, r.untaint(ctx, a)
	case decide.DeleteServer:
		return r.deleteServer(ctx, s, a.Server)
	case decide.HideServer, decide.ShowServer:
		return r.patchServer(ctx, a)
	case decide.CreateProbe:
		return r.createProbe(ctx, s, a.Node)
	case decide.DeleteProbe:
		return acted, r.deleteProbe(ctx, f)
	case decide.EvictPod:
		return acted, r.evictPod(ctx, a.Pod)
	case decide.DeletePod:
		return acted, r.deletePod(ctx, a.Pod)
	case decide.RemoveAnswers:
		return acted, r.patchMeta(ctx, f, func() { // what an operator has said of an earlier outage
			delete(f.Annotations, v1.FencedAnnotation)
			delete(f.Annotations, v1.ProceedAnnotation)
		})
	case decide.CreateReplacement:
		return acted, r.createFailover(ctx, f, a.ID, v1.NodeFailoverSpec{Replaces: f.Name, ParentFailover: f.Parent(), SharedLoad: f.Spec.SharedLoad})
	case decide.CreateAdded:
		return acted, r.createFailover(ctx, f, a.ID, v1.NodeFailoverSpec{ParentFailover: f.Name, SharedLoad: a.SharedLoad})
	}
	return acted, fmt.Errorf("unknown action")
}

// patchMeta persists a change of f's metadata.
func (r *Reconciler) patchMeta(ctx context.Context, f *v1.NodeFailover, change func()) error {
	old := f.DeepCopy()
	change()
	// Patch reads the object back; the status is not lost by it.
	err := r.opts.Client.Patch(ctx, f, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
	if err != nil {
		f.ObjectMeta = old.ObjectMeta
	}
	return client.IgnoreNotFound(err)
}

func (r *Reconciler) mergePatch(ctx context.Context, obj client.Object, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return r.opts.Client.Patch(ctx, obj, client.RawPatch(types.MergePatchType, data))
}

func (r *Reconciler) createToken(ctx context.Context, f *v1.NodeFailover, id string) error {
	secret := join.NewTokenSecret()
	// It lives for as long as its VM may take to join, and no longer.
	expires := f.Status.VM.StartedAt.Add(r.opts.Settings.JoinTimeout)
	if err := r.opts.Client.Create(ctx, join.TokenSecret(id, secret, r.opts.TokenGroup, f.Status.GCPVMName, expires)); err != nil {
		return err
	}
	r.tokens.Store(id, secret)
	return nil
}

func (r *Reconciler) deleteToken(ctx context.Context, s *decide.State, id string) (result, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: join.SecretName(id), Namespace: join.TokenNamespace}}
	if err := client.IgnoreNotFound(r.opts.Client.Delete(ctx, secret)); err != nil {
		return acted, err
	}
	r.tokens.Delete(id)
	s.TokensDeleted = append(s.TokensDeleted, id)
	return learnt, nil
}

// spec is what the cloud is asked for: all of it persisted or configured, but
// for the token's secret half.
func (r *Reconciler) spec(ctx context.Context, f *v1.NodeFailover) (cloud.Spec, error) {
	vm := f.Status.VM
	var info corev1.ConfigMap
	if err := r.opts.Live.Get(ctx, client.ObjectKey{Namespace: metav1.NamespacePublic, Name: "cluster-info"}, &info); err != nil {
		return cloud.Spec{}, fmt.Errorf("read cluster-info: %w", err)
	}
	cluster, err := join.ReadClusterInfo(&info)
	if err != nil {
		return cloud.Spec{}, err
	}
	id := vm.TokenIDs[len(vm.TokenIDs)-1]
	secret, _ := r.token(id)
	p := r.opts.Join
	p.Node, p.Token, p.CAHash = f.Status.GCPVMName, id+"."+secret, cluster.CAHash
	p.Endpoint = cmp.Or(p.Endpoint, cluster.Endpoint)
	p.Labels = decide.Labels(r.opts.Settings, f, f.Status.Recorded)
	if r.opts.ProviderID != nil {
		p.ProviderID = r.opts.ProviderID(ref(f))
	}
	if f.Spec.Drill {
		p.Taints = append(slices.Clone(p.Taints), DrillTaint+"=true:NoSchedule")
	}
	script, err := join.Script(p)
	if err != nil {
		return cloud.Spec{}, err
	}
	spec := r.opts.VM
	spec.Ref, spec.Owner, spec.RequestID, spec.MachineType = ref(f), r.owner(f), vm.RequestID, vm.MachineType
	spec.StartupScript, spec.MaxLifetime = script, r.opts.Settings.MaxRun()
	return spec, nil
}

// graceEnd is when the present grace ends, or has ended; that of a kubelet that
// reports is another one.
func (r *Reconciler) graceEnd(s *decide.State, grace time.Duration) time.Time {
	st := &s.Failover.Status
	if st.Recorded != nil && st.Recorded.Unschedulable {
		grace = max(grace, r.opts.Settings.CordonedGrace)
	}
	began := st.NotReadySince.Time
	if s.Node.Reports {
		grace = max(grace, r.opts.Settings.FalseGrace)
	} else if st.UnreachableSince != nil {
		began = st.UnreachableSince.Time
	}
	if s.APIHealthySince.After(began) {
		began = s.APIHealthySince
	}
	return began.Add(grace)
}

func (r *Reconciler) createVM(ctx context.Context, s *decide.State) (result, error) {
	f := s.Failover
	spec, err := r.spec(ctx, f)
	if err != nil { // nothing was asked for; that it is tried ever more slowly is right all the same
		s.Created, s.CreateErr = decide.Unclear, err.Error()
		return learnt, nil
	}
	_, before := r.lookedAt(f)
	if f.Status.NotReadySince != nil && f.Status.TotalAttempts == 1 && !before && f.Status.LastError == "" && f.Spec.Replaces == "" && f.Spec.ParentFailover == "" {
		r.opts.Metrics.inserted(r.opts.Clock.Since(r.graceEnd(s, r.opts.Settings.Grace)))
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	err = r.opts.Cloud.Create(ctx, spec)
	r.opts.Metrics.call(cloud.CallCreate, err, time.Since(began))
	s.Created = decide.Accepted
	if err != nil {
		s.Created, s.CreateErr = decide.Unclear, err.Error() // ErrNotFound too: Create has no use for it
	}
	if refused, ok := map[error]decide.Result{
		cloud.ErrStockout: decide.Stockout, cloud.ErrQuota: decide.Quota, cloud.ErrInvalid: decide.Invalid, cloud.ErrForeign: decide.Foreign,
	}[cloud.Kind(err)]; ok {
		s.Created = refused
	}
	return learnt, nil
}

// deleteVM: that it is gone already is for the next look to prove.
func (r *Reconciler) deleteVM(ctx context.Context, f *v1.NodeFailover) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	err := r.opts.Cloud.Delete(ctx, ref(f), r.owner(f))
	r.opts.Metrics.call(cloud.CallDelete, err, time.Since(began))
	if err != nil && !errors.Is(err, cloud.ErrNotFound) && !errors.Is(err, cloud.ErrForeign) {
		return err
	}
	return nil
}

func (r *Reconciler) fence(ctx context.Context, s *decide.State) (result, error) {
	s.Fenced = decide.Accepted
	if err := r.callFence(ctx, s.Failover); err != nil {
		s.Fenced, s.FenceErr = decide.Unclear, err.Error()
	}
	return learnt, nil
}

// patchServer hides a server from allocation, or shows it again, if it is
// still the one that was seen.
func (r *Reconciler) patchServer(ctx context.Context, a decide.Action) (result, error) {
	label, note := any(nil), any("true")
	if a.Kind == decide.ShowServer {
		label, note = "true", nil
	}
	meta := map[string]any{
		"uid": a.Server.UID, "resourceVersion": a.Server.ResourceVersion,
		"annotations": map[string]any{gameserver.HiddenAnnotation: note},
	}
	if a.Kind == decide.HideServer || !a.Server.Relabelled { // the studio's word stands
		meta["labels"] = map[string]any{contract.AllocatableLabel: label}
	}
	g := &gameserver.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: a.Server.Namespace, Name: a.Server.Name}}
	return unlessChanged(r.mergePatch(ctx, g, map[string]any{"metadata": meta}))
}

// deleteServer deletes a server if it is exactly the one that was seen: one
// that has been allocated since has another resourceVersion. It is shut down
// first: Agones replaces a server at once whose state says so, but takes no
// notice of a mere deletion until the pod is gone, which on a dead node is when
// the taint has come.
func (r *Reconciler) deleteServer(ctx context.Context, s *decide.State, sv decide.Server) (result, error) {
	g := &gameserver.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: sv.Namespace, Name: sv.Name}}
	only := client.Preconditions{UID: &sv.UID, ResourceVersion: &sv.ResourceVersion}
	if sv.State != agones.Shutdown {
		if err := r.mergePatch(ctx, g, map[string]any{
			"metadata": map[string]any{"uid": sv.UID, "resourceVersion": sv.ResourceVersion},
			"status":   map[string]any{"state": agones.Shutdown},
		}); err != nil {
			return unlessChanged(err)
		}
		only.ResourceVersion = nil // Agones may be at it by now; nobody is sent to it any more
	}
	res, err := unlessChanged(r.opts.Client.Delete(ctx, g, only))
	if err == nil && res == acted {
		why := "drained"
		if sv.Node == s.Failover.Spec.OnpremNodeName {
			why = "dead node"
			// Not those that have become Ready later.
			if st := &s.Failover.Status; st.NotReadySince != nil && (st.VM == nil || st.VM.SeenAt == nil) {
				r.opts.Metrics.withdrawn(r.opts.Clock.Since(r.graceEnd(s, r.opts.Settings.Grace)))
			}
		} else if sv.InUse() {
			why = "maximum wait"
		}
		r.opts.Metrics.serverDeleted(why)
		r.opts.Log.Info("game server deleted", "gameserver", sv.Namespace+"/"+sv.Name, "node", sv.Node, "state", sv.State, "why", why)
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

// createFailover makes another failover for the same outage of the same node.
func (r *Reconciler) createFailover(ctx context.Context, f *v1.NodeFailover, name string, spec v1.NodeFailoverSpec) error {
	spec.OnpremNodeName, spec.TargetNodeLabels = f.Spec.OnpremNodeName, f.Spec.TargetNodeLabels
	next := &v1.NodeFailover{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1.Finalizer}, Annotations: map[string]string{}},
		Spec:       spec,
	}
	if f.Status.Recorded != nil && f.Status.NotReadySince != nil {
		was := f.Status.Recorded
		record, err := encodeRecord(decide.Record{
			UID: was.UID, Labels: was.Labels, Annotations: was.Annotations, Taints: was.Taints, Unschedulable: was.Unschedulable, FailedAt: f.Status.NotReadySince.Time,
		})
		if err != nil {
			return err
		}
		next.Annotations[RecordAnnotation] = string(record)
	}
	err := r.opts.Client.Create(ctx, next)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
