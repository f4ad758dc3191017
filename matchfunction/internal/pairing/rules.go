// Package pairing makes matches of tickets whose skill lies close together.
// It is the decision inside the match function, on the player's path between
// waiting in Open Match and being proposed for a match: pure, without I/O and
// with the clock as an argument, so that the same pool and the same time give
// the same proposals whatever the order of the pool.
//
// # How it searches
//
// Tickets are sorted by skill once. Each region holds those who may play in
// it as a linked list in this order, from which matched tickets are taken
// out. Every ticket in turn, oldest first, is the anchor and takes its nearest
// free neighbours in the first of its regions where they make a match. The work
// per anchor and region is bounded, so a pool costs about n log n, also one
// in which nothing fits.
//
// # Regions
//
// A ticket that names a region plays there or not at all. One that names none
// but has latencies waits in its best region, by the latency of the player
// who is worst off, and after half of Rules.AnySkillAfter in all that it can
// reach. One with neither has said nothing of where it can play, so it plays
// with its like, in the region "", which stands for any.
//
// # What is promised
//
// Of two tickets that fit a match of two and could play in the same region,
// neither is left once the older has waited Rules.AnySkillAfter, whatever
// their skill. A ticket that finds no match stays a neighbour for others and
// holds up nobody.
package pairing

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Never as Rules.AnySkillAfter keeps the window for ever.
const Never time.Duration = -1

// Bounds that keep a rule set from costing more than any real game needs.
const (
	// MaxTeams is the largest number of teams of a match.
	MaxTeams = 100
	// MaxPlayers is the largest number of players of a match.
	MaxPlayers = 1000
)

// relaxDefault is when a ticket waits in all regions it can reach, where no
// AnySkillAfter says what waiting long means.
const relaxDefault = 5 * time.Second

// Team is one side of a match: Min to Max players.
type Team struct {
	Name     string
	Min, Max int
}

// Rules say what makes a match. The zero value is not valid.
type Rules struct {
	// Teams of a match; at least one.
	Teams []Team
	// Window is the largest difference of skill between any two tickets of a
	// match whose oldest ticket has just arrived; it grows by WidenPerSecond
	// for each second that this ticket has waited.
	Window, WidenPerSecond float64
	// AnySkillAfter is the wait of the oldest ticket after which any skill
	// will do, or Never. 0 means at once.
	AnySkillAfter time.Duration
	// MaxLatencyMS keeps players out of regions that are farther away; no
	// limit when 0.
	MaxLatencyMS int32
}

// Validate tells which fields are wrong, all at once. Fields have the names
// of torikumi.v1.SkillRules.
func (r *Rules) Validate() error {
	var errs []error
	bad := func(field, rule string, got any) {
		errs = append(errs, fmt.Errorf("%s: %s, got %v", field, rule, got))
	}
	if n := len(r.Teams); n < 1 || n > MaxTeams {
		bad("teams", fmt.Sprintf("must be 1 to %d", MaxTeams), n)
	}
	names := make(map[string]bool)
	players := 0
	for i, t := range r.Teams[:min(len(r.Teams), MaxTeams)] {
		if t.Name == "" {
			bad(fmt.Sprintf("teams[%d].name", i), "must not be empty", `""`)
		} else if names[t.Name] {
			bad(fmt.Sprintf("teams[%d].name", i), "must be unique", fmt.Sprintf("%q", t.Name))
		}
		names[t.Name] = true
		if t.Min < 1 {
			bad(fmt.Sprintf("teams[%d].min_players", i), "must be at least 1", t.Min)
		}
		if t.Max < t.Min || t.Max > MaxPlayers {
			bad(fmt.Sprintf("teams[%d].max_players", i), fmt.Sprintf("must be min_players to %d", MaxPlayers), t.Max)
			continue
		}
		players += t.Max
	}
	if players > MaxPlayers {
		bad("teams", fmt.Sprintf("must have at most %d players together", MaxPlayers), players)
	}
	if !(r.Window >= 0) || math.IsInf(r.Window, 0) {
		bad("window", "must be finite and not negative", r.Window)
	}
	if !(r.WidenPerSecond >= 0) || math.IsInf(r.WidenPerSecond, 0) {
		bad("widen_per_second", "must be finite and not negative", r.WidenPerSecond)
	}
	if r.AnySkillAfter < 0 && r.AnySkillAfter != Never {
		bad("any_skill_after", "must not be negative", r.AnySkillAfter)
	}
	if r.MaxLatencyMS < 0 {
		bad("max_latency_ms", "must not be negative", r.MaxLatencyMS)
	}
	return errors.Join(errs...)
}

// WindowAfter is the largest difference of skill allowed in a match whose
// oldest ticket has waited so long; +Inf once any skill will do.
func (r *Rules) WindowAfter(wait time.Duration) float64 {
	if r.anySkill(wait) {
		return math.Inf(1)
	}
	return r.widened(wait)
}

// widened is the window without regard to AnySkillAfter.
func (r *Rules) widened(wait time.Duration) float64 {
	return r.Window + r.WidenPerSecond*max(0, wait).Seconds()
}

func (r *Rules) anySkill(wait time.Duration) bool {
	return r.AnySkillAfter != Never && wait >= r.AnySkillAfter
}

// RelaxAfter is the wait after which a ticket is in all regions that it can
// reach, and not only in its best one.
func (r *Rules) RelaxAfter() time.Duration {
	if r.AnySkillAfter == Never {
		return relaxDefault
	}
	return r.AnySkillAfter / 2
}

// MinPlayers is the size of the smallest match.
func (r *Rules) MinPlayers() int {
	n := 0
	for _, t := range r.Teams {
		n += t.Min
	}
	return n
}

func (r *Rules) maxPlayers() int {
	n := 0
	for _, t := range r.Teams {
		n += t.Max
	}
	return n
}

// MaxParty is the largest party that fits a team.
func (r *Rules) MaxParty() int {
	n := 0
	for _, t := range r.Teams {
		n = max(n, t.Max)
	}
	return n
}
