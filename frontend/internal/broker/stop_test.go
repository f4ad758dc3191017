package broker

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/frontend/internal/search"
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

// gap is a store that lets the test look when a search has ended, before its
// caller has seen to the ticket.
type gap struct {
	search.Store
	ended func(method string)
	// cancels ends every search as soon as it has begun.
	cancels bool
}

func (g *gap) Begin(s search.Search) error {
	err := g.Store.Begin(s)
	if g.cancels {
		g.Store.End(s.ID, search.Cancel)
	}
	return err
}

func (g *gap) Bind(id, om string) (search.Search, bool, bool) {
	s, ok, assigned := g.Store.Bind(id, om)
	g.ended("Bind")
	return s, ok, assigned
}

func (g *gap) End(id string, e search.Event) (search.Search, bool, bool) {
	s, changed, ok := g.Store.End(id, e)
	g.ended("End")
	return s, changed, ok
}

func (g *gap) Tick(now time.Time) []search.Search {
	ended := g.Store.Tick(now)
	if len(ended) > 0 {
		g.ended("Tick")
	}
	return ended
}

// TestEndIsExpected: a broker that stops just when a search has ended waits for
// the deletion of its ticket, although it is not asked for yet.
func TestEndIsExpected(t *testing.T) {
	for _, method := range []string{"Bind", "End", "Tick"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &gap{Store: search.NewMemory(search.Limits{Timeout: time.Minute, Assigned: time.Hour, Ended: time.Hour, Searches: 10}), cancels: method == "Bind"}
				b := New(Options{
					Store: store, Queues: queues.Default(), Logger: slog.New(slog.DiscardHandler),
					Metrics: NewMetrics(prometheus.NewRegistry()), Timeout: time.Minute,
				})
				b.tickets = maker{}
				met := false
				store.ended = func(m string) {
					if m != method {
						return
					}
					met = true
					if b.deletes.left() == 0 {
						t.Error("the stop waits for nothing")
					}
				}
				s, err := b.Create(t.Context(), search.Search{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				switch method {
				case "End":
					b.Cancel(ctx, s.ID)
				case "Tick":
					b.expire(ctx)
				}
				if id, ok := b.deletes.take(); !met || !ok || id != "om-1" || b.deletes.left() != 1 {
					t.Errorf("to delete: %q, %v, %d left", id, ok, b.deletes.left())
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
