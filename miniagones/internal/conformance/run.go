package conformance

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/agones"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Run judges a target. The subtests run one after the other.
func Run(t *testing.T, target Target) {
	if target.Timeout == 0 {
		target.Timeout = 30 * time.Second
	}
	s := &harness{
		target:    target,
		allocator: allocationpb.NewAllocationServiceClient(target.Conn),
		servers:   torikumiv1.NewGameServerServiceClient(target.Conn),
	}
	for _, c := range []struct {
		name string
		run  func(*testing.T)
		sdk  bool
	}{
		{"ReadyServersAreDistinct", s.readyServersAreDistinct, false},
		{"AllocationStampsAndAnswersInFull", s.allocationStamps, false},
		{"AllocatedServerIsReplaced", s.allocatedIsReplaced, false},
		{"SelectorsAreTriedInOrder", s.selectorsInOrder, false},
		{"DeprecatedFields", s.deprecatedFields, false},
		{"NothingFits", s.nothingFits, false},
		{"BadRequests", s.badRequests, false},
		{"RacingAllocators", s.racingAllocators, false},
		{"DeletePreconditions", s.deletePreconditions, false},
		{"Annotate", s.annotate, false},
		{"WatchSeesStateAndLabelTogether", s.watchSeesTogether, true},
		{"ReadyAgainKeepsLabels", s.readyAgain, true},
		{"LabelsAndAnnotationsOfTheSDK", s.sdkMetadata, true},
		{"SelfAllocation", s.selfAllocation, true},
		{"CountersAndListsOfTheSDK", s.sdkCounts, true},
		{"Reserve", s.reserve, true},
		{"Shutdown", s.shutdown, true},
		{"Crash", s.crash, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.sdk && s.target.Silent {
				t.Skip("there is no program behind the addresses")
			}
			s.full(t)
			c.run(t)
		})
	}
}

func (s *harness) readyServersAreDistinct(t *testing.T) {
	seen := make(map[string]string)
	unique := func(kind, value, name string) {
		if other, ok := seen[kind+value]; ok {
			t.Errorf("%s and %s have the same %s %s", name, other, kind, value)
		}
		seen[kind+value] = name
	}
	for _, g := range s.ready(t) {
		if !strings.HasPrefix(g.GetName(), s.target.Fleet+"-") || g.GetNamespace() != s.target.Namespace {
			t.Errorf("game server %s/%s, want %s/%s-…", g.GetNamespace(), g.GetName(), s.target.Namespace, s.target.Fleet)
		}
		if g.GetUid() == "" || g.GetResourceVersion() == "" || g.GetCreateTime() == nil {
			t.Errorf("%s: incomplete: %v", g.GetName(), g)
		}
		unique("name", g.GetName(), g.GetName())
		unique("uid", g.GetUid(), g.GetName())
		for name, port := range g.GetPorts() {
			if port <= 0 || g.GetAddress() == "" {
				t.Errorf("%s: port %q at %q is %d", g.GetName(), name, g.GetAddress(), port)
			}
			unique("address", net.JoinHostPort(g.GetAddress(), strconv.Itoa(int(port))), g.GetName())
		}
	}
}

func (s *harness) allocationStamps(t *testing.T) {
	before := make(map[string]*torikumiv1.GameServerInfo)
	for _, g := range s.ready(t) {
		before[g.GetName()] = g
	}
	req := s.request(map[string]string{"torikumi/match": "m-stamp"})
	req.Metadata.Annotations = map[string]string{"torikumi/roster": `{"a":"b"}`}
	resp := s.allocate(t, req)

	was := before[resp.GetGameServerName()]
	if was == nil {
		t.Fatalf("allocated %q, which was not Ready", resp.GetGameServerName())
	}
	if resp.GetAddress() != was.GetAddress() || resp.GetSource() != "local" || resp.GetNodeName() == "" || len(resp.GetAddresses()) == 0 {
		t.Errorf("incomplete answer: %v", resp)
	}
	if len(resp.GetPorts()) != len(was.GetPorts()) {
		t.Errorf("ports %v, want %v", resp.GetPorts(), was.GetPorts())
	}
	for _, p := range resp.GetPorts() {
		if was.GetPorts()[p.GetName()] != p.GetPort() {
			t.Errorf("port %q is %d, want %d", p.GetName(), p.GetPort(), was.GetPorts()[p.GetName()])
		}
	}
	now := s.get(t, resp.GetGameServerName())
	if now.GetState() != agones.Allocated || now.GetUid() != was.GetUid() || now.GetResourceVersion() == was.GetResourceVersion() {
		t.Errorf("after the allocation: %v", now)
	}
	for _, labels := range []map[string]string{resp.GetMetadata().GetLabels(), now.GetLabels()} {
		if labels["torikumi/match"] != "m-stamp" || labels[agones.FleetLabel] != s.target.Fleet {
			t.Errorf("labels %v: want the new one and the old ones", labels)
		}
	}
	for _, a := range []map[string]string{resp.GetMetadata().GetAnnotations(), now.GetAnnotations()} {
		if _, err := time.Parse(time.RFC3339, a[agones.LastAllocatedAnnotation]); err != nil || a["torikumi/roster"] != `{"a":"b"}` {
			t.Errorf("annotations %v: want the new one and the time of the allocation", a)
		}
	}
	if found := s.list(t, map[string]string{"torikumi/match": "m-stamp"}); len(found) != 1 || found[0].GetName() != resp.GetGameServerName() {
		t.Errorf("listing by the new label found %v", found)
	}
}

