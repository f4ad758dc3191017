package check

import (
	"fmt"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// latency: in the match's region the latency of each ticket (the aggregate of
// its players) is at most MaxLatency, and from the reference (the lowest, or
// the mean, of those of the tickets' players) at most MaxDistance away.
func (j *judge) latency(r *ruleset.Rule) string {
	var players []float64
	for _, t := range j.match.Tickets {
		players = append(players, latencies(t, j.match.Region)...)
	}
	for _, t := range j.match.Tickets {
		ms := aggregate(latencies(t, j.match.Region), r.PartyAggregation)
		if r.MaxLatency != nil && ms > *r.MaxLatency+slack(ms, 0, *r.MaxLatency) {
			return fmt.Sprintf("ticket %q has %v ms in %q, more than %v", t.ID, ms, j.match.Region, *r.MaxLatency)
		}
		if r.MaxDistance == nil {
			continue
		}
		if reference := aggregate(players, r.DistanceReference); !atMostApart(ms, reference, *r.MaxDistance) {
			return fmt.Sprintf("ticket %q has %v ms in %q, more than %v from %v", t.ID, ms, j.match.Region, *r.MaxDistance, reference)
		}
	}
	return ""
}

// latencies lists those of a ticket's players in a region. They are not none
// for a ticket that can play there and names regions: one that asks for the
// region has 0 ms there for each player, if none of them has a latency.
func latencies(t *rule.Ticket, region string) []float64 {
	var out []float64
	for i := range t.Players {
		if ms, ok := t.Players[i].Latency(region); ok {
			out = append(out, ms)
		}
	}
	if len(out) == 0 {
		return make([]float64, len(t.Players))
	}
	return out
}
