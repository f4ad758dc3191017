package backfill_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc/metadata"

	"torikumi/director/internal/backfill"
	"torikumi/director/internal/review"
	"torikumi/director/internal/servers"
	"torikumi/evaluator/evaluator"
	"torikumi/matchfunction/matchfunction"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/agones"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// duel is the file of the queues.
const duel = "queues: [{name: duel, rule_set: duel.json, backfill: {automatic: true}}]"

// rules are those of the queue "duel": two teams of up to two whose skill lies close
// together. Who searches in these tests finds no match without one who plays.
const rules = `{
  "name": "duel", "ruleLanguageVersion": "1.0",
  "playerAttributes": [{"name": "skill", "type": "number", "default": 1000}, {"name": "first", "type": "number", "default": 0}],
  "teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 2}, {"name": "blue", "minPlayers": 1, "maxPlayers": 2}],
  "rules": [{"name": "First", "type": "comparison", "measurements": ["max(flatten(teams[*].players.attributes[first]))"], "referenceValue": 1, "operation": "="},
    {"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100}]
}`

// fixed is a queues.Source that does not change.
type fixed struct{ set *queues.Set }

func (f fixed) Current() *queues.Set     { return f.set }
func (f fixed) Changed() <-chan struct{} { return nil }

// launch runs a service of ours until the test ends, and returns its gRPC address.
func launch[C any](t testing.TB, start func(context.Context, *C, func(service.Addrs)) error, change func(*C)) string {
	t.Helper()
	return launchAll(t, start, change).GRPC
}

// launchAll returns all addresses.
func launchAll[C any](t testing.TB, start func(context.Context, *C, func(service.Addrs)) error, change func(*C)) service.Addrs {
	t.Helper()
	cfg := new(C)
	config.Default(cfg)
	change(cfg)
	if err := config.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	addrs, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() {
		done <- start(ctx, cfg, func(a service.Addrs) { addrs <- a })
		close(addrs)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	a, ok := <-addrs
	if !ok {
		t.FailNow()
	}
	return a
}

// harness is minimatch with our match function and evaluator, and game servers in memory.
type harness struct {
	*testing.T
	fleet    *fleet
	set      *queues.Set
	frontend openmatch.FrontendServiceClient
	backend  openmatch.BackendServiceClient
	query    openmatch.QueryServiceClient
	function *openmatch.FunctionConfig
	// openMatch is minimatch's address.
	openMatch string
	pending   time.Duration
	claims    backfill.Claims

	mu        sync.Mutex
	announced []*torikumiv1.Announcement
	players   map[string]*torikumiv1.Player
}

func newHarness(t *testing.T, pending time.Duration) *harness {
	t.Helper()
	set, err := queues.ParseFS([]byte(duel), fstest.MapFS{"duel.json": {Data: []byte(rules)}})
	if err != nil {
		t.Fatal(err)
	}
	quiet := service.Config{LogLevel: slog.LevelError, LogFormat: "text", ShutdownTimeout: time.Second}
	chooser := launch(t, evaluator.Run, func(c *evaluator.Config) {
		c.Config, c.GRPCListen, c.HTTPListen = quiet, "127.0.0.1:0", "127.0.0.1:0"
	})
	addr := launch(t, minimatch.Run, func(c *minimatch.Config) {
		c.Config, c.GRPCListen, c.HTTPListen, c.Evaluator, c.PendingReleaseTimeout = quiet, "127.0.0.1:0", "127.0.0.1:0", chooser, pending
		c.RegistrationInterval = 10 * time.Millisecond
	})
	function := launch(t, matchfunction.Run, func(c *matchfunction.Config) {
		c.Config, c.GRPCListen, c.HTTPListen, c.Query = quiet, "127.0.0.1:0", "127.0.0.1:0", addr
	})
	conn, err := rpc.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	host, port, err := net.SplitHostPort(function)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return &harness{
		T: t, openMatch: addr, fleet: &fleet{servers: make(map[string]servers.Server)}, set: set, pending: pending,
		frontend: openmatch.NewFrontendServiceClient(conn), backend: openmatch.NewBackendServiceClient(conn), query: openmatch.NewQueryServiceClient(conn),
		function: &openmatch.FunctionConfig{Host: host, Port: int32(n), Type: openmatch.FunctionConfig_GRPC}, players: make(map[string]*torikumiv1.Player),
	}
}

// director is one that can be killed.
type director struct {
	*backfill.Filler
	*killer
}

// director starts a director that dies at a call.
func (h *harness) director(at string) director {
	k := &killer{at: at}
	o := backfill.Options{
		Frontend: frontend{h.frontend, k}, Backend: backend{h.backend, k}, GameServers: gameServers{h.fleet, k}, Queues: fixed{h.set},
		Reviewer: reviewer{}, PendingRelease: h.pending, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		Publish: func(a *torikumiv1.Announcement) {
			if k.dead() {
				return
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, team := range a.GetDetails().GetTeams() {
				for _, m := range team.GetMembers() {
					if m.GetJoinTime() != nil {
						h.Errorf("frontends are told when %s joined", m.GetPlayerId())
					}
				}
			}
			h.announced = append(h.announced, a)
		},
	}
	if h.claims != nil {
		o.Claims = claimed{h.claims, k}
	}
	return director{backfill.New(o), k}
}

// match allocates a game server for a match of players, by team, and returns the label.
func (h *harness) match(name string, teams map[string][]string) string {
	h.Helper()
	r := &torikumiv1.Roster{OpenMatchId: "match of " + name, Queue: "duel", Backfill: h.set.Queues[0].Policy()}
	players := new(torikumiv1.RosterPlayers)
	for _, team := range slices.Sorted(maps.Keys(teams)) {
		t := &torikumiv1.Team{Name: team}
		for _, p := range teams[team] {
			t.Members = append(t.Members, &torikumiv1.TeamMember{PlayerId: p, TicketId: "first ticket of " + p})
			player := skilled(p, 1000)
			player.Attributes["first"] = &torikumiv1.Attribute{Value: &torikumiv1.Attribute_Number{Number: 1}}
			players.Players = append(players.Players, player)
		}
		r.Teams = append(r.Teams, t)
	}
	roster, err := contract.EncodeRoster(r)
	if err != nil {
		h.Fatal(err)
	}
	text, _, err := contract.EncodePlayers(players)
	if err != nil {
		h.Fatal(err)
	}
	label := contract.MatchLabelValue(r.GetOpenMatchId())
	h.fleet.put(servers.Server{
		Namespace: "games", Name: name, UID: "uid of " + name, State: agones.Allocated, Address: "192.0.2.1", Ports: []servers.Port{{Name: "default", Number: 7000}},
		Labels:      map[string]string{contract.MatchLabel: label},
		Annotations: map[string]string{contract.RosterAnnotation: roster, contract.PlayersAnnotation: text},
	})
	return label
}

func skilled(id string, skill float64) *torikumiv1.Player {
	return &torikumiv1.Player{Id: id, Attributes: map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: skill}}}}
}

