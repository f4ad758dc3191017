package simulate

import (
	"fmt"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// World is a game whose players come and wait, for comparing strategies: teams of
// one size, a skill that may differ by so much in a match, and perhaps latencies.
type World struct {
	Name, About string
	Teams, Size int
	// Window is the widest difference of skills that the game tolerates.
	Window float64
	// MaxLatency is in milliseconds; 0 has no regions.
	MaxLatency float64
	// Rate is how many tickets come in a minute, in the mean of a day.
	Rate    float64
	Curve   string
	Parties string
	// Dense is from which factor of the curve on an hour counts as dense.
	Dense float64
}

// Worlds are those that the documentation tells of.
func Worlds() []World {
	return []World{
		{Name: "duel", About: "one against one", Teams: 2, Size: 1, Window: 400, Rate: 20, Dense: 1.4},
		{Name: "parties", About: "five against five, parties of 1 to 5", Teams: 2, Size: 5, Window: 400, Rate: 40, Parties: "1:0.6,2:0.25,3:0.1,5:0.05", Dense: 1.4},
		{Name: "three", About: "three teams of three", Teams: 3, Size: 3, Window: 400, Rate: 40, Dense: 1.4},
		{Name: "latency", About: "three against three, at most 80 ms, four regions", Teams: 2, Size: 3, Window: 400, MaxLatency: 80, Rate: 60, Dense: 1.4},
		{Name: "night", About: "five against five, hardly anybody at night", Teams: 2, Size: 5, Window: 400, Rate: 30, Curve: "0:0.3,2:0.1,6:0.05,9:0.3,14:1,20:3,23:1", Dense: 1.4},
		{Name: "launch", About: "five against five, a launch at 18:00", Teams: 2, Size: 5, Window: 400, Rate: 40, Curve: "0:0.05,17.9:0.05,18:8,19:5,22:3,23.9:1", Dense: 3},
	}
}

// players are those of a match.
func (w *World) players() int { return w.Teams * w.Size }

// Rules is the game's rule set with a preference.
func (w *World) Rules(preference float64) (*ruleset.RuleSet, error) {
	latency := ""
	if w.MaxLatency > 0 {
		latency = fmt.Sprintf(`, {"name": "Near", "type": "latency", "maxLatency": %g}`, w.MaxLatency)
	}
	return ruleset.Parse(fmt.Appendf(nil, `{"name": %q, "ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "skill", "type": "number"}], "algorithm": {"preference": %g},
		"teams": [{"name": "team", "minPlayers": %d, "maxPlayers": %d, "quantity": %d}],
		"rules": [{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": %g}%s]}`,
		w.Name, preference, w.Size, w.Size, w.Teams, w.Window, latency))
}

// curve is how many come at which time.
func (w *World) curve() Curve {
	if w.Curve == "" {
		return DayCurve
	}
	c, err := ParseCurve(w.Curve)
	if err != nil {
		panic(err) // of a constant
	}
	return c
}

// arrivals are the tickets of a day, or of a part of it.
func (w *World) arrivals(rs *ruleset.RuleSet, length time.Duration, seed uint64) ([]rule.Ticket, error) {
	o := DayOptions{Rules: rs, Rate: w.Rate, Length: length, Seed: seed, Curve: w.curve()}
	if w.Parties != "" {
		var err error
		if o.Parties, err = ParseParties(w.Parties); err != nil {
			return nil, err
		}
	}
	return o.arrivals(), nil
}

// policy is a strategy with its knob at some point.
type policy struct {
	name string
	knob float64
	find strategy
	// cycles is how many of the world's cycles pass between two searches.
	cycles int
}

// Ours is the name of the search among the policies.
const Ours = "torikumi"

var (
	// preferences are the points of our knob, scales those of the others', which is
	// how much of the game's window they use.
	preferences = []float64{0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1}
	scales      = []float64{1, 0.5, 0.25, 0.125, 0.0625}
	// batches are how many cycles players are gathered for.
	batches = []int{2, 4, 8, 16}
)

// policies are all that play a world.
func (w *World) policies() ([]policy, error) {
	var out []policy
	for _, p := range preferences {
		rs, err := w.Rules(p)
		if err != nil {
			return nil, err
		}
		e, err := search.Compile(rs, search.Options{})
		if err != nil {
			return nil, err
		}
		out = append(out, policy{Ours, p, searchWith(e), 1})
	}
	for _, s := range scales {
		r := rival{world: w, window: w.Window * s}
		stepped := r
		stepped.stepped = true
		out = append(out, policy{"nearest first", s, r.nearestFirst, 1}, policy{"arrival order", s, r.arrivalOrder, 1},
			policy{"oldest first", s, stepped.nearestFirst, 1}, policy{"teamshooter", s, r.teamshooter, 1})
	}
	for _, n := range batches {
		r := rival{world: w, window: w.Window}
		out = append(out, policy{"in batches", float64(n), r.teamshooter, n})
	}
	return out, nil
}
