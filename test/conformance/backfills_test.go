package conformance_test

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/minimatch/minimatch"
	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
)

// backfill makes one that only this test's pool finds.
func (om *openMatch) backfill() *openmatch.Backfill {
	om.t.Helper()
	b, err := om.frontend.CreateBackfill(om.t.Context(), &openmatch.CreateBackfillRequest{Backfill: om.asking()})
	if err != nil {
		om.t.Fatal(err)
	}
	om.t.Cleanup(func() {
		// Only for a system that outlives the test.
		_, _ = om.frontend.DeleteBackfill(context.Background(), &openmatch.DeleteBackfillRequest{BackfillId: b.GetId()})
	})
	return b
}

func (om *openMatch) asking(tags ...string) *openmatch.Backfill {
	return &openmatch.Backfill{SearchFields: &openmatch.SearchFields{Tags: append([]string{om.name}, tags...)}}
}

func (om *openMatch) get(b *openmatch.Backfill) *openmatch.Backfill {
	om.t.Helper()
	got, err := om.frontend.GetBackfill(om.t.Context(), &openmatch.GetBackfillRequest{BackfillId: b.GetId()})
	if err != nil {
		om.t.Fatal(err)
	}
	return got
}

func (om *openMatch) acknowledge(b *openmatch.Backfill) (*openmatch.AcknowledgeBackfillResponse, error) {
	return om.frontend.AcknowledgeBackfill(om.t.Context(), &openmatch.AcknowledgeBackfillRequest{
		BackfillId: b.GetId(), Assignment: &openmatch.Assignment{Connection: "here"},
	})
}

// backfills lists what a query finds.
func (om *openMatch) backfills(pool *openmatch.Pool) (ids []string, pages []int) {
	om.t.Helper()
	stream, err := om.query.QueryBackfills(om.t.Context(), &openmatch.QueryBackfillsRequest{Pool: pool})
	if err != nil {
		om.t.Fatal(err)
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			slices.Sort(ids)
			return ids, pages
		}
		if err != nil {
			om.t.Fatal(err)
		}
		pages = append(pages, len(resp.GetBackfills()))
		for _, b := range resp.GetBackfills() {
			ids = append(ids, b.GetId())
		}
	}
}

func (om *openMatch) expectBackfills(want ...*openmatch.Backfill) {
	om.t.Helper()
	var ids []string
	for _, b := range want {
		ids = append(ids, b.GetId())
	}
	slices.Sort(ids)
	if got, _ := om.backfills(om.pool()); !slices.Equal(got, ids) {
		om.t.Errorf("backfills: %v, want %v", got, ids)
	}
}

func text(t *testing.T, s string) map[string]*anypb.Any {
	t.Helper()
	a, err := anypb.New(wrapperspb.String(s))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*anypb.Any{"text": a}
}

func expectEqual(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// fetchOne takes the match that a profile gives.
func (om *openMatch) fetchOne(profile string) *openmatch.Match {
	om.t.Helper()
	stream, err := om.backend.FetchMatches(om.t.Context(), om.request(profile))
	if err != nil {
		om.t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		om.t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		om.t.Fatalf("after the match: %v", err)
	}
	return resp.GetMatch()
}

func TestABackfillIsCreated(t *testing.T) {
	om := start(t)
	given := om.asking()
	given.Id, given.Generation = "mine", 7
	given.Extensions, given.PersistentField = text(t, "extension"), text(t, "persistent")
	before := time.Now().Add(-time.Minute)
	got, err := om.frontend.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: given})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetId() == "mine" || got.GetCreateTime().AsTime().Before(before) {
		t.Errorf("got %v", got)
	}
	want := proto.CloneOf(given)
	want.Id, want.CreateTime, want.Generation = got.GetId(), got.GetCreateTime(), 1
	expectEqual(t, got, want)
	expectEqual(t, om.get(got), want)
	om.expectBackfills(got)
	om.expectWaiting()
}

