package netpol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// settle is how long changes are gathered, so that many at once make one
// ruleset.
const settle = 20 * time.Millisecond

// Run enforces policies on a node, in the network namespace of this process,
// until the context ends. The rules stay when it does.
func Run(ctx context.Context, client kubernetes.Interface, node string, log *slog.Logger) error {
	factory := informers.NewSharedInformerFactory(client, 0)
	pods := factory.Core().V1().Pods()
	namespaces := factory.Core().V1().Namespaces()
	policies := factory.Networking().V1().NetworkPolicies()
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	}
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := informer.AddEventHandler(handler); err != nil {
			return err
		}
	}
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("%s were not read: %w", kind, ctx.Err())
		}
	}
	snapshot := func() (s Snapshot, err error) {
		s.Node = node
		var errs [3]error
		s.Pods, errs[0] = pods.Lister().List(labels.Everything())
		s.Namespaces, errs[1] = namespaces.Lister().List(labels.Everything())
		s.Policies, errs[2] = policies.Lister().List(labels.Everything())
		return s, errors.Join(errs[:]...)
	}
	return enforce(ctx, snapshot, changed, log)
}

// enforce applies the rules of a snapshot whenever something has changed.
func enforce(ctx context.Context, snapshot func() (Snapshot, error), changed <-chan struct{}, log *slog.Logger) error {
	last := ""
	for {
		s, err := snapshot()
		if err != nil {
			return err
		}
		if rules := Rules(s); rules != last {
			if err := Apply(ctx, rules); err != nil {
				return err
			}
			last = rules
			log.Info("rules applied", "policies", len(s.Policies), "pods", len(s.Pods))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		timer := time.NewTimer(settle)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Apply gives rules to the kernel, all or none.
func Apply(ctx context.Context, rules string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, errs.String())
	}
	return nil
}
