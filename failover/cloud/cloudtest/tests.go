package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"torikumi/failover/cloud"
)

func testCreate(s *harness) {
	spec := s.spec("gcp-temp-worker-1-ab12c")
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create")

	// Accepted, and perhaps not there yet: that is not "not found".
	early, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
	s.is(err, nil, "get right after create")
	if early.State != cloud.Creating && early.State != cloud.Running {
		s.Errorf("right after create the state is %s", early.State)
	}

	s.Finish()
	got, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
	s.is(err, nil, "get")
	if got.Ref != spec.Ref || got.Owner != spec.Owner || got.State != cloud.Running || got.ProviderID == "" {
		s.Errorf("got %+v", got)
	}
	if early.ProviderID != got.ProviderID {
		s.Errorf("the provider ID was %q and is %q", early.ProviderID, got.ProviderID)
	}
	s.live(1)
}

func testCreateRepeated(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	for range 2 {
		s.is(s.Provider.Create(s.ctx(), spec), nil, "create")
	}
	s.Finish()
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create of a VM that runs")
	s.live(1)
}

func testCreateConcurrent(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	for _, err := range parallel(8, func(int) error { return s.Provider.Create(s.ctx(), spec) }) {
		s.is(err, nil, "create")
	}
	s.Finish()
	s.live(1)
}

func testAdopt(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	spec.RequestID = uuid.NewString()
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create with another request ID")
	s.live(1)
}

func testCreateForeign(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	for part, other := range foreign(spec.Owner) {
		theirs := spec
		theirs.Owner, theirs.RequestID = other, uuid.NewString()
		s.is(s.Provider.Create(s.ctx(), theirs), cloud.ErrForeign, "create where another "+part+" has a VM")
	}
	s.Finish()
	s.live(1)
	got, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
	s.is(err, nil, "get")
	if got.State != cloud.Running {
		s.Errorf("the state of ours is %s", got.State)
	}
}

func testInvalid(s *harness) {
	for what, spoil := range map[string]func(*cloud.Spec){
		"name":     func(spec *cloud.Spec) { spec.Name = "" },
		"cluster":  func(spec *cloud.Spec) { spec.Owner.Cluster = "" },
		"node":     func(spec *cloud.Spec) { spec.Owner.Node = "" },
		"node UID": func(spec *cloud.Spec) { spec.Owner.NodeUID = "" },
		"failover": func(spec *cloud.Spec) { spec.Owner.Failover = "" },
		"zone":     func(spec *cloud.Spec) { spec.Zone = "" },
	} {
		spec := s.spec("gcp-temp-worker-1")
		spoil(&spec)
		s.is(s.Provider.Create(s.ctx(), spec), cloud.ErrInvalid, "create without "+what)
	}
	s.live(0)
}

func testReject(s *harness) {
	need(s, "refuse a VM", s.Reject)
	for _, kind := range []error{cloud.ErrStockout, cloud.ErrQuota, cloud.ErrInvalid} {
		spec := s.spec("gcp-temp-worker-1")
		s.Reject(kind)
		s.is(s.Provider.Create(s.ctx(), spec), kind, "create")
		s.Finish()
		s.live(0)
		_, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
		s.is(err, cloud.ErrNotFound, "get after it was refused")
	}
}

func testFailLater(s *harness) {
	need(s, "fail what it has accepted", s.FailLater)
	for i, kind := range []error{cloud.ErrStockout, cloud.ErrQuota, cloud.ErrInvalid} {
		spec := s.spec(fmt.Sprintf("gcp-temp-worker-%d", i))
		s.FailLater(kind)
		s.is(s.Provider.Create(s.ctx(), spec), nil, "create that will fail")
		s.Finish()
		s.live(0)
		for range 2 {
			s.is(s.Provider.Create(s.ctx(), spec), kind, "create again")
		}
		_, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
		s.is(err, cloud.ErrNotFound, "get after the failure")
		s.live(0)

		// A new attempt is another request.
		spec.RequestID, spec.Zone = uuid.NewString(), s.Zones[1]
		s.made(spec)
		s.is(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), nil, "delete")
		s.Finish()
	}
}

func testFailLaterTransient(s *harness) {
	need(s, "fail what it has accepted", s.FailLater)
	spec := s.spec("gcp-temp-worker-1")
	s.FailLater(nil)
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create that will fail")
	s.Finish()
	s.live(0)
	s.transient(s.Provider.Create(s.ctx(), spec), "create after the failure")
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create repeated")
	s.Finish()
	s.live(1)
}

