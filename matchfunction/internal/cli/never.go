package cli

import (
	"fmt"
	"math"
	"slices"

	"torikumi/pkg/expression"
	"torikumi/pkg/ruleset"
)

// verdict says that a rule is kept, or broken, by every match, and why; the zero
// value says nothing.
type verdict struct {
	certain, kept bool
	why           string
}

// verdictOf looks at what a rule says of itself, whoever plays: at constants, and at
// how many players there can be.
func verdictOf(d *ruleset.Definition, r *ruleset.Rule) verdict {
	if r.Optional {
		return verdict{true, true, "it is optional"}
	}
	switch r.Kind {
	case ruleset.Expression:
		return judgeExpression(d, r)
	case ruleset.Compound:
		return judgeCompound(d, r)
	case ruleset.Comparison:
		return firstCertain(d, r, judgeOneOf, judgeNumbers, judgeLimits)
	case ruleset.Distance:
		if (r.MinDistance == nil || *r.MinDistance == 0) && r.MaxDistance == nil {
			return verdict{true, true, "minDistance is 0 and there is no maxDistance"}
		}
		return firstCertain(d, r, judgeNumbers, judgeLimits)
	case ruleset.Collection:
		return judgeCollection(d, r)
	case ruleset.TeamDifference:
		return judgeTeams(d, r)
	case ruleset.TeamSizeBalance:
		return judgeTeamSizes(d, r)
	case ruleset.PartySizes:
		return judgePartySizes(d, r)
	case ruleset.RoleQuota:
		return judgeRoles(d, r)
	case ruleset.BatchDistance, ruleset.Latency, ruleset.DistanceSort, ruleset.AbsoluteSort, ruleset.Custom:
		return verdict{} // they depend on who plays, or on what others wrote
	}
	panic(fmt.Sprintf("unknown type of rules %q", r.Kind))
}

func firstCertain(d *ruleset.Definition, r *ruleset.Rule, judges ...func(*ruleset.Definition, *ruleset.Rule) verdict) verdict {
	for _, judge := range judges {
		if v := judge(d, r); v.certain {
			return v
		}
	}
	return verdict{}
}

func judgeExpression(d *ruleset.Definition, r *ruleset.Rule) verdict {
	value, err, constant := expression.Constant(d, r)
	switch {
	case !constant:
		return verdict{}
	case err != nil:
		return verdict{true, false, fmt.Sprintf("its expression always fails: %v", err)}
	}
	return verdict{true, value, fmt.Sprintf("its expression is always %t", value)}
}

// mostParts bounds how many rules of a statement are looked at in all ways.
const mostParts = 12

// judgeCompound tries all ways in which the rules of a statement may be kept or
// broken, but for those that are certain, and without two that exclude each other.
func judgeCompound(d *ruleset.Definition, r *ruleset.Rule) verdict {
	var parts []int
	var collect func(*ruleset.Statement)
	collect = func(s *ruleset.Statement) {
		if s.Connective == "" && !slices.Contains(parts, s.Rule) {
			parts = append(parts, s.Rule)
		}
		for _, p := range s.Parts {
			collect(p)
		}
	}
	collect(r.Statement)
	if len(parts) > mostParts {
		return verdict{}
	}
	known := make([]verdict, len(parts))
	var clashes []clash
	for i, p := range parts {
		known[i] = verdictOf(d, &d.Rules[p])
		for j, o := range parts[:i] {
			if why := exclusive(d, limitsOf(d, &d.Rules[o]), limitsOf(d, &d.Rules[p])); why != "" {
				clashes = append(clashes, clash{1<<i | 1<<j, fmt.Sprintf("the rules %q and %q exclude each other, as %s", d.Rules[o].Name, d.Rules[p].Name, why)})
			}
		}
	}
	ever, always, excluded := false, true, ""
	for way := range 1 << len(parts) {
		kept, possible := make(map[int]bool), true
		for i, p := range parts {
			kept[p] = way&(1<<i) != 0
			possible = possible && (!known[i].certain || known[i].kept == kept[p])
		}
		if !possible {
			continue
		}
		holds := holds(r.Statement, kept)
		if why := clashOf(clashes, way); why == "" {
			ever, always = ever || holds, always && holds
		} else if holds && excluded == "" {
			excluded = why
		}
	}
	switch {
	case !ever && excluded != "":
		return verdict{true, false, excluded}
	case !ever:
		return verdict{true, false, "its statement is false whichever of its rules are kept"}
	case always:
		return verdict{true, true, "its statement is true whichever of its rules are kept"}
	}
	return verdict{}
}

// clash is why two rules, given as bits, exclude each other.
type clash struct {
	rules int
	why   string
}

// clashOf is why the rules that are kept exclude each other, or "".
func clashOf(clashes []clash, kept int) string {
	for _, c := range clashes {
		if kept&c.rules == c.rules {
			return c.why
		}
	}
	return ""
}

func holds(s *ruleset.Statement, kept map[int]bool) bool {
	count := 0
	for _, p := range s.Parts {
		if holds(p, kept) {
			count++
		}
	}
	switch s.Connective {
	case ruleset.And:
		return count == len(s.Parts)
	case ruleset.Or:
		return count > 0
	case ruleset.Xor:
		return count == 1
	case ruleset.Not:
		return count == 0
	}
	return kept[s.Rule]
}

