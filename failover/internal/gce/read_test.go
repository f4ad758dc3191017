package gce_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/compute/apiv1/computepb"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/proto"

	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/internal/gce"
	"torikumi/failover/internal/gce/fake"
	"torikumi/pkg/config"
)

// TestNoProofOfAbsence: answers that sound like one.
func TestNoProofOfAbsence(t *testing.T) {
	for name, f := range map[string]fake.Fault{
		"zone":           {Reply: &fake.Reply{Status: 404, Reason: "notFound", Message: "The resource 'projects/studio-games/zones/europe-west3-a' was not found"}},
		"project":        {Reply: &fake.Reply{Status: 404, Reason: "notFound", Message: "The resource 'projects/studio-games' was not found"}},
		"another name":   {Reply: &fake.Reply{Status: 404, Reason: "notFound", Message: "The resource 'projects/studio-games/zones/europe-west3-a/instances/gcp-temp-worker-1' was not found"}},
		"another zone":   {Reply: &fake.Reply{Status: 404, Reason: "notFound", Message: "The resource 'projects/studio-games/zones/europe-west3-b/instances/gcp-temp-worker-1-ab12c' was not found"}},
		"another reason": {Reply: &fake.Reply{Status: 404, Reason: "gone", Message: "'/zones/europe-west3-a/instances/gcp-temp-worker-1-ab12c'"}},
		"another status": {Reply: &fake.Reply{Status: 503, Reason: "notFound", Message: "The resource 'projects/studio-games/zones/europe-west3-a/instances/gcp-temp-worker-1-ab12c' was not found"}},
		"proxy":          {Reply: &fake.Reply{Status: 404, Body: "<html>not found"}},
		"proxy's JSON":   {Reply: &fake.Reply{Status: 404, Body: `{"error":"not found"}`}},
		"forbidden":      {Reply: &fake.Reply{Status: 403, Reason: "forbidden", Message: "m"}},
		"503":            {Reply: fake.Unavailable()},
		"cut body":       {CutBody: true},
		"garbage":        {Reply: &fake.Reply{Status: 200, Body: "no"}},
		"nothing":        {Reply: &fake.Reply{Status: 200, Body: "{}"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, fake.Options{})
			s := r.spec()
			r.is(r.Create(r.ctx(), s), nil, "create")
			f.Call, f.Times = fake.Get, -1
			r.fake.Inject(f)
			r.is(r.get(s), errTransient, "get")
			r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete")
			r.fake.Heal()
			r.is(r.get(s), nil, "get repeated")
			f.Call = fake.Delete
			if f.CutBody {
				return // a delete that takes effect is TestDeleteCommitted's
			}
			r.fake.Inject(f)
			r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete that is refused itself")
			r.vms(1)
		})
	}
}

// TestAbsentWhileItShowsUp: an insert that begins to show between two answers.
func TestAbsentWhileItShowsUp(t *testing.T) {
	r := newHarness(t, manual())
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Finish()
	// The first answer is older than the end of the insert.
	r.fake.Inject(fake.Fault{Call: fake.Get, Reply: &fake.Reply{Status: 404, Reason: "notFound",
		Message: "The resource 'projects/studio-games/zones/europe-west3-a/instances/gcp-temp-worker-1-ab12c' was not found"}})
	r.is(r.get(s), nil, "get")
}