func (s *harness) allocatedIsReplaced(t *testing.T) {
	resp := s.allocate(t, s.request(nil))
	s.full(t)
	if got := s.get(t, resp.GetGameServerName()).GetState(); got != agones.Allocated {
		t.Errorf("the allocated server is %s after its replacement came", got)
	}
}

func (s *harness) selectorsInOrder(t *testing.T) {
	first := s.allocate(t, s.request(map[string]string{"torikumi/match": "m-first"}))
	s.full(t)
	none := &allocationpb.GameServerSelector{MatchLabels: map[string]string{"torikumi/match": "m-none"}}
	inUse := &allocationpb.GameServerSelector{
		MatchLabels:     map[string]string{"torikumi/match": "m-first"},
		GameServerState: allocationpb.GameServerSelector_ALLOCATED,
	}
	anyReady := s.request(nil).GetGameServerSelectors()[0]

	req := s.request(map[string]string{"again": "yes"})
	req.GameServerSelectors = []*allocationpb.GameServerSelector{none, inUse, anyReady}
	if got := s.allocate(t, req); got.GetGameServerName() != first.GetGameServerName() {
		t.Errorf("got %s, want %s, which the second selector fits", got.GetGameServerName(), first.GetGameServerName())
	} else if l := got.GetMetadata().GetLabels(); l["again"] != "yes" || l["torikumi/match"] != "m-first" {
		t.Errorf("labels %v: want old and new", l)
	}
	req.GameServerSelectors = []*allocationpb.GameServerSelector{none, anyReady, inUse}
	req.Scheduling = allocationpb.AllocationRequest_Distributed
	// The allocator may learn later than others that a server is Ready.
	s.wait(t, "not the server of the third selector, as the second one fits a Ready one", func() bool {
		return s.allocate(t, req).GetGameServerName() != first.GetGameServerName()
	})
}

func (s *harness) deprecatedFields(t *testing.T) {
	first := s.allocate(t, &allocationpb.AllocationRequest{
		Namespace:                  s.target.Namespace,
		RequiredGameServerSelector: s.request(nil).GetGameServerSelectors()[0],
		MetaPatch:                  &allocationpb.MetaPatch{Labels: map[string]string{"old": "yes"}},
	})
	if first.GetMetadata().GetLabels()["old"] != "yes" {
		t.Errorf("metaPatch is not applied: %v", first.GetMetadata())
	}
	s.full(t)
	req := &allocationpb.AllocationRequest{
		Namespace: s.target.Namespace,
		PreferredGameServerSelectors: []*allocationpb.GameServerSelector{
			{MatchLabels: map[string]string{"old": "no"}},
			{MatchLabels: map[string]string{"old": "yes"}, GameServerState: allocationpb.GameServerSelector_ALLOCATED},
		},
		RequiredGameServerSelector: s.request(nil).GetGameServerSelectors()[0],
		MetaPatch:                  &allocationpb.MetaPatch{Labels: map[string]string{"from": "metaPatch"}},
		Metadata:                   &allocationpb.MetaPatch{Labels: map[string]string{"from": "metadata"}},
	}
	second := s.allocate(t, req)
	if second.GetGameServerName() != first.GetGameServerName() {
		t.Errorf("got %s, want the preferred %s", second.GetGameServerName(), first.GetGameServerName())
	}
	if got := second.GetMetadata().GetLabels()["from"]; got != "metadata" {
		t.Errorf("label from %q, want from metadata, which goes before metaPatch", got)
	}
	req.GameServerSelectors = []*allocationpb.GameServerSelector{{MatchLabels: map[string]string{"old": "no"}}}
	if _, err := s.allocator.Allocate(t.Context(), req); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v, want the old selectors to count for nothing beside new ones", err)
	}
}

