package failover_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/api/option"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/gce"
	"torikumi/failover/internal/gce/fake"
)

// TestComputeEngine is a failover by the real client library: the first zone is
// out of VMs in the way that the library takes for a success, the answer
// to the second insert is lost, and the VM that comes up joins by its
// startup script.
func TestComputeEngine(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	srv := fake.New(fake.Options{OnBoot: func(ctx context.Context, vm fake.VM, script string) {
		j := joining(script, vm.Name)
		j.External = "198.51.100.1"
		r.live(j, func() bool { return ctx.Err() == nil })
	}})
	t.Cleanup(srv.Close)
	r.cfg.Provider = "gce"
	r.cfg.GCE.Project, r.cfg.GCE.Zones, r.cfg.GCE.Endpoint = srv.Project(), srv.Zones(), srv.URL
	r.cfg.Image = "projects/" + srv.Project() + "/global/images/node"
	p, err := gce.New(t.Context(), r.cfg.GCE, option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	r.other = p
	srv.Inject(
		fake.Fault{Call: fake.Insert, Zone: srv.Zones()[0], Times: -1, Fail: fake.Stockout(true, 0)},
		fake.Fault{Call: fake.Insert, Zone: srv.Zones()[1], Cut: true, Commit: true},
	)
	r.onprem("worker-2")
	r.server("lost", "worker-2", "Ready")
	r.controller(r.kube)
	r.unplug("worker-2")
	f := r.phase("worker-2", v1.Active)
	if f.Status.VM.Zone != srv.Zones()[1] {
		t.Errorf("the VM is in %s", f.Status.VM.Zone)
	}
	if got := r.node(f.Status.GCPVMName).Spec.ProviderID; got != "gce://"+srv.Project()+"/"+f.Status.VM.Zone+"/"+f.Status.GCPVMName {
		t.Errorf("provider id %q", got)
	}
	r.eventually("the Ready server is gone", func() error { return r.gone("lost") })
	r.eventually("the token is deleted", func() error { return none(r.tokens(), "tokens") })
	r.eventually("the startup script is out of the metadata", func() error {
		if vms := srv.VMs(); len(vms) != 1 || vms[0].Metadata["startup-script"] != "" {
			return fmt.Errorf("%d VMs", len(vms))
		}
		return nil
	})
	vms := srv.VMs()
	if len(vms) != 1 || !slices.Contains(vms[0].Tags, "game-runner") {
		t.Errorf("VMs: %+v", vms)
	}
	r.onprem("worker-2")
	r.ends("worker-2", f.Status.GCPVMName)
	if n := len(srv.VMs()); n != 0 {
		t.Errorf("%d VMs are left", n)
	}
	if p := srv.Peak(); p > 1 {
		t.Errorf("%d VMs at one time", p)
	}
}
