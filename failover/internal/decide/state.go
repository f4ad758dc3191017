package decide

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/pkg/agones"
)

// Health is that of the on-premises Node.
type Health string

// The healths. Gone, the zero value, is proven by the API server's 404.
const (
	Gone     Health = ""
	Ready    Health = "Ready"
	NotReady Health = "NotReady"
)

// Node is the on-premises Node.
type Node struct {
	Health Health
	UID    types.UID
	Labels map[string]string
	// Reports: it is not Ready by its kubelet's own word (Ready is False, and not
	// Unknown), and that goes on renewing its lease. Its games may be played.
	Reports bool
	// Cordoned: somebody has made it unschedulable.
	Cordoned bool
	// Watched: it has the label of those that are watched.
	Watched bool
	// Tainted: a taint with our key and effect is there, whoever's it is.
	Tainted bool
}

// WatchedNode is one of the nodes that are watched.
type WatchedNode struct {
	Name   string
	Health Health
	// Planned: somebody works on it: it is paused, or cordoned.
	Planned bool
}

// Temp is the temporary VM's Node; for a failover that shares a VM, that of
// the host.
type Temp struct {
	Exists        bool
	UID           types.UID
	Ready         bool
	Cordoned      bool
	Uninitialised bool
	ProviderID    string
	Labels        map[string]string
	// Taints are the keys of taints that keep pods away, without those that follow
	// from what is told by other fields.
	Taints []string
	// Kubelet is the version that its kubelet reports.
	Kubelet string
	// ExternalIP: the Node has such an address.
	ExternalIP bool
	// MilliCPU and Memory (bytes) are what pods can request; 0: not reported.
	MilliCPU int64
	Memory   int64
}

// Presence is what the cloud has said of a VM.
type Presence string

// What can be known of a VM. The zero value is that nothing is: the cloud was
// not asked, or its answer was no proof.
const (
	VMUnknown Presence = ""
	VMAbsent  Presence = "absent"
	VMForeign Presence = "foreign"
	VMPresent Presence = "present"
)

// VM is the last look at the VM of the present attempt.
type VM struct {
	Presence Presence
	Instance cloud.Instance
	// Err is why it is VMUnknown, or empty if nobody asked.
	Err string
}

// ProbePod is the pod that a drill starts on its temporary node.
type ProbePod struct {
	Exists bool
	// Started: its container runs, or has run.
	Started bool
	// Waiting is why it has not started, and Failed that it never will.
	Waiting string
	Failed  bool
}

// Pod is a pod on the temporary node that ends with it. A DaemonSet's, the kubelet's
// own (a mirror pod) and one that has ended are none.
type Pod struct {
	Namespace, Name string
	UID             types.UID
	// Game: it is a game server's, and goes when that is deleted.
	Game bool
	// Deleting: it has been deleted, and has Grace to end.
	Deleting bool
	Grace    time.Duration
	// Created is by the API server's clock, in seconds.
	Created time.Time
}

// Server is a game server on one of the two nodes.
type Server struct {
	Namespace, Name string
	UID             types.UID
	ResourceVersion string
	// State is Agones's.
	State string
	// Node is where it runs.
	Node     string
	Deleting bool
	// Hidden: its allocatable label was taken away by us.
	Hidden bool
	// Allocatable: it has the label.
	Allocatable bool
	// Relabelled: somebody else has set the label since it was hidden.
	Relabelled bool
}

// InUse reports whether players are in it, or about to be.
func (s Server) InUse() bool { return s.State == agones.Allocated || s.State == agones.Reserved }

// Versions are Kubernetes's, such as 1.34.4 or 1.34; empty: not known.
type Versions struct {
	// Image is that of the kubelet in the image of VMs, Source who says so.
	Image  string
	Source Source
	// APIServer is that of the API server.
	APIServer string
}

// Source is who says which version is in an image, as a text for operators.
type Source string

// The sources, the first first. A name is no proof: it keeps no VM from being made.
const (
	FromSetting Source = "by --vm-kubernetes-version"
	FromLabel   Source = "by the image's label kubernetes-version"
	FromName    Source = "by the image's name"
)

// image is the version with its source.
func (v Versions) image() string {
	if v.Image == "" || v.Source == "" {
		return v.Image
	}
	return v.Image + " " + string(v.Source)
}

// Skip is a span of the wall clock in which no time has passed.
type Skip struct{ From, To time.Time }

// Record is what the watcher saw when it made the failover.
type Record struct {
	UID      types.UID         `json:"uid"`
	Labels   map[string]string `json:"labels,omitempty"`
	FailedAt time.Time         `json:"failedAt"`

	Annotations   map[string]string `json:"annotations,omitempty"`
	Taints        []corev1.Taint    `json:"taints,omitempty"`
	Unschedulable bool              `json:"unschedulable,omitempty"`
}

// Result is how a call ended that this run has made. The zero value: not made.
type Result string

// The results of calls.
const (
	NotCalled Result = ""
	Accepted  Result = "accepted"
	Stockout  Result = "stockout"
	Quota     Result = "quota"
	Invalid   Result = "invalid"
	Foreign   Result = "foreign"
	Unclear   Result = "unclear"
)

// State is all that a decision depends on.
type State struct {
	Failover *v1.NodeFailover
	// Record is from the failover's annotation; nil if it was made by hand.
	Record *Record
	Node   Node
	Temp   Temp
	VM     VM
	// Servers are those on the two nodes that exist.
	Servers []Server
	// Running counts the game servers of all nodes that are Ready or in use.
	Running int32
	// Siblings are all other failovers; while Failover is Pending from a live
	// list, so that two decisions never use the same room in a budget.
	Siblings []v1.NodeFailover
	// Nodes are the watched Nodes, and those of them that have failed and were then
	// deleted.
	Nodes []WatchedNode
	// Lost sums up what ran on the node; nil if it could not be found out: LostErr.
	Lost    *v1.LostServers
	LostErr string
	// Versions are those of the image and of the API server, as far as they are known.
	Versions Versions
	// APIHealthySince is since when the cluster has been watched without a gap.
	APIHealthySince time.Time
	// Skips are the spans that the clock was set forward over, in their order.
	Skips []Skip
	// TokenInMemory: the secret half of the last token of the attempt is known.
	TokenInMemory bool
	// FreshTokenID can be used for a new token: six random characters.
	FreshTokenID string
	// Pods are those that would end with the temporary node, from a live list, if
	// that was asked for (Plan.LookAtPods): PodsSeen. PodsErr is why there is none.
	Pods     []Pod
	PodsSeen bool
	PodsErr  string

	// Probe is what a drill's probe pod is to be, from the game servers that run on
	// the node; nil if none does. ProbePod is the pod.
	Probe    *v1.Probe
	ProbePod ProbePod

	// What this run's calls have brought.
	Created   Result
	CreateErr string
	Fenced    Result
	FenceErr  string
	ProbeErr  string // the API server refuses the probe pod
	// TokenErr is why the API server refuses the bootstrap token; TokenUnmade reports
	// whether it is sure that there is none of its id.
	TokenErr    string
	TokenUnmade bool
	// RefusedNode is why the API server refuses an action on the on-premises Node.
	RefusedNode map[Kind]string
	// Refused is why the API server refuses to evict or delete pods, by their UIDs.
	Refused       map[types.UID]string
	Restored      bool
	TokensDeleted []string
}
