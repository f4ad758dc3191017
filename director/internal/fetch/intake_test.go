package fetch_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/call"
	"torikumi/director/internal/fetch"
	parsed "torikumi/director/internal/match"
	"torikumi/director/internal/placement"
	"torikumi/director/internal/servers"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// nothingReady is an allocator that never has a server.
type nothingReady struct {
	mu    sync.Mutex
	tries int
}

func (n *nothingReady) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tries++
	return status.Error(codes.ResourceExhausted, "nothing is ready")
}

func (n *nothingReady) tried() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.tries > 0
}

func (n *nothingReady) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// releases is an Open Match that notes what is released, and when.
type releases struct {
	openmatch.BackendServiceClient
	mu       sync.Mutex
	released []string
	at       time.Time
}

func (b *releases) ReleaseTickets(_ context.Context, req *openmatch.ReleaseTicketsRequest, _ ...grpc.CallOption) (*openmatch.ReleaseTicketsResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released, b.at = append(b.released, req.GetTicketIds()...), time.Now()
	return new(openmatch.ReleaseTicketsResponse), nil
}

func (b *releases) list() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.released)
}

type harness struct {
	*fetch.Intake
	backend   *releases
	allocator *nothingReady
	registry  *prometheus.Registry
	work      context.Context
	endWork   context.CancelFunc
}

// newHarness makes an intake with as many slots, 30 s for a match and a pending release
// after 60 s.
func newHarness(t *testing.T, slots int) *harness {
	h := &harness{backend: new(releases), allocator: new(nothingReady), registry: prometheus.NewRegistry()}
	h.work, h.endWork = context.WithCancel(t.Context())
	t.Cleanup(h.endWork)
	log := slog.New(slog.DiscardHandler)
	h.Intake = fetch.NewIntake(fetch.IntakeOptions{
		Placer: placement.New(placement.Options{
			Backend: h.backend, Allocator: servers.NewAgones(h.allocator),
			Publish: func(*torikumiv1.Announcement) {}, Registry: h.registry, Logger: log,
		}),
		MaxInFlight: slots, MatchTimeout: 30 * time.Second, PendingRelease: time.Minute,
		Metrics: fetch.NewMetrics(h.registry), Logger: log,
	})
	return h
}

func (h *harness) accept(t *testing.T, m *openmatch.Match, since time.Time) bool {
	return h.Accept(h.work, t.Context(), fetch.Queue{Name: "duel", MinPlayers: 2}, m, since)
}

func match(id string, tickets ...string) *openmatch.Match {
	m := &openmatch.Match{MatchId: id}
	for _, t := range tickets {
		m.Tickets = append(m.Tickets, &openmatch.Ticket{Id: t})
	}
	return m
}

// TestAgeLimitsAMatch: the time for a match ends while its tickets are still
// ours to release; afterwards nothing is released.
func TestAgeLimitsAMatch(t *testing.T) {
	for _, c := range []struct {
		age, after time.Duration
		released   bool
	}{
		{0, 30 * time.Second, true},
		{20 * time.Second, 30 * time.Second, true},
		{40 * time.Second, 14 * time.Second, true},
		{55 * time.Second, 0, true},
		{60 * time.Second, 0, false},
		{time.Hour, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHarness(t, 1)
			start := time.Now()
			h.accept(t, match("m", "a", "b"), start.Add(-c.age))
			h.Drain()
			if got := slices.Equal(h.backend.released, []string{"a", "b"}); got != c.released {
				t.Errorf("age %v: released %v", c.age, h.backend.released)
			}
			if got := h.backend.at.Sub(start); c.released && got != c.after {
				t.Errorf("age %v: released after %v, want %v", c.age, got, c.after)
			}
			if c.after == 0 && h.allocator.tries > 0 {
				t.Errorf("age %v: allocation was tried", c.age)
			}
			if !h.Failing("duel") || h.Failing("squad") {
				t.Errorf("age %v: trouble is not reported, or for another queue", c.age)
			}
		})
	}
}

