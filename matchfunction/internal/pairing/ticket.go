package pairing

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Ticket is a player or a party that waits. Its players stay in one team.
type Ticket struct {
	// ID is unique in the pool.
	ID string
	// Size is the number of players.
	Size int
	// Skill is that of the player, or the mean of the party.
	Skill float64
	// Created is when the wait began.
	Created time.Time
	// Region is the only one to play in, or empty.
	Region string
	// Latencies has, for each player who knows any, the latencies to regions
	// in milliseconds.
	Latencies []map[string]int32
}

// Reason says why a ticket can be in no match, whoever else waits.
type Reason string

// The reasons for which tickets are left out.
const (
	// BadSkill: the skill is not a finite number.
	BadSkill Reason = "skill"
	// BadSize: there is no player, or no team that is large enough.
	BadSize Reason = "size"
	// BadLatency: a latency is negative.
	BadLatency Reason = "latency"
	// NoRegion: no region can be reached by all players within the limit.
	NoRegion Reason = "region"
)

// reach is a region that a ticket can play in.
type reach struct {
	region int32
	// latency is that of the player who is worst off, 0 if unknown.
	latency int32
}

// regions numbers the names of regions.
type regions struct {
	ids   map[string]int32
	names []string
}

func (r *regions) id(name string) int32 {
	if id, ok := r.ids[name]; ok {
		return id
	}
	id := int32(len(r.names))
	r.ids[name] = id
	r.names = append(r.names, name)
	return id
}

// Unfit tells of each ticket that fits no match at all, by its position.
func Unfit(r *Rules, tickets []Ticket, skipped func(int, Reason)) {
	names := regions{ids: make(map[string]int32)}
	var buf []reach
	for i := range tickets {
		reached, reason := r.check(&tickets[i], &names, r.MaxParty(), buf[:0])
		if buf = reached; reason != "" {
			skipped(i, reason)
		}
	}
}

// check appends the regions that t can play in to buf, best first, or says
// why there is no match for it.
func (r *Rules) check(t *Ticket, names *regions, maxParty int, buf []reach) ([]reach, Reason) {
	if math.IsNaN(t.Skill) || math.IsInf(t.Skill, 0) {
		return buf, BadSkill
	}
	if t.Size < 1 || t.Size > maxParty {
		return buf, BadSize
	}
	for _, player := range t.Latencies {
		for _, ms := range player {
			if ms < 0 {
				return buf, BadLatency
			}
		}
	}
	if t.Region != "" || len(t.Latencies) == 0 {
		// A latency that nobody measured is no reason against the region.
		worst, _ := r.worst(t, t.Region)
		if r.tooFar(worst) {
			return buf, NoRegion
		}
		return append(buf, reach{names.id(t.Region), worst}), ""
	}
	from := len(buf)
	for name := range t.Latencies[0] {
		worst, all := r.worst(t, name)
		if all && !r.tooFar(worst) {
			buf = append(buf, reach{names.id(name), worst})
		}
	}
	if len(buf) == from {
		return buf, NoRegion
	}
	slices.SortFunc(buf[from:], func(a, b reach) int {
		return cmp.Or(cmp.Compare(a.latency, b.latency), cmp.Compare(names.names[a.region], names.names[b.region]))
	})
	return buf, ""
}

// worst is the highest latency of t's players to the region, and whether all
// who know latencies know this one.
func (r *Rules) worst(t *Ticket, region string) (ms int32, all bool) {
	all = true
	for _, player := range t.Latencies {
		v, ok := player[region]
		all = all && ok
		ms = max(ms, v)
	}
	return ms, all
}

func (r *Rules) tooFar(ms int32) bool { return r.MaxLatencyMS > 0 && ms > r.MaxLatencyMS }
