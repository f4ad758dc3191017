package store_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

// lease is how long a backfill lives after an acknowledgement.
const lease = pendingTimeout * 8 / 10

func asking(tag string) *openmatch.Backfill {
	return &openmatch.Backfill{SearchFields: &openmatch.SearchFields{Tags: []string{tag}}}
}

func something(t *testing.T, text string) map[string]*anypb.Any {
	t.Helper()
	a, err := anypb.New(wrapperspb.String(text))
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*anypb.Any{"text": a}
}

func expectBackfill(t *testing.T, s *store.Store, want *openmatch.Backfill) {
	t.Helper()
	got, ok := s.GetBackfill(want.GetId())
	if !ok {
		t.Fatalf("backfill %s is gone", want.GetId())
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func backfillsWith(t *testing.T, s *store.Store, tag string) []string {
	t.Helper()
	var ids []string
	for _, b := range s.QueryBackfills(pool(t, &openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: tag}}})) {
		ids = append(ids, b.GetId())
	}
	slices.Sort(ids)
	return ids
}

func expectIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// joined makes tickets that an accepted match has put into the backfill.
func joined(t *testing.T, s *store.Store, b *openmatch.Backfill, n int) []string {
	t.Helper()
	var ids []string
	for range n {
		ids = append(ids, s.Create(tagged("joins")).GetId())
	}
	if _, err := s.FillBackfill(b, ids, s.SetPending(ids)); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestCreateBackfillGivesIdTimeAndGeneration(t *testing.T) {
	s, _ := newStore(t)
	given := asking("a")
	given.Id, given.Generation = "mine", 7
	given.PersistentField = something(t, "kept")
	got := s.CreateBackfill(given)
	want := &openmatch.Backfill{
		Id: got.GetId(), SearchFields: given.GetSearchFields(), PersistentField: given.GetPersistentField(),
		CreateTime: timestamppb.New(epoch), Generation: 1,
	}
	if len(got.GetId()) != 20 {
		t.Errorf("id %q", got.GetId())
	}
	expectBackfill(t, s, want)
	expectIDs(t, backfillsWith(t, s, "a"), got.GetId())
	expectIDs(t, backfillsWith(t, s, "b"))
}

func TestUpdateReplacesRaisesTheGenerationAndReleases(t *testing.T) {
	s, c := newStore(t)
	b := s.CreateBackfill(asking("a"))
	ids := joined(t, s, b, 2)
	c.Advance(time.Second)
	change := &openmatch.Backfill{
		Id: b.GetId(), Generation: 99, SearchFields: asking("b").GetSearchFields(),
		Extensions: something(t, "extension"), PersistentField: something(t, "persistent"),
	}
	got, err := s.UpdateBackfill(change)
	if err != nil {
		t.Fatal(err)
	}
	want := &openmatch.Backfill{
		Id: b.GetId(), Generation: 3, SearchFields: change.GetSearchFields(),
		Extensions: change.GetExtensions(), PersistentField: change.GetPersistentField(), CreateTime: b.GetCreateTime(),
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	expectBackfill(t, s, want)
	expectIDs(t, backfillsWith(t, s, "a"))
	expectIDs(t, backfillsWith(t, s, "b"), b.GetId())
	expectIDs(t, queryIDs(s, pool(t, &openmatch.Pool{})), ids...)

	if _, tickets, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{}); err != nil || len(tickets) != 0 {
		t.Errorf("released tickets were assigned: %v, %v", tickets, err)
	}
}

func TestFillKeepsThePersistentFieldAndChecksTheGeneration(t *testing.T) {
	s, _ := newStore(t)
	first := asking("a")
	first.PersistentField = something(t, "kept")
	b := s.CreateBackfill(first)
	proposal := &openmatch.Backfill{
		Id: b.GetId(), Generation: 1, SearchFields: asking("b").GetSearchFields(),
		Extensions: something(t, "extension"), PersistentField: something(t, "passed over"),
	}
	got, err := s.FillBackfill(proposal, nil, 0)
	if err != nil || got.GetGeneration() != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	expectBackfill(t, s, &openmatch.Backfill{
		Id: b.GetId(), Generation: 2, SearchFields: proposal.GetSearchFields(), Extensions: proposal.GetExtensions(),
		PersistentField: first.GetPersistentField(), CreateTime: b.GetCreateTime(),
	})
	if _, err := s.FillBackfill(proposal, nil, 0); !errors.Is(err, store.ErrBackfillGeneration) {
		t.Errorf("an old generation gave %v", err)
	}
	if _, err := s.FillBackfill(&openmatch.Backfill{Id: "none"}, nil, 0); !errors.Is(err, store.ErrBackfillNotFound) {
		t.Errorf("an unknown backfill gave %v", err)
	}
}

func TestFillWithoutIdCreates(t *testing.T) {
	s, _ := newStore(t)
	id := s.Create(tagged("a")).GetId()
	given := asking("a")
	b, err := s.FillBackfill(given, []string{id}, s.SetPending([]string{id}))
	if err != nil || b.GetId() == "" || b.GetGeneration() != 1 || b.GetCreateTime() == nil {
		t.Fatalf("got %v, %v", b, err)
	}
	if given.GetId() != "" {
		t.Error("the proposal was changed")
	}
	expectBackfill(t, s, b)
	_, tickets, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{Connection: "here"})
	if err != nil || len(tickets) != 1 || tickets[0].GetId() != id {
		t.Errorf("got %v, %v", tickets, err)
	}
}

