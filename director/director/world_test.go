package director_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/contract"
	"torikumi/pkg/porttest"
	"torikumi/proto/agones/allocation"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// world is an Open Match that pairs tickets by itself, and a fleet, both in
// memory behind real gRPC.
type world struct {
	omAddr, fleetAddr string
	om, fleetServer   *grpc.Server

	mu sync.Mutex
	// hook is asked before and after the effect of each call of one of both;
	// an error is what the caller gets.
	hook func(ctx context.Context, method, phase string) error

	tickets map[string]*ticket
	// pending is Open Match's pendingReleaseTimeout.
	pending time.Duration
	// script, if not empty, is what the next fetches of "session" bring.
	script   []answer
	fetches  map[string]int
	profiles map[string]*openmatch.MatchProfile
	released [][]string
	// proposed counts how often each match was sent.
	proposed map[string]int

	servers map[string]*torikumiv1.GameServerInfo
	next    int
	// stamped holds, for each match label, the servers ever allocated for it.
	stamped   map[string][]string
	deleted   []string
	allocs    []*allocation.AllocationRequest
	noAddress bool
}

// answer is one scripted stream.
type answer struct {
	matches []*openmatch.Match
	err     error
}

type ticket struct {
	*openmatch.Ticket
	pendingUntil time.Time
	// to lists each different address the ticket was ever assigned to.
	to []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		tickets: make(map[string]*ticket), pending: time.Minute, fetches: make(map[string]int),
		profiles: make(map[string]*openmatch.MatchProfile),
		proposed: make(map[string]int), servers: make(map[string]*torikumiv1.GameServerInfo), stamped: make(map[string][]string),
	}
	w.omAddr, w.om = serve(t, porttest.Hold(t).String(), w.registerOM, grpc.UnaryInterceptor(w.intercept))
	w.fleetAddr, w.fleetServer = serve(t, porttest.Hold(t).String(), w.registerFleet, grpc.UnaryInterceptor(w.intercept))
	return w
}

func (w *world) registerOM(s *grpc.Server) {
	openmatch.RegisterBackendServiceServer(s, backend{w: w})
	openmatch.RegisterFrontendServiceServer(s, frontend{w: w})
}

func (w *world) registerFleet(s *grpc.Server) {
	allocation.RegisterAllocationServiceServer(s, allocator{w: w})
	torikumiv1.RegisterGameServerServiceServer(s, gameServers{w: w})
}

func (w *world) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	if err := w.ask(ctx, method, "before"); err != nil {
		return nil, err
	}
	resp, err := h(ctx, req)
	if lost := w.ask(ctx, method, "after"); lost != nil {
		return nil, lost
	}
	return resp, err
}

func (w *world) ask(ctx context.Context, method, phase string) error {
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx, method, phase)
}

