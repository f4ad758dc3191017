package conformance_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/proto/openmatch"
)

func TestCreateTicket(t *testing.T) {
	om := start(t)
	for name, tc := range map[string]struct {
		ticket *openmatch.Ticket
		want   codes.Code
	}{
		"nothing":        {nil, codes.InvalidArgument},
		"assignment":     {&openmatch.Ticket{Assignment: &openmatch.Assignment{}}, codes.InvalidArgument},
		"creation time":  {&openmatch.Ticket{CreateTime: &timestamppb.Timestamp{}}, codes.InvalidArgument},
		"empty":          {&openmatch.Ticket{}, codes.OK},
		"id of its own":  {&openmatch.Ticket{Id: "mine"}, codes.OK},
		"no search keys": {&openmatch.Ticket{SearchFields: &openmatch.SearchFields{Tags: []string{""}}}, codes.OK},
	} {
		got, err := om.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: tc.ticket})
		if expectCode(t, err, tc.want); err != nil {
			continue
		}
		if got.GetId() == "" || got.GetId() == "mine" || got.GetCreateTime() == nil {
			t.Errorf("%s: got %v", name, got)
		}
		if _, err := om.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: got.GetId()}); err != nil {
			t.Error(err)
		}
	}
}

func TestTicketKeepsWhatItWasGiven(t *testing.T) {
	om := start(t)
	value, err := anypb.New(wrapperspb.String("v"))
	if err != nil {
		t.Fatal(err)
	}
	extra := map[string]*anypb.Any{"k": value}
	made, err := om.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{
		SearchFields: &openmatch.SearchFields{Tags: []string{om.name, "x"}, DoubleArgs: map[string]float64{"d": 1}},
		Extensions:   extra, PersistentField: extra}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: made.GetId()})
	if err != nil || got.String() != made.String() || len(got.GetExtensions()) != 1 || len(got.GetPersistentField()) != 1 {
		t.Errorf("got %v, %v, want %v", got, err, made)
	}
	om.expectWaiting(made)
	if _, err := om.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: made.GetId()}); err != nil {
		t.Error(err)
	}
	om.expectWaiting()
}

func TestUnknownTickets(t *testing.T) {
	om := start(t)
	for _, id := range []string{"", "unknown"} {
		_, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: id})
		expectCode(t, err, codes.NotFound)
		_, err = om.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: id})
		expectCode(t, err, codes.OK)
		stream, err := om.frontend.WatchAssignments(t.Context(), &openmatch.WatchAssignmentsRequest{TicketId: id})
		if err == nil {
			_, err = stream.Recv()
		}
		expectCode(t, err, codes.NotFound)
		_, err = om.backend.ReleaseTickets(t.Context(), &openmatch.ReleaseTicketsRequest{TicketIds: []string{id}})
		expectCode(t, err, codes.OK)
		resp, err := om.backend.AssignTickets(t.Context(), assignment("x", id))
		if expectCode(t, err, codes.OK); len(resp.GetFailures()) != 1 ||
			resp.GetFailures()[0].GetTicketId() != id || resp.GetFailures()[0].GetCause() != openmatch.AssignmentFailure_TICKET_NOT_FOUND {
			t.Errorf("failures: %v", resp)
		}
	}
	_, err := om.backend.ReleaseTickets(t.Context(), &openmatch.ReleaseTicketsRequest{})
	expectCode(t, err, codes.OK)
}

func assignment(connection string, ids ...string) *openmatch.AssignTicketsRequest {
	return &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{
		{TicketIds: ids, Assignment: &openmatch.Assignment{Connection: connection}}}}
}

func (om *openMatch) assign(connection string, tickets ...*openmatch.Ticket) {
	om.t.Helper()
	var ids []string
	for _, t := range tickets {
		ids = append(ids, t.GetId())
	}
	resp, err := om.backend.AssignTickets(om.t.Context(), assignment(connection, ids...))
	if err != nil || len(resp.GetFailures()) > 0 {
		om.t.Fatalf("assign: %v, %v", resp, err)
	}
}