func TestWrongCallsOnBackfills(t *testing.T) {
	om := start(t)
	f := om.frontend
	for name, c := range map[string]struct {
		call func() error
		want codes.Code
	}{
		"create nothing": {func() error {
			_, err := f.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{})
			return err
		}, codes.InvalidArgument},
		"create with a time": {func() error {
			_, err := f.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{CreateTime: timestamppb.Now()}})
			return err
		}, codes.InvalidArgument},
		"update nothing": {func() error {
			_, err := f.UpdateBackfill(t.Context(), &openmatch.UpdateBackfillRequest{})
			return err
		}, codes.InvalidArgument},
		"update without id": {func() error {
			_, err := f.UpdateBackfill(t.Context(), &openmatch.UpdateBackfillRequest{Backfill: &openmatch.Backfill{}})
			return err
		}, codes.InvalidArgument},
		"update an unknown one": {func() error {
			_, err := f.UpdateBackfill(t.Context(), &openmatch.UpdateBackfillRequest{Backfill: &openmatch.Backfill{Id: "none"}})
			return err
		}, codes.NotFound},
		"delete without id": {func() error {
			_, err := f.DeleteBackfill(t.Context(), &openmatch.DeleteBackfillRequest{})
			return err
		}, codes.InvalidArgument},
		"delete an unknown one": {func() error {
			_, err := f.DeleteBackfill(t.Context(), &openmatch.DeleteBackfillRequest{BackfillId: "none"})
			return err
		}, codes.OK},
		"get without id": {func() error {
			_, err := f.GetBackfill(t.Context(), &openmatch.GetBackfillRequest{})
			return err
		}, codes.NotFound},
		"get an unknown one": {func() error {
			_, err := f.GetBackfill(t.Context(), &openmatch.GetBackfillRequest{BackfillId: "none"})
			return err
		}, codes.NotFound},
		"acknowledge without id": {func() error {
			_, err := f.AcknowledgeBackfill(t.Context(), &openmatch.AcknowledgeBackfillRequest{Assignment: &openmatch.Assignment{}})
			return err
		}, codes.InvalidArgument},
		"acknowledge without assignment": {func() error {
			_, err := f.AcknowledgeBackfill(t.Context(), &openmatch.AcknowledgeBackfillRequest{BackfillId: "none"})
			return err
		}, codes.InvalidArgument},
		"acknowledge an unknown one": {func() error {
			_, err := f.AcknowledgeBackfill(t.Context(), &openmatch.AcknowledgeBackfillRequest{BackfillId: "none", Assignment: &openmatch.Assignment{}})
			return err
		}, codes.NotFound},
		"query without pool": {func() error {
			stream, err := om.query.QueryBackfills(t.Context(), &openmatch.QueryBackfillsRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) { expectCode(t, c.call(), c.want) })
	}
}

func TestUpdatingABackfillReplacesWhatItAsksFor(t *testing.T) {
	om := start(t)
	b := om.backfill()
	change := om.asking("more")
	change.Id, change.Generation = b.GetId(), 42
	change.Extensions, change.PersistentField = text(t, "extension"), text(t, "persistent")
	got, err := om.frontend.UpdateBackfill(t.Context(), &openmatch.UpdateBackfillRequest{Backfill: change})
	if err != nil {
		t.Fatal(err)
	}
	want := proto.CloneOf(change)
	want.Generation, want.CreateTime = 2, b.GetCreateTime()
	expectEqual(t, got, want)
	expectEqual(t, om.get(b), want)
	more := om.pool()
	more.TagPresentFilters = append(more.TagPresentFilters, &openmatch.TagPresentFilter{Tag: "more"})
	if ids, _ := om.backfills(more); !slices.Equal(ids, []string{b.GetId()}) {
		t.Errorf("the new search fields find %v", ids)
	}
}

func TestADeletedBackfillIsGone(t *testing.T) {
	om := start(t)
	b := om.backfill()
	om.expectBackfills(b)
	if _, err := om.frontend.DeleteBackfill(t.Context(), &openmatch.DeleteBackfillRequest{BackfillId: b.GetId()}); err != nil {
		t.Fatal(err)
	}
	_, err := om.frontend.GetBackfill(t.Context(), &openmatch.GetBackfillRequest{BackfillId: b.GetId()})
	expectCode(t, err, codes.NotFound)
	_, err = om.acknowledge(b)
	expectCode(t, err, codes.NotFound)
	om.expectBackfills()
}