func TestAcknowledgeAssignsThoseWhoJoinedOnce(t *testing.T) {
	s, c := newStore(t)
	b := s.CreateBackfill(asking("a"))
	ids := joined(t, s, b, 3)
	b, _ = s.GetBackfill(b.GetId())
	// A match may hold a ticket that is in an earlier one, or that has left.
	again := []string{ids[0], "gone"}
	if _, err := s.FillBackfill(b, again, s.SetPending(again)); err != nil {
		t.Fatal(err)
	}
	s.Delete(ids[2])
	_, changed, _ := s.Watch(ids[0])

	got, tickets, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{Connection: "here"})
	if err != nil || got.GetGeneration() != 3 {
		t.Fatalf("got %v, %v", got, err)
	}
	var assigned []string
	for _, ticket := range tickets {
		if ticket.GetAssignment().GetConnection() != "here" {
			t.Errorf("%v", ticket)
		}
		assigned = append(assigned, ticket.GetId())
	}
	slices.Sort(assigned)
	expectIDs(t, assigned, ids[0], ids[1])
	<-changed
	if _, tickets, _ := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{Connection: "there"}); len(tickets) != 0 {
		t.Errorf("assigned again: %v", tickets)
	}
	c.Advance(assignedTimeout)
	if _, ok := s.Get(ids[0]); ok {
		t.Error("an assigned ticket outlives its time")
	}
}

func TestAnUnacknowledgedBackfillExpires(t *testing.T) {
	s, c := newStore(t)
	b := s.CreateBackfill(asking("a"))
	c.Advance(lease)
	if _, _, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{}); err != nil {
		t.Fatal(err)
	}
	ids := joined(t, s, b, 1)
	b, _ = s.GetBackfill(b.GetId())
	c.Advance(lease)
	s.RemoveExpired()
	expectIDs(t, backfillsWith(t, s, "a"), b.GetId())

	c.Advance(1)
	expectIDs(t, backfillsWith(t, s, "a"))
	if _, err := s.UpdateBackfill(b); !errors.Is(err, store.ErrBackfillExpired) {
		t.Errorf("update: %v", err)
	}
	if _, _, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{}); !errors.Is(err, store.ErrBackfillExpired) {
		t.Errorf("acknowledge: %v", err)
	}
	if _, err := s.FillBackfill(b, nil, 0); !errors.Is(err, store.ErrBackfillExpired) {
		t.Errorf("fill: %v", err)
	}
	expectBackfill(t, s, b)
	expectIDs(t, queryIDs(s, pool(t, &openmatch.Pool{})))

	s.RemoveExpired()
	if _, ok := s.GetBackfill(b.GetId()); ok {
		t.Error("it was not removed")
	}
	expectIDs(t, queryIDs(s, pool(t, &openmatch.Pool{})), ids...)
	if size := s.Size(); size.Backfills != 0 {
		t.Errorf("%+v", size)
	}
}

func TestAForgottenBackfillIsRemovedWithoutCycles(t *testing.T) {
	s, c := newStore(t)
	b := s.CreateBackfill(asking("a"))
	kept := s.CreateBackfill(asking("a"))
	c.Advance(lease)
	if _, _, err := s.AcknowledgeBackfill(kept.GetId(), &openmatch.Assignment{}); err != nil {
		t.Fatal(err)
	}
	c.Advance(pendingTimeout - 1)
	if _, ok := s.GetBackfill(b.GetId()); !ok {
		t.Error("it was removed early")
	}
	c.Advance(1)
	if _, ok := s.GetBackfill(b.GetId()); ok {
		t.Error("it was not removed")
	}
	if _, ok := s.GetBackfill(kept.GetId()); !ok {
		t.Error("one that was acknowledged later was removed with it")
	}
}

func TestDeleteReleases(t *testing.T) {
	s, _ := newStore(t)
	b := s.CreateBackfill(asking("a"))
	ids := joined(t, s, b, 2)
	s.DeleteBackfill(b.GetId())
	s.DeleteBackfill(b.GetId())
	if _, ok := s.GetBackfill(b.GetId()); ok {
		t.Error("it is still there")
	}
	if _, err := s.UpdateBackfill(b); !errors.Is(err, store.ErrBackfillNotFound) {
		t.Errorf("update: %v", err)
	}
	if _, _, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{}); !errors.Is(err, store.ErrBackfillNotFound) {
		t.Errorf("acknowledge: %v", err)
	}
	expectIDs(t, queryIDs(s, pool(t, &openmatch.Pool{})), ids...)
}

// Tickets that have timed out and are in another match since stay pending when
// the backfill of the earlier one ends.
func TestTheEndOfABackfillReleasesWhatIsItsOwn(t *testing.T) {
	for name, end := range map[string]func(*store.Store, *openmatch.Backfill){
		"deleted": func(s *store.Store, b *openmatch.Backfill) { s.DeleteBackfill(b.GetId()) },
		"expired": func(s *store.Store, _ *openmatch.Backfill) { s.RemoveExpired() },
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newStore(t)
			b := s.CreateBackfill(asking("a"))
			ids := joined(t, s, b, 3)
			c.Advance(pendingTimeout)
			s.SetPending(ids[1:])
			end(s, b)
			if _, ok := s.GetBackfill(b.GetId()); ok {
				t.Error("it is still there")
			}
			expectIDs(t, queryIDs(s, pool(t, nil)), ids[0])
		})
	}
}
