package frontend_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// host is a gRPC server that can go away and come back at the same address.
type host struct {
	t        testing.TB
	register func(grpc.ServiceRegistrar)
	options  []grpc.ServerOption
	addr     string
	server   *grpc.Server
	served   chan struct{}
}

func newHost(t testing.TB, register func(grpc.ServiceRegistrar), options ...grpc.ServerOption) *host {
	h := &host{t: t, register: register, options: options, addr: porttest.Hold(t).String()}
	h.up()
	t.Cleanup(h.down)
	return h
}

func (h *host) up() {
	h.t.Helper()
	lis, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	// As ours allow it.
	pings := grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true})
	server, served := grpc.NewServer(append(h.options, pings)...), make(chan struct{})
	h.server, h.served = server, served
	h.register(server)
	go func() { defer close(served); _ = server.Serve(lis) }()
}

func (h *host) down() {
	if h.server != nil {
		h.server.Stop()
		<-h.served
		h.server = nil
	}
}

// openMatch is the part of Open Match's frontend that we use, in memory.
type openMatch struct {
	openmatch.UnimplementedFrontendServiceServer
	*host

	mu      sync.Mutex
	next    int
	tickets map[string]*openmatch.Ticket
	created map[string]int // by our ticket's id
	deleted map[string]bool
	// beforeReply runs when a ticket stands but its maker does not know yet.
	beforeReply func(*openmatch.Ticket)
	refuse      error
	loseReplies bool
	reads       atomic.Int64
}

func newOpenMatch(t testing.TB) *openMatch {
	o := &openMatch{created: map[string]int{}}
	o.lose()
	o.host = newHost(t, func(r grpc.ServiceRegistrar) { openmatch.RegisterFrontendServiceServer(r, o) })
	return o
}

// lose forgets everything, like a restart in memory.
func (o *openMatch) lose() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tickets, o.deleted = map[string]*openmatch.Ticket{}, map[string]bool{}
}

func (o *openMatch) setRefuse(err error) { o.mu.Lock(); o.refuse = err; o.mu.Unlock() }

func (o *openMatch) setLoseReplies(v bool) { o.mu.Lock(); o.loseReplies = v; o.mu.Unlock() }

func (o *openMatch) setBeforeReply(f func(*openmatch.Ticket)) {
	o.mu.Lock()
	o.beforeReply = f
	o.mu.Unlock()
}

func (o *openMatch) CreateTicket(_ context.Context, req *openmatch.CreateTicketRequest) (*openmatch.Ticket, error) {
	o.mu.Lock()
	if o.refuse != nil {
		defer o.mu.Unlock()
		return nil, o.refuse
	}
	o.next++
	t := proto.CloneOf(req.GetTicket())
	t.Id = fmt.Sprintf("om-%d", o.next)
	o.tickets[t.GetId()] = t
	o.created[frontendID(t)]++
	hook, lost := o.beforeReply, o.loseReplies
	o.mu.Unlock()
	if lost {
		return nil, status.Error(codes.Unavailable, "connection reset")
	}
	if hook != nil {
		hook(t)
	}
	return t, nil
}

func (o *openMatch) GetTicket(_ context.Context, req *openmatch.GetTicketRequest) (*openmatch.Ticket, error) {
	o.reads.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	t, ok := o.tickets[req.GetTicketId()]
	if !ok {
		return nil, status.Error(codes.NotFound, "no ticket")
	}
	return proto.CloneOf(t), nil
}

func (o *openMatch) DeleteTicket(_ context.Context, req *openmatch.DeleteTicketRequest) (*emptypb.Empty, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.tickets, req.GetTicketId())
	o.deleted[req.GetTicketId()] = true
	return &emptypb.Empty{}, nil
}

// frontendID is our id of an Open Match ticket.
func frontendID(t *openmatch.Ticket) string {
	d, err := contract.TicketDetails(t)
	if err != nil {
		return ""
	}
	return d.GetFrontendTicketId()
}

// find returns the tickets that stand for one of ours.
func (o *openMatch) find(id string) []*openmatch.Ticket {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []*openmatch.Ticket
	for _, t := range o.tickets {
		if frontendID(t) == id {
			found = append(found, proto.CloneOf(t))
		}
	}
	return found
}

// has reports whether a ticket is there.
func (o *openMatch) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tickets[id] != nil
}

func (o *openMatch) count() int { o.mu.Lock(); defer o.mu.Unlock(); return len(o.tickets) }

// one returns the only ticket that stands for one of ours.
func (o *openMatch) one(t testing.TB, id string) *openmatch.Ticket {
	t.Helper()
	found := o.find(id)
	if len(found) != 1 {
		t.Fatalf("%d tickets in Open Match for %q, want 1", len(found), id)
	}
	return found[0]
}