func TestBackfillsComeInPagesAndBySearchFields(t *testing.T) {
	om := start(t)
	for range pageSize*2 + 1 {
		om.backfill()
	}
	ids, pages := om.backfills(om.pool())
	if len(ids) != pageSize*2+1 || !slices.Equal(pages, []int{pageSize, pageSize, 1}) {
		t.Errorf("%d backfills in pages of %v", len(ids), pages)
	}
	future := om.pool()
	future.CreatedAfter = timestamppb.New(time.Now().Add(time.Hour))
	if ids, pages := om.backfills(future); len(ids) != 0 || len(pages) != 0 {
		t.Errorf("created in the future: %v in %v", ids, pages)
	}
}

func TestAMatchCreatesABackfill(t *testing.T) {
	om := start(t)
	a := om.ticket()
	m := om.match("m", a)
	m.AllocateGameserver = true
	m.Backfill = om.asking()
	m.Backfill.Extensions, m.Backfill.PersistentField = text(t, "extension"), text(t, "persistent")
	om.proposing("p", m)
	got := om.fetchOne("p")
	b := got.GetBackfill()
	if b.GetId() == "" || b.GetCreateTime() == nil {
		t.Fatalf("the match has the backfill %v", b)
	}
	want := proto.CloneOf(m.GetBackfill())
	want.Id, want.CreateTime, want.Generation = b.GetId(), b.GetCreateTime(), 1
	expectEqual(t, b, want)
	expectEqual(t, om.get(b), want)
	om.expectBackfills(b)
	om.expectWaiting()
	if !got.GetAllocateGameserver() || len(got.GetTickets()) != 1 {
		t.Errorf("the match is %v", got)
	}

	resp, err := om.acknowledge(b)
	if err != nil {
		t.Fatal(err)
	}
	expectEqual(t, resp.GetBackfill(), want)
	if len(resp.GetTickets()) != 1 || resp.GetTickets()[0].GetId() != a.GetId() || resp.GetTickets()[0].GetAssignment().GetConnection() != "here" {
		t.Errorf("assigned %v", resp.GetTickets())
	}
	assigned, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: a.GetId()})
	if err != nil || assigned.GetAssignment().GetConnection() != "here" {
		t.Errorf("the ticket is %v, %v", assigned, err)
	}
	if resp, err = om.acknowledge(b); err != nil || len(resp.GetTickets()) != 0 {
		t.Errorf("acknowledged again: %v, %v", resp, err)
	}
	om.release(a)
	om.expectWaiting()
}

func (om *openMatch) release(tickets ...*openmatch.Ticket) {
	om.t.Helper()
	var ids []string
	for _, t := range tickets {
		ids = append(ids, t.GetId())
	}
	if _, err := om.backend.ReleaseTickets(om.t.Context(), &openmatch.ReleaseTicketsRequest{TicketIds: ids}); err != nil {
		om.t.Fatal(err)
	}
}

// into is a match that puts tickets into a backfill which exists.
func (om *openMatch) into(id string, b *openmatch.Backfill, tickets ...*openmatch.Ticket) *openmatch.Match {
	m := om.match(id, tickets...)
	m.Backfill = proto.CloneOf(b)
	return m
}

