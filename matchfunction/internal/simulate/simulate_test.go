package simulate_test

import (
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/simulate"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// arena is five against five with a window that widens.
const arena = "arena.json"

// docs is where the rule sets of the documentation are.
func docs(name string) string { return filepath.Join("..", "..", "..", "docs", "rulesets", name) }

func parse(t testing.TB, text string) *ruleset.RuleSet {
	t.Helper()
	rs, err := ruleset.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func load(t testing.TB, name string) *ruleset.RuleSet {
	t.Helper()
	text, err := os.ReadFile(docs(name))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(text))
}

func checker(t testing.TB, rs *ruleset.RuleSet) simulate.Checker {
	t.Helper()
	c, err := check.New(rs, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(matches []*rule.Match, now time.Time) []string {
		var out []string
		for _, v := range c.Proposals(matches, now) {
			out = append(out, v.String())
		}
		return out
	}
}

func compile(t testing.TB, rs *ruleset.RuleSet) *search.Engine {
	t.Helper()
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func parties(t testing.TB, text string) simulate.Parties {
	t.Helper()
	p, err := simulate.ParseParties(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPercentile(t *testing.T) {
	for _, row := range []struct {
		values []float64
		p      int
		want   float64
	}{
		{nil, 50, 0}, {[]float64{7}, 50, 7}, {[]float64{7}, 95, 7},
		{[]float64{1, 2}, 50, 1}, {[]float64{1, 2}, 51, 2}, {[]float64{1, 2, 3}, 50, 2},
		{[]float64{1, 2, 3}, 0, 1}, {[]float64{1, 2, 3}, 100, 3},
	} {
		if got := simulate.Percentile(row.values, row.p); got != row.want {
			t.Errorf("p%d of %v is %g, want %g", row.p, row.values, got, row.want)
		}
	}
}

func TestParseParties(t *testing.T) {
	p := parties(t, "1:3, 4:1")
	if p.Largest() != 4 {
		t.Errorf("largest %d", p.Largest())
	}
	for text, want := range map[string]string{
		"": "SIZE:SHARE", "1": "SIZE:SHARE", "x:1": "SIZE:SHARE", "1:x": "SIZE:SHARE", "0:1": "SIZE:SHARE", "201:1": "SIZE:SHARE",
		"1:-1": "SIZE:SHARE", "1:NaN": "SIZE:SHARE", "1:Inf": "SIZE:SHARE", "1:1,1:1": "1 is there twice", "1:0": "above 0", "1:1e308,2:1e308": "above 0",
	} {
		if _, err := simulate.ParseParties(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// What is generated has all that is declared, and is the same again.
func TestGenerator(t *testing.T) {
	files, err := filepath.Glob(docs("*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no rule sets", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			rs := load(t, filepath.Base(file))
			tickets := simulate.NewGenerator(rs, parties(t, "1:0.5,2:0.5"), 3).Tickets(200, now)
			if again := simulate.NewGenerator(rs, parties(t, "1:0.5,2:0.5"), 3).Tickets(200, now); !reflect.DeepEqual(tickets, again) {
				t.Error("the same seed made other tickets")
			}
			if other := simulate.NewGenerator(rs, parties(t, "1:0.5,2:0.5"), 4).Tickets(200, now); reflect.DeepEqual(tickets, other) {
				t.Error("another seed made the same tickets")
			}
			ids := map[string]bool{}
			for i := range tickets {
				ticket := &tickets[i]
				if ids[ticket.ID] || ticket.Created.After(now) || i > 0 && ticket.Created.Before(tickets[i-1].Created) {
					t.Fatalf("ticket %q, %v", ticket.ID, ticket.Created)
				}
				ids[ticket.ID] = true
				for j := range ticket.Players {
					complete(t, rs, &ticket.Players[j])
				}
			}
		})
	}
}

func complete(t *testing.T, rs *ruleset.RuleSet, p *rule.Player) {
	t.Helper()
	for _, a := range rs.Stages[0].Attributes {
		v, ok := p.Attribute(a.Name)
		if !ok || v.Type != a.Type || math.IsNaN(v.Number) || a.Type == ruleset.StringList && len(v.List) == 0 {
			t.Fatalf("%s is %v", a.Name, v)
		}
	}
	for _, r := range rs.Stages[0].Rules {
		if r.Kind == ruleset.Latency && len(p.Latencies) != 4 {
			t.Fatalf("latencies %v", p.Latencies)
		}
	}
}

// The words and numbers that rules name are among those that are made up.
func TestGeneratorKnowsTheRules(t *testing.T) {
	rs := parse(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[
		{"name":"role","type":"string"},{"name":"side","type":"number","default":0},{"name":"maps","type":"string_list"}],
		"teams":[{"name":"a","minPlayers":2,"maxPlayers":2}],"rules":[
		{"name":"r","type":"comparison","measurements":["teams[a].players.attributes[role]"],"operation":"=","referenceValue":"tank"},
		{"name":"s","type":"comparison","measurements":["teams[a].players.attributes[side]"],"operation":"=","referenceValue":7},
		{"name":"m","type":"collection","operation":"contains","measurements":["flatten(teams[a].players.attributes[maps])"],"referenceValue":["x","y"],"minCount":1}]}`)
	seen := map[any]bool{}
	for _, ticket := range simulate.NewGenerator(rs, parties(t, "1:1"), 1).Tickets(100, now) {
		for _, a := range ticket.Players[0].Attributes {
			seen[a.Value.String], seen[a.Value.Number] = true, true
			for _, w := range a.Value.List {
				seen[w] = true
			}
		}
	}
	for _, want := range []any{"tank", 7.0, "x", "y"} {
		if !seen[want] {
			t.Errorf("nobody has %v", want)
		}
	}
}

func TestPass(t *testing.T) {
	for _, name := range []string{arena, "duel.json", "league.json", "skirmish.json"} {
		t.Run(name, func(t *testing.T) {
			rs := load(t, name)
			tickets := simulate.NewGenerator(rs, parties(t, "1:1"), 1).Tickets(300, now)
			out := simulate.Pass(t.Context(), compile(t, rs), checker(t, rs), tickets, now, 0)
			if len(out.Violations) > 0 || len(out.Matches) == 0 {
				t.Fatalf("%d matches, %v", len(out.Matches), out.Violations)
			}
			matched := 0
			for _, m := range out.Matches {
				matched += len(m.Tickets)
			}
			if matched+len(out.Unmatched) != len(tickets) || len(out.Waits) != matched || len(out.Spreads) != len(out.Matches) {
				t.Errorf("%d matched, %d unmatched, %d waits, %d spreads", matched, len(out.Unmatched), len(out.Waits), len(out.Spreads))
			}
		})
	}
}

// The clock of who made the tickets may be ahead.
func TestPassOfTheFuture(t *testing.T) {
	rs := load(t, arena)
	tickets := simulate.NewGenerator(rs, parties(t, "1:1"), 1).Tickets(300, now.Add(time.Hour))
	out := simulate.Pass(t.Context(), compile(t, rs), checker(t, rs), tickets, now, 0)
	if len(out.Violations) > 0 || len(out.Matches) == 0 || out.Waits[len(out.Waits)-1] != 0 {
		t.Errorf("%d matches, %v", len(out.Matches), out.Violations)
	}
	if !tickets[0].Created.After(now) {
		t.Error("the caller's tickets were changed")
	}
}

func TestPassSaysWhatTheCheckerSays(t *testing.T) {
	rs := load(t, arena)
	tickets := simulate.NewGenerator(rs, parties(t, "1:1"), 1).Tickets(300, now)
	out := simulate.Pass(t.Context(), compile(t, rs), func(ms []*rule.Match, at time.Time) []string {
		if len(ms) == 0 || !at.Equal(now) {
			t.Errorf("%d matches at %v", len(ms), at)
		}
		return []string{"wrong"}
	}, tickets, now, 0)
	if !reflect.DeepEqual(out.Violations, []string{"wrong"}) {
		t.Errorf("violations %v", out.Violations)
	}
}
