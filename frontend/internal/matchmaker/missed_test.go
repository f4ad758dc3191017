package matchmaker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// assigning is a store that says what is assigned in it.
type assigning struct {
	ticket.Store
	assign func(openMatchID string) error
}

func (a *assigning) Assign(_ context.Context, openMatchID string, _ ticket.Assignment) (ticket.Change, error) {
	return ticket.Change{}, a.assign(openMatchID)
}

func assigned(i int) *torikumiv1.Announcement {
	return &torikumiv1.Announcement{TicketIds: []string{fmt.Sprint("om-", i)}, Connection: "192.0.2.1:7777"}
}

func newAssigning(log *bytes.Buffer, assign func(string) error) *Client {
	return New(Options{
		Store:  &assigning{ticket.NewMemory(ticket.Limits{Timeout: time.Minute, Assigned: time.Hour, Ended: time.Hour, Tickets: 10}), assign},
		Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: NewMetrics(prometheus.NewRegistry()), Timeout: time.Minute,
	})
}

// TestMissedKeepOrder: what is announced while the store is away is applied in the order in
// which it came, also if the store goes away again in between.
func TestMissedKeepOrder(t *testing.T) {
	var c *Client
	var got []string
	away := true
	c = newAssigning(new(bytes.Buffer), func(id string) error {
		if id == "om-2" && away {
			c.missed.add(assigned(4))
			return ticket.ErrUnavailable
		}
		got = append(got, id)
		return nil
	})
	for i := range 3 {
		c.missed.add(assigned(i + 1))
	}
	c.applyMissed(t.Context())
	away = false
	c.applyMissed(t.Context())
	if want := []string{"om-1", "om-2", "om-3", "om-4"}; !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q", got, want)
	}
}

// TestMissedTooMany: the log says how many announcements could not be kept, and the first
// are.
func TestMissedTooMany(t *testing.T) {
	var log bytes.Buffer
	var got []string
	c := newAssigning(&log, func(id string) error { got = append(got, id); return nil })
	for i := range maxMissed {
		c.missed.add(assigned(i))
	}
	taken, _ := c.missed.take()
	c.missed.add(assigned(maxMissed))
	c.missed.putBack(taken)
	c.missed.add(assigned(maxMissed + 1))
	c.applyMissed(t.Context())
	if last := fmt.Sprint("om-", maxMissed-1); len(got) != maxMissed || got[0] != "om-0" || got[maxMissed-1] != last {
		t.Errorf("%d applied, want %d from om-0 to %s", len(got), maxMissed, last)
	}
	if text := log.String(); !strings.Contains(text, "count=2") || strings.Count(text, "\n") != 1 {
		t.Errorf("logged %q, want one line with count=2", text)
	}
	select {
	case <-c.again:
	default:
		t.Error("tickets are not read from Open Match soon")
	}
	c.applyMissed(t.Context())
	if text := log.String(); strings.Count(text, "\n") != 1 {
		t.Errorf("logged again: %q", text)
	}
}

// TestMissedHoldNothingUp: while what was missed is applied, tickets expire.
func TestMissedHoldNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		c := newAssigning(new(bytes.Buffer), func(string) error { <-held; return nil })
		c.tickets = maker{}
		ctx, cancel := context.WithCancel(t.Context())
		defer func() { cancel(); close(held); synctest.Wait() }()
		go c.expire(ctx)
		go whenDue(ctx, c.missedDue, c.applyMissed)
		c.missed.add(assigned(1))
		made, err := c.Create(ctx, ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got, err := c.store.Get(ctx, made.ID); err != nil || got.State != ticket.Expired {
			t.Errorf("a minute later: %v, %v; want %v", got.State, err, ticket.Expired)
		}
	})
}

// flaky is an Open Match that may not create tickets.
type flaky struct {
	openmatch.FrontendServiceClient
	err  error
	made int
}

func (f *flaky) CreateTicket(context.Context, *openmatch.CreateTicketRequest, ...grpc.CallOption) (*openmatch.Ticket, error) {
	if f.err != nil {
		return nil, f.err
	}
	f.made++
	return &openmatch.Ticket{Id: fmt.Sprint("om-", f.made)}, nil
}

// TestWithdrawnMissed: a match that is not played is not forgotten because the store, or Open
// Match, is away in the moment in which the director says so: its players search on when both
// are back.
func TestWithdrawnMissed(t *testing.T) {
	store := &remote{Store: ticket.NewMemory(ticket.Limits{Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 10})}
	om := new(flaky)
	c := New(Options{Store: store, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()), Timeout: time.Hour, ReconcileRate: 1000})
	c.tickets = om
	made, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}})
	if err != nil {
		t.Fatal(err)
	}
	now := func(want ticket.State, openMatchID string) {
		t.Helper()
		if got, err := store.Get(t.Context(), made.ID); err != nil || got.State != want || got.OpenMatchID != openMatchID {
			t.Errorf("the ticket is %v as %q, %v; want %v as %q", got.State, got.OpenMatchID, err, want, openMatchID)
		}
	}
	due := func(want bool) {
		t.Helper()
		select {
		case <-c.again:
			want = !want
		default:
		}
		if want {
			t.Error("tickets are read from Open Match soon: not as wanted")
		}
	}
	withdrawn := &torikumiv1.Announcement{TicketIds: []string{"om-1"}, Details: &torikumiv1.AssignmentDetails{MatchId: "m-1"}}
	store.away.Store(true)
	c.heard(t.Context(), withdrawn)
	now(ticket.Waiting, "om-1")
	due(true)
	store.away.Store(false)
	om.err = status.Error(codes.Unavailable, "away")
	c.applyMissed(t.Context())
	now(ticket.Lost, "")
	due(true)
	if left := c.sweep(t.Context(), []string{made.ID}); len(left) != 1 {
		t.Errorf("read while Open Match is away: %q left", left)
	}
	om.err = nil
	if left := c.sweep(t.Context(), []string{made.ID}); len(left) != 0 {
		t.Errorf("read: %q left", left)
	}
	now(ticket.Waiting, "om-2")
	c.heard(t.Context(), withdrawn) // again, and late
	now(ticket.Waiting, "om-2")
	due(false)
}
