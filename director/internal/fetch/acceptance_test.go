package fetch_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"torikumi/director/internal/fetch"
	"torikumi/director/internal/placement"
	"torikumi/director/internal/proposal"
	"torikumi/director/internal/servers"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// asking is an intake whose players are asked, and what frontends hear of it.
type asking struct {
	harness
	proposals *proposal.Proposals
	stopping  chan struct{}

	mu               sync.Mutex
	asked, published []*torikumiv1.Proposal
}

func newAsking(t *testing.T, slots int) *asking {
	a := &asking{stopping: make(chan struct{})}
	a.proposals = proposal.New(func(an *torikumiv1.Announcement) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked = append(a.asked, an.GetProposal())
	})
	a.backend, a.allocator, a.registry = new(releases), new(nothingReady), prometheus.NewRegistry()
	a.work, a.endWork = context.WithCancel(t.Context())
	t.Cleanup(a.endWork)
	log := slog.New(slog.DiscardHandler)
	a.Intake = fetch.NewIntake(fetch.IntakeOptions{
		Placer: placement.New(placement.Options{
			Backend: a.backend, Allocator: servers.NewAgones(a.allocator), Stopping: a.stopping,
			Publish: func(an *torikumiv1.Announcement) {
				a.mu.Lock()
				defer a.mu.Unlock()
				a.published = append(a.published, an.GetProposal())
			},
			Registry: a.registry, Logger: log,
		}),
		Ask: a.proposals.Ask, MaxInFlight: slots, MatchTimeout: 30 * time.Second, PendingRelease: time.Minute,
		Metrics: fetch.NewMetrics(a.registry), Logger: log,
	})
	return a
}

func (a *asking) accept(t *testing.T, m *openmatch.Match, since time.Time) (waited bool) {
	return a.Accept(a.work, t.Context(), fetch.Queue{Name: "duel", MinPlayers: 2, AcceptTime: 15 * time.Second}, m, since)
}

// last returns what players are asked at the moment.
func (a *asking) last(t *testing.T) *torikumiv1.Proposal {
	t.Helper()
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.asked) == 0 {
		t.Fatal("nobody is asked")
	}
	return a.asked[len(a.asked)-1]
}

func (a *asking) answer(t *testing.T, proposal, ticket string, accepted bool) {
	t.Helper()
	if _, err := a.proposals.Answer(t.Context(), &torikumiv1.AnswerRequest{
		Answers: []*torikumiv1.ProposalAnswer{{ProposalId: proposal, TicketId: ticket, Accepted: accepted}},
	}); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

// outcome checks what became of the match: an outcome, tickets that were released, and
// whether allocation was tried.
func (a *asking) outcome(t *testing.T, outcome string, allocated bool, released ...string) {
	t.Helper()
	a.Drain()
	if got := a.backend.list(); !slices.Equal(got, released) {
		t.Errorf("released %q, want %q", got, released)
	}
	if got := a.allocator.tried(); got != allocated {
		t.Errorf("allocation was tried: %v", got)
	}
	if err := testutil.GatherAndCompare(a.registry, strings.NewReader(`
		# HELP torikumi_director_matches_total Matches by what became of them.
		# TYPE torikumi_director_matches_total counter
		torikumi_director_matches_total{outcome="`+outcome+`",queue="duel"} 1
	`), "torikumi_director_matches_total"); err != nil {
		t.Error(err)
	}
}

// ours is a match of tickets that frontends of ours have made.
func ours(t *testing.T, id string, tickets ...string) *openmatch.Match {
	t.Helper()
	m := match(id, tickets...)
	for _, ticket := range m.GetTickets() {
		if err := contract.Put(&ticket.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{Players: []*torikumiv1.Player{{Id: "p-" + ticket.GetId()}}}); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// TestAllAccept: a server is looked for when all have accepted, as long as without asking.
func TestAllAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, start := newAsking(t, 1), time.Now()
		m := ours(t, "m", "a", "b")
		m.Tickets = append(m.Tickets, &openmatch.Ticket{Id: "foreign"}) // whom nobody can ask
		a.accept(t, m, start)
		p := a.last(t)
		if !slices.Equal(p.GetTicketIds(), []string{"a", "b"}) || p.GetPlayers() != 3 || !p.GetExpireTime().AsTime().Equal(start.Add(15*time.Second)) || !p.GetReleaseTime().AsTime().Equal(start.Add(time.Minute)) {
			t.Errorf("proposed %v", p)
		}
		time.Sleep(10 * time.Second)
		a.answer(t, p.GetId(), "a", true)
		a.answer(t, p.GetId(), "foreign", true)
		a.answer(t, "another", "b", true)
		if a.allocator.tried() {
			t.Error("a server is looked for before all have accepted")
		}
		if p = a.last(t); !slices.Equal(p.GetTicketIds(), []string{"a", "b"}) {
			t.Errorf("proposed again %v", p)
		}
		time.Sleep(2500 * time.Millisecond)
		if p = a.last(t); !slices.Equal(p.GetTicketIds(), []string{"b"}) {
			t.Errorf("those who have accepted are asked again: %v", p)
		}
		a.answer(t, p.GetId(), "b", true)
		// There is none: the tickets are released after the match timeout.
		a.outcome(t, "released", true, "a", "b", "foreign")
		if got := a.backend.at.Sub(start); got != 42500*time.Millisecond {
			t.Errorf("released after %v", got)
		}
		if len(a.published) != 1 || !a.published[0].GetRecalled() || a.published[0].GetId() != p.GetId() || len(a.published[0].GetTicketIds()) != 2 {
			t.Errorf("published %v", a.published)
		}
	})
}

