package check

import (
	"fmt"
	"slices"

	"torikumi/pkg/ruleset"
)

// distance: |m - r| is from MinDistance to MaxDistance for each scalar m
// anywhere in each measurement and each scalar r in the reference.
func (j *judge) distance(r *ruleset.Rule) string {
	for i := range r.Measurements {
		for _, measured := range only[float64](j.eval(&r.Measurements[i], r.PartyAggregation)) {
			for _, reference := range only[float64](j.eval(r.Reference, r.PartyAggregation)) {
				if r.MinDistance != nil && !atLeastApart(measured, reference, *r.MinDistance) {
					return fmt.Sprintf("%v is less than %v from %v", measured, *r.MinDistance, reference)
				}
				if r.MaxDistance != nil && !atMostApart(measured, reference, *r.MaxDistance) {
					return fmt.Sprintf("%v is more than %v from %v", measured, *r.MaxDistance, reference)
				}
			}
		}
	}
	return ""
}

// batchDistance: of a number, the values of the tickets (each the aggregate of
// its players) differ by at most MaxDistance; of a string, all players have the
// same.
func (j *judge) batchDistance(r *ruleset.Rule) string {
	declared, _ := j.def.Attribute(r.BatchAttribute)
	switch declared.Type {
	case ruleset.Number:
		var values []float64
		for _, t := range j.match.Tickets {
			values = append(values, aggregate(j.numbers(playersOf(t), r.BatchAttribute), r.PartyAggregation))
		}
		return spread("tickets", values, *r.MaxDistance)
	case ruleset.String:
		var values []string
		for _, t := range j.match.Tickets {
			for _, p := range playersOf(t) {
				v, _ := j.own(p, r.BatchAttribute)
				values = append(values, v.String)
			}
		}
		for _, v := range values {
			if v != values[0] {
				return fmt.Sprintf("%q is not %q", v, values[0])
			}
		}
		return ""
	}
	panic(fmt.Sprintf("check: %q can't be batched by", r.BatchAttribute))
}

// spread says that numbers, of which there is at least one, differ by more than
// a limit, if they do.
func spread(what string, numbers []float64, limit float64) string {
	least, most := slices.Min(numbers), slices.Max(numbers)
	if !atMostApart(least, most, limit) {
		return fmt.Sprintf("%s from %v to %v differ by more than %v", what, least, most, limit)
	}
	return ""
}
