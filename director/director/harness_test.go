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

// harness is an Open Match that pairs tickets by itself, and a fleet, both in
// memory behind real gRPC.
type harness struct {
	omAddr, fleetAddr string
	om, fleetServer   *grpc.Server

	mu sync.Mutex
	// hook is asked before and after the effect of each call of one of both;
	// an error is what the caller gets.
	hook func(ctx context.Context, method, phase string) error

	tickets map[string]*ticket
	// pending is Open Match's pendingReleaseTimeout.
	pending time.Duration
	// least is the size of the smallest match that matches carry, if not 0.
	least int32
	// script, if not empty, is what the next fetches of "session" bring.
	script   []answer
	fetches  map[string]int
	profiles map[string]*openmatch.MatchProfile
	released [][]string
	// proposed counts how often each match was sent.
	proposed map[string]int

	// backfills are Open Match's.
	backfills map[string]*openmatch.Backfill

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

func newHarness(t *testing.T) *harness {
	t.Helper()
	h := &harness{
		tickets: make(map[string]*ticket), pending: time.Minute, fetches: make(map[string]int),
		profiles:  make(map[string]*openmatch.MatchProfile),
		backfills: make(map[string]*openmatch.Backfill),
		proposed:  make(map[string]int), servers: make(map[string]*torikumiv1.GameServerInfo), stamped: make(map[string][]string),
	}
	h.omAddr, h.om = serve(t, porttest.Hold(t).String(), h.registerOM, grpc.UnaryInterceptor(h.intercept))
	h.fleetAddr, h.fleetServer = serve(t, porttest.Hold(t).String(), h.registerFleet, grpc.UnaryInterceptor(h.intercept))
	return h
}

func (h *harness) registerOM(s *grpc.Server) {
	openmatch.RegisterBackendServiceServer(s, backend{h: h})
	openmatch.RegisterFrontendServiceServer(s, frontend{h: h})
}

func (h *harness) registerFleet(s *grpc.Server) {
	allocation.RegisterAllocationServiceServer(s, allocator{h: h})
	torikumiv1.RegisterGameServerServiceServer(s, gameServers{h: h})
}

func (h *harness) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	method := info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:]
	if err := h.ask(ctx, method, "before"); err != nil {
		return nil, err
	}
	resp, err := handle(ctx, req)
	if lost := h.ask(ctx, method, "after"); lost != nil {
		return nil, lost
	}
	return resp, err
}

func (h *harness) ask(ctx context.Context, method, phase string) error {
	h.mu.Lock()
	hook := h.hook
	h.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(ctx, method, phase)
}

// do runs f under the lock.
func (h *harness) do(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
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

func (h *harness) addTickets(n int) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for range n {
		id := fmt.Sprintf("ticket-%04d", len(h.tickets))
		h.tickets[id] = &ticket{Ticket: &openmatch.Ticket{Id: id, SearchFields: &openmatch.SearchFields{
			Tags: []string{"mode.session"}, StringArgs: map[string]string{"region": "eu"},
		}}}
		ids = append(ids, id)
	}
	return ids
}

func (h *harness) addServers(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for range n {
		h.addServer()
	}
}

// addServer needs the lock.
func (h *harness) addServer() {
	h.next++
	name := fmt.Sprintf("gs-%04d", h.next)
	h.servers[name] = &torikumiv1.GameServerInfo{
		Namespace: "default", Name: name, Uid: "uid-" + name, State: "Ready", Address: "192.0.2.1",
		Ports:      map[string]int32{"default": int32(7000 + h.next), "admin": 1},
		Labels:     map[string]string{contract.AllocatableLabel: "true"},
		CreateTime: timestamppb.New(time.Unix(int64(h.next), 0)),
	}
}

func (h *harness) assigned(ids ...string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, id := range ids {
		if t := h.tickets[id]; t != nil && t.GetAssignment() != nil {
			n++
		}
	}
	return n
}

func (h *harness) inState(state string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.servers {
		if s.GetState() == state {
			n++
		}
	}
	return n
}

