// Package cloud is what the failover controller needs of a cloud: VMs that it
// can make, find, list and delete. Providers stand in packages of their own;
// nothing else in the controller knows which one it talks to.
// docs/extend/cloud-provider.md says how to add one.
//
// # Errors
//
// An error is not an absence. Only ErrNotFound proves that a VM does not
// exist, and a provider returns it for nothing but the cloud's own typed "not
// found" of that VM. Whatever else goes wrong (a lost reply, a time-out,
// a 5xx, a refused permission) leaves open whether the call has had its
// effect; the caller repeats it. All methods can be repeated: with the same
// Spec, or for the same Ref, the result is the same as of one call.
//
// Errors are matched by errors.Is with the values below; anything else is
// transient. The text is for operators and holds no secret.
package cloud

import (
	"context"
	"errors"
	"time"
)

// The errors that callers tell apart.
var (
	// ErrNotFound: there is no such VM, provably.
	ErrNotFound = errors.New("no such VM")
	// ErrForeign: there is a VM of that name, and it is not ours: its
	// cluster, node or failover is another. It must not be touched.
	ErrForeign = errors.New("the VM is not ours")
	// ErrStockout: the zone has none to give now; another zone may.
	ErrStockout = errors.New("the zone has no such VMs now")
	// ErrQuota: the project may have no more; another zone does not help.
	ErrQuota = errors.New("the quota is used up")
	// ErrInvalid: the request can't succeed as it is: a wrong image, a VM
	// type that does not exist, a permission that is missing. Repeating it does
	// not help, an operator does.
	ErrInvalid = errors.New("the cloud refuses the request")
)

// Kind is the one of these errors that err is, nil if it is none: a transient
// error.
func Kind(err error) error {
	for _, kind := range []error{ErrNotFound, ErrForeign, ErrStockout, ErrQuota, ErrInvalid} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	return nil
}

// Call names a method of Provider, in metrics and in tests.
type Call string

// The methods of Provider.
const (
	CallCreate Call = "create"
	CallGet    Call = "get"
	CallList   Call = "list"
	CallDelete Call = "delete"
)

// Ref names a VM. Both parts are decided before it is made and persisted.
type Ref struct {
	Name string
	Zone string
}

// Owner says whose a VM is. It is written on the VM, and compared
// whole before a VM is adopted, listed as ours or deleted. No field is
// empty: a VM that says less than this is not ours.
type Owner struct {
	// Cluster is the UID of the kube-system namespace.
	Cluster string
	// Node is the name of the on-premises node, NodeUID its UID.
	Node    string
	NodeUID string
	// Failover is the UID of the NodeFailover.
	Failover string
}

// Whole reports whether no field is empty.
func (o Owner) Whole() bool {
	return o.Cluster != "" && o.Node != "" && o.NodeUID != "" && o.Failover != ""
}

// Spec is a VM to be made.
type Spec struct {
	Ref
	Owner Owner
	// RequestID makes a repeated Create one request, for clouds that know the
	// idea: a UUID, persisted before the first call.
	RequestID string
	// StartupScript is run as root at each boot, and can run more than once. It
	// holds a bootstrap token: it must not be logged.
	StartupScript string
	// MaxLifetime is when the cloud itself ends the VM, should the
	// controller be gone; 0 is never.
	MaxLifetime time.Duration
	// MachineType, Image, DiskGB, DiskType, Network, Tags and Labels are the
	// operator's settings, handed through.
	MachineType string
	Image       string
	DiskGB      int
	DiskType    string
	Network     string
	Subnetwork  string
	Tags        []string
	Labels      map[string]string
}

// State is that of a VM.
type State string

// The states. A VM that is being made and one that stands still are told
// apart from one that runs; those that end, or were ended by the cloud, are
// Stopping or Stopped, and never come back by themselves.
const (
	Creating State = "Creating"
	Running  State = "Running"
	Stopping State = "Stopping"
	Stopped  State = "Stopped"
)

// Instance is a VM as the cloud sees it.
type Instance struct {
	Ref
	Owner Owner
	State State
	// ProviderID is what the VM's Node carries in spec.providerID.
	ProviderID string
	InternalIP string
	ExternalIP string
	Created    time.Time
	// HourlyCost in the provider's currency; 0 if it is not known.
	HourlyCost float64
}

// Versioner is a Provider that can tell which kubelet is in an image, which is asked
// before money is spent.
type Versioner interface {
	// ImageVersion is such as 1.34.4 or 1.34, and "" if the image does not say. After
	// an error what it has said before counts, or else the image's name.
	ImageVersion(ctx context.Context, image string) (string, error)
}

// Provider is a cloud. Implementations are safe for concurrent use, keep to
// the deadline of ctx, and retry nothing by themselves beyond what their
// client library does.
type Provider interface {
	// Create makes a VM, or finds that this very Spec has already made it,
	// and returns when the cloud has accepted it, which is before it runs. A
	// request that the cloud accepted and later failed is found by the next
	// Create of the same Spec, which returns the operation's error. ErrForeign,
	// ErrStockout, ErrQuota, ErrInvalid.
	//
	// An Owner with an empty field is ErrInvalid: such a VM would be nobody's.
	// Where a VM of that name exists, its whole Owner is compared: the same is
	// the VM of an earlier call and no error, another is ErrForeign.
	//
	// None of these errors proves that there is no VM: an earlier Create of the
	// same Spec whose reply was lost may have made it. So a repeated Create that
	// returns ErrStockout or ErrQuota is followed by Get or Delete, never by
	// forgetting the name. And nil does not prove that there is one: for a Spec
	// whose VM is gone again (deleted, or its lifetime over), Create may make
	// another, or answer as it did the first time; it is never ErrNotFound. Only
	// Get tells.
	Create(ctx context.Context, s Spec) error
	// Get returns a VM. ErrNotFound, ErrForeign if the owner differs in any
	// field. A VM whose Create was accepted and that does not show yet is not
	// ErrNotFound: return it as Creating, or a transient error.
	Get(ctx context.Context, r Ref, o Owner) (Instance, error)
	// List returns the VMs of a cluster in all zones that the provider is
	// set up for, or an error: never a part of them.
	List(ctx context.Context, cluster string) ([]Instance, error)
	// Delete ends a VM, and returns nil when the cloud has accepted that;
	// Get tells when it is gone. ErrNotFound if it is gone already, ErrForeign.
	Delete(ctx context.Context, r Ref, o Owner) error
}

// ScriptForgetter is a Provider whose cloud shows a VM's startup script to what runs
// on it, or to people who may look at VMs.
type ScriptForgetter interface {
	// ForgetScript takes the startup script away from where it shows. The VM has run
	// it and keeps a copy. ErrNotFound, ErrForeign, ErrInvalid (a permission that is
	// missing); a VM that has none is no error.
	ForgetScript(ctx context.Context, r Ref, o Owner) error
}
