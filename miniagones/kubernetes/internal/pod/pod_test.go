package pod_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/pkg/agones"
)

// server is a GameServer whose pod has a game, a gate that runs as long as it, and
// an init container that ends.
func server(t testing.TB, change func(*v1.GameServerSpec, *corev1.PodTemplateSpec)) *v1.GameServer {
	t.Helper()
	always := corev1.ContainerRestartPolicyAlways
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"own": "label"}, Annotations: map[string]string{"own": "annotation"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "game", Image: "game", Env: []corev1.EnvVar{{Name: agones.SDKGRPCPortEnv, Value: "1"}, {Name: "OWN", Value: "x"}}}},
			InitContainers: []corev1.Container{
				{Name: "prepare", Image: "prepare"}, {Name: "gate", Image: "gate", RestartPolicy: &always},
			},
		},
	}
	gs := &v1.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: "games", Name: "arena-1", UID: "u1"}, Spec: v1.GameServerSpec{
		Ports: []v1.GameServerPort{
			{Name: "game", ContainerPort: 7654, HostPort: 7001, Protocol: corev1.ProtocolUDP},
			{Name: "gate", Container: "gate", ContainerPort: 8085, HostPort: 7002, Protocol: corev1.ProtocolTCP},
		},
		Health:    v1.Health{PeriodSeconds: 5, FailureThreshold: 3, InitialDelaySeconds: 7},
		SDKServer: v1.SDKServer{GRPCPort: 9357, HTTPPort: 9358, LogLevel: "Error"}, Eviction: v1.Eviction{Safe: "Never"}, Scheduling: v1.Packed,
	}}
	if change != nil {
		change(&gs.Spec, &template)
	}
	raw, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	gs.Spec.Template = runtime.RawExtension{Raw: raw}
	return gs
}

func newPod(t testing.TB, gs *v1.GameServer) *corev1.Pod {
	t.Helper()
	p, err := pod.New(gs, pod.Options{SidecarImage: "sdk:1", PullPolicy: corev1.PullNever})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func names(containers []corev1.Container) (out []string) {
	for _, c := range containers {
		out = append(out, c.Name)
	}
	return out
}

func TestNew(t *testing.T) {
	p := newPod(t, server(t, nil))
	owner := metav1.GetControllerOf(p)
	if p.Name != "arena-1" || p.Namespace != "games" || owner == nil || owner.Kind != "GameServer" || owner.UID != types.UID("u1") {
		t.Errorf("metadata %+v", p.ObjectMeta)
	}
	for key, want := range map[string]string{"own": "label", agones.RoleLabel: "gameserver", "agones.dev/gameserver": "arena-1", "agones.dev/safe-to-evict": "false"} {
		if p.Labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, p.Labels[key], want)
		}
	}
	for key, want := range map[string]string{"own": "annotation", "agones.dev/container": "game", "cluster-autoscaler.kubernetes.io/safe-to-evict": "false"} {
		if p.Annotations[key] != want {
			t.Errorf("annotation %s is %q, want %q", key, p.Annotations[key], want)
		}
	}
	if p.Spec.RestartPolicy != corev1.RestartPolicyNever || p.Spec.Hostname != "arena-1" || p.Spec.Affinity.PodAffinity == nil {
		t.Errorf("spec %+v", p.Spec)
	}
	if got, want := names(p.Spec.InitContainers), []string{pod.SidecarName, "prepare", "gate"}; !slices.Equal(got, want) {
		t.Fatalf("init containers %v, want %v", got, want)
	}
	sdk, gate, game := p.Spec.InitContainers[0], p.Spec.InitContainers[2], p.Spec.Containers[0]
	if sdk.Image != "sdk:1" || sdk.ImagePullPolicy != corev1.PullNever || sdk.RestartPolicy == nil || *sdk.RestartPolicy != corev1.ContainerRestartPolicyAlways ||
		!slices.Contains(sdk.Args, "--name=arena-1") || !slices.Contains(sdk.Args, "--log-level=ERROR") {
		t.Errorf("the SDK server: %+v", sdk)
	}
	if want := (corev1.ContainerPort{ContainerPort: 7654, HostPort: 7001, Protocol: corev1.ProtocolUDP}); len(game.Ports) != 1 || game.Ports[0] != want {
		t.Errorf("the game's ports: %+v", game.Ports)
	}
	if len(gate.Ports) != 1 || gate.Ports[0].HostPort != 7002 {
		t.Errorf("the gate's ports: %+v", gate.Ports)
	}
	for _, c := range []corev1.Container{game, gate, p.Spec.InitContainers[1]} {
		if n := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == agones.SDKGRPCPortEnv }); n < 0 || c.Env[n].Value != "9357" {
			t.Errorf("%s: environment %v", c.Name, c.Env)
		}
	}
	if probe := game.LivenessProbe; probe == nil || probe.HTTPGet.Path != pod.RunningPath || probe.InitialDelaySeconds != 7 || probe.PeriodSeconds != 5 {
		t.Errorf("the game's probe: %+v", probe)
	}
}

