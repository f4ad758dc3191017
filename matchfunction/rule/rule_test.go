package rule_test

import (
	"testing"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// An attribute is read by its type, and one of another type is none: its zero
// value would pass for a skill of 0.
func TestAttributesAreReadByType(t *testing.T) {
	p := rule.Player{Attributes: []rule.Attribute{
		{Name: "skill", Value: ruleset.Value{Type: ruleset.Number, Number: 1500}},
		{Name: "clan", Value: ruleset.Value{Type: ruleset.String, String: "foxes"}},
		{Name: "maps", Value: ruleset.Value{Type: ruleset.StringList, List: []string{"dunes"}}},
		{Name: "wins", Value: ruleset.Value{Type: ruleset.StringNumberMap, Map: map[string]float64{"dunes": 3}}},
	}, Latencies: []rule.Latency{{Region: "eu", Milliseconds: 20}}}
	if v, ok := p.Number("skill"); !ok || v != 1500 {
		t.Errorf("skill: %v, %v", v, ok)
	}
	if v, ok := p.Text("clan"); !ok || v != "foxes" {
		t.Errorf("clan: %v, %v", v, ok)
	}
	if v, ok := p.List("maps"); !ok || len(v) != 1 {
		t.Errorf("maps: %v, %v", v, ok)
	}
	if v, ok := p.Map("wins"); !ok || v["dunes"] != 3 {
		t.Errorf("wins: %v, %v", v, ok)
	}
	if v, ok := p.Attribute("clan"); !ok || v.Type != ruleset.String {
		t.Errorf("clan: %v, %v", v, ok)
	}
	for _, name := range []string{"skill", "clan", "maps", "wins", "absent"} {
		_, number := p.Number(name)
		_, text := p.Text(name)
		_, list := p.List(name)
		_, m := p.Map(name)
		if number != (name == "skill") || text != (name == "clan") || list != (name == "maps") || m != (name == "wins") {
			t.Errorf("%s: number %v, text %v, list %v, map %v", name, number, text, list, m)
		}
	}
	if ms, ok := p.Latency("eu"); !ok || ms != 20 {
		t.Errorf("eu: %v, %v", ms, ok)
	}
	if _, ok := p.Latency("us"); ok {
		t.Error("a latency from nowhere")
	}
}
