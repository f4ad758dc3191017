package tickets_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/tickets"
	"torikumi/proto/openmatch"
)

// server pages as Open Match does: by number alone.
type server struct {
	openmatch.UnimplementedQueryServiceServer
	mu        sync.Mutex
	tickets   []*openmatch.Ticket
	backfills []*openmatch.Backfill
	queries   int
}

func within(p *openmatch.Pool, created time.Time) bool {
	return (p.GetCreatedAfter() == nil || created.After(p.GetCreatedAfter().AsTime())) &&
		(p.GetCreatedBefore() == nil || created.Before(p.GetCreatedBefore().AsTime()))
}

const pageSize = 400

func (s *server) QueryTickets(r *openmatch.QueryTicketsRequest, out grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries++
	var found []*openmatch.Ticket
	for _, t := range s.tickets {
		if within(r.GetPool(), t.GetCreateTime().AsTime()) {
			found = append(found, t)
		}
	}
	for page := range slices.Chunk(found, pageSize) {
		if err := out.Send(&openmatch.QueryTicketsResponse{Tickets: page}); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) QueryTicketIds(r *openmatch.QueryTicketIdsRequest, out grpc.ServerStreamingServer[openmatch.QueryTicketIdsResponse]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := new(openmatch.QueryTicketIdsResponse)
	for _, t := range s.tickets {
		if within(r.GetPool(), t.GetCreateTime().AsTime()) {
			page.Ids = append(page.Ids, t.GetId())
		}
	}
	return out.Send(page)
}

func (s *server) QueryBackfills(r *openmatch.QueryBackfillsRequest, out grpc.ServerStreamingServer[openmatch.QueryBackfillsResponse]) error {
	var found []*openmatch.Backfill
	for _, b := range s.backfills {
		if within(r.GetPool(), b.GetCreateTime().AsTime()) {
			found = append(found, b)
		}
	}
	return out.Send(&openmatch.QueryBackfillsResponse{Backfills: found})
}

// serve returns a client that takes messages of at most so many bytes.
func serve(t *testing.T, s *server, most int) openmatch.QueryServiceClient {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	g := grpc.NewServer()
	openmatch.RegisterQueryServiceServer(g, s)
	var served sync.WaitGroup
	served.Go(func() {
		if err := g.Serve(lis); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		g.Stop()
		served.Wait()
	})
	return openmatch.NewQueryServiceClient(conn)
}

// An Open Match whose pages are too large for one message is read whole all the
// same, whenever its tickets came.
func TestPagesThatAreTooLarge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rng := rand.New(rand.NewPCG(1, 1))
	for name, age := range map[string]func(i int) time.Duration{
		"a burst":        func(int) time.Duration { return time.Duration(rng.IntN(2_000_000_000)) },
		"a day":          func(int) time.Duration { return time.Duration(rng.IntN(86400)) * time.Second },
		"clocks differ":  func(int) time.Duration { return time.Duration(rng.IntN(60)-30) * time.Second },
		"forgotten":      func(i int) time.Duration { return 500*24*time.Hour*time.Duration(i%2) + time.Duration(i)*time.Hour/4 },
		"exactly at now": func(i int) time.Duration { return time.Duration(i%100) * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			s := new(server)
			for i := range 1000 {
				s.tickets = append(s.tickets, &openmatch.Ticket{Id: fmt.Sprint("t", i), CreateTime: timestamppb.New(now.Add(-age(i))),
					SearchFields: &openmatch.SearchFields{Tags: []string{strings.Repeat("x", 1000)}}})
			}
			var told []bool
			r := &tickets.Reader{Query: serve(t, s, 80_000), Most: 100_000, Now: func() time.Time { return now },
				TooLarge: func(_ *openmatch.Pool, read bool) { told = append(told, read) }}
			for range 2 { // the second time it is brought up to date
				got, err := r.Read(t.Context(), &openmatch.Pool{Name: "all"})
				if err != nil {
					t.Fatal(err)
				}
				ids := make(map[string]bool)
				for _, k := range got {
					ids[k.Ticket.GetId()] = true
				}
				if len(got) != len(s.tickets) || len(ids) != len(got) {
					t.Fatalf("%d tickets, %d of them different, of %d", len(got), len(ids), len(s.tickets))
				}
			}
			if len(told) == 0 || slices.Contains(told, false) {
				t.Errorf("told %v", told)
			}
			t.Logf("%d queries", s.queries)
		})
	}
}

// What was created at one time and is too large is left out, and nothing else.
func TestATicketThatIsTooLarge(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &server{}
	for i := range 100 {
		s.tickets = append(s.tickets, &openmatch.Ticket{Id: fmt.Sprint("t", i), CreateTime: timestamppb.New(now.Add(-time.Duration(i) * time.Second))})
		s.backfills = append(s.backfills, &openmatch.Backfill{Id: fmt.Sprint("b", i), CreateTime: timestamppb.New(now.Add(-time.Duration(i) * time.Second))})
	}
	s.tickets[50].SearchFields = &openmatch.SearchFields{Tags: []string{strings.Repeat("x", 1_000_000)}}
	s.backfills[7].SearchFields = s.tickets[50].GetSearchFields()
	var told []bool
	r := &tickets.Reader{Query: serve(t, s, 200_000), Now: func() time.Time { return now }, TooLarge: func(_ *openmatch.Pool, read bool) { told = append(told, read) }}
	got, err := r.Read(t.Context(), &openmatch.Pool{})
	if err != nil || len(got) != 99 {
		t.Errorf("%d tickets, %v", len(got), err)
	}
	backfills, err := r.Backfills(t.Context(), &openmatch.Pool{})
	if err != nil || len(backfills) != 99 {
		t.Errorf("%d backfills, %v", len(backfills), err)
	}
	if !slices.Equal(told, []bool{false, false}) {
		t.Errorf("told %v", told)
	}
}