func (s *harness) nothingFits(t *testing.T) {
	for name, edit := range map[string]func(*allocationpb.AllocationRequest){
		"label":     func(r *allocationpb.AllocationRequest) { r.GameServerSelectors[0].MatchLabels["no"] = "such" },
		"namespace": func(r *allocationpb.AllocationRequest) { r.Namespace = "nowhere" },
		"no namespace": func(r *allocationpb.AllocationRequest) {
			r.Namespace = ""
		},
		"state": func(r *allocationpb.AllocationRequest) {
			r.GameServerSelectors[0].MatchLabels["no"] = "such"
			r.GameServerSelectors[0].GameServerState = allocationpb.GameServerSelector_ALLOCATED
		},
	} {
		req := s.request(nil)
		edit(req)
		if _, err := s.allocator.Allocate(t.Context(), req); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: got %v, want ResourceExhausted", name, err)
		}
	}
}

// invalid reports whether an allocation broke a rule: Agones's allocator sends the
// HTTP status of the Kubernetes error, 422, as it is.
func invalid(err error) bool { return status.Code(err) == codes.Code(422) }

func (s *harness) badRequests(t *testing.T) {
	long := strings.Repeat("x", 64)
	for name, edit := range map[string]func(*allocationpb.AllocationRequest){
		"label value with a colon": func(r *allocationpb.AllocationRequest) {
			r.Metadata.Labels = map[string]string{"torikumi/match": "a:b"}
		},
		"label value too long":       func(r *allocationpb.AllocationRequest) { r.Metadata.Labels = map[string]string{"k": long} },
		"label value ends in a dash": func(r *allocationpb.AllocationRequest) { r.Metadata.Labels = map[string]string{"k": "v-"} },
		"label key empty":            func(r *allocationpb.AllocationRequest) { r.Metadata.Labels = map[string]string{"": "v"} },
		"label key too long":         func(r *allocationpb.AllocationRequest) { r.Metadata.Labels = map[string]string{long: "v"} },
		"label key with two slashes": func(r *allocationpb.AllocationRequest) { r.Metadata.Labels = map[string]string{"a/b/c": "v"} },
		"annotation key":             func(r *allocationpb.AllocationRequest) { r.Metadata.Annotations = map[string]string{"a b": "v"} },
		"annotations too large": func(r *allocationpb.AllocationRequest) {
			r.Metadata.Annotations = map[string]string{"k": strings.Repeat("x", 256<<10)}
		},
		"selector label": func(r *allocationpb.AllocationRequest) {
			r.GameServerSelectors[0].MatchLabels = map[string]string{"k": "a b"}
		},
		"void selector": func(r *allocationpb.AllocationRequest) {
			r.PreferredGameServerSelectors = []*allocationpb.GameServerSelector{{MatchLabels: map[string]string{"a b": "v"}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			req := s.request(nil)
			edit(req)
			resp, err := s.allocator.Allocate(t.Context(), req)
			if err == nil {
				s.deleteAtEnd(t, resp.GetGameServerName())
			}
			if !invalid(err) {
				t.Errorf("got %v, want the code 422", err)
			}
		})
	}
	if got := len(s.ready(t)); got < s.target.Ready {
		t.Errorf("%d servers Ready after refused requests, want %d", got, s.target.Ready)
	}
}

func (s *harness) racingAllocators(t *testing.T) {
	const each = 3
	var mu sync.Mutex
	var wg sync.WaitGroup
	owner := make(map[string]string)
	for i := range 2 {
		wg.Go(func() {
			for j := range each {
				who := fmt.Sprintf("racer-%d-%d", i, j)
				resp, err := s.allocator.Allocate(t.Context(), s.request(map[string]string{"torikumi/match": who}))
				if c := status.Code(err); err != nil {
					if c != codes.ResourceExhausted && c != codes.Aborted {
						t.Errorf("%s: %v", who, err)
					}
					continue
				}
				name := resp.GetGameServerName()
				mu.Lock()
				if other, ok := owner[name]; ok {
					t.Errorf("%s went to %s and to %s", name, other, who)
				}
				owner[name] = who
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for name := range owner {
		s.deleteAtEnd(t, name)
	}
	if len(owner) < s.target.Ready {
		t.Errorf("%d of %d Ready servers were allocated", len(owner), s.target.Ready)
	}
	for name, who := range owner {
		if got := s.get(t, name).GetLabels()["torikumi/match"]; got != who {
			t.Errorf("%s carries the label of %q, want %q", name, got, who)
		}
	}
}

// annotate changes annotations under the conditions of a deletion, and the SDK sees it.
func (s *harness) annotate(t *testing.T) {
	resp := s.allocate(t, s.request(nil))
	g := s.get(t, resp.GetGameServerName())
	s.deleteAtEnd(t, g.GetName())
	set := func(uid, version, name string, annotations map[string]string) (*torikumiv1.GameServerInfo, codes.Code) {
		resp, err := s.servers.AnnotateGameServer(t.Context(), &torikumiv1.AnnotateGameServerRequest{
			Namespace: s.target.Namespace, Name: name, Uid: uid, ResourceVersion: version, Annotations: annotations,
		})
		return resp.GetGameServer(), status.Code(err)
	}
	some := map[string]string{"torikumi/roster": "1", "torikumi/backfill": "b"}
	for _, c := range []struct {
		what, uid, version, name string
		annotations              map[string]string
		want                     codes.Code
	}{
		{"no uid", "", "", g.GetName(), some, codes.InvalidArgument},
		{"no annotations", g.GetUid(), "", g.GetName(), nil, codes.InvalidArgument},
		{"bad key", g.GetUid(), "", g.GetName(), map[string]string{"a:b": "c"}, codes.InvalidArgument},
		{"other uid", "6c1f0b5e-0000-4000-8000-000000000000", "", g.GetName(), some, codes.FailedPrecondition},
		{"old version", g.GetUid(), "1", g.GetName(), some, codes.FailedPrecondition},
		{"unknown name", g.GetUid(), "", s.target.Fleet + "-none", some, codes.NotFound},
	} {
		if _, got := set(c.uid, c.version, c.name, c.annotations); got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
	if got := s.get(t, g.GetName()).GetAnnotations()["torikumi/roster"]; got != "" {
		t.Fatalf("annotated by a refused request: %q", got)
	}
	now, code := set(g.GetUid(), "", g.GetName(), some)
	if code != codes.OK || now.GetAnnotations()["torikumi/roster"] != "1" || now.GetResourceVersion() == g.GetResourceVersion() {
		t.Fatalf("annotate: %v, %v", code, now)
	}
	version := now.GetResourceVersion()
	if _, code = set(g.GetUid(), version, g.GetName(), map[string]string{"torikumi/roster": "2", "torikumi/backfill": ""}); code != codes.OK {
		t.Fatalf("annotate the version that it has: %v", code)
	}
	if _, code := set(g.GetUid(), version, g.GetName(), some); code != codes.FailedPrecondition {
		t.Errorf("annotate the version before: %v, want FailedPrecondition", code)
	}
	got := s.get(t, g.GetName())
	if _, there := got.GetAnnotations()["torikumi/backfill"]; there || got.GetAnnotations()["torikumi/roster"] != "2" || got.GetState() != agones.Allocated {
		t.Errorf("the server is %v", got)
	}
}

func (s *harness) deletePreconditions(t *testing.T) {
	resp := s.allocate(t, s.request(nil))
	g := s.get(t, resp.GetGameServerName())
	del := func(uid, version, name string) codes.Code {
		_, err := s.servers.DeleteGameServer(t.Context(), &torikumiv1.DeleteGameServerRequest{
			Namespace: s.target.Namespace, Name: name, Uid: uid, ResourceVersion: version,
		})
		return status.Code(err)
	}
	for _, c := range []struct {
		what, uid, version, name string
		want                     codes.Code
	}{
		{"no uid", "", "", g.GetName(), codes.InvalidArgument},
		{"other uid", "6c1f0b5e-0000-4000-8000-000000000000", "", g.GetName(), codes.FailedPrecondition},
		{"old version", g.GetUid(), "1", g.GetName(), codes.FailedPrecondition},
		{"unknown name", g.GetUid(), "", s.target.Fleet + "-none", codes.NotFound},
	} {
		if got := del(c.uid, c.version, c.name); got != c.want {
			t.Errorf("%s: got %v, want %v", c.what, got, c.want)
		}
	}
	if got := s.get(t, g.GetName()).GetState(); got != agones.Allocated {
		t.Fatalf("the server is %s after refused deletions", got)
	}
	if got := del(g.GetUid(), g.GetResourceVersion(), g.GetName()); got != codes.OK {
		t.Fatalf("delete: %v", got)
	}
	s.wait(t, "the deleted server is gone", func() bool { return s.get(t, g.GetName()) == nil })
	if got := del(g.GetUid(), "", g.GetName()); got != codes.NotFound {
		t.Errorf("delete again: got %v, want NotFound", got)
	}
	names := func() (n []string) {
		for _, r := range s.ready(t) {
			n = append(n, r.GetName())
		}
		return n
	}
	s.full(t)
	if slices.Contains(names(), g.GetName()) {
		t.Errorf("the name %s was given out again", g.GetName())
	}
}
