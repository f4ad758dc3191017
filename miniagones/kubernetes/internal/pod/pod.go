// Package pod makes a game server's pod from its GameServer, as Agones does: the
// game's own containers, host ports, and the SDK server beside them.
package pod

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/json"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
)

const (
	// SidecarName is the name of the SDK server's container.
	SidecarName = "agones-gameserver-sidecar"
	// ServiceAccount is what the SDK server calls the API server as.
	ServiceAccount = "agones-sdk"
	// HealthPort is where the kubelet asks for the SDK server's health.
	HealthPort = 8080
	// RunningPath is what the kubelet asks for once the game server's container
	// runs.
	RunningPath = "/gshealthz"

	// NameLabel, on a pod, holds the name of its game server.
	NameLabel = "agones.dev/gameserver"
	// ContainerAnnotation, on a pod, holds the name of the game server's
	// container.
	ContainerAnnotation = "agones.dev/container"

	tokenVolume = "agones-sdk-token"
	tokenPath   = "/var/run/secrets/kubernetes.io/serviceaccount"
	// sidecarUser is the user of the image.
	sidecarUser = 65532
)

// FieldError says which field of a GameServer or Fleet is wrong.
type FieldError struct {
	// Field is its path from the object, such as "spec.container".
	Field, Rule string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Rule }

// Template reads and checks the pod's template of a server. The error is a
// *FieldError, with a path that begins with prefix.
func Template(spec *v1.GameServerSpec, prefix string) (*corev1.PodTemplateSpec, error) {
	var t corev1.PodTemplateSpec
	path := prefix + "spec.template"
	strict, err := json.UnmarshalStrict(spec.Template.Raw, &t)
	if err == nil && len(strict) > 0 {
		err = strict[0]
	}
	if err != nil {
		return nil, &FieldError{path, err.Error()}
	}
	containers := t.Spec.Containers
	switch {
	case len(containers) == 0:
		return nil, &FieldError{path + ".spec.containers", "must have a container"}
	case t.Spec.HostNetwork:
		return nil, &FieldError{path + ".spec.hostNetwork", "is not supported: ports are host ports"}
	case t.Spec.RestartPolicy != "" && t.Spec.RestartPolicy != corev1.RestartPolicyNever:
		return nil, &FieldError{path + ".spec.restartPolicy", "must be Never or left out: a game server that has ended is replaced"}
	case spec.Container == "" && len(containers) > 1:
		return nil, &FieldError{prefix + "spec.container", "must name the game server's container, as the pod has several"}
	case find(&t.Spec, Container(spec, &t), false) == nil:
		return nil, &FieldError{prefix + "spec.container", fmt.Sprintf("there is no container %q", spec.Container)}
	}
	for i, p := range spec.Ports {
		if p.Container != "" && find(&t.Spec, p.Container, true) == nil {
			return nil, &FieldError{fmt.Sprintf("%sspec.ports[%d].container", prefix, i), fmt.Sprintf("there is no container %q", p.Container)}
		}
	}
	for i, c := range append(slices.Clone(containers), t.Spec.InitContainers...) {
		if c.Name == SidecarName {
			return nil, &FieldError{fmt.Sprintf("%s.spec.containers[%d].name", path, i), "is the name of the SDK server"}
		}
	}
	return &t, nil
}

// Container is the name of the container that is the game server.
func Container(spec *v1.GameServerSpec, t *corev1.PodTemplateSpec) string {
	if spec.Container == "" && len(t.Spec.Containers) == 1 {
		return t.Spec.Containers[0].Name
	}
	return spec.Container
}

// find returns a container, with sidecars an init container that runs as long as
// the pod too.
func find(spec *corev1.PodSpec, name string, sidecars bool) *corev1.Container {
	for i := range spec.Containers {
		if spec.Containers[i].Name == name {
			return &spec.Containers[i]
		}
	}
	for i := range spec.InitContainers {
		c := &spec.InitContainers[i]
		if sidecars && c.Name == name && c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			return c
		}
	}
	return nil
}

// Options are what the pods of all servers have.
type Options struct {
	// SidecarImage is the image with the SDK server.
	SidecarImage string
	PullPolicy   corev1.PullPolicy
}

// New makes the pod of a server whose host ports are known. The error is a
// *FieldError.
func New(gs *v1.GameServer, o Options) (*corev1.Pod, error) {
	t, err := Template(&gs.Spec, "")
	if err != nil {
		return nil, err
	}
	game := Container(&gs.Spec, t)
	p := &corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}
	meta(p, gs, game)
	for _, port := range gs.Spec.Ports {
		name := port.Container
		if name == "" {
			name = game
		}
		c := find(&p.Spec, name, true)
		c.Ports = append(c.Ports, corev1.ContainerPort{ContainerPort: port.ContainerPort, HostPort: port.HostPort, Protocol: port.Protocol})
	}
	p.Spec.RestartPolicy = corev1.RestartPolicyNever
	if p.Spec.Hostname == "" {
		p.Spec.Hostname = gs.Name
	}
	environment(&p.Spec, gs)
	probe(find(&p.Spec, game, false), &gs.Spec.Health)
	sidecar(&p.Spec, gs, o)
	if gs.Spec.Scheduling != v1.Distributed {
		pack(&p.Spec)
	}
	return p, nil
}

