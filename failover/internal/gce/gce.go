// Package gce makes the VMs of a failover in Google Compute Engine. It is
// a cloud.Provider and keeps that contract; this is how:
//
// # Create
//
// An insert is accepted at once and carried out as an operation, which can
// fail after seconds, without a trace of the VM. Operations carry the
// request ID, so Create first looks for the one of an earlier call: under way
// means accepted, failed means its error, done means made. Only without one is
// the insert sent. That the API itself forgets nothing is not relied upon. A
// failed operation holds its request ID for ever, so where the failure may
// pass, Create reports it and sends the insert again under the next ID of a
// chain that starts at the given one: repeating Create is trying again, and
// the name keeps it at one VM.
//
// # Not found
//
// An insert that was accepted may not show as a VM yet. Get and Delete
// say ErrNotFound after the API has said "notFound" of the VM (and not of
// its zone or project), no insert of that name is under way, and the API has
// said it once more.
//
// # What it needs
//
// These permissions, which are listed in docs/failover-setup.md too:
//
//	compute.instances.create          compute.instances.delete
//	compute.instances.get             compute.instances.list
//	compute.instances.setLabels       compute.instances.setMetadata
//	compute.instances.setTags         compute.zoneOperations.list
//	compute.disks.create              compute.disks.setLabels
//	compute.images.useReadOnly        compute.subnetworks.use
//	compute.subnetworks.useExternalIp
//
// To read an image's label kubernetes-version, compute.images.get, which it does
// without otherwise. With a service account for the VMs, compute.instances.setServiceAccount
// and iam.serviceAccounts.actAs on it.
package gce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	compute "cloud.google.com/go/compute/apiv1"
	"cloud.google.com/go/compute/apiv1/computepb"
	"github.com/google/uuid"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	transport "google.golang.org/api/transport/http"
	"google.golang.org/protobuf/proto"

	"torikumi/failover/cloud"
)

// Provider is safe for concurrent use.
type Provider struct {
	cfg       Config
	costs     map[string]float64
	web       *http.Client // authenticated
	instances *compute.InstancesClient
	images    *compute.ImagesClient
}

var (
	_ cloud.Provider        = (*Provider)(nil)
	_ cloud.ScriptForgetter = (*Provider)(nil)
	_ cloud.Versioner       = (*Provider)(nil)
)

// New makes a provider. Credentials are Google's default ones unless opts give
// others. Where they are found by asking nobody, New asks nobody, and wrong
// ones show at the first call.
func New(ctx context.Context, cfg Config, opts ...option.ClientOption) (*Provider, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	costs, err := cfg.costs()
	if err != nil {
		return nil, err
	}
	cfg.Endpoint = strings.TrimSuffix(cmp.Or(cfg.Endpoint, "https://compute.googleapis.com"), "/")
	opts = append([]option.ClientOption{
		option.WithScopes("https://www.googleapis.com/auth/compute"),
		option.WithUserAgent("torikumi-failover"),
	}, opts...)
	web, _, err := transport.NewClient(ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("credentials for Compute Engine: %w", err)
	}
	all := []option.ClientOption{
		option.WithHTTPClient(web), option.WithEndpoint(cfg.Endpoint),
		// The library would log whole requests, startup scripts among them,
		// if the environment asked for it.
		option.WithLogger(slog.New(slog.DiscardHandler)),
	}
	instances, err := compute.NewInstancesRESTClient(ctx, all...)
	if err != nil {
		return nil, fmt.Errorf("client of Compute Engine: %w", err)
	}
	images, err := compute.NewImagesRESTClient(ctx, all...)
	if err != nil {
		return nil, fmt.Errorf("client of Compute Engine: %w", err)
	}
	return &Provider{cfg: cfg, costs: costs, web: web, instances: instances, images: images}, nil
}

// Close ends the client. Calls must not be under way.
func (p *Provider) Close() error {
	p.web.CloseIdleConnections()
	return errors.Join(p.instances.Close(), p.images.Close())
}

// once keeps the library from repeating reads by itself: it would do so until
// the deadline, and the error that it then returns is the deadline's.
func once() gax.CallOption {
	return gax.WithRetry(func() gax.Retryer { return nil })
}

func (p *Provider) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.cfg.Timeout)
}

func (p *Provider) Create(ctx context.Context, s cloud.Spec) error {
	ctx, cancel := p.bound(ctx)
	defer cancel()
	if err := p.check(s); err != nil {
		return err
	}
	var before error
	for id, n := s.RequestID, 0; n < maxInserts; id, n = nextRequest(id), n+1 {
		op, err := p.earlier(ctx, s, id)
		if err != nil {
			return hopeless(err)
		}
		if op == nil {
			return errors.Join(before, p.insert(ctx, s, id))
		}
		t, bad := failed(op)
		if !bad || t.kind() != nil || t.exists(s.Ref) {
			return p.outcome(ctx, s, op)
		}
		before = failure("operation "+op.GetName(), t, nil, s.StartupScript)
	}
	return fmt.Errorf("%w: %d inserts have failed, the last: %w", cloud.ErrInvalid, maxInserts, before)
}

