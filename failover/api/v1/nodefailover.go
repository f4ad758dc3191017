package v1

import (
	"cmp"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Kind is that of a NodeFailover, in references to it.
const Kind = "NodeFailover"

// Finalizer is on each NodeFailover from its creation until its VM, Node and
// tokens are proven gone.
const Finalizer = "failover.operator.io/cleanup"

// Annotations on a NodeFailover by which an operator steers it. Any value but
// "false" and "" switches them on.
const (
	// PausedAnnotation: nothing is done for it, and nothing undone.
	PausedAnnotation = "failover.operator.io/paused"
	// FencedAnnotation: the operator has made sure that the node is off; the
	// fencing policy Manual waits for it before the taint.
	FencedAnnotation = "failover.operator.io/fenced"
	// ProceedAnnotation: go on although many nodes failed at once.
	ProceedAnnotation = "failover.operator.io/proceed"
)

// Phase is how far a failover is.
// +kubebuilder:validation:Enum=Pending;Creating;Active;Recovering;Draining;Completed
type Phase string

// The phases, in their usual order.
const (
	Pending    Phase = "Pending"
	Creating   Phase = "Creating"
	Active     Phase = "Active"
	Recovering Phase = "Recovering"
	Draining   Phase = "Draining"
	Completed  Phase = "Completed"
)

// Types of conditions.
const (
	VMCreated          = "VMCreated"
	NodeJoined         = "NodeJoined"
	TaintApplied       = "TaintApplied"
	OnPremRecovered    = "OnPremRecovered"
	GameServersDrained = "GameServersDrained"
	// VersionsFit: the kubelet of VMs may run with this API server.
	VersionsFit = "VersionsFit"
	// PodsEvicted: the other pods of the temporary node have left it.
	PodsEvicted = "PodsEvicted"
	// Admitted is false while a storm or a budget holds the failover back.
	Admitted = "Admitted"
	// CapacityPlanned says so if the lost game servers need more VMs than one;
	// it is false if some fit no machine.
	CapacityPlanned = "CapacityPlanned"
	// Rehearsed is the verdict on a drill: true once the temporary node has been
	// found fit, false with the reason if the drill ended before.
	Rehearsed = "Rehearsed"
)

// TaintState says whether the taint on the dead node is this failover's.
// +kubebuilder:validation:Enum="";Applying;Applied
type TaintState string

// The states of the taint. The empty one: it is not there, or not ours.
const (
	TaintNone     TaintState = ""
	TaintApplying TaintState = "Applying"
	TaintSet      TaintState = "Applied"
)

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$`
type LabelValue string

// NodeFailoverSpec says for which node a failover is.
// +kubebuilder:validation:XValidation:rule="self.onpremNodeName == oldSelf.onpremNodeName",message="onpremNodeName is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.replaces) == has(oldSelf.replaces) && (!has(self.replaces) || self.replaces == oldSelf.replaces)",message="replaces is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.parentFailover) == has(oldSelf.parentFailover) && (!has(self.parentFailover) || self.parentFailover == oldSelf.parentFailover)",message="parentFailover is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.sharedLoad) == has(oldSelf.sharedLoad) && (!has(self.sharedLoad) || self.sharedLoad == oldSelf.sharedLoad)",message="sharedLoad is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.parentFailover) == has(self.sharedLoad)",message="parentFailover and sharedLoad go together"
// +kubebuilder:validation:XValidation:rule="has(self.adds) == has(oldSelf.adds) && (!has(self.adds) || self.adds == oldSelf.adds)",message="adds is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.share) == has(oldSelf.share) && (!has(self.share) || self.share == oldSelf.share)",message="share is immutable"
// +kubebuilder:validation:XValidation:rule="has(self.adds) == has(self.share)",message="adds and share go together"
// +kubebuilder:validation:XValidation:rule="!(has(self.parentFailover) && has(self.adds))",message="adds and share are the earlier names of parentFailover and sharedLoad: set one pair"
// +kubebuilder:validation:XValidation:rule="(has(self.drill) && self.drill) == (has(oldSelf.drill) && oldSelf.drill)",message="drill is immutable"
// +kubebuilder:validation:XValidation:rule="!(has(self.drill) && self.drill && (has(self.replaces) || has(self.parentFailover) || has(self.adds)))",message="a drill has neither replaces nor parentFailover"
type NodeFailoverSpec struct {
	// OnpremNodeName is the Node that has failed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	OnpremNodeName string `json:"onpremNodeName"`

	// TargetNodeLabels are put on the temporary node, besides those that the
	// controller copies from the failed one. They win over copied ones. The
	// kubelet may not set labels of kubernetes.io and k8s.io by itself.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	TargetNodeLabels map[string]LabelValue `json:"targetNodeLabels,omitempty"`

	// Replaces names the failover of the same node whose VM reaches the end of
	// its longest lifetime, and which this one follows. Set by the controller.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Replaces string `json:"replaces,omitempty"`

	// Drill makes it a rehearsal: the node has to be Ready and is not touched,
	// and its temporary node is drained and deleted as soon as it has been found
	// fit. It leaves at once if a real failover needs a VM.
	// +optional
	Drill bool `json:"drill,omitempty"`

	// ParentFailover names the failover of the same node whose game servers need
	// more VMs than one: this failover is for a further one, and does nothing
	// else. Set by the controller.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ParentFailover string `json:"parentFailover,omitempty"`
	// SharedLoad is the part of the node's load that the further VM is for. Set by
	// the controller.
	// +optional
	SharedLoad *SharedLoad `json:"sharedLoad,omitempty"`

	// DeprecatedAdds is the earlier name of parentFailover. It is still read.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DeprecatedAdds string `json:"adds,omitempty"`
	// DeprecatedShare is the earlier name of sharedLoad. It is still read.
	// +optional
	DeprecatedShare *SharedLoad `json:"share,omitempty"`
}

// SharedLoad is the part of a node's load that one of its VMs is for.
type SharedLoad struct {
	// Number of the VM; the first failover's own is 1.
	// +kubebuilder:validation:Minimum=2
	Number int32 `json:"number"`
	Load   `json:",inline"`
}

// Load sums up game servers.
type Load struct {
	GameServers int32 `json:"gameServers"`
	// CPU and Memory are the requests of their pods, RuntimeClass overhead
	// included.
	CPU    Amount `json:"cpu"`
	Memory Amount `json:"memory"`
}

// NodeFailoverStatus is what the controller has done and seen. All instants
// are its own observations.
type NodeFailoverStatus struct {
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// GCPVMName is the name of the temporary VM, and of its Node. Persisted
	// before the VM is made.
	// +optional
	GCPVMName string `json:"gcpVmName,omitempty"`
	// FailedAt is when the node was first seen not Ready.
	// +optional
	FailedAt *Instant `json:"failedAt,omitempty"`
	// RecoveryDetectedAt is when the node was seen Ready again; empty while it
	// is not.
	// +optional
	RecoveryDetectedAt *Instant `json:"recoveryDetectedAt,omitempty"`
	// VMCreationAttempts counts the attempts since the last success or pause.
	// +optional
	VMCreationAttempts int32 `json:"vmCreationAttempts,omitempty"`
	// LastError is what the cloud answered last, if it was an error.
	// +optional
	LastError string `json:"lastError,omitempty"`
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// NotReadySince is when the present outage was first seen; empty
	// while the node is Ready.
	// +optional
	NotReadySince *Instant `json:"notReadySince,omitempty"`
	// KubeletReports: at the last look the node was not Ready by its kubelet's own
	// word.
	// +optional
	KubeletReports bool `json:"kubeletReports,omitempty"`
	// UnreachableSince is since when nothing is heard of a kubelet that reported
	// before in the present outage. Empty: since notReadySince.
	// +optional
	UnreachableSince *Instant `json:"unreachableSince,omitempty"`
	// Recorded is what the node was like when it failed, to be restored on a
	// Node of that name that comes back without it.
	// +optional
	Recorded *RecordedNode `json:"recorded,omitempty"`
	// Lost is what the game servers on the node had requested.
	// +optional
	Lost *LostServers `json:"lost,omitempty"`
	// SharedLoads are what each VM of the node is for, if one is not enough; the
	// first is this failover's own, each other is a failover's whose
	// parentFailover this one is.
	// +optional
	SharedLoads []Load `json:"sharedLoads,omitempty"`
	// ParentFailover is the last of the failovers that have replaced the one in
	// spec.parentFailover.
	// +optional
	ParentFailover string `json:"parentFailover,omitempty"`
	// ParentFailoverUID tells it from a later one of the same name.
	// +optional
	ParentFailoverUID types.UID `json:"parentFailoverUID,omitempty"`
	// DeprecatedShares is the earlier name of sharedLoads. It is still read.
	// +optional
	DeprecatedShares []Load `json:"shares,omitempty"`
	// DeprecatedLead is the earlier name of parentFailover. It is still read.
	// +optional
	DeprecatedLead string `json:"lead,omitempty"`
	// DeprecatedLeadUID is the earlier name of parentFailoverUID. It is still read.
	// +optional
	DeprecatedLeadUID types.UID `json:"leadUID,omitempty"`
	// AnswersSpent: what an operator has annotated (fenced, proceed) was for an
	// earlier outage, and does not count until it is annotated anew.
	// +optional
	AnswersSpent bool `json:"answersSpent,omitempty"`
	// SharesWith names the failover whose VM also takes this one's servers.
	// +optional
	SharesWith string `json:"sharesWith,omitempty"`
	// VM is the present attempt at a VM.
	// +optional
	VM *VMStatus `json:"vm,omitempty"`
	// Spent is what this failover's earlier VMs have cost, in the settings'
	// currency; once it is Completed, all of them.
	// +optional
	Spent Amount `json:"spent,omitempty"`
	// TotalAttempts counts all attempts of this failover, and never goes back:
	// names of VMs derive from it.
	// +optional
	TotalAttempts int32 `json:"totalAttempts,omitempty"`
	// DeprecatedZonesTried is what failedPlacements has taken the place of.
	// +optional
	DeprecatedZonesTried []string `json:"zonesTried,omitempty"`
	// FailedPlacements are zones and machine types that attempts have failed with.
	// +optional
	FailedPlacements []FailedPlacement `json:"failedPlacements,omitempty"`
	// Probe is the pod that a drill starts on its temporary node.
	// +optional
	Probe *Probe `json:"probe,omitempty"`
	// NextAttemptAt is before when no new attempt is made.
	// +optional
	NextAttemptAt *Instant `json:"nextAttemptAt,omitempty"`
	// RestoredUID is the Node that has got back what the recorded one had.
	// +optional
	RestoredUID types.UID `json:"restoredUID,omitempty"`
	// Taint says whether the taint on the dead node is ours.
	// +optional
	Taint TaintState `json:"taint,omitempty"`
	// FencedAt is when fencing was confirmed in this outage.
	// +optional
	FencedAt *Instant `json:"fencedAt,omitempty"`
	// FenceAfter is before when the webhook is not asked again.
	// +optional
	FenceAfter *Instant `json:"fenceAfter,omitempty"`
	// ActiveAt is when the temporary node became Ready.
	// +optional
	ActiveAt *Instant `json:"activeAt,omitempty"`
	// TempNotReadySince is since when the temporary node is not Ready.
	// +optional
	TempNotReadySince *Instant `json:"tempNotReadySince,omitempty"`
	// DrainStartedAt is when the temporary node began to be drained; the
	// maximum wait counts from here.
	// +optional
	DrainStartedAt *Instant `json:"drainStartedAt,omitempty"`
	// Relapses is how often the node has failed again while its VM was there, and
	// RelapsedAt when it last did.
	// +optional
	Relapses int32 `json:"relapses,omitempty"`
	// +optional
	RelapsedAt *Instant `json:"relapsedAt,omitempty"`
	// Handover is how far Ready servers of the temporary node, which is drained,
	// have been replaced elsewhere.
	// +optional
	Handover *Handover `json:"handover,omitempty"`
	// Eviction is how far the other pods of the temporary node, which is drained,
	// have gone.
	// +optional
	Eviction *Eviction `json:"eviction,omitempty"`
	// VMDeletionStartedAt is from when there is no way back to Active.
	// +optional
	VMDeletionStartedAt *Instant `json:"vmDeletionStartedAt,omitempty"`
	// +optional
	CompletedAt *Instant `json:"completedAt,omitempty"`
}

// RecordedNode is what a Node was like when it failed.
type RecordedNode struct {
	UID types.UID `json:"uid"`
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// Annotations and Taints are those that somebody has set, without Kubernetes's
	// own.
	// +optional
	Annotations map[string]string `json:"annotations,omitempty"`
	// +optional
	Taints []corev1.Taint `json:"taints,omitempty"`
	// Unschedulable: it was cordoned.
	// +optional
	Unschedulable bool `json:"unschedulable,omitempty"`
}

// LostServers sums up the game servers on a node that has failed.
type LostServers struct {
	Load `json:",inline"`
	// Sizes are what single game servers request: they can't be split among VMs.
	// +optional
	// +kubebuilder:validation:MaxItems=32
	Sizes []Size `json:"sizes,omitempty"`
}

// Size is what each of a number of alike game servers requests.
type Size struct {
	CPU    Amount `json:"cpu"`
	Memory Amount `json:"memory"`
	Count  int32  `json:"count"`
}

// MaxSizes is how many sizes are told apart.
const MaxSizes = 32

// Handover is how far Ready servers have been replaced.
type Handover struct {
	// Running is how many game servers were Ready or in use when the drain began.
	Running int32 `json:"running"`
	// Withdrawn is how many Ready servers have gone since.
	// +optional
	Withdrawn int32 `json:"withdrawn,omitempty"`
	// LastAt is when the last of them went.
	// +optional
	LastAt *Instant `json:"lastAt,omitempty"`
	// TimedOut: the rest has gone without replacements.
	// +optional
	TimedOut bool `json:"timedOut,omitempty"`
}

// Eviction is how far pods that are not game servers' have gone.
type Eviction struct {
	// ForcedAt is from when they are deleted, whatever their disruption budgets say.
	// +optional
	ForcedAt *Instant `json:"forcedAt,omitempty"`
	// EndingSince is since when all that are left have been deleted, and end.
	// +optional
	EndingSince *Instant `json:"endingSince,omitempty"`
	// NewestAt is when the newest of those was made that were there after the cordon:
	// one that is newer comes although the node is cordoned.
	// +optional
	NewestAt *Instant `json:"newestAt,omitempty"`
}

// Probe is the pod by which a drill finds out if games can start.
type Probe struct {
	Image string `json:"image"`
	// RuntimeClassName is that of the fleet; empty: the node's own runtime.
	// +optional
	RuntimeClassName string `json:"runtimeClassName,omitempty"`
	// RequestedAt is when the pod was decided; persisted before it is made.
	// +optional
	RequestedAt *Instant `json:"requestedAt,omitempty"`
	// StartedAt is when its container was seen to run, or to have run.
	// +optional
	StartedAt *Instant `json:"startedAt,omitempty"`
	// Waiting is why it has not started yet, as Kubernetes says it.
	// +optional
	Waiting string `json:"waiting,omitempty"`
}

// Runtime says with which RuntimeClass the pod runs.
func (p *Probe) Runtime() string {
	if p.RuntimeClassName == "" {
		return "without a RuntimeClass"
	}
	return "with the RuntimeClass " + p.RuntimeClassName
}

// FailedPlacement is a zone and a machine type that attempts have failed with.
type FailedPlacement struct {
	Zone        string `json:"zone"`
	MachineType string `json:"machineType"`
	// Failures in a row, up to --max-attempts.
	// +optional
	Failures int32 `json:"failures,omitempty"`
	// FailedAt is when the last of them was.
	FailedAt Instant `json:"failedAt"`
	// RetryAt is before when it is not tried again.
	RetryAt Instant `json:"retryAt"`
	// Reason of the last failure.
	// +optional
	Reason GaveUp `json:"reason,omitempty"`
}

// VMStatus is one attempt at a VM. Its name is in gcpVmName.
type VMStatus struct {
	Zone string `json:"zone"`
	// RequestID makes repeated inserts one.
	RequestID   string `json:"requestID"`
	MachineType string `json:"machineType"`
	// StartedAt is when the attempt was decided; the time to join counts from
	// here.
	StartedAt Instant `json:"startedAt"`
	// HourlyCost of the machine type, in the settings' currency.
	// +optional
	HourlyCost Amount `json:"hourlyCost,omitempty"`
	// SeenAt is when the cloud first showed the VM.
	// +optional
	SeenAt *Instant `json:"seenAt,omitempty"`
	// JoinedAt is when its Node was first seen, Ready or not.
	// +optional
	JoinedAt *Instant `json:"joinedAt,omitempty"`
	// +optional
	ProviderID string `json:"providerID,omitempty"`
	// ExternalIP is the VM's external address by the cloud, if it has one.
	// +optional
	ExternalIP string `json:"externalIP,omitempty"`
	// TokenIDs are the public halves of the bootstrap tokens that were made
	// for it and are not yet deleted.
	// +optional
	TokenIDs []string `json:"tokenIDs,omitempty"`
	// GaveUp is why the attempt is over. It is deleted, and nothing new begins
	// until the cloud says that it is gone.
	// +optional
	GaveUp GaveUp `json:"gaveUp,omitempty"`
}

// GaveUp is why an attempt is over.
// +kubebuilder:validation:Enum="";Stockout;Quota;Invalid;Foreign;NeverJoined;Lost;Lifetime;TokenRefused
type GaveUp string

// The reasons to give up an attempt.
const (
	GaveUpStockout    GaveUp = "Stockout"
	GaveUpQuota       GaveUp = "Quota"
	GaveUpInvalid     GaveUp = "Invalid"
	GaveUpForeign     GaveUp = "Foreign"
	GaveUpNeverJoined GaveUp = "NeverJoined"
	GaveUpLost        GaveUp = "Lost"
	GaveUpLifetime    GaveUp = "Lifetime"
	// GaveUpTokenRefused: the API server has taken no bootstrap token, so no VM was asked
	// for. It is the reason of VMCreated meanwhile, too.
	GaveUpTokenRefused GaveUp = "TokenRefused"
)

// NodeFailover stands for one outage of one on-premises node.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=nf
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="OnPrem Node",type=string,JSONPath=`.spec.onpremNodeName`
// +kubebuilder:printcolumn:name="VM",type=string,JSONPath=`.status.gcpVmName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Zone",type=string,JSONPath=`.status.vm.zone`,priority=1
// +kubebuilder:printcolumn:name="Attempts",type=integer,JSONPath=`.status.vmCreationAttempts`,priority=1
// +kubebuilder:printcolumn:name="Error",type=string,JSONPath=`.status.lastError`,priority=1
// +kubebuilder:printcolumn:name="Parent",type=string,JSONPath=`.spec.parentFailover`,priority=1
// +kubebuilder:printcolumn:name="Drill",type=boolean,JSONPath=`.spec.drill`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!has(self.spec.replaces) || self.spec.replaces != self.metadata.name",message="a failover cannot replace itself"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.parentFailover) || self.spec.parentFailover != self.metadata.name",message="a failover cannot be its own parent"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.adds) || self.spec.adds != self.metadata.name",message="a failover cannot be its own parent"
type NodeFailover struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec NodeFailoverSpec `json:"spec"`
	// +optional
	// +kubebuilder:default={phase: Pending}
	Status NodeFailoverStatus `json:"status,omitempty"`
}

