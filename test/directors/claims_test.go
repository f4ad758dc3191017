//go:build linux

package directors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	"torikumi/local/suite"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// player is one of a ticket.
type player struct {
	h        *harness
	id       string
	frontend string // its URL
	ticket   string
}

// playerTicket is what a player reads of a ticket.
type playerTicket struct {
	ID, State, Reason string
	CreateTime        string `json:"create_time"`
	Server            struct{ Connection string }
	Party             struct{ Code string }
	Acceptance        *struct {
		ProposalID string `json:"proposal_id"`
		Players    int
		Accepted   []string
	}
}

func (p *player) call(method, path, body string) (playerTicket, error) {
	var out playerTicket
	bearer, err := p.h.minter.MintPlayer(p.id, time.Hour, nil)
	if err != nil {
		return out, err
	}
	req, err := http.NewRequestWithContext(p.h.t.Context(), method, p.frontend+path, strings.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return out, err
	}
	if resp.StatusCode != http.StatusOK {
		return out, fmt.Errorf("%s: %s", resp.Status, text)
	}
	return out, json.Unmarshal(text, &out)
}

// wants lets a player of a skill ask a frontend for a match.
func (h *harness) wants(id, frontend string, skill int) *player {
	h.t.Helper()
	p := &player{h: h, id: id, frontend: frontend}
	made, err := p.call(http.MethodPost, "/v1/tickets",
		fmt.Sprintf(`{"queue":"session","region":"eu","players":[{"id":%q,"attributes":{"skill":{"number":%d}}}]}`, id, skill))
	if err != nil {
		h.t.Fatal(err)
	}
	p.ticket = made.ID
	return p
}

// server is where the player is sent to, empty as long as it waits.
func (p *player) server() string {
	p.h.t.Helper()
	got, err := p.call(http.MethodGet, "/v1/tickets/"+p.ticket, "")
	if err != nil {
		p.h.t.Fatal(err)
	}
	return got.Server.Connection
}

// assigned waits until the player is told where to play, and tries again meanwhile.
func (p *player) assigned() string {
	p.h.t.Helper()
	server := ""
	eventually.NoError(p.h.t, p.id+" is told where to play", func() error {
		got, err := p.call(http.MethodGet, "/v1/tickets/"+p.ticket, "")
		if server = got.Server.Connection; err == nil && server == "" {
			err = errors.New(got.State)
		}
		return err
	})
	return server
}

// rosters are the players whom each live server expects, by its connection.
func (h *harness) rosters() map[string][]string {
	h.t.Helper()
	conn, err := rpc.Dial(h.argument(suite.Director, "gameservers"))
	if err != nil {
		h.t.Fatal(err)
	}
	defer conn.Close()
	resp, err := torikumiv1.NewGameServerServiceClient(conn).ListGameServers(h.t.Context(), &torikumiv1.ListGameServersRequest{Namespace: "default"})
	if err != nil {
		h.t.Fatal(err)
	}
	all := make(map[string][]string)
	for _, s := range resp.GetGameServers() {
		roster, err := contract.DecodeRoster(s.GetAnnotations()[contract.RosterAnnotation])
		if err != nil {
			continue // none is allocated
		}
		at := fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPorts()["default"])
		for _, team := range roster.GetTeams() {
			for _, m := range team.GetMembers() {
				all[at] = append(all[at], m.GetPlayerId())
			}
		}
	}
	return all
}

// pendingRelease is Open Match's pendingReleaseTimeout where a test waits for it. On a busy
// machine a match has to be placed within it.
const pendingRelease = "8s"

// times are the settings of minimatch, and of directors, where a test waits for them.
func times() []string {
	return []string{"--pending-release-timeout=" + pendingRelease, "--match-timeout=7s"}
}

const (
	recreated = "torikumi_frontend_tickets_recreated_total"
	pending   = `torikumi_director_matches_total{outcome="pending",queue="session"}`
)

