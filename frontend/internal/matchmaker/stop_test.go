package matchmaker

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/frontend/internal/ticket"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// maker is an Open Match that makes tickets.
type maker struct {
	openmatch.FrontendServiceClient
}

func (maker) CreateTicket(context.Context, *openmatch.CreateTicketRequest, ...grpc.CallOption) (*openmatch.Ticket, error) {
	return &openmatch.Ticket{Id: "om-1"}, nil
}

// gap is a store that lets the test look when a ticket has ended, before its
// caller has seen to the Open Match ticket.
type gap struct {
	ticket.Store
	ended func(method string)
	// cancels ends every ticket as soon as it is created.
	cancels bool
}

func (g *gap) Create(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
	t, err := g.Store.Create(ctx, t)
	if g.cancels {
		if _, err := g.Store.Update(ctx, t.ID, ticket.Event{Kind: ticket.Cancel}); err != nil {
			return t, err
		}
	}
	return t, err
}

func (g *gap) Update(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	c, err := g.Store.Update(ctx, id, e)
	g.ended(e.Kind.String())
	return c, err
}

func (g *gap) Expire(ctx context.Context) ([]ticket.Change, error) {
	c, err := g.Store.Expire(ctx)
	if len(c) > 0 {
		g.ended("Expire")
	}
	return c, err
}

// TestEndIsExpected: a client that stops just when a ticket has ended waits for
// the deletion of its Open Match ticket, although it is not asked for yet.
func TestEndIsExpected(t *testing.T) {
	for _, method := range []string{"Attach", "Cancel", "Expire"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &gap{Store: ticket.NewMemory(ticket.Limits{Timeout: time.Minute, Assigned: time.Hour, Ended: time.Hour, Tickets: 10}), cancels: method == "Attach"}
				c := New(Options{
					Store: store, Logger: slog.New(slog.DiscardHandler),
					Metrics: NewMetrics(prometheus.NewRegistry()), Timeout: time.Minute,
				})
				c.tickets = maker{}
				met := false
				store.ended = func(m string) {
					if m != method {
						return
					}
					met = true
					if c.deletes.left() == 0 {
						t.Error("the stop waits for nothing")
					}
				}
				made, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				switch method {
				case "Cancel":
					if _, err := c.Cancel(ctx, made.ID); err != nil {
						t.Error(err)
					}
				case "Expire":
					c.expire(ctx)
				}
				if next, ok := c.deletes.take(); !met || !ok || next.id != "om-1" || c.deletes.left() != 1 {
					t.Errorf("to delete: %q, %v, %d left", next.id, ok, c.deletes.left())
				}
			})
		})
	}
}

// TestDrainedWaitsForWhatIsExpected: an empty queue is not the end.
func TestDrainedWaitsForWhatIsExpected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeletes(maker{}, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()))
		over := d.expect()
		left := make(chan int, 1)
		go func() { left <- d.drained(t.Context()) }()
		synctest.Wait()
		d.add("om-1")
		over()
		synctest.Wait()
		if len(left) > 0 {
			t.Fatal("it did not wait")
		}
		d.take()
		d.done()
		if n := <-left; n != 0 {
			t.Errorf("%d left", n)
		}
	})
}
