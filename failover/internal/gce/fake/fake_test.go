package fake_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	compute "cloud.google.com/go/compute/apiv1"
	"cloud.google.com/go/compute/apiv1/computepb"
	"go.uber.org/goleak"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/proto"

	"torikumi/failover/internal/gce/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type harness struct {
	*testing.T
	*fake.Server
	instances *compute.InstancesClient
}

func newHarness(t *testing.T, opts fake.Options) *harness {
	t.Helper()
	s := fake.New(opts)
	t.Cleanup(s.Close)
	c, err := compute.NewInstancesRESTClient(t.Context(), option.WithEndpoint(s.URL), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &harness{T: t, Server: s, instances: c}
}

func (r *harness) insert(name string, edit ...func(*computepb.Instance)) *compute.Operation {
	r.Helper()
	zone := r.Zones()[0]
	m := &computepb.Instance{
		Name:              proto.String(name),
		MachineType:       proto.String("zones/" + zone + "/machineTypes/n2-standard-4"),
		NetworkInterfaces: []*computepb.NetworkInterface{{}},
		Disks: []*computepb.AttachedDisk{{InitializeParams: &computepb.AttachedDiskInitializeParams{
			SourceImage: proto.String("projects/" + r.Project() + "/global/images/node")}}},
	}
	for _, f := range edit {
		f(m)
	}
	op, err := r.instances.Insert(r.Context(), &computepb.InsertInstanceRequest{Project: r.Project(), Zone: zone, InstanceResource: m})
	if err != nil {
		r.Fatal(err)
	}
	return op
}

// TestClientTakesAFailureForASuccess is why the provider reads an operation's
// error itself.
func TestClientTakesAFailureForASuccess(t *testing.T) {
	r := newHarness(t, fake.Options{})
	for status, says := range map[int]bool{0: false, 503: true} {
		r.Inject(fake.Fault{Call: fake.Insert, Fail: fake.Stockout(true, status)})
		op := r.insert("a")
		if err := op.Wait(r.Context()); (err != nil) != says {
			t.Errorf("with status %d the client says %v", status, err)
		}
		if code := op.Proto().GetError().GetErrors()[0].GetCode(); code != "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS" {
			t.Errorf("the operation says %q", code)
		}
	}
}

// TestClientListsWithoutContext is why the provider fetches lists itself.
func TestClientListsWithoutContext(t *testing.T) {
	r := newHarness(t, fake.Options{})
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	_, err := r.instances.List(ctx, &computepb.ListInstancesRequest{Project: r.Project(), Zone: r.Zones()[0]}).Next()
	if !errors.Is(err, iterator.Done) {
		t.Errorf("the client's lists end with their context by now (%v): use its iterators", err)
	}
}

func TestOperationsAreWaitedFor(t *testing.T) {
	r := newHarness(t, fake.Options{Manual: true})
	c, err := compute.NewZoneOperationsRESTClient(t.Context(), option.WithEndpoint(r.URL), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	op := r.insert("a")
	var wg sync.WaitGroup
	wg.Go(func() {
		got, err := c.Wait(r.Context(), &computepb.WaitZoneOperationRequest{Project: r.Project(), Zone: r.Zones()[0], Operation: op.Name()})
		if err != nil || got.GetStatus() != computepb.Operation_DONE {
			t.Errorf("waited for %v, %v", got, err)
		}
	})
	if err := r.Wait(r.Context(), func() bool { return r.Count(fake.OperationsWait) == 1 }); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	wg.Go(func() { r.Server.Run(ctx, time.Millisecond) })
	if err := r.Wait(ctx, func() bool { return r.VMs()[0].Status == "RUNNING" }); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
}

func TestZones(t *testing.T) {
	r := newHarness(t, fake.Options{Zones: []string{"asia-northeast1-a"}})
	c, err := compute.NewZonesRESTClient(t.Context(), option.WithEndpoint(r.URL), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	z, err := c.Get(r.Context(), &computepb.GetZoneRequest{Project: r.Project(), Zone: "asia-northeast1-a"})
	if err != nil || z.GetStatus() != "UP" {
		t.Errorf("got %v, %v", z, err)
	}
	if _, err := c.Get(r.Context(), &computepb.GetZoneRequest{Project: r.Project(), Zone: "asia-northeast1-b"}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("got %v", err)
	}
	one, err := c.List(r.Context(), &computepb.ListZonesRequest{Project: r.Project()}).Next()
	if err != nil || one.GetName() != "asia-northeast1-a" {
		t.Errorf("listed %v, %v", one, err)
	}
}

func TestRunTimesEnd(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_800_000_000, 0)
	r := newHarness(t, fake.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }})
	r.insert("a", func(m *computepb.Instance) {
		m.Scheduling = &computepb.Scheduling{MaxRunDuration: &computepb.Duration{Seconds: proto.Int64(60)}, InstanceTerminationAction: proto.String("DELETE")}
	})
	r.insert("b")
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	r.Step()
	if all := r.VMs(); len(all) != 1 || all[0].Name != "b" || r.Peak() != 2 {
		t.Errorf("left: %v", all)
	}
}
