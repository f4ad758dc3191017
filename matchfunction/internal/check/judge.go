package check

import (
	"fmt"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// judge judges one match by the definition of one stage.
type judge struct {
	checker *Checker
	stage   int
	def     *ruleset.Definition
	match   *rule.Match
}

func (j *judge) rules() []Violation {
	var out []Violation
	for i := range j.def.Rules {
		if !j.inForce(i) {
			continue
		}
		if text := j.broken(i); text != "" {
			out = append(out, Violation{Rule: j.def.Rules[i].Name, Text: text})
		}
	}
	return out
}

// broken says how the match breaks a rule, or nothing if it keeps it.
func (j *judge) broken(i int) string {
	r := &j.def.Rules[i]
	if r.Optional {
		return ""
	}
	switch r.Kind {
	case ruleset.Comparison:
		if r.Reference == nil {
			return j.amongEachOther(r)
		}
		return j.comparison(r)
	case ruleset.Distance:
		return j.distance(r)
	case ruleset.BatchDistance:
		return j.batchDistance(r)
	case ruleset.Collection:
		return j.collection(r)
	case ruleset.Latency:
		return j.latency(r)
	case ruleset.DistanceSort, ruleset.AbsoluteSort:
		return ""
	case ruleset.Compound:
		if !j.holds(r.Statement) {
			return j.text(r.Statement) + " is false"
		}
		return ""
	case ruleset.Expression:
		return j.expression(i)
	case ruleset.Custom:
		if err := j.checker.custom[j.stage][i].Allows(j.match); err != nil {
			return err.Error()
		}
		return ""
	case ruleset.TeamDifference:
		return j.teamDifference(r)
	case ruleset.TeamSizeBalance:
		return j.teamSizeBalance(r)
	case ruleset.PartySizes:
		return j.partySizes(r)
	case ruleset.RoleQuota:
		return j.roleQuota(r)
	}
	panic(fmt.Sprintf("check: unknown kind %q", r.Kind))
}

// expression calls a CEL rule.
func (j *judge) expression(i int) string {
	ok, err := j.checker.expressions[j.stage][i](j.match)
	switch {
	case err != nil:
		return fmt.Sprintf("the expression fails: %v", err)
	case !ok:
		return "the expression is false"
	}
	return ""
}