// TestToken: only the SDK server gets a token of the API server, unless the
// template has an account of its own.
func TestToken(t *testing.T) {
	p := newPod(t, server(t, nil))
	if p.Spec.ServiceAccountName != pod.ServiceAccount || p.Spec.AutomountServiceAccountToken == nil || *p.Spec.AutomountServiceAccountToken {
		t.Errorf("account %q, automount %v", p.Spec.ServiceAccountName, p.Spec.AutomountServiceAccountToken)
	}
	volume := p.Spec.Volumes[0].Name
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		mounted := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
		if mounted != (c.Name == pod.SidecarName) {
			t.Errorf("%s has the token: %v", c.Name, mounted)
		}
	}
	p = newPod(t, server(t, func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) { t.Spec.ServiceAccountName = "own" }))
	if p.Spec.ServiceAccountName != "own" || p.Spec.AutomountServiceAccountToken != nil || len(p.Spec.Volumes) != 0 {
		t.Errorf("an account of its own: %+v", p.Spec)
	}
}

func TestOptionsOfTheSpec(t *testing.T) {
	p := newPod(t, server(t, func(s *v1.GameServerSpec, _ *corev1.PodTemplateSpec) {
		s.Health.Disabled, s.Eviction.Safe, s.Scheduling = true, "Always", v1.Distributed
	}))
	if p.Spec.Containers[0].LivenessProbe != nil || p.Spec.Affinity != nil {
		t.Errorf("probe %v, affinity %v", p.Spec.Containers[0].LivenessProbe, p.Spec.Affinity)
	}
	if p.Labels["agones.dev/safe-to-evict"] != "true" || p.Annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] != "true" {
		t.Errorf("labels %v, annotations %v", p.Labels, p.Annotations)
	}
	own := &corev1.Probe{PeriodSeconds: 99}
	p = newPod(t, server(t, func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) { t.Spec.Containers[0].LivenessProbe = own }))
	if got := p.Spec.Containers[0].LivenessProbe; got == nil || got.PeriodSeconds != 99 {
		t.Errorf("its own probe became %+v", got)
	}
}

func TestTemplateErrors(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(*v1.GameServerSpec, *corev1.PodTemplateSpec)
	}{
		{"spec.template.spec.containers", func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) { t.Spec.Containers = nil }},
		{"spec.template.spec.restartPolicy", func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) { t.Spec.RestartPolicy = "Always" }},
		{"spec.template.spec.hostNetwork", func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) { t.Spec.HostNetwork = true }},
		{"spec.container", func(s *v1.GameServerSpec, _ *corev1.PodTemplateSpec) { s.Container = "gate" }},
		{"spec.container", func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) {
			t.Spec.Containers = append(t.Spec.Containers, corev1.Container{Name: "second"})
		}},
		{"spec.ports[1].container", func(s *v1.GameServerSpec, _ *corev1.PodTemplateSpec) { s.Ports[1].Container = "prepare" }},
		{"spec.template.spec.containers[0].name", func(_ *v1.GameServerSpec, t *corev1.PodTemplateSpec) { t.Spec.Containers[0].Name = pod.SidecarName }},
	} {
		_, err := pod.New(server(t, c.change), pod.Options{})
		var wrong *pod.FieldError
		if !errors.As(err, &wrong) || wrong.Field != c.field {
			t.Errorf("%v, want an error that names %s", err, c.field)
		}
	}
	gs := server(t, nil)
	gs.Spec.Template.Raw = []byte(`{"spec":{"containers":[{"name":"game","imagePulPolicy":"Never"}]}}`)
	if _, err := pod.New(gs, pod.Options{}); err == nil || !strings.Contains(err.Error(), "imagePulPolicy") {
		t.Errorf("a misspelt field: %v", err)
	}
}
