package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

// message is the largest that a gRPC client takes by default.
const message = 4 << 20

// bytes is a map of extensions that has about so many bytes.
func bytes(n int) map[string]*anypb.Any {
	return map[string]*anypb.Any{"x": {TypeUrl: "x/y", Value: make([]byte, n)}}
}

// sized is a backfill of so many bytes.
func sized(size int) *openmatch.Backfill {
	b := &openmatch.Backfill{Extensions: bytes(size - 100)}
	for n := size - 100; proto.Size(b) < size; n++ {
		b.Extensions = bytes(n)
	}
	return b
}

func TestBackfillsThatAreTooLarge(t *testing.T) {
	const half = 5 << 19
	unknown := protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), make([]byte, half))
	whole, over := sized(store.MaxSize), sized(store.MaxSize+1)
	fill := func(s *store.Store, b *openmatch.Backfill) error {
		_, err := s.FillBackfill(b, nil, 0)
		return err
	}
	update := func(s *store.Store, b *openmatch.Backfill) error {
		_, err := s.UpdateBackfill(b)
		return err
	}
	for name, tt := range map[string]struct {
		there   *openmatch.Backfill
		unknown []byte
		change  func(*store.Store, *openmatch.Backfill) error
		by      *openmatch.Backfill
		refused bool
	}{
		"fill, of the largest size":              {&openmatch.Backfill{}, nil, fill, whole, false},
		"fill, one byte more":                    {&openmatch.Backfill{}, nil, fill, over, true},
		"fill, with what it keeps":               {&openmatch.Backfill{PersistentField: bytes(half)}, nil, fill, &openmatch.Backfill{Extensions: bytes(half)}, true},
		"fill, in place of what it has":          {&openmatch.Backfill{Extensions: bytes(half)}, nil, fill, &openmatch.Backfill{Extensions: bytes(half)}, false},
		"fill, with what it keeps of new fields": {&openmatch.Backfill{}, unknown, fill, &openmatch.Backfill{Extensions: bytes(half)}, true},
		"update, of the largest size":            {&openmatch.Backfill{}, nil, update, whole, false},
		"update, one byte more":                  {&openmatch.Backfill{}, nil, update, over, true},
		"update, in place of what it has":        {&openmatch.Backfill{PersistentField: bytes(half)}, nil, update, &openmatch.Backfill{Extensions: bytes(half)}, false},
		"update, with what it keeps":             {&openmatch.Backfill{}, unknown, update, &openmatch.Backfill{PersistentField: bytes(half)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newStore(t)
			tt.there.ProtoReflect().SetUnknown(tt.unknown)
			b := s.CreateBackfill(tt.there)
			ids := joined(t, s, b, 1)
			b, _ = s.GetBackfill(b.GetId())
			change := proto.CloneOf(tt.by)
			change.Id, change.Generation, change.CreateTime = b.GetId(), b.GetGeneration(), b.GetCreateTime()
			err := tt.change(s, change)
			large, ok := errors.AsType[*store.SizeError](err)
			got, _ := s.GetBackfill(b.GetId())
			switch {
			case tt.refused && (!ok || !strings.HasPrefix(large.Error(), "backfill") || !strings.Contains(large.Error(), "must have at most 4193280 bytes, got ")):
				t.Errorf("got %v", err)
			case tt.refused && got != b:
				t.Error("the backfill has changed")
			case tt.refused:
				if _, tickets, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{}); err != nil || len(tickets) != 1 || tickets[0].GetId() != ids[0] {
					t.Errorf("who joined it has gone: %v, %v", tickets, err)
				}
			case err != nil:
				t.Error(err)
			case proto.Size(&openmatch.QueryBackfillsResponse{Backfills: []*openmatch.Backfill{got}}) > message:
				t.Error("it is in no page")
			}
		})
	}
}

func TestANewBackfillThatIsTooLarge(t *testing.T) {
	for size, refused := range map[int]bool{store.MaxSize: false, store.MaxSize + 1: true, message: true, 2 * message: true} {
		s, _ := newStore(t)
		b, err := s.FillBackfill(sized(size), nil, 0)
		if _, ok := errors.AsType[*store.SizeError](err); ok != refused || (s.Size().Backfills == 0) != refused {
			t.Errorf("%d bytes: %v, %d backfills", size, err, s.Size().Backfills)
		}
		if !refused && proto.Size(&openmatch.QueryBackfillsResponse{Backfills: []*openmatch.Backfill{b}}) > message {
			t.Errorf("%d bytes: it is in no page", size)
		}
	}
}

