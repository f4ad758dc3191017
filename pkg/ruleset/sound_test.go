package ruleset_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"torikumi/pkg/ruleset"
)

// checkSound fails if an accepted rule set breaks what its types promise.
func checkSound(t *testing.T, rs *ruleset.RuleSet) {
	t.Helper()
	if len(rs.Stages) == 0 || len(rs.Stages) > ruleset.MaxStages || rs.Stages[0].After != 0 {
		t.Fatalf("stages: %d", len(rs.Stages))
	}
	ruleset.NewWants(rs.Stages) // panics if a rule has not what its type promises
	first := rs.Stages[0]
	for i := range rs.Stages {
		s := &rs.Stages[i]
		if i > 0 && s.After <= rs.Stages[i-1].After {
			t.Errorf("stage %d: after %v is not after %v", i, s.After, rs.Stages[i-1].After)
		}
		if len(s.Rules) != len(first.Rules) || !cmp.Equal(s.Attributes, first.Attributes) ||
			s.Algorithm.Strategy != first.Algorithm.Strategy || s.Algorithm.ExpansionAge != first.Algorithm.ExpansionAge {
			t.Errorf("stage %d is of another rule set", i)
		}
		checkPlaces(t, &first.Definition, &s.Definition)
		s.Named() // panics if a statement names no rule
		s.UsedAttributes()
		for j := range s.Rules {
			r := &s.Rules[j]
			if r.Name != first.Rules[j].Name || r.Kind != first.Rules[j].Kind {
				t.Errorf("stage %d: rule %q is another one", i, r.Name)
			}
			checkRule(t, &s.Definition, r, j)
		}
	}
}

func checkPlaces(t *testing.T, first, d *ruleset.Definition) {
	t.Helper()
	was, is := first.TeamSlots(), d.TeamSlots()
	if len(was) != len(is) || len(is) == 0 {
		t.Fatalf("%d places, were %d", len(is), len(was))
	}
	total, names := 0, map[string]bool{}
	for i, p := range is {
		if p.Name != was[i].Name || names[p.Name] || p.Min < 0 || p.Min > p.Max || p.Max < 1 {
			t.Errorf("place %+v, was %+v", p, was[i])
		}
		names[p.Name] = true
		total += p.Max
	}
	if total > ruleset.MaxPlayers || total > ruleset.MaxSmallPlayers && d.Algorithm.Strategy != ruleset.Balanced {
		t.Errorf("%d players with %s", total, d.Algorithm.Strategy)
	}
	if m := d.MaxParty(); m < 1 || m > total {
		t.Errorf("max party: %d of %d", m, total)
	}
}

func checkRule(t *testing.T, d *ruleset.Definition, r *ruleset.Rule, position int) {
	t.Helper()
	if r.Name == "" || r.Kind == "" {
		t.Errorf("rule without name or kind: %+v", r)
	}
	for i := range r.Measurements {
		checkExpr(t, d, &r.Measurements[i])
	}
	if r.Reference != nil {
		checkExpr(t, d, r.Reference)
	}
	if r.Statement != nil {
		checkStatement(t, d, r.Statement, position)
	}
	for _, i := range d.RoleSlots(r) {
		if i < 0 || i >= len(d.TeamSlots()) {
			t.Errorf("rule %q: no place %d", r.Name, i)
		}
	}
	needs := map[ruleset.Kind]bool{
		ruleset.Comparison: len(r.Measurements) > 0 && r.Operation != "",
		ruleset.Distance:   len(r.Measurements) > 0 && r.Reference != nil && (r.MinDistance != nil || r.MaxDistance != nil),
		ruleset.Collection: len(r.Measurements) > 0 && r.Operation != "" && (r.MinCount != nil || r.MaxCount != nil),
		ruleset.Compound:   r.Statement != nil, ruleset.Expression: r.Expression != "", ruleset.Custom: r.CustomRule != "",
		ruleset.BatchDistance: r.BatchAttribute != "", ruleset.RoleQuota: len(r.Roles) > 0 && r.Attribute != "",
		ruleset.TeamDifference: r.MaxDistance != nil && r.TeamAggregate != "", ruleset.TeamSizeBalance: r.MaxDistance != nil,
		ruleset.PartySizes: r.MaxDistance != nil, ruleset.DistanceSort: r.Attribute != "", ruleset.AbsoluteSort: r.Attribute != "",
		ruleset.Latency: r.MaxLatency != nil || r.MaxDistance != nil && r.DistanceReference != "",
	}
	if !needs[r.Kind] {
		t.Errorf("%s rule lacks something: %+v", r.Kind, r)
	}
}

func checkExpr(t *testing.T, d *ruleset.Definition, e *ruleset.Expr) {
	t.Helper()
	switch {
	case e.Call != nil && e.Literal == nil && e.Path == nil:
		checkExpr(t, d, e.Call.Argument)
	case e.Path != nil && e.Literal == nil && e.Call == nil:
		if len(e.Path.Slots) == 0 || !e.Path.List && len(e.Path.Slots) != 1 {
			t.Errorf("%s: places %v", e.Source, e.Path.Slots)
		}
		for _, i := range e.Path.Slots {
			if i < 0 || i >= len(d.TeamSlots()) {
				t.Errorf("%s: no place %d", e.Source, i)
			}
		}
		if _, ok := d.Attribute(e.Path.Attribute); e.Path.Property == ruleset.PlayerAttribute && !ok {
			t.Errorf("%s: no attribute", e.Source)
		}
	case e.Literal != nil && e.Path == nil && e.Call == nil:
	default:
		t.Errorf("%s: not exactly one of the fields", e.Source)
	}
	if e.Type.Lists < 0 || e.Source == "" && e.Literal == nil {
		t.Errorf("expression %+v", e)
	}
}

func checkStatement(t *testing.T, d *ruleset.Definition, s *ruleset.Statement, above int) {
	t.Helper()
	if s.Connective == "" && (s.Rule < 0 || s.Rule >= above || len(s.Parts) > 0) {
		t.Errorf("statement names rule %d of those above %d", s.Rule, above)
	}
	for _, p := range s.Parts {
		checkStatement(t, d, p, above)
	}
}
