package controller

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/aggregated"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/miniagones/kubernetes/internal/reconcile"
	"torikumi/pkg/agones"
	"torikumi/pkg/rpc"
)

func newManager(cfg *Config, config *rest.Config, log *slog.Logger) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, corev1.AddToScheme, authorizationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("scheme: %w", err)
		}
	}
	limit, skip := cfg.ShutdownTimeout, true
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Pod{}:  {Label: labels.SelectorFromSet(labels.Set{agones.RoleLabel: agones.RoleGameServer})},
				&corev1.Node{}: {Transform: trimNode},
			},
		},
		Logger: logr.FromSlogHandler(log.Handler()),
		// Our own server has health and metrics.
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        "0",
		LeaderElection:                true,
		LeaderElectionID:              name,
		LeaderElectionNamespace:       cfg.Namespace,
		LeaderElectionReleaseOnCancel: true, // Run returns with the manager: nothing acts after it
		GracefulShutdownTimeout:       &limit,
		Controller:                    ctrlconfig.Controller{SkipNameValidation: &skip}, // tests run several in one process
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return mgr, nil
}

// trimNode keeps of a node what is read: its addresses.
func trimNode(obj any) (any, error) {
	if n, ok := obj.(*corev1.Node); ok {
		n.ManagedFields, n.Annotations = nil, nil
		n.Spec = corev1.NodeSpec{}
		n.Status = corev1.NodeStatus{Addresses: n.Status.Addresses}
	}
	return obj, nil
}

// register adds the reconcilers, and has the allocator told what is gone.
func register(ctx context.Context, p *parts) error {
	first, last, _ := p.cfg.ports()
	sidecar, err := sidecarOptions(ctx, p)
	if err != nil {
		return err
	}
	err = reconcile.Register(p.mgr, reconcile.Options{
		Client: p.mgr.GetClient(), Live: p.mgr.GetAPIReader(), Events: p.mgr.GetEventRecorder(name), Clock: clock.RealClock{},
		Ports: pod.NewPorts(first, last), Pod: sidecar,
		StartTimeout: p.cfg.StartTimeout, BackoffMin: p.cfg.BackoffMin, BackoffMax: p.cfg.BackoffMax,
	})
	if err != nil {
		return err
	}
	informer, err := p.mgr.GetCache().GetInformer(ctx, &v1.GameServer{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch game servers: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{DeleteFunc: func(obj any) {
		if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
			obj = last.Obj
		}
		if o, ok := obj.(metav1.Object); ok {
			p.allocator.Forget(o.GetUID())
		}
	}})
	if err != nil {
		return fmt.Errorf("watch game servers: %w", err)
	}
	return nil
}

// sidecarOptions finds the image of the SDK servers: this program's own, unless a
// setting names one.
func sidecarOptions(ctx context.Context, p *parts) (pod.Options, error) {
	if p.cfg.SidecarImage != "" {
		return pod.Options{SidecarImage: p.cfg.SidecarImage}, nil
	}
	own := new(corev1.Pod)
	if err := p.mgr.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: p.cfg.Namespace, Name: p.cfg.Pod}, own); err != nil {
		return pod.Options{}, fmt.Errorf("--pod: read the image of pod %s/%s: %w", p.cfg.Namespace, p.cfg.Pod, err)
	}
	for _, c := range own.Spec.Containers {
		if c.Name == name {
			return pod.Options{SidecarImage: c.Image, PullPolicy: c.ImagePullPolicy}, nil
		}
	}
	return pod.Options{}, fmt.Errorf("--pod: pod %s/%s: must have a container %q", p.cfg.Namespace, p.cfg.Pod, name)
}

// trust tells the API server which authority the certificate of
// GameServerAllocation's server has. The APIService may be applied after the pod.
func trust(ctx context.Context, c client.Client, ca []byte) error {
	service := new(unstructured.Unstructured)
	service.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"})
	service.SetName(aggregated.Version + "." + aggregated.Group)
	patch := fmt.Sprintf(`{"spec":{"caBundle":%q,"insecureSkipTLSVerify":null}}`, base64.StdEncoding.EncodeToString(ca))
	err := c.Patch(ctx, service, client.RawPatch(types.MergePatchType, []byte(patch)))
	for backoff := (rpc.Backoff{}); apierrors.IsNotFound(err) && backoff.Wait(ctx) == nil; {
		err = c.Patch(ctx, service, client.RawPatch(types.MergePatchType, []byte(patch)))
	}
	if err != nil {
		return fmt.Errorf("tell the API server the authority of GameServerAllocation's server: %w", err)
	}
	return nil
}
