package expression_test

import (
	"slices"
	"strings"
	"testing"

	"torikumi/pkg/expression"
	"torikumi/pkg/ruleset"
)

// Check is what a rule set is read with.
var _ = ruleset.Checks{Expression: expression.Check}

func TestCheck(t *testing.T) {
	d := &ruleset.Definition{
		Attributes: []ruleset.Attribute{{Name: "skill", Type: ruleset.Number}, {Name: "untyped"}},
		Teams:      []ruleset.Team{{Name: "red", MinPlayers: 1, MaxPlayers: 5, Quantity: 1}},
	}
	for text, want := range map[string][]ruleset.Mistake{
		"players.all(p, p.attributes.skill > 1.0)": nil,
		// Its type is wrong, which is told where it stands.
		"players.all(p, p.attributes.untyped == 'a')": nil,
		"players.all(p, p.attributes.skil > 1.0) &&\n size(teams.red) > wight": {
			{Line: 1, Column: 28, Message: "undefined field 'skil'"}, {Line: 2, Column: 20, Message: "undeclared reference to 'wight'"}},
		"size(teams.green) > 0": {{Line: 1, Column: 11, Message: `there is no team "green"`}},
		"size(players)":         {{Message: "must be true or false, but is of type int"}},
	} {
		got := expression.Check(d, &ruleset.Rule{Name: "r", Kind: ruleset.Expression, Expression: text})
		same := func(a, b ruleset.Mistake) bool {
			return a.Line == b.Line && a.Column == b.Column && strings.HasPrefix(a.Message, b.Message)
		}
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
	d.Attributes[1].Type = "colour"
	if got := expression.Check(d, &ruleset.Rule{Expression: "true"}); len(got) != 1 || !strings.Contains(got[0].Message, `the attribute "untyped" has no type`) {
		t.Errorf("got %+v", got)
	}
}
