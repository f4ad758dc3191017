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
	// loses is the kind of an Update that has its effect, and with which it goes away.
	loses ticket.Kind
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
	change, err := r.Store.Update(ctx, id, e)
	if e.Kind == r.loses {
		r.away.Store(true)
		return ticket.Change{}, ticket.ErrUnavailable
	}
	return change, err
}

func (r *remote) UpdateOpenMatch(ctx context.Context, openMatchID string, e ticket.Event) (ticket.Change, error) {
	if r.away.Load() {
		return ticket.Change{}, ticket.ErrUnavailable
	}
	return r.Store.UpdateOpenMatch(ctx, openMatchID, e)
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
	for _, at := range []string{"create", "attach", "attach another", "begin another", "party"} {
		t.Run(at, func(t *testing.T) {
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
				go whenDue(ctx, client.abortsDue, client.abortAgain)

				leave := func() { store.away.Store(true) }
				var made ticket.Ticket
				var err error
				switch at {
				case "create":
					leave()
					_, err = client.Create(ctx, draft())
				case "attach":
					om.call = leave
					_, err = client.Create(ctx, draft())
				case "party":
					party := draft()
					party.Party = &ticket.Party{Leader: "alice", Size: 2, Code: "code"}
					made, err = client.Create(ctx, party)
					if err == nil {
						store.loses = ticket.Complete
						_, err = client.Complete(ctx, made.ID, made.Party.Revision)
					}
				default:
					if made, err = client.Create(ctx, draft()); err != nil {
						t.Fatal(err)
					}
					if _, err := store.Update(ctx, made.ID, ticket.Event{Kind: ticket.MarkLost, OpenMatchID: made.OpenMatchID}); err != nil {
						t.Fatal(err)
					}
					om.call = leave
					if at == "begin another" {
						store.loses = ticket.BeginRetry
					}
					if err = client.recreate(ctx, made.ID); !errors.Is(err, errUnchecked) {
						t.Errorf("created anew while the store is away: %v", err)
					}
				}
				if !errors.Is(err, ticket.ErrUnavailable) {
					t.Fatalf("while the store is away: %v", err)
				}
				time.Sleep(5 * time.Second)
				om.call, store.loses = func() {}, 0
				store.away.Store(false)
				time.Sleep(time.Second)
				if made.ID == "" {
					if _, err := client.Create(ctx, draft()); err != nil {
						t.Errorf("the player asks again: %v", err)
					}
				} else if err := client.recreate(ctx, made.ID); err != nil {
					t.Error(err)
				} else if got, err := store.Get(ctx, made.ID); err != nil || got.State != ticket.Waiting {
					t.Errorf("created anew: %+v, %v", got, err)
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