// maxInserts bounds the chain of request IDs of one Spec.
const maxInserts = 10

// nextRequest is the request ID after one whose operation has failed.
func nextRequest(id string) string {
	return uuid.NewSHA1(uuid.MustParse(id), []byte("again")).String()
}

func (p *Provider) insert(ctx context.Context, s cloud.Spec, id string) error {
	op, err := p.instances.Insert(ctx, &computepb.InsertInstanceRequest{
		Project: p.cfg.Project, Zone: s.Zone, RequestId: proto.String(id), InstanceResource: p.computeInstance(s),
	}, once())
	if err == nil {
		return p.outcome(ctx, s, op.Proto())
	}
	t := troubleOf(ctx, err)
	if t.exists(s.Ref) {
		return p.adopt(ctx, s)
	}
	return failure("insert "+s.Name, t, t.kind(), s.StartupScript)
}

// earlier finds the insert operation of a request ID, nil if there is none.
// Were there several, one that is under way goes before one that is done, and
// that before one that has failed.
func (p *Provider) earlier(ctx context.Context, s cloud.Spec, id string) (*computepb.Operation, error) {
	all, err := p.operations(ctx, s.Zone, fmt.Sprintf("clientOperationId = %q", id))
	if err != nil {
		return nil, err
	}
	var found *computepb.Operation
	rank := func(op *computepb.Operation) int {
		if op.GetStatus() != computepb.Operation_DONE {
			return 2
		}
		if _, bad := failed(op); !bad {
			return 1
		}
		return 0
	}
	for _, op := range all {
		if op.GetClientOperationId() != id {
			continue
		}
		if op.GetOperationType() != "insert" || !targets(op, s.Ref) {
			return nil, fmt.Errorf("%w: its request ID has been used to %s %s", cloud.ErrInvalid, op.GetOperationType(), last(op.GetTargetLink()))
		}
		if found == nil || rank(op) > rank(found) {
			found = op
		}
	}
	return found, nil
}

// outcome is what an insert operation means for Create.
func (p *Provider) outcome(ctx context.Context, s cloud.Spec, op *computepb.Operation) error {
	if op.GetName() == "" {
		return fmt.Errorf("insert %s: the answer is no operation", s.Name)
	}
	if op.GetStatus() != computepb.Operation_DONE {
		return nil
	}
	if t, bad := failed(op); bad && !t.exists(s.Ref) {
		return failure("operation "+op.GetName(), t, t.kind(), s.StartupScript)
	}
	// Done, or there was one already: it may be another's by now. If it is gone
	// again, then this Spec has had its VM.
	err := p.adopt(ctx, s)
	if errors.Is(err, errGone) {
		return nil
	}
	return err
}

// errGone: there was a VM, and now there is none.
var errGone = errors.New("the VM is gone again")

// adopt finds that a VM which exists is the one that was asked for.
func (p *Provider) adopt(ctx context.Context, s cloud.Spec) error {
	m, t, err := p.get(ctx, s.Ref)
	if err == nil {
		return mine(m, s.Ref, s.Owner)
	}
	if t.absent(s.Ref) {
		return fmt.Errorf("insert %s: %w", s.Name, errGone)
	}
	return err
}

// mine compares owners.
func mine(m *computepb.Instance, r cloud.Ref, o cloud.Owner) error {
	if got := owner(m); got != o {
		return fmt.Errorf("%w: %s in %s belongs to %+v", cloud.ErrForeign, r.Name, r.Zone, got)
	}
	return nil
}

// get reads a VM once. The error is transient; absent is the caller's to
// ask of the trouble.
func (p *Provider) get(ctx context.Context, r cloud.Ref) (*computepb.Instance, trouble, error) {
	m, err := p.instances.Get(ctx, &computepb.GetInstanceRequest{
		Project: p.cfg.Project, Zone: r.Zone, Instance: r.Name,
	}, once())
	if err != nil {
		t := troubleOf(ctx, err)
		return nil, t, failure("get "+r.Name, t, nil, "")
	}
	if m.GetName() != r.Name {
		return nil, trouble{}, fmt.Errorf("get %s: the answer is about %q", r.Name, m.GetName())
	}
	return m, trouble{}, nil
}

// errUnderWay: an insert of that name is accepted, and no VM seen yet.
var errUnderWay = errors.New("the VM is being made")

