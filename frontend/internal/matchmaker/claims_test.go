package matchmaker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/claims"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// assigner is an Open Match that has assigned every ticket.
type assigner struct {
	openmatch.FrontendServiceClient
	made, reads atomic.Int64
}

func (a *assigner) CreateTicket(context.Context, *openmatch.CreateTicketRequest, ...grpc.CallOption) (*openmatch.Ticket, error) {
	return &openmatch.Ticket{Id: "om-" + string(rune('0'+a.made.Add(1)))}, nil
}

func (a *assigner) GetTicket(context.Context, *openmatch.GetTicketRequest, ...grpc.CallOption) (*openmatch.Ticket, error) {
	a.reads.Add(1)
	return &openmatch.Ticket{Assignment: &openmatch.Assignment{Connection: "192.0.2.1:7000"}}, nil
}

// unreadable are claims that cannot be read of one ticket.
type unreadable struct{ ticket string }

func (u unreadable) Check(_ context.Context, _, _ string, tickets []string) ([]claims.Verdict, error) {
	if tickets[0] == u.ticket {
		return nil, errors.New("unreadable")
	}
	return make([]claims.Verdict, len(tickets)), nil
}

func (u unreadable) Retire(context.Context, string, bool, time.Duration) (bool, error) {
	return true, nil
}

// TestUnreadableClaims: a ticket whose claims cannot be read is tried again with
// pauses, and keeps no other from its match.
func TestUnreadableClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		om := new(assigner)
		c := New(Options{
			Store:  ticket.NewMemory(ticket.Limits{Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 10}),
			Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
			Timeout: time.Hour, Claims: unreadable{"om-1"}, ReconcileRate: 100, ReconcileEvery: time.Hour,
		})
		c.tickets = om
		var ids []string
		for _, player := range []string{"alice", "bob"} {
			made, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: player}}})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, made.ID)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c.reconcileSoon()
		c.reconcile(ctx)
		for i, want := range []ticket.State{ticket.Waiting, ticket.Assigned} {
			if got, err := c.store.Get(t.Context(), ids[i]); err != nil || got.State != want {
				t.Errorf("ticket %d is %v, %v; want %v", i+1, got.State, err, want)
			}
		}
		if n := om.reads.Load(); n < 5 || n > 40 {
			t.Errorf("Open Match was read %d times in a minute", n)
		}
	})
}

// spoilt are claims that hold no assignment for one ticket.
type spoilt struct{ unreadable }

func (s spoilt) Check(_ context.Context, _, _ string, tickets []string) ([]claims.Verdict, error) {
	verdicts := make([]claims.Verdict, len(tickets))
	if slices.Contains(tickets, s.ticket) {
		return verdicts, errors.New("spoilt")
	}
	return verdicts, nil
}

// TestSpoiltClaim: what stands where an assignment was does not keep those from their match who
// are announced with it.
func TestSpoiltClaim(t *testing.T) {
	c := New(Options{
		Store:  ticket.NewMemory(ticket.Limits{Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 10}),
		Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Timeout: time.Hour, Claims: spoilt{unreadable{"om-1"}}, ReconcileRate: 100, ReconcileEvery: time.Hour,
	})
	c.tickets = new(assigner)
	for _, player := range []string{"alice", "bob"} {
		if _, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: player}}}); err != nil {
			t.Fatal(err)
		}
	}
	n, err := c.apply(t.Context(), []string{"om-1", "om-2"}, "192.0.2.1:7000", nil)
	if n != 2 || err != nil {
		t.Errorf("%d assigned, %v; want both", n, err)
	}
}
