package v1

import (
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Fleet is a number of game servers of one template.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=flt
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas
// +kubebuilder:printcolumn:name=Scheduling,type=string,JSONPath=`.spec.scheduling`
// +kubebuilder:printcolumn:name=Desired,type=integer,JSONPath=`.spec.replicas`
// +kubebuilder:printcolumn:name=Current,type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name=Allocated,type=integer,JSONPath=`.status.allocatedReplicas`
// +kubebuilder:printcolumn:name=Ready,type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 47",message="metadata.name: must be at most 47 characters, as the names of its servers begin with it"
type Fleet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   FleetSpec   `json:"spec"`
	Status FleetStatus `json:"status,omitempty"`
}

// FleetList is a list of them.
//
// +kubebuilder:object:root=true
type FleetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Fleet `json:"items"`
}

// FleetSpec says how many servers there are, and what they are made from.
//
// +kubebuilder:validation:XValidation:rule="!has(self.priorities)",message="priorities: miniagones takes servers away by their state alone"
// +kubebuilder:validation:XValidation:rule="!has(self.allocationOverflow)",message="allocationOverflow: not supported by miniagones"
type FleetSpec struct {
	// Replicas is the number of servers in all, those included that are
	// Allocated or Reserved.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas"`
	// Strategy is how a changed template comes to the servers.
	// +optional
	// +kubebuilder:default={}
	Strategy Strategy `json:"strategy,omitempty"`
	// +optional
	// +kubebuilder:default=Packed
	Scheduling Scheduling         `json:"scheduling,omitempty"`
	Template   GameServerTemplate `json:"template"`

	// What Agones has here and miniagones has not.
	Priorities         []Unsupported `json:"priorities,omitempty"`
	AllocationOverflow *Unsupported  `json:"allocationOverflow,omitempty"`
}

// Strategy is how a changed template comes to the servers.
type Strategy struct {
	// +optional
	// +kubebuilder:default=RollingUpdate
	// +kubebuilder:validation:Enum=RollingUpdate;Recreate
	Type appsv1.DeploymentStrategyType `json:"type,omitempty"`
	// +optional
	RollingUpdate *appsv1.RollingUpdateDeployment `json:"rollingUpdate,omitempty"`
}

// FleetStatus counts the servers.
type FleetStatus struct {
	// +optional
	Replicas int32 `json:"replicas"`
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
	// +optional
	ReservedReplicas int32 `json:"reservedReplicas"`
	// +optional
	AllocatedReplicas int32 `json:"allocatedReplicas"`
}