// NodeFailoverList is a list of them.
// +kubebuilder:object:root=true
type NodeFailoverList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeFailover `json:"items"`
}

// On reports whether one of the annotations above is switched on.
func (f *NodeFailover) On(annotation string) bool { return On(f.Annotations, annotation) }

// On reports whether one of an object's annotations is switched on.
func On(annotations map[string]string, name string) bool {
	v := annotations[name]
	return v != "" && v != "false"
}

// Parent is the name of the failover that this one has a further VM for, ""
// if it has none.
func (f *NodeFailover) Parent() string {
	return cmp.Or(f.Status.ParentFailover, f.Spec.ParentFailover)
}

// Cost is what the VM has cost until then, by the price that it was asked for
// at, in millionths. One that the cloud has refused costs nothing.
func (vm *VMStatus) Cost(until time.Time) resource.Quantity {
	refused := vm.GaveUp != "" && vm.GaveUp != GaveUpNeverJoined && vm.GaveUp != GaveUpLost && vm.GaveUp != GaveUpLifetime
	if refused && vm.SeenAt == nil {
		return resource.Quantity{}
	}
	micros := vm.HourlyCost.AsApproximateFloat64() * 1e6 * max(until.Sub(vm.StartedAt.Time), 0).Hours()
	return *resource.NewScaledQuantity(int64(micros), resource.Micro)
}
