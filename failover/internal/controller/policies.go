package controller

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/join"
)

// The admission policies that settings can contradict, in
// manifests/base/failover/admission.yaml; a cluster may give them a prefix.
const (
	tokensPolicy       = "torikumi-failover-tokens"
	nodesPolicy        = "torikumi-failover-nodes"
	podsPolicy         = "torikumi-failover-pods"
	certificatesPolicy = "torikumi-failover-certificates"
)

// Policies is what the API server says of the writes of a failover before there is one.
type Policies struct {
	// Missing: what the controller never asks for is allowed, so no policy looks at it.
	Missing bool
	// Node is the watched Node that was tried; empty: there is none.
	Node string
	// Refused names the settings that the controller's own policies contradict, and
	// Forbidden what its roles lack. Unknown is what could not be tried, and what others
	// refuse: a webhook may think otherwise of what a failover will really ask for.
	Refused, Forbidden, Unknown error
	// Untried are settings that nothing in the cluster could be tried with.
	Untried []string
}

// TryPolicies asks the API server for what the settings will make a failover ask for,
// as a dry run: nothing changes. Settings that the admission policies contradict would
// else show in the first outage.
func TryPolicies(ctx context.Context, o *Options) Policies {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var p Policies
	try := func(setting, policy string, err error) {
		switch {
		case err == nil:
		case refusedBy(policy, err):
			p.Refused = errors.Join(p.Refused, fmt.Errorf("%s contradicts the admission policies (manifests/base/failover/admission.yaml): %w", setting, err))
		case apierrors.IsForbidden(err) && strings.Contains(err.Error(), " cannot "):
			p.Forbidden = errors.Join(p.Forbidden, fmt.Errorf("try %s: %w", setting, err))
		default:
			p.Unknown = errors.Join(p.Unknown, fmt.Errorf("try %s: %w", setting, err))
		}
	}
	token := func() *corev1.Secret {
		return join.TokenSecret(join.NewTokenID(), join.NewTokenSecret(), o.TokenGroup, "check", o.Clock.Now().Add(time.Minute))
	}
	try("--token-group="+o.TokenGroup, tokensPolicy, o.Client.Create(ctx, token(), client.DryRunAll))

	image := cmp.Or(o.ProbeImage, "check")
	probe := ProbePod(o, "check", v1.Probe{Image: image}, o.Settings.NamePrefix+"check")
	if err := o.Client.Create(ctx, probe, client.DryRunAll); refusedBy(podsPolicy, err) {
		try(fmt.Sprintf("--vm-name-prefix=%s or --namespace=%s", o.Settings.NamePrefix, o.Namespace), podsPolicy, err)
	} else if err != nil { // no failover needs it, but for a drill
		p.Unknown = errors.Join(p.Unknown, fmt.Errorf("try the pod of a drill (with the image %q, see --drill-probe-image): %w", image, err))
	}

	var watched corev1.NodeList
	label := o.Settings.WatchedKey + "=" + o.Settings.WatchedValue
	if err := o.Live.List(ctx, &watched, client.MatchingLabels{o.Settings.WatchedKey: o.Settings.WatchedValue}); err != nil {
		p.Unknown = errors.Join(p.Unknown, fmt.Errorf("list nodes: %w", err))
	}
	if len(watched.Items) > 0 {
		p.Node = watched.Items[0].Name
		taint := map[string]any{"spec": map[string]any{"taints": []corev1.Taint{{Key: TaintKey, Value: TaintValue, Effect: corev1.TaintEffectNoExecute}}}}
		try("--watched-label="+label, nodesPolicy, dryPatch(ctx, o.Client, p.Node, taint))
	}
	for _, key := range o.Settings.RestoreLabels {
		lacking := slices.IndexFunc(watched.Items, func(n corev1.Node) bool { _, has := n.Labels[key]; return !has })
		if lacking < 0 { // to change one that a Node has is what the policy refuses
			p.Untried = append(p.Untried, "--restore-labels="+key)
			continue
		}
		labels := map[string]any{"metadata": map[string]any{"labels": map[string]string{key: "check"}}}
		try("--restore-labels="+key, nodesPolicy, dryPatch(ctx, o.Client, watched.Items[lacking].Name, labels))
	}

	other := token()
	other.Type, other.StringData = corev1.SecretTypeOpaque, nil
	p.Missing = o.Client.Create(ctx, other, client.DryRunAll) == nil
	if o.TokenGroup != join.TokenGroup && o.TokenGroup != join.KubeadmGroup && !p.Missing {
		// Nobody but the API server makes a request that has the group.
		p.Untried = append(p.Untried, fmt.Sprintf("--token-group=%s with the policy %s", o.TokenGroup, certificatesPolicy))
	}
	return p
}

func dryPatch(ctx context.Context, c client.Client, node string, patch map[string]any) error {
	data, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
	return c.Patch(ctx, n, client.RawPatch(types.StrategicMergePatchType, data), client.DryRunAll)
}

// refusedBy reports whether it is the named policy that has refused a request.
func refusedBy(policy string, err error) bool {
	if err == nil {
		return false
	}
	_, rest, _ := strings.Cut(err.Error(), "ValidatingAdmissionPolicy '")
	name, _, _ := strings.Cut(rest, "'")
	return denied(err) && strings.Contains(name, policy)
}

// denied reports whether a policy or a webhook has refused a request: what the roles do
// not allow, and what is wrong with the request itself, is told in other words.
func denied(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "denied request: ") || strings.Contains(err.Error(), "denied the request"))
}
