package check_test

import (
	"testing"

	"torikumi/matchfunction/rule"
)

func TestProposals(t *testing.T) {
	one := func() *rule.Match { return match(tickets(solo("a")), tickets(solo("b"))) }
	two := func() *rule.Match { return match(tickets(solo("c")), tickets(solo("d"))) }
	sameTicket := match(tickets(ticket("ticket-a", player("e"))), nil)
	samePlayer := match(tickets(ticket("other", player("a"))), nil)
	late := two()
	late.Wait = 0
	shared := one()

	for _, c := range []struct {
		name    string
		matches []*rule.Match
		want    string
	}{
		{"none", nil, ""},
		{"apart", []*rule.Match{one(), two()}, ""},
		{"a ticket twice", []*rule.Match{one(), two(), sameTicket}, `ticket "ticket-a" is in match 0 and in match 2`},
		{"a player twice", []*rule.Match{two(), one(), samePlayer}, `player "a" is in match 1 and in match 2`},
		{"a match twice", []*rule.Match{match(shared.Tickets[:1], nil), match(shared.Tickets[:1], nil)}, `ticket "ticket-a" is in match 0 and in match 1; player "a" is in match 0 and in match 1`},
		{"each is judged", []*rule.Match{one(), late}, "match 1: the match says it waited 0s, but it is 10s"},
		{"no match", []*rule.Match{one(), nil}, "match 1: there is no match"},
		{"twice in one match is said once", []*rule.Match{two(), match(tickets(ticket("x", player("a"), player("a"))), nil)}, `match 1: player "a" is there twice`},
		{"a nil ticket", []*rule.Match{{Tickets: []*rule.Ticket{nil}}}, "match 0: ticket number 0 is nil"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(checker(t, definition()).Proposals(c.matches, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestProposalsKeepTheRulesName(t *testing.T) {
	vs := checker(t, definition(exactly(2))).Proposals([]*rule.Match{match(tickets(ace("a", 1)), nil)}, now)
	if len(vs) != 1 || vs[0].Rule != "2" || vs[0].Text != "match 0: 1 = 2 is false" {
		t.Errorf("got %+v", vs)
	}
}
