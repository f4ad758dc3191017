package manifests

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Workload is something that makes pods, all alike.
type Workload struct {
	// ID is as kubectl names it.
	ID        string
	Kind      string
	Namespace string
	Labels    map[string]string
	Spec      corev1.PodSpec
	// Claims are the names of the volumes that a StatefulSet makes for each pod.
	Claims []string
	// Replicas is how many pods there are at least.
	Replicas int
}

// templates says where each kind has the template of its pods.
var templates = map[string][]string{
	"Deployment":  {"spec", "template"},
	"StatefulSet": {"spec", "template"},
	"DaemonSet":   {"spec", "template"},
	"Job":         {"spec", "template"},
	// A Fleet has a template of GameServers, which have one of pods.
	"Fleet": {"spec", "template", "spec", "template"},
}

// Workloads reads the pods of all objects. A field that pods do not have is an
// error.
func (s *Set) Workloads() ([]Workload, error) {
	var all []Workload
	for _, o := range s.Objects {
		path, ok := templates[o.GetKind()]
		if !ok {
			continue
		}
		w, err := workload(o, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ID(o), err)
		}
		if least, ok := s.autoscaled(o); ok {
			w.Replicas = max(w.Replicas, least)
		}
		all = append(all, w)
	}
	return all, nil
}

func workload(o *unstructured.Unstructured, path []string) (Workload, error) {
	w := Workload{ID: ID(o), Kind: o.GetKind(), Namespace: o.GetNamespace(), Replicas: 1}
	if n, ok, err := unstructured.NestedInt64(o.Object, "spec", "replicas"); err != nil {
		return w, err
	} else if ok {
		w.Replicas = int(n)
	}
	template, ok, err := unstructured.NestedMap(o.Object, path...)
	if err != nil || !ok {
		return w, fmt.Errorf("no template of pods: %w", err)
	}
	var pod corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(template, &pod, true); err != nil {
		return w, err
	}
	w.Labels, w.Spec = pod.Labels, pod.Spec
	claims, _, err := unstructured.NestedSlice(o.Object, "spec", "volumeClaimTemplates")
	if err != nil {
		return w, err
	}
	for _, c := range claims {
		if claim, ok := c.(map[string]any); ok {
			w.Claims = append(w.Claims, (&unstructured.Unstructured{Object: claim}).GetName())
		}
	}
	if w.Kind == "Fleet" { // Agones adds it to each pod
		w.Labels = mergeLabels(w.Labels, map[string]string{"agones.dev/role": "gameserver"})
	}
	return w, nil
}

func mergeLabels(a, b map[string]string) map[string]string {
	out := make(map[string]string, len(a)+len(b))
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// autoscaled returns the least number of pods that an autoscaler keeps.
func (s *Set) autoscaled(target *unstructured.Unstructured) (int, bool) {
	for _, o := range s.Objects {
		if o.GetKind() != "HorizontalPodAutoscaler" || o.GetNamespace() != target.GetNamespace() {
			continue
		}
		name, _, _ := unstructured.NestedString(o.Object, "spec", "scaleTargetRef", "name")
		kind, _, _ := unstructured.NestedString(o.Object, "spec", "scaleTargetRef", "kind")
		least, ok, _ := unstructured.NestedInt64(o.Object, "spec", "minReplicas")
		if ok && name == target.GetName() && kind == target.GetKind() {
			return int(least), true
		}
	}
	return 0, false
}

// Containers are all of a pod, init containers first.
func (w Workload) Containers() []corev1.Container {
	return slices.Concat(w.Spec.InitContainers, w.Spec.Containers)
}

// decode turns an object into a typed one; fields that the type does not have are
// an error.
func decode(o *unstructured.Unstructured, into any) error {
	return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, into, true)
}

// compact is an object as one line of JSON, for messages.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
