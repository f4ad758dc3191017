package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/filter"
	"torikumi/minimatch/internal/store"
	"torikumi/minimatch/internal/synchronizer"
	"torikumi/proto/openmatch"
)

const (
	registration   = time.Second
	pendingTimeout = time.Minute
)

// acceptAll is an evaluator that lets matches share tickets.
type acceptAll struct{}

func (acceptAll) Evaluate(ctx context.Context, source synchronizer.Source, accept func(string) error) error {
	for {
		batch, err := source.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range batch {
			if err := accept(m.GetMatchId()); err != nil {
				return err
			}
		}
	}
}

// cycles are those of a service, whose calls a test drives in place of match
// functions and streams.
type cycles struct {
	t       *testing.T
	clock   *clock.Fake
	service *Service
}

func newCycles(t *testing.T) *cycles {
	c := clock.NewFake(time.Unix(0, 0))
	st := store.New(store.Options{Clock: c, PendingTimeout: pendingTimeout, AssignedTimeout: time.Hour})
	t.Cleanup(st.Close)
	sy := synchronizer.New(synchronizer.Options{
		Clock: c, Evaluator: acceptAll{}, Pending: st,
		Registration: registration, Collection: time.Minute,
		MaxProposals: 1000, MaxProposalBytes: 16 << 20,
	})
	t.Cleanup(sy.Close)
	return &cycles{t: t, clock: c, service: New(st, sy, nil)}
}

func (c *cycles) register() *synchronizer.Call {
	c.t.Helper()
	call, err := c.service.synchronizer.Register(c.t.Context(), c.service.fill, c.service.abandon)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(call.Leave)
	return call
}

func (c *cycles) propose(call *synchronizer.Call, matches ...*openmatch.Match) {
	c.t.Helper()
	for _, m := range matches {
		if err := call.Propose(m); err != nil {
			c.t.Fatal(err)
		}
	}
	call.Done()
}

