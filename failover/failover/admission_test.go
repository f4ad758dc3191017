package failover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/failover"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/controlplane"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
	"torikumi/pkg/service"
)

// TestAdmission: what the controller's identity can't do although its roles say so,
// and what it can.
func TestAdmission(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	its, err := client.New(r.kube, client.Options{Scheme: r.admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewDryRunClient(its) // until the policies are in force, nothing is to happen
	secret := func(name string, change func(*corev1.Secret)) *corev1.Secret {
		id, _ := strings.CutPrefix(name, "bootstrap-token-")
		s := join.TokenSecret(id, join.NewTokenSecret(), join.TokenGroup, "vm", time.Now().Add(time.Hour))
		s.Name = name
		change(s)
		t.Cleanup(func() { _ = r.admin.Delete(context.Background(), s.DeepCopy()) })
		return s
	}
	node := func(name string, labels map[string]string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if err := r.admin.Create(t.Context(), n.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.admin.Delete(context.Background(), n) })
		return n
	}
	admins := func(s *corev1.Secret) *corev1.Secret {
		if err := r.admin.Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	none := func(*corev1.Secret) {}
	desk := node("desk-1", map[string]string{"node-type": "desk"})
	master := node("master-1", map[string]string{"node-role.kubernetes.io/control-plane": ""})
	watched := node("worker-a", map[string]string{watchedKey: watchedValue})
	earlier := node("worker-b", map[string]string{"node-type": "onpremise"})
	bare := node("worker-c", nil)
	retired := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-d", Labels: map[string]string{"node-restriction.kubernetes.io/node-type": "retired"}}}
	retired.Spec.Taints = []corev1.Taint{{Key: "studio/works", Effect: corev1.TaintEffectNoSchedule}, {Key: controller.TaintKey, Value: controller.TaintValue, Effect: corev1.TaintEffectNoExecute}}
	tainted := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "master-2", Labels: master.Labels}}
	tainted.Spec.Taints = []corev1.Taint{{Key: "node-role.kubernetes.io/control-plane", Effect: corev1.TaintEffectNoSchedule}}
	for _, n := range []*corev1.Node{retired, tainted} {
		if err := r.admin.Create(t.Context(), n.DeepCopy()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.admin.Delete(context.Background(), n) })
	}
	change := func(change func(*corev1.Node)) error {
		return retry.RetryOnConflict(retry.DefaultRetry, func() error { // Kubernetes' controllers write new Nodes too
			n := r.node(retired.Name)
			old := n.DeepCopy()
			change(n)
			return c.Patch(t.Context(), n, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
		})
	}
	without := func(key string) func(*corev1.Node) {
		return func(n *corev1.Node) {
			n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
		}
	}
	temp := node("gcp-temp-worker-a-1", map[string]string{"node-type": "gcp-temporary"})
	patch := func(n *corev1.Node, body string) error {
		return c.Patch(t.Context(), n.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body)))
	}
	const cordon, label = `{"spec":{"unschedulable":true}}`, `{"metadata":{"labels":{"node-restriction.kubernetes.io/node-type":"onpremise"}}}`
	const owned = `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"gone"}]}}`
	r.mayAsk(otherGroup)
	theirs := r.ask(asking{name: "system:node:worker-a", token: r.token("others", otherGroup)})
	approve := func(name string) error {
		_, q := r.answer(name)
		q.Status.Conditions = append(q.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"})
		return c.SubResource("approval").Update(t.Context(), q)
	}
	theirSecret := admins(secret("theirs", func(s *corev1.Secret) { s.Type, s.StringData = corev1.SecretTypeOpaque, nil }))
	theirToken := admins(secret("bootstrap-token-theirs", func(s *corev1.Secret) { s.Labels = nil }))
	refusals := map[string]refusal{
		"makes a Secret": {"no Secrets but the bootstrap tokens", func() error {
			return c.Create(t.Context(), secret("password", func(s *corev1.Secret) { s.Type, s.StringData = corev1.SecretTypeOpaque, map[string]string{"a": "b"} }))
		}},
		"makes a token without its label": {"no Secrets but the bootstrap tokens", func() error {
			return c.Create(t.Context(), secret("bootstrap-token-nolabl", func(s *corev1.Secret) { s.Labels = nil }))
		}},
		"makes a token of kubeadm's group": {"tokens of its own group alone", func() error {
			return c.Create(t.Context(), secret("bootstrap-token-kubead", func(s *corev1.Secret) { s.StringData["auth-extra-groups"] = join.KubeadmGroup }))
		}},
		"makes a token of two groups": {"tokens of its own group alone", func() error {
			return c.Create(t.Context(), secret("bootstrap-token-kubea2", func(s *corev1.Secret) { s.StringData["auth-extra-groups"] += "," + join.KubeadmGroup }))
		}},
		"deletes another's Secret": {"no Secrets but the bootstrap tokens", func() error {
			return c.Delete(t.Context(), theirSecret.DeepCopy())
		}},
		"deletes another's token": {"no Secrets but the bootstrap tokens", func() error {
			return c.Delete(t.Context(), theirToken.DeepCopy())
		}},
		"deletes a foreign node":          {"temporary Nodes alone", func() error { return c.Delete(t.Context(), desk.DeepCopy()) }},
		"deletes a watched node":          {"temporary Nodes alone", func() error { return c.Delete(t.Context(), watched.DeepCopy()) }},
		"cordons a foreign node":          {"temporary Nodes alone", func() error { return patch(desk, cordon) }},
		"cordons a control plane":         {"temporary Nodes alone", func() error { return patch(master, cordon) }},
		"makes a control plane a watched": {"temporary Nodes alone", func() error { return patch(master, label) }},
		"makes a foreign node a watched":  {"temporary Nodes alone", func() error { return patch(desk, label) }},
		"makes a watched node its own": {"gives no other", func() error {
			return patch(earlier, `{"metadata":{"labels":{"node-restriction.kubernetes.io/node-type":"gcp-permanent"}}}`)
		}},
		"makes another watched node its own": {"gives no other", func() error {
			return patch(watched, `{"metadata":{"labels":{"node-restriction.kubernetes.io/node-type":"gcp-permanent"}}}`)
		}},
		"makes a temporary node its own": {"gives no other", func() error {
			return patch(temp, `{"metadata":{"labels":{"node-restriction.kubernetes.io/node-type":"gcp-permanent"}}}`)
		}},
		"gives a watched node a label that no kubelet can set": {"gives no other", func() error {
			return patch(watched, `{"metadata":{"labels":{"node-restriction.kubernetes.io/secrets":"yes"}}}`)
		}},
		"gives one that is back another label than its own": {"gives no other", func() error {
			return patch(bare, `{"metadata":{"labels":{"node-restriction.kubernetes.io/node-type":"onpremise","a.node-restriction.kubernetes.io/b":"c"}}}`)
		}},
		"takes a watched node its label": {"takes away no label", func() error {
			return patch(watched, `{"metadata":{"labels":{"node-restriction.kubernetes.io/node-type":null}}}`)
		}},
		"cordons one that is not watched any more": {"temporary Nodes alone", func() error { return patch(retired, cordon) }},
		"takes another's taint from it":            {"temporary Nodes alone", func() error { return change(without("studio/works")) }},
		"takes both taints from it":                {"temporary Nodes alone", func() error { return change(func(n *corev1.Node) { n.Spec.Taints = nil }) }},
		"exchanges its taint": {"temporary Nodes alone", func() error {
			return change(func(n *corev1.Node) {
				n.Spec.Taints[0].Effect = corev1.TaintEffectNoExecute
				without(controller.TaintKey)(n)
			})
		}},
		"cordons it besides": {"temporary Nodes alone", func() error {
			return change(func(n *corev1.Node) { n.Spec.Unschedulable = true; without(controller.TaintKey)(n) })
		}},
		"annotates it besides": {"temporary Nodes alone", func() error {
			return change(func(n *corev1.Node) { n.Annotations = map[string]string{"a": "b"}; without(controller.TaintKey)(n) })
		}},
		"gives it addresses for its pods besides": {"temporary Nodes alone", func() error {
			return change(func(n *corev1.Node) {
				n.Spec.PodCIDR = "192.0.2.0/24"
				n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
				without(controller.TaintKey)(n)
			})
		}},
		"gives it an owner besides": {"ownerReferences and finalizers", func() error {
			return change(func(n *corev1.Node) {
				n.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "gone", UID: "gone"}}
				without(controller.TaintKey)(n)
			})
		}},
		"gives it a finalizer besides": {"ownerReferences and finalizers", func() error {
			return change(func(n *corev1.Node) {
				n.Finalizers = []string{"studio.example.com/kept"}
				without(controller.TaintKey)(n)
			})
		}},
		"gives a watched node an owner":   {"ownerReferences and finalizers", func() error { return patch(watched, owned) }},
		"gives a temporary node an owner": {"ownerReferences and finalizers", func() error { return patch(temp, owned) }},
		"gives a node that is back one": {"ownerReferences and finalizers", func() error {
			return patch(bare, strings.Replace(owned, `"ownerReferences"`, `"labels":{"node-type":"onpremise"},"ownerReferences"`, 1))
		}},
		"gives a watched node a finalizer":       {"ownerReferences and finalizers", func() error { return patch(watched, `{"metadata":{"finalizers":["studio.example.com/kept"]}}`) }},
		"annotates a tainted control plane":      {"temporary Nodes alone", func() error { return patch(tainted, `{"metadata":{"annotations":{"a":"b"}}}`) }},
		"gives a tainted control plane an owner": {"temporary Nodes alone", func() error { return patch(tainted, owned) }},
		"changes a tainted control plane in no way that shows": {"temporary Nodes alone", func() error {
			return patch(tainted, `{"metadata":{"managedFields":[{}]}}`)
		}},
		"sets a watched node's status": {"temporary Nodes alone", func() error {
			return c.Status().Patch(t.Context(), watched.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":{"addresses":[{"type":"ExternalIP","address":"203.0.113.1"}]}}`)))
		}},
		"approves another's": {"with its own tokens alone", func() error { return approve(theirs) }},
	}
	r.refuses(refusals)
	c = its
	own := secret("bootstrap-token-itsown", none)
	mine := r.ask(asking{name: "system:node:vm", token: r.token("mine", join.TokenGroup)})
	for what, err := range map[string]error{
		"make a token":                       c.Create(t.Context(), own),
		"delete it":                          c.Delete(t.Context(), own.DeepCopy()),
		"cordon a watched node":              patch(watched, cordon),
		"cordon a node of the earlier label": patch(earlier, cordon),
		"label a node that is back":          patch(bare, label),
		"take its taint from one that is not watched any more": change(without(controller.TaintKey)),
		"cordon a temporary node":                              patch(temp, cordon),
		"set its addresses":                                    c.Status().Patch(t.Context(), temp.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":{"addresses":[{"type":"ExternalIP","address":"203.0.113.1"}]}}`))),
		"delete it too":                                        c.Delete(t.Context(), temp.DeepCopy()),
		"approve its own":                                      approve(mine),
	} {
		if err != nil {
			t.Errorf("it can't %s: %v", what, err)
		}
	}
}