func testNotFound(s *harness) {
	spec := s.spec("gcp-temp-worker-10")
	s.made(spec)
	for _, r := range []cloud.Ref{
		{Name: "gcp-temp-worker-1", Zone: spec.Zone}, // the beginning of another's name
		{Name: "gcp-temp-worker-100", Zone: spec.Zone},
		{Name: spec.Name, Zone: s.Zones[1]},
	} {
		_, err := s.Provider.Get(s.ctx(), r, spec.Owner)
		s.is(err, cloud.ErrNotFound, fmt.Sprintf("get %v", r))
		s.is(s.Provider.Delete(s.ctx(), r, spec.Owner), cloud.ErrNotFound, fmt.Sprintf("delete %v", r))
	}
	s.Finish()
	s.live(1)
}

func testForeign(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	for part, other := range foreign(spec.Owner) {
		_, err := s.Provider.Get(s.ctx(), spec.Ref, other)
		s.is(err, cloud.ErrForeign, "get of another "+part)
		s.is(s.Provider.Delete(s.ctx(), spec.Ref, other), cloud.ErrForeign, "delete of another "+part)
	}
	s.Finish()
	s.live(1)
}

func testStopped(s *harness) {
	need(s, "stop a VM", s.Stop)
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	s.Stop(spec.Ref)
	got, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
	s.is(err, nil, "get")
	if got.State != cloud.Stopped {
		s.Errorf("the state is %s", got.State)
	}
	all, err := s.Provider.List(s.ctx(), spec.Owner.Cluster)
	s.is(err, nil, "list")
	if len(all) != 1 || all[0].State != cloud.Stopped {
		s.Errorf("listed %+v", all)
	}
	s.is(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), nil, "delete")
	s.Finish()
	s.live(0)
}

func testVanished(s *harness) {
	need(s, "delete a VM by itself", s.Vanish)
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	s.Vanish(spec.Ref)
	_, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
	s.is(err, cloud.ErrNotFound, "get")
	s.is(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), cloud.ErrNotFound, "delete")
	all, err := s.Provider.List(s.ctx(), spec.Owner.Cluster)
	s.is(err, nil, "list")
	if len(all) != 0 {
		s.Errorf("listed %v", names(all))
	}
}

func testList(s *harness) {
	cluster := s.spec("").Owner.Cluster
	all, err := s.Provider.List(s.ctx(), cluster)
	s.is(err, nil, "list of nothing")
	if len(all) != 0 {
		s.Fatalf("listed %v", names(all))
	}
	var want []string
	for i, zone := range s.Zones {
		for j := range 3 {
			spec := s.spec(fmt.Sprintf("gcp-temp-worker-%d%d", i, j))
			spec.Zone = zone
			spec.Owner.Failover = fmt.Sprint("failover-", i, j)
			if j == 2 {
				spec.Owner.Cluster += "0" // another whose name begins like ours
			} else {
				want = append(want, zone+"/"+spec.Name)
			}
			s.made(spec)
		}
	}
	all, err = s.Provider.List(s.ctx(), cluster)
	s.is(err, nil, "list")
	slices.Sort(want)
	if got := names(all); !slices.Equal(got, want) {
		s.Errorf("listed %v, want %v", got, want)
	}
	for _, i := range all {
		got, err := s.Provider.Get(s.ctx(), i.Ref, i.Owner)
		s.is(err, nil, "get with the listed owner")
		if !got.Created.Equal(i.Created) {
			s.Errorf("created at %s, listed as %s", got.Created, i.Created)
		}
		got.Created = i.Created
		if got != i {
			s.Errorf("listed %+v, got %+v", i, got)
		}
	}
}

func testListPart(s *harness) {
	need(s, "lose a zone", s.LoseZone)
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	lost := s.Zones[len(s.Zones)-1]
	s.LoseZone(lost)
	for range 2 {
		all, err := s.Provider.List(s.ctx(), spec.Owner.Cluster)
		s.transient(err, "list without "+lost)
		if len(all) > 0 {
			s.Errorf("a part was listed: %v", names(all))
		}
	}
	_, err := s.Provider.Get(s.ctx(), cloud.Ref{Name: spec.Name, Zone: lost}, spec.Owner)
	s.transient(err, "get in "+lost)
	s.transient(s.Provider.Delete(s.ctx(), cloud.Ref{Name: spec.Name, Zone: lost}, spec.Owner), "delete in "+lost)
}

