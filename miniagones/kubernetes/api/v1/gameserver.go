package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Scheduling is how pods are placed and servers chosen.
// +kubebuilder:validation:Enum=Packed;Distributed
type Scheduling string

// The ways of scheduling.
const (
	Packed      Scheduling = "Packed"
	Distributed Scheduling = "Distributed"
)

// PortPolicy is how a host port is found.
// +kubebuilder:validation:Enum=Dynamic;Static;Passthrough
type PortPolicy string

// The port policies.
const (
	// Dynamic takes a free host port of the range.
	Dynamic PortPolicy = "Dynamic"
	// Static takes the host port that is given.
	Static PortPolicy = "Static"
	// Passthrough is Dynamic with the same port in the container.
	Passthrough PortPolicy = "Passthrough"
)

// GameServer is a game server and its pod. As in Agones its status is no
// subresource: an allocation changes status and labels in one step.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=gs
// +kubebuilder:printcolumn:name=State,type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name=Address,type=string,JSONPath=`.status.address`
// +kubebuilder:printcolumn:name=Port,type=string,JSONPath=`.status.ports[0].port`
// +kubebuilder:printcolumn:name=Node,type=string,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name=Age,type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name: must be at most 63 characters"
type GameServer struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   GameServerSpec   `json:"spec"`
	Status GameServerStatus `json:"status,omitempty"`
}

// GameServerList is a list of them.
//
// +kubebuilder:object:root=true
type GameServerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GameServer `json:"items"`
}

// GameServerTemplate is what a fleet makes its servers from.
type GameServerTemplate struct {
	// Metadata holds labels and annotations of the servers.
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitempty"`
	Spec     GameServerSpec   `json:"spec"`
}

// TemplateMetadata are the labels and annotations of a template.
type TemplateMetadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// GameServerSpec says how a server's pod is made.
//
// +kubebuilder:validation:XValidation:rule="!has(self.players)",message="players: miniagones has no player tracking"
type GameServerSpec struct {
	// Container is the container of the pod that is the game server; it may be
	// left out if the pod has one.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Ports []GameServerPort `json:"ports,omitempty"`
	// +optional
	// +kubebuilder:default={}
	Health Health `json:"health,omitempty"`
	// +optional
	// +kubebuilder:default=Packed
	Scheduling Scheduling `json:"scheduling,omitempty"`
	// +optional
	// +kubebuilder:default={}
	SDKServer SDKServer `json:"sdkServer,omitempty"`
	// Eviction says whether the pod may be evicted.
	// +optional
	// +kubebuilder:default={}
	Eviction Eviction `json:"eviction,omitempty"`
	// Template is the pod, a PodTemplateSpec. It is checked when a server is
	// made from it.
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Template runtime.RawExtension `json:"template"`

	// Counters and Lists that a server has at its start.
	// +optional
	// +kubebuilder:validation:MaxProperties=1000
	Counters map[string]CounterStatus `json:"counters,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxProperties=1000
	Lists map[string]ListStatus `json:"lists,omitempty"`

	// What Agones has here and miniagones has not.
	Players *Unsupported `json:"players,omitempty"`
}

// CounterStatus is a number from 0 to a capacity.
//
// +kubebuilder:validation:XValidation:rule="self.count <= self.capacity",message="count: must be at most the capacity"
type CounterStatus struct {
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	Count int64 `json:"count"`
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=0
	Capacity int64 `json:"capacity"`
}

// ListStatus holds different values, at most as many as its capacity.
//
// +kubebuilder:validation:XValidation:rule="!has(self.values) || size(self.values) <= self.capacity",message="values: must be at most as many as the capacity"
type ListStatus struct {
	// +optional
	// +kubebuilder:default=1000
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Capacity int64 `json:"capacity"`
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MaxLength=1024
	Values []string `json:"values,omitempty"`
}

// Unsupported stands for a field that is declared to be refused by name.
//
// +kubebuilder:pruning:PreserveUnknownFields
// +kubebuilder:validation:Type=object
type Unsupported struct{}

// GameServerPort is a port that players connect to.
//
// +kubebuilder:validation:XValidation:rule="self.portPolicy == 'Static' ? has(self.hostPort) : true",message="hostPort: must be set with portPolicy Static"
// +kubebuilder:validation:XValidation:rule="self.portPolicy == 'Passthrough' ? !has(self.containerPort) || (has(self.hostPort) && self.hostPort == self.containerPort) : has(self.containerPort)",message="containerPort: must be set, and must not with portPolicy Passthrough"
type GameServerPort struct {
	// +optional
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// Range is the range that the host port comes from; there is one.
	// +optional
	// +kubebuilder:validation:Enum=default
	Range string `json:"range,omitempty"`
	// +optional
	// +kubebuilder:default=Dynamic
	PortPolicy PortPolicy `json:"portPolicy,omitempty"`
	// Container is the container that has the port; the game server's when
	// empty.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Container string `json:"container,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ContainerPort int32 `json:"containerPort,omitempty"`
	// HostPort is set by the user with portPolicy Static, else by miniagones.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	HostPort int32 `json:"hostPort,omitempty"`
	// +optional
	// +kubebuilder:default=UDP
	// +kubebuilder:validation:Enum=UDP;TCP
	Protocol corev1.Protocol `json:"protocol,omitempty"`
}

// Health says how the signs of life that a server gives through its SDK are
// counted.
type Health struct {
	// +optional
	Disabled bool `json:"disabled,omitempty"`
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	PeriodSeconds int32 `json:"periodSeconds,omitempty"`
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	FailureThreshold int32 `json:"failureThreshold,omitempty"`
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=1
	InitialDelaySeconds int32 `json:"initialDelaySeconds,omitempty"`
}

// SDKServer are the settings of the SDK server in the pod.
type SDKServer struct {
	// +optional
	// +kubebuilder:default=Info
	// +kubebuilder:validation:Enum=Error;Info;Debug;Trace
	LogLevel string `json:"logLevel,omitempty"`
	// +optional
	// +kubebuilder:default=9357
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	GRPCPort int32 `json:"grpcPort,omitempty"`
	// +optional
	// +kubebuilder:default=9358
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	HTTPPort int32 `json:"httpPort,omitempty"`
}

// Eviction says whether a pod may be evicted.
type Eviction struct {
	// +optional
	// +kubebuilder:default=Never
	// +kubebuilder:validation:Enum=Never;OnUpgrade;Always
	Safe string `json:"safe,omitempty"`
}

// GameServerStatus is how a server is doing.
type GameServerStatus struct {
	// +optional
	State string `json:"state,omitempty"`
	// +optional
	Ports []GameServerStatusPort `json:"ports,omitempty"`
	// +optional
	Address string `json:"address,omitempty"`
	// +optional
	Addresses []corev1.NodeAddress `json:"addresses,omitempty"`
	// +optional
	NodeName string `json:"nodeName,omitempty"`
	// Counters and Lists as they are now.
	// +optional
	Counters map[string]CounterStatus `json:"counters,omitempty"`
	// +optional
	Lists map[string]ListStatus `json:"lists,omitempty"`
	// ReservedUntil is when a Reserved server becomes Ready again.
	// +optional
	ReservedUntil *metav1.MicroTime `json:"reservedUntil,omitempty"`
}

// GameServerStatusPort is a port as players reach it.
type GameServerStatusPort struct {
	// +optional
	Name string `json:"name,omitempty"`
	Port int32  `json:"port"`
}
