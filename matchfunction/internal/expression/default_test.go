package expression_test

import (
	"strings"
	"testing"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// TestDefaultsAreForWhoLacks: no default stands in for a value of another type, and an
// expression that reads it is not kept by it.
func TestDefaultsAreForWhoLacks(t *testing.T) {
	list := ruleset.Value{Type: ruleset.StringList, List: []string{"a"}}
	numbers := ruleset.Value{Type: ruleset.StringNumberMap, Map: map[string]float64{"a": 1}}
	for _, tt := range []struct {
		byDefault *ruleset.Value
		value     *ruleset.Value // of one player, nil if she has none
		read      string         // true of the default
		wrong     string         // type of the value, if it is another one
	}{
		{ptr(number(5)), nil, "p.attributes.x == 5.0", ""},
		{ptr(number(5)), ptr(number(5)), "p.attributes.x == 5.0", ""},
		{ptr(number(5)), ptr(word("x")), "p.attributes.x == 5.0", "string"},
		{ptr(number(5)), ptr(word("5")), "p.attributes.x > 1.0", "string"},
		{ptr(number(5)), &list, "p.attributes.x < 9.0", "string_list"},
		{ptr(word("5")), nil, "p.attributes.x == '5'", ""},
		{ptr(word("5")), ptr(number(5)), "p.attributes.x == '5'", "number"},
		{ptr(word("5")), &list, "p.attributes.x.startsWith('5')", "string_list"},
		{&list, nil, "'a' in p.attributes.x", ""},
		{&list, ptr(word("a")), "'a' in p.attributes.x", "string"},
		{&list, &numbers, "'a' in p.attributes.x", "string_number_map"},
		{&numbers, nil, "p.attributes.x['a'] == 1.0", ""},
		{&numbers, &list, "p.attributes.x['a'] == 1.0", "string_list"},
	} {
		d, m := definition(4), match(4)
		d.Attributes = append(d.Attributes, ruleset.Attribute{Name: "x", Type: tt.byDefault.Type, Default: tt.byDefault})
		if tt.value != nil {
			p := &m.Tickets[1].Players[0]
			p.Attributes = append(p.Attributes, rule.Attribute{Name: "x", Value: *tt.value})
		}
		for text, want := range map[string]bool{
			"players.all(p, " + tt.read + ")":            tt.wrong == "",
			"!players.exists(p, !(" + tt.read + "))":     tt.wrong == "",
			"players.all(p, has(p.attributes.x))":        tt.wrong == "",
			"players.filter(p, " + tt.read + ") != []":   tt.wrong == "",
			"players.exists(p, !has(p.attributes.x))":    tt.wrong != "",
			"players.all(p, p.attributes.skill >= 10.0)": true,
		} {
			holds, err := compile(d, text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := holds(m)
			if got != want {
				t.Errorf("%+v: %s is %t, %v", tt, text, got, err)
			}
			if reads := strings.Contains(text, tt.read); reads && tt.wrong != "" && (err == nil || !strings.Contains(err.Error(), `"x" that is a `+tt.wrong+", must be a "+string(tt.byDefault.Type))) {
				t.Errorf("%+v: %s: %v", tt, text, err)
			}
		}
	}
}
