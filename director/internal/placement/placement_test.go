package placement_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/director/internal/placement"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/claims"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is what one call brings.
type answer struct {
	// code is the call's error. notSent says that the call never arrives.
	code    codes.Code
	notSent bool
	// effect is an allocation's; server what it brings.
	effect call.Effect
	server servers.Server
	// list is what a list brings, ticket what a read brings.
	list   []servers.Server
	ticket *openmatch.Ticket
	// missing are tickets that an assignment does not find.
	missing []string
	err     error
}

// harness is all that a Placer calls. A call has the next of its answers, of which
// the last repeats; without any it succeeds.
type harness struct {
	openmatch.BackendServiceClient
	openmatch.FrontendServiceClient
	answers map[string][]answer
	// calls are the names of all calls; repeated ones stand once, with a "*".
	calls     []string
	announced []*torikumiv1.Announcement
	released  []string
	registry  *prometheus.Registry
}

func (h *harness) next(ctx context.Context, name string) (answer, error) {
	last := len(h.calls) - 1
	switch {
	case last >= 0 && strings.TrimSuffix(h.calls[last], "*") == name:
		h.calls[last] = name + "*"
	default:
		h.calls = append(h.calls, name)
	}
	if err := ctx.Err(); err != nil {
		return answer{effect: call.NotSent, notSent: true}, status.FromContextError(err).Err()
	}
	name, _, _ = strings.Cut(name, ":")
	if name == "find" {
		name = "list"
	}
	list := h.answers[name]
	if len(list) == 0 {
		return answer{}, nil
	}
	if len(list) > 1 {
		h.answers[name] = list[1:]
	}
	a := list[0]
	switch {
	case a.err != nil:
		return a, a.err
	case a.code != codes.OK || a.notSent:
		return a, status.Error(max(a.code, codes.Unknown), "so")
	}
	return a, nil
}

// arrive tells gRPC's caller that the call has got as far as a connection.
func arrive(a answer, opts []grpc.CallOption) {
	for _, o := range opts {
		if p, ok := o.(grpc.PeerCallOption); ok && !a.notSent {
			p.PeerAddr.Addr = new(net.TCPAddr)
		}
	}
}

func (h *harness) AssignTickets(ctx context.Context, req *openmatch.AssignTicketsRequest, opts ...grpc.CallOption) (*openmatch.AssignTicketsResponse, error) {
	name := "assign"
	if req.GetAssignments()[0].GetAssignment().GetConnection() == "" {
		name = "withdraw"
	}
	a, err := h.next(ctx, name)
	arrive(a, opts)
	if err != nil {
		return nil, err
	}
	resp := new(openmatch.AssignTicketsResponse)
	for _, id := range a.missing {
		resp.Failures = append(resp.Failures, &openmatch.AssignmentFailure{TicketId: id})
	}
	return resp, nil
}

func (h *harness) ReleaseTickets(ctx context.Context, req *openmatch.ReleaseTicketsRequest, opts ...grpc.CallOption) (*openmatch.ReleaseTicketsResponse, error) {
	h.released = req.GetTicketIds()
	a, err := h.next(ctx, "release")
	arrive(a, opts)
	return new(openmatch.ReleaseTicketsResponse), err
}

func (h *harness) GetTicket(ctx context.Context, _ *openmatch.GetTicketRequest, _ ...grpc.CallOption) (*openmatch.Ticket, error) {
	a, err := h.next(ctx, "read")
	return a.ticket, err
}

func (h *harness) Allocate(ctx context.Context, _ *match.Match, _ servers.Selector) (servers.Server, call.Effect, error) {
	a, err := h.next(ctx, "allocate")
	if a.effect != call.Done && err == nil {
		err = status.Error(codes.Unknown, a.effect.String())
	}
	if a.server.Name == "" {
		a.server = server("new")
	}
	return a.server, a.effect, err
}

func (h *harness) List(ctx context.Context, _ string, _ map[string]string) ([]servers.Server, error) {
	a, err := h.next(ctx, "list")
	return a.list, err
}

func (h *harness) Find(ctx context.Context, _, _ string) ([]servers.Server, error) {
	a, err := h.next(ctx, "find")
	return a.list, err
}

// Hold is noted only where the test has an answer to it.
func (h *harness) Annotate(_ context.Context, s servers.Server, _ map[string]string) (servers.Server, error) {
	return s, errors.New("nothing is annotated while a match is placed")
}

