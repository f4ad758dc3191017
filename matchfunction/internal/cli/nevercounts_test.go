package cli

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/ruleset/attribute"
)

const noLimit = math.MaxInt

// TestLintOfCounts: with the largest minCount that a match can keep, lint says nothing and
// the checker takes a match; with one more, lint says that there is none.
func TestLintOfCounts(t *testing.T) {
	const contains, words = `"contains", "referenceValue": ["a", "b"]`, `"reference_intersection_count", "referenceValue": ["a", "b", "a"]`
	for _, tt := range []struct {
		redMin              int
		operation, measured string
		most                int
		why                 string
	}{
		{0, contains, "teams[red].players.attributes[maps]", 2, "there are at most 2 players to count"},
		{0, contains, "teams[blue].players.attributes[maps]", 3, "there are at most 3 players to count"},
		{0, contains, "teams[*].players.attributes[maps]", 2, "there are at most 2 players to count"}, // in red
		{0, contains, "flatten(teams[*].players.attributes[maps])", 5, "there are at most 5 players to count"},
		{0, contains, "teams[*].players.attributes[mode]", 2, "there are at most 2 teams to count"},
		{0, contains, "set_intersection(teams[*].players.attributes[maps])", 2, "there are at most 2 teams to count"},
		{0, contains, "teams[red].players.attributes[mode]", 2, "there are at most 2 players to count"},
		{0, contains, "flatten(teams[*].players.attributes[mode])", 5, "there are at most 5 players to count"},
		{0, contains, "set_intersection(teams[blue].players.attributes[maps])", 2, "referenceValue has 2 different values"},
		{0, contains, "set_intersection(flatten(teams[*].players.attributes[maps]))", 2, "referenceValue has 2 different values"},
		{1, contains, "flatten(teams[red].players.attributes[maps])", noLimit, ""},
		{0, contains, "flatten(flatten(teams[*].players.attributes[maps]))", noLimit, ""},

		{1, words, "teams[red].players.attributes[maps]", 2, "referenceValue has 2 different values"},
		{0, words, "teams[red].players.attributes[maps]", noLimit, ""}, // it may be empty
		{0, words, "teams[red, red2].players.attributes[maps]", noLimit, ""},
		{0, words, "flatten(teams[red, red2].players.attributes[maps])", noLimit, ""},
		{0, words, "teams[*].players.attributes[maps]", 2, "referenceValue has 2 different values"},
		{0, words, "flatten(teams[*].players.attributes[maps])", 2, "referenceValue has 2 different values"},
		{0, words, "teams[red].players.attributes[mode]", 2, "referenceValue has 2 different values"},
		{0, words, "teams[*].players.attributes[mode]", 2, "referenceValue has 2 different values"},
		{0, words, "set_intersection(teams[red].players.attributes[maps])", 2, "referenceValue has 2 different values"},
		{0, words, "set_intersection(teams[*].players.attributes[maps])", 2, "referenceValue has 2 different values"},
		{0, words, "flatten(teams[red].players.attributes[maps])", 2, "referenceValue has 2 different values"},
		{0, words, "flatten(flatten(teams[*].players.attributes[maps]))", 2, "referenceValue has 2 different values"},
	} {
		third := strings.Contains(tt.measured, "red2")
		parsed := func(minCount int) *ruleset.RuleSet {
			return countRules(t, tt.redMin, third, tt.operation, tt.measured, minCount)
		}
		verdictAt := func(minCount int) verdict {
			d := &parsed(minCount).Stages[0].Definition
			return verdictOf(d, &d.Rules[0])
		}
		most := tt.most
		if most == noLimit {
			most = 1000
		}
		if v := verdictAt(most); v.certain {
			t.Errorf("%d %s of %s: with minCount %d: %+v", tt.redMin, tt.operation, tt.measured, most, v)
		}
		checker, err := check.New(parsed(most), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		red := 2
		if tt.redMin == 0 && tt.most == noLimit && strings.HasPrefix(tt.operation, `"reference`) {
			red = 0
		}
		if wrong := checker.Match(countMatch(red, third)); len(wrong) > 0 {
			t.Errorf("%d %s of %s: with minCount %d: %v", tt.redMin, tt.operation, tt.measured, most, wrong)
		}
		if tt.most == noLimit {
			continue
		}
		want := verdict{true, false, fmt.Sprintf("%s, minCount is %d", tt.why, most+1)}
		if v := verdictAt(most + 1); v != want {
			t.Errorf("%d %s of %s: got %+v, want %+v", tt.redMin, tt.operation, tt.measured, v, want)
		}
	}
}

// countRules are of red with up to 2 players, blue with up to 3 and, if wanted, red2 that
// may be empty.
func countRules(t *testing.T, redMin int, third bool, operation, measured string, minCount int) *ruleset.RuleSet {
	t.Helper()
	more := ""
	if third {
		more = `, {"name": "red2", "minPlayers": 0, "maxPlayers": 2}`
	}
	rs, err := ruleset.Parse(fmt.Appendf(nil, `{"ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "mode", "type": "string"}, {"name": "maps", "type": "string_list"}],
		"teams": [{"name": "red", "minPlayers": %d, "maxPlayers": 2}, {"name": "blue", "minPlayers": 1, "maxPlayers": 3}%s],
		"rules": [{"name": "R", "type": "collection", "operation": %s, "measurements": [%q], "minCount": %d}]}`, redMin, more, operation, measured, minCount))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// countMatch is of full teams but for red, with a and b, in turn or in long lists of both.
func countMatch(red int, third bool) (*rule.Match, time.Time) {
	now := time.Unix(1_000_000, 0)
	m := &rule.Match{Teams: []rule.Team{{Name: "red"}, {Name: "blue"}}}
	if third {
		m.Teams = append(m.Teams, rule.Team{Name: "red2"})
	}
	maps := strings.Split(strings.Repeat("ab", 500), "")
	for i, n := range []int{red, 3} {
		for j := range n {
			id := fmt.Sprint(i, j)
			ticket := &rule.Ticket{ID: id, Created: now, Players: []rule.Player{{ID: id, Attributes: []rule.Attribute{
				{Name: "mode", Value: attribute.Value{Type: attribute.String, String: []string{"a", "b"}[j%2]}},
				{Name: "maps", Value: attribute.Value{Type: attribute.StringList, List: maps}},
			}}}}
			m.Tickets = append(m.Tickets, ticket)
			m.Teams[i].Members = append(m.Teams[i].Members, rule.Member{Player: &ticket.Players[0], Ticket: ticket})
		}
	}
	return m, now
}

// TestLintOfTeamsThatEmpty: from the wait on at which an expansion lets a team be empty,
// matches can keep the rule.
func TestLintOfTeamsThatEmpty(t *testing.T) {
	const ofRed = `{"name": "R", "type": "collection", "operation": "reference_intersection_count", "measurements": ["teams[red].players.attributes[maps]"], "referenceValue": "a", "minCount": 5}`
	const never = "R: no match can keep this rule: referenceValue has 1 different value, minCount is 5"
	for expansions, want := range map[string]string{
		"": never,
		`{"target": "teams[red].minPlayers", "steps": [{"waitTimeSeconds": 0, "value": 0}]}`:  "",
		`{"target": "teams[red].minPlayers", "steps": [{"waitTimeSeconds": 30, "value": 0}]}`: "",
		`{"target": "teams[red].minPlayers", "steps": [{"waitTimeSeconds": 30, "value": 1}]}`: never,
		`{"target": "rules[R].minCount", "steps": [{"waitTimeSeconds": 30, "value": 6}]}`:     never,
	} {
		got := ""
		for _, w := range expandedWarnings(t, ofRed, expansions) {
			if strings.HasPrefix(w, "R: ") {
				got += w
			}
		}
		if got != want {
			t.Errorf("%s\ngot  %q\nwant %q", expansions, got, want)
		}
	}
}
