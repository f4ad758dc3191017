package check_test

import (
	"fmt"
	"testing"

	"torikumi/pkg/ruleset"
)

// exactly demands that the player in red has a skill; its name is that skill.
func exactly(skill float64) ruleset.Rule {
	return ruleset.Rule{
		Name: fmt.Sprint(skill), Kind: ruleset.Comparison, Measurements: measured(of("skill", red)),
		Operation: ruleset.Equal, Reference: new(number(skill)),
	}
}

func named(rule int) *ruleset.Statement { return &ruleset.Statement{Rule: rule} }

func joined(c ruleset.Connective, parts ...*ruleset.Statement) *ruleset.Statement {
	return &ruleset.Statement{Connective: c, Parts: parts}
}

func compound(s *ruleset.Statement) ruleset.Rule {
	return ruleset.Rule{Name: "all", Kind: ruleset.Compound, Statement: s}
}

func TestCompound(t *testing.T) {
	// Of the rules 1, 1 and 2, the first two are true.
	yes, also, no := named(0), named(1), named(2)
	m := match(tickets(ace("a", 1)), nil)
	for _, c := range []struct {
		statement *ruleset.Statement
		want      string
	}{
		{yes, ""},
		{no, "all: 2 is false"},
		{joined(ruleset.And, yes, also), ""},
		{joined(ruleset.And, yes, also, no), "all: and(1, 1, 2) is false"},
		{joined(ruleset.Or, no, no, yes), ""},
		{joined(ruleset.Or, no, no, no), "all: or(2, 2, 2) is false"},
		{joined(ruleset.Not, no), ""},
		{joined(ruleset.Not, yes), "all: not(1) is false"},
		{joined(ruleset.Xor, no, yes), ""},
		{joined(ruleset.Xor, no, yes, no), ""},
		{joined(ruleset.Xor, yes, also), "all: xor(1, 1) is false"},
		{joined(ruleset.Xor, no, no, no), "all: xor(2, 2, 2) is false"},
		{joined(ruleset.Xor, yes, also, yes), "all: xor(1, 1, 1) is false"}, // though an odd number is true
		{joined(ruleset.Or, joined(ruleset.And, yes, no), joined(ruleset.Not, no)), ""},
		{joined(ruleset.And, joined(ruleset.Or, yes, no), joined(ruleset.Not, also)), "all: and(or(1, 2), not(1)) is false"},
	} {
		t.Run(c.want, func(t *testing.T) {
			d := definition(exactly(1), exactly(1), exactly(2), compound(c.statement), ruleset.Rule{
				Name: "others", Kind: ruleset.Compound, // so that none demands anything by itself
				Statement: joined(ruleset.Or, yes, also, no),
			})
			if got := said(checker(t, d).Match(m, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestNamedAndOptionalRules(t *testing.T) {
	m := match(tickets(ace("a", 1)), nil)
	optional := func(r ruleset.Rule) ruleset.Rule {
		r.Optional = true
		return r
	}
	for _, c := range []struct {
		name  string
		rules []ruleset.Rule
		want  string
	}{
		{"by itself", []ruleset.Rule{exactly(2)}, "2: 1 = 2 is false"},
		{"each by itself", []ruleset.Rule{exactly(2), exactly(1), exactly(3)}, "2: 1 = 2 is false; 3: 1 = 3 is false"},
		{"optional", []ruleset.Rule{optional(exactly(2))}, ""},
		{"only named", []ruleset.Rule{exactly(2), compound(joined(ruleset.Not, named(0)))}, ""},
		{"named by an optional one", []ruleset.Rule{exactly(2), optional(compound(named(0)))}, ""},
		{"an optional one is kept", []ruleset.Rule{optional(exactly(2)), compound(named(0))}, ""},
		{"so its negation is not", []ruleset.Rule{optional(exactly(2)), compound(joined(ruleset.Not, named(0)))}, "all: not(2) is false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(checker(t, definition(c.rules...)).Match(m, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