func (h *harness) Hold(ctx context.Context, _ servers.Server, _ servers.Selector) error {
	if len(h.answers["hold"]) == 0 {
		return nil
	}
	_, err := h.next(ctx, "hold")
	return err
}

func (h *harness) Delete(ctx context.Context, s servers.Server) error {
	_, err := h.next(ctx, "delete:"+s.Name)
	return err
}

func (h *harness) Acquire(ctx context.Context, m claims.Match) error {
	if m.Token == "" || len(m.Tickets) != 2 || m.Hold <= 0 || m.Keep < m.Hold+time.Minute {
		panic("bad claim")
	}
	_, err := h.next(ctx, "acquire")
	return err
}

func (h *harness) Confirm(ctx context.Context, _, connection string, d *torikumiv1.AssignmentDetails) error {
	if connection == "" || d.GetGameServer() == "" {
		panic("bad confirmation")
	}
	_, err := h.next(ctx, "confirm")
	return err
}

func (h *harness) MarkAssigned(ctx context.Context, _ string) error {
	_, err := h.next(ctx, "mark")
	return err
}

func (h *harness) Revoke(ctx context.Context, _ string) error {
	_, err := h.next(ctx, "revoke")
	return err
}

func (h *harness) Abandon(ctx context.Context, _ string) error {
	_, err := h.next(ctx, "abandon")
	return err
}

func (h *harness) Drop(ctx context.Context, _ string, _ []string) error {
	_, err := h.next(ctx, "drop")
	return err
}

func (h *harness) publish(a *torikumiv1.Announcement) {
	h.calls = append(h.calls, "announce")
	h.announced = append(h.announced, a)
}

// played is the match of all tests, of the tickets a and b.
func played() *match.Match {
	m, err := match.Parse("duel", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{{Id: "a"}, {Id: "b"}}})
	if err != nil {
		panic(err)
	}
	return m
}

