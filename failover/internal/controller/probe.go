package controller

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// gameContainer is the annotation in which Agones names the game's container; others
// are its sidecars.
const gameContainer = "agones.dev/container"

// probe is what a drill's probe pod is to be: the fleet's image and RuntimeClass, by
// a game server's pod on the drill's node, unless settings say otherwise; nil if
// there is no image.
func (r *Reconciler) probe(pods []corev1.Pod) *v1.Probe {
	p := &v1.Probe{Image: r.opts.ProbeImage, RuntimeClassName: r.opts.ProbeRuntimeClass}
	for i := range pods {
		spec := &pods[i].Spec
		for _, c := range spec.Containers {
			if p.Image == "" && (c.Name == pods[i].Annotations[gameContainer] || len(spec.Containers) == 1) {
				p.Image = c.Image
			}
		}
		if p.RuntimeClassName == "" && spec.RuntimeClassName != nil {
			p.RuntimeClassName = *spec.RuntimeClassName
		}
	}
	if p.Image == "" {
		return nil
	}
	return p
}

// probeName is the same for the same drill, and of no other.
func probeName(drill types.UID) string {
	sum := sha256.Sum256([]byte("probe/" + drill))
	return "drill-probe-" + hex.EncodeToString(sum[:5])
}

// probePod is the pod of a drill. It belongs to the drill, so that it goes with that
// even if no controller runs.
func (r *Reconciler) probePod(f *v1.NodeFailover, node string) *corev1.Pod {
	pod := ProbePod(r.opts, f.UID, *f.Status.Probe, node)
	pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1.GroupVersion.String(), Kind: v1.Kind, Name: f.Name, UID: f.UID}}
	return pod
}

// ProbePod is the pod itself. The scheduler places it, as it would place a game
// server: what keeps one away keeps it away too, but for the drill's own taint.
func ProbePod(o *Options, drill types.UID, p v1.Probe, node string) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.Namespace, Name: probeName(drill),
			Labels: map[string]string{"app.kubernetes.io/managed-by": "torikumi-failover"},
		},
		Spec: corev1.PodSpec{
			RestartPolicy:                corev1.RestartPolicyNever,
			AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), TerminationGracePeriodSeconds: new(int64(0)),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65535)), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Tolerations: []corev1.Toleration{{Key: DrillTaint, Operator: corev1.TolerationOpExists}},
			Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
					{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
				}}},
			}}},
			Containers: []corev1.Container{{
				Name: "probe", Image: p.Image,
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
				}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	for _, key := range o.Settings.ToleratedTaints {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists})
	}
	if p.RuntimeClassName != "" {
		pod.Spec.RuntimeClassName = &p.RuntimeClassName
	}
	return pod
}

func (r *Reconciler) createProbe(ctx context.Context, s *decide.State, node string) (result, error) {
	err := r.opts.Client.Create(ctx, r.probePod(s.Failover, node))
	switch {
	case apierrors.IsAlreadyExists(err):
		return acted, nil
	case refusedForGood(err): // such as: there is no such RuntimeClass
		s.ProbeErr = err.Error()
		return learnt, nil
	}
	return acted, err
}

// deleteProbe does not wait for the kubelet, which may be gone: the VM goes next.
func (r *Reconciler) deleteProbe(ctx context.Context, f *v1.NodeFailover) error {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.opts.Namespace, Name: probeName(f.UID)}}
	return client.IgnoreNotFound(r.opts.Client.Delete(ctx, pod, client.GracePeriodSeconds(0)))
}

// observeProbe looks at a drill's probe pod, from when it can be there until the drill
// is over.
func (r *Reconciler) observeProbe(ctx context.Context, s *decide.State) error {
	f := s.Failover
	if !f.Spec.Drill || f.Status.Probe == nil || f.Status.Probe.RequestedAt == nil || f.Status.Phase == v1.Completed {
		return nil
	}
	var pod corev1.Pod
	err := r.opts.Live.Get(ctx, client.ObjectKey{Namespace: r.opts.Namespace, Name: probeName(f.UID)}, &pod)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the probe pod: %w", err)
	}
	s.ProbePod = seenProbe(&pod)
	return nil
}

// seenProbe is what a probe pod shows. A container that has ended has run; one that
// could not be started has ended too, but at no time.
func seenProbe(pod *corev1.Pod) decide.ProbePod {
	p := decide.ProbePod{Exists: true, Failed: pod.Status.Phase == corev1.PodFailed, Waiting: pod.Status.Message}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			p.Waiting = cmp.Or(p.Waiting, c.Message)
		}
	}
	for _, c := range pod.Status.ContainerStatuses {
		switch {
		case c.State.Running != nil:
			p.Started = true
		case c.State.Terminated != nil && c.State.Terminated.StartedAt.Unix() > 0:
			p.Started = true
		case c.State.Terminated != nil:
			p.Waiting = fmt.Sprintf("%s: %s", c.State.Terminated.Reason, c.State.Terminated.Message)
		case c.State.Waiting != nil:
			p.Waiting = fmt.Sprintf("%s: %s", c.State.Waiting.Reason, c.State.Waiting.Message)
		}
	}
	if p.Started {
		p.Failed = false
	}
	p.Waiting = cmp.Or(p.Waiting, "the pod is "+string(pod.Status.Phase))
	return p
}
