package check_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// few is a custom rule that allows so many players.
type few int

func (f few) Allows(m *rule.Match) error {
	for _, team := range m.Teams {
		if len(team.Members) > int(f) {
			return fmt.Errorf("more than %d in %s", int(f), team.Name)
		}
	}
	return nil
}

var registry = rule.Registry{"few": func(parameters json.RawMessage) (rule.Rule, error) {
	var f few
	return f, json.Unmarshal(parameters, &f)
}}

// script stands for CEL: it knows four words.
func script(stage int, r *ruleset.Rule) (func(*rule.Match) (bool, error), error) {
	switch r.Expression {
	case "true", "false":
		return func(*rule.Match) (bool, error) { return r.Expression == "true", nil }, nil
	case "late":
		return func(*rule.Match) (bool, error) { return stage > 0, nil }, nil
	case "fail":
		return func(*rule.Match) (bool, error) { return true, errors.New("no such key") }, nil
	}
	return nil, errors.New("syntax error")
}

func TestCustomAndExpression(t *testing.T) {
	custom := func(parameters string) ruleset.Rule {
		return ruleset.Rule{Name: "c", Kind: ruleset.Custom, CustomRule: "few", Parameters: json.RawMessage(parameters)}
	}
	source := func(s string) ruleset.Rule { return ruleset.Rule{Name: "e", Kind: ruleset.Expression, Expression: s} }
	m := match(tickets(solo("a"), solo("b")), nil)
	for _, c := range []struct {
		name  string
		rules []ruleset.Rule
		want  string
	}{
		{"allowed", []ruleset.Rule{custom("2")}, ""},
		{"not allowed", []ruleset.Rule{custom("1")}, "c: more than 1 in red"},
		{"by its own parameters", []ruleset.Rule{custom("2"), custom("1"), custom("0")}, "c: more than 1 in red; c: more than 0 in red"},
		{"in a compound", []ruleset.Rule{custom("1"), compound(joined(ruleset.Not, named(0)))}, ""},
		{"true", []ruleset.Rule{source("true")}, ""},
		{"false", []ruleset.Rule{source("false")}, "e: the expression is false"},
		{"fails", []ruleset.Rule{source("fail")}, "e: the expression fails: no such key"},
		{"not false", []ruleset.Rule{source("false"), compound(joined(ruleset.Not, named(0)))}, ""},
		{"not true", []ruleset.Rule{source("true"), compound(joined(ruleset.Not, named(0)))}, "all: not(e) is false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			judge, err := check.New(ruleSet(definition(c.rules...)), registry, script)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(judge.Match(m, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestNew(t *testing.T) {
	custom := ruleset.Rule{Name: "c", Kind: ruleset.Custom, CustomRule: "few", Parameters: json.RawMessage(`"x"`)}
	unknown := ruleset.Rule{Name: "c", Kind: ruleset.Custom, CustomRule: "many"}
	broken := ruleset.Rule{Name: "e", Kind: ruleset.Expression, Expression: "1 +"}
	for _, c := range []struct {
		name   string
		rules  *ruleset.RuleSet
		script func(int, *ruleset.Rule) (func(*rule.Match) (bool, error), error)
		want   string
	}{
		{"none", nil, script, "a rule set has at least one stage"},
		{"no stages", &ruleset.RuleSet{}, script, "a rule set has at least one stage"},
		{"parameters", ruleSet(definition(custom)), script, `rule "c" of stage 0: json: cannot unmarshal string into Go value of type check_test.few`},
		{"unknown rule", ruleSet(definition(unknown)), script, `rule "c" of stage 0: there is no custom rule "many"`},
		{"syntax", ruleSet(definition(broken)), script, `rule "e" of stage 0: syntax error`},
		{"no expressions", ruleSet(definition(broken)), nil, `rule "e" of stage 0: there is nothing to make expressions callable`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := check.New(c.rules, registry, c.script); err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}