// server is a server that carries the match; of several, the first by name is the
// oldest.
func server(name string, change ...func(*servers.Server)) servers.Server {
	roster, err := played().Roster(nil, nil, nil)
	if err != nil {
		panic(err)
	}
	s := servers.Server{
		Namespace: "n", Name: name, State: agones.Allocated, Address: "192.0.2.1", Ports: []servers.Port{{Name: "default", Number: 7000}},
		Labels: map[string]string{contract.MatchLabel: played().Label}, Annotations: map[string]string{contract.RosterAnnotation: roster},
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// assignedTo is a ticket that is assigned to a match on a server.
func assignedTo(label, server string) *openmatch.Ticket {
	a := new(openmatch.Assignment)
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, &torikumiv1.AssignmentDetails{MatchId: label, GameServer: server}); err != nil {
		panic(err)
	}
	return &openmatch.Ticket{Assignment: a}
}

func TestPlace(t *testing.T) {
	type answers = map[string][]answer
	unreachable := func(s *servers.Server) { s.Address = "" }
	lost := answer{code: codes.Unavailable}
	allocation := func(effects ...call.Effect) (list []answer) {
		for _, e := range effects {
			list = append(list, answer{effect: e})
		}
		return list
	}
	lists := func(all ...[]servers.Server) (list []answer) {
		for _, l := range all {
			list = append(list, answer{list: l})
		}
		return list
	}
	one, two := []servers.Server{server("x")}, []servers.Server{server("y"), server("x")}
	ours := []answer{{ticket: assignedTo(played().Label, "n/new")}}

	for _, c := range []struct {
		name    string
		answers answers
		// noList, noRead: the Placer has no such client.
		noList, noRead bool
		// stop: the director stops after this time, if it is not 0; over: the
		// match's time is over from the start; end: nothing may be called.
		stop      time.Duration
		over, end bool
		// least is the size of the smallest match.
		least int
		// claims: directors claim tickets.
		claims bool
		// own are the tickets that are released, if some.
		own   []string
		calls string
		want  placement.Outcome
	}{
		{name: "plain", calls: "find allocate assign announce", want: "assigned"},
		{name: "without list", noList: true, calls: "allocate assign announce", want: "assigned"},

		{name: "adopted", answers: answers{"list": lists(one)}, calls: "find assign announce", want: "assigned"},
		{name: "adopted of two", answers: answers{"list": lists(two)}, calls: "find assign announce list delete:y", want: "assigned"},
		{name: "adopted of two, one stays", answers: answers{"list": lists(two), "delete": {lost}},
			calls: "find assign announce list delete:y", want: "assigned"},
		{name: "adopted of two, list lost", answers: answers{"list": {{list: two}, lost}}, calls: "find assign announce list", want: "assigned"},
		{name: "adopted, given back before it is held", answers: answers{"list": lists(one), "hold": {{err: servers.ErrGone}}},
			calls: "find hold allocate assign announce", want: "assigned"},
		{name: "found, given back before it is held", answers: answers{"allocate": allocation(call.Unknown, call.Done), "list": lists(nil, one, nil), "hold": {{err: servers.ErrGone}}},
			calls: "find allocate list hold list allocate assign announce list", want: "assigned"},
		{name: "adopted unreachable", answers: answers{"list": lists([]servers.Server{server("x", unreachable)})},
			calls: "find list delete:x release", want: "released"},
		{name: "others' servers", answers: answers{"list": lists([]servers.Server{
			server("x", func(s *servers.Server) { s.State = "Ready" }),
			server("y", func(s *servers.Server) { s.Labels = nil }),
			server("z", func(s *servers.Server) { s.Annotations = nil }),
		})}, calls: "find allocate assign announce", want: "assigned"},
		{name: "first list lost", answers: answers{"list": {lost}}, calls: "find allocate assign announce", want: "assigned"},

		{name: "nothing ready for a while", answers: answers{"allocate": allocation(call.Busy, call.Busy, call.Done)},
			calls: "find allocate* assign announce", want: "assigned"},
		{name: "allocator not reached for a while", answers: answers{"allocate": allocation(call.NotSent, call.NotSent, call.Done)},
			calls: "find allocate* assign announce", want: "assigned"},
		{name: "nothing ready in time", answers: answers{"allocate": allocation(call.Busy)}, calls: "find allocate* release", want: "released"},
		{name: "allocation refused", answers: answers{"allocate": allocation(call.Refused)}, calls: "find allocate release", want: "released"},
		{name: "allocated unreachable", answers: answers{"allocate": {{server: server("new", unreachable)}}, "list": lists(nil, []servers.Server{server("new")}, nil)},
			calls: "find allocate list delete:new release", want: "released"},
		{name: "allocated unreachable, without list", noList: true, answers: answers{"allocate": {{server: server("new", unreachable)}}},
			calls: "allocate release", want: "released"},

		{name: "allocation lost and found", answers: answers{"allocate": allocation(call.Unknown), "list": lists(nil, one)},
			calls: "find allocate list assign announce list", want: "assigned"},
		{name: "allocation lost, nothing there", answers: answers{"allocate": allocation(call.Unknown, call.Done), "list": lists(nil)},
			calls: "find allocate list allocate assign announce list", want: "assigned"},
		{name: "allocation lost, has its effect late", answers: answers{"allocate": allocation(call.Unknown, call.Done), "list": lists(nil, nil, []servers.Server{server("late"), server("new")})},
			calls: "find allocate list allocate assign announce list delete:late", want: "assigned"},
		{name: "allocation lost, list lost for a while", answers: answers{"allocate": allocation(call.Unknown), "list": {{}, lost, lost, {list: one}}},
			calls: "find allocate list* assign announce list", want: "assigned"},
		{name: "allocation and list lost", answers: answers{"allocate": allocation(call.Unknown), "list": {lost}},
			calls: "find allocate list* release", want: "released"},
		{name: "allocation lost, without list", noList: true, answers: answers{"allocate": allocation(call.Unknown)},
			calls: "allocate release", want: "released"},

		{name: "assignment refused", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": lists(nil, one)},
			calls: "find allocate assign list delete:x release", want: "released"},
		{name: "assignment lost for a while", answers: answers{"assign": {lost, lost, {}}}, calls: "find allocate assign* announce", want: "assigned"},
		{name: "assignment never arrives", answers: answers{"assign": {{notSent: true}}, "list": lists(nil, one)},
			calls: "find allocate assign* list delete:x release", want: "released"},
		{name: "one ticket missing", answers: answers{"assign": {{missing: []string{"b", "other"}}}}, calls: "find allocate assign announce", want: "assigned"},
		{name: "one ticket missing, enough left", least: 1, answers: answers{"assign": {{missing: []string{"b"}}}},
			calls: "find allocate assign announce", want: "assigned"},
		{name: "too few left", least: 2, answers: answers{"assign": {{missing: []string{"b"}}}},
			calls: "find allocate assign withdraw announce", want: "withdrawn"},
		{name: "too few from the start", least: 3, calls: "find allocate assign announce", want: "assigned"},
		{name: "too few left, withdrawal lost for a while", least: 2, answers: answers{"assign": {{missing: []string{"b"}}}, "withdraw": {lost, lost, {}}},
			calls: "find allocate assign withdraw* announce", want: "withdrawn"},
		{name: "too few left, withdrawal lost", least: 2, answers: answers{"assign": {{missing: []string{"b"}}}, "withdraw": {lost}},
			calls: "find allocate assign withdraw* announce", want: "withdrawn"},
		{name: "too few left, a second server", least: 2, answers: answers{"assign": {{missing: []string{"b"}}}, "list": lists(two)},
			calls: "find assign withdraw announce list delete:y", want: "withdrawn"},
		{name: "too few left, after an answer was lost", least: 2, answers: answers{"assign": {lost, {missing: []string{"b"}}}},
			calls: "find allocate assign* withdraw announce", want: "withdrawn"},
		{name: "all tickets missing", answers: answers{"assign": {{missing: []string{"a", "b"}}}, "list": lists(nil, one)},
			calls: "find allocate assign list delete:x", want: "abandoned"},
		{name: "all tickets missing, without list", noList: true, answers: answers{"assign": {{missing: []string{"a", "b"}}}},
			calls: "allocate assign", want: "abandoned"},

		{name: "assignment lost, read", answers: answers{"assign": {lost}, "read": ours}, calls: "find allocate assign* read* announce", want: "assigned"},
		{name: "assignment lost, read later", answers: answers{"assign": {lost}, "read": {lost, {code: codes.NotFound}, ours[0]}},
			calls: "find allocate assign* read* announce", want: "assigned"},
		{name: "assignment lost, one read fails", answers: answers{"assign": {lost}, "read": {ours[0], lost}},
			calls: "find allocate assign* read* announce", want: "assigned"},
		{name: "assignment lost, another's", answers: answers{"assign": {lost}, "read": {{ticket: assignedTo(played().Label, "n/x")}, {ticket: assignedTo("m-x", "n/new")}}},
			calls: "find allocate assign* read*", want: "unknown"},
		{name: "assignment lost, tickets gone", answers: answers{"assign": {lost}, "read": {{code: codes.NotFound}}},
			calls: "find allocate assign* read*", want: "unknown"},
		{name: "assignment and reads lost", answers: answers{"assign": {lost}, "read": {lost}}, calls: "find allocate assign* read*", want: "unknown"},
		{name: "assignment lost, without reads", noRead: true, answers: answers{"assign": {lost}}, calls: "find allocate assign*", want: "unknown"},
		{name: "assignment lost, then refused", answers: answers{"assign": {lost, {code: codes.InvalidArgument}}, "read": ours},
			calls: "find allocate assign* read* announce", want: "assigned"},
		{name: "assignment lost, then no ticket", answers: answers{"assign": {lost, {missing: []string{"a", "b"}}}, "read": {{code: codes.NotFound}}},
			calls: "find allocate assign* read*", want: "unknown"},

		{name: "deletion lost for a while", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": lists(nil, one), "delete": {lost, {}}},
			calls: "find allocate assign list delete:x list delete:x release", want: "released"},
		{name: "deletion lost, server gone", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": lists(nil, one, nil), "delete": {lost}},
			calls: "find allocate assign list delete:x list release", want: "released"},
		{name: "deletion of what has ended", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": lists(nil, one), "delete": {{err: servers.ErrGone}}},
			calls: "find allocate assign list delete:x release", want: "released"},
		{name: "deletion of what has changed", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": lists(nil, one), "delete": {{err: servers.ErrChanged}, {}}},
			calls: "find allocate assign list delete:x list delete:x release", want: "released"},
		{name: "allocation lost, found in a part of the list", answers: answers{"allocate": allocation(call.Unknown), "list": {{}, {list: one, code: codes.Unavailable}}},
			calls: "find allocate list assign announce list", want: "assigned"},
		{name: "deletion of a part of the list", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": {{}, {list: one, code: codes.Unavailable}, {}}},
			calls: "find allocate assign list delete:x list release", want: "released"},
		{name: "an extra server in another cluster", answers: answers{"allocate": {{effect: call.Unknown}, {}}, "list": lists(nil, nil, []servers.Server{server("new"), server("new", func(s *servers.Server) { s.Cluster = "other" })})},
			calls: "find allocate list allocate assign announce list delete:new", want: "assigned"},
		{name: "deletion lost, then the list", answers: answers{"assign": {{code: codes.PermissionDenied}}, "list": {{}, {list: one}, lost}, "delete": {lost}},
			calls: "find allocate assign list delete:x list*", want: "pending"},

		{name: "release refused", answers: answers{"allocate": allocation(call.Refused), "release": {{code: codes.PermissionDenied}}},
			calls: "find allocate release", want: "pending"},
		{name: "release lost", answers: answers{"allocate": allocation(call.Refused), "release": {lost}}, calls: "find allocate release", want: "pending"},
		{name: "release not sent for a while", answers: answers{"allocate": allocation(call.Refused), "release": {{notSent: true}, {notSent: true}, {}}},
			calls: "find allocate release*", want: "released"},
		{name: "release never sent", answers: answers{"allocate": allocation(call.Refused), "release": {{notSent: true}}},
			calls: "find allocate release*", want: "pending"},

		{name: "stopping, nothing ready", stop: time.Second, answers: answers{"allocate": allocation(call.Busy)}, calls: "find allocate* release", want: "released"},
		{name: "stopping, with a server", stop: time.Millisecond, answers: answers{"assign": {lost, lost, lost, {}}}, calls: "find allocate assign* announce", want: "assigned"},
		{name: "claimed", claims: true, calls: "acquire find allocate confirm assign announce mark", want: "assigned"},
		{name: "claims lost for a while", claims: true, answers: answers{"acquire": {lost, lost, {}}, "confirm": {lost, {}}, "mark": {lost}},
			calls: "acquire* find allocate confirm* assign announce mark", want: "assigned"},
		{name: "claims lost", claims: true, answers: answers{"acquire": {lost}}, calls: "acquire*", want: "pending"},
		{name: "one ticket is another's", claims: true, own: []string{"b"}, answers: answers{"acquire": {{err: &claims.TakenError{Tickets: []string{"a"}, Wait: time.Minute}}}},
			calls: "acquire release", want: "released"},
		{name: "all tickets are another's", claims: true, answers: answers{"acquire": {{err: &claims.TakenError{Tickets: []string{"a", "b"}, Wait: -1}}}},
			calls: "acquire", want: "released"},
		{name: "another's for a moment", claims: true, answers: answers{"acquire": {{err: &claims.TakenError{Tickets: []string{"a"}, Wait: time.Millisecond}}, {}}},
			calls: "acquire* find allocate confirm assign announce mark", want: "assigned"},
		{name: "taken over before it is known to be claimed", claims: true, answers: answers{"acquire": {lost, {err: claims.ErrRevoked}}}, calls: "acquire*", want: "released"},
		{name: "taken over", claims: true, answers: answers{"confirm": {{err: claims.ErrRevoked}}}, calls: "acquire find allocate confirm", want: "superseded"},
		{name: "taken over after an answer was lost", claims: true, answers: answers{"assign": {lost}, "confirm": {{}, {err: claims.ErrRevoked}}},
			calls: "acquire find allocate confirm assign confirm", want: "superseded"},
		{name: "claims come back empty", claims: true, answers: answers{"confirm": {{err: claims.ErrGone}, {}}},
			calls: "acquire find allocate confirm acquire confirm assign announce mark", want: "assigned"},
		{name: "claims come back empty, and another was quicker", claims: true,
			answers: answers{"confirm": {{err: claims.ErrGone}, {}}, "acquire": {{}, {err: &claims.TakenError{Tickets: []string{"a"}, Wait: time.Minute}}}},
			calls:   "acquire find allocate confirm acquire", want: "superseded"},
		{name: "claims lost with a server", claims: true, answers: answers{"confirm": {lost}, "list": lists(nil, one)},
			calls: "acquire find allocate confirm* abandon list delete:x drop release", want: "released"},
		{name: "claims lost, and a frontend has delivered the match", claims: true, answers: answers{"confirm": {lost}, "abandon": {{err: claims.ErrAssigned}}},
			calls: "acquire find allocate confirm* abandon", want: "pending"},
		{name: "claims lost with a server, and empty later", claims: true, answers: answers{"confirm": {lost}, "abandon": {lost, {err: claims.ErrGone}}, "list": lists(nil, one)},
			calls: "acquire find allocate confirm* abandon* list delete:x drop release", want: "released"},
		{name: "claims lost for good", claims: true, answers: answers{"confirm": {lost}, "abandon": {lost}},
			calls: "acquire find allocate confirm* abandon*", want: "pending"},
		{name: "confirmed, none of the tickets is there", claims: true, answers: answers{"assign": {{missing: []string{"a", "b"}}}, "list": lists(nil, one)},
			calls: "acquire find allocate confirm assign abandon list delete:x", want: "abandoned"},
		{name: "claimed, nothing ready", claims: true, answers: answers{"allocate": allocation(call.Refused)}, calls: "acquire find allocate drop release", want: "released"},
		{name: "claimed, drop lost", claims: true, answers: answers{"allocate": allocation(call.Refused), "drop": {lost}}, calls: "acquire find allocate drop", want: "pending"},
		{name: "claimed, too few left", claims: true, least: 2, answers: answers{"assign": {{missing: []string{"b"}}}},
			calls: "acquire find allocate confirm assign revoke withdraw announce", want: "withdrawn"},
		{name: "no time", over: true, calls: "release", want: "released"},
		{name: "no time for anything", over: true, end: true, want: "pending"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &harness{answers: c.answers, registry: prometheus.NewRegistry()}
				stopping := make(chan struct{})
				var log bytes.Buffer
				o := placement.Options{
					Backend: h, Allocator: h, GameServers: h, Tickets: h, Publish: h.publish,
					Stopping: stopping, Registry: h.registry, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
				}
				if c.claims {
					o.Claims = h
				}
				if c.noList {
					o.GameServers = nil
				}
				if c.noRead {
					o.Tickets = nil
				}
				work, endWork := context.WithTimeout(t.Context(), 30*time.Second)
				defer endWork()
				cleanup, endCleanup := context.WithTimeout(t.Context(), time.Minute)
				defer endCleanup()
				if c.stop > 0 {
					time.AfterFunc(c.stop, func() { close(stopping) })
				}
				if c.over {
					endWork()
				}
				if c.end {
					endCleanup()
				}
				start := time.Now()
				releasing := false
				got := placement.New(o).Place(work, cleanup, placement.Job{Match: played(), MinPlayers: c.least, ReleaseBy: start.Add(time.Minute), Releasing: func() {
					releasing = !slices.ContainsFunc(h.calls, func(s string) bool { return strings.HasPrefix(s, "release") })
				}})
				calls := strings.Join(h.calls, " ")
				if got != c.want || calls != c.calls {
					t.Errorf("%s after %q, want %s after %q", got, calls, c.want, c.calls)
				}
				if c.want == "withdrawn" && (len(h.announced) != 1 || h.announced[0].GetConnection() != "" || !slices.Equal(h.announced[0].GetTicketIds(), []string{"a"})) {
					t.Errorf("announced %v, want that the ticket a is withdrawn", h.announced)
				}
				checkLog(t, log.String(), got, calls, causes[c.name])
				if c.own != nil && !slices.Equal(h.released, c.own) {
					t.Errorf("released %q, want %q", h.released, c.own)
				}
				if strings.Contains(calls, "release") && !releasing {
					t.Error("released without notice")
				}
				if took := time.Since(start); took > 41*time.Second || c.stop > 0 && took > 6*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// causes are why matches of TestPlace are given up, for some of its cases.
var causes = map[string]placement.Cause{
	"release lost": placement.CauseAllocation, "stopping, nothing ready": placement.CauseStopping, "claims lost": placement.CauseTimeout,
	"one ticket is another's": placement.CauseClaimed, "claims lost with a server": placement.CauseTimeout, "no time": placement.CauseTimeout,
}

// checkLog: of a match that is not played one line says what and why, with its tickets
// and its game server.
func checkLog(t *testing.T, text string, o placement.Outcome, calls string, want placement.Cause) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, `"tickets":["a","b"]`) && strings.Contains(line, `"match":"`) && strings.Contains(line, `"gameserver":"`) {
			lines = append(lines, line)
		}
	}
	switch o {
	case placement.OutcomeAssigned, placement.OutcomeAbandoned:
		if len(lines) > 1 {
			t.Errorf("%s: logged %q", o, lines)
		}
		return
	}
	if len(lines) != 1 {
		t.Fatalf("%s: %d lines in\n%s", o, len(lines), text)
	}
	if strings.Contains(calls, "assign") && !strings.Contains(lines[0], `"gameserver":"n/`) {
		t.Errorf("%s names no game server: %s", o, lines[0])
	}
	if given := o == placement.OutcomeReleased || o == placement.OutcomePending; given && !strings.Contains(lines[0], `"cause":"`+string(want)) {
		t.Errorf("%s: want cause %q in %s", o, want, lines[0])
	}
}
