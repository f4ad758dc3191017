package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
)

// Kind is what an action does.
type Kind string

// The kinds of actions. All can be repeated.
const (
	AddFinalizer    Kind = "AddFinalizer"
	RemoveFinalizer Kind = "RemoveFinalizer"
	// DeleteFailover removes the history of one that has completed long ago.
	DeleteFailover Kind = "DeleteFailover"
	// CreateToken makes a bootstrap token with the given ID.
	CreateToken Kind = "CreateToken"
	DeleteToken Kind = "DeleteToken"
	// CreateVM makes the VM of the present attempt; its result comes back in
	// State.Created.
	CreateVM Kind = "CreateVM"
	DeleteVM Kind = "DeleteVM"
	// InitNode does for the temporary Node what a cloud-controller-manager would.
	InitNode Kind = "InitNode"
	// LabelNode adds Labels to Node.
	LabelNode Kind = "LabelNode"
	// RestoreNode gives Node the annotations, taints and cordon that the recorded one
	// had; the result comes back in State.Restored.
	RestoreNode Kind = "RestoreNode"
	Cordon      Kind = "Cordon"
	Uncordon    Kind = "Uncordon"
	// DeleteNode deletes the temporary Node if it has the given UID.
	DeleteNode Kind = "DeleteNode"
	// Fence asks the webhook to make sure that the node is off; the result
	// comes back in State.Fenced.
	Fence   Kind = "Fence"
	Taint   Kind = "Taint"
	Untaint Kind = "Untaint"
	// DeleteServer deletes a game server as it was seen: UID and
	// resourceVersion are preconditions.
	DeleteServer Kind = "DeleteServer"
	// HideServer takes the allocatable label away, ShowServer restores it.
	HideServer Kind = "HideServer"
	ShowServer Kind = "ShowServer"
	// CreateProbe makes a drill's probe pod on Node, as the status says; a refusal
	// comes back in State.ProbeErr.
	CreateProbe Kind = "CreateProbe"
	DeleteProbe Kind = "DeleteProbe"
	// EvictPod evicts Pod, if its disruption budget lets it go; a refusal comes back
	// in State.Refused. DeletePod deletes it all the same, with its grace.
	EvictPod  Kind = "EvictPod"
	DeletePod Kind = "DeletePod"
	// RemoveAnswers removes the annotations fenced and proceed.
	RemoveAnswers Kind = "RemoveAnswers"
	// CreateReplacement makes the failover ID, whose VM follows on this one's.
	CreateReplacement Kind = "CreateReplacement"
	// CreateAdded makes the failover ID for a further VM, which is for SharedLoad.
	CreateAdded Kind = "CreateAdded"
)

// Action is one step; which fields count depends on the kind.
type Action struct {
	Kind       Kind
	ID         string
	Node       string
	UID        types.UID
	Labels     map[string]string
	Server     Server
	Pod        Pod
	SharedLoad *v1.SharedLoad
}

func (a Action) String() string {
	s := string(a.Kind)
	switch {
	case a.Server.Name != "":
		s += " " + a.Server.Name
	case a.Pod.Name != "":
		s += " " + a.Pod.Namespace + "/" + a.Pod.Name
	case a.ID != "":
		s += " " + a.ID
	case a.Node != "":
		s += " " + a.Node
	}
	if len(a.Labels) > 0 {
		pairs := make([]string, 0, len(a.Labels))
		for k, v := range a.Labels {
			pairs = append(pairs, k+"="+v)
		}
		slices.Sort(pairs)
		s += " " + strings.Join(pairs, ",")
	}
	return s
}

// EventKind is Kubernetes's type of an event.
type EventKind string

// The kinds of events.
const (
	Normal  EventKind = "Normal"
	Warning EventKind = "Warning"
)

// Event is told on the NodeFailover once the status is persisted.
type Event struct {
	Kind            EventKind
	Reason, Message string
}

func (e Event) String() string { return fmt.Sprintf("%s %s: %s", e.Kind, e.Reason, e.Message) }

// Plan is what comes next.
type Plan struct {
	// Status is persisted before anything else; nil if it is as it was.
	Status  *v1.NodeFailoverStatus
	Actions []Action
	Events  []Event
	// Wake is when to decide again at the latest; zero if only a change of the
	// State can matter.
	Wake time.Time
	// LookAtPods: decide again at once, with State.Pods or State.PodsErr.
	LookAtPods bool
}
