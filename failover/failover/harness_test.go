package failover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/cloud/memory"
	"torikumi/failover/failover"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/controlplane"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/service"
)

const (
	account   = "failover"
	namespace = "torikumi"
	manifests = "../../manifests/base/failover"
	// patience is for how long anything may take on busy cores.
	patience = time.Minute
)

// monitorGrace is after which silence a Node is NotReady.
const monitorGrace = 8 * time.Second

// shared has a controller manager: its nodes beat, or are NotReady.
var shared = controlplane.Shared{Options: controlplane.Options{ControllerManager: true, NodeMonitorGrace: monitorGrace}}

func TestMain(m *testing.M) {
	// What the libraries log of the outages that tests make is of no interest.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))
	ctrl.SetLogger(logr.FromSlogHandler(slog.DiscardHandler))
	goleak.VerifyTestMain(shared.Main(m))
}

// harness is a cluster, a cloud in memory and replicas of the controller.
type harness struct {
	*testing.T
	cluster *controlplane.Cluster
	admin   client.Client
	kube    *rest.Config // the controller's, by its ServiceAccount
	cloud   *memory.Provider
	other   cloud.Provider // instead of cloud, if set
	cfg     *failover.Config
	games   string    // a namespace
	logs    io.Writer // of replicas; the test's output if nil

	addr atomic.Value // of the last replica's HTTP server

	mu    sync.Mutex
	stops []func()
	beats map[string]context.CancelFunc
	wg    sync.WaitGroup
}

// newHarness installs what the manifests ship, and no more.
func newHarness(t *testing.T, c *controlplane.Cluster) *harness {
	scheme, err := controller.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(c.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	err = admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	if client.IgnoreAlreadyExists(err) != nil {
		t.Fatal(err)
	}
	c.InstallCRDs(t, manifests+"/crd", "testdata/gameserver-crd.yaml")
	c.Apply(t, manifests+"/rbac.yaml", manifests+"/bootstrap.yaml", manifests+"/admission.yaml")
	c.Bootstrap(t)
	r := &harness{
		T: t, cluster: c, admin: admin, kube: c.ConfigFor(t, namespace, account), cloud: memory.New("zone-a", "zone-b"),
		cfg: settings(), games: c.Namespace(t), beats: map[string]context.CancelFunc{},
	}
	t.Cleanup(func() {
		r.stopAll()
		r.wg.Wait()
	})
	r.installed()
	return r
}

// lacking is what --check says where a controller would end at its start.
var lacking = regexp.MustCompile(`(?m)^failover: FAIL   (cluster|crd|kinds|approval|policies): .*`)

// installed waits until the API server knows what was installed, or changed by the test
// before: it takes roles and policies from a cache of its own, and a controller without
// rights ends at once.
func (r *harness) installed() {
	r.Helper()
	r.eventually("the controller has its rights", func() error {
		var out strings.Builder
		_ = failover.CheckWith(r.Context(), r.cfg, r.kube, r.cloud, &out)
		if lacks := lacking.FindString(out.String()); lacks != "" {
			return errors.New(lacks)
		}
		return nil
	})
}

// afterwards undoes what a test has changed of the policies and webhooks that all tests
// share, and waits until the API server goes by that.
func (r *harness) afterwards(undo func() error) {
	r.Cleanup(func() {
		if err := undo(); err != nil {
			r.Error(err)
			return
		}
		r.admissionKnown()
	})
}

// admissionKnown waits until the API server goes by the policies and webhooks that are
// there: it takes each kind from a cache, in the order of their changes, so that once it
// goes by one more of each it goes by all.
func (r *harness) admissionKnown() {
	r.Helper()
	ctx := context.Background() // also after a test
	meta := metav1.ObjectMeta{Name: "test-admission-known"}
	const name = "object.metadata.name"
	rule := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: rule}}},
		Validations:      []admissionregistrationv1.Validation{{Expression: name + " != 'policy'", Message: "the policy is in force"}},
	}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
	}}
	hook := &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionregistrationv1.ValidatingWebhook{{
		Name: "known.test.example.com", SideEffects: new(admissionregistrationv1.SideEffectClassNone), AdmissionReviewVersions: []string{"v1"},
		ClientConfig:    admissionregistrationv1.WebhookClientConfig{URL: new("https://127.0.0.1:1")}, // nothing answers there
		Rules:           []admissionregistrationv1.RuleWithOperations{rule},
		MatchConditions: []admissionregistrationv1.MatchCondition{{Name: "webhook", Expression: name + " == 'webhook'"}},
	}}}
	for _, o := range []client.Object{policy, binding, hook} {
		if err := r.admin.Create(ctx, o); err != nil {
			r.Fatal(err)
		}
		defer func() {
			if err := r.admin.Delete(ctx, o); err != nil {
				r.Error(err)
			}
		}()
	}
	for _, kind := range []string{"policy", "webhook"} {
		r.eventually("the API server knows the newest "+kind, func() error {
			if r.admin.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: kind, Namespace: r.games}}, client.DryRunAll) == nil {
				return errors.New("it does not refuse")
			}
			return nil
		})
	}
}

