// Package cloudtest holds every cloud.Provider to its contract. Run is the
// conformance suite, which a provider's own tests call with its cloud, or a fake
// of it. Package memory is the smallest provider that passes it.
package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"torikumi/failover/cloud"
)

var calls = []cloud.Call{cloud.CallCreate, cloud.CallGet, cloud.CallList, cloud.CallDelete}

// Env is a provider with a cloud of its own, empty and well. Provider, Zones and
// Live are needed, and Heal with Hang. Any other field may be nil: the tests of what
// the cloud can't do are skipped.
type Env struct {
	Provider cloud.Provider
	// Zones that the provider is set up for, at least two.
	Zones []string
	// Complete sets what this provider needs in a Spec besides Ref, Owner,
	// RequestID, StartupScript and Image.
	Complete func(*cloud.Spec)
	// Finish lets everything happen that the cloud has accepted. nil: it
	// happens at once.
	Finish func()
	// Live is how many VMs there are, anybody's.
	Live func() int

	// Refuse lets the next such call fail without an effect, for no reason that
	// the contract has an error for.
	Refuse func(cloud.Call)
	// Lose lets the next such call have its effect and fail to tell.
	Lose func(cloud.Call)
	// Hang lets the next such call have no answer before its caller goes.
	Hang func(cloud.Call)
	// Heal drops what Hang has set up, if no call has come that far.
	Heal func()
	// Reject lets the next Create be refused with the contract's error.
	Reject func(kind error)
	// FailLater lets the next Create be accepted, and fail when it is carried
	// out: with the contract's error, or for no such reason if it is nil.
	FailLater func(kind error)
	// LoseZone lets a zone not answer, for good.
	LoseZone func(zone string)
	// Stop ends a VM as the cloud does, and leaves it there.
	Stop func(cloud.Ref)
	// Vanish deletes a VM behind the provider's back.
	Vanish func(cloud.Ref)
}

// lacks names the fields that have to be set and are not.
func (e *Env) lacks() []string {
	var all []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"Provider", e.Provider != nil},
		{"Zones (two)", len(e.Zones) >= 2},
		{"Live", e.Live != nil},
		{"Heal (with Hang)", e.Heal != nil || e.Hang == nil},
	} {
		if !f.set {
			all = append(all, f.name)
		}
	}
	return all
}

// Token is in the startup script of every Spec that Run makes, and must be in
// no error.
const Token = "abcdef.0123456789abcdef"

// Run tests a provider against each sentence of the contract. make is called
// once for each test, with the test that is to clean up.
func Run(t *testing.T, make func(t *testing.T) Env) {
	var lacks []string
	for _, test := range []struct {
		name string
		run  func(*harness)
	}{
		{"create makes a VM as asked", testCreate},
		{"create repeated is one request", testCreateRepeated},
		{"create at once from many sides is one request", testCreateConcurrent},
		{"create adopts what is ours", testAdopt},
		{"create refuses what is not ours", testCreateForeign},
		{"create refuses half a spec", testInvalid},
		{"create returns the errors of the contract", testReject},
		{"create finds that an accepted request failed", testFailLater},
		{"create tries again after a failure that may pass", testFailLaterTransient},
		{"get finds only what there is", testNotFound},
		{"get and delete refuse what is not ours", testForeign},
		{"get shows a VM that the cloud stopped", testStopped},
		{"get shows that a VM is gone", testVanished},
		{"list shows all zones and one cluster", testList},
		{"list is never a part", testListPart},
		{"delete repeated", testDelete},
		{"delete right after create", testDeleteEarly},
		{"a lost reply leaves open what happened", testLost},
		{"a failed call is no absence", testRefused},
		{"calls keep to the deadline", testHang},
		{"calls end with their context", testCancelled},
		{"calls are safe for concurrent use", testConcurrent},
	} {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) {
			env := make(t)
			if lacks = env.lacks(); len(lacks) > 0 {
				t.Fatal("cloudtest.Env lacks " + strings.Join(lacks, ", "))
			}
			if env.Finish == nil {
				env.Finish = func() {}
			}
			test.run(&harness{T: t, Env: env})
		})
		if len(lacks) > 0 {
			return // each test would say the same
		}
	}
}

type harness struct {
	*testing.T
	Env
}

// need skips the test if the cloud can't do something.
func need[F any](s *harness, what string, f func(F)) {
	s.Helper()
	if f == nil {
		s.Skipf("this cloud can't %s", what)
	}
}

