package conformance_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/minimatch"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// The differential test plays random histories of calls to two systems, and
// compares what they answer, call by call: minimatch against minimatch, or
// against the Open Match that the variables name. Ids get the names under which
// the history knows them, and orders that Open Match does not promise are sorted.
//
// What the histories leave out, because Open Match 1.8.1 and minimatch differ in
// it knowingly, is listed in the package documentation of minimatch: a match_id
// used twice, a ticket that joins a backfill twice, a ticket asked for by a
// backfill's id, and what depends on which of
// two things that happen at once comes first.
const (
	envHistories = "DIFFERENTIAL_HISTORIES" // how many; 10 when it is not set
	envSeed      = "DIFFERENTIAL_SEED"      // the one to play
	steps        = 60
)

// side is one of the two systems, and its names for what the history made.
type side struct {
	*openMatch
	ids   map[string]string // by name
	names map[string]string // by id
}

func newSide(om *openMatch) *side {
	return &side{openMatch: om, ids: map[string]string{}, names: map[string]string{}}
}

// forget starts a new history.
func (s *side) forget(seed uint64) {
	s.name = fmt.Sprintf("history-%d-%d", seed, time.Now().UnixNano())
	clear(s.ids)
	clear(s.names)
}

func (s *side) learn(name, id string) {
	s.ids[name], s.names[id] = id, name
}

// id is what the system calls the thing; a name that stands for nothing is an id
// that there is not.
func (s *side) id(name string) string {
	if id, ok := s.ids[name]; ok {
		return id
	}
	return name
}

func (s *side) list(names []string) []string {
	ids := make([]string, len(names))
	for i, n := range names {
		ids[i] = s.id(n)
	}
	return ids
}

func (s *side) called(id string) string {
	if name, ok := s.names[id]; ok {
		return name
	}
	return "?" + id
}

// step is one call of a history.
type step struct {
	text string
	// settles: the answer may be right a little later. Open Match's queries come
	// from a cache, and it deletes in the background.
	settles bool
	run     func(ctx context.Context, s *side) string
}

func answer(err error, parts ...any) string {
	return fmt.Sprintln(append([]any{status.Code(err)}, parts...)...)
}

func (s *side) fields(f *openmatch.SearchFields) string {
	tags := slices.Clone(f.GetTags())
	for i, tag := range tags {
		tags[i] = strings.ReplaceAll(tag, s.name, "own")
	}
	return fmt.Sprint(tags, f.GetDoubleArgs(), f.GetStringArgs())
}

func (s *side) ticketText(t *openmatch.Ticket) string {
	if t == nil {
		return ""
	}
	return fmt.Sprint(s.called(t.GetId()), s.fields(t.GetSearchFields()), t.GetAssignment().GetConnection(), t.GetCreateTime() != nil)
}

func (s *side) backfillText(b *openmatch.Backfill) string {
	if b == nil {
		return ""
	}
	return fmt.Sprint(s.called(b.GetId()), s.fields(b.GetSearchFields()), b.GetGeneration(), len(b.GetExtensions()), len(b.GetPersistentField()), b.GetCreateTime() != nil)
}

// difference plays the history of a seed to both, and says where they part, or
// nothing.
func difference(t testing.TB, a, b *side, seed uint64) string {
	a.forget(seed)
	b.forget(seed)
	h := &history{Rand: rand.New(rand.NewPCG(seed, 0)), joined: map[string][]string{}, held: map[string]bool{}, joining: map[string]bool{}}
	var played strings.Builder
	for range steps {
		st := h.next()
		fmt.Fprintln(&played, st.text)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		first, second := st.run(ctx, a), st.run(ctx, b)
		if first != second && st.settles {
			deadline := time.NewTimer(5 * time.Second)
			tick := time.NewTicker(20 * time.Millisecond)
			for first != second {
				select {
				case <-tick.C:
					first, second = st.run(ctx, a), st.run(ctx, b)
					continue
				case <-deadline.C:
				}
				break
			}
			deadline.Stop()
			tick.Stop()
		}
		cancel()
		if first != second {
			return fmt.Sprintf("%sone: %sother: %s(%s=%d)", played.String(), first, second, envSeed, seed)
		}
	}
	// What is left must not be found by the next history.
	for _, s := range []*side{a, b} {
		for name, id := range s.ids {
			if strings.HasPrefix(name, "t") {
				_, _ = s.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: id})
			} else {
				_, _ = s.frontend.DeleteBackfill(t.Context(), &openmatch.DeleteBackfillRequest{BackfillId: id})
			}
		}
	}
	return ""
}

func TestNoHistoryTellsTheSystemsApart(t *testing.T) {
	a, b := newSide(startOwn(t, quick)), newSide(otherSide(t))
	if text := os.Getenv(envSeed); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if d := difference(t, a, b, seed); d != "" {
			t.Error(d)
		}
		return
	}
	histories := 10
	if text := os.Getenv(envHistories); text != "" {
		var err error
		if histories, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	fresh := rand.Uint64()
	t.Logf("seeds 1 to %d and %d", histories, fresh)
	for i := range histories + 1 {
		seed := uint64(i + 1)
		if i == histories {
			seed = fresh
		}
		if d := difference(t, a, b, seed); d != "" {
			t.Errorf("they differ:\n%s", d)
		}
	}
}

func quick(c *minimatch.Config) { c.RegistrationInterval = 5 * time.Millisecond }

func otherSide(t *testing.T) *openMatch {
	t.Helper()
	if os.Getenv(envFrontend) != "" {
		return start(t)
	}
	return startOwn(t, quick)
}

// A comparison that finds nothing proves something only if it finds what is
// there: each of these changes one kind of answer on one side.
func TestAPlantedDifferenceIsFound(t *testing.T) {
	for name, change := range map[string]func(proto.Message){
		"an assignment that is not shown": func(m proto.Message) {
			if ticket, ok := m.(*openmatch.Ticket); ok {
				ticket.Assignment = nil
			}
		},
		"a generation that stays": func(m proto.Message) {
			if b, ok := m.(*openmatch.Backfill); ok && b.GetGeneration() > 1 {
				b.Generation = 1
			}
		},
		"a failure that is not told": func(m proto.Message) {
			if resp, ok := m.(*openmatch.AssignTicketsResponse); ok {
				resp.Failures = nil
			}
		},
		"a ticket too many": func(m proto.Message) {
			if resp, ok := m.(*openmatch.AcknowledgeBackfillResponse); ok && len(resp.GetTickets()) > 0 {
				resp.Tickets = append(resp.Tickets, resp.Tickets[0])
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSide(startOwn(t, quick)), newSide(startOwn(t, quick))
			conn, err := rpc.Dial(b.addr, grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any,
				cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
				err := invoke(ctx, method, req, reply, cc, opts...)
				change(reply.(proto.Message))
				return err
			}))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			b.frontend, b.backend = openmatch.NewFrontendServiceClient(conn), openmatch.NewBackendServiceClient(conn)
			for seed := range uint64(100) {
				if difference(t, a, b, seed+1) != "" {
					return
				}
			}
			t.Error("it was not found")
		})
	}
}