func settingsByDefault() *failover.Config {
	cfg := new(failover.Config)
	config.Default(cfg)
	return cfg
}

func settings() *failover.Config {
	cfg := settingsByDefault()
	cfg.HTTPListen = "127.0.0.1:0"
	cfg.Provider = "exec" // for the zones; the provider itself is the harness's
	cfg.Exec.Zones = []string{"zone-a", "zone-b"}
	cfg.Grace, cfg.Stability, cfg.Poll, cfg.Watch = time.Second, time.Second, 100*time.Millisecond, time.Second
	cfg.Backoff, cfg.JoinTimeout, cfg.MaxWait, cfg.Settle = 200*time.Millisecond, 2*patience, time.Hour, 300*time.Millisecond
	cfg.ShutdownTimeout = 5 * time.Second
	cfg.EmptyStartsVM, cfg.StabilityMax = true, cfg.Stability // nodes of these tests are empty, and fail again and again
	cfg.ReturnTimeout = 500 * time.Millisecond                // there is no Agones that would replace servers
	return cfg
}

// controller starts a replica, and returns what kills it.
func (r *harness) controller(kube *rest.Config) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	cfg := *r.cfg
	provider := cloud.Provider(r.cloud)
	if r.other != nil {
		provider = r.other
	}
	logs := r.logs
	if logs == nil {
		logs = r.Output()
	}
	go func() {
		done <- failover.RunWith(ctx, &cfg, kube, provider, slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelInfo})), func(a service.Addrs) { r.addr.Store(a.HTTP) })
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				r.Logf("controller: %v", err)
			}
		})
	}
	r.mu.Lock()
	r.stops = append(r.stops, stop)
	r.mu.Unlock()
	return stop
}

// stopAll ends all replicas.
func (r *harness) stopAll() {
	r.mu.Lock()
	stops := r.stops
	r.stops = nil
	r.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
}

// eventually waits for a condition, and shows what there is if it does not come.
func (r *harness) eventually(what string, condition func() error) {
	r.Helper()
	defer func() {
		if r.Failed() {
			r.describe()
		}
	}()
	eventually.Within(r.T, patience, what, condition)
}

// describe logs what there is, for a test that fails.
func (r *harness) describe() {
	for _, f := range r.failovers() {
		r.Logf("failover %s: %+v", f.Name, f.Status)
	}
	for _, vm := range r.cloud.VMs() {
		r.Logf("VM %+v", vm)
	}
	var nodes corev1.NodeList
	if err := r.admin.List(context.Background(), &nodes); err == nil {
		for _, n := range nodes.Items {
			r.Logf("node %s ready=%v unschedulable=%v taints=%v", n.Name, controlplane.IsReady(&n), n.Spec.Unschedulable, n.Spec.Taints)
		}
	}
}