// TestNoToken: the metadata server has no such service account.
func TestNoToken(t *testing.T) {
	srv := fake.New(fake.Options{})
	defer srv.Close()
	var cfg gce.Config
	config.Default(&cfg)
	cfg.Project, cfg.Zones, cfg.Endpoint = srv.Project(), srv.Zones(), srv.URL
	p, err := gce.New(t.Context(), cfg, option.WithHTTPClient(&http.Client{Transport: noToken{}}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r := &harness{T: t, Provider: p, fake: srv}
	s := r.spec()
	r.is(r.get(s), errTransient, "get")
	r.is(r.Create(r.ctx(), s), errTransient, "create")
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete")
	_, err = r.List(r.ctx(), s.Owner.Cluster)
	r.is(err, errTransient, "list")
}

type noToken struct{}

func (noToken) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New(`metadata: GCE metadata "instance/service-accounts/default/token" not defined: 404 notFound`)
}

func TestStates(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	for status, want := range map[string]cloud.State{
		"PENDING": cloud.Creating, "PROVISIONING": cloud.Creating, "STAGING": cloud.Creating, "RUNNING": cloud.Running,
		"PENDING_STOP": cloud.Stopping, "STOPPING": cloud.Stopping, "SUSPENDING": cloud.Stopping, "DEPROVISIONING": cloud.Stopping,
		"SUSPENDED": cloud.Stopped, "STOPPED": cloud.Stopped, "TERMINATED": cloud.Stopped,
		"REPAIRING": cloud.Creating, "": cloud.Creating, "DREAMING": cloud.Creating,
	} {
		r.fake.SetStatus(s.Zone, s.Name, status)
		if i, err := r.Get(r.ctx(), s.Ref, s.Owner); err != nil || i.State != want {
			t.Errorf("%s: %s, %v", status, i.State, err)
		}
	}
}

func TestStatesOfACreation(t *testing.T) {
	r := newHarness(t, manual())
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	for _, want := range []cloud.State{cloud.Creating, cloud.Creating, cloud.Creating, cloud.Running, cloud.Running} {
		i, err := r.Get(r.ctx(), s.Ref, s.Owner)
		r.is(err, nil, "get")
		if i.State != want || i.ProviderID == "" || i.Owner != s.Owner {
			t.Errorf("got %+v, want %s", i, want)
		}
		r.fake.Step()
	}
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), nil, "delete")
	r.fake.Step()
	if i, err := r.Get(r.ctx(), s.Ref, s.Owner); err != nil || i.State != cloud.Stopping {
		t.Errorf("got %+v, %v", i, err)
	}
	r.fake.Step()
	r.is(r.get(s), cloud.ErrNotFound, "get")
}

func TestOwnerLost(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Edit(s.Zone, s.Name, func(m *computepb.Instance) { m.Metadata = nil })
	r.is(r.get(s), cloud.ErrForeign, "get")
	r.is(r.Create(r.ctx(), s), cloud.ErrForeign, "create")
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), cloud.ErrForeign, "delete")
	all, err := r.List(r.ctx(), s.Owner.Cluster)
	r.is(err, nil, "list")
	if len(all) != 0 {
		t.Errorf("listed %v", all)
	}
}

// TestForeignMachines: those that were made by hand, or copied from one of ours
// with its labels.
func TestForeignMachines(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	var labels map[string]string
	r.fake.Edit(s.Zone, s.Name, func(m *computepb.Instance) { labels = m.GetLabels() })
	r.fake.Put(s.Zone, &computepb.Instance{Name: proto.String("by-hand")})
	r.fake.Put(s.Zone, &computepb.Instance{Name: proto.String("copy"), Labels: labels})
	all, err := r.List(r.ctx(), s.Owner.Cluster)
	r.is(err, nil, "list")
	if len(all) != 1 || all[0].Name != s.Name {
		t.Errorf("listed %v", all)
	}
	for _, name := range []string{"by-hand", "copy"} {
		theirs := s
		theirs.Name, theirs.RequestID = name, "5f0e7a52-9f0b-4b9a-9a3c-0f6f3f7f2a10"
		r.is(r.get(theirs), cloud.ErrForeign, "get "+name)
		r.is(r.Create(r.ctx(), theirs), cloud.ErrForeign, "create "+name)
		r.is(r.Delete(r.ctx(), theirs.Ref, s.Owner), cloud.ErrForeign, "delete "+name)
	}
	r.vms(3)
}

func TestListNeverPart(t *testing.T) {
	for name, f := range map[string]fake.Fault{
		"503":               {Reply: fake.Unavailable()},
		"503 on a page":     {Reply: fake.Unavailable(), Skip: 3},
		"cut on a page":     {CutBody: true, Skip: 4},
		"warning":           {Warning: "UNREACHABLE"},
		"warning on a page": {Warning: "UNREACHABLE", Skip: 2}, // an empty one, with others behind it
		"nothing":           {Reply: &fake.Reply{Status: 200, Body: "{}"}, Skip: 3},
		"another list":      {Reply: &fake.Reply{Status: 200, Body: `{"kind":"compute#operationList"}`}, Skip: 3},
		"no such zone":      {Reply: &fake.Reply{Status: 404, Reason: "notFound", Message: "The resource 'projects/p/zones/z' was not found"}, Skip: 1},
		"never ends":        {Hang: true, Skip: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, fake.Options{})
			for i := range 3 {
				s := r.spec()
				s.Name += fmt.Sprint(i)
				r.is(r.Create(r.ctx(), s), nil, "create")
			}
			r.fake.SetPages(1, true)
			f.Call = fake.List
			r.fake.Inject(f)
			ctx := r.ctx()
			if f.Hang {
				ctx = r.until(fake.List, f.Skip+1)
			}
			all, err := r.List(ctx, r.spec().Owner.Cluster)
			r.is(err, errTransient, "list")
			if all != nil {
				t.Errorf("a part: %v", all)
			}
			all, err = r.List(r.ctx(), r.spec().Owner.Cluster)
			r.is(err, nil, "list repeated")
			if len(all) != 3 {
				t.Errorf("%d VMs", len(all))
			}
		})
	}
}

