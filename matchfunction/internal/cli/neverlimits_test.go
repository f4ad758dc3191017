package cli

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/ruleset/attribute"
)

// TestWarningsAreTrue holds what lint says of random rules against random matches.
func TestWarningsAreTrue(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	said := map[string]int{}
	changed := strings.NewReplacer(`"R1"`, `"R2"`, `"R4"`, `"R5"`, `": 1`, `": 2`, `": 2`, `": 1`, `": 3`, `": 4`, `">="`, `">"`, `"<="`, `"<"`)
	for range 600 {
		sizes := []int{rng.IntN(3), rng.IntN(3)}
		text := fmt.Sprintf(`{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, {"name": "maps", "type": "string_list"}],
			"teams": [{"name": "red", "minPlayers": %d, "maxPlayers": 3}, {"name": "blue", "minPlayers": %d, "maxPlayers": 3}], "rules": [`, sizes[0], sizes[1])
		last := ""
		for i := range 6 {
			if i%3 == 2 { // much like the one before
				last = changed.Replace(last)
			} else {
				last = randomRule(rng, "R"+strconv.Itoa(i))
			}
			text += last + ", "
		}
		rs, err := ruleset.Parse([]byte(strings.TrimSuffix(text, ", ") + "]}"))
		if err != nil {
			t.Fatal(err, text)
		}
		checker, err := check.New(rs, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var matches []map[string]bool // which rules they break
		for range 40 {
			m, now := randomMatch(rng, sizes)
			broken := map[string]bool{}
			for _, v := range checker.Match(m, now) {
				if v.Rule == "" {
					t.Fatal(v)
				}
				broken[v.Rule] = true
			}
			matches = append(matches, broken)
		}
		d := &rs.Stages[0].Definition
		for i := range d.Rules {
			a := &d.Rules[i]
			v := verdictOf(d, a)
			said[fmt.Sprint(v.certain, v.kept)]++
			for j := range d.Rules {
				b := &d.Rules[j]
				why := exclusive(d, limitsOf(d, a), limitsOf(d, b))
				if i == j && why != "" {
					t.Fatalf("%s\n%s excludes itself: %s", text, a.Name, why)
				}
				// A rule may be stricter in one limit, and less so in another.
				stricter := len(tightened(renamed(a), renamed(b))) > 0 && len(tightened(renamed(b), renamed(a))) == 0
				if why != "" {
					said["exclusive"]++
				}
				if stricter {
					said["stricter"]++
				}
				for _, broken := range matches {
					switch {
					case v.certain && v.kept == broken[a.Name]:
						t.Fatalf("%s\n%s: %+v, but a match is otherwise", text, a.Name, v)
					case why != "" && !broken[a.Name] && !broken[b.Name]:
						t.Fatalf("%s\n%s and %s: %s, but a match keeps both", text, a.Name, b.Name, why)
					case stricter && !broken[b.Name] && broken[a.Name]:
						t.Fatalf("%s\n%s is stricter than %s, but a match keeps it alone", text, b.Name, a.Name)
					}
				}
			}
		}
	}
	for _, what := range []string{"true false", "true true", "exclusive", "stricter"} {
		if said[what] < 20 {
			t.Errorf("%q: %d times", what, said[what])
		}
	}
}

// renamed is a rule that can be compared with one of another name.
func renamed(r *ruleset.Rule) *ruleset.Rule {
	c := *r
	c.Name, c.Path = "", ""
	return &c
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

func randomRule(rng *rand.Rand, name string) string {
	players := func() string {
		return pick(rng, "flatten(teams[*].players%s)", "teams[red].players%s", "teams[*].players%s", "teams[blue, red].players%s")
	}
	numbers := func() string {
		measured := players()
		f := fmt.Sprintf(pick(rng, "%s", "min(%s)", "max(%s)", "avg(%s)", "median(%s)", "sum(%s)", "stddev(%s)", "count(%s)"),
			fmt.Sprintf(measured, ".attributes[skill]"))
		if perTeam := measured[0] == 't' && !strings.Contains(measured, "[red]"); perTeam && f[0] != 't' {
			f = fmt.Sprintf(pick(rng, "%s", "max(%s)", "min(%s)", "avg(%s)"), f)
		}
		return f
	}
	number := func() string { return pick(rng, "0", "0.1", "0.2", "0.3", "1", "2", "3", "4") }
	aggregation := pick(rng, "", "", `, "partyAggregation": "min"`)
	start := fmt.Sprintf(`{"name": %q`, name) + aggregation
	reference := func(one func() string, expression string) string {
		return pick(rng, one(), one(), "["+one()+", "+one()+"]", fmt.Sprintf("%q", expression))
	}
	operation := pick(rng, "=", "!=", "<", "<=", ">", ">=")
	switch rng.IntN(6) {
	case 0, 1:
		return start + fmt.Sprintf(`, "type": "comparison", "measurements": [%q], "operation": %q, "referenceValue": %s}`, numbers(), operation, reference(number, numbers()))
	case 2, 3:
		limits := fmt.Sprintf(pick(rng, `"maxDistance": %s`, `"minDistance": %s`, `"maxDistance": 4, "minDistance": %s`), number())
		return start + fmt.Sprintf(`, "type": "distance", "measurements": [%q], "referenceValue": %s, %s}`, numbers(), reference(number, numbers()), limits)
	case 4:
		word := func() string { return pick(rng, `"a"`, `"b"`) }
		mode := func() string { return fmt.Sprintf(players(), ".attributes[mode]") }
		return start + fmt.Sprintf(`, "type": "comparison", "measurements": [%q], "operation": %q, "referenceValue": %s}`, mode(), pick(rng, "=", "!="), reference(word, mode()))
	}
	counts := pick(rng, `"maxCount": %d`, `"minCount": %d`)
	what := pick(rng, `"intersection"`, `"contains", "referenceValue": "a"`, `"contains", "referenceValue": ["a", "b"]`, `"reference_intersection_count", "referenceValue": ["a", "b"]`)
	measured := fmt.Sprintf(players(), ".attributes["+pick(rng, "maps", "maps", "mode")+"]")
	if f := pick(rng, "%s", "%s", "flatten(%s)", "set_intersection(%s)"); levels(measured) > 1 {
		measured = fmt.Sprintf(f, measured)
	}
	return strings.Replace(start, `"min"`, `"intersection"`, 1) + fmt.Sprintf(`, "type": "collection", "measurements": [%q], "operation": %s, `+counts+`}`,
		measured, what, pick(rng, 0, 1, 2, 3, 5))
}

// levels is how many lists are around the strings of an expression of players.
func levels(measured string) int {
	n := 1
	if strings.Contains(measured, "maps") {
		n++
	}
	if measured[0] == 't' && !strings.Contains(measured, "[red]") {
		n++
	}
	return n
}

// randomMatch is a match of two teams of at least these sizes, up to 3 and of parties.
func randomMatch(rng *rand.Rand, sizes []int) (*rule.Match, time.Time) {
	now := time.Unix(1_000_000, 0)
	m := &rule.Match{Teams: []rule.Team{{Name: "red"}, {Name: "blue"}}}
	alike := rng.IntN(3) == 0
	for i, least := range sizes {
		most := least + rng.IntN(4-least)
		if i == 1 && most == 0 && len(m.Tickets) == 0 {
			most = 1
		}
		for n := 0; n < most; {
			ticket := &rule.Ticket{ID: fmt.Sprint("t", len(m.Tickets)), Created: now}
			for range 1 + rng.IntN(most-n) {
				skill := pick(rng, 0, 0.1, 0.2, 0.3, 1, 2, 3, 4)
				mode := pick(rng, "a", "b", "c")
				if alike && len(m.Tickets) > 0 {
					first := m.Tickets[0].Players[0].Attributes
					skill, mode = first[0].Value.Number, first[1].Value.String
				}
				ticket.Players = append(ticket.Players, rule.Player{ID: fmt.Sprint("p", i, n), Attributes: []rule.Attribute{
					{Name: "skill", Value: attribute.Value{Type: attribute.Number, Number: skill}},
					{Name: "mode", Value: attribute.Value{Type: attribute.String, String: mode}},
					{Name: "maps", Value: attribute.Value{Type: attribute.StringList, List: [][]string{{}, {"a"}, {"a", "b"}, {"b"}}[rng.IntN(4)]}},
				}})
				n++
			}
			m.Tickets = append(m.Tickets, ticket)
			for p := range ticket.Players {
				m.Teams[i].Members = append(m.Teams[i].Members, rule.Member{Player: &ticket.Players[p], Ticket: ticket})
			}
		}
	}
	return m, now
}