func meta(p *corev1.Pod, gs *v1.GameServer, game string) {
	p.ObjectMeta = metav1.ObjectMeta{
		Name: gs.Name, Namespace: gs.Namespace, Labels: maps.Clone(p.Labels), Annotations: maps.Clone(p.Annotations),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(gs, v1.GroupVersion.WithKind("GameServer"))},
	}
	if p.Labels == nil {
		p.Labels = make(map[string]string)
	}
	if p.Annotations == nil {
		p.Annotations = make(map[string]string)
	}
	p.Labels[agones.RoleLabel] = agones.RoleGameServer
	p.Labels[NameLabel] = gs.Name
	p.Annotations[ContainerAnnotation] = game
	evict(p, gs.Spec.Eviction.Safe)
}

// evict tells the cluster's autoscaler and disruption budgets what a server
// bears.
func evict(p *corev1.Pod, safe string) {
	const annotation, label = "cluster-autoscaler.kubernetes.io/safe-to-evict", "agones.dev/safe-to-evict"
	if _, ok := p.Annotations[annotation]; !ok {
		p.Annotations[annotation] = strconv.FormatBool(safe == "Always")
	}
	if _, ok := p.Labels[label]; !ok {
		p.Labels[label] = strconv.FormatBool(safe == "Always" || safe == "OnUpgrade")
	}
}

// probe lets the kubelet tell the SDK server, by asking it, that the game
// server's container runs: from then on signs of life are counted. A container
// with a probe of its own is counted from its first word to the SDK.
func probe(game *corev1.Container, h *v1.Health) {
	if h.Disabled || game.LivenessProbe != nil {
		return
	}
	game.LivenessProbe = &corev1.Probe{
		ProbeHandler:        corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: RunningPath, Port: intstr.FromInt32(HealthPort)}},
		InitialDelaySeconds: h.InitialDelaySeconds, PeriodSeconds: h.PeriodSeconds, FailureThreshold: h.FailureThreshold,
	}
}

func environment(spec *corev1.PodSpec, gs *v1.GameServer) {
	set := []corev1.EnvVar{
		{Name: agones.SDKGRPCPortEnv, Value: strconv.Itoa(int(gs.Spec.SDKServer.GRPCPort))},
		{Name: agones.SDKHTTPPortEnv, Value: strconv.Itoa(int(gs.Spec.SDKServer.HTTPPort))},
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			env := slices.DeleteFunc(slices.Clone(list[i].Env), func(e corev1.EnvVar) bool {
				return e.Name == agones.SDKGRPCPortEnv || e.Name == agones.SDKHTTPPortEnv
			})
			list[i].Env = append(env, set...)
		}
	}
}

// sidecar adds the SDK server as the first init container, one that runs as long
// as the pod: what follows finds it running. Unless the template has a service
// account of its own, only the SDK server gets a token for the API server.
func sidecar(spec *corev1.PodSpec, gs *v1.GameServer, o Options) {
	always, no, yes, user := corev1.ContainerRestartPolicyAlways, false, true, int64(sidecarUser)
	health := corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(HealthPort)}}
	c := corev1.Container{
		Name:            SidecarName,
		Image:           o.SidecarImage,
		ImagePullPolicy: o.PullPolicy,
		Args: []string{
			"sdk", "--name=" + gs.Name, "--namespace=" + gs.Namespace,
			fmt.Sprintf("--grpc-listen=127.0.0.1:%d", gs.Spec.SDKServer.GRPCPort),
			fmt.Sprintf("--http-listen=127.0.0.1:%d", gs.Spec.SDKServer.HTTPPort),
			fmt.Sprintf("--health-listen=:%d", HealthPort), "--log-level=" + logLevel(gs.Spec.SDKServer.LogLevel),
		},
		RestartPolicy: &always,
		StartupProbe:  &corev1.Probe{ProbeHandler: health, PeriodSeconds: 1, FailureThreshold: 60},
		LivenessProbe: &corev1.Probe{ProbeHandler: health, PeriodSeconds: 5},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("24Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("96Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, RunAsNonRoot: &yes, RunAsUser: &user, ReadOnlyRootFilesystem: &yes,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
	if spec.ServiceAccountName == "" {
		spec.ServiceAccountName = ServiceAccount
		spec.AutomountServiceAccountToken = &no
		spec.Volumes = append(spec.Volumes, token())
		c.VolumeMounts = []corev1.VolumeMount{{Name: tokenVolume, MountPath: tokenPath, ReadOnly: true}}
	}
	spec.InitContainers = append([]corev1.Container{c}, spec.InitContainers...)
}

func logLevel(agones string) string {
	switch agones {
	case "Error":
		return "ERROR"
	case "Debug", "Trace":
		return "DEBUG"
	}
	return "INFO"
}

// token is what Kubernetes would mount into every container of the pod.
func token() corev1.Volume {
	hour := int64(3607)
	return corev1.Volume{Name: tokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &hour, Path: "token"}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}},
			}}},
		},
	}}}
}

// pack prefers nodes that have game servers already.
func pack(spec *corev1.PodSpec) {
	if spec.Affinity == nil {
		spec.Affinity = new(corev1.Affinity)
	}
	if spec.Affinity.PodAffinity == nil {
		spec.Affinity.PodAffinity = new(corev1.PodAffinity)
	}
	a := spec.Affinity.PodAffinity
	a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution, corev1.WeightedPodAffinityTerm{
		Weight: 100,
		PodAffinityTerm: corev1.PodAffinityTerm{
			TopologyKey:   corev1.LabelHostname,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{agones.RoleLabel: agones.RoleGameServer}},
		},
	})
}
