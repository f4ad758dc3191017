package cli

import (
	"math"

	"torikumi/matchfunction/internal/check"
	"torikumi/pkg/ruleset"
)

// interval is where a number may be; open bounds are out themselves.
type interval struct {
	least, most         float64
	openLeast, openMost bool
}

// intervals are where a number may be: in one of them.
type intervals []interval

var anywhere = interval{least: math.Inf(-1), most: math.Inf(1)}

// allowed is where a number may be that a comparison or distance rule measures
// against a constant.
func allowed(r *ruleset.Rule, constant float64) intervals {
	below, above := anywhere, anywhere
	if r.Kind == ruleset.Distance {
		least, most := value(r.MinDistance, 0), value(r.MaxDistance, math.Inf(1))
		rounding := func(limit float64) float64 { return 2 * check.Tolerance * (math.Abs(constant) + limit + 1) }
		if !math.IsInf(most, 1) {
			most += rounding(most)
			below.least, above.most = constant-most, constant+most
		}
		least -= rounding(least)
		if least <= 0 {
			return intervals{{least: below.least, most: above.most}}
		}
		below.most, above.least = constant-least, constant+least
		return intervals{below, above}
	}
	below.most, above.least = constant, constant
	below.openMost = r.Operation == ruleset.Less || r.Operation == ruleset.NotEqual
	above.openLeast = r.Operation == ruleset.Greater || r.Operation == ruleset.NotEqual
	switch r.Operation {
	case ruleset.Less, ruleset.LessOrEqual:
		return intervals{below}
	case ruleset.Greater, ruleset.GreaterOrEqual:
		return intervals{above}
	case ruleset.NotEqual:
		return intervals{below, above}
	}
	return intervals{{least: constant, most: constant}}
}

// and is where a number may be that is in both.
func (a intervals) and(b intervals) intervals {
	out := intervals{}
	for _, x := range a {
		for _, y := range b {
			if z := x.and(y); z.least < z.most || z.least == z.most && !z.openLeast && !z.openMost {
				out = append(out, z)
			}
		}
	}
	return out
}

func (a interval) and(b interval) interval {
	if b.least > a.least || b.least == a.least && b.openLeast {
		a.least, a.openLeast = b.least, b.openLeast
	}
	if b.most < a.most || b.most == a.most && b.openMost {
		a.most, a.openMost = b.most, b.openMost
	}
	return a
}

// hull is from the least to the most; of none it is anywhere.
func (a intervals) hull() interval {
	if len(a) == 0 {
		return anywhere
	}
	out := a[0]
	for _, x := range a[1:] {
		if x.least < out.least || x.least == out.least && !x.openLeast {
			out.least, out.openLeast = x.least, x.openLeast
		}
		if x.most > out.most || x.most == out.most && !x.openMost {
			out.most, out.openMost = x.most, x.openMost
		}
	}
	return out
}

// rounded is the interval with its bounds, and a bit more.
func (a interval) rounded() interval {
	return interval{
		least: a.least - check.Tolerance*(math.Abs(a.least)+1),
		most:  a.most + check.Tolerance*(math.Abs(a.most)+1),
	}
}

// negated is where a number's opposite may be.
func (a intervals) negated() intervals {
	out := make(intervals, len(a))
	for i, x := range a {
		out[i] = interval{-x.most, -x.least, x.openMost, x.openLeast}
	}
	return out
}
