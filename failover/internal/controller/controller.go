// Package controller watches Nodes and NodeFailovers and does what package
// decide says. It decides nothing itself: it observes, persists, acts, in this
// order, and comes back when something has changed or when it was told to.
//
// Everything in it runs on the leader alone.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
)

// Annotations and constants that are the controller's own.
const (
	// RecordAnnotation holds what the watcher saw when it made a failover: a
	// status cannot be written in the same request, and the Node may be gone
	// before the next.
	RecordAnnotation = "failover.operator.io/record"
	// TaintKey, TaintValue are the taint that makes Kubernetes delete a dead
	// node's pods at once; its effect is NoExecute.
	TaintKey   = "node.kubernetes.io/out-of-service"
	TaintValue = "nodeshutdown"
	// DrillTaint keeps a drill's temporary node empty: its kubelet registers with
	// it, so that no pod can come before the drain. Its effect is NoSchedule.
	DrillTaint = "failover.operator.io/drill"
	// uninitialized is the taint of a kubelet that waits for its cloud.
	uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
	// callTimeout bounds one call of the cloud or of the webhook.
	callTimeout = 30 * time.Second
	// lookTimeout bounds a look at a VM. It is short: what does not need the
	// cloud, such as taking a taint away, must not wait for it. Where the last
	// look took long, the next one may take as long as any call.
	lookTimeout = 5 * time.Second
)

// Options are all that the controllers need. All fields have to be set unless
// they say otherwise.
type Options struct {
	// Client reads from the cache; Live reads from the API server.
	Client client.Client
	Live   client.Reader
	Cloud  cloud.Provider
	// Cluster is the UID of the namespace kube-system.
	Cluster  string
	Clock    clock.Clock
	Log      *slog.Logger
	Events   events.EventRecorder
	Metrics  *Metrics
	Settings *decide.Settings
	// APIHealthySince is since when the cluster has been seen without a gap.
	APIHealthySince func() time.Time
	// Versions are asked before a VM is made.
	Versions Versions
	// Skips are the spans that the clock was set forward over.
	Skips func() []decide.Skip
	// VM and Join are what nothing is decided about: every VM's spec and startup
	// script begin with them. An Endpoint overrides that of cluster-info.
	VM   cloud.Spec
	Join join.Params
	// TokenGroup is what bootstrap tokens are of. Unless it is kubeadm's, the
	// controller approves what nodes ask for with them.
	TokenGroup string
	// ProviderID makes a Node's provider id of a VM's zone and name; nil leaves
	// it to the node's initialisation.
	ProviderID func(cloud.Ref) string
	// Namespace is where a drill's probe pod is made. ProbeImage and
	// ProbeRuntimeClass are what it runs; empty: as a game server on the drill's node.
	Namespace, ProbeImage, ProbeRuntimeClass string
	// FenceURL is the webhook of the fencing policy Webhook; FenceClient calls it.
	FenceURL    string
	FenceClient *http.Client
	// DryRun only says what would be done.
	DryRun bool
}

// Scheme has all kinds that the controllers use.
func Scheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	kinds := runtime.NewSchemeBuilder(clientgoscheme.AddToScheme, v1.AddToScheme, gameserver.AddToScheme)
	return s, kinds.AddToScheme(s)
}

// CacheOptions keep in memory what is read often, and of that only what is used.
func CacheOptions() cache.Options {
	return cache.Options{ByObject: map[client.Object]cache.ByObject{
		&gameserver.GameServer{}: {Transform: gameserver.Trim},
		&corev1.Node{}:           {Transform: trimNode},
		&v1.NodeFailover{}:       {Transform: cache.TransformStripManagedFields()},
		&certificatesv1.CertificateSigningRequest{}: {
			Field:     fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeAPIServerClientKubeletSignerName),
			Transform: trimRequest,
		},
	}}
}

// trimNode drops what kubelets report and nobody here reads.
func trimNode(obj any) (any, error) {
	if n, ok := obj.(*corev1.Node); ok {
		n.ManagedFields = nil
		n.Annotations = map[string]string{nodePaused: n.Annotations[nodePaused]}
		c := readyCondition(n)
		allocatable := make(corev1.ResourceList, 2)
		for _, r := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q, ok := n.Status.Allocatable[r]; ok {
				allocatable[r] = q
			}
		}
		n.Status = corev1.NodeStatus{Addresses: n.Status.Addresses, Allocatable: allocatable, NodeInfo: corev1.NodeSystemInfo{KubeletVersion: n.Status.NodeInfo.KubeletVersion}}
		if c != nil { // the time of the last heartbeat would make each one an event
			n.Status.Conditions = []corev1.NodeCondition{{Type: c.Type, Status: c.Status, LastTransitionTime: c.LastTransitionTime}}
		}
	}
	return obj, nil
}

// readyCondition is nil if the Node has none.
func readyCondition(n *corev1.Node) *corev1.NodeCondition {
	i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	if i < 0 {
		return nil
	}
	return &n.Status.Conditions[i]
}

// ClusterID is the UID of kube-system, which is as old as the cluster.
func ClusterID(ctx context.Context, r client.Reader) (string, error) {
	var ns corev1.Namespace
	if err := r.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &ns); err != nil {
		return "", fmt.Errorf("read namespace kube-system: %w", err)
	}
	return string(ns.UID), nil
}

// Register adds all controllers to a manager.
func Register(mgr ctrl.Manager, o Options) error {
	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &gameserver.GameServer{}, byNode, nodeOf); err != nil {
		return fmt.Errorf("index game servers by node: %w", err)
	}
	// Who waits for the lease watches already, and need not begin with a list.
	for _, o := range []client.Object{&corev1.Node{}, &v1.NodeFailover{}, &gameserver.GameServer{}} {
		if _, err := mgr.GetCache().GetInformer(context.Background(), o); err != nil {
			return fmt.Errorf("watch %T: %w", o, err)
		}
	}
	if err := (&Watcher{opts: &o}).Register(mgr); err != nil {
		return fmt.Errorf("node watcher: %w", err)
	}
	if err := NewReconciler(&o).Register(mgr); err != nil {
		return fmt.Errorf("failover controller: %w", err)
	}
	if o.TokenGroup != join.KubeadmGroup {
		if err := (&Approver{opts: &o}).Register(mgr); err != nil {
			return fmt.Errorf("approver of certificates: %w", err)
		}
	}
	o.Metrics.watchOpen(&o)
	return mgr.Add(NewCollector(&o))
}

// byNode is the index of game servers by the node they run on.
const byNode = "status.nodeName"

func nodeOf(obj client.Object) []string {
	if g, ok := obj.(*gameserver.GameServer); ok && g.Status.NodeName != "" {
		return []string{g.Status.NodeName}
	}
	return nil
}

// health is that of a Node that exists.
func health(n *corev1.Node) decide.Health {
	if c := readyCondition(n); c != nil && c.Status == corev1.ConditionTrue {
		return decide.Ready
	}
	return decide.NotReady
}

func hasTaint(n *corev1.Node, key string, effect corev1.TaintEffect) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key && (effect == "" || t.Effect == effect) })
}
