package aggregated

import (
	"encoding/json"
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/label"
	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/allocate"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/pkg/agones"
)

// Group, Version and Kind of what is served.
const (
	Group    = "allocation.agones.dev"
	Version  = "v1"
	kind     = "GameServerAllocation"
	resource = "gameserverallocations"
)

var groupKind = schema.GroupKind{Group: Group, Kind: kind}

// States of an allocation's answer.
const (
	Allocated   = "Allocated"
	UnAllocated = "UnAllocated"
	Contention  = "Contention"
)

// allocation is a GameServerAllocation.
type allocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              spec              `json:"spec"`
	Status            *allocationStatus `json:"status,omitempty"`
}

type spec struct {
	Selectors []selector `json:"selectors,omitempty"`
	// Preferred and Required are the old form; Selectors make them void.
	Preferred  []selector    `json:"preferred,omitempty"`
	Required   *selector     `json:"required,omitempty"`
	Scheduling v1.Scheduling `json:"scheduling,omitempty"`
	Metadata   patch         `json:"metadata,omitzero"`

	MultiClusterSetting *struct {
		Enabled bool `json:"enabled,omitempty"`
	} `json:"multiClusterSetting,omitempty"`
	Priorities     []counts.Priority `json:"priorities,omitempty"`
	counts.Actions `json:",inline"`
}

type patch struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type selector struct {
	metav1.LabelSelector `json:",inline"`
	GameServerState      string          `json:"gameServerState,omitempty"`
	Players              json.RawMessage `json:"players,omitempty"`
	counts.Selector      `json:",inline"`
}

type allocationStatus struct {
	State          string                    `json:"state"`
	GameServerName string                    `json:"gameServerName"`
	Ports          []v1.GameServerStatusPort `json:"ports,omitempty"`
	Address        string                    `json:"address,omitempty"`
	Addresses      []corev1.NodeAddress      `json:"addresses,omitempty"`
	NodeName       string                    `json:"nodeName,omitempty"`
	Source         string                    `json:"source"`
	Metadata       *patch                    `json:"metadata,omitempty"`

	Counters map[string]counts.Counter `json:"counters,omitempty"`
	Lists    map[string]counts.List    `json:"lists,omitempty"`
}

// request reads an allocation, and reports all that is wrong with it.
func (a *allocation) request(namespace string) (allocate.Request, field.ErrorList) {
	r := allocate.Request{Namespace: namespace, Spread: a.Spec.Scheduling == v1.Distributed, Priorities: a.Spec.Priorities, Actions: a.Spec.Actions}
	path := field.NewPath("spec")
	errs := a.Spec.unsupported(path)
	switch a.Spec.Scheduling {
	case "", v1.Packed, v1.Distributed:
	default:
		errs = append(errs, field.NotSupported(path.Child("scheduling"), a.Spec.Scheduling, []v1.Scheduling{v1.Packed, v1.Distributed}))
	}
	read := func(p *field.Path, s *selector) {
		sel, more := s.read(p)
		errs = append(errs, more...)
		r.Selectors = append(r.Selectors, sel)
	}
	for i := range a.Spec.Selectors {
		read(path.Child("selectors").Index(i), &a.Spec.Selectors[i])
	}
	if len(a.Spec.Selectors) == 0 {
		for i := range a.Spec.Preferred {
			read(path.Child("preferred").Index(i), &a.Spec.Preferred[i])
		}
		required := a.Spec.Required
		if required == nil {
			required = new(selector)
		}
		read(path.Child("required"), required)
	}
	errs = append(errs, problems(path, append(counts.CheckPriorities(a.Spec.Priorities), a.Spec.Actions.Check()...))...)
	if err := label.CheckLabels(a.Spec.Metadata.Labels); err != nil {
		errs = append(errs, field.Invalid(path.Child("metadata", "labels"), a.Spec.Metadata.Labels, err.Error()))
	}
	if err := label.CheckAnnotations(a.Spec.Metadata.Annotations); err != nil {
		errs = append(errs, field.Invalid(path.Child("metadata", "annotations"), "…", err.Error()))
	}
	r.Labels, r.Annotations = maps.Clone(a.Spec.Metadata.Labels), maps.Clone(a.Spec.Metadata.Annotations)
	return r, errs
}

func (s *spec) unsupported(path *field.Path) (errs field.ErrorList) {
	if s.MultiClusterSetting != nil && s.MultiClusterSetting.Enabled {
		errs = append(errs, field.Forbidden(path.Child("multiClusterSetting"), "miniagones has no other clusters"))
	}
	return errs
}

// problems are errors of fields below a path.
func problems(path *field.Path, wrong []counts.Problem) (errs field.ErrorList) {
	for _, p := range wrong {
		errs = append(errs, field.Invalid(path.Child(p.Field), "", p.Rule))
	}
	return errs
}

func (s *selector) read(path *field.Path) (allocate.Selector, field.ErrorList) {
	var errs field.ErrorList
	labels, err := metav1.LabelSelectorAsSelector(&s.LabelSelector)
	if err != nil {
		errs = append(errs, field.Invalid(path, s.LabelSelector, err.Error()))
	}
	sel := allocate.Selector{Labels: labels, State: agones.Ready}
	switch s.GameServerState {
	case "", agones.Ready:
	case agones.Allocated:
		sel.State = state.State(agones.Allocated)
	default:
		errs = append(errs, field.NotSupported(path.Child("gameServerState"), s.GameServerState, []string{agones.Ready, agones.Allocated}))
	}
	errs = append(errs, problems(path, s.Selector.Check())...)
	sel.Counts = s.Selector
	if len(s.Players) > 0 {
		errs = append(errs, field.Forbidden(path.Child("players"), "miniagones has no player tracking"))
	}
	return sel, errs
}

// answer is what the client gets for a server, or for none.
func answer(state string, gs *v1.GameServer) *allocationStatus {
	if gs == nil {
		return &allocationStatus{State: state, Source: "local"}
	}
	has := kube.Counts(gs)
	return &allocationStatus{
		Counters: has.Counters, Lists: has.Lists,
		State: state, GameServerName: gs.Name, Ports: gs.Status.Ports, Address: gs.Status.Address, Addresses: gs.Status.Addresses,
		NodeName: gs.Status.NodeName, Source: "local", Metadata: &patch{Labels: gs.Labels, Annotations: gs.Annotations},
	}
}