// gone demands nil or ErrNotFound.
func (s *harness) gone(err error, what string) {
	s.Helper()
	if err != nil {
		s.is(err, cloud.ErrNotFound, what)
	}
}

func testDelete(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	s.made(spec)
	s.is(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), nil, "delete")
	s.gone(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), "delete repeated")
	if got, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner); err == nil {
		if got.State == cloud.Creating {
			s.Errorf("a VM that is being deleted is %s", got.State)
		}
	} else {
		s.is(err, cloud.ErrNotFound, "get of a VM that is being deleted")
	}
	s.Finish()
	s.is(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), cloud.ErrNotFound, "delete of a VM that is gone")
	_, err := s.Provider.Get(s.ctx(), spec.Ref, spec.Owner)
	s.is(err, cloud.ErrNotFound, "get")
	s.live(0)

	s.made(func() cloud.Spec { spec.RequestID = uuid.NewString(); return spec }())
	s.live(1)
}

// testDeleteEarly: what was accepted is not taken for absent, or a VM would
// come up after its deletion.
func testDeleteEarly(s *harness) {
	spec := s.spec("gcp-temp-worker-1")
	s.is(s.Provider.Create(s.ctx(), spec), nil, "create")
	if err := s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner); err != nil {
		s.transient(err, "delete of what is accepted")
		s.Finish()
		s.is(s.Provider.Delete(s.ctx(), spec.Ref, spec.Owner), nil, "delete repeated")
	}
	s.Finish()
	s.live(0)
}

func testLost(s *harness) {
	need(s, "lose a reply", s.Lose)
	s.eachCall(func(c cloud.Call, spec cloud.Spec) {
		before := s.Live()
		s.Lose(c)
		err := s.call(s.ctx(), c, spec)
		if c == cloud.CallCreate || c == cloud.CallDelete || err != nil { // a client may have asked again where that changes nothing
			s.transient(err, string(c)+" without a reply")
		}
		err = s.call(s.ctx(), c, spec)
		if c == cloud.CallDelete {
			s.gone(err, "delete repeated")
		} else {
			s.is(err, nil, string(c)+" repeated")
		}
		s.Finish()
		switch c {
		case cloud.CallCreate:
			s.live(before + 1)
		case cloud.CallDelete:
			s.live(before - 1)
		default:
			s.live(before)
		}
	})
}

func testRefused(s *harness) {
	need(s, "fail", s.Refuse)
	s.eachCall(func(c cloud.Call, spec cloud.Spec) {
		before := s.Live()
		s.Refuse(c)
		s.transient(s.call(s.ctx(), c, spec), string(c)+" that fails")
		s.live(before)
		s.is(s.call(s.ctx(), c, spec), nil, string(c)+" repeated")
		s.Finish()
	})
}

func testHang(s *harness) {
	need(s, "hang", s.Hang)
	s.eachCall(func(c cloud.Call, spec cloud.Spec) {
		s.Hang(c)
		ctx, cancel := context.WithTimeout(s.ctx(), 100*time.Millisecond)
		defer cancel()
		err := s.call(ctx, c, spec)
		s.Heal()
		s.transient(err, string(c)+" without an answer")
		if !errors.Is(err, context.DeadlineExceeded) {
			s.Errorf("%s: %v does not tell that the time is over", c, err)
		}
	})
}

func testCancelled(s *harness) {
	s.eachCall(func(c cloud.Call, spec cloud.Spec) {
		ctx, cancel := context.WithCancel(s.ctx())
		cancel()
		err := s.call(ctx, c, spec)
		s.transient(err, string(c)+" with a context that is over")
		if !errors.Is(err, context.Canceled) {
			s.Errorf("%s: %v does not tell that its context is over", c, err)
		}
	})
}

func testConcurrent(s *harness) {
	const n = 6
	specs := make([]cloud.Spec, n)
	for i := range specs {
		specs[i] = s.spec(fmt.Sprintf("gcp-temp-worker-%d", i))
		specs[i].Zone = s.Zones[i%len(s.Zones)]
	}
	for _, c := range []cloud.Call{cloud.CallCreate, cloud.CallGet, cloud.CallList, cloud.CallDelete} {
		for i, err := range parallel(n, func(i int) error { return s.call(s.ctx(), c, specs[i]) }) {
			s.is(err, nil, fmt.Sprintf("%s %s", c, specs[i].Name))
		}
		s.Finish()
	}
	s.live(0)
}