// refusal is what the controller may not do, and what a policy says of it.
type refusal struct {
	why string
	do  func() error
}

// refuses waits until all is refused: policies are in force some moments after they are
// there.
func (r *harness) refuses(all map[string]refusal) {
	r.Helper()
	r.eventually("the policies are in force", func() error {
		for what, one := range all {
			if err := one.do(); err == nil || !strings.Contains(err.Error(), one.why) {
				return fmt.Errorf("it %s: %v", what, err)
			}
		}
		return nil
	})
}

// TestAdmissionOfPods: which pods the controller's identity can make and delete, and
// what it can change of a game server.
func TestAdmissionOfPods(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	its, err := client.New(r.kube, client.Options{Scheme: r.admin.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewDryRunClient(its)
	r.podAccount()
	r.account(r.games)
	for _, name := range []string{"gcp-temp-worker-p-1", "worker-p"} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := r.admin.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.admin.Delete(context.Background(), n) })
	}
	plain := func(*corev1.Pod) {}
	r.pod("here", "gcp-temp-worker-p-1", plain)
	r.pod("there", "worker-p", plain)
	r.pod("nowhere", "", plain)
	r.pod("drill-probe-in-games", "worker-p", plain)
	const hides = "those alone that hide it"
	r.server("game", "worker-p", "Ready")
	r.merge(&gameserver.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "game"}},
		`{"metadata":{"labels":{"torikumi/match":"m-1","torikumi/allocatable":"true"},"annotations":{"torikumi/roster":"[\"ann\"]"}}}`)
	game, err := r.getServer("game")
	if err != nil {
		t.Fatal(err)
	}
	remove := func(name string) error {
		return c.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: name}}, client.GracePeriodSeconds(0))
	}
	probe := func(node string, change func(*corev1.Pod)) *corev1.Pod {
		p := controller.ProbePod(&controller.Options{Namespace: namespace, Settings: new(decide.Settings)}, "check", v1.Probe{Image: "pause"}, node)
		change(p)
		return p
	}
	create := func(node string, change func(*corev1.Pod)) error { return c.Create(t.Context(), probe(node, change)) }
	of := func(body string) error {
		return c.Patch(t.Context(), game.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body)))
	}
	secret := &corev1.SecretVolumeSource{SecretName: "frontend-signing"}
	const temporary = "gcp-temp-worker-p-1"
	r.refuses(map[string]refusal{
		"deletes a pod of another node":       {"pods of temporary Nodes alone", func() error { return remove("there") }},
		"deletes a pod that waits for a node": {"pods of temporary Nodes alone", func() error { return remove("nowhere") }},
		"deletes another's probe":             {"pods of temporary Nodes alone", func() error { return remove("drill-probe-in-games") }},
		"makes another pod":                   {"the probe pods of drills", func() error { return create(temporary, func(p *corev1.Pod) { p.Name = "shell" }) }},
		"makes a probe pod for another node":  {"for temporary Nodes alone", func() error { return create("worker-p", plain) }},
		"makes a probe pod for any node":      {"for temporary Nodes alone", func() error { return create(temporary, func(p *corev1.Pod) { p.Spec.Affinity = nil }) }},
		"makes a probe pod for one of two nodes": {"for temporary Nodes alone", func() error {
			return create(temporary, func(p *corev1.Pod) {
				terms := &p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
				*terms = append(*terms, corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpExists}}})
			})
		}},
		"places a probe pod itself": {"for temporary Nodes alone", func() error { return create(temporary, func(p *corev1.Pod) { p.Spec.NodeName = "worker-p" }) }},
		"makes a probe pod with an account": {"another account or a Secret", func() error {
			return create(temporary, func(p *corev1.Pod) { p.Spec.ServiceAccountName = account })
		}},
		"makes a probe pod with a Secret": {"another account or a Secret", func() error {
			return create(temporary, func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Secret: secret}}}
			})
		}},
		"makes a probe pod with a projected Secret": {"another account or a Secret", func() error {
			return create(temporary, func(p *corev1.Pod) {
				p.Spec.Volumes = []corev1.Volume{{Name: "s", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "frontend-signing"}}},
				}}}}}
			})
		}},
		"makes a probe pod with a Secret in its environment": {"another account or a Secret", func() error {
			return create(temporary, func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{*p.Spec.Containers[0].DeepCopy()}
				p.Spec.InitContainers[0].Name = "first"
				p.Spec.InitContainers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "frontend-signing"}}}}
			})
		}},
		"makes a probe pod with one value of a Secret": {"another account or a Secret", func() error {
			return create(temporary, func(p *corev1.Pod) {
				p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "S", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "frontend-signing"}, Key: "key"}}}}
			})
		}},
		"makes a probe pod with a pull secret": {"no pod with a pull secret", func() error {
			return create(temporary, func(p *corev1.Pod) {
				p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "frontend-signing"}}
			})
		}},
		"changes a game server's pod":     {"no GameServer's spec", func() error { return of(`{"spec":{"template":{"spec":{"hostPID":true}}}}`) }},
		"has a game server made again":    {"the state alone, to Shutdown", func() error { return of(`{"status":{"state":"Creating"}}`) }},
		"sends players to another server": {"the state alone, to Shutdown", func() error { return of(`{"status":{"address":"203.0.113.66"}}`) }},
		"takes a game server's node":      {"the state alone, to Shutdown", func() error { return of(`{"status":{"state":"Shutdown","nodeName":null}}`) }},
		"has Agones take another address": {hides, func() error { return of(`{"metadata":{"annotations":{"agones.dev/dev-address":"203.0.113.66"}}}`) }},
		"sends a match to a game server":  {hides, func() error { return of(`{"metadata":{"labels":{"torikumi/match":"m-2"}}}`) }},
		"ends a game server's match":      {hides, func() error { return of(`{"metadata":{"labels":{"torikumi/match":null}}}`) }},
		"lets others into a match":        {hides, func() error { return of(`{"metadata":{"annotations":{"torikumi/roster":"[\"eve\"]"}}}`) }},
		"takes a match's players":         {hides, func() error { return of(`{"metadata":{"annotations":{"torikumi/roster":null}}}`) }},
		"takes a label while it hides":    {hides, func() error { return of(`{"metadata":{"labels":{"torikumi/allocatable":null,"torikumi/match":null}}}`) }},
		"gives a game server an owner": {"no GameServer's ownerReferences", func() error {
			return of(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Node","name":"gone","uid":"gone"}]}}`)
		}},
		"keeps a game server by finalizer": {"no GameServer's ownerReferences", func() error { return of(`{"metadata":{"finalizers":["studio.example.com/kept"]}}`) }},
	})
	c = its
	made := probe(temporary, plain)
	for what, err := range map[string]error{
		"make a probe pod":                  c.Create(t.Context(), made),
		"delete it":                         c.Delete(t.Context(), made.DeepCopy(), client.GracePeriodSeconds(0)),
		"delete a pod of a temporary node":  remove("here"),
		"hide a game server":                of(`{"metadata":{"labels":{"torikumi/allocatable":null},"annotations":{"failover.operator.io/allocatable":"true"}}}`),
		"shut a game server down":           of(`{"status":{"state":"Shutdown"}}`),
		"evict a pod, of whichever node":    c.SubResource("eviction").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "there"}}, &policyv1.Eviction{}),
		"delete a game server that is shut": c.Delete(t.Context(), game.DeepCopy()),
	} {
		if err != nil {
			t.Errorf("it can't %s: %v", what, err)
		}
	}
}

