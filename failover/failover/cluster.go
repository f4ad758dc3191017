package failover

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
	"torikumi/pkg/config"
)

// podConfig is the controller's access to the cluster.
func podConfig(file string) (*rest.Config, error) {
	if file == "" {
		kube, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			err = config.Missing("kubeconfig", "this is no pod of a cluster")
		}
		return kube, err
	}
	kube, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig: must be a kubeconfig file: %w", err)
	}
	return kube, nil
}

// userConfig is the operator's own access to the cluster.
func userConfig(file string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	kube, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err) && file == "":
		return nil, config.Missing("kubeconfig", "neither $KUBECONFIG nor ~/.kube/config names a cluster, and this is no pod of one")
	case err != nil:
		return nil, fmt.Errorf("--kubeconfig, or else $KUBECONFIG or ~/.kube/config: must be a kubeconfig file: %w", err)
	}
	return kube, nil
}

// unreachable says of an error that nothing has answered, if so it is.
func unreachable(kube *rest.Config, err error) error {
	var request *url.Error
	if !errors.As(err, &request) {
		return err
	}
	return fmt.Errorf("the cluster at %s can't be reached (--kubeconfig says which it is): %w", kube.Host, request)
}

// missingKind says of an error that the cluster lacks a kind, if so it is.
func missingKind(err error) error {
	var kind *meta.NoKindMatchError
	if !errors.As(err, &kind) {
		return err
	}
	return fmt.Errorf("%s: the cluster knows no %s", remedy(kind.GroupKind.Group), kind.GroupKind)
}

// checkApproval refuses to start without the right to approve what nodes ask for with
// the controller's tokens: no VM would join.
func checkApproval(ctx context.Context, c client.Client) error {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
		Group: certificatesv1.GroupName, Resource: "signers", Name: certificatesv1.KubeAPIServerClientKubeletSignerName, Verb: "approve",
	}}}
	if err := c.Create(ctx, review); err != nil {
		return fmt.Errorf("ask whether certificates may be approved: %w", err)
	}
	if !review.Status.Allowed {
		return fmt.Errorf("apply manifests/base/failover first: the controller may not approve the certificates of VMs that join (signer %s); or set --token-group=%s",
			certificatesv1.KubeAPIServerClientKubeletSignerName, join.KubeadmGroup)
	}
	return nil
}

// checkPolicies refuses to start with settings that the controller's admission policies
// contradict: the next outage would end at what they refuse. What others refuse is
// logged: a rule for something else must not end the controller in an outage.
func checkPolicies(ctx context.Context, o *controller.Options) error {
	tried := controller.TryPolicies(ctx, o)
	if err := errors.Join(tried.Forbidden, tried.Unknown); err != nil {
		o.Log.Warn("the cluster may refuse what a failover needs", "error", err)
	}
	if tried.Missing {
		o.Log.Warn("no admission policy narrows what the controller may do: apply manifests/base/failover/admission.yaml, with its namespace")
	}
	return tried.Refused
}

// remedy is what makes the kinds of an API group readable.
func remedy(group string) string {
	if group == gameserver.GroupVersion.Group {
		return "install Agones, then apply manifests/base/failover"
	}
	return "apply manifests/base/failover"
}

// untilEnd is a cache that nobody waits for once the program ends. The manager
// waits until it has seen the cluster, and nothing ends this wait: where a list
// is forbidden, it would be for ever. Reads go on waiting.
type untilEnd struct {
	cache.Cache
	end <-chan struct{}
}

func (c untilEnd) WaitForCacheSync(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	synced := make(chan bool, 1)
	go func() { synced <- c.Cache.WaitForCacheSync(ctx) }()
	select {
	case ok := <-synced:
		cancel()
		return ok
	case <-c.end:
		cancel()
		<-synced
		return true
	}
}

const (
	// logAfter is how long the cache has until it is said what it lacks, and
	// logEvery how often this is looked at.
	logAfter = 2 * time.Second
	logEvery = 10 * time.Second
)

// logMissing logs what keeps the cache from seeing the cluster, until it has
// or ctx ends. It lacks certificate requests only if the controller approves them.
func logMissing(ctx context.Context, c cache.Cache, live client.Reader, approves bool, log *slog.Logger) {
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		c.WaitForCacheSync(ctx)
	}()
	defer func() { <-synced }() // it ends with ctx
	told, wait := "", logAfter
	for {
		select {
		case <-synced:
			return
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = logEvery
		if err := unseen(ctx, live, approves); err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			log.Error("the cluster can't be seen", "error", err)
		}
	}
}

// unseen tells which of the kinds that the controller watches can't be listed.
func unseen(ctx context.Context, live client.Reader, approves bool) error {
	ctx, cancel := context.WithTimeout(ctx, logEvery)
	defer cancel()
	var errs []error
	type kind struct {
		name, group string
		list        client.ObjectList
	}
	kinds := []kind{
		{"nodefailovers", v1.GroupVersion.Group, &v1.NodeFailoverList{}},
		{"nodes", "", &corev1.NodeList{}},
		{"gameservers", gameserver.GroupVersion.Group, &gameserver.GameServerList{}},
	}
	if approves {
		kinds = append(kinds, kind{"certificatesigningrequests", certificatesv1.GroupName, &certificatesv1.CertificateSigningRequestList{}})
	}
	for _, kind := range kinds {
		err := live.List(ctx, kind.list, client.Limit(1))
		switch {
		case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
			errs = append(errs, fmt.Errorf("%s: cannot list %s: %w", remedy(kind.group), kind.name, err))
		case err != nil:
			errs = append(errs, fmt.Errorf("cannot list %s: %w", kind.name, err))
		}
	}
	return errors.Join(errs...)
}
