package search_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
)

// A running match takes those who have waited longest, however young its search is: else
// who came later would always be nearer to it.
func TestABackfillTakesTheLongestWaiting(t *testing.T) {
	const high = "high" // else those who wait begin a match of their own
	for name, c := range map[string]struct {
		rules      string
		priorities []string
	}{
		"no rules": {`[]`, []string{high}},
		"roles": {`[{"name": "Host", "type": "comparison", "measurements": ["teams[red].players.attributes[role]"], "referenceValue": "host", "operation": "="},
			{"name": "Joiner", "type": "comparison", "measurements": ["teams[blue].players.attributes[role]"], "referenceValue": "", "operation": "="}]`, []string{"normal", high, "low"}},
		"regions": {`[{"name": "Near", "type": "latency", "maxLatency": 100}]`, []string{high}},
	} {
		for _, priority := range c.priorities {
			e := compiled(t, fmt.Sprintf(`{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "s", "type": "number"}, {"name": "role", "type": "string", "default": ""}],
				"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 3}], "algorithm": {"backfillPriority": %q}, "rules": %s}`, priority, c.rules))
			host := solo("running", time.Second, 1, 30)
			host.Players[0].Attributes = append(host.Players[0].Attributes, rule.Attribute{Name: "role", Value: word("host")})
			host.Teams = []int{0}
			tickets := []rule.Ticket{host}
			for i := range 8 { // the longest waiting is t7
				tickets = append(tickets, solo(fmt.Sprint("t", i), time.Duration(i*20)*time.Second, 1, float64(90-10*i)))
			}
			var joins []string
			for p := range e.Search(t.Context(), tickets, now, func(int, search.Reason) {}) {
				if p.Backfill == 0 {
					for _, k := range p.Tickets {
						joins = append(joins, tickets[k].ID)
					}
				}
			}
			slices.Sort(joins)
			if want := []string{"t5", "t6", "t7"}; !slices.Equal(joins, want) {
				t.Errorf("%s, %s: %v join, want %v", name, priority, joins, want)
			}
		}
	}
}