func TestAssignTicketsRefusesTheWholeCall(t *testing.T) {
	om := start(t)
	ticket := om.ticket()
	a := &openmatch.Assignment{Connection: "x"}
	group := func(a *openmatch.Assignment, ids ...string) *openmatch.AssignmentGroup {
		return &openmatch.AssignmentGroup{TicketIds: ids, Assignment: a}
	}
	for name, tc := range map[string]struct {
		groups []*openmatch.AssignmentGroup
		want   codes.Code
	}{
		"no groups":                     {nil, codes.OK},
		"no ids":                        {[]*openmatch.AssignmentGroup{group(a)}, codes.InvalidArgument},
		"no assignment":                 {[]*openmatch.AssignmentGroup{group(nil, ticket.GetId())}, codes.InvalidArgument},
		"no assignment in the second":   {[]*openmatch.AssignmentGroup{group(a, ticket.GetId()), group(nil)}, codes.InvalidArgument},
		"the same id in one group":      {[]*openmatch.AssignmentGroup{group(a, ticket.GetId(), ticket.GetId())}, codes.InvalidArgument},
		"the same id in two groups":     {[]*openmatch.AssignmentGroup{group(a, ticket.GetId()), group(a, ticket.GetId())}, codes.InvalidArgument},
		"the same unknown id twice":     {[]*openmatch.AssignmentGroup{group(a, ticket.GetId(), "u", "u")}, codes.InvalidArgument},
		"nothing but an empty group":    {[]*openmatch.AssignmentGroup{group(a), group(a)}, codes.InvalidArgument},
		"an empty group beside another": {[]*openmatch.AssignmentGroup{group(a), group(a, "u")}, codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := om.backend.AssignTickets(t.Context(), &openmatch.AssignTicketsRequest{Assignments: tc.groups})
			expectCode(t, err, tc.want)
		})
	}
	om.expectWaiting(ticket)
}

func TestWatchAssignments(t *testing.T) {
	om := start(t)
	ticket, other := om.ticket(), om.ticket()
	stream, err := om.frontend.WatchAssignments(t.Context(), &openmatch.WatchAssignmentsRequest{TicketId: ticket.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		resp, err := stream.Recv()
		if err != nil || resp.GetAssignment() == nil || resp.GetAssignment().GetConnection() != want {
			t.Fatalf("got %v, %v, want %q", resp, err, want)
		}
	}
	om.assign("", ticket) // an empty assignment is one
	expect("")
	om.assign("one", ticket, other)
	om.expectWaiting()
	expect("one")
	om.assign("one", ticket) // not a change
	om.assign("two", ticket)
	expect("two")
	got, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: ticket.GetId()})
	if err != nil || got.GetAssignment().GetConnection() != "two" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := om.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: ticket.GetId()}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	expectCode(t, err, codes.NotFound)
}

func TestQueryNeedsAValidPool(t *testing.T) {
	om := start(t)
	bad := &timestamppb.Timestamp{Nanos: -1}
	for _, pool := range []*openmatch.Pool{nil, {CreatedBefore: bad}, {CreatedAfter: bad}} {
		tickets, err := om.query.QueryTickets(t.Context(), &openmatch.QueryTicketsRequest{Pool: pool})
		if err == nil {
			_, err = tickets.Recv()
		}
		expectCode(t, err, codes.InvalidArgument)
		ids, err := om.query.QueryTicketIds(t.Context(), &openmatch.QueryTicketIdsRequest{Pool: pool})
		if err == nil {
			_, err = ids.Recv()
		}
		expectCode(t, err, codes.InvalidArgument)
	}
}