func TestAMatchFillsABackfill(t *testing.T) {
	om := start(t)
	first := om.asking()
	first.PersistentField = text(t, "kept")
	b, err := om.frontend.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: first})
	if err != nil {
		t.Fatal(err)
	}
	a, other := om.ticket(), om.ticket()
	m := om.into("m", b, a, other)
	m.Backfill.SearchFields.Tags = append(m.Backfill.SearchFields.Tags, "full")
	m.Backfill.Extensions, m.Backfill.PersistentField = text(t, "extension"), text(t, "passed over")
	om.proposing("p", m)
	if sent := om.fetchOne("p").GetBackfill(); sent.GetId() != b.GetId() || sent.GetGeneration() != 1 {
		t.Errorf("the match has %v", sent)
	}
	om.expectWaiting()
	want := proto.CloneOf(m.GetBackfill())
	want.Generation, want.PersistentField = 2, first.GetPersistentField()
	expectEqual(t, om.get(b), want)

	// One of them leaves before the server has heard of it.
	if _, err := om.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: other.GetId()}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the ticket is gone", func() bool {
		_, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: other.GetId()})
		return err != nil
	})
	resp, err := om.acknowledge(b)
	if err != nil || len(resp.GetTickets()) != 1 || resp.GetTickets()[0].GetId() != a.GetId() {
		t.Errorf("acknowledged: %v, %v", resp, err)
	}
}

func TestAMatchForAnotherGenerationIsDroppedAndItsTicketsReleased(t *testing.T) {
	om := start(t)
	b := om.backfill()
	a, c, d := om.ticket(), om.ticket(), om.ticket()
	unknown := om.asking()
	unknown.Id, unknown.Generation = "none", 1
	old := proto.CloneOf(b)
	old.Generation = 5
	om.proposing("p", om.into("old", old, a), om.into("unknown", unknown, c), om.match("plain", d))
	om.expectFetch(om.fetch(t.Context(), om.request("p")), codes.OK, "plain")
	om.expectWaiting(a, c)
	expectEqual(t, om.get(b), b)
}

