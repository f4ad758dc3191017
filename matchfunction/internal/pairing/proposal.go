package pairing

import "time"

// Proposal is a match that satisfies the rules.
type Proposal struct {
	// Region to play in; empty is any.
	Region string
	// Teams holds, in the order of Rules.Teams, the tickets of each, by their
	// position in the pool.
	Teams [][]int
	// Score is finite; higher is better.
	Score float64
}

// waitUnit is the wait that counts as much as a perfect match, where
// AnySkillAfter does not say.
const waitUnit = 10 * time.Second

// score is the share of the window that the match leaves unused, 0 to 1, plus
// the wait of its oldest ticket in units of AnySkillAfter.
func (r *Rules) score(spread float64, wait time.Duration) float64 {
	unit := waitUnit
	if r.AnySkillAfter > 0 {
		unit = r.AnySkillAfter
	}
	return r.closeness(spread, wait) + max(0, wait).Seconds()/unit.Seconds()
}

func (r *Rules) closeness(spread float64, wait time.Duration) float64 {
	window := r.widened(wait)
	switch {
	case spread == 0:
		return 1
	case spread >= window:
		return 0 // any skill will do
	}
	return 1 - spread/window
}