func TestAssignmentsThatAreTooLarge(t *testing.T) {
	for name, tt := range map[string]struct {
		ticket, assignment int
		refused            bool
	}{
		"a large ticket":          {store.MaxSize - 100, 800, false},
		"a large assignment":      {100, store.MaxSize, false},
		"both":                    {message / 2, message / 2, true},
		"an assignment too large": {100, message, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newStore(t)
			small := s.Create(tagged("small")).GetId()
			given := &openmatch.Ticket{Extensions: bytes(tt.ticket)}
			large := s.Create(given).GetId()
			a := &openmatch.Assignment{Extensions: bytes(tt.assignment)}
			missing, err := s.Assign([]store.Assignment{
				{TicketIDs: []string{small, "none"}, Assignment: &openmatch.Assignment{Connection: "x"}},
				{TicketIDs: []string{"none", large}, Assignment: a},
			})
			if !tt.refused {
				got, _ := s.Get(large)
				if err != nil || len(missing) != 2 || proto.Size(got) > message {
					t.Errorf("%v, %v, a ticket of %d bytes", missing, err, proto.Size(got))
				}
				return
			}
			want := "assignments[1].assignment: ticket " + large + " with it must have at most 4194304 bytes, got "
			if !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("got %v, want %s", err, want)
			}
			expectIDs(t, queryIDs(s, pool(t, nil)), small, large)
			expectNoAcknowledgement(t, s, c, large, a)
		})
	}
}

// expectNoAcknowledgement has a ticket join a backfill that is about to expire, which an
// assignment too large for the ticket does not acknowledge.
func expectNoAcknowledgement(t *testing.T, s *store.Store, c *clock.Fake, large string, a *openmatch.Assignment) {
	t.Helper()
	b := s.CreateBackfill(asking("a"))
	if _, err := fillWith(s, b, []string{large}); err != nil {
		t.Fatal(err)
	}
	c.Advance(lease)
	_, _, err := s.AcknowledgeBackfill(b.GetId(), a)
	if want := "assignment: ticket " + large + " with it must have at most 4194304 bytes, got "; !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("got %v, want %s", err, want)
	}
	if s.Size().Assigned != 0 {
		t.Error("a ticket has been assigned")
	}
	c.Advance(1)
	if _, _, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{}); !errors.Is(err, store.ErrBackfillExpired) {
		t.Errorf("it has been acknowledged: %v", err)
	}
}

// fillWith is FillBackfill after SetPending.
func fillWith(s *store.Store, b *openmatch.Backfill, ids []string) (*openmatch.Backfill, error) {
	return s.FillBackfill(b, ids, s.SetPending(ids))
}

// What does not fit into the answer to an acknowledgement is left for the next one: a client
// that can't read the answer would not know who has been assigned.
func TestAnAcknowledgementIsAnsweredInOneMessage(t *testing.T) {
	s, c := newStore(t)
	b := s.CreateBackfill(&openmatch.Backfill{PersistentField: bytes(1 << 20)})
	var ids []string
	for range 5 {
		ids = append(ids, s.Create(&openmatch.Ticket{Extensions: bytes(1 << 20)}).GetId())
	}
	for _, match := range [][]string{{ids[0], ids[1]}, {ids[1], ids[2], ids[3]}, {ids[0], ids[3], ids[4], "none"}} {
		b, _ = s.GetBackfill(b.GetId())
		if _, err := fillWith(s, b, match); err != nil {
			t.Fatal(err)
		}
	}
	acknowledge := func(want ...string) {
		t.Helper()
		b, tickets, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{Extensions: bytes(1 << 18)})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, joined := range tickets {
			got = append(got, joined.GetId())
		}
		expectIDs(t, got, want...)
		if size := proto.Size(&openmatch.AcknowledgeBackfillResponse{Backfill: b, Tickets: tickets}); size > message {
			t.Errorf("the answer has %d bytes", size)
		}
	}
	acknowledge(ids[:2]...)
	c.Advance(time.Second)
	acknowledge(ids[2:4]...)
	s.DeleteBackfill(b.GetId())
	expectIDs(t, queryIDs(s, pool(t, nil)), ids[4])
}

// Each acknowledgement assigns someone, however large the backfill is.
func TestAnAcknowledgementOfALargeBackfill(t *testing.T) {
	s, _ := newStore(t)
	b := s.CreateBackfill(sized(store.MaxSize))
	ids := joined(t, s, &openmatch.Backfill{Id: b.GetId(), Generation: 1, Extensions: b.GetExtensions()}, 40)
	for assigned := 0; assigned < len(ids); {
		_, tickets, err := s.AcknowledgeBackfill(b.GetId(), &openmatch.Assignment{Connection: "x"})
		if err != nil || len(tickets) == 0 || len(tickets) == len(ids) {
			t.Fatalf("%d tickets, %v", len(tickets), err)
		}
		assigned += len(tickets)
	}
}