// TestSettingsAgainstPolicies: settings that the admission policies contradict are told
// by --check, and end the controller at its start, not in an outage.
func TestSettingsAgainstPolicies(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.podAccount()
	r.cfg = settingsByDefault()
	r.cfg.HTTPListen, r.cfg.Provider, r.cfg.Exec.Zones = "127.0.0.1:0", "exec", []string{"zone-a"}
	for name, labels := range map[string]map[string]string{
		"worker-q":  {"node-restriction.kubernetes.io/node-type": "onpremise"},
		"worker-q2": {"node-restriction.kubernetes.io/node-type": "onpremise"},
		"worker-r":  {"studio/watched": "yes"},
	} {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
		if err := r.admin.Create(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.admin.Delete(context.Background(), n) })
	}
	check := func(cfg *failover.Config, kube *rest.Config) string {
		var out bytes.Buffer
		_ = failover.CheckWith(t.Context(), cfg, kube, r.cloud, &out) // this cluster may lack something else
		return out.String()
	}
	const allowed = "ok     policies (tried with Node worker-q"
	r.eventually("the policies are in force", func() error {
		if out := check(r.cfg, r.kube); !strings.Contains(out, allowed+")") {
			return errors.New(out)
		}
		return nil
	})
	for want, change := range map[string]func(*failover.Config){
		"--token-group=system:bootstrappers:others contradicts the admission policies (manifests/base/failover/admission.yaml): ": func(c *failover.Config) { c.TokenGroup = otherGroup },
		"--vm-name-prefix=vm- or --namespace=torikumi contradicts":                                                                func(c *failover.Config) { c.NamePrefix = "vm-" },
		"--watched-label=studio/watched=yes contradicts":                                                                          func(c *failover.Config) { c.WatchedLabel = "studio/watched=yes" },
		"--restore-labels=node-restriction.kubernetes.io/pool contradicts": func(c *failover.Config) {
			c.RestoreLabels = []string{"node-restriction.kubernetes.io/node-type", "node-restriction.kubernetes.io/pool"}
		},
	} {
		cfg := *r.cfg
		change(&cfg)
		r.eventually("this policy is in force too", func() error {
			if out := check(&cfg, r.kube); !strings.Contains(out, "FAIL   policies: "+want) || strings.Count(out, "contradicts") != 1 {
				return fmt.Errorf("%s: --check says\n%s", want, out)
			}
			return nil
		})
		ctx, stop := context.WithCancel(t.Context())
		err := failover.RunWith(ctx, &cfg, r.kube, r.cloud, slog.New(slog.DiscardHandler), func(service.Addrs) { t.Error("it starts"); stop() })
		stop()
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: it ends with %v", want, err)
		}
	}
	// The first Node has the label already, so the next one is tried; then none lacks it.
	pool := *r.cfg
	pool.RestoreLabels = []string{"node-restriction.kubernetes.io/pool"}
	for _, n := range []string{"worker-q", "worker-q2"} {
		r.merge(r.node(n), `{"metadata":{"labels":{"node-restriction.kubernetes.io/pool":"games"}}}`)
		want := "FAIL   policies: --restore-labels=node-restriction.kubernetes.io/pool contradicts"
		if n == "worker-q2" {
			want = allowed + "; not tried: --restore-labels=node-restriction.kubernetes.io/pool)"
		}
		if out := check(&pool, r.kube); !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	// Whom the policies do not look at.
	if out := check(r.cfg, r.cluster.Config); !strings.Contains(out, "ok     policies (none looks at what this account asks for") {
		t.Errorf("as an administrator:\n%s", out)
	}
	// Who lacks rights.
	if err := r.admin.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "nobody"}}); err != nil {
		t.Fatal(err)
	}
	if out := check(r.cfg, r.cluster.ConfigFor(t, r.games, "nobody")); !strings.Contains(out, "FAIL   policies: try --token-group="+r.cfg.TokenGroup) || !strings.Contains(out, `cannot create resource "secrets"`) {
		t.Errorf("without rights:\n%s", out)
	}
	for n, labels := range map[string]int{"worker-q": 2, "worker-r": 1} {
		if got := r.node(n); len(got.Labels) != labels || tainted(got) {
			t.Errorf("%s was changed: %v %v", n, got.Labels, got.Spec.Taints)
		}
	}
}

