package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
)

// check looks at what a failover would need, changes nothing, and prints a line for
// each. Whether a VM joins and a game starts on it is what a drill is for.
func check(ctx context.Context, cfg *Config, kube *rest.Config, provider cloud.Provider, out io.Writer) error {
	scheme, err := controller.Scheme()
	if err != nil {
		return fmt.Errorf("scheme: %w", err)
	}
	live, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return unreachable(kube, fmt.Errorf("connect to the cluster: %w", err))
	}
	ask, err := versions(cfg, kube, provider)
	if err != nil {
		return err
	}
	o, err := options(cfg)
	if err != nil {
		return err
	}
	o.Client, o.Live, o.Clock = live, live, clock.RealClock{}
	cluster := ""
	failed := false
	for _, step := range []struct {
		name string
		look func() (note string, err error)
	}{
		{"cluster", func() (_ string, err error) {
			cluster, err = controller.ClusterID(ctx, live)
			return kube.Host, unreachable(kube, err)
		}},
		{"crd", func() (string, error) { return "", checkCRD(ctx, live) }},
		{"kinds", func() (string, error) { return "", unseen(ctx, live, cfg.approves()) }},
		{"approval", func() (string, error) {
			if !cfg.approves() {
				return "by Kubernetes, for any name: --token-group is kubeadm's", nil
			}
			return "", checkApproval(ctx, live)
		}},
		{"policies", func() (string, error) { return policiesNote(controller.TryPolicies(ctx, &o)) }},
		{"nodes", func() (string, error) { return watchedNote(ctx, &o) }},
		{"join", func() (string, error) { return joinsAt(ctx, cfg, live) }},
		{"cloud", func() (string, error) {
			vms, err := provider.List(ctx, cluster)
			return fmt.Sprintf("%d VMs of this cluster", len(vms)), err
		}},
		{"versions", func() (string, error) {
			v, unasked := ask.Ask(ctx)
			return versionsNote(v, unasked)
		}},
	} {
		note, err := step.look()
		if err != nil {
			failed = true
			fmt.Fprintf(out, "failover: FAIL   %s: %v\n", step.name, err)
			continue
		}
		if note != "" {
			note = " (" + note + ")"
		}
		fmt.Fprintf(out, "failover: ok     %s%s\n", step.name, note)
	}
	if failed {
		return errors.New("the check has failed")
	}
	return nil
}

// policiesNote reports whether admission policies allow what a failover needs. Others'
// refusals fail nothing: a webhook may not know dry runs, or have a rule that only what
// is tried here breaks.
func policiesNote(tried controller.Policies) (string, error) {
	if tried.Refused != nil || tried.Forbidden != nil {
		return "", errors.Join(tried.Refused, tried.Forbidden, tried.Unknown)
	}
	note := "tried with Node " + tried.Node
	switch {
	case tried.Missing:
		note = "none looks at what this account asks for: admission.yaml is not applied, or is for another account"
	case tried.Node == "":
		note = "without the changes to a watched Node: there is none"
	}
	if len(tried.Untried) > 0 {
		note += "; not tried: " + strings.Join(tried.Untried, ", ")
	}
	if tried.Unknown != nil {
		note += "; not known: " + strings.ReplaceAll(tried.Unknown.Error(), "\n", "; ")
	}
	return note, nil
}

// watchedNote counts the Nodes that are watched.
func watchedNote(ctx context.Context, o *controller.Options) (string, error) {
	watched, earlier, err := controller.CountWatched(ctx, o.Live, o.Settings)
	switch {
	case err != nil:
		return "", err
	case watched == 0:
		return "", errors.New(controller.NothingWatched(o.Settings, earlier))
	}
	return fmt.Sprintf("%d watched", watched), nil
}

// joinsAt is where VMs would join.
func joinsAt(ctx context.Context, cfg *Config, live client.Reader) (string, error) {
	var info corev1.ConfigMap
	if err := live.Get(ctx, client.ObjectKey{Namespace: metav1.NamespacePublic, Name: "cluster-info"}, &info); err != nil {
		return "", fmt.Errorf("read cluster-info: %w", err)
	}
	found, err := join.ReadClusterInfo(&info)
	if cfg.Endpoint != "" {
		found.Endpoint = cfg.Endpoint
	}
	return "VMs join at " + found.Endpoint, err
}

// versionsNote says whether VMs of the image would be made; failed is why the cloud did
// not say what is in it.
func versionsNote(v decide.Versions, failed error) (string, error) {
	note := ""
	if failed != nil {
		note = fmt.Sprintf("; the image can't be asked: %v", failed)
	}
	switch text, known := decide.Skew(v); {
	case v.Refused() != "":
		return "", errors.New(text + "; --vm-kubernetes-version tells if it is another" + note)
	case text != "":
		return text + "; a name may be wrong, so VMs are made; --vm-kubernetes-version tells" + note, nil
	case !known:
		return fmt.Sprintf("not known: the kubelet in the image is %q, the API server %q; --vm-kubernetes-version tells the former%s", v.Image, v.APIServer, note), nil
	}
	return fmt.Sprintf("the kubelet in the image is %s %s, the API server %s%s", v.Image, v.Source, v.APIServer, note), nil
}
