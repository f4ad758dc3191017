package search_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// scripted is a custom rule that does what a test says.
type scripted struct{ allows func(*rule.Match) error }

func (s scripted) Allows(m *rule.Match) error { return s.allows(m) }

type pairwise struct {
	scripted
	apart func(a, b *rule.Ticket) bool
}

func (p pairwise) Apart(a, b *rule.Ticket) bool { return p.apart(a, b) }

func allow(*rule.Match) error { return nil }

func refuse(*rule.Match) error { return errors.New("no") }

// makes is a factory of one rule.
func makes(r rule.Rule) rule.Factory {
	return func(json.RawMessage) (rule.Rule, error) { return r, nil }
}

// duel compiles a rule set of two players with rules.
func duel(t *testing.T, rules string, o search.Options) (*search.Engine, error) {
	t.Helper()
	rs, err := ruleset.Parse([]byte(`{"name":"duel","ruleLanguageVersion":"1.0","playerAttributes":[{"name":"skill","type":"number"}],
		"teams":[{"name":"a","minPlayers":1,"maxPlayers":1},{"name":"b","minPlayers":1,"maxPlayers":1}],"rules":[` + rules + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return search.Compile(rs, o)
}

// failures collects what Options.Failed hears.
type failures struct {
	mu  sync.Mutex
	all []string
}

func (f *failures) add(r *ruleset.Rule, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fmt.Sprintf("%s: %v", r.Name, err))
}

func two() []rule.Ticket {
	return []rule.Ticket{waiting("x", 1500, "", "", time.Second), waiting("y", 1500, "", "", 0)}
}

// A rule that fails allows nothing, ends nothing, and is told of.
func TestRulesThatFailCountAsBroken(t *testing.T) {
	var nobody map[string]int
	custom := `{"name":"own","type":"custom","rule":"own"}`
	for name, c := range map[string]struct {
		rules string
		own   rule.Rule
		want  string
	}{
		"a panic": {custom, scripted{func(*rule.Match) error { panic("oh") }}, "own: panic: oh"},
		"a runtime error": {custom, scripted{func(*rule.Match) error { nobody["x"] = 1; return nil }},
			"own: panic: assignment to entry in nil map"},
		"a panic about a pair": {custom, pairwise{scripted{allow}, func(_, _ *rule.Ticket) bool { panic("oh") }}, "own: panic: oh"},
		"an expression": {`{"name":"cel","type":"expression","expression":"players.all(p, p.latency.mars < 9.0)"}`, nil,
			"cel: expression: no such key: mars"},
		"any in a statement": {custom + `,{"name":"both","type":"compound","statement":"and(own, own)"}`,
			scripted{func(*rule.Match) error { panic("oh") }}, "own: panic: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			var heard failures
			e, err := duel(t, c.rules, search.Options{Custom: rule.Registry{"own": makes(c.own)}, Expression: expression.Compile, Failed: heard.add})
			if err != nil {
				t.Fatal(err)
			}
			for p := range e.Search(t.Context(), two(), now, nil) {
				t.Errorf("matched %v", p.Tickets)
			}
			heard.all = slices.Compact(heard.all)
			if len(heard.all) != 1 || heard.all[0] != c.want {
				t.Errorf("heard %q, want %q", heard.all, c.want)
			}
			// Nobody has to listen.
			if e, err = duel(t, c.rules, search.Options{Custom: rule.Registry{"own": makes(c.own)}, Expression: expression.Compile}); err != nil {
				t.Fatal(err)
			}
			for p := range e.Search(t.Context(), two(), now, nil) {
				t.Errorf("matched %v", p.Tickets)
			}
		})
	}
}

func TestARuleThatCannotBeMadeIsRefused(t *testing.T) {
	for want, factory := range map[string]rule.Factory{
		"parameters: most: must be positive": func(json.RawMessage) (rule.Rule, error) { return nil, errors.New("most: must be positive") },
		"parameters: panic: oh":              func(json.RawMessage) (rule.Rule, error) { panic("oh") },
		"the factory made no rule":           func(json.RawMessage) (rule.Rule, error) { return nil, nil },
		"invalid memory address":             nil,
	} {
		_, err := duel(t, `{"name":"own","type":"custom","rule":"own"}`, search.Options{Custom: rule.Registry{"own": factory}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `rules[0] (rule "own")`) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Apart is part of the rule: where a statement lets a match stand that breaks
// the rule, those may meet whom it keeps apart.
func TestPairsOfAStatementMayMeet(t *testing.T) {
	apart := pairwise{scripted{refuse}, func(_, _ *rule.Ticket) bool { return true }}
	for statement, want := range map[string]int{
		`{"name":"both","type":"compound","statement":"not(own)"}`:          1,
		`{"name":"both","type":"compound","statement":"or(own, others)"}`:   1,
		`{"name":"both","type":"compound","statement":"and(own, others)"}`:  0,
		`{"name":"other","type":"custom","rule":"others","description":""}`: 0,
	} {
		e, err := duel(t, `{"name":"own","type":"custom","rule":"own"},{"name":"others","type":"custom","rule":"others"},`+statement,
			search.Options{Custom: rule.Registry{"own": makes(apart), "others": makes(scripted{allow})}})
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for range e.Search(t.Context(), two(), now, nil) {
			found++
		}
		if found != want {
			t.Errorf("%s: %d matches, want %d", statement, found, want)
		}
	}
}

func TestExplainNamesTheCustomRuleOfAPair(t *testing.T) {
	e, err := duel(t, `{"name":"feuds","type":"custom","rule":"own"}`, search.Options{Custom: rule.Registry{
		"own": makes(pairwise{scripted{refuse}, func(_, _ *rule.Ticket) bool { return true }})}})
	if err != nil {
		t.Fatal(err)
	}
	if x := e.Explain(t.Context(), two(), 0, now); len(x.Apart) != 1 || x.Apart[0].Rule != "feuds" || x.Apart[0].Kind != ruleset.Custom {
		t.Errorf("%+v", x)
	}
}
