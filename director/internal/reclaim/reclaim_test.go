package reclaim_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/match"
	"torikumi/director/internal/reclaim"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
)

// world answers for the tickets and deletes servers, in the bubble of one test.
type world struct {
	servers.GameServers
	openmatch.FrontendServiceClient
	// tickets by id; a missing one does not exist.
	tickets map[string]*openmatch.Ticket
	// failing makes so many reads fail first.
	failing int
	// during is called while the tickets are read.
	during func()
	reads  int
	// version is that of the server in the cluster.
	version string
	deleted time.Duration // since the start
	started time.Time
}

func (w *world) GetTicket(_ context.Context, req *openmatch.GetTicketRequest, _ ...grpc.CallOption) (*openmatch.Ticket, error) {
	w.reads++
	if w.during != nil {
		w.during()
	}
	if w.failing > 0 {
		w.failing--
		return nil, status.Error(codes.Unavailable, "away")
	}
	t := w.tickets[req.GetTicketId()]
	if t == nil {
		return nil, status.Error(codes.NotFound, "no such ticket")
	}
	return t, nil
}

func (w *world) Delete(_ context.Context, s servers.Server) error {
	if s.Version != w.version {
		return servers.ErrChanged
	}
	if w.deleted != 0 {
		return errors.New("deleted twice")
	}
	w.deleted = time.Since(w.started)
	return nil
}

// stamped is a server that a director with a match time of 30 s has allocated for
// the tickets a and b.
func stamped(t *testing.T, change ...func(*servers.Server)) servers.Server {
	t.Helper()
	m, err := match.Parse("duel", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{{Id: "a"}, {Id: "b"}}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := servers.Selector{Placing: 30 * time.Second}.Request(m)
	if err != nil {
		t.Fatal(err)
	}
	s := servers.Server{Namespace: "n", Name: "gs", UID: "u", Version: "1", State: agones.Allocated, Labels: req.GetMetadata().GetLabels(), Annotations: req.GetMetadata().GetAnnotations()}
	for _, c := range change {
		c(&s)
	}
	return s
}

func waits(id string) *openmatch.Ticket { return &openmatch.Ticket{Id: id} }

func assigned(id string) *openmatch.Ticket {
	return &openmatch.Ticket{Id: id, Assignment: &openmatch.Assignment{Connection: "192.0.2.1:1"}}
}

// withdrawn is a ticket whose assignment was taken back: a frontend may have read it.
func withdrawn(t *testing.T, id string) *openmatch.Ticket {
	a := new(openmatch.Assignment)
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, waits("x")); err != nil {
		t.Fatal(err)
	}
	return &openmatch.Ticket{Id: id, Assignment: a}
}

func TestReclaim(t *testing.T) {
	const due = 40 * time.Second
	both := map[string]*openmatch.Ticket{"a": waits("a"), "b": waits("b")}
	annotate := func(key, value string) func(*servers.Server) {
		return func(s *servers.Server) { s.Annotations[key] = value }
	}
	for _, c := range []struct {
		name    string
		change  func(*servers.Server)
		tickets map[string]*openmatch.Ticket
		failing int
		// then happens after 20 s.
		then func(*world, *reclaim.Reclaimer, servers.Server)
		// during happens at each read of a ticket.
		during func(*world, *reclaim.Reclaimer, servers.Server)
		want   time.Duration // 0: never
		// reads is how many tickets are read at the most; 0: any.
		reads int
	}{
		{name: "never assigned", tickets: both, want: due},
		{name: "one ticket cancelled", tickets: map[string]*openmatch.Ticket{"b": waits("b")}, want: due},
		{name: "tickets cannot be read for a while", tickets: both, failing: 3, want: due + 15*time.Second},
		{name: "its director has more time", tickets: both, change: annotate(contract.PlacingAnnotation, "45s x"), want: 55 * time.Second},
		{name: "its director has less time than this one", tickets: both, change: annotate(contract.PlacingAnnotation, "1s x"), want: due},
		{name: "an older director", tickets: both, change: annotate(contract.PlacingAnnotation, ""), want: due},
		{name: "a player of another match was here", tickets: both, change: annotate(contract.AdmittedAnnotation, "m-other"), want: due},

		{name: "assigned", tickets: map[string]*openmatch.Ticket{"a": assigned("a"), "b": assigned("b")}, reads: 1},
		{name: "one is assigned", tickets: map[string]*openmatch.Ticket{"a": waits("a"), "b": assigned("b")}, reads: 2},
		{name: "withdrawn", tickets: map[string]*openmatch.Ticket{"a": waits("a"), "b": withdrawn(t, "b")}},
		{name: "all tickets are gone", reads: 2},
		{name: "tickets can never be read", tickets: both, failing: 1 << 30},
		{name: "somebody has come", tickets: both, change: annotate(contract.AdmittedAnnotation, contract.MatchLabelValue("m")), reads: -1},
		{name: "Ready", tickets: both, change: func(s *servers.Server) { s.State = agones.Ready }, reads: -1},
		{name: "not ours", tickets: both, change: func(s *servers.Server) { delete(s.Labels, contract.MatchLabel) }, reads: -1},
		{name: "a roster of another match", tickets: both, change: func(s *servers.Server) { s.Labels[contract.MatchLabel] = "m-other" }, reads: -1},
		{name: "without a roster", tickets: both, change: func(s *servers.Server) { s.Annotations = map[string]string{} }, reads: -1},

		{name: "somebody comes in time", tickets: both, reads: -1, then: func(w *world, r *reclaim.Reclaimer, s servers.Server) {
			s.Version, s.Annotations[contract.AdmittedAnnotation] = "2", contract.MatchLabelValue("m")
			w.version = "2"
			r.Observe(s)
		}},
		{name: "it ends", tickets: both, reads: -1, then: func(_ *world, r *reclaim.Reclaimer, s servers.Server) { r.Gone(s) }},
		{name: "another director takes it over", tickets: both, want: 20*time.Second + due, then: func(w *world, r *reclaim.Reclaimer, s servers.Server) {
			s.Version, s.Annotations[contract.PlacingAnnotation] = "2", servers.Placing(30*time.Second)
			w.version = "2"
			r.Observe(s)
		}},
		{name: "something else changes", tickets: both, want: due, then: func(w *world, r *reclaim.Reclaimer, s servers.Server) {
			s.Version, s.Annotations["health"] = "2", "ok"
			w.version = "2"
			r.Observe(s)
		}},
		{name: "another director takes it over while the tickets are read, and assigns it", tickets: both, during: func(w *world, _ *reclaim.Reclaimer, _ servers.Server) {
			w.version = "2" // of which has not been heard yet
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{tickets: c.tickets, failing: c.failing, version: "1", started: time.Now()}
				r := reclaim.New(reclaim.Options{
					GameServers: w, Tickets: w, Placing: 30 * time.Second, Registry: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
				})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- r.Run(ctx) }()
				s := stamped(t)
				if c.change != nil {
					c.change(&s)
				}
				if c.during != nil {
					w.during = func() { c.during(w, r, s) }
				}
				r.Observe(s)
				time.Sleep(20 * time.Second) // of the bubble's clock
				synctest.Wait()
				if c.then != nil {
					later := stamped(t)
					later.Annotations[contract.PlacingAnnotation] = s.Annotations[contract.PlacingAnnotation]
					c.then(w, r, later)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if w.deleted != c.want {
					t.Errorf("deleted after %v, want %v", w.deleted, c.want)
				}
				if c.reads != 0 && w.reads > max(c.reads, 0) {
					t.Errorf("%d tickets were read, want at most %d", w.reads, max(c.reads, 0))
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
