package backfill_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// searching checks an answer to a gate.
func searching(t *testing.T, r *torikumiv1.FillResponse, err error, state torikumiv1.FillResponse_State, places int32) {
	t.Helper()
	if err != nil || r.GetState() != state || r.GetOpenPlaces() != places || r.GetNext().AsDuration() <= 0 {
		t.Fatalf("%v, %v; want %v with %d places", r, err, state, places)
	}
}

func ids(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// TestFill fills a match up by the gate's calls alone, until it is full.
func TestFill(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	r, err := d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 2)
	far, near := h.search("far", 5000), h.search("cid", 1010)
	if got := h.fetch(); len(got) != 1 || got[0].GetBackfill().GetId() != h.backfill("gs") {
		t.Fatalf("fetched %v", got)
	}
	r, err = d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 1)
	ids(t, h.members("gs"), "ann", "bob", "cid")
	ids(t, h.told(), near)
	server, details := h.assignedTo(near)
	if server != "games/gs" || details.GetMatchId() == "" || details.GetPort() != 7000 {
		t.Errorf("cid was sent to %v", details)
	}
	if server, _ := h.assignedTo(far); server != "" {
		t.Errorf("far was sent to %s", server)
	}

	last := h.search("dan", 990)
	h.fetch()
	r, err = d.fill(h, "gs", "ann", "bob", "cid")
	searching(t, r, err, torikumiv1.FillResponse_FULL, 0)
	ids(t, h.members("gs"), "ann", "bob", "cid", "dan")
	ids(t, h.told(), near, last)
	if h.backfill("gs") != "" || h.backfills() != 0 {
		t.Errorf("%q is searched for, %d backfills", h.backfill("gs"), h.backfills())
	}
}

// TestFetchedMatch: who was found gets to play without the gate's next call.
func TestFetchedMatch(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ticket := h.search("cid", 1010)
	for _, m := range h.fetch() {
		d.Join(t.Context(), m)
	}
	ids(t, h.members("gs"), "ann", "bob", "cid")
	ids(t, h.told(), ticket)
	_, details := h.assignedTo(ticket)
	for _, team := range details.GetTeams() {
		for _, m := range team.GetMembers() {
			if m.GetPlayerId() == "cid" && (m.GetTicketId() != ticket || m.GetJoinTime() != nil && !m.GetJoinTime().IsValid()) {
				t.Errorf("cid is told %v", m)
			}
		}
	}
}

// TestServerGone: the backfill of a match that is over ends when somebody is found for it, and
// they search on at once.
func TestServerGone(t *testing.T) {
	for name, change := range map[string]func(*harness){
		"ended": func(h *harness) { h.fleet.end("gs") },
		"not allocated any more": func(h *harness) {
			s := h.fleet.get("gs")
			s.State = "Shutdown"
			h.fleet.put(s)
		},
		"another match": func(h *harness) { h.match("gs", teams("eve", "fay")); h.rename("gs", "m-other") },
		"another backfill": func(h *harness) {
			s := h.fleet.get("gs")
			s.Annotations[contract.BackfillAnnotation] = "other"
			h.fleet.put(s)
		},
		"not filled up any more": func(h *harness) {
			h.change("gs", func(r *torikumiv1.Roster) { r.Backfill = nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, time.Minute)
			h.match("gs", teams("ann", "bob"))
			d := h.director("")
			if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
				t.Fatal(err)
			}
			ticket := h.search("cid", 1010)
			matches := h.fetch()
			change(h)
			for _, m := range matches {
				d.Join(t.Context(), m)
			}
			if n := h.backfills(); n != 0 {
				t.Errorf("%d backfills are left", n)
			}
			if server, _ := h.assignedTo(ticket); server != "" || len(h.told()) != 0 {
				t.Errorf("sent to %q, told %q", server, h.told())
			}
			// The one who was found is there for the next match that wants somebody.
			h.match("other", teams("gil", "hal"))
			h.until(d, "other", "cid plays", func() bool { s, _ := h.assignedTo(ticket); return s == "games/other" })
		})
	}
}