// noneTwice fails the test if somebody is on the rosters of two servers to which
// players are sent.
func (h *harness) noneTwice(players ...*player) {
	h.t.Helper()
	rosters, of := h.rosters(), make(map[string]string)
	for _, p := range players {
		server := p.server()
		for _, expected := range rosters[server] {
			if other := of[expected]; other != "" && other != server {
				h.t.Fatalf("%s is expected at %s and at %s, where players are sent", expected, other, server)
			}
			of[expected] = server
		}
	}
}

// slowBackend is a director's way to Open Match, on which assignments are held up, and
// what follows the first match. Assignments arrive when they are released, although
// nobody waits for the answer any more.
type slowBackend struct {
	openmatch.BackendServiceClient
	address string
	held    chan struct{}
	release func()
	matched atomic.Bool
}

func newSlowBackend(t *testing.T, to string) *slowBackend {
	t.Helper()
	conn, err := rpc.Dial(to)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	b := &slowBackend{
		BackendServiceClient: openmatch.NewBackendServiceClient(conn), address: lis.Addr().String(), held: held,
		release: sync.OnceFunc(func() { close(held) }),
	}
	server, served := grpc.NewServer(), make(chan struct{})
	openmatch.RegisterBackendServiceServer(server, backendServer{slow: b})
	go func() { defer close(served); _ = server.Serve(lis) }()
	t.Cleanup(func() { server.Stop(); <-served; _ = conn.Close() })
	return b
}

// backendServer is what the director calls.
type backendServer struct {
	openmatch.UnimplementedBackendServiceServer
	slow *slowBackend
}

func (b backendServer) FetchMatches(req *openmatch.FetchMatchesRequest, out grpc.ServerStreamingServer[openmatch.FetchMatchesResponse]) error {
	if b.slow.matched.Load() {
		select {
		case <-b.slow.held:
		case <-out.Context().Done():
		}
	}
	in, err := b.slow.FetchMatches(out.Context(), req)
	for err == nil {
		var resp *openmatch.FetchMatchesResponse
		if resp, err = in.Recv(); err == nil {
			b.slow.matched.Store(true)
			err = out.Send(resp)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (b backendServer) ReleaseTickets(ctx context.Context, req *openmatch.ReleaseTicketsRequest) (*openmatch.ReleaseTicketsResponse, error) {
	return b.slow.ReleaseTickets(ctx, req)
}

func (b backendServer) AssignTickets(ctx context.Context, req *openmatch.AssignTicketsRequest) (*openmatch.AssignTicketsResponse, error) {
	<-b.slow.held
	return b.slow.AssignTickets(context.WithoutCancel(ctx), req)
}

// TestPausedDirector: a director's assignment is held up on its way, between the claim
// of its tickets and Open Match, until another has one of them in a match that is
// played. No player is on the rosters of two servers to which players are sent.
func TestPausedDirector(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		times := times()
		h := newHarness(t, map[string][]string{
			suite.Minimatch: times[:1], suite.Director: append(times, "--redis=redis://"+address),
			suite.Frontend: {"--redis=redis://" + address, "--reconcile-interval=100ms", "--reconcile-rate=1000"},
		})
		h.subscribed(1)
		h.suite.Instance(suite.Director).Stop() // was there for the suite to start
		second := h.another(t, suite.Frontend)
		frontends := []string{h.suite.URL(), "http://" + second.Addrs().HTTP}

		openMatch := newSlowBackend(t, h.argument(suite.Director, "open-match"))
		defer openMatch.release()
		slow := h.more(t, h.at(1), "--open-match="+openMatch.address)
		ann, bob := h.wants("ann", frontends[0], 1000), h.wants("bob", frontends[1], 1150)
		eventually.True(t, "the slow director has given its assignment up", func() bool {
			return h.metric(slow.Addrs(), `torikumi_director_matches_total{outcome="unknown",queue="session"}`) == 1
		})

		cid := h.wants("cid", frontends[0], 1000)
		h.more(t, h.at(2))
		resolver.set(t, h.at(1), h.at(2))
		together := ann.assigned()
		if at := cid.assigned(); at != together {
			t.Fatalf("ann is at %s, cid at %s", together, at)
		}
		openMatch.release()
		// Bob's frontend has to make another ticket, as Open Match never matches this one
		// again.
		eventually.True(t, "the assignment has arrived", func() bool {
			recreated := h.metric(h.suite.Addr(suite.Frontend), recreated) + h.metric(second.Addrs(), recreated)
			return recreated > 0 || bob.server() != ""
		})
		h.noneTwice(ann, bob, cid)
		dan := h.wants("dan", frontends[1], 1150)
		at := []string{together, bob.assigned(), dan.assigned()}
		if at[1] != at[2] || at[1] == together {
			t.Errorf("ann and cid are at %s, bob at %s, dan at %s", at[0], at[1], at[2])
		}
		h.noneTwice(ann, bob, cid, dan)
	})
}

// stranger puts a ticket into Open Match that no frontend of ours knows.
func (h *harness) stranger() *openmatch.Ticket {
	h.t.Helper()
	made, err := h.openMatch().CreateTicket(h.t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{SearchFields: &openmatch.SearchFields{
		Tags: []string{contract.ModeTagPrefix + "session"}, StringArgs: map[string]string{contract.RegionArg: "eu"}, DoubleArgs: map[string]float64{"skill": 1000},
	}}})
	if err != nil {
		h.t.Fatal(err)
	}
	return made
}

