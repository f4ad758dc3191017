package intake_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/intake"
	"torikumi/director/internal/ledger"
	"torikumi/director/internal/metrics"
	"torikumi/director/internal/place"
	"torikumi/director/internal/servers"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func (n *nothingReady) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "no streams")
}

// backend notes what is released, and when.
type backend struct {
	openmatch.BackendServiceClient
	mu       sync.Mutex
	released []string
	at       time.Time
}

func (b *backend) ReleaseTickets(_ context.Context, req *openmatch.ReleaseTicketsRequest, _ ...grpc.CallOption) (*openmatch.ReleaseTicketsResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released, b.at = append(b.released, req.GetTicketIds()...), time.Now()
	return new(openmatch.ReleaseTicketsResponse), nil
}

type rig struct {
	*intake.Intake
	backend   *backend
	allocator *nothingReady
	metrics   *metrics.Metrics
	endWork   context.CancelFunc
}

// newRig makes an intake with one slot, 30 s for a match and a pending release
// after 60 s.
func newRig(t *testing.T) *rig {
	r := &rig{backend: new(backend), allocator: new(nothingReady), metrics: metrics.New(prometheus.NewRegistry())}
	work, end := context.WithCancel(t.Context())
	r.endWork = end
	t.Cleanup(end)
	log := slog.New(slog.DiscardHandler)
	r.Intake = intake.New(intake.Options{
		Placer: place.New(place.Options{
			Backend: r.backend, Allocator: servers.NewAllocator(r.allocator), Running: t.Context(),
			Publish: func(*torikumiv1.Announcement) {}, Metrics: r.metrics, Logger: log, Now: time.Now,
		}),
		Backend: r.backend, Ledger: ledger.New(time.Minute), MaxInFlight: 1,
		MatchTimeout: 30 * time.Second, PendingRelease: time.Minute,
		Work: work, Cleanup: t.Context(), Metrics: r.metrics, Logger: log, Now: time.Now,
	})
	return r
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
			r := newRig(t)
			start := time.Now()
			r.Accept("duel", servers.Where{}, match("m", "a", "b"), start.Add(-c.age))
			r.Drain()
			if got := slices.Equal(r.backend.released, []string{"a", "b"}); got != c.released {
				t.Errorf("age %v: released %v", c.age, r.backend.released)
			}
			if got := r.backend.at.Sub(start); c.released && got != c.after {
				t.Errorf("age %v: released after %v, want %v", c.age, got, c.after)
			}
			if c.after == 0 && r.allocator.tries > 0 {
				t.Errorf("age %v: allocation was tried", c.age)
			}
			if !r.Troubled("duel") || r.Troubled("squad") {
				t.Errorf("age %v: trouble is not reported, or for another queue", c.age)
			}
		})
	}
}

// TestAcceptWaitsForRoom: and says so; when all time is over it gives up.
func TestAcceptWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		start := time.Now()
		if r.Accept("duel", servers.Where{}, match("m1", "a"), start) {
			t.Error("the first match had to wait")
		}
		if !r.Accept("duel", servers.Where{}, match("m2", "b"), start) || time.Since(start) != 30*time.Second {
			t.Errorf("the second match waited %v", time.Since(start))
		}
		time.AfterFunc(time.Second, r.endWork)
		r.Accept("duel", servers.Where{}, match("m3", "c"), start)
		if waited := time.Since(start); waited > 32*time.Second {
			t.Errorf("the third match waited until %v", waited)
		}
		r.Drain()
		if n := testutil.ToFloat64(r.metrics.InFlight); n != 0 {
			t.Errorf("%v matches are in flight", n)
		}
	})
}
