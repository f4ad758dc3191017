package gce_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/compute/apiv1/computepb"
	"github.com/google/uuid"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/gce"
	"torikumi/failover/internal/gce/fake"
)

func TestMachineAsSpecified(t *testing.T) {
	r := newHarness(t, fake.Options{}, func(c *gce.Config) {
		c.ServiceAccount = "games@studio-games.iam.gserviceaccount.com"
		c.HourlyCosts = []string{"n2-standard-8=0.5"}
	})
	s := r.spec()
	s.MachineType, s.DiskGB, s.DiskType = "n2-standard-8", 60, "pd-balanced"
	s.Subnetwork = "players"
	s.MaxLifetime = 90*time.Minute + time.Millisecond
	r.is(r.Create(r.ctx(), s), nil, "create")

	var m *computepb.Instance
	for _, c := range r.fake.Calls() {
		if c.Name == fake.Insert {
			m = c.Instance
			if c.RequestID != s.RequestID {
				t.Errorf("request ID %q, want %q", c.RequestID, s.RequestID)
			}
		}
	}
	disk := m.GetDisks()[0]
	nic := m.GetNetworkInterfaces()[0]
	for what, got := range map[string][2]any{
		"machine type": {m.GetMachineType(), "zones/europe-west3-a/machineTypes/n2-standard-8"},
		"image":        {disk.GetInitializeParams().GetSourceImage(), "projects/studio-games/global/images/node"},
		"disk type":    {disk.GetInitializeParams().GetDiskType(), "zones/europe-west3-a/diskTypes/pd-balanced"},
		"disk size":    {disk.GetInitializeParams().GetDiskSizeGb(), int64(60)},
		"disk goes":    {disk.GetAutoDelete() && disk.GetBoot(), true},
		"network":      {nic.GetNetwork(), ""},
		"subnetwork":   {nic.GetSubnetwork(), "regions/europe-west3/subnetworks/players"},
		"NAT":          {nic.GetAccessConfigs()[0].GetType(), "ONE_TO_ONE_NAT"},
		"tag":          {strings.Join(m.GetTags().GetItems(), " "), "game-runner"},
		"nested":       {m.GetAdvancedMachineFeatures().GetEnableNestedVirtualization(), true},
		"lifetime":     {m.GetScheduling().GetMaxRunDuration().GetSeconds(), int64(5401)},
		"its end":      {m.GetScheduling().GetInstanceTerminationAction(), "DELETE"},
		"account":      {m.GetServiceAccounts()[0].GetEmail(), "games@studio-games.iam.gserviceaccount.com"},
		"managed-by":   {m.GetLabels()["managed-by"], "torikumi-failover"},
		"studio":       {m.GetLabels()["studio"], "kitsune"},
		"onprem-node":  {strings.HasPrefix(m.GetLabels()["onprem-node"], "worker-1-example-com-"), true},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %v, want %v", what, got[0], got[1])
		}
	}
	i, err := r.Get(r.ctx(), s.Ref, s.Owner)
	r.is(err, nil, "get")
	if i.ProviderID != "gce://studio-games/europe-west3-a/"+s.Name || i.HourlyCost != 0.5 || i.InternalIP == "" || i.ExternalIP == "" || i.Created.IsZero() {
		t.Errorf("got %+v", i)
	}
	if got := r.fake.VMs()[0].Metadata["startup-script"]; got != s.StartupScript {
		t.Errorf("startup script %q", got)
	}
}