// TestPullSecrets: those of the account default, which Kubernetes gives a drill's pod,
// have to stand in the policy. That they do not ends no start, and --check tells it.
func TestPullSecrets(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.podAccount()
	r.onprem("worker-u")
	pulls := func(secrets ...corev1.LocalObjectReference) {
		a := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}}
		if err := r.admin.Get(context.Background(), client.ObjectKeyFromObject(a), a); err != nil {
			t.Fatal(err)
		}
		a.ImagePullSecrets = secrets
		if err := r.admin.Update(context.Background(), a); err != nil {
			t.Fatal(err)
		}
	}
	pulls(corev1.LocalObjectReference{Name: "registry"})
	t.Cleanup(func() { pulls() })
	says := func(want string) {
		t.Helper()
		r.eventually(want, func() error {
			var out bytes.Buffer
			_ = failover.CheckWith(t.Context(), r.cfg, r.kube, r.cloud, &out)
			if !regexp.MustCompile(`(?m)^failover: ok     policies ` + want + `$`).MatchString(out.String()) {
				return errors.New(out.String())
			}
			return nil
		})
	}
	says(`.*not known: try the pod of a drill .*the policy torikumi-failover-pull-secrets does not name\)`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := failover.RunWith(ctx, r.cfg, r.kube, r.cloud, slog.New(slog.DiscardHandler), func(service.Addrs) { stop() }); err != nil {
		t.Errorf("it ends with %v", err)
	}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "torikumi-failover-pull-secrets"}}
	allow := func(names string) error {
		body := `{"spec":{"variables":[{"name":"allowed","expression":"` + names + `"}]}}`
		return r.admin.Patch(context.Background(), policy, client.RawPatch(types.MergePatchType, []byte(body)))
	}
	r.afterwards(func() error { return allow("[]") })
	if err := allow("['registry']"); err != nil {
		t.Fatal(err)
	}
	says(`\(tried with Node worker-u\)`)
}

