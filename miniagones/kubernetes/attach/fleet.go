package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
)

// mapper knows the kinds that are used here without asking the API server.
func mapper() meta.RESTMapper {
	m := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"GameServer", "Fleet"} {
		m.Add(v1.GroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	for _, kind := range []string{"Service", "Event"} {
		m.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	m.Add(authorizationv1.SchemeGroupVersion.WithKind("SelfSubjectAccessReview"), meta.RESTScopeRoot)
	return m
}

// fleet is what an attached server takes over from a Fleet.
type fleet struct {
	labels   map[string]string
	port     v1.GameServerPort
	counters map[string]v1.CounterStatus
	lists    map[string]v1.ListStatus
	gate     GateSettings
}

// GateSettings are those that the gates of a Fleet have; empty ones are not said there.
type GateSettings struct {
	Issuer, JWKSURL, Algorithm string
}

// fleet reads a Fleet, or the only one.
func (c *Cluster) fleet(ctx context.Context, namespace, name string) (*fleet, error) {
	list := new(v1.FleetList)
	if err := c.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, c.explain(fmt.Errorf("list Fleets: %w", err))
	}
	var names []string
	var found *v1.Fleet
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
		if list.Items[i].Name == name || (name == "" && len(list.Items) == 1) {
			found = &list.Items[i]
		}
	}
	switch {
	case found != nil:
	case len(names) == 0:
		return nil, fmt.Errorf("--namespace: must have a Fleet whose servers the attached one stands in for; there is none in %s", namespace)
	default:
		return nil, fmt.Errorf("--fleet: must be one of %s, the Fleets of namespace %s", strings.Join(names, ", "), namespace)
	}
	template := &found.Spec.Template
	if len(template.Spec.Ports) == 0 {
		return nil, errors.New("--fleet: the servers of Fleet " + found.Name + " have no port")
	}
	f := &fleet{labels: map[string]string{}, port: template.Spec.Ports[0], counters: template.Spec.Counters, lists: template.Spec.Lists}
	for key, value := range template.Metadata.Labels {
		if !strings.HasPrefix(key, agones.Group+"/") {
			f.labels[key] = value
		}
	}
	var pod corev1.PodTemplateSpec
	if err := json.Unmarshal(template.Spec.Template.Raw, &pod); err != nil {
		return nil, fmt.Errorf("--fleet: read the pod of Fleet %s: %w", found.Name, err)
	}
	f.gate = gateSettings(&pod.Spec)
	return f, nil
}

// gateSettings finds them where a container has an issuer.
func gateSettings(pod *corev1.PodSpec) GateSettings {
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		g := GateSettings{Issuer: setting(&c, "issuer"), JWKSURL: setting(&c, "jwks-url"), Algorithm: setting(&c, "algorithm")}
		if g.Issuer != "" {
			return g
		}
	}
	return GateSettings{}
}

// setting is what a flag or a variable of a gate says.
func setting(c *corev1.Container, name string) string {
	for _, arg := range slices.Concat(c.Command, c.Args) {
		if value, ok := strings.CutPrefix(strings.TrimPrefix(arg, "-"), "-"+name+"="); ok {
			return value
		}
	}
	variable := "GATE_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	for _, e := range c.Env {
		if e.Name == variable {
			return e.Value
		}
	}
	return ""
}