func (r *harness) failovers() []v1.NodeFailover {
	var all v1.NodeFailoverList
	if err := r.admin.List(context.Background(), &all); err != nil {
		r.Fatal(err)
	}
	return all.Items
}

// failover is the one of a node that is under way, or one that is not any more;
// further ones do not count.
func (r *harness) failover(node string) (*v1.NodeFailover, error) {
	var newest *v1.NodeFailover
	for _, f := range r.failovers() {
		if f.Spec.OnpremNodeName == node && f.Spec.ParentFailover == "" && (newest == nil || newest.Status.Phase == v1.Completed) {
			newest = &f
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("no failover for %s", node)
	}
	return newest, nil
}

func (r *harness) phase(node string, want v1.Phase) *v1.NodeFailover {
	r.Helper()
	var f *v1.NodeFailover
	r.eventually(fmt.Sprintf("failover of %s becomes %s", node, want), func() (err error) {
		if f, err = r.failover(node); err == nil && f.Status.Phase != want {
			err = fmt.Errorf("it is %s", f.Status.Phase)
		}
		return err
	})
	return f
}

func (r *harness) node(name string) *corev1.Node {
	r.Helper()
	var n corev1.Node
	if err := r.admin.Get(context.Background(), client.ObjectKey{Name: name}, &n); err != nil {
		r.Fatal(err)
	}
	return &n
}

// server makes a game server on a node.
func (r *harness) server(name, node, state string) {
	r.Helper()
	g := &gameserver.GameServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: name, Labels: map[string]string{contract.AllocatableLabel: "true"}},
		Status:     gameserver.GameServerStatus{State: state, NodeName: node},
	}
	if err := r.admin.Create(r.Context(), g); err != nil {
		r.Fatal(err)
	}
}

func (r *harness) getServer(name string) (*gameserver.GameServer, error) {
	var g gameserver.GameServer
	err := r.admin.Get(context.Background(), client.ObjectKey{Namespace: r.games, Name: name}, &g)
	return &g, err
}