func (h *harness) openMatch() openmatch.FrontendServiceClient {
	h.t.Helper()
	conn, err := rpc.Dial(h.argument(suite.Frontend, "open-match"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return openmatch.NewFrontendServiceClient(conn)
}

// TestRedisAway: while Redis is away no match is placed; when it is back, with what it
// had or empty, everybody who still waits plays, at one server.
func TestRedisAway(t *testing.T) {
	store := redistest.Start(t)
	times := times()
	h := newHarness(t, map[string][]string{
		suite.Minimatch: times[:1], suite.Director: append(times, "--redis=redis://"+store.Address),
		suite.Frontend: {"--redis=redis://" + store.Address, "--reconcile-interval=100ms", "--reconcile-rate=1000"},
	})
	h.subscribed(1)
	first, second := h.suite.Instance(suite.Director).Addrs(), h.more(t, h.at(2)).Addrs()
	resolver.set(t, h.at(1), h.at(2))
	h.subscribed(2)

	ann := h.wants("ann", h.suite.URL(), 1000)
	store.Kill()
	other := h.stranger()
	eventually.True(t, "a match is given up", func() bool { return h.metric(first, pending)+h.metric(second, pending) > 0 })
	if n := len(h.rosters()); n > 0 {
		t.Errorf("%d servers were allocated for tickets that nobody had claimed", n)
	}
	store.Run()
	at := ann.assigned()
	eventually.True(t, "the other ticket is assigned", func() bool {
		got, err := h.openMatch().GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: other.GetId()})
		return err == nil && got.GetAssignment().GetConnection() == at
	})

	// Tickets are gone with Redis's data; Open Match still has that of eve.
	eve := h.wants("eve", h.suite.URL(), 1000)
	client := redis.NewClient(&redis.Options{Addr: store.Address})
	defer client.Close()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := eve.call(http.MethodGet, "/v1/tickets/"+eve.ticket, ""); err == nil {
		t.Error("eve's ticket has survived")
	}
	bob, cid, dan := h.wants("bob", h.suite.URL(), 1000), h.wants("cid", h.suite.URL(), 1000), h.wants("dan", h.suite.URL(), 1000)
	// One of the three is matched with the ticket that nobody waits for any more.
	for _, p := range []*player{bob, cid, dan} {
		p.assigned()
	}
	h.noneTwice(bob, cid, dan)
}