// TestNotAllAccept: the others are released, at once if one is out, and fetching goes on.
func TestNotAllAccept(t *testing.T) {
	for _, c := range []struct {
		name     string
		do       func(t *testing.T, a *asking, proposal string)
		outcome  string
		after    time.Duration
		released []string
	}{
		{"one is out", func(t *testing.T, a *asking, p string) {
			a.answer(t, p, "a", true)
			a.answer(t, p, "b", false)
		}, "not_accepted", 0, []string{"a", "c"}},
		{"one leaves who has accepted", func(t *testing.T, a *asking, p string) {
			a.answer(t, p, "a", true)
			a.answer(t, p, "a", false)
		}, "not_accepted", 0, []string{"b", "c"}},
		{"nobody answers", func(*testing.T, *asking, string) {}, "not_accepted", 15*time.Second + proposal.Grace, []string{"a", "b", "c"}},
		{"the director stops", func(_ *testing.T, a *asking, _ string) { close(a.stopping) }, "released", 0, []string{"a", "b", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, start := newAsking(t, 1), time.Now()
				a.accept(t, ours(t, "m", "a", "b", "c"), start)
				c.do(t, a, a.last(t).GetId())
				a.outcome(t, c.outcome, false, c.released...)
				if got := a.backend.at.Sub(start); got != c.after {
					t.Errorf("released after %v, want %v", got, c.after)
				}
				if failing := a.Failing("duel"); failing != (c.outcome != "not_accepted") {
					t.Errorf("fetching pauses: %v", failing)
				}
				if len(a.published) != 1 || !a.published[0].GetRecalled() {
					t.Errorf("published %v", a.published)
				}
			})
		})
	}
}

// TestNoTimeToAsk: a match that has waited is released, and its players are not asked in
// vain.
func TestNoTimeToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsking(t, 1)
		a.accept(t, ours(t, "m", "a", "b"), time.Now().Add(-20*time.Second))
		a.outcome(t, "released", false, "a", "b")
		if len(a.asked) != 0 || !a.Failing("duel") {
			t.Errorf("asked %v", a.asked)
		}
	})
}

// TestAskingTakesNoSlot: matches that wait for their players keep no other from a server.
func TestAskingTakesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, start := newAsking(t, 1), time.Now()
		for _, id := range []string{"a", "b", "c"} {
			if a.accept(t, ours(t, "m-"+id, id), start); time.Since(start) != 0 {
				t.Errorf("%s waited %v", id, time.Since(start))
			}
			synctest.Wait()
		}
		a.Accept(a.work, t.Context(), fetch.Queue{Name: "other"}, match("m", "d"), start)
		synctest.Wait()
		if !a.allocator.tried() {
			t.Error("no server is looked for")
		}
		a.Drain()
	})
}
