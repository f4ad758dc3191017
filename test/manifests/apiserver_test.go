package manifests_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"torikumi/pkg/eventually"
	"torikumi/pkg/kubebuild"
	"torikumi/test/manifests"
)

// foreign are the kinds of other projects' CRDs, which are not here to be asked.
var foreign = []string{"Certificate", "Issuer", "Gateway", "HTTPRoute", "GRPCRoute", "PodMonitor", "PrometheusRule", "FleetAutoscaler", "Fleet"}

// apiServer is a real one, with the CRDs that manifests/ has.
type apiServer struct {
	dynamic dynamic.Interface
	client  kubernetes.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func startAPIServer(t *testing.T) *apiServer {
	t.Helper()
	assets, err := kubebuild.Kubernetes.Find("etcd", "kube-apiserver")
	if err != nil {
		t.Fatalf("run `make kubernetes`: %v", err)
	}
	const patience = 2 * time.Minute // envtest has less than a busy machine needs
	start := func() (*envtest.Environment, *rest.Config, error) {
		env := &envtest.Environment{
			BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
			CRDDirectoryPaths: crdFolders(t), ErrorIfCRDPathMissing: true, CRDInstallOptions: envtest.CRDInstallOptions{MaxTime: patience},
		}
		config, err := env.Start()
		if err != nil {
			err = errors.Join(err, env.Stop())
		}
		return env, config, err
	}
	env, config, err := start()
	for again := 0; err != nil && again < 2; again++ {
		// It gives the server 5 s to make the default namespace.
		t.Log(err)
		env, config, err = start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &apiServer{dynamic: dyn, client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))}
}

// crdFolders are the folders named crd of manifests/.
func crdFolders(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, pattern := range []string{"/base/*/crd", "/components/*/crd"} {
		dirs, err := filepath.Glob(root + pattern)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, dirs...)
	}
	if len(found) == 0 {
		t.Fatal("no CRDs")
	}
	return found
}

// apply applies an object, or only tries to.
func (a *apiServer) apply(ctx context.Context, o *unstructured.Unstructured, dryRun bool) error {
	mapping, err := a.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	if err != nil {
		return err
	}
	opts := metav1.ApplyOptions{FieldManager: "manifests", Force: true}
	if dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	to := a.dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		_, err = to.Namespace(o.GetNamespace()).Apply(ctx, o.GetName(), o, opts)
		return err
	}
	_, err = to.Apply(ctx, o.GetName(), o, opts)
	return err
}

// tryPod tries to create the pod that a workload would get.
func (a *apiServer) tryPod(ctx context.Context, namespace string, labels map[string]string, spec corev1.PodSpec, owners ...metav1.OwnerReference) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "try-", Namespace: namespace, Labels: labels, OwnerReferences: owners}, Spec: spec}
	_, err := a.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// Namespaces and cluster-wide policies are there first, as in a real cluster; of
// everything else the API server says whether it would take it.
var first = []string{"Namespace", "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}

func TestAPIServer(t *testing.T) {
	server := startAPIServer(t)
	whole := func(t *testing.T, name string) []*unstructured.Unstructured {
		t.Helper()
		objects := get(t, name).Objects
		for _, o := range objects {
			if slices.Contains(first, o.GetKind()) {
				if err := server.apply(t.Context(), o, false); err != nil {
					t.Fatalf("%s: %v", manifests.ID(o), err)
				}
			}
		}
		return objects
	}
	for _, s := range slices.Concat(sets(t, "overlays/"), sets(t, "combinations/", "examples/", "games/")) {
		if s.Name == "combinations/hostport" {
			continue // it loosens the namespace: last
		}
		t.Run(s.Name, func(t *testing.T) { server.dryRun(t, s, whole(t, s.Name)) })
	}
	t.Run("games", func(t *testing.T) { testGamesAdmission(t, server) })
	t.Run("combinations/hostport", func(t *testing.T) {
		server.dryRun(t, get(t, "combinations/hostport"), whole(t, "combinations/hostport"))
		testHostPortAdmission(t, server)
	})
}

// dryRun tries each object, and the pods of each workload: Pod Security and the
// admission policies look at pods alone. What a namespace and a policy say counts some
// time after they are applied.
func (a *apiServer) dryRun(t *testing.T, s *manifests.Set, objects []*unstructured.Unstructured) {
	for _, o := range objects {
		if slices.Contains(first, o.GetKind()) || slices.Contains(foreign, o.GetKind()) && !a.knows(o) {
			continue
		}
		eventually.NoError(t, manifests.ID(o)+" is taken", func() error { return a.apply(t.Context(), o, true) })
	}
	workloads, err := s.Workloads()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads {
		if w.Kind == "Fleet" {
			continue
		}
		spec := *w.Spec.DeepCopy()
		for _, claim := range w.Claims { // the controller mounts one for each pod
			spec.Volumes = append(spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
				PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim + "-0"},
			}})
		}
		eventually.NoError(t, "a pod of "+w.ID+" is taken", func() error { return a.tryPod(t.Context(), w.Namespace, w.Labels, spec) })
	}
}

func (a *apiServer) knows(o *unstructured.Unstructured) bool {
	_, err := a.mapper.RESTMapping(o.GroupVersionKind().GroupKind(), o.GroupVersionKind().Version)
	return err == nil
}