func (s *harness) ctx() context.Context { return s.Context() }

// spec is that of a VM in the first zone.
func (s *harness) spec(name string) cloud.Spec {
	spec := cloud.Spec{
		Ref:           cloud.Ref{Name: name, Zone: s.Zones[0]},
		Owner:         cloud.Owner{Cluster: "6f0c1b7e-cluster", Node: "worker-1.example.com", NodeUID: "0b5a-node", Failover: "77aa-failover"},
		RequestID:     uuid.NewString(),
		StartupScript: "#!/bin/sh\nkubeadm join --token " + Token + " 10.0.0.1:6443\n",
		Image:         "node",
		MaxLifetime:   24 * time.Hour,
	}
	if s.Complete != nil {
		s.Complete(&spec)
	}
	return spec
}

// foreign is the owner with one part of it another's, for each part.
func foreign(o cloud.Owner) map[string]cloud.Owner {
	a, b, c, d := o, o, o, o
	a.Cluster += "0"
	b.Node += "0"
	c.NodeUID += "0"
	d.Failover += "0"
	return map[string]cloud.Owner{"cluster": a, "node": b, "node UID": c, "failover": d}
}

var kinds = []error{cloud.ErrNotFound, cloud.ErrForeign, cloud.ErrStockout, cloud.ErrQuota, cloud.ErrInvalid}

// is demands an error of exactly one kind, nil for no error.
func (s *harness) is(err, kind error, what string) {
	s.Helper()
	s.secret(err)
	if kind == nil {
		if err != nil {
			s.Fatalf("%s: %v", what, err)
		}
		return
	}
	if !errors.Is(err, kind) {
		s.Fatalf("%s: got %v, want %v", what, err, kind)
	}
	for _, k := range kinds {
		if !errors.Is(k, kind) && errors.Is(err, k) {
			s.Fatalf("%s: %v is %v as well", what, err, k)
		}
	}
}

// transient demands an error that is of no kind.
func (s *harness) transient(err error, what string) {
	s.Helper()
	s.secret(err)
	if err == nil {
		s.Fatalf("%s: no error", what)
	}
	for _, k := range kinds {
		if errors.Is(err, k) {
			s.Fatalf("%s: %v is taken for %q", what, err, k)
		}
	}
}

func (s *harness) secret(err error) {
	s.Helper()
	if err != nil && (strings.Contains(err.Error(), Token) || strings.Contains(err.Error(), "kubeadm join")) {
		s.Fatalf("the error tells the startup script: %v", err)
	}
}

func (s *harness) live(want int) {
	s.Helper()
	if got := s.Live(); got != want {
		s.Fatalf("%d VMs, want %d", got, want)
	}
}

// made creates a VM and lets it come up.
func (s *harness) made(spec cloud.Spec) {
	s.Helper()
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create")
	s.Finish()
}

// call makes a call that would succeed, of the given kind.
func (s *harness) call(ctx context.Context, c cloud.Call, spec cloud.Spec) error {
	switch c {
	case cloud.CallCreate:
		return s.Provider.Create(ctx, spec)
	case cloud.CallGet:
		_, err := s.Provider.Get(ctx, spec.Ref, spec.Owner)
		return err
	case cloud.CallList:
		all, err := s.Provider.List(ctx, spec.Owner.Cluster)
		if err != nil && len(all) > 0 {
			s.Fatal("a list came with an error")
		}
		return err
	default:
		return s.Provider.Delete(ctx, spec.Ref, spec.Owner)
	}
}

// ready makes the VM that a call needs.
func (s *harness) ready(c cloud.Call, spec cloud.Spec) {
	s.Helper()
	if c != cloud.CallCreate {
		s.made(spec)
	}
}

// eachCall runs a test for each method, with a VM each.
func (s *harness) eachCall(do func(c cloud.Call, spec cloud.Spec)) {
	for i, c := range calls {
		spec := s.spec(fmt.Sprintf("gcp-temp-worker-%d", i))
		s.ready(c, spec)
		do(c, spec)
	}
}

// parallel runs f n times at once.
func parallel(n int, f func(i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

func names(all []cloud.Instance) []string {
	var n []string
	for _, i := range all {
		n = append(n, i.Zone+"/"+i.Name)
	}
	slices.Sort(n)
	return n
}