func TestMachineByDefault(t *testing.T) {
	r := newHarness(t, fake.Options{}, func(c *gce.Config) { c.ExternalIP, c.NestedVirtualization = false, false })
	s := r.spec()
	s.Image, s.MaxLifetime = "family/node", 0
	r.fake.Inject(fake.Fault{Call: fake.Insert, Reply: fake.Unavailable()})
	r.is(r.Create(r.ctx(), s), errTransient, "create")
	calls := r.fake.Calls()
	m := calls[len(calls)-1].Instance
	p := m.GetDisks()[0].GetInitializeParams()
	if m.GetMachineType() != "zones/europe-west3-a/machineTypes/n2-standard-4" || p.GetDiskSizeGb() != 40 ||
		p.GetDiskType() != "zones/europe-west3-a/diskTypes/pd-ssd" || p.GetSourceImage() != "projects/studio-games/global/images/family/node" ||
		m.GetNetworkInterfaces()[0].GetNetwork() != "global/networks/default" || len(m.GetNetworkInterfaces()[0].GetAccessConfigs()) != 0 ||
		m.GetAdvancedMachineFeatures() != nil || m.GetScheduling() != nil || m.ShieldedInstanceConfig != nil || m.MinCpuPlatform != nil || m.GetServiceAccounts() != nil {
		t.Errorf("got %v", m)
	}
}

// TestKindsOfMachines: spot, shielded and of a least CPU platform, with a longest life
// and without.
func TestKindsOfMachines(t *testing.T) {
	for _, life := range []time.Duration{0, time.Hour} {
		r := newHarness(t, fake.Options{}, func(c *gce.Config) {
			c.Spot, c.ShieldedVM, c.MinCPUPlatform = true, true, "Intel Ice Lake"
		})
		s := r.spec()
		s.MaxLifetime = life
		r.is(r.Create(r.ctx(), s), nil, "create")
		var m *computepb.Instance
		for _, c := range r.fake.Calls() {
			if c.Name == fake.Insert {
				m = c.Instance
			}
		}
		at, shield := m.GetScheduling(), m.GetShieldedInstanceConfig()
		if at.GetProvisioningModel() != "SPOT" || at.AutomaticRestart == nil || at.GetAutomaticRestart() || at.GetOnHostMaintenance() != "TERMINATE" || at.GetInstanceTerminationAction() != "DELETE" {
			t.Errorf("life %s: scheduling %v", life, at)
		}
		if got := at.GetMaxRunDuration().GetSeconds(); got != int64(life.Seconds()) {
			t.Errorf("life %s: ends after %d s", life, got)
		}
		if !shield.GetEnableSecureBoot() || !shield.GetEnableVtpm() || !shield.GetEnableIntegrityMonitoring() || m.GetMinCpuPlatform() != "Intel Ice Lake" {
			t.Errorf("life %s: %v, %s", life, shield, m.GetMinCpuPlatform())
		}
	}
}