// find reads a VM, and returns ErrNotFound only if there is none, nor one
// on its way.
func (p *Provider) find(ctx context.Context, r cloud.Ref) (*computepb.Instance, error) {
	m, t, err := p.get(ctx, r)
	if err == nil || !t.absent(r) {
		return m, err
	}
	all, err := p.operations(ctx, r.Zone, `(operationType = "insert") (status != "DONE")`)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(op *computepb.Operation) bool {
		return op.GetOperationType() == "insert" && op.GetStatus() != computepb.Operation_DONE && targets(op, r)
	}) {
		return nil, fmt.Errorf("get %s: %w", r.Name, errUnderWay)
	}
	// An insert that ended between the two answers shows now.
	if m, t, err = p.get(ctx, r); err != nil && t.absent(r) {
		return nil, fmt.Errorf("%w: %s in %s", cloud.ErrNotFound, r.Name, r.Zone)
	}
	return m, err
}

// owned is find for who owns the VM.
func (p *Provider) owned(ctx context.Context, r cloud.Ref, o cloud.Owner) (*computepb.Instance, error) {
	if err := checkRef(r); err != nil {
		return nil, err
	}
	m, err := p.find(ctx, r)
	if err != nil {
		return nil, err
	}
	return m, mine(m, r, o)
}

// Get implements cloud.Provider. A VM whose insert is under way and that
// the API does not show yet is Creating, and taken for the owner's: the API
// tells of nobody else before it shows.
func (p *Provider) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	ctx, cancel := p.bound(ctx)
	defer cancel()
	m, err := p.owned(ctx, r, o)
	if errors.Is(err, errUnderWay) {
		return cloud.Instance{Ref: r, Owner: o, State: cloud.Creating, ProviderID: p.providerID(r)}, nil
	}
	if err != nil {
		return cloud.Instance{}, err
	}
	return p.instance(r.Zone, m), nil
}

// List implements cloud.Provider. It asks each zone that is set, so a VM
// in a zone that no longer is does not show.
func (p *Provider) List(ctx context.Context, cluster string) ([]cloud.Instance, error) {
	ctx, cancel := p.bound(ctx)
	defer cancel()
	if cluster == "" {
		return nil, fmt.Errorf("%w: list the VMs of which cluster?", cloud.ErrInvalid)
	}
	var all []cloud.Instance
	for _, zone := range p.cfg.Zones {
		machines, err := p.list(ctx, zone, cluster)
		if err != nil {
			return nil, err
		}
		for _, m := range machines {
			if owner(m).Cluster == cluster {
				all = append(all, p.instance(zone, m))
			}
		}
	}
	return all, nil
}

func (p *Provider) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	ctx, cancel := p.bound(ctx)
	defer cancel()
	if _, err := p.owned(ctx, r, o); err != nil {
		return err
	}
	// A new request ID for each call. Under one that stays the same, a delete
	// that failed would be found again instead of being repeated, and to repeat
	// one that did not fail does no harm.
	op, err := p.instances.Delete(ctx, &computepb.DeleteInstanceRequest{
		Project: p.cfg.Project, Zone: r.Zone, Instance: r.Name, RequestId: proto.String(uuid.NewString()),
	}, once())
	if err != nil {
		t := troubleOf(ctx, err)
		if t.absent(r) {
			return fmt.Errorf("%w: %s in %s", cloud.ErrNotFound, r.Name, r.Zone)
		}
		return failure("delete "+r.Name, t, nil, "")
	}
	if op.Name() == "" {
		return fmt.Errorf("delete %s: the answer is no operation", r.Name)
	}
	if t, bad := failed(op.Proto()); bad {
		return failure("operation "+op.Name(), t, nil, "")
	}
	return nil
}

// ForgetScript implements cloud.ScriptForgetter. Metadata is replaced whole, if it is
// still what was read.
func (p *Provider) ForgetScript(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	ctx, cancel := p.bound(ctx)
	defer cancel()
	m, err := p.owned(ctx, r, o)
	if err != nil {
		return err
	}
	script := func(i *computepb.Items) bool { return i.GetKey() == metaScript }
	if !slices.ContainsFunc(m.GetMetadata().GetItems(), script) {
		return nil
	}
	items := slices.DeleteFunc(m.GetMetadata().GetItems(), script)
	op, err := p.instances.SetMetadata(ctx, &computepb.SetMetadataInstanceRequest{
		Project: p.cfg.Project, Zone: r.Zone, Instance: r.Name,
		MetadataResource: &computepb.Metadata{Fingerprint: m.GetMetadata().Fingerprint, Items: items},
	}, once())
	if err != nil {
		t := troubleOf(ctx, err)
		return failure("set the metadata of "+r.Name, t, t.kind(), "")
	}
	if t, bad := failed(op.Proto()); bad {
		return failure("operation "+op.Name(), t, t.kind(), "")
	}
	return nil
}

// targets reports whether an operation is about the VM. Hosts and versions
// of the API differ in links, so only their ends are compared.
func targets(op *computepb.Operation, r cloud.Ref) bool {
	return strings.HasSuffix(op.GetTargetLink(), "/zones/"+r.Zone+"/instances/"+r.Name)
}
