package tickets_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/tickets"
	"torikumi/proto/openmatch"
)

// query is a query service in memory. It counts the tickets that it sends.
type query struct {
	openmatch.QueryServiceClient
	waiting map[string]*openmatch.Ticket
	noIDs   bool
	sent    int
}

type stream[T any] struct {
	grpc.ClientStream
	pages []*T
}

func (s *stream[T]) Recv() (*T, error) {
	if len(s.pages) == 0 {
		return nil, io.EOF
	}
	p := s.pages[0]
	s.pages = s.pages[1:]
	return p, nil
}

func (q *query) QueryTickets(_ context.Context, r *openmatch.QueryTicketsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[openmatch.QueryTicketsResponse], error) {
	var page []*openmatch.Ticket
	for _, t := range q.waiting {
		if after := r.GetPool().GetCreatedAfter(); after == nil || t.GetCreateTime().AsTime().After(after.AsTime()) {
			page = append(page, t)
		}
	}
	q.sent += len(page)
	half := len(page) / 2
	return &stream[openmatch.QueryTicketsResponse]{pages: []*openmatch.QueryTicketsResponse{{Tickets: page[:half]}, {Tickets: page[half:]}}}, nil
}

func (q *query) QueryTicketIds(context.Context, *openmatch.QueryTicketIdsRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[openmatch.QueryTicketIdsResponse], error) {
	if q.noIDs {
		return nil, status.Error(codes.Unimplemented, "no")
	}
	page := new(openmatch.QueryTicketIdsResponse)
	for id := range q.waiting {
		page.Ids = append(page.Ids, id)
	}
	return &stream[openmatch.QueryTicketIdsResponse]{pages: []*openmatch.QueryTicketIdsResponse{page}}, nil
}

// Whatever comes, goes, comes back and is dated by clocks that differ, what is
// read is what waits; and after the first time little is sent.
func TestReadIsWhatWaits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	now := time.Unix(1000, 0)
	q := &query{waiting: make(map[string]*openmatch.Ticket)}
	whole := 0
	r := &tickets.Reader{Query: q, Most: 100_000, Now: func() time.Time { return now }, Whole: func() { whole++ }}
	hidden := make(map[string]*openmatch.Ticket)
	made, waited := 0, 0
	arrive := func(n int) {
		for range n {
			id := fmt.Sprint("t", made)
			made++
			q.waiting[id] = &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now.Add(time.Duration(rng.IntN(8000)-4000) * time.Millisecond))}
		}
	}
	arrive(5000)
	for range 200 {
		got, err := r.Read(t.Context(), &openmatch.Pool{Name: "all"})
		if err != nil {
			t.Fatal(err)
		}
		var ids, want []string
		for _, k := range got {
			ids = append(ids, k.Ticket.GetId())
			if k.Err != nil || len(k.Details.GetPlayers()) != 1 {
				t.Fatalf("%+v", k)
			}
		}
		for id := range q.waiting {
			want = append(want, id)
		}
		waited += len(want)
		slices.Sort(ids)
		slices.Sort(want)
		if !slices.Equal(ids, want) {
			t.Fatalf("%d read, %d wait", len(ids), len(want))
		}
		now = now.Add(time.Second)
		for _, id := range slices.Sorted(maps.Keys(q.waiting)) { // into matches, and out of them again
			k := q.waiting[id]
			if rng.IntN(20) == 0 {
				delete(q.waiting, id)
				hidden[id] = k
			}
		}
		for _, id := range slices.Sorted(maps.Keys(hidden)) {
			k := hidden[id]
			if rng.IntN(20) == 0 {
				q.waiting[id] = k
				delete(hidden, id)
			} else if rng.IntN(20) == 0 {
				delete(hidden, id)
			}
		}
		arrive(rng.IntN(50))
	}
	t.Logf("%d tickets were sent, %d waited in all reads together, %d whole reads of 200", q.sent, waited, whole)
	if whole > 1 || q.sent > waited/3 {
		t.Error("too much is read again")
	}
}