// TestOperationFails: each way in which Compute Engine lets an accepted insert
// fail, and what the next Create says of it.
func TestOperationFails(t *testing.T) {
	for name, test := range map[string]struct {
		fail *fake.Failure
		want error
	}{
		"stock-out":                        {fake.Stockout(false, 0), cloud.ErrStockout},
		"stock-out with details":           {fake.Stockout(true, 0), cloud.ErrStockout},
		"stock-out with a status":          {fake.Stockout(false, 503), cloud.ErrStockout},
		"stock-out with details, a status": {fake.Stockout(true, 503), cloud.ErrStockout},
		"stock-out by its message alone":   {&fake.Failure{Code: "UNKNOWN", Message: fake.Stockout(false, 0).Message}, cloud.ErrStockout},
		"quota":                            {fake.QuotaFailure(0), cloud.ErrQuota},
		"quota with a status":              {fake.QuotaFailure(403), cloud.ErrQuota},
		"exhausted":                        {&fake.Failure{HTTPStatus: 429, Code: "RESOURCE_EXHAUSTED"}, cloud.ErrQuota},
		"no image":                         {&fake.Failure{HTTPStatus: 404, Code: "RESOURCE_NOT_FOUND", Message: "The resource 'projects/x/global/images/y' was not found"}, cloud.ErrInvalid},
		"no image, no status":              {&fake.Failure{Code: "RESOURCE_NOT_FOUND"}, cloud.ErrInvalid},
		"wrong field":                      {&fake.Failure{HTTPStatus: 400, Code: "INVALID_FIELD_VALUE"}, cloud.ErrInvalid},
		"permission":                       {&fake.Failure{Code: "PERMISSIONS_ERROR"}, cloud.ErrInvalid},
		"policy":                           {&fake.Failure{HTTPStatus: 412, Code: "CONDITION_NOT_MET"}, cloud.ErrInvalid},
		"a disk in the way":                {&fake.Failure{HTTPStatus: 409, Code: "RESOURCE_ALREADY_EXISTS", Message: "The resource 'projects/x/zones/europe-west3-a/disks/gcp-temp-worker-1-ab12c' already exists"}, cloud.ErrInvalid},
		"rate":                             {&fake.Failure{HTTPStatus: 403, Code: "RESOURCE_OPERATION_RATE_EXCEEDED"}, errTransient},
		"not ready":                        {&fake.Failure{HTTPStatus: 400, Code: "RESOURCE_NOT_READY"}, errTransient},
		"internal":                         {fake.Internal(), errTransient},
		"internal with a status":           {&fake.Failure{HTTPStatus: 500, Code: "INTERNAL_ERROR"}, errTransient},
		"for no reason at all":             {&fake.Failure{}, errTransient},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, manual())
			s := r.spec()
			r.fake.Inject(fake.Fault{Call: fake.Insert, Fail: test.fail})
			r.is(r.Create(r.ctx(), s), nil, "create")
			for range 2 { // PENDING, RUNNING: the failure is not there yet
				r.is(r.Create(r.ctx(), s), nil, "create while it is under way")
				r.is(r.get(s), nil, "get while it is under way")
				r.fake.Step()
			}
			r.is(r.get(s), cloud.ErrNotFound, "get after the failure")
			if got := r.fake.Count(fake.Insert); got != 1 {
				t.Errorf("%d inserts before the failure was known", got)
			}
			r.is(r.Create(r.ctx(), s), test.want, "create after the failure")
			if test.want == errTransient { // is being tried again
				r.is(r.Create(r.ctx(), s), nil, "create repeated")
				r.fake.Finish()
				r.vms(1)
				return
			}
			// It stays so, whatever the API remembers of request IDs.
			r.fake.ForgetRequests()
			r.is(r.Create(r.ctx(), s), test.want, "create once more")
			r.vms(0)
		})
	}
}

// TestFailsForEver: a chain of retries ends.
func TestFailsForEver(t *testing.T) {
	r := newHarness(t, fake.Options{})
	r.fake.Inject(fake.Fault{Call: fake.Insert, Fail: fake.Internal(), Times: -1})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	for range 9 {
		r.is(r.Create(r.ctx(), s), errTransient, "create repeated")
	}
	r.is(r.Create(r.ctx(), s), cloud.ErrInvalid, "create at the end")
	if got := r.fake.Count(fake.Insert); got != 10 {
		t.Errorf("%d inserts", got)
	}
	seen := make(map[string]bool)
	for _, c := range r.fake.Calls() {
		if c.Name == fake.Insert {
			if seen[c.RequestID] {
				t.Errorf("request ID %s twice", c.RequestID)
			}
			seen[c.RequestID] = true
		}
	}
}