// TestAcceptWaitsForRoom: and says so; when all time is over it gives up.
func TestAcceptWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, 1)
		start := time.Now()
		if h.accept(t, match("m1", "a"), start) {
			t.Error("the first match had to wait")
		}
		if !h.accept(t, match("m2", "b"), start) || time.Since(start) != 30*time.Second {
			t.Errorf("the second match waited %v", time.Since(start))
		}
		time.AfterFunc(time.Second, h.endWork)
		h.accept(t, match("m3", "c"), start)
		if waited := time.Since(start); waited > 32*time.Second {
			t.Errorf("the third match waited until %v", waited)
		}
		h.Drain()
		if err := testutil.GatherAndCompare(h.registry, strings.NewReader(`
			# HELP torikumi_director_in_flight_matches Matches that are being placed.
			# TYPE torikumi_director_in_flight_matches gauge
			torikumi_director_in_flight_matches 0
		`), "torikumi_director_in_flight_matches"); err != nil {
			t.Error(err)
		}
	})
}

// oneEach is an allocator that has a server for each match, and an Open Match that
// assigns nothing until it may.
type oneEach struct {
	openmatch.BackendServiceClient
	servers atomic.Int32
	assign  chan struct{}
}

func (o *oneEach) Allocate(context.Context, *parsed.Match, servers.Selector) (servers.Server, call.Effect, error) {
	n := o.servers.Add(1)
	return servers.Server{Namespace: "games", Name: fmt.Sprint("server-", n), Address: "127.0.0.1", Ports: []servers.Port{{Name: "game", Number: 7000 + n}}}, call.Done, nil
}

func (o *oneEach) AssignTickets(context.Context, *openmatch.AssignTicketsRequest, ...grpc.CallOption) (*openmatch.AssignTicketsResponse, error) {
	<-o.assign
	return new(openmatch.AssignTicketsResponse), nil
}

// TestNextIsAllocatedMeanwhile: while matches are assigned, as many look for servers, and
// no more: however long Open Match takes, servers do not pile up.
func TestNextIsAllocatedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oneEach{assign: make(chan struct{})}
		registry, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
		i := fetch.NewIntake(fetch.IntakeOptions{
			Placer:      placement.New(placement.Options{Backend: o, Allocator: o, Publish: func(*torikumiv1.Announcement) {}, Registry: registry, Logger: log}),
			MaxInFlight: 2, MatchTimeout: 30 * time.Second, PendingRelease: time.Minute, Metrics: fetch.NewMetrics(registry), Logger: log,
		})
		var accepted atomic.Int32
		go func() {
			for n := range 9 {
				i.Accept(t.Context(), t.Context(), fetch.Queue{Name: "duel", MinPlayers: 1}, match(fmt.Sprint("m", n), fmt.Sprint("t", n)), time.Now())
				accepted.Add(1)
			}
		}()
		synctest.Wait()
		if a, s := accepted.Load(), o.servers.Load(); a != 4 || s != 4 {
			t.Errorf("%d matches and %d servers, want 2 that are assigned and 2 that would be", a, s)
		}
		o.assign <- struct{}{}
		synctest.Wait()
		if a, s := accepted.Load(), o.servers.Load(); a != 5 || s != 5 {
			t.Errorf("%d matches and %d servers after one is assigned, want 5", a, s)
		}
		close(o.assign)
		synctest.Wait()
		i.Drain()
		if a, s := accepted.Load(), o.servers.Load(); a != 9 || s != 9 {
			t.Errorf("%d matches and %d servers in the end, want 9", a, s)
		}
	})
}

// TestRejected: what cannot be played is released, but for tickets of another match.
func TestRejected(t *testing.T) {
	join := match("m", "a")
	join.Backfill = new(openmatch.Backfill)
	for _, c := range []struct {
		name     string
		match    *openmatch.Match
		outcome  string
		released []string
	}{
		{"joins a running server", join, "backfill", nil},
		{"no match id", match("", "a", "b"), "invalid", []string{"a", "b"}},
		{"no tickets", match("m"), "invalid", nil},
		{"a ticket of another match", match("m", "a", "taken"), "invalid", []string{"a"}},
		{"no match id, a ticket of another match", match("", "taken", "b"), "invalid", []string{"b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(t, 2)
				h.accept(t, match("other", "taken"), time.Now())
				synctest.Wait()
				h.accept(t, c.match, time.Now())
				synctest.Wait()
				if got := h.backend.list(); !slices.Equal(got, c.released) {
					t.Errorf("released %v", got)
				}
				want := fmt.Sprintf(`
					# HELP torikumi_director_matches_total Matches by what became of them.
					# TYPE torikumi_director_matches_total counter
					torikumi_director_matches_total{outcome=%q,queue="duel"} 1
				`, c.outcome)
				if err := testutil.GatherAndCompare(h.registry, strings.NewReader(want), "torikumi_director_matches_total"); err != nil {
					t.Error(err)
				}
				h.Drain()
			})
		})
	}
}