// do runs f under the lock.
func (w *world) do(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// failing makes the first n calls of a method fail at the phase.
func failing(method, phase string, n int, err error) func(context.Context, string, string) error {
	var mu sync.Mutex
	return func(_ context.Context, m, p string) error {
		mu.Lock()
		defer mu.Unlock()
		if m != method || p != phase || n == 0 {
			return nil
		}
		n--
		return err
	}
}

func (w *world) addTickets(n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for range n {
		id := fmt.Sprintf("ticket-%04d", len(w.tickets))
		w.tickets[id] = &ticket{Ticket: &openmatch.Ticket{Id: id, SearchFields: &openmatch.SearchFields{
			Tags: []string{"mode.session"}, StringArgs: map[string]string{"region": "eu"},
		}}}
		ids = append(ids, id)
	}
	return ids
}

func (w *world) addServers(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for range n {
		w.addServer()
	}
}

// addServer needs the lock.
func (w *world) addServer() {
	w.next++
	name := fmt.Sprintf("gs-%04d", w.next)
	w.servers[name] = &torikumiv1.GameServerInfo{
		Namespace: "default", Name: name, Uid: "uid-" + name, State: "Ready", Address: "192.0.2.1",
		Ports:      map[string]int32{"default": int32(7000 + w.next), "admin": 1},
		Labels:     map[string]string{contract.AllocatableLabel: "true"},
		CreateTime: timestamppb.New(time.Unix(int64(w.next), 0)),
	}
}

func (w *world) assigned(ids ...string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, id := range ids {
		if t := w.tickets[id]; t != nil && t.GetAssignment() != nil {
			n++
		}
	}
	return n
}

func (w *world) inState(state string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.servers {
		if s.GetState() == state {
			n++
		}
	}
	return n
}

// check looks at the promises: no ticket was ever sent to two servers, no
// server has players of two matches, and no match has two live servers.
func (w *world) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	matchOf := make(map[string]string)
	for id, tk := range w.tickets {
		if len(tk.to) > 1 {
			t.Errorf("ticket %s was assigned to %v", id, tk.to)
		}
		if len(tk.to) == 0 {
			continue
		}
		var d torikumiv1.AssignmentDetails
		if err := contract.Get(tk.GetAssignment().GetExtensions(), contract.AssignmentExtension, &d); err != nil {
			t.Errorf("ticket %s: %v", id, err)
		}
		if other := matchOf[tk.to[0]]; other != "" && other != d.GetMatchId() {
			t.Errorf("%s has players of matches %s and %s", tk.to[0], other, d.GetMatchId())
		}
		matchOf[tk.to[0]] = d.GetMatchId()
	}
	live := make(map[string]string)
	for name, s := range w.servers {
		label := s.GetLabels()[contract.MatchLabel]
		if label == "" {
			continue
		}
		if other := live[label]; other != "" {
			t.Errorf("match %s has servers %s and %s", label, name, other)
		}
		live[label] = name
	}
}

func (w *world) server(name string) *torikumiv1.GameServerInfo {
	return proto.CloneOf(w.servers[name])
}

type backend struct {
	openmatch.UnimplementedBackendServiceServer
	w *world
}

func matchID(ids []string) string {
	sum := sha256.Sum256([]byte(strings.Join(ids, "|")))
	return "session:" + hex.EncodeToString(sum[:8])
}

func (b backend) FetchMatches(req *openmatch.FetchMatchesRequest, stream grpc.ServerStreamingServer[openmatch.FetchMatchesResponse]) error {
	if err := b.w.ask(stream.Context(), "FetchMatches", "before"); err != nil {
		return err
	}
	b.w.do(func() { b.w.profiles[req.GetProfile().GetName()] = req.GetProfile() })
	a := b.w.propose(req.GetProfile().GetName())
	for _, m := range a.matches {
		if err := stream.Send(&openmatch.FetchMatchesResponse{Match: m}); err != nil {
			return err
		}
	}
	if err := b.w.ask(stream.Context(), "FetchMatches", "after"); err != nil {
		return err
	}
	return a.err
}

// propose makes the matches of one fetch and puts their tickets on hold.
func (w *world) propose(profile string) answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fetches[profile]++
	if profile != "session" {
		return answer{}
	}
	if len(w.script) > 0 {
		a := w.script[0]
		w.script = w.script[1:]
		return a
	}
	now := time.Now()
	var a answer
	var pair []string
	for _, id := range slices.Sorted(maps.Keys(w.tickets)) {
		if t := w.tickets[id]; t.GetAssignment() != nil || now.Before(t.pendingUntil) {
			continue
		}
		if pair = append(pair, id); len(pair) == 2 {
			a.matches = append(a.matches, w.match(pair, now))
			pair = nil
		}
	}
	return a
}

// match needs the lock.
func (w *world) match(ids []string, now time.Time) *openmatch.Match {
	m := &openmatch.Match{MatchId: matchID(ids), MatchProfile: "session"}
	for _, id := range ids {
		w.tickets[id].pendingUntil = now.Add(w.pending)
		m.Tickets = append(m.Tickets, w.tickets[id].Ticket)
	}
	w.proposed[m.GetMatchId()]++
	return proto.CloneOf(m)
}