func TestQueryPagesAndFilters(t *testing.T) {
	om := start(t)
	if _, pages := om.waiting(om.pool()); len(pages) != 0 {
		t.Fatalf("an empty pool has the pages %v", pages)
	}
	var tickets []*openmatch.Ticket
	for range 2*pageSize + 5 {
		tickets = append(tickets, om.ticket())
	}
	om.expectWaiting(tickets...)
	if _, pages := om.waiting(om.pool()); !slices.Equal(pages, []int{pageSize, pageSize, 5}) {
		t.Errorf("pages %v", pages)
	}
	all, _ := om.waiting(om.pool())
	if ids := om.waitingIDs(om.pool()); !slices.Equal(ids, all) {
		t.Errorf("QueryTicketIds: %v, want %v", ids, all)
	}
	// Bounds of the creation time are exclusive.
	sixth := tickets[5].GetCreateTime()
	before, after := om.pool(), om.pool()
	before.CreatedBefore, after.CreatedAfter = sixth, sixth
	if ids, _ := om.waiting(before); len(ids) != 5 {
		t.Errorf("%d were created before the sixth", len(ids))
	}
	if ids, _ := om.waiting(after); len(ids) != len(tickets)-6 {
		t.Errorf("%d were created after the sixth", len(ids))
	}
	missing := om.pool()
	missing.DoubleRangeFilters = []*openmatch.DoubleRangeFilter{{DoubleArg: "d", Min: -1, Max: 1}}
	if ids, _ := om.waiting(missing); len(ids) != 0 {
		t.Errorf("without the argument, but in its range: %v", ids)
	}
}

func (om *openMatch) waitingIDs(pool *openmatch.Pool) []string {
	om.t.Helper()
	stream, err := om.query.QueryTicketIds(om.t.Context(), &openmatch.QueryTicketIdsRequest{Pool: pool})
	if err != nil {
		om.t.Fatal(err)
	}
	var ids []string
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			slices.Sort(ids)
			return ids
		}
		if err != nil {
			om.t.Fatal(err)
		}
		if n := len(resp.GetIds()); n == 0 || n > pageSize {
			om.t.Errorf("a page of %d", n)
		}
		ids = append(ids, resp.GetIds()...)
	}
}

func TestAcceptedMatchesArePendingUntilReleased(t *testing.T) {
	om := start(t)
	a, b, c, d := om.ticket(), om.ticket(), om.ticket(), om.ticket()
	om.proposing("p", om.match("1", a), om.match("2", b), om.match("3", c))
	om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		if _, err := proposals(stream); err != nil {
			return err
		}
		return accept(stream, om.name+"/1", om.name+"/2")
	})
	om.expectFetch(om.fetch(t.Context(), om.request("p")), codes.OK, "1", "2")
	om.expectWaiting(c, d)
	if _, err := om.backend.ReleaseTickets(t.Context(), &openmatch.ReleaseTicketsRequest{TicketIds: []string{a.GetId(), d.GetId()}}); err != nil {
		t.Fatal(err)
	}
	om.expectWaiting(a, c, d)
	if _, err := om.backend.ReleaseAllTickets(t.Context(), &openmatch.ReleaseAllTicketsRequest{}); err != nil {
		t.Fatal(err)
	}
	om.expectWaiting(a, b, c, d)

	// A ticket can be deleted and assigned while it is pending.
	om.expectFetch(om.fetch(t.Context(), om.request("p")), codes.OK, "1", "2")
	om.assign("x", a)
	if _, err := om.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: b.GetId()}); err != nil {
		t.Fatal(err)
	}
	if _, err := om.backend.ReleaseAllTickets(context.Background(), &openmatch.ReleaseAllTicketsRequest{}); err != nil {
		t.Fatal(err)
	}
	om.expectWaiting(c, d)
	// A ticket that was assigned is not matched again, whatever is done to it.
	om.assign("", a)
	if _, err := om.backend.ReleaseTickets(t.Context(), &openmatch.ReleaseTicketsRequest{TicketIds: []string{a.GetId()}}); err != nil {
		t.Fatal(err)
	}
	om.expectWaiting(c, d)
}