// span is where a number may be.
type span struct{ least, most float64 }

// spans are where the numbers of an expression may be that is made of constants
// and of counts of players; not ok for others.
func spans(d *ruleset.Definition, e *ruleset.Expr) (out []span, ok bool) {
	switch {
	case e == nil:
		return nil, false
	case e.Literal != nil:
		numbers, _ := e.Constants()
		for _, n := range numbers {
			out = append(out, span{n, n})
		}
		return out, len(out) > 0
	case e.Call == nil:
		return nil, false
	case e.Call.Function == ruleset.FnCount:
		return playerCounts(d, e.Call.Argument)
	}
	of, ok := spans(d, e.Call.Argument)
	if !ok || e.Call.Argument.Literal != nil {
		return nil, false
	}
	all := of[0]
	sum := span{}
	for _, s := range of {
		sum.least, sum.most = sum.least+s.least, sum.most+s.most
	}
	for _, s := range of[1:] {
		switch e.Call.Function {
		case ruleset.FnMin:
			all = span{min(all.least, s.least), min(all.most, s.most)}
		case ruleset.FnMax:
			all = span{max(all.least, s.least), max(all.most, s.most)}
		default:
			all = span{min(all.least, s.least), max(all.most, s.most)}
		}
	}
	switch e.Call.Function {
	case ruleset.FnMin, ruleset.FnMax, ruleset.FnMedian:
		return []span{all}, true
	case ruleset.FnSum:
		return []span{sum}, true
	case ruleset.FnAvg:
		n := float64(len(of))
		return []span{{sum.least / n, sum.most / n}}, true
	}
	return nil, false
}

// playerCounts are how many players there may be in each team, or in all.
func playerCounts(d *ruleset.Definition, e *ruleset.Expr) ([]span, bool) {
	flat := e.Call != nil && e.Call.Function == ruleset.FnFlatten
	if flat {
		e = e.Call.Argument
	}
	if e.Path == nil || e.Path.Property == ruleset.PlayerAttribute {
		return nil, false
	}
	slots := d.TeamSlots()
	var out []span
	sum := span{}
	for _, i := range e.Path.Slots {
		s := span{float64(fewest(slots[i])), float64(slots[i].Max)}
		out = append(out, s)
		sum.least, sum.most = sum.least+s.least, sum.most+s.most
	}
	if flat {
		return []span{sum}, true
	}
	return out, len(out) > 0
}

// judgeNumbers compares counts and constants.
func judgeNumbers(d *ruleset.Definition, r *ruleset.Rule) verdict {
	references, ok := spans(d, r.Reference)
	if !ok {
		return verdict{}
	}
	all := true
	for i := range r.Measurements {
		measured, ok := spans(d, &r.Measurements[i])
		if !ok {
			all = false
			continue
		}
		for _, m := range measured {
			for _, ref := range references {
				ever, always := possible(r, m, ref)
				if !ever {
					return verdict{true, false, fmt.Sprintf("%s is from %g to %g", r.Measurements[i].Source, m.least, m.most)}
				}
				all = all && always
			}
		}
	}
	if all {
		return verdict{true, true, "the sizes of the teams see to it"}
	}
	return verdict{}
}

// possible reports whether two numbers can, and whether they must, be as a rule
// says.
func possible(r *ruleset.Rule, m, ref span) (ever, always bool) {
	if r.Kind == ruleset.Distance {
		nearest := max(0, m.least-ref.most, ref.least-m.most)
		farthest := max(m.most-ref.least, ref.most-m.least)
		least, most := value(r.MinDistance, 0), value(r.MaxDistance, math.Inf(1))
		return nearest <= most && farthest >= least, farthest <= most && nearest >= least
	}
	switch r.Operation {
	case ruleset.Less:
		return m.least < ref.most, m.most < ref.least
	case ruleset.LessOrEqual:
		return m.least <= ref.most, m.most <= ref.least
	case ruleset.Greater:
		return m.most > ref.least, m.least > ref.most
	case ruleset.GreaterOrEqual:
		return m.most >= ref.least, m.least >= ref.most
	}
	meet := m.least <= ref.most && ref.least <= m.most
	same := meet && m.least == m.most && ref.least == ref.most
	if r.Operation == ruleset.NotEqual {
		return !same, !meet
	}
	return meet, same
}

// contradictions finds pairs of rules that no match can keep.
func (s *source) contradictions() []problem {
	rules, named := s.rules.Stages[0].Rules, s.rules.Stages[0].Named()
	limits := make([][][]limit, len(s.rules.Stages)) // by stage and rule
	for i := range limits {
		for j := range rules {
			limits[i] = append(limits[i], limitsOf(&s.rules.Stages[i].Definition, &s.rules.Stages[i].Rules[j]))
		}
	}
	var out []problem
	for b := range rules {
		for a := range b {
			if named[a] || named[b] {
				continue
			}
			why, when := s.lasting([]int{a, b}, func(stage int) string {
				return exclusive(&s.rules.Stages[stage].Definition, limits[stage][a], limits[stage][b])
			})
			if why != "" {
				out = append(out, s.ruleProblem(b, fmt.Sprintf("no match can keep this rule and the rule %q%s: %s", rules[a].Name, when, why)))
			}
		}
	}
	return out
}