// TestLeftOut: whom the gate leaves out has no place any more, and somebody else gets it.
func TestLeftOut(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann eve", "bob fay"))
	d := h.director("")
	r, err := d.fill(h, "gs", "ann", "bob", "eve", "fay")
	searching(t, r, err, torikumiv1.FillResponse_FULL, 0)
	if h.backfills() != 0 {
		t.Error("a backfill for a match that is full")
	}
	r, err = d.fill(h, "gs", "ann", "bob", "eve")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 1)
	ids(t, h.members("gs"), "ann", "bob", "eve")
	r, err = d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 2)
	// The backfill has both places.
	tickets := []string{h.search("cid", 1000), h.search("dan", 1000)}
	h.until(d, "gs", "both play", func() bool { return len(h.told()) == 2 })
	h.full("gs", tickets, "ann", "bob", "cid", "dan")
	if h.backfills() != 0 {
		t.Error("a backfill for a match that is full again")
	}
}

// TestGateBehind: a gate that has not seen yet who joined does not take their place by
// leaving them out; one that has does.
func TestGateBehind(t *testing.T) {
	h := newHarness(t, time.Minute)
	label := h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	h.search("cid", 1000)
	for _, m := range h.fetch() {
		d.Join(t.Context(), m)
	}
	behind := &torikumiv1.FillRequest{MatchId: label, Players: []string{"ann", "bob"}}
	r, err := d.Fill(asGate(t.Context(), "gs"), behind)
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 1)
	ids(t, h.members("gs"), "ann", "bob", "cid")
	r, err = d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 2)
	ids(t, h.members("gs"), "ann", "bob")
}

// TestBanned: who is banned is not found for the match any more, whichever director lets
// others in meanwhile; they search on, for other matches.
func TestBanned(t *testing.T) {
	h := newHarness(t, time.Second)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	fill := func(banned ...string) {
		t.Helper()
		req := h.request("gs", "ann", "bob")
		req.Banned = banned
		if _, err := d.Fill(asGate(t.Context(), "gs"), req); err != nil {
			t.Fatal(err)
		}
	}
	join := func(all []*openmatch.Match) {
		for _, m := range all {
			d.Join(t.Context(), m)
		}
	}
	fill("eve")
	eve := h.search("eve", 1000)
	join(h.fetch())
	ids(t, h.members("gs"), "ann", "bob")
	// While dan is let in, the gate bans cid, by another director.
	other, told := h.director(""), false
	d.hook = func(method string) {
		if method != "Acknowledge" || told {
			return
		}
		told = true
		req := h.request("gs", "ann", "bob", "dan")
		req.Banned = []string{"eve", "cid"}
		if _, err := other.Fill(asGate(t.Context(), "gs"), req); err != nil {
			t.Error(err)
		}
	}
	dan := h.search("dan", 1000)
	eventually.True(t, "dan joins", func() bool {
		join(h.fetch())
		return len(h.members("gs")) > 2
	})
	cid := h.search("cid", 1000)
	join(h.fetch())
	ids(t, h.members("gs"), "ann", "bob", "dan")
	ids(t, h.told(), dan)
	if !told {
		t.Error("nobody was banned meanwhile")
	}
	h.match("other", teams("gil", "hal"))
	h.until(d, "other", "eve and cid play elsewhere", func() bool {
		one, _ := h.assignedTo(eve)
		two, _ := h.assignedTo(cid)
		return one == "games/other" && two == "games/other"
	})
	ids(t, h.members("gs"), "ann", "bob", "dan")
}

// TestExpired: a gate that was silent for too long asks anew by another backfill.
func TestExpired(t *testing.T) {
	h := newHarness(t, 200*time.Millisecond)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	old := h.backfill("gs")
	eventually.True(t, "it expires", func() bool { return h.backfills() == 0 })
	eventually.True(t, "there is another", func() bool {
		_, err := d.fill(h, "gs", "ann", "bob")
		return err == nil && h.backfill("gs") != old && h.backfills() == 1
	})
}

// TestStop ends the search; who was found and not told yet searches on.
func TestStop(t *testing.T) {
	h := newHarness(t, time.Minute)
	label := h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ticket := h.search("cid", 1000)
	h.fetch()
	for range 2 { // a call may be repeated
		r, err := d.Fill(asGate(t.Context(), "gs"), &torikumiv1.FillRequest{MatchId: label, Players: []string{"ann", "bob"}, Stop: true})
		if err != nil || r.GetState() != torikumiv1.FillResponse_STOPPED {
			t.Fatal(r, err)
		}
	}
	if server, _ := h.assignedTo(ticket); server != "" || h.backfill("gs") != "" || h.backfills() != 0 {
		t.Errorf("sent to %q, %q, %d backfills", server, h.backfill("gs"), h.backfills())
	}
}

