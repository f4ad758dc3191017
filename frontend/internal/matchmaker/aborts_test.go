package matchmaker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"torikumi/frontend/internal/ticket"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// remote is a store that can be away: what it does then, it does not say.
type remote struct {
	ticket.Store
	away atomic.Bool
}

func (r *remote) Create(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
	t, err := r.Store.Create(ctx, t)
	if r.away.Load() {
		return ticket.Ticket{}, ticket.ErrUnavailable
	}
	return t, err
}

func (r *remote) Update(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	if r.away.Load() {
		return ticket.Change{}, ticket.ErrUnavailable
	}
	return r.Store.Update(ctx, id, e)
}

func (r *remote) Expire(ctx context.Context) ([]ticket.Change, error) {
	if r.away.Load() {
		return nil, ticket.ErrUnavailable
	}
	return r.Store.Expire(ctx)
}

// thief is an Open Match in whose calls the store goes away.
type thief struct {
	openmatch.FrontendServiceClient
	calls int
	call  func()
}

func (o *thief) CreateTicket(context.Context, *openmatch.CreateTicketRequest, ...grpc.CallOption) (*openmatch.Ticket, error) {
	o.calls++
	o.call()
	return &openmatch.Ticket{Id: "om-" + strings.Repeat("i", o.calls)}, nil
}

func (o *thief) DeleteTicket(context.Context, *openmatch.DeleteTicketRequest, ...grpc.CallOption) (*emptypb.Empty, error) {
	return new(emptypb.Empty), nil
}

// TestStoreAwayDuringCreate: the store goes away while a ticket is created. Its players
// can ask again as soon as the store is back, and a ticket that is created anew is tried
// again.
func TestStoreAwayDuringCreate(t *testing.T) {
	draft := func() ticket.Ticket {
		return ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}}
	}
	for name, c := range map[string]struct{ at string }{"before the first answer": {"create"}, "before the second": {"attach"}, "of another": {"recreate"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &remote{Store: ticket.NewMemory(ticket.Limits{Timeout: time.Minute, Assigned: time.Hour, Ended: time.Hour, Tickets: 10})}
				om := &thief{call: func() {}}
				client := New(Options{
					Store: store, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()), Timeout: time.Minute,
				})
				client.tickets = om
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go client.expire(ctx)

				leave := func() { store.away.Store(true) }
				var made ticket.Ticket
				var err error
				switch c.at {
				case "create":
					leave()
					_, err = client.Create(ctx, draft())
				case "attach":
					om.call = leave
					_, err = client.Create(ctx, draft())
				case "recreate":
					if made, err = client.Create(ctx, draft()); err != nil {
						t.Fatal(err)
					}
					if _, err := store.Update(ctx, made.ID, ticket.Event{Kind: ticket.MarkLost, OpenMatchID: made.OpenMatchID}); err != nil {
						t.Fatal(err)
					}
					om.call = leave
					err = client.recreate(ctx, made.ID)
				}
				if !errors.Is(err, ticket.ErrUnavailable) {
					t.Fatalf("while the store is away: %v", err)
				}
				time.Sleep(5 * time.Second)
				om.call = func() {}
				store.away.Store(false)
				time.Sleep(time.Second)
				if c.at == "recreate" {
					if err := client.recreate(ctx, made.ID); err != nil {
						t.Error(err)
					}
					if got, err := store.Get(ctx, made.ID); err != nil || got.State != ticket.Waiting {
						t.Errorf("created anew: %+v, %v", got, err)
					}
				} else if _, err := client.Create(ctx, draft()); err != nil {
					t.Errorf("the player asks again: %v", err)
				}
				if n := testutil.ToFloat64(client.metrics.waiting.WithLabelValues("session")); n != 1 {
					t.Errorf("%v tickets are counted as waiting", n)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}
