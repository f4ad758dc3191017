package ruleset_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"torikumi/pkg/ruleset"
)

// path is of places and what is read; a list if more than one.
func path(property ruleset.Property, attribute string, places ...int) *ruleset.Path {
	return &ruleset.Path{Slots: places, List: len(places) > 1, Property: property, Attribute: attribute}
}

func call(f ruleset.Function, argument *ruleset.Expr) *ruleset.Expr {
	return &ruleset.Expr{Call: &ruleset.Call{Function: f, Argument: argument}}
}

// TestExpressions reads each form of the documentation. The places are red 0,
// blue 1, pair_1 2, pair_2 3.
func TestExpressions(t *testing.T) {
	skill := func(places ...int) *ruleset.Expr {
		return &ruleset.Expr{Path: path(ruleset.PlayerAttribute, "skill", places...)}
	}
	roles := &ruleset.Expr{Path: path(ruleset.PlayerAttribute, "roles", 0, 1, 2, 3)}
	players := &ruleset.Expr{Path: path(ruleset.Players, "", 0, 1, 2, 3)}
	alone := path(ruleset.PlayerAttribute, "skill", 0)
	for text, want := range map[string]struct {
		expr *ruleset.Expr
		t    string
	}{
		"teams[red].players.attributes[skill]":                                   {skill(0), "n1"},
		"team[red].players.attributes[ skill ]":                                  {skill(0), "n1"},
		"teams[red,blue].players.attributes[skill]":                              {skill(0, 1), "n2"},
		"teams[ blue , red ].players.attributes[skill]":                          {skill(0, 1), "n2"},
		"teams[*].players.attributes[skill]":                                     {skill(0, 1, 2, 3), "n2"},
		"teams[pair].players.attributes[skill]":                                  {skill(2, 3), "n2"},
		"teams[pair_2].players.attributes[skill]":                                {skill(3), "n1"},
		"teams[red].players[playerId]":                                           {&ruleset.Expr{Path: path(ruleset.PlayerID, "", 0)}, "s1"},
		"team[red].players[playerid]":                                            {&ruleset.Expr{Path: path(ruleset.PlayerID, "", 0)}, "s1"},
		"teams[red].players.playerId":                                            {&ruleset.Expr{Path: path(ruleset.PlayerID, "", 0)}, "s1"},
		"flatten(teams[*].players.attributes[roles])":                            {call(ruleset.FnFlatten, roles), "s2"},
		"set_intersection(flatten(teams[*].players.attributes[roles]))":          {call(ruleset.FnSetIntersection, call(ruleset.FnFlatten, roles)), "s1"},
		"set_intersection(teams[*].players.attributes[roles])":                   {call(ruleset.FnSetIntersection, roles), "s2"},
		"flatten(flatten(teams[*].players.attributes[roles]))":                   {call(ruleset.FnFlatten, call(ruleset.FnFlatten, roles)), "s1"},
		"count (teams[*].players)":                                               {call(ruleset.FnCount, players), "n1"},
		"count(flatten(teams[*].players))":                                       {call(ruleset.FnCount, call(ruleset.FnFlatten, players)), "n0"},
		"count(teams[*].players.attributes[roles])":                              {call(ruleset.FnCount, roles), "n2"},
		"max(avg(teams[*].players.attributes[skill]))":                           {call(ruleset.FnMax, call(ruleset.FnAvg, skill(0, 1, 2, 3))), "n0"},
		" min( median( teams[red , blue].players.attributes[skill] ) ) ":         {call(ruleset.FnMin, call(ruleset.FnMedian, skill(0, 1))), "n0"},
		"sum(flatten(teams[red,blue].players.attributes[skill]))":                {call(ruleset.FnSum, call(ruleset.FnFlatten, skill(0, 1))), "n0"},
		"stddev(teams[red].players.attributes[skill])":                           {call(ruleset.FnStddev, skill(0)), "n0"},
		"avg(teams[red].players.attributes[skill])":                              {call(ruleset.FnAvg, &ruleset.Expr{Path: alone}), "n0"},
		`te\u0061ms[red].players.attributes[skill]`:                              {skill(0), "n1"},
		"\\t\\nteams\\t[red]\\n.players . attributes [skill]":                    {skill(0), "n1"},
		"flatten(teams[red, pair].players.attributes[skill])":                    {call(ruleset.FnFlatten, skill(0, 2, 3)), "n1"},
		"avg(flatten(teams[pair_1,pair_2].players.attributes[skill]))":           {call(ruleset.FnAvg, call(ruleset.FnFlatten, skill(2, 3))), "n0"},
		"set_intersection(teams[red].players.attributes[roles])":                 {call(ruleset.FnSetIntersection, &ruleset.Expr{Path: path(ruleset.PlayerAttribute, "roles", 0)}), "s1"},
		"flatten(set_intersection(teams[*].players.attributes[roles]))":          {call(ruleset.FnFlatten, call(ruleset.FnSetIntersection, roles)), "s1"},
		"median(stddev(teams[*].players.attributes[skill]))":                     {call(ruleset.FnMedian, call(ruleset.FnStddev, skill(0, 1, 2, 3))), "n0"},
		"sum(count(teams[red].players.attributes[roles]))":                       {call(ruleset.FnSum, call(ruleset.FnCount, &ruleset.Expr{Path: path(ruleset.PlayerAttribute, "roles", 0)})), "n0"},
		"count(flatten(flatten(teams[*].players.attributes[roles])))":            {call(ruleset.FnCount, call(ruleset.FnFlatten, call(ruleset.FnFlatten, roles))), "n0"},
		"min(flatten(count(teams[*].players.attributes[roles])))":                {call(ruleset.FnMin, call(ruleset.FnFlatten, call(ruleset.FnCount, roles))), "n0"},
		"max(max(count(teams[*].players.attributes[roles])))":                    {call(ruleset.FnMax, call(ruleset.FnMax, call(ruleset.FnCount, roles))), "n0"},
		"set_intersection(set_intersection(teams[*].players.attributes[roles]))": {call(ruleset.FnSetIntersection, call(ruleset.FnSetIntersection, roles)), "s1"},
	} {
		t.Run(text, func(t *testing.T) {
			reference := map[byte]string{'n': `1`, 's': `"x"`}[want.t[0]]
			kind := `"type": "comparison", "operation": "="`
			if want.t[0] == 's' {
				kind = `"type": "collection", "operation": "contains", "minCount": 1`
			}
			r := parseRule(t, `{"name": "A", `+kind+`, "referenceValue": `+reference+`, "measurements": ["`+text+`"]}`)
			got := r.Measurements[0]
			if diff := cmp.Diff(want.expr, &got, cmpopts.IgnoreFields(ruleset.Expr{}, "Source", "Type")); diff != "" {
				t.Error(diff)
			}
			scalar := map[byte]ruleset.AttributeType{'n': ruleset.Number, 's': ruleset.String}[want.t[0]]
			if got.Type != (ruleset.ExprType{Scalar: scalar, Lists: int(want.t[1] - '0')}) {
				t.Errorf("type %+v", got.Type)
			}
		})
	}
}