// TestNothingWatched: that no Node has the watched label is told by --check.
func TestNothingWatched(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.onprem("worker-s")
	check := func(label string) string {
		cfg := *r.cfg
		cfg.WatchedLabel = label
		var out bytes.Buffer
		_ = failover.CheckWith(t.Context(), &cfg, r.kube, r.cloud, &out)
		return out.String()
	}
	const want = "FAIL   nodes: no Node has the label studio/watched=yes (--watched-label): no failover is made when one dies"
	if out := check("studio/watched=yes"); !strings.Contains(out, want) {
		t.Errorf("no %q in\n%s", want, out)
	}
	if out := check(r.cfg.WatchedLabel); !strings.Contains(out, "ok     nodes (1 watched)") {
		t.Errorf("one is watched:\n%s", out)
	}
}

// TestProtectedLabel: with the settings as they are by default a node is watched that
// an administrator has labelled, and none that says so itself.
func TestProtectedLabel(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	key, value, _ := strings.Cut(r.cfg.WatchedLabel, "=")
	r.boots(true)
	if _, err := controlplane.Join(t.Context(), controlplane.Joining{
		Server: r.cluster.URL, Token: r.token("liar", join.KubeadmGroup), CAHash: r.cluster.CAHash, Name: "liar", Labels: map[string]string{key: value},
	}); !apierrors.IsForbidden(err) {
		t.Fatalf("a kubelet registers with the label: %v", err)
	}
	node, err := controlplane.Join(t.Context(), controlplane.Joining{
		Server: r.cluster.URL, Token: r.token("plain", join.KubeadmGroup), CAHash: r.cluster.CAHash, Name: "plain", Labels: map[string]string{"node-type": value},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.plug(node)
	kubelet, err := kubernetes.NewForConfig(node.Config)
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, key, value)
	if _, err := kubelet.CoreV1().Nodes().Patch(t.Context(), "plain", types.MergePatchType, body, metav1.PatchOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("a kubelet labels itself: %v", err)
	}
	r.onprem("worker-7")
	r.controller(r.kube)
	r.unplug("plain")
	r.unplug("worker-7")
	f := r.phase("worker-7", v1.Active)
	r.eventually("the dead node is tainted", func() error {
		if !tainted(r.node("worker-7")) {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	if f, err := r.failover("plain"); err == nil {
		t.Errorf("a node that only calls itself on-premises has a failover: %+v", f.Status)
	}
	// It comes back without its labels, as after a cloud-controller-manager.
	if err := r.admin.Delete(t.Context(), r.node("worker-7")); err != nil {
		t.Fatal(err)
	}
	r.unlabelled("worker-7")
	r.eventually("the label is back", func() error {
		if got := r.node("worker-7").Labels[key]; got != value {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
	r.ends("worker-7", f.Status.GCPVMName)
}