// TestLateJoiner: who is found between the roster and the acknowledgement is written and
// told after it, with the team.
func TestLateJoiner(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ticket := h.search("cid", 1000)
	found := false
	d.hook = func(method string) {
		if method == "Acknowledge" && !found {
			found = true
			h.fetch()
		}
	}
	r, err := d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 1)
	ids(t, h.members("gs"), "ann", "bob", "cid")
	ids(t, h.told(), ticket)
	_, details := h.assignedTo(ticket)
	told := 0
	for _, team := range details.GetTeams() {
		told += len(team.GetMembers())
	}
	if told != 3 {
		t.Errorf("cid is told of %v", details.GetTeams())
	}
}

// TestCancelled: the ticket of who was found is gone. The place is kept, and free when the
// gate leaves them out.
func TestCancelled(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ticket := h.search("cid", 1000)
	h.fetch()
	if _, err := h.frontend.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{TicketId: ticket}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the ticket is gone", func() bool {
		_, err := h.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: ticket})
		return status.Code(err) == codes.NotFound
	})
	r, err := d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 1)
	if len(h.told()) != 0 {
		t.Errorf("told %q", h.told())
	}
	r, err = d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 2)
	last := []string{h.search("dan", 1000), h.search("eve", 1000)}
	h.until(d, "gs", "the places are taken", func() bool { return len(h.told()) == 2 })
	h.full("gs", last, "ann", "bob", "dan", "eve")
}

// broken is an Open Match that fails each acknowledgement of its first backfill.
type broken struct {
	openmatch.FrontendServiceClient
	first string
}

func (b *broken) AcknowledgeBackfill(ctx context.Context, r *openmatch.AcknowledgeBackfillRequest, o ...grpc.CallOption) (*openmatch.AcknowledgeBackfillResponse, error) {
	if b.first == "" {
		b.first = r.GetBackfillId()
	}
	if b.first == r.GetBackfillId() {
		return nil, status.Error(codes.InvalidArgument, "Ticket id x is assigned multiple times in one assign tickets call")
	}
	return b.FrontendServiceClient.AcknowledgeBackfill(ctx, r, o...)
}

// TestBroken: a backfill that Open Match will never acknowledge again is replaced.
func TestBroken(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.frontend = &broken{FrontendServiceClient: h.frontend}
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	ticket := h.search("cid", 1000)
	h.until(d, "gs", "cid plays", func() bool { s, _ := h.assignedTo(ticket); return s != "" })
	if h.backfill("gs") == h.frontend.(*broken).first || h.backfills() != 1 {
		t.Errorf("%d backfills, %q", h.backfills(), h.backfill("gs"))
	}
}

// TestNoPlace: a match function that finds more than there is room for gets nobody in.
func TestNoPlace(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	tickets := []string{h.search("cid", 1000), h.search("dan", 1000)}
	h.fetch()
	h.change("gs", func(r *torikumiv1.Roster) { // somebody else has come meanwhile
		for _, team := range r.GetTeams() {
			team.Members = append(team.Members, &torikumiv1.TeamMember{PlayerId: "new in " + team.GetName(), TicketId: "x"})
		}
	})
	r, err := d.fill(h, "gs", h.members("gs")...)
	searching(t, r, err, torikumiv1.FillResponse_FULL, 0)
	for _, ticket := range tickets {
		if server, _ := h.assignedTo(ticket); server != "" {
			t.Errorf("%s was sent to %s", ticket, server)
		}
	}
	ids(t, h.members("gs"), "ann", "bob", "new in blue", "new in red")
}

// TestTooLarge: a server that cannot keep what another player is like ends the search for
// good, and who was found searches on.
func TestTooLarge(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	s := h.fleet.get("gs")
	players := &torikumiv1.RosterPlayers{Players: []*torikumiv1.Player{skilled("ann", 1000), skilled("bob", 1000)}}
	players.Players[0].Attributes["first"] = &torikumiv1.Attribute{Value: &torikumiv1.Attribute_Number{Number: 1}}
	players.Players[0].Attributes["long"] = &torikumiv1.Attribute{Value: &torikumiv1.Attribute_String_{String_: strings.Repeat("x", contract.MaxPlayersBytes*3/4-120)}}
	text, fits, err := contract.EncodePlayers(players)
	if err != nil || !fits {
		t.Fatal(fits, err)
	}
	s.Annotations[contract.PlayersAnnotation] = text
	h.fleet.put(s)
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ticket := h.search(strings.Repeat("c", 128), 1000)
	h.fetch()
	for range 2 {
		if _, err := d.fill(h, "gs", "ann", "bob"); status.Code(err) != codes.FailedPrecondition {
			t.Errorf("answered %v", err)
		}
	}
	if server, _ := h.assignedTo(ticket); server != "" || h.backfills() != 0 || h.backfill("gs") != "" || h.roster("gs").GetBackfill() != nil {
		t.Errorf("sent to %q, %d backfills, %v", server, h.backfills(), h.roster("gs"))
	}
	ids(t, h.members("gs"), "ann", "bob")
}