// gone reports whether a game server is gone.
func (r *harness) gone(name string) error {
	_, err := r.getServer(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("game server %s: %v", name, err)
}

// hidden reports whether a game server can't be allocated.
func (r *harness) hidden(name string) error {
	g, err := r.getServer(name)
	if err == nil && g.Labels[contract.AllocatableLabel] != "" {
		err = fmt.Errorf("game server %s can be allocated", name)
	}
	return err
}

// finalizers sets those of a game server.
func (r *harness) finalizers(name string, all ...string) {
	r.Helper()
	g, err := r.getServer(name)
	if err != nil {
		r.Fatal(err)
	}
	old := g.DeepCopy()
	g.Finalizers = all
	if err := r.admin.Patch(r.Context(), g, client.MergeFrom(old)); err != nil {
		r.Fatal(err)
	}
}

func (r *harness) tokens() int {
	var all corev1.SecretList
	if err := r.admin.List(context.Background(), &all, client.InNamespace(join.TokenNamespace), client.MatchingLabels{"app.kubernetes.io/managed-by": "torikumi-failover"}); err != nil {
		r.Fatal(err)
	}
	return len(all.Items)
}

var (
	scriptToken    = regexp.MustCompile(`token: "([^"]+)"`)
	scriptHash     = regexp.MustCompile(`- "(sha256:[^"]+)"`)
	scriptEndpoint = regexp.MustCompile(`apiServerEndpoint: "([^"]+)"`)
	scriptProvider = regexp.MustCompile(`--provider-id="'([^']+)'`)
	scriptTaints   = regexp.MustCompile(`--register-with-taints="'([^']+)'`)
	scriptLabels   = regexp.MustCompile(`(?m)^LABELS='([^']+)'`)
)

// boots makes the cloud's VMs do what their startup script says: a real TLS
// bootstrap with the token, and then heartbeats until they are gone.
func (r *harness) boots(initialised bool) {
	r.cloud.OnRunning = func(s cloud.Spec, i cloud.Instance) {
		j := joining(s.StartupScript, s.Name)
		j.ProviderID, j.External = i.ProviderID, "198.51.100.1"
		if !initialised {
			j.ProviderID, j.External = "", ""
			j.Taints = []corev1.Taint{{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule}}
		}
		r.wg.Go(func() { r.live(j, func() bool { return r.exists(s.Ref) }) })
	}
}

// joining is what a startup script tells kubeadm and the kubelet.
func joining(script, name string) controlplane.Joining {
	find := func(re *regexp.Regexp) string {
		if m := re.FindStringSubmatch(script); m != nil {
			return m[1]
		}
		return ""
	}
	labels := map[string]string{}
	for pair := range strings.SplitSeq(find(scriptLabels), ",") {
		if k, v, ok := strings.Cut(pair, "="); ok {
			labels[k] = v
		}
	}
	if strings.Contains(script, "$LABELS,}"+join.ScriptKeptLabel) {
		labels[join.ScriptKeptLabel] = "true"
	}
	var taints []corev1.Taint
	for taint := range strings.SplitSeq(find(scriptTaints), ",") {
		if label, effect, ok := strings.Cut(taint, ":"); ok {
			key, value, _ := strings.Cut(label, "=")
			taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
		}
	}
	return controlplane.Joining{
		Taints: taints,
		Server: "https://" + find(scriptEndpoint), Token: find(scriptToken), CAHash: find(scriptHash),
		Name: name, Labels: labels, ProviderID: find(scriptProvider),
	}
}

func (r *harness) exists(ref cloud.Ref) bool {
	for _, m := range r.cloud.VMs() {
		if m.Ref == ref {
			return true
		}
	}
	return false
}

// live joins a VM and lets it beat while it exists.
func (r *harness) live(j controlplane.Joining, exists func() bool) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	n, err := controlplane.Join(ctx, j)
	if err != nil {
		if exists() && r.Context().Err() == nil {
			r.Errorf("%s does not join: %v", j.Name, err)
		}
		return
	}
	for exists() && r.Context().Err() == nil {
		_ = n.Beat(r.Context()) // the next one makes up for it
		select {
		case <-r.Context().Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// watchedKey and watchedValue are the label of --watched-label, as it is by default.
const watchedKey, watchedValue = "node-restriction.kubernetes.io/node-type", "onpremise"

// onprem adds an on-premises node that beats until it is unplugged, and that an
// administrator has labelled.
func (r *harness) onprem(name string) {
	r.Helper()
	r.unlabelled(name)
	body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, watchedKey, watchedValue)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := r.admin.Patch(r.Context(), n, client.RawPatch(types.MergePatchType, body)); err != nil {
		r.Fatal(err)
	}
}

// unlabelled adds one that has but the labels that its kubelet registers.
func (r *harness) unlabelled(name string) {
	r.Helper()
	id, secret := join.NewTokenID(), join.NewTokenSecret()
	s := join.TokenSecret(id, secret, join.KubeadmGroup, name, time.Now().Add(time.Minute))
	s.Labels = nil
	if err := r.admin.Create(r.Context(), s); err != nil {
		r.Fatal(err)
	}
	n, err := controlplane.Join(r.Context(), controlplane.Joining{
		Server: r.cluster.URL, Token: id + "." + secret, CAHash: r.cluster.CAHash, Name: name,
		Labels: map[string]string{"node-location": "onprem", "hardware": "game-runner"},
	})
	if err != nil {
		r.Fatal(err)
	}
	r.plug(n)
}

func (r *harness) plug(n *controlplane.Node) {
	ctx, cancel := context.WithCancel(r.Context())
	r.mu.Lock()
	r.beats[n.Name] = cancel
	r.mu.Unlock()
	r.wg.Go(func() {
		_ = n.Beat(ctx)
		_ = n.Run(ctx, 300*time.Millisecond)
	})
	r.Cleanup(func() {
		_ = r.admin.Delete(context.Background(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}})
	})
}

func (r *harness) unplug(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beats[name]()
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu  sync.Mutex
	all strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all.String()
}