// TestInsertRefused: what the API may answer at once.
func TestInsertRefused(t *testing.T) {
	html := strings.Repeat("<p>proxy</p>", 3)
	for name, test := range map[string]struct {
		reply fake.Reply
		want  error
	}{
		"quota":               {*fake.QuotaExceeded(), cloud.ErrQuota},
		"limit":               {fake.Reply{Status: 403, Reason: "limitExceeded"}, cloud.ErrQuota},
		"exhausted":           {fake.Reply{Status: 429, Reason: "rateLimited", Info: "RESOURCE_EXHAUSTED", Message: "m"}, cloud.ErrQuota},
		"rate":                {fake.Reply{Status: 403, Reason: "rateLimitExceeded", Message: "Rate Limit Exceeded"}, errTransient},
		"rate of a user":      {fake.Reply{Status: 403, Reason: "userRateLimitExceeded", Message: "m"}, errTransient},
		"rate by its info":    {fake.Reply{Status: 429, Reason: "x", Info: "RATE_LIMIT_EXCEEDED", Message: "Quota exceeded for quota metric"}, errTransient},
		"too many":            {fake.Reply{Status: 429, Message: "Too many requests"}, errTransient},
		"stock-out":           {fake.Reply{Status: 503, Reason: "ZONE_RESOURCE_POOL_EXHAUSTED", Message: "m"}, cloud.ErrStockout},
		"stock-out, by info":  {fake.Reply{Status: 503, Reason: "backendError", Info: "resource_availability", Message: "m"}, cloud.ErrStockout},
		"stock-out as 403":    {fake.Reply{Status: 403, Reason: "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Message: "m"}, cloud.ErrStockout},
		"permission":          {fake.Reply{Status: 403, Reason: "forbidden", Message: "Required permission"}, cloud.ErrInvalid},
		"API is off":          {fake.Reply{Status: 403, Reason: "accessNotConfigured", Message: "m"}, cloud.ErrInvalid},
		"wrong field":         {fake.Reply{Status: 400, Reason: "invalid", Message: "m"}, cloud.ErrInvalid},
		"not ready":           {fake.Reply{Status: 400, Reason: "resourceNotReady", Message: "m"}, errTransient},
		"other conflict":      {fake.Reply{Status: 409, Reason: "operationInProgress", Message: "m"}, errTransient},
		"sign-in":             {fake.Reply{Status: 401, Reason: "authError", Message: "Invalid Credentials"}, errTransient},
		"internal":            {fake.Reply{Status: 500, Reason: "backendError", Message: "m"}, errTransient},
		"bad gateway":         {fake.Reply{Status: 502, Body: html}, errTransient},
		"403 of a proxy":      {fake.Reply{Status: 403, Body: html}, errTransient},
		"404 of a proxy":      {fake.Reply{Status: 404, Body: html}, errTransient},
		"400 of a proxy":      {fake.Reply{Status: 400, Body: "{}"}, errTransient},
		"something else":      {fake.Reply{Status: 200, Body: html}, errTransient},
		"nothing":             {fake.Reply{Status: 200, Body: "{}"}, errTransient},
		"tells the script":    {fake.Reply{Status: 400, Reason: "invalid", Message: "Invalid value for field 'resource.metadata': '#!/bin/sh\nkubeadm join --token abcdef.0123456789abcdef 10.0.0.1:6443\n'"}, cloud.ErrInvalid},
		"tells a part of it":  {fake.Reply{Status: 400, Reason: "invalid", Message: "near 'token abcdef.0123456789abcdef'"}, cloud.ErrInvalid},
		"tells it in a proxy": {fake.Reply{Status: 502, Body: "kubeadm join --token abcdef.0123456789abcdef"}, errTransient},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, fake.Options{})
			s := r.spec()
			r.fake.Inject(fake.Fault{Call: fake.Insert, Reply: &test.reply})
			err := r.Create(r.ctx(), s)
			r.is(err, test.want, "create")
			if strings.Contains(err.Error(), "kubeadm") {
				t.Errorf("tells the script: %v", err)
			}
			r.vms(0)
			r.is(r.get(s), cloud.ErrNotFound, "get")
			r.is(r.Create(r.ctx(), s), nil, "create repeated")
			r.vms(1)
		})
	}
}

