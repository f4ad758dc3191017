package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
)

// history makes steps out of random numbers. It does not look at answers, so that
// a seed always gives the same calls.
type history struct {
	*rand.Rand
	tickets, backfills []string
	made               int
	// joined are the tickets of each backfill. See proposal.
	joined map[string][]string
	// held are the tickets of matches since they were last released, joining those
	// that ever joined a backfill.
	held, joining map[string]bool
}

func (h *history) name(kind string) string {
	h.made++
	return kind + strconv.Itoa(h.made)
}

// some picks names, at times one that stands for nothing.
func (h *history) some(all []string, n int) []string {
	var names []string
	for range n {
		if len(all) == 0 || h.IntN(12) == 0 {
			names = append(names, h.name("nothing"))
			continue
		}
		names = append(names, all[h.IntN(len(all))])
	}
	return names
}

func (h *history) one(all []string) string { return h.some(all, 1)[0] }

// distinct is some without repetition.
func (h *history) distinct(all []string, n int) []string {
	names := h.some(all, n)
	slices.Sort(names)
	return slices.Compact(names)
}

func (h *history) searchFields() func(*side) *openmatch.SearchFields {
	x, region, extra := float64(h.IntN(4)), "r"+strconv.Itoa(h.IntN(2)), h.IntN(2) == 0
	return func(s *side) *openmatch.SearchFields {
		f := &openmatch.SearchFields{
			Tags:       []string{s.name},
			DoubleArgs: map[string]float64{"x": x},
			StringArgs: map[string]string{"region": region},
		}
		if extra {
			f.Tags = append(f.Tags, "extra")
		}
		return f
	}
}

func (h *history) pool() func(*side) *openmatch.Pool {
	low, high := float64(h.IntN(4)), float64(h.IntN(5))
	exclude := openmatch.DoubleRangeFilter_Exclude(h.IntN(5))
	kind := h.IntN(5)
	return func(s *side) *openmatch.Pool {
		p := &openmatch.Pool{Name: "all", TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: s.name}}}
		switch kind {
		case 0:
			p.TagPresentFilters = append(p.TagPresentFilters, &openmatch.TagPresentFilter{Tag: "extra"})
		case 1:
			p.StringEqualsFilters = []*openmatch.StringEqualsFilter{{StringArg: "region", Value: "r0"}}
		case 2:
			p.DoubleRangeFilters = []*openmatch.DoubleRangeFilter{{DoubleArg: "x", Min: low, Max: high, Exclude: exclude}}
		case 3:
			p.DoubleRangeFilters = []*openmatch.DoubleRangeFilter{{DoubleArg: "y", Max: high}}
		}
		return p
	}
}

func (h *history) next() step {
	kinds := []func() step{
		h.createTicket, h.createTicket, h.createTicket, h.getTicket, h.deleteTicket, h.queryTickets, h.queryTickets, h.queryIDs,
		h.assign, h.release, h.releaseAll, h.createBackfill, h.updateBackfill, h.getBackfill, h.deleteBackfill,
		h.acknowledge, h.acknowledge, h.queryBackfills, h.fetch, h.fetch, h.fetch,
	}
	return kinds[h.IntN(len(kinds))]()
}

func (h *history) createTicket() step {
	name, fields, wrong := h.name("t"), h.searchFields(), h.IntN(10) == 0
	if !wrong {
		h.tickets = append(h.tickets, name)
	}
	return step{text: fmt.Sprint("create ticket ", name, wrong), run: func(ctx context.Context, s *side) string {
		t := &openmatch.Ticket{SearchFields: fields(s)}
		if wrong {
			t.Assignment = &openmatch.Assignment{}
		}
		got, err := s.frontend.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: t})
		if err == nil {
			s.learn(name, got.GetId())
		}
		return answer(err, s.ticketText(got))
	}}
}

func (h *history) getTicket() step {
	name := h.one(h.tickets)
	return step{text: "get ticket " + name, settles: true, run: func(ctx context.Context, s *side) string {
		t, err := s.frontend.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: s.id(name)})
		return answer(err, s.ticketText(t))
	}}
}

func (h *history) deleteTicket() step {
	name := h.one(h.tickets)
	return step{text: "delete ticket " + name, run: func(ctx context.Context, s *side) string {
		_, err := s.frontend.DeleteTicket(ctx, &openmatch.DeleteTicketRequest{TicketId: s.id(name)})
		eventually.True(s.t, "the ticket is gone", func() bool {
			_, err := s.frontend.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: s.id(name)})
			return err != nil
		})
		return answer(err)
	}}
}