// TestRefused: who asks wrongly is told why, and nothing happens.
func TestRefused(t *testing.T) {
	h := newHarness(t, time.Minute)
	label := h.match("gs", teams("ann", "bob"))
	other := h.match("other", teams("eve", "fay"))
	h.match("still", teams("gil", "hal"))
	h.change("still", func(r *torikumiv1.Roster) { r.Backfill = nil })
	h.match("strange", teams("ira", "joe"))
	h.change("strange", func(r *torikumiv1.Roster) { r.Queue = "none" })
	d := h.director("")
	gate := asGate(t.Context(), "gs")
	many := make([]string, 201)
	for i := range many {
		many[i] = fmt.Sprint("p", i)
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		req  *torikumiv1.FillRequest
		code codes.Code
		says string
	}{
		"no token":        {t.Context(), &torikumiv1.FillRequest{MatchId: label}, codes.Unauthenticated, "authorization: required"},
		"no bearer":       {metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Basic gs")), &torikumiv1.FillRequest{MatchId: label}, codes.Unauthenticated, "authorization: must be"},
		"nobody's token":  {asGate(t.Context(), "nobody"), &torikumiv1.FillRequest{MatchId: label}, codes.Unauthenticated, "torikumi-director"},
		"no match":        {gate, &torikumiv1.FillRequest{}, codes.InvalidArgument, "match_id: required"},
		"another's match": {gate, &torikumiv1.FillRequest{MatchId: other, Players: []string{"eve", "fay"}}, codes.FailedPrecondition, "match_id: the game server of this pod"},
		"no server":       {asGate(t.Context(), "x"), &torikumiv1.FillRequest{MatchId: label}, codes.FailedPrecondition, "match_id: the game server of this pod"},
		"a stranger":      {gate, &torikumiv1.FillRequest{MatchId: label, Players: []string{"ann", "zoe"}}, codes.InvalidArgument, `players[1]: must be on the roster, got "zoe"`},
		"twice":           {gate, &torikumiv1.FillRequest{MatchId: label, Players: []string{"ann", "ann"}}, codes.InvalidArgument, "players[1]: must be unique"},
		"too many":        {gate, &torikumiv1.FillRequest{MatchId: label, Players: many}, codes.InvalidArgument, "players: must be at most 200"},
		"a banned one":    {gate, &torikumiv1.FillRequest{MatchId: label, Players: []string{"ann"}, Banned: []string{"eve", "ann"}}, codes.InvalidArgument, `banned[1]: must not be in players, got "ann"`},
		"many banned":     {gate, &torikumiv1.FillRequest{MatchId: label, Banned: many}, codes.InvalidArgument, "banned: must be at most 200"},
		"no time":         {gate, &torikumiv1.FillRequest{MatchId: label, RosterJoinTime: &timestamppb.Timestamp{Nanos: -1}}, codes.InvalidArgument, "roster_join_time"},
		"not filled up":   {asGate(t.Context(), "still"), &torikumiv1.FillRequest{MatchId: h.fleet.get("still").Labels[contract.MatchLabel]}, codes.FailedPrecondition, "not filled up"},
		"no queue":        {asGate(t.Context(), "strange"), &torikumiv1.FillRequest{MatchId: h.fleet.get("strange").Labels[contract.MatchLabel]}, codes.FailedPrecondition, `"none" fills no matches up`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := d.Fill(c.ctx, c.req)
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.says) {
				t.Errorf("%v, %v; want %v with %q", r, err, c.code, c.says)
			}
		})
	}
	if n := h.backfills(); n != 0 {
		t.Errorf("%d backfills", n)
	}
}

// TestServerChanges: a step begins anew when the server has changed since it was read.
func TestServerChanges(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	times := 0
	d.hook = func(method string) {
		if method == "Annotate" && times < 2 {
			times++
			h.fleet.touch("gs")
		}
	}
	r, err := d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 2)
	if times != 2 || h.backfills() != 1 {
		t.Errorf("changed %d times, %d backfills", times, h.backfills())
	}
	times = -10
	if _, err := d.fill(h, "gs", "ann"); status.Code(err) != codes.Unavailable {
		t.Errorf("a server that changes all the time: %v", err)
	}
}