// TestRefusedByTheServersRules: the same from what the fake itself checks.
func TestRefusedByTheServersRules(t *testing.T) {
	for name, spoil := range map[string]func(*cloud.Spec){
		"image":           func(s *cloud.Spec) { s.Image = "nodes" },
		"network":         func(s *cloud.Spec) { s.Network = "players" },
		"machine type":    func(s *cloud.Spec) { s.MachineType = "n2-standard-5" },
		"zone":            func(s *cloud.Spec) { s.Zone = "europe-west4-a" },
		"no image":        func(s *cloud.Spec) { s.Image = "" },
		"long name":       func(s *cloud.Spec) { s.Name = strings.Repeat("a", 64) },
		"capital name":    func(s *cloud.Spec) { s.Name = "A" },
		"a path as name":  func(s *cloud.Spec) { s.Name = "a/../b" },
		"request ID":      func(s *cloud.Spec) { s.RequestID = "1" },
		"zero request ID": func(s *cloud.Spec) { s.RequestID = uuid.Nil.String() },
		"own label":       func(s *cloud.Spec) { s.Labels = map[string]string{"managed-by": "me"} },
		"label":           func(s *cloud.Spec) { s.Labels = map[string]string{"a": "A"} },
		"label's key":     func(s *cloud.Spec) { s.Labels = map[string]string{"9": "a"} },
		"too many labels": func(s *cloud.Spec) {
			for i := range 61 {
				s.Labels[fmt.Sprint("l", i)] = ""
			}
		},
		"tag":            func(s *cloud.Spec) { s.Tags = []string{"Game"} },
		"short lifetime": func(s *cloud.Spec) { s.MaxLifetime = time.Second },
		"long lifetime":  func(s *cloud.Spec) { s.MaxLifetime = 121 * 24 * time.Hour },
		"long script":    func(s *cloud.Spec) { s.StartupScript = strings.Repeat("#", 256<<10+1) },
		"disk":           func(s *cloud.Spec) { s.DiskGB = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, fake.Options{})
			s := r.spec()
			spoil(&s)
			r.is(r.Create(r.ctx(), s), cloud.ErrInvalid, "create")
			r.vms(0)
		})
	}
}

func TestQuota(t *testing.T) {
	r := newHarness(t, fake.Options{})
	r.fake.SetQuota(0)
	s := r.spec()
	r.is(r.Create(r.ctx(), s), cloud.ErrQuota, "create with a quota of none")
	r.fake.SetQuota(1)
	r.is(r.Create(r.ctx(), s), nil, "create")
	other := r.spec()
	other.Name += "2"
	r.is(r.Create(r.ctx(), other), cloud.ErrQuota, "create of one too many")
	r.is(r.Create(r.ctx(), s), nil, "create of what there is")
}

// TestCommittedInsert: the insert took effect, and the answer says otherwise,
// or nothing. One VM comes of it, and the next Create knows.
func TestCommittedInsert(t *testing.T) {
	for name, f := range map[string]fake.Fault{
		"503":      {Reply: fake.Unavailable()},
		"cut":      {Cut: true},
		"cut body": {CutBody: true},
		"garbage":  {Reply: &fake.Reply{Status: 200, Body: "<html>"}},
		"404":      {Reply: &fake.Reply{Status: 404, Body: "<html>"}},
		"hang":     {Hang: true},
	} {
		for _, forgets := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " forgets=", forgets), func(t *testing.T) {
				r := newHarness(t, manual())
				s := r.spec()
				f.Call, f.Commit = fake.Insert, true
				r.fake.Inject(f)
				ctx := r.ctx()
				if f.Hang {
					ctx = r.until(fake.Insert, 1)
				}
				r.is(r.Create(ctx, s), errTransient, "create")
				if forgets {
					r.fake.ForgetRequests()
				}
				// The VM does not show yet, and is not absent.
				r.is(r.get(s), nil, "get")
				r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete of what does not show")
				r.is(r.Create(r.ctx(), s), nil, "create repeated")
				r.fake.Finish()
				r.vms(1)
				r.is(r.Create(r.ctx(), s), nil, "create of what runs")
				if r.fake.Peak() != 1 {
					t.Errorf("%d VMs at one time", r.fake.Peak())
				}
			})
		}
	}
}

