package match_test

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/director/internal/match"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func tickets(ids ...string) []*openmatch.Ticket {
	var all []*openmatch.Ticket
	for _, id := range ids {
		all = append(all, &openmatch.Ticket{Id: id, SearchFields: &openmatch.SearchFields{
			StringArgs: map[string]string{contract.RegionArg: "eu"},
		}})
	}
	return all
}

// openMatch makes a match of Open Match; details may be nil.
func openMatch(t testing.TB, details *torikumiv1.MatchDetails, tickets ...*openmatch.Ticket) *openmatch.Match {
	t.Helper()
	m := &openmatch.Match{MatchId: "a:1", Tickets: tickets}
	if details != nil {
		if err := contract.Put(&m.Extensions, contract.MatchExtension, details); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func team(name string, members ...*torikumiv1.TeamMember) *torikumiv1.Team {
	return &torikumiv1.Team{Name: name, Members: members}
}

func member(player, ticket string) *torikumiv1.TeamMember {
	return &torikumiv1.TeamMember{PlayerId: player, TicketId: ticket}
}

func TestParse(t *testing.T) {
	party := tickets("t1")[0]
	if err := contract.Put(&party.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{
		Region: "us", Players: []*torikumiv1.Player{{Id: "ann"}, {Id: "bob"}},
	}); err != nil {
		t.Fatal(err)
	}
	broken := tickets("t1")[0]
	broken.Extensions = map[string]*anypb.Any{contract.TicketExtension: {TypeUrl: "nonsense", Value: []byte{1}}}
	mangled := openMatch(t, nil, tickets("t1")...)
	mangled.Extensions = map[string]*anypb.Any{contract.MatchExtension: {TypeUrl: "nonsense", Value: []byte{1}}}

	for _, c := range []struct {
		name   string
		match  *openmatch.Match
		region string
		teams  []*torikumiv1.Team
	}{
		{"as our match function says", openMatch(t, &torikumiv1.MatchDetails{Region: "asia", Teams: []*torikumiv1.Team{
			team("red", member("ann", "t1")), team("blue", member("bob", "t2")),
		}}, tickets("t1", "t2")...), "asia", []*torikumiv1.Team{team("red", member("ann", "t1")), team("blue", member("bob", "t2"))}},
		{"foreign match function", openMatch(t, nil, tickets("t1", "t2")...), "eu", []*torikumiv1.Team{team("", member("t1", "t1"), member("t2", "t2"))}},
		{"foreign match function, our party", openMatch(t, nil, party, tickets("t2")[0]), "", []*torikumiv1.Team{
			team("", member("ann", "t1"), member("bob", "t1"), member("t2", "t2"))}},
		{"details name a ticket that is not there", openMatch(t, &torikumiv1.MatchDetails{Teams: []*torikumiv1.Team{
			team("red", member("ann", "t1")), team("blue", member("eve", "t9")),
		}}, tickets("t1")...), "eu", []*torikumiv1.Team{team("red", member("ann", "t1"))}},
		{"details forget a ticket", openMatch(t, &torikumiv1.MatchDetails{Teams: []*torikumiv1.Team{
			team("red", member("ann", "t1")),
		}}, tickets("t1", "t2")...), "eu", []*torikumiv1.Team{team("red", member("ann", "t1")), team("", member("t2", "t2"))}},
		{"bots fill teams up", openMatch(t, &torikumiv1.MatchDetails{Teams: []*torikumiv1.Team{
			{Name: "red", Members: []*torikumiv1.TeamMember{member("ann", "t1")}, Bots: 1}, {Name: "blue", Bots: 2}, {Name: "none"}, {Name: "odd", Bots: -1},
		}}, tickets("t1")...), "eu", []*torikumiv1.Team{
			{Name: "red", Members: []*torikumiv1.TeamMember{member("ann", "t1")}, Bots: 1}, {Name: "blue", Bots: 2}}},
		{"details cannot be read", mangled, "eu", []*torikumiv1.Team{team("", member("t1", "t1"))}},
		{"ticket's details cannot be read", openMatch(t, nil, broken), "", []*torikumiv1.Team{team("", member("t1", "t1"))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := match.Parse("duel", c.match)
			if err != nil {
				t.Fatal(err)
			}
			if b.ID != "a:1" || b.Label != contract.MatchLabelValue("a:1") || b.Queue != "duel" || b.Region != c.region {
				t.Errorf("match = %+v, want region %q", b, c.region)
			}
			if !slices.EqualFunc(b.Teams, c.teams, func(a, b *torikumiv1.Team) bool { return proto.Equal(a, b) }) {
				t.Errorf("teams = %v, want %v", b.Teams, c.teams)
			}
		})
	}
}

// The game server reads from the roster how many bots to add.
// TestPlayers counts players and not tickets.
func TestPlayers(t *testing.T) {
	details := &torikumiv1.MatchDetails{MinPlayers: 2, Teams: []*torikumiv1.Team{team("a", member("ann", "t1"), member("bob", "t1")), {Name: "b", Bots: 2}}}
	m, err := match.Parse("q", openMatch(t, details, tickets("t1", "t2")...))
	if err != nil || m.MinPlayers != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	for without, want := range map[string]int{"": 3, "t1": 1, "t2": 2, "t3": 3} {
		if got := m.Players(map[string]bool{without: true}); got != want {
			t.Errorf("%d players without %q, want %d", got, without, want)
		}
	}
	if m, err := match.Parse("q", openMatch(t, &torikumiv1.MatchDetails{MinPlayers: -1}, tickets("t1")...)); err != nil || m.MinPlayers != 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestBotsAreOnTheRoster(t *testing.T) {
	b, err := match.Parse("duel", openMatch(t, &torikumiv1.MatchDetails{Teams: []*torikumiv1.Team{
		team("red", member("ann", "t1")), {Name: "blue", Bots: 2},
	}}, tickets("t1")...))
	if err != nil {
		t.Fatal(err)
	}
	text, err := b.Roster(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	roster, err := contract.DecodeRoster(text)
	if err != nil || len(roster.GetTeams()) != 2 || roster.GetTeams()[1].GetBots() != 2 || roster.GetTeams()[0].GetBots() != 0 {
		t.Errorf("roster %s, %v", text, err)
	}
	if !b.Owns(text) {
		t.Error("bots make it another's roster")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		match *openmatch.Match
		free  []string
	}{
		{"nothing", nil, nil},
		{"no tickets", &openmatch.Match{MatchId: "m"}, nil},
		{"no id", &openmatch.Match{Tickets: tickets("t1", "t2")}, []string{"t1", "t2"}},
		{"a ticket twice", &openmatch.Match{MatchId: "m", Tickets: tickets("t1", "t2", "t1")}, []string{"t1", "t2"}},
		{"a ticket without id", &openmatch.Match{MatchId: "m", Tickets: tickets("t1", "")}, []string{"t1"}},
		{"a ticket that is nil", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{nil, {Id: "t1"}}}, []string{"t1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := match.Parse("duel", c.match)
			var invalid *match.InvalidError
			if !errors.As(err, &invalid) || !slices.Equal(invalid.Tickets, c.free) {
				t.Errorf("error = %#v, want tickets %v", err, c.free)
			}
		})
	}
	join := &openmatch.Match{MatchId: "m", Tickets: tickets("t1"), Backfill: &openmatch.Backfill{Id: "b"}}
	if _, err := match.Parse("duel", join); !errors.Is(err, match.ErrBackfill) {
		t.Errorf("a match that joins a running server: %v", err)
	}
	join.AllocateGameserver = true
	if _, err := match.Parse("duel", join); err != nil {
		t.Errorf("a match that wants a server and later players: %v", err)
	}
}

func TestOwns(t *testing.T) {
	b, err := match.Parse("duel", openMatch(t, nil, tickets("t1", "t2")...))
	if err != nil {
		t.Fatal(err)
	}
	own, err := b.Roster(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	roster := func(id string, ids ...string) string {
		m := openMatch(t, nil, tickets(ids...)...)
		m.MatchId = id
		other, err := match.Parse("duel", m)
		if err != nil {
			t.Fatal(err)
		}
		s, err := other.Roster(nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	joined := func(roster string) string {
		r, err := contract.DecodeRoster(roster)
		if err != nil {
			t.Fatal(err)
		}
		r.Teams = append(r.Teams, &torikumiv1.Team{Members: []*torikumiv1.TeamMember{{PlayerId: "t3", TicketId: "t3", JoinTime: timestamppb.Now()}}})
		s, err := contract.EncodeRoster(r)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, c := range []struct {
		name, roster string
		want         bool
	}{
		{"its own", own, true},
		{"with somebody who joined", joined(own), true},
		{"the same again", roster("a:1", "t2", "t1"), true},
		{"another match of the same id", roster("a:1", "t1", "t3"), false},
		{"a larger match of the same id", roster("a:1", "t1", "t2", "t3"), false},
		{"a smaller match of the same id", roster("a:1", "t1"), false},
		{"another id", roster("a:2", "t1", "t2"), false},
		{"nothing", "", false},
		{"rubbish", "{]", false},
	} {
		if got := b.Owns(c.roster); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range []*openmatch.Match{openMatch(f, nil, tickets("t1")...), openMatch(f, &torikumiv1.MatchDetails{
		Teams: []*torikumiv1.Team{team("red", member("ann", "t1"), member("bob", "t9"))},
	}, tickets("t1", "t2")...), {}} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(openmatch.Match)
		if proto.Unmarshal(raw, m) != nil {
			return
		}
		b, err := match.Parse("duel", m)
		if err != nil {
			return
		}
		inTeam := make(map[string]bool)
		for _, team := range b.Teams {
			for _, m := range team.GetMembers() {
				inTeam[m.GetTicketId()] = true
			}
		}
		for _, id := range b.Tickets {
			if !inTeam[id] {
				t.Errorf("nobody of ticket %q is in a team", id)
			}
		}
		if len(inTeam) != len(b.Tickets) || len(b.Tickets) != len(m.GetTickets()) {
			t.Errorf("tickets %q, in teams %v", b.Tickets, inTeam)
		}
		if roster, err := b.Roster(nil, nil, nil); err != nil || !b.Owns(roster) {
			t.Errorf("roster %q, %v", roster, err)
		}
	})
}
