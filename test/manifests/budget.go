package manifests

import (
	"fmt"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// Line is what the pods of one workload request together.
type Line struct {
	Name        string
	Pods        int
	CPU, Memory resource.Quantity
}

// Requests are those of a set's workloads, without the game servers.
func (s *Set) Requests() ([]Line, error) {
	workloads, err := s.Workloads()
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, w := range workloads {
		if w.Kind == "Fleet" {
			continue
		}
		l := Line{Name: w.ID, Pods: w.Replicas}
		for range w.Replicas {
			for _, c := range w.Containers() {
				l.add(c.Resources.Requests)
			}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func (l *Line) add(requests corev1.ResourceList) {
	l.CPU.Add(requests[corev1.ResourceCPU])
	l.Memory.Add(requests[corev1.ResourceMemory])
}

// Total adds lines up.
func Total(lines []Line) Line {
	total := Line{Name: "total"}
	for _, l := range lines {
		total.Pods += l.Pods
		total.CPU.Add(l.CPU)
		total.Memory.Add(l.Memory)
	}
	return total
}

// Table prints lines and their total.
func Table(lines []Line) string {
	var b strings.Builder
	for _, l := range append(lines, Total(lines)) {
		fmt.Fprintf(&b, "%-36s %3d pods %5dm CPU %5d MiB\n", l.Name, l.Pods, l.CPU.MilliValue(), l.Memory.Value()>>20)
	}
	return b.String()
}

// part of a chart's values: how many pods, and what each requests.
type part struct {
	Replicas  int                         `json:"replicas"`
	Resources corev1.ResourceRequirements `json:"resources"`
}

func (p part) line(name string, requests corev1.ResourceList) Line {
	l := Line{Name: name, Pods: p.Replicas}
	for range p.Replicas {
		l.add(requests)
	}
	return l
}

// OpenMatchRequests reads what Open Match's pods request from its values.
func OpenMatchRequests(file string) ([]Line, error) {
	var values struct {
		Frontend, Backend, Query, Synchronizer part
		Global                                 struct {
			Kubernetes struct{ Resources corev1.ResourceRequirements }
		}
	}
	if err := readYAML(file, &values); err != nil {
		return nil, err
	}
	each := values.Global.Kubernetes.Resources.Requests
	return []Line{
		values.Frontend.line("open-match frontend", each), values.Backend.line("open-match backend", each),
		values.Query.line("open-match query", each), values.Synchronizer.line("open-match synchronizer", each),
	}, nil
}

// AgonesRequests reads what Agones's pods request from its values.
func AgonesRequests(file string) ([]Line, error) {
	var values struct {
		Agones struct {
			Controller, Extensions, Allocator part
		}
	}
	if err := readYAML(file, &values); err != nil {
		return nil, err
	}
	a := values.Agones
	return []Line{
		a.Controller.line("agones controller", a.Controller.Resources.Requests),
		a.Extensions.line("agones extensions", a.Extensions.Resources.Requests),
		a.Allocator.line("agones allocator", a.Allocator.Resources.Requests),
	}, nil
}

func readYAML(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
