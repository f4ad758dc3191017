package manifests

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Check returns what is wrong with the pods of a set, each with its place and the
// rule.
func (s *Set) Check() ([]string, error) {
	workloads, err := s.Workloads()
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, w := range workloads {
		complain := func(format string, args ...any) { wrong = append(wrong, w.ID+": "+fmt.Sprintf(format, args...)) }
		w.checkPod(complain)
		for _, c := range w.Containers() {
			w.checkContainer(c, func(format string, args ...any) { complain("container "+c.Name+": "+format, args...) })
		}
	}
	return wrong, nil
}

// usesAPI are the workloads that need a token of the API server.
var usesAPI = []string{"director", "failover", "miniagones"}

func (w Workload) checkPod(complain func(string, ...any)) {
	p := w.Spec
	pod := p.SecurityContext
	if pod == nil {
		pod = &corev1.PodSecurityContext{}
	}
	if pod.SeccompProfile == nil || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		complain("the seccomp profile must be RuntimeDefault")
	}
	if p.HostNetwork || p.HostPID || p.HostIPC {
		complain("must not share the node's namespaces")
	}
	if p.PriorityClassName == "" && w.Kind != "StatefulSet" {
		complain("must have a priority class")
	}
	// Agones gives its game servers an account, and keeps its token from the game's
	// container alone: checkSidecar.
	if w.Kind != "Fleet" {
		if p.ServiceAccountName == "" || p.ServiceAccountName == "default" {
			complain("must have a service account of its own")
		}
		api := slices.Contains(usesAPI, w.Labels["app.kubernetes.io/name"])
		if token := p.AutomountServiceAccountToken == nil || *p.AutomountServiceAccountToken; token && !api {
			complain("must not mount a service account token")
		}
	}
	if p.EnableServiceLinks == nil || *p.EnableServiceLinks {
		complain("must not get service links: they name every Service in its environment")
	}
	for _, v := range p.Volumes {
		if v.HostPath != nil {
			complain("volume %s: must not be a path of the node", v.Name)
		}
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
			complain("volume %s: must have a size limit", v.Name)
		}
	}
}

func (w Workload) checkContainer(c corev1.Container, complain func(string, ...any)) {
	checkImage(c.Image, complain)
	w.checkSecurity(c, complain)
	checkResources(c, complain)
	if (w.Kind == "Deployment" || w.Kind == "StatefulSet" || w.Kind == "DaemonSet") && (c.LivenessProbe == nil || c.ReadinessProbe == nil) {
		complain("must have a liveness and a readiness probe")
	}
	if w.Kind == "Fleet" && slices.ContainsFunc(w.Spec.InitContainers, func(i corev1.Container) bool { return i.Name == c.Name }) {
		w.checkSidecar(c, complain)
	}
	for _, p := range c.Ports {
		if p.HostPort != 0 && (c.Name != "frontend" || p.HostPort != 443) {
			complain("must not have the host port %d", p.HostPort)
		}
	}
}

// tokenPath is where pods find the token of their service account.
const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

// checkSidecar: whoever has the token of Agones's SDK server can change every
// GameServer of the namespace. What is mounted at its place keeps it away.
func (w Workload) checkSidecar(c corev1.Container, complain func(string, ...any)) {
	if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		complain("must be a native sidecar, restartPolicy Always: Agones's pods do not restart containers")
	}
	hidden := slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPath == tokenPath && slices.ContainsFunc(w.Spec.Volumes, func(v corev1.Volume) bool {
			return v.Name == m.Name && v.EmptyDir != nil
		})
	})
	if !hidden {
		complain("must mount an emptyDir at %s: Agones hides its token from the game's container alone", tokenPath)
	}
}

func checkImage(image string, complain func(string, ...any)) {
	_, tag, ok := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	if !ok || tag == "" || tag == "latest" {
		complain("the image %q must have a tag, and not latest", image)
	}
}

func (w Workload) checkSecurity(c corev1.Container, complain func(string, ...any)) {
	sc := c.SecurityContext
	if sc == nil {
		complain("must have a security context")
		return
	}
	pod := w.Spec.SecurityContext
	if nonRoot := sc.RunAsNonRoot; nonRoot == nil && (pod == nil || pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot) || nonRoot != nil && !*nonRoot {
		complain("must run as another user than root")
	}
	if sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
		complain("must have a read-only root file system")
	}
	if sc.AllowPrivilegeEscalation == nil || *sc.AllowPrivilegeEscalation || sc.Privileged != nil && *sc.Privileged {
		complain("must not gain privileges")
	}
	if sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(sc.Capabilities.Add) > 0 {
		complain("must drop ALL capabilities and add none")
	}
}

// mostOfLimit is the share of its memory limit that Go's own limit may be: what
// is no heap needs the rest.
const mostOfLimit = 0.9

func checkResources(c corev1.Container, complain func(string, ...any)) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if q, ok := c.Resources.Requests[name]; !ok || q.IsZero() {
			complain("must request %s", name)
		}
	}
	limit, ok := c.Resources.Limits[corev1.ResourceMemory]
	if !ok || limit.IsZero() {
		complain("must have a memory limit")
		return
	}
	for _, e := range c.Env {
		if e.Name != "GOMEMLIMIT" {
			continue
		}
		if n, err := goBytes(e.Value); err != nil {
			complain("GOMEMLIMIT: %v", err)
		} else if n > mostOfLimit*float64(limit.Value()) {
			complain("GOMEMLIMIT %s must be at most %.0f%% of the limit %s", e.Value, mostOfLimit*100, limit.String())
		}
	}
}

// goBytes reads a size as Go's runtime does.
func goBytes(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "MiB")
	if !ok {
		return 0, fmt.Errorf("must be in MiB, not %q", text)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, err
	}
	q := resource.NewQuantity(n<<20, resource.BinarySI)
	return float64(q.Value()), nil
}
