package check_test

import (
	"testing"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// whole is a correct match: in red two of three who already play and a ticket
// of two, in blue the third who plays and one alone; and what it is judged by.
func whole() (ruleset.Definition, *rule.Match) {
	d := definition()
	d.Teams[red].MinPlayers, d.Teams[red].MaxPlayers = 3, 5
	d.Teams[blue].MinPlayers, d.Teams[blue].MaxPlayers, d.Teams[blue].Bots = 3, 5, true
	duo := ticket("duo", player("a"), player("b", ms("r", 20)))
	one := ticket("one", player("c"))
	playing := playing(ticket("playing", player("d"), player("e"), player("f")), red, blue, red)
	m := in(refill(match(tickets(duo), tickets(one)), playing), "r")
	m.Teams[blue].Bots = 1
	return d, m
}

// TestStructure breaks a correct match in each way.
func TestStructure(t *testing.T) {
	d, m := whole()
	if got := said(checker(t, d).Match(m, now)); got != "" {
		t.Fatalf("the correct match: %s", got)
	}
	// The members of red are a, b, d and f, those of blue c and e.
	for _, c := range []struct {
		name  string
		spoil func(m *rule.Match)
		want  string
	}{
		{"a team is missing", func(m *rule.Match) {
			m.Teams = m.Teams[:1]
		}, `player "c" of ticket "one" is 0 times in the teams, not once; player "e" of ticket "playing" is 0 times in the teams, not once`},
		{"a team too many", func(m *rule.Match) {
			m.Teams = append(m.Teams, rule.Team{Name: "green"})
		}, "the match has 3 teams, not 2"},
		{"a team of another name", func(m *rule.Match) { m.Teams[blue].Name = "green" }, `team 1 is "green", not "blue"`},
		{"teams in another order", func(m *rule.Match) {
			m.Teams[red].Name, m.Teams[blue].Name = "blue", "red"
		}, `team 0 is "blue", not "red"; team 1 is "red", not "blue"`},
		{"a wrong wait", func(m *rule.Match) { m.Wait++ }, "the match says it waited 10.000000001s, but it is 10s"},
		{"a ticket of another age", func(m *rule.Match) {
			m.Tickets[0].Created = now.Add(-time.Second)
		}, "the match says it waited 10s, but it is 1s"},
		{"another region", func(m *rule.Match) { m.Region = "s" }, `ticket "duo" can't play in region "s"`},
		{"no region", func(m *rule.Match) { m.Region = "" }, "tickets name regions, but the match has none"},

		{"bots where players are enough", func(m *rule.Match) { m.Teams[red].Bots = 1 }, `team "red" has 1 bots, not 0`},
		{"too few bots", func(m *rule.Match) { m.Teams[blue].Bots = 0 }, `team "blue" has 0 bots, not 1`},
		{"too many bots", func(m *rule.Match) { m.Teams[blue].Bots = 2 }, `team "blue" has 2 bots, not 1`},
		{"fewer than no bots", func(m *rule.Match) { m.Teams[red].Bots = -1 }, `team "red" has -1 bots, not 0`},
		{"too many players", func(m *rule.Match) {
			seat(m, red, ticket("duo-2", player("g"), player("h")))
		}, `team "red" has 6 players, more than 5`},
		{"too few players", func(m *rule.Match) {
			m.Tickets, m.Teams[red].Members = m.Tickets[1:], m.Teams[red].Members[2:]
			m.Region = "" // only the ticket that left named regions
		}, `team "red" has 2 players, less than 3`},
		{"no tickets", func(m *rule.Match) {
			m.Tickets, m.Teams[red].Members, m.Teams[blue].Members = nil, nil, nil
		}, "the match has no tickets"},

		{"a ticket without its players", func(m *rule.Match) {
			m.Tickets = append(m.Tickets, ticket("late", player("g")))
		}, `player "g" of ticket "late" is 0 times in the teams, not once`},
		{"a ticket without players", func(m *rule.Match) {
			m.Tickets = append(m.Tickets, ticket("nobody"))
		}, `ticket "nobody" brings no player`},
		{"a player is left out", func(m *rule.Match) {
			m.Teams[red].Members = m.Teams[red].Members[1:]
		}, `player "a" of ticket "duo" is 0 times in the teams, not once`},
		{"a player is in a team twice", func(m *rule.Match) {
			m.Teams[red].Members = append(m.Teams[red].Members, m.Teams[red].Members[0])
		}, `player "a" of ticket "duo" is 2 times in the teams, not once`},
		{"a player is in two teams", func(m *rule.Match) {
			m.Teams[blue].Members = append(m.Teams[blue].Members, m.Teams[red].Members[0])
		}, `player "a" of ticket "duo" is 2 times in the teams, not once`},
		{"a party is torn", func(m *rule.Match) {
			move(m, red, 1, blue)
			m.Teams[blue].Bots = 0
		}, `player "b" of ticket "duo" is in team 1, the first one in team 0`},
		{"one who plays changes teams", func(m *rule.Match) {
			move(m, red, 3, blue)
			m.Teams[blue].Bots = 0
		}, `player "f" of ticket "playing" is in team 1, but already plays in team 0`},
		{"teams of those who play are missing", func(m *rule.Match) {
			m.Tickets[2].Teams = m.Tickets[2].Teams[:2]
		}, `ticket "playing" has 3 players in 2 teams`},
		{"one plays in a team that isn't there", func(m *rule.Match) {
			m.Tickets[2].Teams[1] = 2
		}, `player "e" of ticket "playing" is in team 1, but already plays in team 2`},
		{"two matches are filled up", func(m *rule.Match) {
			m.Tickets[1].Teams = []int{blue}
		}, "2 tickets are of those who already play"},
		{"one joins who is banned", func(m *rule.Match) {
			m.Tickets[2].Banned = []string{"x", "b"}
		}, `player "b" may not join ticket "playing"`},

		{"a ticket is not listed", func(m *rule.Match) {
			m.Tickets = m.Tickets[:2]
		}, `player "d" in team "red" is of ticket "playing", which the match doesn't list; ` +
			`player "f" in team "red" is of ticket "playing", which the match doesn't list; ` +
			`player "e" in team "blue" is of ticket "playing", which the match doesn't list`},
		{"a ticket is listed twice", func(m *rule.Match) {
			m.Tickets = append(m.Tickets, m.Tickets[1])
		}, `ticket "one" is there twice; player "c" is there twice`},
		{"two tickets of one id", func(m *rule.Match) { m.Tickets[1].ID = "duo" }, `ticket "duo" is there twice`},
		{"two players of one id", func(m *rule.Match) { m.Tickets[1].Players[0].ID = "a" }, `player "a" is there twice`},
		{"two players of one id in a party", func(m *rule.Match) { m.Tickets[0].Players[1].ID = "a" }, `player "a" is there twice`},
		{"a ticket is nil", func(m *rule.Match) { m.Tickets[1] = nil }, "ticket number 1 is nil"},
		{"a member without a ticket", func(m *rule.Match) {
			m.Teams[red].Members[0].Ticket = nil
		}, `member 0 of team "red" has no ticket or no player`},
		{"a member without a player", func(m *rule.Match) {
			m.Teams[red].Members[0].Player = nil
		}, `member 0 of team "red" has no ticket or no player`},
		{"a member of another ticket", func(m *rule.Match) {
			m.Teams[red].Members[0].Ticket = m.Tickets[1]
		}, `player "a" in team "red" is not one of ticket "one"`},
		{"a copy of a ticket", func(m *rule.Match) {
			m.Teams[red].Members[0].Ticket = new(*m.Tickets[0])
		}, `player "a" in team "red" is of ticket "duo", which the match doesn't list`},
		{"a copy of a player", func(m *rule.Match) {
			m.Teams[red].Members[0].Player = new(m.Tickets[0].Players[0])
		}, `player "a" in team "red" is not one of ticket "duo"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, m := whole()
			c.spoil(m)
			if got := said(checker(t, d).Match(m, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// seat adds a ticket to a team.
func seat(m *rule.Match, team int, t *rule.Ticket) {
	m.Tickets = append(m.Tickets, t)
	for p := range t.Players {
		m.Teams[team].Members = append(m.Teams[team].Members, rule.Member{Player: &t.Players[p], Ticket: t})
	}
}

// move puts a member of a team into another one.
func move(m *rule.Match, from, member, to int) {
	m.Teams[to].Members = append(m.Teams[to].Members, m.Teams[from].Members[member])
	m.Teams[from].Members = append(m.Teams[from].Members[:member:member], m.Teams[from].Members[member+1:]...)
}

func TestTeamSizes(t *testing.T) {
	some := func(prefix string, n int) []*rule.Ticket {
		var out []*rule.Ticket
		for i := range n {
			out = append(out, solo(prefix+string(rune('0'+i))))
		}
		return out
	}
	for _, c := range []struct {
		name            string
		bots            bool
		inRed, inBlue   int
		botsIn, botsOut int // in red and in blue
		want            string
	}{
		{"smallest", false, 2, 2, 0, 0, ""},
		{"largest", false, 4, 4, 0, 0, ""},
		{"too small", false, 1, 2, 0, 0, `team "red" has 1 players, less than 2`},
		{"too large", false, 5, 2, 0, 0, `team "red" has 5 players, more than 4`},
		{"an empty one", false, 2, 0, 0, 0, `team "blue" has 0 players, less than 2`},
		{"bots where none may be", false, 2, 1, 0, 1, `team "blue" has 1 players, less than 2; team "blue" has 1 bots, not 0`},
		{"all bots in a team", true, 1, 0, 1, 2, ""},
		{"nobody but bots", true, 0, 0, 2, 2, "the match has no tickets"},
		{"bots above the smallest size", true, 2, 3, 0, 1, `team "blue" has 1 bots, not 0`},
		{"too large with bots", true, 2, 5, 0, 0, `team "blue" has 5 players, more than 4`},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := definition()
			for i := range d.Teams {
				d.Teams[i].MinPlayers, d.Teams[i].MaxPlayers, d.Teams[i].Bots = 2, 4, c.bots
			}
			m := match(some("a", c.inRed), some("b", c.inBlue))
			m.Teams[red].Bots, m.Teams[blue].Bots = c.botsIn, c.botsOut
			if got := said(checker(t, d).Match(m, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestQuantity(t *testing.T) {
	d := definition(ruleset.Rule{
		Name: "r", Kind: ruleset.Distance, MaxDistance: new(1.0), Reference: new(call(ruleset.FnAvg, of("skill", 2))),
		Measurements: measured(call(ruleset.FnAvg, of("skill", 0, 1))),
	})
	d.Teams = []ruleset.Team{{Name: "hunters", MaxPlayers: 2, Quantity: 2}, {Name: "monster", MinPlayers: 1, MaxPlayers: 1, Quantity: 1}}
	for _, c := range []struct {
		names  []string
		second float64
		want   string
	}{
		{[]string{"hunters_1", "hunters_2", "monster"}, 11, ""},
		{[]string{"hunters_1", "hunters_2", "monster"}, 12, "r: 12 is more than 1 from 10"},
		{[]string{"hunters", "hunters", "monster"}, 11, `team 0 is "hunters", not "hunters_1"; team 1 is "hunters", not "hunters_2"`},
		{[]string{"hunters_1", "monster", "hunters_2"}, 11, `team 1 is "monster", not "hunters_2"; team 2 is "hunters_2", not "monster"`},
	} {
		m := match(tickets(ace("a", 9)), tickets(ace("b", c.second)))
		m.Teams = append(m.Teams, rule.Team{})
		seat(m, 2, ace("c", 10))
		for i, name := range c.names {
			m.Teams[i].Name = name
		}
		if got := said(checker(t, d).Match(m, now)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.names, got, c.want)
		}
	}
}