// gamePod is the pod that Agones makes of a Fleet: with the SDK server and a host
// port.
func gamePod(t *testing.T, fleet string, hostPort int32) corev1.PodSpec {
	t.Helper()
	workloads, err := get(t, fleet).Workloads()
	if err != nil || len(workloads) != 1 {
		t.Fatal(len(workloads), err)
	}
	spec := *workloads[0].Spec.DeepCopy()
	yes, no, always := true, false, corev1.ContainerRestartPolicyAlways
	spec.InitContainers = slices.Insert(spec.InitContainers, 0, corev1.Container{
		Name: "agones-gameserver-sidecar", Image: "example.com/agones-sdk:1", RestartPolicy: &always,
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no, RunAsNonRoot: &yes},
	})
	spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 7777, HostPort: hostPort, Protocol: corev1.ProtocolUDP}}
	spec.ServiceAccountName = "agones-sdk"
	spec.RestartPolicy = corev1.RestartPolicyNever
	return spec
}

func owner() metav1.OwnerReference {
	yes := true
	return metav1.OwnerReference{APIVersion: "agones.dev/v1", Kind: "GameServer", Name: "one", UID: "one", Controller: &yes}
}

// In the namespace of the games run game servers and nothing else.
func testGamesAdmission(t *testing.T, a *apiServer) {
	ctx := t.Context()
	fine := gamePod(t, "games/reference", 7123)
	// A policy counts some time after it is there.
	refused := func(what, rule string, spec corev1.PodSpec, owners ...metav1.OwnerReference) {
		t.Helper()
		eventually.NoError(t, what+" is refused", func() error {
			if err := a.tryPod(ctx, "games", nil, spec, owners...); err == nil || !strings.Contains(err.Error(), rule) {
				return fmt.Errorf("want %q: %v", rule, err)
			}
			return nil
		})
	}
	refused("a pod of nobody", "only game servers run here", fine)
	for what, c := range map[string]struct {
		rule   string
		change func(*corev1.PodSpec)
	}{
		"a low host port": {"host ports must be from 7000 to 8000", func(p *corev1.PodSpec) { p.Containers[0].Ports[0].HostPort = 443 }},
		"a sidecar's port": {"host ports must be from 7000 to 8000", func(p *corev1.PodSpec) {
			p.InitContainers[1].Ports = []corev1.ContainerPort{{ContainerPort: 1, HostPort: 9000}}
		}},
		"the node's network": {"must not share the node's network", func(p *corev1.PodSpec) { p.HostNetwork = true; p.Containers[0].Ports = nil }},
		"a path of the node": {"must not mount a path of the node", func(p *corev1.PodSpec) { p.Volumes = append(p.Volumes, hostPath()) }},
		"root": {"another user than root", func(p *corev1.PodSpec) {
			p.SecurityContext.RunAsNonRoot = nil
			p.Containers[0].SecurityContext.RunAsNonRoot = nil
		}},
		"no security context": {"allowPrivilegeEscalation: false", func(p *corev1.PodSpec) { p.Containers[0].SecurityContext = nil }},
		"a capability": {"may add capabilities", func(p *corev1.PodSpec) {
			p.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
		}},
		"no seccomp profile": {"seccomp profile", func(p *corev1.PodSpec) { p.SecurityContext.SeccompProfile = nil }},
	} {
		spec := *fine.DeepCopy()
		c.change(&spec)
		refused(what, c.rule, spec, owner())
	}
	for _, fleet := range []string{"games/reference", "games/unreal"} {
		if err := a.tryPod(ctx, "games", nil, gamePod(t, fleet, 7000), owner()); err != nil {
			t.Errorf("a game server of %s: %v", fleet, err)
		}
	}
	deployment := deploymentOf(get(t, "overlays/dev"), "frontend")
	deployment.SetNamespace("games")
	eventually.NoError(t, "a Deployment is refused", func() error {
		if err := a.apply(ctx, deployment, true); err == nil || !strings.Contains(err.Error(), "use a Fleet") {
			return fmt.Errorf("want a refusal: %v", err)
		}
		return nil
	})
}

func hostPath() corev1.Volume {
	return corev1.Volume{Name: "node", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}
}

func deploymentOf(s *manifests.Set, name string) *unstructured.Unstructured {
	for _, o := range s.Objects {
		if o.GetKind() == "Deployment" && o.GetName() == name {
			return o.DeepCopy()
		}
	}
	return nil
}

// With host ports the namespace enforces nothing itself; the policy does.
func testHostPortAdmission(t *testing.T, a *apiServer) {
	workloads, err := get(t, "combinations/hostport").Workloads()
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range workloads {
		if w.Labels["app.kubernetes.io/name"] != "frontend" {
			continue
		}
		spec := *w.Spec.DeepCopy()
		for i := range spec.Containers[0].Ports {
			spec.Containers[0].Ports[i].HostPort = spec.Containers[0].Ports[i].ContainerPort
		}
		eventually.NoError(t, "another host port is refused", func() error {
			if err := a.tryPod(t.Context(), w.Namespace, w.Labels, spec); err == nil || !strings.Contains(err.Error(), "the only host port") {
				return fmt.Errorf("want a refusal: %v", err)
			}
			return nil
		})
		return
	}
	t.Error("no frontend")
}

// The policy's classes are what the games' pods name.
func TestGamesPriority(t *testing.T) {
	classes := make(map[string]int32)
	for _, o := range get(t, "overlays/hybrid").Objects {
		if o.GetKind() != "PriorityClass" {
			continue
		}
		value, _, err := unstructured.NestedInt64(o.Object, "value")
		if err != nil {
			t.Fatal(err)
		}
		classes[o.GetName()] = int32(value)
	}
	if games, suite := classes["torikumi-games"], classes["torikumi"]; games <= 0 || suite <= games {
		t.Errorf("the services (%d) must be above the games (%d), and both above nothing", suite, games)
	}
	for _, fleet := range []string{"games/reference", "games/unreal"} {
		if class := gamePod(t, fleet, 7000).PriorityClassName; classes[class] == 0 {
			t.Errorf("%s has the priority class %q, which is not there", fleet, class)
		}
	}
}