// assign stores an assignment as AssignTickets does.
func (o *openMatch) assign(id string, a *openmatch.Assignment) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if t, ok := o.tickets[id]; ok {
		t.Assignment = a
	}
}

// director announces, and says who plays.
type director struct {
	torikumiv1.UnimplementedAnnouncementServiceServer
	torikumiv1.UnimplementedMatchServiceServer
	torikumiv1.UnimplementedAcceptanceServiceServer
	*host
	mu          sync.Mutex
	subscribers map[chan *torikumiv1.Announcement]bool
	// lives says which matches do; a director that knows none when nil.
	lives map[string]bool
	asked []*torikumiv1.GetMatchRequest
	// answers are those to proposals, by proposal and ticket; onAnswer is called with each.
	answers  map[[2]string]bool
	onAnswer func(*torikumiv1.ProposalAnswer)
}

func newDirector(t testing.TB) *director {
	d := &director{subscribers: map[chan *torikumiv1.Announcement]bool{}, answers: map[[2]string]bool{}}
	d.host = newHost(t, func(r grpc.ServiceRegistrar) {
		torikumiv1.RegisterAnnouncementServiceServer(r, d)
		torikumiv1.RegisterMatchServiceServer(r, d)
		torikumiv1.RegisterAcceptanceServiceServer(r, d)
	}, grpc.WaitForHandlers(true)) // count has nobody whom a director before has left
	return d
}

// setLives says which matches live; of all others it says that they do not.
func (d *director) setLives(matches ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lives = map[string]bool{}
	for _, m := range matches {
		d.lives[m] = true
	}
}

func (d *director) GetMatch(_ context.Context, req *torikumiv1.GetMatchRequest) (*torikumiv1.GetMatchResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, req)
	if d.lives == nil {
		return nil, status.Error(codes.FailedPrecondition, "does not know")
	}
	return &torikumiv1.GetMatchResponse{Playing: d.lives[req.GetMatchId()]}, nil
}

func (d *director) Answer(_ context.Context, req *torikumiv1.AnswerRequest) (*torikumiv1.AnswerResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range req.GetAnswers() {
		d.answers[[2]string{a.GetProposalId(), a.GetTicketId()}] = a.GetAccepted()
		if d.onAnswer != nil {
			d.onAnswer(a)
		}
	}
	return new(torikumiv1.AnswerResponse), nil
}

// hears waits for the answer of a ticket to a proposal.
func (d *director) hears(t *testing.T, proposal, ticket string, accepted bool) {
	t.Helper()
	eventually.True(t, "the director hears "+ticket, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		got, ok := d.answers[[2]string{proposal, ticket}]
		return ok && got == accepted
	})
}

func (d *director) Subscribe(_ *torikumiv1.SubscribeRequest, out grpc.ServerStreamingServer[torikumiv1.Announcement]) error {
	ch := make(chan *torikumiv1.Announcement, 1024)
	d.mu.Lock()
	d.subscribers[ch] = true
	d.mu.Unlock()
	defer func() { d.mu.Lock(); delete(d.subscribers, ch); d.mu.Unlock() }()
	if err := out.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for {
		select {
		case a := <-ch:
			if err := out.Send(a); err != nil {
				return err
			}
		case <-out.Context().Done():
			return nil
		}
	}
}

func (d *director) count() int { d.mu.Lock(); defer d.mu.Unlock(); return len(d.subscribers) }

func (d *director) announce(a *torikumiv1.Announcement) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ch := range d.subscribers {
		ch <- a
	}
}

// announcement is a match of some tickets on game server games/arena-1.
func announcement(teams []*torikumiv1.Team, omIDs ...string) *torikumiv1.Announcement {
	return &torikumiv1.Announcement{TicketIds: omIDs, Connection: "10.0.0.7:7001", Details: &torikumiv1.AssignmentDetails{
		MatchId: "m-1", GameServer: "games/arena-1", Address: "10.0.0.7", Port: 7001, Queue: "squad",
		Ports: map[string]int32{"game": 7001, "voice": 7002}, Teams: teams,
	}}
}

// assignment is what the same match looks like in Open Match.
func assignment(t testing.TB, a *torikumiv1.Announcement) *openmatch.Assignment {
	t.Helper()
	out := &openmatch.Assignment{Connection: a.GetConnection()}
	if err := contract.Put(&out.Extensions, contract.AssignmentExtension, a.GetDetails()); err != nil {
		t.Fatal(err)
	}
	return out
}