func TestDeleteCommitted(t *testing.T) {
	for name, f := range map[string]fake.Fault{
		"503":      {Reply: fake.Unavailable(), Commit: true},
		"cut":      {Cut: true, Commit: true},
		"cut body": {CutBody: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, manual())
			s := r.spec()
			r.is(r.Create(r.ctx(), s), nil, "create")
			r.fake.Finish()
			f.Call = fake.Delete
			r.fake.Inject(f)
			r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete")
			r.is(r.Delete(r.ctx(), s.Ref, s.Owner), nil, "delete repeated")
			r.fake.Finish()
			r.is(r.Delete(r.ctx(), s.Ref, s.Owner), cloud.ErrNotFound, "delete of what is gone")
		})
	}
}

// TestDeleteFails: a delete that was accepted and failed is repeated, and not
// found again.
func TestDeleteFails(t *testing.T) {
	r := newHarness(t, manual())
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Finish()
	r.fake.Inject(fake.Fault{Call: fake.Delete, Fail: fake.Internal()})
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), nil, "delete")
	r.fake.Finish()
	r.vms(1)
	r.is(r.get(s), nil, "get")
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), nil, "delete repeated")
	r.fake.Finish()
	r.vms(0)
}

func TestDeleteRaces(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Inject(fake.Fault{Call: fake.Delete, Reply: &fake.Reply{Status: 404, Reason: "notFound",
		Message: "The resource 'projects/studio-games/zones/europe-west3-a/instances/gcp-temp-worker-1-ab12c' was not found"}})
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), cloud.ErrNotFound, "delete of what has just gone")
	r.fake.Edit(s.Zone, s.Name, func(m *computepb.Instance) { m.DeletionProtection = proto.Bool(true) })
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete of what is protected")
}

// TestForgetScript: the script goes, whose the VM is stays.
func TestForgetScript(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	forget := func(o cloud.Owner) error { return r.ForgetScript(r.ctx(), s.Ref, o) }
	r.is(forget(s.Owner), cloud.ErrNotFound, "of no VM")
	r.is(r.Create(r.ctx(), s), nil, "create")
	other := s.Owner
	other.Failover = "another"
	r.is(forget(other), cloud.ErrForeign, "of another's VM")
	r.fake.Inject(
		fake.Fault{Call: fake.SetMetadata, Reply: fake.Unavailable()},
		fake.Fault{Call: fake.SetMetadata, Reply: &fake.Reply{Status: 403, Reason: "forbidden", Message: "Required 'compute.instances.setMetadata' permission"}},
	)
	r.is(forget(s.Owner), errTransient, "while it is unavailable")
	r.is(forget(s.Owner), cloud.ErrInvalid, "without the permission")
	if got := r.fake.VMs()[0].Metadata["startup-script"]; got != s.StartupScript {
		t.Fatalf("after refusals the script is %q", got)
	}
	r.is(forget(s.Owner), nil, "forget")
	r.is(forget(s.Owner), nil, "again")
	if vm := r.fake.VMs()[0]; len(vm.Metadata) != 4 || vm.Metadata["startup-script"] != "" || r.fake.Count(fake.SetMetadata) != 3 {
		t.Errorf("the metadata is %v after %d calls", vm.Metadata, r.fake.Count(fake.SetMetadata))
	}
	r.is(r.get(s), nil, "get")
}