func TestUpdatingOrDeletingABackfillReleasesThoseWhoWereJoining(t *testing.T) {
	for name, change := range map[string]func(*openMatch, *openmatch.Backfill) error{
		"update": func(om *openMatch, b *openmatch.Backfill) error {
			_, err := om.frontend.UpdateBackfill(om.t.Context(), &openmatch.UpdateBackfillRequest{Backfill: b})
			return err
		},
		"delete": func(om *openMatch, b *openmatch.Backfill) error {
			_, err := om.frontend.DeleteBackfill(om.t.Context(), &openmatch.DeleteBackfillRequest{BackfillId: b.GetId()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			om := start(t)
			b, a := om.backfill(), om.ticket()
			om.proposing("p", om.into("m", b, a))
			om.fetchOne("p")
			om.expectWaiting()
			if err := change(om, b); err != nil {
				t.Fatal(err)
			}
			om.expectWaiting(a)
			if resp, err := om.acknowledge(b); err == nil && len(resp.GetTickets()) != 0 {
				t.Errorf("a released ticket was assigned: %v", resp)
			}
		})
	}
}

func TestTwoMatchesForOneGenerationFillItOnce(t *testing.T) {
	om := start(t)
	b := om.backfill()
	a, c := om.ticket(), om.ticket()
	om.proposing("p", om.into("one", b, a))
	om.proposing("q", om.into("two", b, c))
	got := om.fetchAll("p", "q")
	if len(got[0].ids)+len(got[1].ids) != 1 || got[0].err != nil || got[1].err != nil {
		t.Fatalf("got %v", got)
	}
	released := c
	if len(got[1].ids) == 1 {
		released = a
	}
	om.expectWaiting(released)
	if g := om.get(b).GetGeneration(); g != 2 {
		t.Errorf("generation %d", g)
	}
}

func TestAnUnacknowledgedBackfillExpires(t *testing.T) {
	om, pass := expiring(t)
	b, kept, a := om.backfill(), om.backfill(), om.ticket()
	om.proposing("p", om.into("m", b, a))
	om.fetchOneOf("p")
	pass(0.5)
	if _, err := om.acknowledge(kept); err != nil {
		t.Fatal(err)
	}
	pass(0.4)
	om.expectBackfills(kept)
	_, err := om.acknowledge(b)
	expectCode(t, err, codes.Unavailable)
	_, err = om.frontend.UpdateBackfill(t.Context(), &openmatch.UpdateBackfillRequest{Backfill: b})
	expectCode(t, err, codes.Unavailable)
	expectCode(t, second(om.frontend.GetBackfill(t.Context(), &openmatch.GetBackfillRequest{BackfillId: b.GetId()})), codes.OK)

	// A cycle removes it and releases who was on the way. Not every one: Open
	// Match gives up the removal when the cycle's callers leave before it is done.
	om.proposing("nothing")
	eventually.True(t, "the expired backfill is gone", func() bool {
		om.expectFetch(om.fetchAs("nothing"), codes.OK)
		return second(om.frontend.GetBackfill(t.Context(), &openmatch.GetBackfillRequest{BackfillId: b.GetId()})) != nil
	})
	_, err = om.acknowledge(b)
	expectCode(t, err, codes.NotFound)
	om.expectWaiting(a)
	om.expectBackfills(kept)
}

func TestAMatchForAnExpiredBackfillFailsItsCall(t *testing.T) {
	om, pass := expiring(t)
	b, a, c := om.backfill(), om.ticket(), om.ticket()
	pass(0.9)
	om.proposing("p", om.match("before", a), om.into("expired", om.get(b), c))
	got := om.fetchAs("p")
	want := codes.Unknown
	if om.clock == nil && got.err == nil {
		// In Open Match the removal of what expired may come first: then the
		// match is for an unknown backfill, and dropped.
		want = codes.OK
	}
	om.expectFetch(got, want, "before")
}

// Only the matches before the one for the expired backfill arrive. The tickets of
// the others wait again at once, those of the failed one too; in Open Match they
// are hidden until the pending release timeout.
func TestTicketsBehindAnExpiredBackfillWaitAgain(t *testing.T) {
	clock := minimatch.NewFakeClock(time.Now())
	om := start(t, func(c *minimatch.Config) { c.Clock = clock })
	om.clock = clock
	pass := func(part float64) { clock.Advance(time.Duration(part * float64(time.Minute))) }
	expired := om.backfill()
	pass(0.9)
	live := om.backfill()
	a, b, c, d, e := om.ticket(), om.ticket(), om.ticket(), om.ticket(), om.ticket()
	om.proposing("p", om.match("a", a), om.into("b", om.get(expired), b), om.match("c", c), om.into("d", om.get(live), d), om.into("e", &openmatch.Backfill{}, e))
	om.expectFetch(om.fetchAs("p"), codes.Unknown, "a")
	om.expectWaiting(b, c, d, e)
	om.expectBackfills(live)
	pass(1.1)
	om.expectWaiting(a, b, c, d, e)
}

func second[T any](_ T, err error) error { return err }

// expiring gives a system and a way to let a part of the pending release timeout
// pass: by minimatch's clock, or by waiting for another Open Match's.
func expiring(t *testing.T) (*openMatch, func(part float64)) {
	t.Helper()
	if os.Getenv(envFrontend) == "" {
		clock := minimatch.NewFakeClock(time.Now())
		om := start(t, func(c *minimatch.Config) { c.Clock = clock })
		om.clock = clock
		return om, func(part float64) { clock.Advance(time.Duration(part * float64(time.Minute))) }
	}
	timeout, err := time.ParseDuration(os.Getenv(envPending))
	if err != nil {
		t.Skip(envPending + " is not set")
	}
	return start(t), func(part float64) {
		over := time.NewTimer(time.Duration(part * float64(timeout)))
		defer over.Stop()
		<-over.C
	}
}

// fetchAs is fetch, with the windows of a cycle passing on a clock of our own.
func (om *openMatch) fetchAs(profile string) fetched {
	om.t.Helper()
	if om.clock == nil {
		return om.fetch(om.t.Context(), om.request(profile))
	}
	done := make(chan fetched, 1)
	idle, _ := om.clock.Waiting()
	go func() { done <- om.fetch(om.t.Context(), om.request(profile)) }()
	eventually.True(om.t, "a cycle registers", func() bool { n, _ := om.clock.Waiting(); return n > idle })
	om.clock.Advance(100 * time.Millisecond)
	return <-done
}

// fetchOneOf takes the one match of a profile.
func (om *openMatch) fetchOneOf(profile string) {
	om.t.Helper()
	if got := om.fetchAs(profile); got.err != nil || len(got.ids) != 1 {
		om.t.Fatalf("fetched %v", got)
	}
}
