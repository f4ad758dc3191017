package matchmaker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// placing is an Open Match whose tickets a test assigns.
type placing struct {
	openmatch.FrontendServiceClient

	mu       sync.Mutex
	made     []*openmatch.Ticket
	assigned map[string]*openmatch.Assignment
}

func (p *placing) CreateTicket(_ context.Context, r *openmatch.CreateTicketRequest, _ ...grpc.CallOption) (*openmatch.Ticket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Ticket.Id = fmt.Sprintf("om-%d", len(p.made)+1)
	p.made = append(p.made, r.Ticket)
	return r.GetTicket(), nil
}

func (p *placing) GetTicket(_ context.Context, r *openmatch.GetTicketRequest, _ ...grpc.CallOption) (*openmatch.Ticket, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &openmatch.Ticket{Id: r.GetTicketId(), Assignment: p.assigned[r.GetTicketId()]}, nil
}

// assign sends a ticket to a match in which the players of others have places.
func (p *placing) assign(t *testing.T, id string, others ...string) *torikumiv1.AssignmentDetails {
	t.Helper()
	team := &torikumiv1.Team{Name: "red"}
	for _, other := range others {
		team.Members = append(team.Members, &torikumiv1.TeamMember{PlayerId: "player of " + other, TicketId: other})
	}
	d := &torikumiv1.AssignmentDetails{
		MatchId: "m", GameServer: "games/gs", Ports: map[string]int32{"default": 7000}, Teams: []*torikumiv1.Team{team}, AllocateTime: timestamppb.Now(),
	}
	a := &openmatch.Assignment{Connection: "192.0.2.1:7000"}
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, d); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.assigned[id] = a
	return d
}

func (p *placing) expires(t *testing.T, n int) time.Time {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	d, err := contract.TicketDetails(p.made[n])
	if err != nil {
		t.Fatal(err)
	}
	return d.GetExpireTime().AsTime()
}

// TestNoPlaceYet: nobody is sent to a match in which they have no place. They are when
// a director gives them one; without that they search on, as long as they would have.
func TestNoPlaceYet(t *testing.T) {
	for _, announced := range []bool{false, true} {
		for _, given := range []bool{false, true} {
			t.Run(fmt.Sprintf("announced %v, given a place %v", announced, given), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { noPlaceYet(t, announced, given) })
			})
		}
	}
}

func noPlaceYet(t *testing.T, announced, given bool) {
	om := &placing{assigned: make(map[string]*openmatch.Assignment)}
	c := New(Options{
		Store:  ticket.NewMemory(ticket.Limits{Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 10}),
		Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Timeout: time.Hour, ReconcileRate: 100, ReconcileEvery: 15 * time.Second,
	})
	c.tickets = om
	made, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "late"}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.reconcile(ctx) })
	defer running.Wait()
	defer cancel()
	state := func() ticket.Ticket {
		synctest.Wait()
		got, err := c.store.Get(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	time.Sleep(time.Minute)
	d := om.assign(t, "om-1", "another")
	if announced {
		if _, err := c.apply(t.Context(), []string{"om-1"}, "192.0.2.1:7000", d); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(placeTimeout - time.Second)
	if got := state(); got.State != ticket.Waiting || got.OpenMatchID != "om-1" {
		t.Fatalf("without a place: %v %s", got.State, got.OpenMatchID)
	}
	if given {
		d = om.assign(t, "om-1", "another", "om-1")
		if announced {
			if _, err := c.apply(t.Context(), []string{"om-1"}, "192.0.2.1:7000", d); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(16 * time.Second) // a reading is 15 s after the last
	got := state()
	switch {
	case given && (got.State != ticket.Assigned || len(om.made) != 1):
		t.Errorf("with a place: %v, %d tickets", got.State, len(om.made))
	case !given && (got.State != ticket.Waiting || got.OpenMatchID != "om-2"):
		t.Errorf("still without a place: %v %s", got.State, got.OpenMatchID)
	case !given && !om.expires(t, 1).Equal(om.expires(t, 0)):
		t.Errorf("the ticket that was made anew ends at %v, the one before at %v", om.expires(t, 1), om.expires(t, 0))
	}
}
