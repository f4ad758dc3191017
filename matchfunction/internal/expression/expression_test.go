package expression_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	pkgexpression "torikumi/pkg/expression"
	"torikumi/pkg/ruleset"
)

// Compile is what the search asks for.
var _ = search.Options{Expression: expression.Compile}

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func number(x float64) ruleset.Value { return ruleset.Value{Type: ruleset.Number, Number: x} }

func word(s string) ruleset.Value { return ruleset.Value{Type: ruleset.String, String: s} }

func ptr[T any](x T) *T { return &x }

// definition has n players in two teams and attributes of all types.
func definition(n int) *ruleset.Definition {
	return &ruleset.Definition{
		Attributes: []ruleset.Attribute{
			{Name: "skill", Type: ruleset.Number},
			{Name: "mode", Type: ruleset.String},
			{Name: "maps", Type: ruleset.StringList},
			{Name: "ping", Type: ruleset.StringNumberMap},
			{Name: "game-mode", Type: ruleset.String},
			{Name: "level", Type: ruleset.Number, Default: ptr(number(7))},
			{Name: "tags", Type: ruleset.StringList, Default: &ruleset.Value{Type: ruleset.StringList, List: []string{"new"}}},
			{Name: "absent", Type: ruleset.Number},
			{Name: "odd", Type: ruleset.Number},
			{Name: "long", Type: ruleset.StringList},
		},
		Algorithm: ruleset.Algorithm{ExpansionAge: ruleset.Newest},
		Teams: []ruleset.Team{
			{Name: "red", MaxPlayers: n / 2, Quantity: 1},
			{Name: "blue", MaxPlayers: n - n/2, Quantity: 1},
		},
	}
}

// match has n players p0, p1, … of skill 1000, 1010, … in parties of two, red
// and blue in turn. The first party waits a minute, each other a second less.
func match(n int) *rule.Match {
	m := &rule.Match{Region: "eu", Teams: []rule.Team{{Name: "red", Bots: 1}, {Name: "blue", Bots: 2}}, Wait: 61 * time.Second}
	for i := 0; i < n; i += 2 {
		t := &rule.Ticket{ID: fmt.Sprint("t", i/2), Created: now.Add(-time.Minute + time.Duration(i/2)*time.Second)}
		for j := i; j < min(i+2, n); j++ {
			t.Players = append(t.Players, rule.Player{
				ID: fmt.Sprint("p", j),
				Attributes: []rule.Attribute{
					{Name: "skill", Value: number(1000 + 10*float64(j))},
					{Name: "mode", Value: word("arena")},
					{Name: "maps", Value: ruleset.Value{Type: ruleset.StringList, List: []string{"dust", fmt.Sprint("m", j)}}},
					{Name: "ping", Value: ruleset.Value{Type: ruleset.StringNumberMap, Map: map[string]float64{"a": 1, "b": float64(j)}}},
					{Name: "game-mode", Value: word("ranked")},
					{Name: "odd", Value: word("a string")},
					{Name: "undeclared", Value: number(1)},
					{Name: "long", Value: ruleset.Value{Type: ruleset.StringList, List: make([]string, 1001)}},
				},
				Latencies: []rule.Latency{{Region: "eu", Milliseconds: 20 + float64(j)}, {Region: "us", Milliseconds: 100}},
			})
		}
		m.Tickets = append(m.Tickets, t)
		team := &m.Teams[i/2%2]
		for j := range t.Players {
			team.Members = append(team.Members, rule.Member{Player: &t.Players[j], Ticket: t})
		}
		m.Wait -= time.Second
	}
	return m
}

func compile(d *ruleset.Definition, text string) (func(*rule.Match) (bool, error), error) {
	return expression.Compile(0, d, &ruleset.Rule{Name: "r", Kind: ruleset.Expression, Expression: text})
}