// One ticket that nobody knows makes the pool be read whole, once: those that
// are in matches meanwhile are not forgotten by it.
func TestWholeReadForgetsNobody(t *testing.T) {
	now := time.Unix(1000, 0)
	q := &query{waiting: make(map[string]*openmatch.Ticket)}
	whole := 0
	r := &tickets.Reader{Query: q, Most: 1000, Now: func() time.Time { return now }, Whole: func() { whole++ }}
	read := func() {
		t.Helper()
		now = now.Add(time.Second)
		got, err := r.Read(t.Context(), &openmatch.Pool{Name: "all"})
		if err != nil || len(got) != len(q.waiting) {
			t.Fatalf("%d read, %d wait: %v", len(got), len(q.waiting), err)
		}
	}
	ticket := func(id string, age time.Duration) *openmatch.Ticket {
		return &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now.Add(-age))}
	}
	for i := range 50 {
		id := fmt.Sprint("t", i)
		q.waiting[id] = ticket(id, time.Duration(i)*time.Minute)
	}
	read()
	away := maps.Clone(q.waiting)
	delete(away, "t0")
	q.waiting = map[string]*openmatch.Ticket{"t0": q.waiting["t0"]}
	read()
	q.waiting["old"] = ticket("old", time.Hour) // it was not in the pool before
	read()
	if whole != 2 {
		t.Fatalf("%d whole reads, want the first and one for the unknown ticket", whole)
	}
	for id, k := range away { // their matches fail, one after the other
		q.waiting[id] = k
		read()
	}
	if whole != 2 {
		t.Errorf("%d whole reads", whole)
	}
}

// A ticket that is there and is neither known nor new makes the pool be read
// again.
func TestUnknownOldTicket(t *testing.T) {
	now := time.Unix(1000, 0)
	q := &query{waiting: map[string]*openmatch.Ticket{"new": {Id: "new", CreateTime: timestamppb.New(now)}}}
	r := &tickets.Reader{Query: q, Most: 10, Now: func() time.Time { return now }}
	for _, id := range []string{"old", "older"} {
		if _, err := r.Read(t.Context(), &openmatch.Pool{}); err != nil {
			t.Fatal(err)
		}
		q.waiting[id] = &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now.Add(-time.Hour))}
		got, err := r.Read(t.Context(), &openmatch.Pool{})
		if err != nil || len(got) != len(q.waiting) {
			t.Errorf("%v, %v", got, err)
		}
	}
}

func TestPoolsThatAreNotKept(t *testing.T) {
	now := time.Unix(1000, 0)
	for name, r := range map[string]*tickets.Reader{
		"too large": {Query: &query{}, Most: 2}, "kept none": {Query: &query{}}, "without ids": {Query: &query{noIDs: true}, Most: 10}, "small": {Query: &query{}, Most: 10, Least: 3},
	} {
		whole := 0
		r.Now, r.Whole = func() time.Time { return now }, func() { whole++ }
		q := r.Query.(*query)
		q.waiting = map[string]*openmatch.Ticket{"a": {Id: "a"}, "b": {Id: "b"}, "c": {Id: "c"}}
		for range 3 {
			got, err := r.Read(t.Context(), &openmatch.Pool{})
			if err != nil || len(got) != 3 {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
		if whole != 3 {
			t.Errorf("%s: %d whole reads", name, whole)
		}
	}
}

// What is kept of all pools together is bounded: those that were read last stay.
func TestAllPoolsTogether(t *testing.T) {
	now := time.Unix(1000, 0)
	q := &query{waiting: make(map[string]*openmatch.Ticket)}
	for i := range 10 {
		id := fmt.Sprint("t", i)
		q.waiting[id] = &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now)}
	}
	whole := 0
	r := &tickets.Reader{Query: q, Most: 25, Now: func() time.Time { return now }, Whole: func() { whole++ }}
	for _, step := range []struct {
		pool  string
		whole int
	}{{"a", 1}, {"b", 2}, {"a", 2}, {"c", 3}, {"a", 3}, {"c", 3}, {"b", 4}, {"c", 4}, {"a", 5}} {
		now = now.Add(time.Second)
		got, err := r.Read(t.Context(), &openmatch.Pool{Name: step.pool})
		if err != nil || len(got) != 10 {
			t.Fatalf("%d tickets, %v", len(got), err)
		}
		if whole != step.whole {
			t.Errorf("pool %s: %d whole reads, want %d", step.pool, whole, step.whole)
		}
	}
}

// hung is a query service that does not answer.
type hung struct {
	openmatch.QueryServiceClient
	asked chan struct{}
}

func (h *hung) QueryTickets(ctx context.Context, _ *openmatch.QueryTicketsRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[openmatch.QueryTicketsResponse], error) {
	h.asked <- struct{}{}
	<-ctx.Done()
	return nil, status.FromContextError(ctx.Err()).Err()
}

// A call that waits for another one's read of the same pool ends with its own
// context.
func TestWaitingReadEnds(t *testing.T) {
	h := &hung{asked: make(chan struct{}, 2)}
	r := &tickets.Reader{Query: h, Most: 10, Now: time.Now}
	first, giveUp := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := r.Read(first, &openmatch.Pool{})
		done <- err
	}()
	<-h.asked
	second, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Read(second, &openmatch.Pool{}); status.Code(err) != codes.Canceled || len(h.asked) > 0 {
		t.Errorf("the waiting call ends with %v", err)
	}
	giveUp()
	if err := <-done; status.Code(err) != codes.Canceled {
		t.Errorf("the hung call ends with %v", err)
	}
}