// search has a player search, and returns the ticket.
func (h *harness) search(id string, skill float64) string {
	h.Helper()
	ticket := &openmatch.Ticket{SearchFields: &openmatch.SearchFields{Tags: []string{"mode.duel"}}}
	if err := contract.Put(&ticket.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{Queue: "duel", Players: []*torikumiv1.Player{skilled(id, skill)}}); err != nil {
		h.Fatal(err)
	}
	made, err := h.frontend.CreateTicket(h.Context(), &openmatch.CreateTicketRequest{Ticket: ticket})
	if err != nil {
		h.Fatal(err)
	}
	return made.GetId()
}

// fetch fetches matches of the queue, once.
func (h *harness) fetch() []*openmatch.Match {
	h.Helper()
	profile, err := h.set.Queues[0].Profile()
	if err != nil {
		h.Fatal(err)
	}
	stream, err := h.backend.FetchMatches(h.Context(), &openmatch.FetchMatchesRequest{Config: h.function, Profile: profile})
	if err != nil {
		h.Fatal(err)
	}
	var all []*openmatch.Match
	for {
		resp, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			h.Fatal(err)
		}
		all = append(all, resp.GetMatch())
	}
}

// fill is a call of the gate of a server that has seen all of the roster.
func (d director) fill(h *harness, name string, players ...string) (*torikumiv1.FillResponse, error) {
	h.Helper()
	return d.Fill(asGate(h.Context(), name), h.request(name, players...))
}

// request is what the gate of a server says that has seen all of the roster as it is now.
func (h *harness) request(name string, players ...string) *torikumiv1.FillRequest {
	h.Helper()
	r := h.roster(name)
	req := &torikumiv1.FillRequest{MatchId: h.fleet.get(name).Labels[contract.MatchLabel], Players: players}
	for _, t := range r.GetTeams() {
		for _, m := range t.GetMembers() {
			if at := m.GetJoinTime(); at != nil && (req.RosterJoinTime == nil || at.AsTime().After(req.RosterJoinTime.AsTime())) {
				req.RosterJoinTime = at
			}
		}
	}
	return req
}

// asGate is a call with the token of the gate of a server.
func asGate(ctx context.Context, name string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+name))
}

// reviewer takes the name of a server for its token.
type reviewer struct{}

func (reviewer) Review(_ context.Context, token string) (review.Identity, error) {
	if token == "nobody" {
		return review.Identity{}, review.ErrRefused
	}
	return review.Identity{Namespace: "games", Name: token}, nil
}

