package search_test

import (
	"fmt"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// found makes matches and has the checker judge them.
func found(t *testing.T, text string, tickets []rule.Ticket) []*rule.Match {
	t.Helper()
	rs, err := ruleset.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	judge, err := check.New(rs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []*rule.Match
	for p := range e.Search(t.Context(), tickets, now, nil) {
		out = append(out, p.Match(tickets))
	}
	if v := judge.Proposals(out, now); len(v) > 0 {
		t.Error(v[:min(5, len(v))])
	}
	return out
}

// A hundred teams of two, one of which only some may be in.
func TestAHundredTeams(t *testing.T) {
	got := found(t, `{"name": "duos", "ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"algorithm": {"strategy": "balanced", "balancedAttribute": "skill"},
		"teams": [{"name": "duo", "minPlayers": 2, "maxPlayers": 2, "quantity": 100}],
		"rules": [{"name": "mode", "type": "batchDistance", "batchAttribute": "mode"}]}`, solos(1000))
	if len(got) < 4 {
		t.Errorf("%d matches of 200 from 1000 players of two modes", len(got))
	}
	for _, m := range got {
		if len(m.Teams) != 100 || len(m.Tickets) != 200 {
			t.Errorf("%d teams, %d tickets", len(m.Teams), len(m.Tickets))
		}
	}
}

// Large teams are filled in the documented order: those below their smallest
// size first, of them the one with the most open places. So with 150 players
// the hunters have about as many each, and the monsters are complete.
func TestLargeTeamsAreFilledEvenly(t *testing.T) {
	tickets := solos(400)
	for i := range tickets {
		tickets[i].Players[0].Attributes[0].Value = word("arena")
	}
	got := found(t, `{"name": "hunt", "ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"algorithm": {"strategy": "balanced", "balancedAttribute": "skill"},
		"teams": [{"name": "monsters", "minPlayers": 5, "maxPlayers": 5}, {"name": "hunters", "minPlayers": 12, "maxPlayers": 15, "quantity": 10}],
		"rules": [{"name": "mode", "type": "batchDistance", "batchAttribute": "mode"}]}`, tickets[:150])
	if len(got) != 1 || len(got[0].Tickets) != 150 {
		t.Fatalf("%d matches", len(got))
	}
	for _, team := range got[0].Teams {
		if n := len(team.Members); team.Name == "monsters" && n != 5 || team.Name != "monsters" && n != 14 && n != 15 {
			t.Errorf("%s has %d players", team.Name, n)
		}
	}
}

// Balanced teams have about the same sum.
func TestTeamsAreBalanced(t *testing.T) {
	for _, m := range found(t, `{"name": "fair", "ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"algorithm": {"strategy": "balanced", "balancedAttribute": "skill"},
		"teams": [{"name": "red", "minPlayers": 50, "maxPlayers": 50}, {"name": "blue", "minPlayers": 50, "maxPlayers": 50}],
		"rules": [{"name": "mode", "type": "batchDistance", "batchAttribute": "mode"}]}`, solos(1000)) {
		var sums [2]float64
		for i, team := range m.Teams {
			for _, member := range team.Members {
				v, _ := member.Player.Attribute("skill")
				sums[i] += v.Number
			}
		}
		if d := sums[0] - sums[1]; d > 50 || d < -50 {
			t.Errorf("the sums of 50 players' skills, normal with deviation 200, differ by %v", fmt.Sprint(d))
		}
	}
}

// Who is patient gets closer matches: at first half of what the rules allow,
// after the patience all of it, however the pool is searched.
func TestPatience(t *testing.T) {
	for _, extra := range []string{"", `, {"name": "parties", "type": "similarPartySizes", "maxDifference": 5}`} {
		rules := `{"name": "patient", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
			"algorithm": {"patienceSeconds": 60}, "teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}],
			"rules": [{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100}` + extra + `]}`
		for _, c := range []struct {
			apart, waited float64
			match         bool
		}{{50, 0, true}, {51, 0, false}, {75, 30, true}, {76, 30, false}, {100, 60, true}, {100, 600, true}, {101, 600, false}} {
			tickets := []rule.Ticket{waiting("a", 1500, "ctf", "", time.Duration(c.waited*float64(time.Second))), waiting("b", 1500+c.apart, "ctf", "", 0)}
			for i := range tickets {
				tickets[i].Players[0].Latencies = nil
			}
			if got := found(t, rules, tickets); (len(got) == 1) != c.match {
				t.Errorf("%v apart after %v s: %d matches", c.apart, c.waited, len(got))
			}
		}
	}
}
