package check_test

import (
	"testing"

	"torikumi/matchfunction/rule"
)

func TestRegion(t *testing.T) {
	both := solo("a", ms("r", 10), ms("s", 10))
	second := solo("b", ms("s", 10))
	asking := asks(solo("c", ms("s", 10)), "r") // its latencies don't matter
	silent := solo("d")
	duo := ticket("duo", player("e", ms("r", 1)), player("f", ms("r", 1), ms("s", 1)))
	half := ticket("half", player("g"), player("h", ms("s", 1)))

	for _, c := range []struct {
		name    string
		tickets []*rule.Ticket
		region  string
		want    string
	}{
		{"all can", tickets(both, second, silent, half), "s", ""},
		{"one can't", tickets(both, second), "r", `ticket "ticket-b" can't play in region "r"`},
		{"unknown region", tickets(both), "q", `ticket "ticket-a" can't play in region "q"`},
		{"asked for", tickets(asking, both, duo, silent), "r", ""},
		{"asked for another", tickets(asking), "s", `ticket "ticket-c" can't play in region "s"`},
		{"all of a party", tickets(duo), "r", ""},
		{"not all of a party", tickets(duo), "s", `ticket "duo" can't play in region "s"`},
		{"only those of a party who have latencies", tickets(half), "s", ""},
		{"not those of a party who have latencies", tickets(half), "r", `ticket "half" can't play in region "r"`},
		{"no region, though one has latencies", tickets(both, silent), "", "tickets name regions, but the match has none"},
		{"no region, though one asks", tickets(asking), "", "tickets name regions, but the match has none"},
		{"none named", tickets(silent), "", ""},
		{"a region out of nothing", tickets(silent), "r", `no ticket names regions, but the match is in "r"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := in(match(c.tickets, nil), c.region)
			if got := said(checker(t, definition()).Match(m, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