func (h *harness) roster(name string) *torikumiv1.Roster {
	h.Helper()
	r, err := contract.DecodeRoster(h.fleet.get(name).Annotations[contract.RosterAnnotation])
	if err != nil {
		h.Fatal(err)
	}
	return r
}

// members are those on the roster of a server, sorted.
func (h *harness) members(name string) []string {
	h.Helper()
	var all []string
	for _, t := range h.roster(name).GetTeams() {
		for _, m := range t.GetMembers() {
			all = append(all, m.GetPlayerId())
		}
	}
	slices.Sort(all)
	return all
}

// present are those on the roster whom the gate names: who was found and does not come
// has lost the place after a while.
func (h *harness) present(name string) []string {
	h.Helper()
	var all []string
	for _, t := range h.roster(name).GetTeams() {
		for _, m := range t.GetMembers() {
			late := m.GetJoinTime() != nil && time.Since(m.GetJoinTime().AsTime()) > 1500*time.Millisecond
			if late {
				server, _ := h.assignedTo(m.GetTicketId())
				late = server == ""
			}
			if !late {
				all = append(all, m.GetPlayerId())
			}
		}
	}
	return all
}

// backfill is the id of that of a server, empty if there is none.
func (h *harness) backfill(name string) string {
	return h.fleet.get(name).Annotations[contract.BackfillAnnotation]
}

// backfills counts those that Open Match has.
func (h *harness) backfills() int {
	h.Helper()
	stream, err := h.query.QueryBackfills(h.Context(), &openmatch.QueryBackfillsRequest{Pool: &openmatch.Pool{}})
	if err != nil {
		h.Fatal(err)
	}
	n := 0
	for {
		resp, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return n
		case err != nil:
			h.Fatal(err)
		}
		n += len(resp.GetBackfills())
	}
}

// assignedTo is the connection that a ticket has, and the server by its details.
func (h *harness) assignedTo(ticket string) (server string, d *torikumiv1.AssignmentDetails) {
	h.Helper()
	got, err := h.frontend.GetTicket(h.Context(), &openmatch.GetTicketRequest{TicketId: ticket})
	if err != nil {
		h.Fatal(err)
	}
	if got.GetAssignment() == nil {
		return "", nil
	}
	d = new(torikumiv1.AssignmentDetails)
	if err := contract.Get(got.GetAssignment().GetExtensions(), contract.AssignmentExtension, d); err != nil {
		h.Fatal(err)
	}
	return d.GetGameServer(), d
}

// told are the tickets that were announced, sorted.
func (h *harness) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, a := range h.announced {
		all = append(all, a.GetTicketIds()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// fleet is servers.GameServers in memory.
type fleet struct {
	mu      sync.Mutex
	servers map[string]servers.Server
	version int
}

func (f *fleet) put(s servers.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version++
	s.Version = fmt.Sprint(f.version)
	f.servers[s.Name] = s
}

func (f *fleet) get(name string) servers.Server {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.servers[name]
	s.Annotations = maps.Clone(s.Annotations)
	return s
}

func (f *fleet) end(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.servers, name)
}

func (f *fleet) list(namespace, match string) (list []servers.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.servers {
		if s.Namespace == namespace && s.Labels[contract.MatchLabel] == match {
			s.Annotations = maps.Clone(s.Annotations)
			list = append(list, s)
		}
	}
	return list
}

func (f *fleet) annotate(s servers.Server, set map[string]string) (servers.Server, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, ok := f.servers[s.Name]
	switch {
	case !ok:
		return now, servers.ErrGone
	case now.UID != s.UID || now.Version != s.Version:
		return now, servers.ErrChanged
	}
	now.Annotations = maps.Clone(now.Annotations)
	for k, v := range set {
		if v == "" {
			delete(now.Annotations, k)
		} else {
			now.Annotations[k] = v
		}
	}
	f.version++
	now.Version = fmt.Sprint(f.version)
	f.servers[s.Name] = now
	now.Annotations = maps.Clone(now.Annotations)
	return now, nil
}

// rename gives a server another match.
func (h *harness) rename(name, label string) {
	s := h.fleet.get(name)
	s.Labels = map[string]string{contract.MatchLabel: label}
	h.fleet.put(s)
}

// change changes the roster of a server.
func (h *harness) change(name string, change func(*torikumiv1.Roster)) {
	h.Helper()
	r := h.roster(name)
	change(r)
	text, err := contract.EncodeRoster(r)
	if err != nil {
		h.Fatal(err)
	}
	s := h.fleet.get(name)
	s.Annotations[contract.RosterAnnotation] = text
	h.fleet.put(s)
}

// touch changes a server as somebody else would.
func (f *fleet) touch(name string) {
	s := f.get(name)
	s.Annotations["other"] += "x"
	f.put(s)
}

func teams(red, blue string) map[string][]string {
	return map[string][]string{"red": strings.Fields(red), "blue": strings.Fields(blue)}
}