// TestOneRequestEach: the library repeats nothing by itself.
func TestOneRequestEach(t *testing.T) {
	r := newHarness(t, fake.Options{})
	r.fake.Inject(fake.Fault{Reply: fake.Unavailable(), Times: -1})
	s := r.spec()
	r.is(r.get(s), errTransient, "get")
	_, err := r.List(r.ctx(), "c")
	r.is(err, errTransient, "list")
	if !strings.Contains(err.Error(), "503") {
		t.Errorf("%v does not tell the cause", err)
	}
	r.is(r.Create(r.ctx(), s), errTransient, "create")
	if n := len(r.fake.Calls()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

// TestTimeout: a caller without a deadline does not wait for ever.
func TestTimeout(t *testing.T) {
	r := newHarness(t, fake.Options{}, func(c *gce.Config) { c.Timeout = 50 * time.Millisecond })
	r.fake.Inject(fake.Fault{Hang: true, Times: -1})
	_, err := r.List(r.ctx(), "c")
	r.is(err, errTransient, "list")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// TestAnswersDoNotTell: an answer that can't be read holds scripts, and the
// error does not. No log does, whatever the environment asks the library for.
func TestAnswersDoNotTell(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	logged, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = logged
	r := newHarness(t, fake.Options{})
	os.Stderr = stderr
	t.Cleanup(func() {
		logged.Close()
		if text, err := os.ReadFile(logged.Name()); err != nil || len(text) > 0 {
			t.Errorf("logged: %s, %v", text, err)
		}
	})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	for _, call := range []string{fake.Get, fake.List} {
		r.fake.Inject(fake.Fault{Call: call, Reply: &fake.Reply{Status: 200, Body: `{"metadata":kubeadm ` + cloudtest.Token}})
	}
	err = r.get(s)
	r.is(err, errTransient, "get")
	_, other := r.List(r.ctx(), s.Owner.Cluster)
	r.is(other, errTransient, "list")
	if text := errors.Join(err, other).Error(); strings.Contains(text, "kubeadm") {
		t.Errorf("tells: %s", text)
	}
}

// TestOwnerInLabels: two nodes whose names look the same as labels do not share
// one, and long names fit.
func TestOwnerInLabels(t *testing.T) {
	r := newHarness(t, fake.Options{})
	seen := make(map[string]string)
	for i, node := range []string{"worker-1", "worker.1", "Worker-1", "worker_1", strings.Repeat("w", 63), strings.Repeat("w", 64), strings.Repeat("w", 253), "日本"} {
		s := r.spec()
		s.Name += fmt.Sprint(i)
		s.Owner.Node = node
		r.is(r.Create(r.ctx(), s), nil, "create for "+node)
		i, err := r.Get(r.ctx(), s.Ref, s.Owner)
		r.is(err, nil, "get for "+node)
		if i.Owner.Node != node {
			t.Errorf("the node is %q, want %q", i.Owner.Node, node)
		}
		r.fake.Edit(s.Zone, s.Name, func(m *computepb.Instance) {
			label := m.GetLabels()["onprem-node"]
			if other, taken := seen[label]; taken {
				t.Errorf("%q and %q share the label %q", node, other, label)
			}
			seen[label] = node
		})
	}
}

func TestConfig(t *testing.T) {
	var cfg gce.Config
	cfg.Zones = []string{"europe", "europe-west3-a", "europe-west3-a"}
	cfg.ServiceAccount, cfg.Endpoint, cfg.HourlyCosts = "games", "compute", []string{"a", "b=-1", "c=1", "c=2", "d=NaN"}
	err := cfg.Check()
	for _, want := range []string{
		"--gce-project: required", `--gce-zones: must be names`, "--gce-zones: must name each zone once", "--gce-service-account", "--gce-timeout",
		"--gce-endpoint", `--gce-hourly-costs: must be type=price with a price of at least 0, got "a"`, `got "b=-1"`, `got "d=NaN"`, "must name each machine type once",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := gce.New(t.Context(), cfg); err == nil {
		t.Error("made with settings that are wrong")
	}
	cfg = gce.Config{Project: "123456", Zones: []string{"europe-west3-a"}, Timeout: 1}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "not its number") {
		t.Errorf("got %v", err)
	}
}

func TestBoot(t *testing.T) {
	var boots atomic.Int32
	var r *harness
	ended := make(chan error, 10)
	r = newHarness(t, fake.Options{OnBoot: func(ctx context.Context, vm fake.VM, script string) {
		if !strings.Contains(script, "kubeadm join") || vm.ExternalIP == "" || vm.Metadata["failover-node"] == "" {
			t.Errorf("booted as %+v", vm)
		}
		boots.Add(1)
		<-ctx.Done()
		ended <- ctx.Err()
	}})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Reboot(s.Zone, s.Name)
	<-ended
	r.is(r.Delete(r.ctx(), s.Ref, s.Owner), nil, "delete")
	<-ended
	for _, f := range []fake.Fault{{NeverBoots: true}, {NeverStarts: true}} {
		f.Call = fake.Insert
		r.fake.Inject(f)
		s := r.spec()
		s.Name += map[bool]string{true: "b", false: "s"}[f.NeverBoots]
		r.is(r.Create(r.ctx(), s), nil, "create")
		i, err := r.Get(r.ctx(), s.Ref, s.Owner)
		r.is(err, nil, "get")
		if want := map[bool]cloud.State{true: cloud.Running, false: cloud.Creating}[f.NeverBoots]; i.State != want {
			t.Errorf("%+v: %s", f, i.State)
		}
	}
	r.fake.Close()
	if n := boots.Load(); n != 2 {
		t.Errorf("%d boots", n)
	}
}