// TestLists tells a list of one team from a team.
func TestLists(t *testing.T) {
	rs, err := ruleset.Parse([]byte(`{"ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 1, "maxPlayers": 3}], "rules": [
	  {"name": "A", "type": "comparison", "operation": "=", "referenceValue": 1,
	   "measurements": ["count(teams[*].players)", "count(teams[all].players)", "count(flatten(teams[*].players))"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	m := rs.Stages[0].Rules[0].Measurements
	if !m[0].Call.Argument.Path.List || m[1].Call.Argument.Path.List {
		t.Error("teams[*] is no list, or teams[all] is one")
	}
	if m[0].Type.Lists != 1 || m[1].Type.Lists != 0 || m[2].Type.Lists != 0 {
		t.Errorf("types %+v %+v %+v", m[0].Type, m[1].Type, m[2].Type)
	}
	if m[2].Source != "count(flatten(teams[*].players))" || m[2].Call.Argument.Source != "flatten(teams[*].players)" {
		t.Errorf("sources %q, %q", m[2].Source, m[2].Call.Argument.Source)
	}
}

// TestReferences tells expressions from strings, and reads lists.
func TestReferences(t *testing.T) {
	text := func(s string) *string { return &s }
	const numbers, strings = "avg(teams[*].players.attributes[skill])", "teams[red].players.attributes[mode]"
	for _, row := range []struct {
		measured, reference string
		want                *ruleset.Literal
	}{
		{numbers, `-1.5`, &ruleset.Literal{Number: number(-1.5)}},
		{numbers, `"20"`, &ruleset.Literal{Number: number(20)}},
		{numbers, `[1, "2"]`, &ruleset.Literal{Numbers: []float64{1, 2}}},
		{numbers, `"min(teams[*].players.attributes[skill])"`, nil},
		{numbers, `-0`, &ruleset.Literal{Number: number(0)}},
		{strings, `"Medic"`, &ruleset.Literal{String: text("Medic")}},
		{strings, `""`, &ruleset.Literal{String: text("")}},
		{strings, `"20"`, &ruleset.Literal{String: text("20")}},
		{strings, `"average (of all)"`, &ruleset.Literal{String: text("average (of all)")}},
		{strings, `"max"`, &ruleset.Literal{String: text("max")}},
		{strings, `"dreamteams"`, &ruleset.Literal{String: text("dreamteams")}},
		{strings, `["a", "teams[red].players[playerId]"]`, &ruleset.Literal{Strings: []string{"a", "teams[red].players[playerId]"}}},
		{strings, `"team[red].players[playerId]"`, nil},
		{strings, `" flatten (teams[*].players[playerId])"`, nil},
	} {
		r := parseRule(t, `{"name": "A", "type": "comparison", "operation": "!=", "measurements": ["`+row.measured+`"], "referenceValue": `+row.reference+`}`)
		if diff := cmp.Diff(row.want, r.Reference.Literal); diff != "" {
			t.Errorf("%s: %s", row.reference, diff)
		}
		if (row.want == nil) != (r.Reference.Literal == nil) || r.Reference.Type.Scalar != r.Measurements[0].Type.Scalar {
			t.Errorf("%s is a %+v", row.reference, r.Reference)
		}
	}
}