// take reads one match, and says how to give it back.
func (c *cycles) take(call *synchronizer.Call) (giveBack func()) {
	c.t.Helper()
	_, giveBack, err := call.Next(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return giveBack
}

// ends waits until the call has no more matches, and so its cycle has ended.
func (c *cycles) ends(call *synchronizer.Call) {
	c.t.Helper()
	if _, _, err := call.Next(c.t.Context()); !errors.Is(err, io.EOF) {
		c.t.Fatal(err)
	}
}

func (c *cycles) ticket() *openmatch.Ticket { return c.service.store.Create(&openmatch.Ticket{}) }

func (c *cycles) expectWaiting(want ...*openmatch.Ticket) {
	c.t.Helper()
	all, err := filter.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	ids := ticketIDs(&openmatch.Match{Tickets: c.service.store.Query(all)})
	wanted := ticketIDs(&openmatch.Match{Tickets: want})
	slices.Sort(ids)
	slices.Sort(wanted)
	if !slices.Equal(ids, wanted) {
		c.t.Errorf("waiting: %v, want %v", ids, wanted)
	}
}

// A caller who has not read its match until the tickets waited again, and were
// matched again, leaves: they are the other match's.
func TestALateLeaverReleasesNoTicketOfALaterMatch(t *testing.T) {
	for name, b := range map[string]*openmatch.Backfill{"no backfill": nil, "a new backfill": {}} {
		t.Run(name, func(t *testing.T) {
			c := newCycles(t)
			again, waits := c.ticket(), c.ticket()
			late, other := c.register(), c.register()
			c.propose(late, &openmatch.Match{MatchId: "unread", Tickets: []*openmatch.Ticket{again, waits}, Backfill: b})
			c.propose(other)
			c.clock.Advance(registration)
			c.ends(other)
			c.expectWaiting()
			c.clock.Advance(pendingTimeout)
			c.expectWaiting(again, waits)

			later := c.register()
			c.propose(later, &openmatch.Match{MatchId: "later", Tickets: []*openmatch.Ticket{again}})
			c.clock.Advance(registration)
			c.take(later)
			c.ends(later)
			late.Leave()
			c.expectWaiting(waits)
			c.clock.Advance(pendingTimeout)
			c.expectWaiting(again, waits)
		})
	}
}

// An evaluator may accept two matches that share a ticket. It waits again when
// neither is delivered, and not when one is.
func TestASharedTicketIsReleasedByTheLastOfItsMatches(t *testing.T) {
	for _, first := range []int{0, 1} {
		c := newCycles(t)
		shared := c.ticket()
		calls := []*synchronizer.Call{c.register(), c.register()}
		for i, call := range calls {
			c.propose(call, &openmatch.Match{MatchId: string(rune('a' + i)), Tickets: []*openmatch.Ticket{shared}})
		}
		c.clock.Advance(registration)
		giveBack, giveBackLater := c.take(calls[first]), c.take(calls[1-first])
		giveBack()
		c.expectWaiting()
		giveBackLater()
		c.expectWaiting(shared)
	}
}

// A match that would make its backfill larger than a page ends its own call: its tickets wait
// again, those before it stand, and other calls go on.
func TestABackfillThatWouldBeTooLarge(t *testing.T) {
	large := map[string]*anypb.Any{"x": {TypeUrl: "x/y", Value: make([]byte, 5<<19)}}
	for name, tt := range map[string]struct {
		proposed *openmatch.Backfill
		want     string
	}{
		"there":                 {&openmatch.Backfill{Generation: 1, Extensions: large}, "backfill, with the persistent_field that it keeps, must have at most 4193280 bytes, got 5242"},
		"of another generation": {&openmatch.Backfill{Generation: 2, Extensions: large}, ""},
		"new":                   {&openmatch.Backfill{Extensions: large, PersistentField: large}, "backfill must have at most 4193280 bytes, got 5242"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCycles(t)
			b := c.service.store.CreateBackfill(&openmatch.Backfill{PersistentField: large})
			if tt.proposed.GetGeneration() > 0 {
				tt.proposed.Id = b.GetId()
			}
			before, refused, other := c.ticket(), c.ticket(), c.ticket()
			call, beside := c.register(), c.register()
			c.propose(call,
				&openmatch.Match{MatchId: "before", Tickets: []*openmatch.Ticket{before}},
				&openmatch.Match{MatchId: "refused", Tickets: []*openmatch.Ticket{refused}, Backfill: tt.proposed})
			c.propose(beside, &openmatch.Match{MatchId: "beside", Tickets: []*openmatch.Ticket{other}})
			c.clock.Advance(registration)
			c.take(call)
			_, _, err := call.Next(t.Context())
			if tt.want != "" && !strings.Contains(fmt.Sprint(err), "refused: "+tt.want) || tt.want == "" && !errors.Is(err, io.EOF) {
				t.Errorf("it ended with %v, want %q", err, tt.want)
			}
			c.take(beside)
			c.ends(beside)
			c.expectWaiting(refused)
			if got, _ := c.service.store.GetBackfill(b.GetId()); got != b || c.service.store.Size().Backfills != 1 {
				t.Error("the backfill has changed, or there is another one")
			}
		})
	}
}

// A match that is dropped as its backfill has changed releases only its own.
func TestADroppedMatchReleasesNoTicketOfAnother(t *testing.T) {
	c := newCycles(t)
	shared, own := c.ticket(), c.ticket()
	call := c.register()
	c.propose(call,
		&openmatch.Match{MatchId: "stands", Tickets: []*openmatch.Ticket{shared}},
		&openmatch.Match{MatchId: "dropped", Tickets: []*openmatch.Ticket{shared, own}, Backfill: &openmatch.Backfill{Id: "gone"}})
	c.clock.Advance(registration)
	c.take(call)
	c.ends(call)
	c.expectWaiting(own)
}
