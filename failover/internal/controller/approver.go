package controller

import (
	"context"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
)

// Approver approves the certificates that VMs ask for with the controller's tokens,
// each for the node that its token was made for, and denies any other that is asked
// for with such a token. What is asked for otherwise is not its concern: kubeadm's
// tokens, and nodes that renew what they have, are Kubernetes's.
type Approver struct{ opts *Options }

// Register adds it to a manager.
func (a *Approver) Register(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("approver").
		For(&certificatesv1.CertificateSigningRequest{}).
		WithOptions(controller.Options{RateLimiter: limiter()}).
		Complete(a)
}

// trimRequest keeps in memory what shows whether a request has to be looked at.
func trimRequest(obj any) (any, error) {
	if r, ok := obj.(*certificatesv1.CertificateSigningRequest); ok {
		r.ManagedFields, r.Spec.Request, r.Status.Certificate, r.Spec.Extra = nil, nil, nil, nil
	}
	return obj, nil
}

// Reconcile looks at one certificate request.
func (a *Approver) Reconcile(ctx context.Context, q reconcile.Request) (reconcile.Result, error) {
	var r certificatesv1.CertificateSigningRequest
	if err := a.opts.Client.Get(ctx, q.NamespacedName, &r); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if _, ours := join.RequestToken(&r, a.opts.TokenGroup); !ours || answered(&r) || a.opts.DryRun {
		return reconcile.Result{}, nil
	}
	// The cache has it without what is asked for.
	if err := a.opts.Live.Get(ctx, q.NamespacedName, &r); err != nil || answered(&r) {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	id, _ := join.RequestToken(&r, a.opts.TokenGroup)
	f, awaited, err := a.failover(ctx, id)
	if err != nil {
		return reconcile.Result{}, err
	}
	err = a.answer(ctx, &r, f, awaited)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil // another controller has been faster; a change comes back here
	}
	return reconcile.Result{}, err
}

func answered(r *certificatesv1.CertificateSigningRequest) bool {
	return len(r.Status.Certificate) > 0 || slices.ContainsFunc(r.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
		return c.Type == certificatesv1.CertificateApproved || c.Type == certificatesv1.CertificateDenied || c.Type == certificatesv1.CertificateFailed
	})
}

// failover is the one whose VM a token was made for, nil if there is none any more.
// awaited: it still waits for that VM. The list is live: the token's ID was persisted
// before the token was made.
func (a *Approver) failover(ctx context.Context, token string) (f *v1.NodeFailover, awaited bool, err error) {
	var all v1.NodeFailoverList
	if err := a.opts.Live.List(ctx, &all); err != nil {
		return nil, false, fmt.Errorf("list failovers: %w", err)
	}
	i := slices.IndexFunc(all.Items, func(f v1.NodeFailover) bool {
		return f.Status.VM != nil && slices.Contains(f.Status.VM.TokenIDs, token)
	})
	if i < 0 {
		return nil, false, nil
	}
	f = &all.Items[i]
	return f, f.Status.Phase == v1.Creating && f.Status.VM.GaveUp == "", nil
}

// answer approves or denies, and tells of it.
func (a *Approver) answer(ctx context.Context, r *certificatesv1.CertificateSigningRequest, f *v1.NodeFailover, awaited bool) error {
	wrong := fmt.Errorf("no VM is to join with this token")
	if awaited {
		wrong = join.CheckRequest(r, a.opts.TokenGroup, f.Status.GCPVMName)
	}
	c := certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "FailoverApproved",
		Message: "the token was made for this node", LastUpdateTime: metav1.NewTime(a.opts.Clock.Now()),
	}
	if wrong != nil {
		c.Type, c.Reason, c.Message = certificatesv1.CertificateDenied, "FailoverDenied", wrong.Error()
	}
	r.Status.Conditions = append(r.Status.Conditions, c)
	if err := a.opts.Client.SubResource("approval").Update(ctx, r); err != nil {
		if f != nil && refusedForGood(err) { // or its VM joins nothing, and nobody knows why
			a.opts.event(f, decide.Event{Kind: decide.Warning, Reason: "AnswerRefused", Message: fmt.Sprintf("%s, with the token of %s, stays without an answer: %v", r.Name, f.Status.GCPVMName, err)})
		}
		return fmt.Errorf("answer certificate request %s: %w", r.Name, err)
	}
	log := a.opts.Log.With("request", r.Name, "user", r.Spec.Username)
	a.opts.Metrics.requested(wrong)
	switch {
	case wrong == nil:
		log.Info("certificate approved", "node", f.Status.GCPVMName, "failover", f.Name)
		a.opts.event(f, decide.Event{Kind: decide.Normal, Reason: "CertificateApproved", Message: fmt.Sprintf("%s asks for the certificate of %s", r.Name, f.Status.GCPVMName)})
	case f == nil:
		log.Warn("certificate denied", "why", wrong)
	default:
		log.Warn("certificate denied", "why", wrong, "failover", f.Name)
		a.opts.event(f, decide.Event{Kind: decide.Warning, Reason: "CertificateDenied", Message: fmt.Sprintf("%s, with the token of %s: %v", r.Name, f.Status.GCPVMName, wrong)})
	}
	return nil
}
