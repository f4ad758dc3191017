package fleet_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/request"
	"torikumi/miniagones/internal/virtual"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

type client struct {
	allocationpb.AllocationServiceClient
	servers torikumiv1.GameServerServiceClient
}

func clients(r *harness) client {
	return client{allocationpb.NewAllocationServiceClient(r.conn), torikumiv1.NewGameServerServiceClient(r.conn)}
}

func (c client) ask(ctx context.Context, match string) (*allocationpb.AllocationResponse, error) {
	return c.Allocate(ctx, &allocationpb.AllocationRequest{
		Namespace: "default",
		Metadata:  &allocationpb.MetaPatch{Labels: map[string]string{"torikumi/match": match}},
	})
}

func (c client) take(t testing.TB, match string) *allocationpb.AllocationResponse {
	t.Helper()
	resp, err := c.ask(t.Context(), match)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestConcurrentAllocators(t *testing.T) {
	const servers, allocators = 500, 8
	r := run(t, fleet.Options{Ready: servers, Max: servers, Backend: new(virtual.Backend)})
	waitReady(t, r, servers)
	c := clients(r)
	var mu sync.Mutex
	var wg sync.WaitGroup
	owner := make(map[string]string)
	for i := range allocators {
		wg.Go(func() {
			for j := 0; ; j++ {
				who := fmt.Sprintf("m-%d-%d", i, j)
				resp, err := c.ask(t.Context(), who)
				if err != nil {
					if status.Code(err) != codes.ResourceExhausted {
						t.Errorf("%s: %v", who, err)
					}
					return
				}
				mu.Lock()
				if other, ok := owner[resp.GetGameServerName()]; ok {
					t.Errorf("%s went to %s and %s", resp.GetGameServerName(), other, who)
				}
				owner[resp.GetGameServerName()] = who
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(owner) != servers {
		t.Errorf("%d servers were handed out, want %d", len(owner), servers)
	}
	list, err := c.servers.ListGameServers(t.Context(), &torikumiv1.ListGameServersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list.GetGameServers() {
		if got := g.GetLabels()["torikumi/match"]; got != owner[g.GetName()] {
			t.Errorf("%s carries %q, want %q", g.GetName(), got, owner[g.GetName()])
		}
	}
}

func TestUnsupported(t *testing.T) {
	r := run(t, fleet.Options{Ready: 1, Max: 1, Backend: new(virtual.Backend)})
	waitReady(t, r, 1)
	selector := func(s *allocationpb.GameServerSelector) *allocationpb.AllocationRequest {
		return &allocationpb.AllocationRequest{GameServerSelectors: []*allocationpb.GameServerSelector{s}}
	}
	for name, req := range map[string]*allocationpb.AllocationRequest{
		"clusters":         {MultiClusterSetting: &allocationpb.MultiClusterSetting{Enabled: true}},
		"selector players": selector(&allocationpb.GameServerSelector{Players: &allocationpb.PlayerSelector{}}),
	} {
		req.Namespace = "default"
		if _, err := clients(r).Allocate(t.Context(), req); status.Code(err) != codes.Unimplemented {
			t.Errorf("%s: got %v, want Unimplemented", name, err)
		}
	}
	req := selector(&allocationpb.GameServerSelector{GameServerState: 7})
	req.Namespace = "default"
	_, err := clients(r).Allocate(t.Context(), req)
	if field := violation(err); status.Code(err) != request.Unprocessable || field != "gameServerSelectors[0].gameServerState" {
		t.Errorf("unknown state: got %v for field %q", err, field)
	}
	if r.Snapshot().Totals.Allocated != 0 {
		t.Error("a refused request has allocated")
	}
}

// TestCountersAndLists: servers get further matches as long as they have room, those
// with least room first, and say in the answer and through the SDK what they have.
func TestCountersAndLists(t *testing.T) {
	has := counts.Set{Counters: map[string]counts.Counter{"rooms": {Capacity: 3}}, Lists: map[string]counts.List{"ids": {Capacity: 2}}}
	r := run(t, fleet.Options{Ready: 2, Max: 2, Backend: new(virtual.Backend), Counts: has})
	waitReady(t, r, 2)
	request := func(match string) *allocationpb.AllocationRequest {
		return &allocationpb.AllocationRequest{
			Namespace: "default",
			GameServerSelectors: []*allocationpb.GameServerSelector{
				{GameServerState: allocationpb.GameServerSelector_ALLOCATED, Counters: map[string]*allocationpb.CounterSelector{"rooms": {MinAvailable: 1}}},
				{GameServerState: allocationpb.GameServerSelector_READY},
			},
			Counters: map[string]*allocationpb.CounterAction{"rooms": {Action: wrapperspb.String("Increment"), Amount: wrapperspb.Int64(1)}},
			Lists:    map[string]*allocationpb.ListAction{"ids": {AddValues: []string{match}}},
		}
	}
	var names []string
	for i := range 6 {
		got, err := clients(r).Allocate(t.Context(), request(fmt.Sprint("m-", i)))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, got.GetGameServerName())
		rooms, ids := got.GetCounters()["rooms"], got.GetLists()["ids"]
		if rooms.GetCount().GetValue() != int64(i%3+1) || rooms.GetCapacity().GetValue() != 3 || len(ids.GetValues()) != min(i%3+1, 2) || ids.GetCapacity().GetValue() != 2 {
			t.Errorf("match %d: %v, %v", i, rooms, ids)
		}
	}
	if names[0] == names[3] || names[0] != names[2] || names[3] != names[5] {
		t.Errorf("servers: %v", names)
	}
	if _, err := clients(r).Allocate(t.Context(), request("m-6")); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
}

func TestInvalidCounts(t *testing.T) {
	r := run(t, fleet.Options{Ready: 1, Max: 1, Backend: new(virtual.Backend)})
	waitReady(t, r, 1)
	one, minus, much := wrapperspb.Int64(1), wrapperspb.Int64(-1), wrapperspb.Int64(1001)
	for want, req := range map[string]*allocationpb.AllocationRequest{
		"counters[a].action":   {Counters: map[string]*allocationpb.CounterAction{"a": {Action: wrapperspb.String("Reset"), Amount: one}}},
		"counters[a].amount":   {Counters: map[string]*allocationpb.CounterAction{"a": {Action: wrapperspb.String("Increment"), Amount: minus}}},
		"counters[b].amount":   {Counters: map[string]*allocationpb.CounterAction{"b": {Amount: one}}},
		"counters[a].capacity": {Counters: map[string]*allocationpb.CounterAction{"a": {Capacity: minus}}},
		"lists[a].capacity":    {Lists: map[string]*allocationpb.ListAction{"a": {Capacity: much}}},
		"priorities[0].key":    {Priorities: []*allocationpb.Priority{{}}},
		"priorities[1].type":   {Priorities: []*allocationpb.Priority{{Key: "a"}, {Type: 7, Key: "a"}}},
		"priorities[0].order":  {Priorities: []*allocationpb.Priority{{Key: "a", Order: 7}}},
		"gameServerSelectors[0].counters[a].count": {GameServerSelectors: []*allocationpb.GameServerSelector{
			{Counters: map[string]*allocationpb.CounterSelector{"a": {MinCount: 2, MaxCount: 1}}}}},
		"gameServerSelectors[0].lists[a].available": {GameServerSelectors: []*allocationpb.GameServerSelector{
			{Lists: map[string]*allocationpb.ListSelector{"a": {MinAvailable: -1}}}}},
	} {
		req.Namespace = "default"
		if _, err := clients(r).Allocate(t.Context(), req); status.Code(err) != request.Unprocessable || violation(err) != want {
			t.Errorf("%s: got %v for %q", want, err, violation(err))
		}
	}
	if r.Snapshot().Totals.Allocated != 0 {
		t.Error("a refused request has allocated")
	}
}

// violation returns the field that an error's BadRequest detail names.
func violation(err error) string {
	for _, d := range status.Convert(err).Details() {
		if b, ok := d.(*errdetails.BadRequest); ok && len(b.GetFieldViolations()) == 1 {
			return b.GetFieldViolations()[0].GetField()
		}
	}
	return ""
}

func TestBadRequests(t *testing.T) {
	r := run(t, fleet.Options{Ready: 1, Max: 1, Backend: new(virtual.Backend)})
	c := clients(r)
	bad := map[string]string{"a": "b:c"}
	for field, call := range map[string]func() error{
		"metadata.labels": func() error {
			_, err := c.ask(t.Context(), "a:b")
			return err
		},
		"metaPatch.labels": func() error {
			_, err := c.Allocate(t.Context(), &allocationpb.AllocationRequest{MetaPatch: &allocationpb.MetaPatch{Labels: bad}})
			return err
		},
		"requiredGameServerSelector.matchLabels": func() error {
			_, err := c.Allocate(t.Context(), &allocationpb.AllocationRequest{
				RequiredGameServerSelector: &allocationpb.GameServerSelector{MatchLabels: bad}})
			return err
		},
		"match_labels": func() error {
			_, err := c.servers.ListGameServers(t.Context(), &torikumiv1.ListGameServersRequest{MatchLabels: bad})
			return err
		},
		"namespace": func() error {
			_, err := c.servers.DeleteGameServer(t.Context(), &torikumiv1.DeleteGameServerRequest{Name: "a", Uid: "b"})
			return err
		},
		"name": func() error {
			_, err := c.servers.DeleteGameServer(t.Context(), &torikumiv1.DeleteGameServerRequest{Namespace: "a", Uid: "b"})
			return err
		},
		"uid": func() error {
			_, err := c.servers.DeleteGameServer(t.Context(), &torikumiv1.DeleteGameServerRequest{Namespace: "a", Name: "b"})
			return err
		},
	} {
		want := codes.InvalidArgument
		if strings.Contains(field, ".") { // of an allocation
			want = request.Unprocessable
		}
		if err := call(); status.Code(err) != want || violation(err) != field {
			t.Errorf("%s: got %v for field %q", field, err, violation(err))
		}
	}
}

// BenchmarkAllocate hands out servers of a large fleet that are recycled all
// the time.
func BenchmarkAllocate(b *testing.B) {
	const servers = 5000
	r := run(b, fleet.Options{Ready: servers, Max: 2 * servers, Backend: new(virtual.Backend), Session: 100 * time.Millisecond})
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := r.WaitReady(ctx, servers, 0); err != nil {
		b.Fatal(err)
	}
	c := clients(r)
	b.ResetTimer()
	none := 0
	for i := range b.N {
		_, err := c.ask(b.Context(), fmt.Sprintf("m-%d", i))
		if status.Code(err) == codes.ResourceExhausted {
			none++
		} else if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "allocations/s")
	b.ReportMetric(float64(none)/float64(b.N), "none")
}
