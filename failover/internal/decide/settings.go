package decide

import "time"

// Fencing is how it is made sure that a node that seems dead is.
type Fencing string

// The fencing policies.
const (
	// FenceNone trusts that NotReady for the grace is dead. A node that is only
	// cut off goes on playing; its servers' players lose nothing but the entry
	// in the API.
	FenceNone Fencing = "None"
	// FenceManual waits for the annotation before the taint.
	FenceManual Fencing = "Manual"
	// FenceWebhook asks a program of the studio, for example one that cuts the
	// power, and taints once it confirms.
	FenceWebhook Fencing = "Webhook"
)

// MachineType is a type of VM that can be made.
type MachineType struct {
	Name string
	// MilliCPU and Memory (bytes) are what game servers can request on it,
	// that is without what the system keeps.
	MilliCPU int64
	Memory   int64
	// MilliCost is the price of an hour in thousandths; 0 if it is not known.
	MilliCost int64
}

// Settings are what the operator has chosen. They are taken as they are: who
// reads them validates them.
type Settings struct {
	// Grace is how long a node may be NotReady before anything is done.
	Grace time.Duration
	// FalseGrace is the grace of a node whose kubelet reports that it is not
	// Ready; at least Grace counts. FalseStartsVM: it gets a VM then.
	FalseGrace    time.Duration
	FalseStartsVM bool
	// CordonedGrace is the grace of a node that was cordoned when it failed: somebody
	// works on it; at least Grace counts.
	CordonedGrace time.Duration
	// TaintGrace is how long nothing may have been heard of a node before it is
	// tainted; at least Grace counts.
	TaintGrace time.Duration
	// Stability is how long it must be Ready before its VM is drained. Too
	// short, and a node that flaps moves its servers to and fro.
	Stability time.Duration
	// It doubles with each failure of the node within FlapWindow, up to
	// StabilityMax.
	StabilityMax, FlapWindow time.Duration
	// EmptyStartsVM: a node on which no game server ran gets a VM too.
	EmptyStartsVM bool
	// MaxWait is how long servers in use may stay on the temporary node.
	MaxWait time.Duration
	// ReturnTimeout is how long Ready servers of a node that is drained wait for
	// their replacements to become Ready elsewhere; not longer than MaxWait.
	ReturnTimeout time.Duration
	// EvictTimeout is how long the disruption budgets of other pods keep a node that
	// is drained, and on which no game server is left; not longer than MaxWait.
	EvictTimeout time.Duration
	// Settle is how long a temporary node is cordoned before it can count as
	// drained: pods that were bound just before have shown up by then.
	Settle time.Duration
	// JoinTimeout is from the insert to a Ready Node. Shorter than the life of a
	// bootstrap token.
	JoinTimeout time.Duration
	// CreateTimeout is how long it may stay unclear whether a VM that the cloud
	// does not show is made.
	CreateTimeout time.Duration
	// MaxAttempts in a row with each zone and machine type, with Backoff doubling
	// up to BackoffMax between them; then ExhaustedPause, and anew.
	MaxAttempts         int
	Backoff, BackoffMax time.Duration
	ExhaustedPause      time.Duration
	// Poll is how often the cloud is asked while a VM comes or goes.
	Poll time.Duration
	// Watch is how often the cloud is asked about a VM that stands.
	Watch time.Duration

	// MaxFailovers is how many may be under way at once, MaxVMs how many VMs
	// may exist, MaxMilliCost what they may cost in an hour (thousandths; 0 is
	// no limit).
	MaxFailovers int
	MaxVMs       int
	MaxMilliCost int64
	// A storm is when at least StormNodes watched nodes, and at least the share
	// StormShare of them, are down: it may be the view that is broken. Nothing
	// is done until it has lasted for StormGrace, or an operator says proceed.
	StormNodes int
	StormShare float64
	StormGrace time.Duration

	// Lifetime is the longest life of a VM, and ReplaceLead how long before its
	// end the next one is made.
	Lifetime    time.Duration
	ReplaceLead time.Duration
	// KeepCompleted is how long a failover stays as history.
	KeepCompleted time.Duration

	Fencing Fencing
	// InitNodes: no cloud-controller-manager initialises the temporary Nodes.
	InitNodes bool
	// ToleratedTaints are keys of taints on temporary Nodes that game servers
	// tolerate. NeedExternalIP: players connect to the Node's ExternalIP.
	ToleratedTaints []string
	NeedExternalIP  bool
	// NamePrefix is that of VMs, such as "gcp-temp-".
	NamePrefix string
	// Zones in order of preference.
	Zones []string
	// MachineTypes in order of size. A failover takes the first that has room for
	// what was lost, or else the last.
	MachineTypes []MachineType
	// MaxServers is how many game servers one VM holds, whatever they request.
	MaxServers int32
	// TempLabels are on every temporary Node; CopyLabels are keys of labels
	// that are copied from the failed one.
	TempLabels map[string]string
	CopyLabels []string
	// WatchedKey and WatchedValue are the label of the Nodes that are watched.
	// RestoreLabels are the keys of other labels of node-restriction.kubernetes.io/
	// that a Node gets back.
	WatchedKey, WatchedValue string
	RestoreLabels            []string
}

// MaxRun is when the cloud itself ends a VM if the controller does not.
func (s *Settings) MaxRun() time.Duration { return s.Lifetime + s.MaxWait + s.JoinTimeout }