// collect takes a stream of pages and returns the names in order, with the sizes
// of the pages.
func collect[R any](s *side, stream grpc.ServerStreamingClient[R], err error, ids func(*R) []string) string {
	var names []string
	var pages []int
	for err == nil {
		var resp *R
		if resp, err = stream.Recv(); err == nil {
			pages = append(pages, len(ids(resp)))
			for _, id := range ids(resp) {
				names = append(names, s.called(id))
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(names)
	return answer(err, names, pages)
}

func (h *history) queryTickets() step {
	pool := h.pool()
	return step{text: "query tickets", settles: true, run: func(ctx context.Context, s *side) string {
		stream, err := s.query.QueryTickets(ctx, &openmatch.QueryTicketsRequest{Pool: pool(s)})
		return collect(s, stream, err, func(r *openmatch.QueryTicketsResponse) (ids []string) {
			for _, t := range r.GetTickets() {
				ids = append(ids, t.GetId())
			}
			return ids
		})
	}}
}

func (h *history) queryIDs() step {
	pool := h.pool()
	return step{text: "query ticket ids", settles: true, run: func(ctx context.Context, s *side) string {
		stream, err := s.query.QueryTicketIds(ctx, &openmatch.QueryTicketIdsRequest{Pool: pool(s)})
		return collect(s, stream, err, (*openmatch.QueryTicketIdsResponse).GetIds)
	}}
}

func (h *history) queryBackfills() step {
	pool := h.pool()
	return step{text: "query backfills", settles: true, run: func(ctx context.Context, s *side) string {
		stream, err := s.query.QueryBackfills(ctx, &openmatch.QueryBackfillsRequest{Pool: pool(s)})
		return collect(s, stream, err, func(r *openmatch.QueryBackfillsResponse) (ids []string) {
			for _, b := range r.GetBackfills() {
				ids = append(ids, b.GetId())
			}
			return ids
		})
	}}
}

func (h *history) assign() step {
	names, connection := h.some(h.tickets, h.IntN(4)), h.name("c")
	return step{text: fmt.Sprint("assign ", names), run: func(ctx context.Context, s *side) string {
		resp, err := s.backend.AssignTickets(ctx, &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{
			{TicketIds: s.list(names), Assignment: &openmatch.Assignment{Connection: connection}}}})
		var failures []string
		for _, f := range resp.GetFailures() {
			failures = append(failures, fmt.Sprint(s.called(f.GetTicketId()), f.GetCause()))
		}
		for i := range failures {
			failures[i] = strings.TrimPrefix(failures[i], "?")
		}
		slices.Sort(failures)
		return answer(err, failures)
	}}
}

func (h *history) release() step {
	names := h.distinct(h.tickets, h.IntN(4))
	for _, t := range names {
		delete(h.held, t)
	}
	return step{text: fmt.Sprint("release ", names), run: func(ctx context.Context, s *side) string {
		_, err := s.backend.ReleaseTickets(ctx, &openmatch.ReleaseTicketsRequest{TicketIds: s.list(names)})
		return answer(err)
	}}
}

func (h *history) releaseAll() step {
	clear(h.held)
	return step{text: "release all", run: func(ctx context.Context, s *side) string {
		_, err := s.backend.ReleaseAllTickets(ctx, &openmatch.ReleaseAllTicketsRequest{})
		return answer(err)
	}}
}

func (h *history) createBackfill() step {
	name, fields := h.name("b"), h.searchFields()
	h.backfills = append(h.backfills, name)
	return step{text: "create backfill " + name, run: func(ctx context.Context, s *side) string {
		b, err := s.frontend.CreateBackfill(ctx, &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{SearchFields: fields(s)}})
		if err == nil {
			s.learn(name, b.GetId())
		}
		return answer(err, s.backfillText(b))
	}}
}

func (h *history) updateBackfill() step {
	name, fields := h.one(h.backfills), h.searchFields()
	return step{text: "update backfill " + name, run: func(ctx context.Context, s *side) string {
		b, err := s.frontend.UpdateBackfill(ctx, &openmatch.UpdateBackfillRequest{Backfill: &openmatch.Backfill{Id: s.id(name), SearchFields: fields(s)}})
		return answer(err, s.backfillText(b))
	}}
}

func (h *history) getBackfill() step {
	name := h.one(h.backfills)
	return step{text: "get backfill " + name, run: func(ctx context.Context, s *side) string {
		b, err := s.frontend.GetBackfill(ctx, &openmatch.GetBackfillRequest{BackfillId: s.id(name)})
		return answer(err, s.backfillText(b))
	}}
}

func (h *history) deleteBackfill() step {
	name := h.one(h.backfills)
	return step{text: "delete backfill " + name, run: func(ctx context.Context, s *side) string {
		_, err := s.frontend.DeleteBackfill(ctx, &openmatch.DeleteBackfillRequest{BackfillId: s.id(name)})
		return answer(err)
	}}
}

func (h *history) acknowledge() step {
	name, connection := h.one(h.backfills), h.name("c")
	return step{text: "acknowledge " + name, run: func(ctx context.Context, s *side) string {
		resp, err := s.frontend.AcknowledgeBackfill(ctx, &openmatch.AcknowledgeBackfillRequest{
			BackfillId: s.id(name), Assignment: &openmatch.Assignment{Connection: connection}})
		var tickets []string
		for _, t := range resp.GetTickets() {
			tickets = append(tickets, s.ticketText(t))
		}
		slices.Sort(tickets)
		return answer(err, s.backfillText(resp.GetBackfill()), tickets)
	}}
}

// proposal is a match of a history: its tickets, and the backfill that it
// creates or fills. No ticket joins a backfill twice: Open Match 1.8.1 answers
// every later acknowledgement with InvalidArgument then, and minimatch assigns
// the ticket once.
type proposal struct {
	id       string
	tickets  []string
	creates  bool
	fills    string
	fields   func(*side) *openmatch.SearchFields
	rejected bool
}

func (p proposal) String() string {
	text := p.id + fmt.Sprint(p.tickets)
	if p.creates {
		text += " creates a backfill"
	}
	if p.fills != "" {
		text += " fills " + p.fills
	}
	if p.rejected {
		text += " rejected"
	}
	return text
}

// join says whether the tickets may join the backfill, and if so they do. Another match
// must not hold them, then or later: minimatch lets a backfill release its own alone.
func (h *history) join(backfill string, tickets []string) bool {
	for _, t := range tickets {
		if slices.Contains(h.joined[backfill], t) || h.held[t] {
			return false
		}
	}
	h.joined[backfill] = append(h.joined[backfill], tickets...)
	for _, t := range tickets {
		h.joining[t] = true
	}
	return true
}

// fetch runs a cycle in which a match function proposes what the history says.
// A ticket is in one match only, and a backfill too: otherwise it would matter
// which match comes first. A proposal for a backfill carries its present
// generation, or an old one.
func (h *history) fetch() step {
	var all []proposal
	tickets, backfills := h.distinct(h.tickets, h.IntN(6)), h.distinct(h.backfills, 2)
	tickets = slices.DeleteFunc(tickets, func(t string) bool { return h.joining[t] })
	for len(tickets) > 0 {
		n := 1 + h.IntN(len(tickets))
		p := proposal{id: h.name("m"), tickets: tickets[:n], fields: h.searchFields(), rejected: h.IntN(4) == 0}
		tickets = tickets[n:]
		switch {
		case h.IntN(4) == 0:
			p.creates = h.join("of "+p.id, p.tickets)
		case h.IntN(2) == 0 && len(backfills) > 0:
			if h.join(backfills[0], p.tickets) {
				p.fills, backfills = backfills[0], backfills[1:]
			}
		}
		all = append(all, p)
	}
	for _, p := range all {
		if p.creates {
			h.backfills = append(h.backfills, "of "+p.id)
		}
		for _, t := range p.tickets {
			h.held[t] = true
		}
	}
	old := h.IntN(6) == 0
	fails := h.IntN(8) == 0
	return step{text: fmt.Sprint("fetch ", all, fails), run: func(ctx context.Context, s *side) string {
		var matches []*openmatch.Match
		rejected := map[string]bool{}
		for _, p := range all {
			m := s.match(p.id)
			for _, id := range s.list(p.tickets) {
				m.Tickets = append(m.Tickets, &openmatch.Ticket{Id: id})
			}
			if p.creates {
				m.Backfill = &openmatch.Backfill{SearchFields: p.fields(s)}
			}
			if p.fills != "" {
				b, err := s.frontend.GetBackfill(ctx, &openmatch.GetBackfillRequest{BackfillId: s.id(p.fills)})
				m.Backfill = &openmatch.Backfill{Id: s.id(p.fills), SearchFields: p.fields(s), Generation: b.GetGeneration()}
				if err == nil && old {
					m.Backfill.Generation--
				}
			}
			rejected[m.GetMatchId()] = p.rejected
			matches = append(matches, m)
		}
		return s.cycle(ctx, matches, rejected, fails)
	}}
}

// cycle fetches what a match function proposes that ends well or fails.
func (s *side) cycle(ctx context.Context, matches []*openmatch.Match, rejected map[string]bool, fails bool) string {
	s.function("history", func(_ context.Context, _ *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		for _, m := range matches {
			propose(m)
		}
		if fails {
			return errors.New("the match function fails")
		}
		return nil
	})
	s.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		ids, err := proposals(stream)
		if err != nil {
			return err
		}
		return accept(stream, slices.DeleteFunc(ids, func(id string) bool { return rejected[id] })...)
	})
	stream, err := s.backend.FetchMatches(ctx, s.request("history"))
	var got []string
	for err == nil {
		var resp *openmatch.FetchMatchesResponse
		if resp, err = stream.Recv(); err != nil {
			break
		}
		m := resp.GetMatch()
		id := m.GetMatchId()[len(s.name)+1:]
		if b := m.GetBackfill(); b != nil && s.names[b.GetId()] == "" {
			s.learn("of "+id, b.GetId())
		}
		got = append(got, fmt.Sprint(id, len(m.GetTickets()), s.backfillText(m.GetBackfill())))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.Sort(got)
	return answer(err, got)
}