func (b backend) AssignTickets(_ context.Context, req *openmatch.AssignTicketsRequest) (*openmatch.AssignTicketsResponse, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	resp := new(openmatch.AssignTicketsResponse)
	for _, g := range req.GetAssignments() {
		for _, id := range g.GetTicketIds() {
			t := b.w.tickets[id]
			if t == nil {
				resp.Failures = append(resp.Failures, &openmatch.AssignmentFailure{TicketId: id, Cause: openmatch.AssignmentFailure_TICKET_NOT_FOUND})
				continue
			}
			t.Assignment = g.GetAssignment()
			if c := g.GetAssignment().GetConnection(); !slices.Contains(t.to, c) {
				t.to = append(t.to, c)
			}
			t.pendingUntil = time.Time{}
		}
	}
	return resp, nil
}

func (b backend) ReleaseTickets(_ context.Context, req *openmatch.ReleaseTicketsRequest) (*openmatch.ReleaseTicketsResponse, error) {
	b.w.mu.Lock()
	defer b.w.mu.Unlock()
	b.w.released = append(b.w.released, req.GetTicketIds())
	for _, id := range req.GetTicketIds() {
		if t := b.w.tickets[id]; t != nil {
			t.pendingUntil = time.Time{}
		}
	}
	return new(openmatch.ReleaseTicketsResponse), nil
}

type frontend struct {
	openmatch.UnimplementedFrontendServiceServer
	w *world
}

func (f frontend) GetTicket(_ context.Context, req *openmatch.GetTicketRequest) (*openmatch.Ticket, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	t := f.w.tickets[req.GetTicketId()]
	if t == nil {
		return nil, status.Error(codes.NotFound, "no such ticket")
	}
	return proto.CloneOf(t.Ticket), nil
}

type allocator struct {
	allocation.UnimplementedAllocationServiceServer
	w *world
}

func carries(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

func (a allocator) Allocate(_ context.Context, req *allocation.AllocationRequest) (*allocation.AllocationResponse, error) {
	w := a.w
	w.mu.Lock()
	defer w.mu.Unlock()
	w.allocs = append(w.allocs, req)
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		s := w.servers[name]
		if s.GetState() != "Ready" || s.GetNamespace() != req.GetNamespace() || !carries(s.GetLabels(), req.GetGameServerSelectors()[0].GetMatchLabels()) {
			continue
		}
		s.State = "Allocated"
		maps.Copy(s.Labels, req.GetMetadata().GetLabels())
		s.Annotations = req.GetMetadata().GetAnnotations()
		label := s.GetLabels()[contract.MatchLabel]
		w.stamped[label] = append(w.stamped[label], name)
		resp := &allocation.AllocationResponse{GameServerName: name, Address: s.GetAddress()}
		if w.noAddress {
			resp.Address = ""
		}
		for _, p := range []string{"admin", "default"} {
			resp.Ports = append(resp.Ports, &allocation.AllocationResponse_GameServerStatusPort{Name: p, Port: s.GetPorts()[p]})
		}
		return resp, nil
	}
	return nil, status.Error(codes.ResourceExhausted, "nothing is ready")
}

type gameServers struct {
	torikumiv1.UnimplementedGameServerServiceServer
	w *world
}

func (g gameServers) ListGameServers(_ context.Context, req *torikumiv1.ListGameServersRequest) (*torikumiv1.ListGameServersResponse, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	resp := new(torikumiv1.ListGameServersResponse)
	for name, s := range g.w.servers {
		if s.GetNamespace() == req.GetNamespace() && carries(s.GetLabels(), req.GetMatchLabels()) {
			resp.GameServers = append(resp.GameServers, g.w.server(name))
		}
	}
	return resp, nil
}

func (g gameServers) DeleteGameServer(_ context.Context, req *torikumiv1.DeleteGameServerRequest) (*torikumiv1.DeleteGameServerResponse, error) {
	g.w.mu.Lock()
	defer g.w.mu.Unlock()
	s := g.w.servers[req.GetName()]
	switch {
	case s == nil:
		return nil, status.Error(codes.NotFound, "no such game server")
	case s.GetUid() != req.GetUid():
		return nil, status.Error(codes.FailedPrecondition, "another uid")
	}
	delete(g.w.servers, req.GetName())
	g.w.deleted = append(g.w.deleted, req.GetName())
	g.w.addServer()
	return new(torikumiv1.DeleteGameServerResponse), nil
}
