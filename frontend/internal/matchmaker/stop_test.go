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
	"torikumi/pkg/queues"
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
// caller has seen to the ticket.
type gap struct {
	ticket.Store
	ended func(method string)
	// cancels ends every ticket as soon as it has begun.
	cancels bool
}

func (g *gap) Create(s ticket.Ticket) error {
	err := g.Store.Create(s)
	if g.cancels {
		g.Store.End(s.ID, ticket.Cancel)
	}
	return err
}

func (g *gap) Attach(id, om string) (ticket.Ticket, bool, bool) {
	s, ok, assigned := g.Store.Attach(id, om)
	g.ended("Attach")
	return s, ok, assigned
}

func (g *gap) End(id string, e ticket.Event) (ticket.Ticket, bool, bool) {
	s, changed, ok := g.Store.End(id, e)
	g.ended("End")
	return s, changed, ok
}

func (g *gap) Tick(now time.Time) []ticket.Ticket {
	ended := g.Store.Tick(now)
	if len(ended) > 0 {
		g.ended("Tick")
	}
	return ended
}

// TestEndIsExpected: a client that stops just when a ticket has ended waits for
// the deletion of its ticket, although it is not asked for yet.
func TestEndIsExpected(t *testing.T) {
	for _, method := range []string{"Attach", "End", "Tick"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &gap{Store: ticket.NewMemory(ticket.Limits{Timeout: time.Minute, Assigned: time.Hour, Ended: time.Hour, Tickets: 10}), cancels: method == "Attach"}
				c := New(Options{
					Store: store, Queues: queues.Default(), Logger: slog.New(slog.DiscardHandler),
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
				s, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				switch method {
				case "End":
					c.Cancel(ctx, s.ID)
				case "Tick":
					c.expire(ctx)
				}
				if id, ok := c.deletes.take(); !met || !ok || id != "om-1" || c.deletes.left() != 1 {
					t.Errorf("to delete: %q, %v, %d left", id, ok, c.deletes.left())
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
		go func() { left <- d.drained(t.Context(), func() bool { return true }) }()
		synctest.Wait()
		d.add("om-1")
		over()
		synctest.Wait()
		if len(left) > 0 {
			t.Fatal("it did not wait")
		}
		id, _ := d.take()
		d.done(id, true)
		if n := <-left; n != 0 {
			t.Errorf("%d left", n)
		}
	})
}