// TestRepeatedInsert: the API alone, without its list of operations, makes one
// VM of one request.
func TestRepeatedInsert(t *testing.T) {
	r := newHarness(t, manual())
	s := r.spec()
	r.fake.Inject(fake.Fault{Call: fake.Insert, Fail: fake.Stockout(true, 0)})
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Finish()
	r.fake.ForgetOperations()
	r.is(r.Create(r.ctx(), s), cloud.ErrStockout, "create whose answer is the failed operation")
}

func TestConflict(t *testing.T) {
	r := newHarness(t, manual())
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	// Another request for the same name, while the first does not show yet.
	again := s
	again.RequestID = uuid.NewString()
	r.is(r.Create(r.ctx(), again), errTransient, "create under another request ID")
	r.fake.Step()
	r.is(r.Create(r.ctx(), again), nil, "create once it shows")
	theirs := again
	theirs.Owner.NodeUID = "another"
	r.is(r.Create(r.ctx(), theirs), cloud.ErrForeign, "create of another node")
	r.fake.Finish()
	// Found again, its operation is done, but the name has changed hands.
	r.fake.Vanish(s.Zone, s.Name)
	theirs.RequestID = uuid.NewString()
	r.is(r.Create(r.ctx(), theirs), nil, "create of another node")
	r.fake.Finish()
	r.is(r.Create(r.ctx(), s), cloud.ErrForeign, "create of ours, whose name is taken now")
	r.vms(1)
}

func TestRequestIDOfAnother(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	other := s
	other.Name += "2"
	r.is(r.Create(r.ctx(), other), cloud.ErrInvalid, "create of another with the same request ID")
	other.Zone = r.fake.Zones()[1]
	r.is(r.Create(r.ctx(), other), cloud.ErrInvalid, "the same in another zone")
	r.vms(1)
}

// TestMadeAndGone: a Spec has had its VM.
func TestMadeAndGone(t *testing.T) {
	r := newHarness(t, fake.Options{})
	s := r.spec()
	r.is(r.Create(r.ctx(), s), nil, "create")
	r.fake.Vanish(s.Zone, s.Name)
	r.is(r.Create(r.ctx(), s), nil, "create repeated")
	r.is(r.get(s), cloud.ErrNotFound, "get")
	r.vms(0)
}

// TestOperationsUnknown: without them Create does not insert, and nothing is
// absent.
func TestOperationsUnknown(t *testing.T) {
	for name, f := range map[string]fake.Fault{
		"503":       {Reply: fake.Unavailable()},
		"forbidden": {Reply: &fake.Reply{Status: http.StatusForbidden, Reason: "forbidden", Message: "Required 'compute.zoneOperations.list' permission"}},
		"partial":   {Warning: "UNREACHABLE"},
		"cut":       {CutBody: true},
		"nothing":   {Reply: &fake.Reply{Status: 200, Body: "{}"}},
		"rate":      {Reply: &fake.Reply{Status: 403, Reason: "rateLimitExceeded", Message: "m"}},
		"zone":      {Reply: &fake.Reply{Status: 404, Reason: "notFound", Message: "The resource 'projects/studio-games/zones/europe-west3-a' was not found"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, fake.Options{})
			s := r.spec()
			f.Call, f.Times = fake.OperationsList, -1
			r.fake.Inject(f)
			want := errTransient
			if name == "forbidden" || name == "zone" {
				want = cloud.ErrInvalid
			}
			r.is(r.Create(r.ctx(), s), want, "create")
			r.is(r.get(s), errTransient, "get of what does not show")
			r.is(r.Delete(r.ctx(), s.Ref, s.Owner), errTransient, "delete of what does not show")
			if r.fake.Count(fake.Insert) != 0 {
				t.Error("inserted")
			}
			r.fake.Heal()
			r.is(r.Create(r.ctx(), s), nil, "create repeated")
		})
	}
}