// check looks at the promises: no ticket was ever sent to two servers, no
// server has players of two matches, and no match has two live servers.
func (h *harness) check(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	matchOf := make(map[string]string)
	for id, tk := range h.tickets {
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
	for name, s := range h.servers {
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

func (h *harness) server(name string) *torikumiv1.GameServerInfo {
	return proto.CloneOf(h.servers[name])
}

type backend struct {
	openmatch.UnimplementedBackendServiceServer
	h *harness
}

func matchID(ids []string) string {
	sum := sha256.Sum256([]byte(strings.Join(ids, "|")))
	return "session:" + hex.EncodeToString(sum[:8])
}

func (b backend) FetchMatches(req *openmatch.FetchMatchesRequest, stream grpc.ServerStreamingServer[openmatch.FetchMatchesResponse]) error {
	if err := b.h.ask(stream.Context(), "FetchMatches", "before"); err != nil {
		return err
	}
	b.h.do(func() { b.h.profiles[req.GetProfile().GetName()] = req.GetProfile() })
	a := b.h.propose(stream.Context(), req.GetProfile().GetName())
	for _, m := range a.matches {
		if err := stream.Send(&openmatch.FetchMatchesResponse{Match: m}); err != nil {
			return err
		}
	}
	if err := b.h.ask(stream.Context(), "FetchMatches", "after"); err != nil {
		return err
	}
	return a.err
}

// propose makes the matches of one fetch and puts their tickets on hold: none if
// nobody is there to hear of them.
func (h *harness) propose(ctx context.Context, profile string) answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return answer{err: status.FromContextError(err).Err()}
	}
	h.fetches[profile]++
	if profile != "session" {
		return answer{}
	}
	if len(h.script) > 0 {
		a := h.script[0]
		h.script = h.script[1:]
		return a
	}
	now := time.Now()
	var a answer
	var pair []string
	for _, id := range slices.Sorted(maps.Keys(h.tickets)) {
		if t := h.tickets[id]; t.GetAssignment() != nil || now.Before(t.pendingUntil) {
			continue
		}
		if pair = append(pair, id); len(pair) == 2 {
			a.matches = append(a.matches, h.match(pair, now))
			pair = nil
		}
	}
	return a
}

// match needs the lock.
func (h *harness) match(ids []string, now time.Time) *openmatch.Match {
	m := &openmatch.Match{MatchId: matchID(ids), MatchProfile: "session"}
	for _, id := range ids {
		h.tickets[id].pendingUntil = now.Add(h.pending)
		m.Tickets = append(m.Tickets, h.tickets[id].Ticket)
	}
	if h.least > 0 {
		if err := contract.Put(&m.Extensions, contract.MatchExtension, &torikumiv1.MatchDetails{MinPlayers: h.least}); err != nil {
			panic(err)
		}
	}
	h.proposed[m.GetMatchId()]++
	return proto.CloneOf(m)
}

func (b backend) AssignTickets(_ context.Context, req *openmatch.AssignTicketsRequest) (*openmatch.AssignTicketsResponse, error) {
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	resp := new(openmatch.AssignTicketsResponse)
	for _, g := range req.GetAssignments() {
		for _, id := range g.GetTicketIds() {
			t := b.h.tickets[id]
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
	b.h.mu.Lock()
	defer b.h.mu.Unlock()
	b.h.released = append(b.h.released, req.GetTicketIds())
	for _, id := range req.GetTicketIds() {
		if t := b.h.tickets[id]; t != nil {
			t.pendingUntil = time.Time{}
		}
	}
	return new(openmatch.ReleaseTicketsResponse), nil
}

type frontend struct {
	openmatch.UnimplementedFrontendServiceServer
	h *harness
}

func (f frontend) GetTicket(_ context.Context, req *openmatch.GetTicketRequest) (*openmatch.Ticket, error) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	t := f.h.tickets[req.GetTicketId()]
	if t == nil {
		return nil, status.Error(codes.NotFound, "no such ticket")
	}
	return proto.CloneOf(t.Ticket), nil
}

func (f frontend) CreateBackfill(_ context.Context, req *openmatch.CreateBackfillRequest) (*openmatch.Backfill, error) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	b := proto.CloneOf(req.GetBackfill())
	b.Id = fmt.Sprint("backfill-", len(f.h.backfills))
	f.h.backfills[b.GetId()] = b
	return b, nil
}

type allocator struct {
	allocation.UnimplementedAllocationServiceServer
	h *harness
}

func carries(have, want map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return true
}

// Allocate gives nothing to who has given up waiting: on a busy machine that may be
// long ago, and the match have another server.
func (a allocator) Allocate(ctx context.Context, req *allocation.AllocationRequest) (*allocation.AllocationResponse, error) {
	h := a.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	h.allocs = append(h.allocs, req)
	for _, name := range slices.Sorted(maps.Keys(h.servers)) {
		s := h.servers[name]
		if s.GetState() != "Ready" || s.GetNamespace() != req.GetNamespace() || !carries(s.GetLabels(), req.GetGameServerSelectors()[0].GetMatchLabels()) {
			continue
		}
		s.State = "Allocated"
		maps.Copy(s.Labels, req.GetMetadata().GetLabels())
		s.Annotations = req.GetMetadata().GetAnnotations()
		label := s.GetLabels()[contract.MatchLabel]
		h.stamped[label] = append(h.stamped[label], name)
		resp := &allocation.AllocationResponse{GameServerName: name, Address: s.GetAddress()}
		for _, a := range s.GetAddresses() {
			resp.Addresses = append(resp.Addresses, &allocation.AllocationResponse_GameServerStatusAddress{Type: a.GetType(), Address: a.GetAddress()})
		}
		if h.noAddress {
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
	h *harness
}

func (g gameServers) ListGameServers(_ context.Context, req *torikumiv1.ListGameServersRequest) (*torikumiv1.ListGameServersResponse, error) {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	resp := new(torikumiv1.ListGameServersResponse)
	for name, s := range g.h.servers {
		if s.GetNamespace() == req.GetNamespace() && carries(s.GetLabels(), req.GetMatchLabels()) {
			resp.GameServers = append(resp.GameServers, g.h.server(name))
		}
	}
	return resp, nil
}

func (g gameServers) DeleteGameServer(_ context.Context, req *torikumiv1.DeleteGameServerRequest) (*torikumiv1.DeleteGameServerResponse, error) {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	s := g.h.servers[req.GetName()]
	switch {
	case s == nil:
		return nil, status.Error(codes.NotFound, "no such game server")
	case s.GetUid() != req.GetUid():
		return nil, status.Error(codes.FailedPrecondition, "another uid")
	}
	delete(g.h.servers, req.GetName())
	g.h.deleted = append(g.h.deleted, req.GetName())
	g.h.addServer()
	return new(torikumiv1.DeleteGameServerResponse), nil
}

func (g gameServers) AnnotateGameServer(_ context.Context, req *torikumiv1.AnnotateGameServerRequest) (*torikumiv1.AnnotateGameServerResponse, error) {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	s := g.h.servers[req.GetName()]
	switch {
	case s == nil:
		return nil, status.Error(codes.NotFound, "no such game server")
	case s.GetUid() != req.GetUid():
		return nil, status.Error(codes.FailedPrecondition, "another uid")
	}
	maps.Copy(s.Annotations, req.GetAnnotations())
	return &torikumiv1.AnnotateGameServerResponse{GameServer: g.h.server(req.GetName())}, nil
}

func (g gameServers) ReviewToken(_ context.Context, req *torikumiv1.ReviewTokenRequest) (*torikumiv1.ReviewTokenResponse, error) {
	g.h.mu.Lock()
	defer g.h.mu.Unlock()
	name, ok := strings.CutPrefix(req.GetToken(), "token of ")
	if !ok || g.h.servers[name] == nil {
		return nil, status.Error(codes.Unauthenticated, "nobody's token")
	}
	return &torikumiv1.ReviewTokenResponse{Namespace: "default", Name: name}, nil
}
