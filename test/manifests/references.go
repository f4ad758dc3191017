package manifests

import (
	"fmt"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Documented are the objects that somebody else makes, by namespace, kind and
// name, and where docs/deploy.md says so.
var Documented = map[string]bool{
	"torikumi Secret/frontend-join-keys": true,
	"torikumi Secret/allocator-client":   true,
	"torikumi Secret/frontend-tls":       true,
	"torikumi Secret/director-gates":     true,
	"games Secret/director-gates-ca":     true,
}

// builtIn are the priority classes of Kubernetes.
var builtIn = map[string]bool{"system-cluster-critical": true, "system-node-critical": true}

// References returns what objects name and nobody makes.
func (s *Set) References() ([]string, error) {
	workloads, err := s.Workloads()
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool)
	for _, o := range s.Objects {
		there[o.GetNamespace()+" "+o.GetKind()+"/"+o.GetName()] = true
	}
	var wrong []string
	for _, o := range s.Objects {
		if o.GetKind() != "Certificate" {
			continue
		}
		if name, _, _ := unstructured.NestedString(o.Object, "spec", "secretName"); name != "" {
			there[o.GetNamespace()+" Secret/"+name] = true // cert-manager makes it
		}
	}
	need := func(who, namespace, kind, name string) {
		if key := namespace + " " + kind + "/" + name; name != "" && !there[key] && !Documented[key] {
			wrong = append(wrong, fmt.Sprintf("%s: there is no %s %s in %q, and it is not documented who makes it", who, kind, name, namespace))
		}
	}
	for _, w := range workloads {
		w.references(func(kind, name string) { need(w.ID, w.Namespace, kind, name) })
		if name := w.Spec.PriorityClassName; w.Kind != "Fleet" && !builtIn[name] {
			need(w.ID, "", "PriorityClass", name)
		}
	}
	more, err := s.targets(workloads)
	return append(wrong, more...), err
}

// references calls need with all that a pod names.
func (w Workload) references(need func(kind, name string)) {
	if w.Kind != "Fleet" {
		need("ServiceAccount", w.Spec.ServiceAccountName)
	}
	for _, v := range w.Spec.Volumes {
		if v.ConfigMap != nil {
			need("ConfigMap", v.ConfigMap.Name)
		}
		if v.Secret != nil {
			need("Secret", v.Secret.SecretName)
		}
		if v.PersistentVolumeClaim != nil {
			need("PersistentVolumeClaim", v.PersistentVolumeClaim.ClaimName)
		}
	}
	for _, c := range w.Containers() {
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil {
				need("ConfigMap", e.ConfigMapRef.Name)
			}
			if e.SecretRef != nil {
				need("Secret", e.SecretRef.Name)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				need("Secret", e.ValueFrom.SecretKeyRef.Name)
			}
		}
	}
}

// targets returns Services, budgets and autoscalers that have no pods, and ports
// of Services that no pod has.
func (s *Set) targets(workloads []Workload) ([]string, error) {
	var wrong []string
	for _, o := range s.Objects {
		complain := func(format string, args ...any) { wrong = append(wrong, ID(o)+": "+fmt.Sprintf(format, args...)) }
		switch o.GetKind() {
		case "Service":
			var svc corev1.Service
			if err := decode(o, &svc); err != nil {
				return nil, fmt.Errorf("%s: %w", ID(o), err)
			}
			checkService(svc, workloads, complain)
		case "PodDisruptionBudget":
			var pdb policyv1.PodDisruptionBudget
			if err := decode(o, &pdb); err != nil {
				return nil, fmt.Errorf("%s: %w", ID(o), err)
			}
			checkBudget(pdb, workloads, complain)
		case "HorizontalPodAutoscaler":
			var hpa autoscalingv2.HorizontalPodAutoscaler
			if err := decode(o, &hpa); err != nil {
				return nil, fmt.Errorf("%s: %w", ID(o), err)
			}
			ref := hpa.Spec.ScaleTargetRef
			if !has(workloads, func(w Workload) bool {
				return w.Namespace == hpa.Namespace && w.Kind == ref.Kind && w.ID == hpa.Namespace+" deployment/"+ref.Name
			}) {
				complain("there is no %s %s", ref.Kind, ref.Name)
			}
		}
	}
	return wrong, nil
}

func has(workloads []Workload, f func(Workload) bool) bool { return len(selected(workloads, f)) > 0 }

func selected(workloads []Workload, f func(Workload) bool) []Workload {
	var out []Workload
	for _, w := range workloads {
		if f(w) {
			out = append(out, w)
		}
	}
	return out
}

func checkService(svc corev1.Service, workloads []Workload, complain func(string, ...any)) {
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	chosen := labels.SelectorFromSet(svc.Spec.Selector)
	behind := selected(workloads, func(w Workload) bool { return w.Namespace == svc.Namespace && chosen.Matches(labels.Set(w.Labels)) })
	if len(behind) == 0 {
		complain("selects no pods")
	}
	for _, w := range behind {
		for _, p := range svc.Spec.Ports {
			if w.port(p.TargetPort) == 0 {
				complain("port %s: %s has no port %s", p.Name, w.ID, p.TargetPort.String())
			}
		}
	}
}

// port is the number of a container's port, by name or number; 0 if there is none.
func (w Workload) port(target intstr.IntOrString) int32 {
	for _, c := range w.Containers() {
		for _, p := range c.Ports {
			if target.Type == intstr.String && p.Name == target.StrVal || target.Type == intstr.Int && p.ContainerPort == target.IntVal {
				return p.ContainerPort
			}
		}
	}
	return 0
}

func checkBudget(pdb policyv1.PodDisruptionBudget, workloads []Workload, complain func(string, ...any)) {
	chosen, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
	if err != nil {
		complain("%v", err)
		return
	}
	if _, agones := pdb.Spec.Selector.MatchLabels["agones.dev/safe-to-evict"]; agones {
		return // Agones and miniagones label their pods themselves
	}
	behind := selected(workloads, func(w Workload) bool { return w.Namespace == pdb.Namespace && chosen.Matches(labels.Set(w.Labels)) })
	if len(behind) == 0 {
		complain("selects no pods")
	}
	for _, w := range behind {
		if least := pdb.Spec.MinAvailable; least != nil && least.IntValue() >= w.Replicas {
			complain("lets no pod of %s go: its node could never be drained", w.ID)
		}
	}
}