func TestHolds(t *testing.T) {
	d, m := definition(10), match(10)
	for text, want := range map[string]bool{
		"true": true, "1 > 2": false,
		strings.Repeat("size(players) == 10 && ", 100) + "true": true,
		strings.Repeat("1 + ", 50) + "1 == 51":                  true,

		"size(players) == 10":                                   true,
		"players[0].id == 'p0' && players[9].id == 'p7'":        true,
		"players[0].team == 'red' && players[9].team == 'blue'": true,
		"players.all(p, p.ticket.startsWith('t'))":              true,
		"players.exists_one(p, p.id == 'p3')":                   true,
		"players.filter(p, p.ticket == 't1').size() == 2":       true,
		"players.filter(p, p.team == 'red').all(q, q.attributes.mode == 'arena' && q.attributes.maps.exists(m, m == 'dust'))": true,
		"players[0] == players[0] && players[0] != players[1] && players[0] in players":                                       true,
		"players.map(p, p.id).distinct().size() == 10":                                                                        true,

		"players.all(p, p.attributes.skill >= 1000.0)":                                              true,
		"players.all(p, p.attributes.skill >= 1000)":                                                true,
		"players.exists(p, p.attributes.mode == 'duel')":                                            false,
		"players.all(p, 'dust' in p.attributes.maps)":                                               true,
		"players.all(p, p.attributes.ping['a'] == 1.0 && p.attributes.ping.a == 1.0)":               true,
		"players.exists(p, p.attributes.ping.all(k, p.attributes.ping[k] > 8.0))":                   false,
		"players.all(p, p.attributes.`game-mode` == 'ranked')":                                      true,
		"players.all(p, p.attributes.level == 7.0 && p.attributes.tags == ['new'])":                 true,
		"players.exists(p, has(p.attributes.absent) || has(p.attributes.odd))":                      false,
		"players.all(p, has(p.attributes.level) && has(p.attributes.skill))":                        true,
		"players.all(p, p.latency[region] < 30.0 && p.latency.us == 100.0)":                         true,
		"players.exists(p, 'asia' in p.latency)":                                                    false,
		"players.all(p, p.latency == {'eu': p.latency.eu, 'us': 100.0})":                            true,
		"players.map(p, p.latency.eu).sort()[5] == 25.0":                                            true,
		"players.sortBy(p, -p.attributes.skill)[0].id == 'p9'":                                      true,
		"players.sortBy(p, p.id)[0].id == 'p0'":                                                     true,
		"lists.range(size(players)).all(i, players[i].id.size() == 2)":                              true,
		"sets.contains(players.map(p, p.id), ['p1', 'p2'])":                                         true,
		"players.all(p, players.all(q, math.abs(p.attributes.skill - q.attributes.skill) <= 90.0))": true,

		"size(teams) == 2 && size(teams.red) == 6 && size(teams['blue']) == 4":                                    true,
		"math.abs(avg(teams.red.map(p, p.attributes.skill)) - avg(teams.blue.map(p, p.attributes.skill))) < 10.0": true,
		"teams.all(t, teams[t].all(p, p.team == t))":                                                              true,
		"max(teams.map(t, avg(teams[t].map(p, p.attributes.skill)))) == 1045.0":                                   true,
		"has(teams.green) || 'green' in teams":                                                                    false,

		"size(tickets) == 5 && tickets.all(t, t.size == 2)":                           true,
		"tickets[0].id == 't0' && tickets[0].wait == 60.0 && tickets[4].wait == 56.0": true,
		"wait == 56.0 && min(tickets.map(t, t.wait)) == wait":                         true,
		"region == 'eu'": true,
		"bots == 3":      true,
		"sum([1.0, 2.0]) == 3.0 && sum([]) == 0.0":                                   true,
		"avg([1.0, 2.0]) == 1.5 && min([3.0, 2.0]) == 2.0 && max([2.0, 3.0]) == 3.0": true,
		"'abc'.matches('^a.c$')":                                                     true,
	} {
		holds, err := compile(d, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := holds(m); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestWaitsByOldest(t *testing.T) {
	d, m := definition(10), match(10)
	d.Algorithm.ExpansionAge = ruleset.Oldest
	m.Wait = time.Minute
	holds, err := compile(d, "wait == 60.0 && tickets[0].wait == 60.0 && tickets[4].wait == 56.0")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := holds(m); !got || err != nil {
		t.Error(got, err)
	}
}

func TestEmptyMatch(t *testing.T) {
	holds, err := compile(definition(10), "size(players) == 0 && size(tickets) == 0 && sum(players.map(p, p.attributes.skill)) == 0.0 && size(teams) == 0")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := holds(&rule.Match{}); !got || err != nil {
		t.Error(got, err)
	}
}

func TestRefuses(t *testing.T) {
	d := definition(10)
	for text, want := range map[string]string{
		"":                      "expression:1:",
		"players.all(p":         "expression:1:",
		"1 + 1":                 "must be true or false, but is of type int",
		"[true][0] ? 1.0 : 2.0": "of type double",
		"players.all(p, p.attributes.skil > 1.0)":                                              "expression:1:28: undefined field 'skil'",
		"true &&\n  players.all(p, p.attributes.skil > 1.0)":                                   "expression:2:30: undefined field 'skil'",
		"players.all(p, has(p.attributes.skil))":                                               "undefined field 'skil'",
		"players.all(p, p.attributes.skill == 'a')":                                            "found no matching overload for '_==_' applied to '(double, string)'",
		"players.all(p, p.attributes.mode > 1.0)":                                              "no matching overload",
		"players.all(p, p.attributes.maps == 'a')":                                             "no matching overload",
		"players.all(p, p.attributes.undeclared == 1.0)":                                       "undefined field 'undeclared'",
		"players.all(p, p.attributes['game-mode'] == 'a')":                                     "expression:1:28: write p.attributes.NAME, or p.attributes.`NAME`",
		"players.all(p, p.name == 'a')":                                                        "undefined field 'name'",
		"skill > 1.0":                                                                          "undeclared reference to 'skill'",
		"avg(players) > 1.0":                                                                   "no matching overload for 'avg'",
		"players.all(p, p.attributes.skill - 1 > 0.0)":                                         "applied to '(double, int)'; write 1.0 in the place of 1",
		"players.all(p, 1 == p.attributes.skill)":                                              "applied to '(int, double)'; write 1.0 in the place of 1",
		"players.all(p, p.attributes.skill in [0, 1])":                                         "applied to '(double, list(int))'; write 1.0 in the place of 1",
		"size(teams.green) > 0":                                                                `there is no team "green"`,
		"size(teams['green']) > 0":                                                             `there is no team "green"`,
		"players[0].attributes == players[0].attributes":                                       "cannot be compared",
		"players[0].attributes in [players[0].attributes]":                                     "cannot be compared",
		"dyn(players)[0].id == 'a'":                                                            "dyn is not supported",
		"player{id: 'a'} == players[0]":                                                        "undeclared reference",
		"google.protobuf.Struct{} == google.protobuf.Struct{}":                                 "undeclared reference",
		"teams == teams":                                                                       "cannot be compared",
		"players.map(p, p.latency) == players.map(p, p.latency)":                               "cannot be compared",
		"players.exists(p, p.attributes == players[0].attributes)":                             "cannot be compared",
		"size(teams.red + teams.blue) == 10":                                                   "lists cannot be added",
		"[[1.0]].flatten() == [1.0]":                                                           "flatten is not supported",
		"players.all(p, p.id.matches(p.attributes.mode))":                                      "must be written out",
		"players.all(p, p.id.matches('('))":                                                    "expression:1:28: error parsing regexp",
		"players.all(p, p.id.matches('(a{900}){900}'))":                                        "expression:1:",
		"['a', 1] == ['a', 1]":                                                                 "expected type",
		strings.Repeat(" ", pkgexpression.MaxCharacters) + "true":                              "size exceeds limit",
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100):                           "recursion",
		"[" + strings.Repeat("[", 100) + strings.Repeat("]", 101) + " == []":                   "recursion",
		"lists.range(200).all(a, lists.range(200).all(b, lists.range(200).all(c, a + b > c)))": "may cost more than 2000000 for a match of 10 players",
	} {
		_, err := compile(d, text)
		if err == nil {
			t.Errorf("%.60s: compiles", text)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v\nwant %s", text, err, want)
		}
	}
	d.Attributes[0].Type = "colour"
	if _, err := compile(d, "true"); err == nil || !strings.Contains(err.Error(), `the attribute "skill" has no type`) {
		t.Error(err)
	}
}

func TestErrorsBreakTheRule(t *testing.T) {
	d, m := definition(10), match(10)
	for text, want := range map[string]string{
		"players.all(p, p.attributes.absent > 0.0)":   `player "p0" has no attribute "absent"`,
		"players.all(p, p.attributes.odd > 0.0)":      `player "p0" has an attribute "odd" that is a string, must be a number`,
		"players.all(p, p.latency['asia'] < 1.0)":     "no such key: asia",
		"players[10].id == 'a'":                       "index out of bounds: 10",
		"1 / size(teams.red.filter(p, false)) == 0":   "division by zero",
		"avg([]) == 0.0":                              "a list without elements has no avg",
		"lists.range(201).size() == 201":              "exceeds maximum",
		"players.all(p, size(p.attributes.long) > 0)": `player "p0" has an attribute "long" that is too long`,
		"int(players[0].attributes.mode) == 1":        "type conversion error",
	} {
		holds, err := compile(d, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if ok, err := holds(m); ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want %s", text, ok, err, want)
		}
	}
}

const pairs = "players.all(p, players.all(q, math.abs(p.attributes.skill - q.attributes.skill) <= 2000.0))"

func TestLargestMatch(t *testing.T) {
	m := match(200)
	for _, text := range []string{
		pairs,
		"players.all(p, players.all(q, p == q || p.attributes.mode == q.attributes.mode))",
		"players.all(p, players.exists(q, p.id != q.id && math.abs(p.latency[region] - q.latency[region]) < 200.0))",
	} {
		holds, err := compile(definition(200), text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if ok, err := holds(m); !ok || err != nil {
			t.Errorf("%s: %v, %v", text, ok, err)
		}
	}
	if _, err := compile(definition(200), "players.all(p, players.all(q, players.all(r, p == q || p == r)))"); err == nil {
		t.Error("triples of 200 players compile")
	}
	if _, err := compile(definition(10), "players.all(p, players.all(q, players.all(r, p == q || p == r || p != q)))"); err != nil {
		t.Error(err)
	}
}

// The estimate is for usual players; the limit is for who comes.
func TestCostLimit(t *testing.T) {
	text := "players.all(p, players.all(q, p.attributes.mode.contains(q.attributes.mode)))"
	holds, err := compile(definition(4), text)
	if err != nil {
		t.Fatal(err)
	}
	m := match(4)
	if ok, err := holds(m); !ok || err != nil {
		t.Error(ok, err)
	}
	for i := range m.Tickets {
		for j := range m.Tickets[i].Players {
			m.Tickets[i].Players[j].Attributes[1].Value.String = strings.Repeat("a", 4096)
		}
	}
	if ok, err := holds(m); ok || err == nil || !strings.Contains(err.Error(), "cost limit exceeded") {
		t.Error(ok, err)
	}
	if ok, err := holds(match(6)); ok || err == nil || !strings.Contains(err.Error(), "larger than the rule set allows") {
		t.Error(ok, err)
	}
}

// What follows would outlast the test run if CEL's limit were all there is.
func TestCheapToRefuse(t *testing.T) {
	d, m := definition(10), match(10)
	for name, text := range map[string]string{
		"doubled lists":    "[players]" + strings.Repeat(".map(x, x + x)", 20) + ".all(x, x.all(p, p.id == ''))",
		"doubled strings":  "['aaaa']" + strings.Repeat(".map(x, x + x)", 50) + ".all(x, x == '')",
		"nested lists":     "[lists.range(200)]" + strings.Repeat(".map(x, lists.range(200).map(i, x))", 1) + ".all(x, x == x)",
		"nested in":        "[lists.range(200)].map(x, lists.range(200).map(i, x)).map(x, lists.range(200).map(i, x)).all(x, x in [x])",
		"many comparisons": strings.Repeat("lists.range(200).all(i, ", 5) + "i == i" + strings.Repeat(")", 5),
		"distinct":         "[lists.range(200)].map(x, lists.range(200).map(i, x)).distinct().size() == 1",
		"wide":             "[" + strings.Repeat("1,", 1800) + "1].all(a, [" + strings.Repeat("1,", 20) + "1].all(b, a == b))",
		"shadowed":         "[1].all(players, .players.all(a, .players.all(b, .players.all(c, .players.all(d, .players.all(e, .players.all(f, .players.all(g, true))))))))",
		"shadowed item":    "[['a']].all(a, a.all(b, players.all(p, players.all(b, players.all(c, players.all(d, players.all(e, players.all(f, players.all(g, true)))))))))",
		"deep sum":         strings.Repeat("1+", 2000) + "1 == 2001",
		"deep not":         strings.Repeat("!", 4000) + "true",
		"deep ternary":     strings.Repeat("true?true:", 400) + "true",
		"deep string":      "players" + strings.Repeat(".map(p, string(1) + string(2))", 20) + ".all(s, s == '12')",
		"literal lists":    "[[players[0]" + strings.Repeat(", players[0]", 200) + "]].all(l, l.all(a, l.all(b, l.all(c, l.all(d, a == b || c == d)))))",
		"literal numbers":  "[[" + strings.Repeat("1, ", 900) + "1]].all(l, l.all(a, l.all(b, l.all(c, l.all(d, a == b || c == d)))))",
		"long strings":     "['" + strings.Repeat("a", 1900) + "'].map(x, x + x).map(x, x + x).map(x, x + x).all(x, lists.range(200).all(i, lists.range(40).all(j, x == x)))",
		"regexp on long":   "['" + strings.Repeat("a", 1900) + "']" + strings.Repeat(".map(x, x + x)", 20) + ".all(x, x.matches('^((a?){20}){10}b$'))",
		"deep select":      "players[0]" + strings.Repeat(".attributes", 300) + " == 1",
		"regexp":           "players.all(p, p.id.matches('" + strings.Repeat("(a?){50}", 100) + "'))",
	} {
		start := time.Now()
		holds, err := compile(d, text)
		if err == nil {
			_, err = holds(m)
		}
		t.Logf("%s: %s %.150v", name, time.Since(start).Round(time.Millisecond), err)
	}
}

func TestConcurrent(t *testing.T) {
	holds, err := compile(definition(10), typical)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	m := match(10)
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if ok, err := holds(m); !ok || err != nil {
					t.Error(ok, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if _, err := compile(definition(10), typical); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
}

func FuzzCompile(f *testing.F) {
	for _, text := range []string{
		typical, pairs, "players.sortBy(p, p.id)[0].attributes.`game-mode` in ['a']", "tickets.exists_one(t, has(teams.red) && t.wait > 1)",
		"sets.contains(['a'], players[0].attributes.tags)", "lists.range(3).map(i, i > 1, players[i].latency).all(l, 'eu' in l)",
		"'a'.matches('a*') ? bots == 1 : region != b'x' + string(1.5)", "math.greatest(1, 2u, wait) > timestamp('2026-01-01T00:00:00Z').getFullYear()",
	} {
		f.Add(text)
	}
	d, m := definition(10), match(10)
	f.Fuzz(func(t *testing.T, text string) {
		hangs := time.AfterFunc(time.Minute, func() { panic("takes too long: " + text) })
		defer hangs.Stop()
		holds, err := compile(d, text)
		if err != nil {
			if strings.Contains(err.Error(), "internal error") {
				t.Fatal(err)
			}
			return
		}
		if ok, err := holds(m); err != nil && (ok || strings.Contains(err.Error(), "internal error")) {
			t.Fatal(ok, err)
		}
	})
}

const typical = "math.abs(avg(teams.red.map(p, p.attributes.skill)) - avg(teams.blue.map(p, p.attributes.skill))) <= 100.0 && players.all(p, p.latency[region] < 150.0)"

func BenchmarkHolds(b *testing.B) {
	for _, c := range []struct {
		name, text string
		players    int
	}{
		{"typical/10", typical, 10}, {"pairs/10", pairs, 10}, {"pairs/200", pairs, 200},
	} {
		b.Run(c.name, func(b *testing.B) {
			holds, err := compile(definition(c.players), c.text)
			if err != nil {
				b.Fatal(err)
			}
			m := match(c.players)
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := holds(m); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	d := definition(10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := compile(d, typical); err != nil {
			b.Fatal(err)
		}
	}
}
