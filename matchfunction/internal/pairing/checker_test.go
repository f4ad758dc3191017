package pairing_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/internal/pairing"
)

// This file says what the search has to satisfy, and shares no code with it.

// pair returns the matches that can be made, best first, as the match function
// proposes them.
func pair(rules *pairing.Rules, tickets []pairing.Ticket, now time.Time) []pairing.Proposal {
	found := slices.Collect(pairing.Search(context.Background(), rules, tickets, now, nil))
	slices.SortStableFunc(found, func(a, b pairing.Proposal) int { return cmp.Compare(b.Score, a.Score) })
	return found
}

// age is how long a ticket has waited.
func age(t pairing.Ticket, now time.Time) time.Duration { return max(0, now.Sub(t.Created)) }

// allowed is the window of a match whose oldest ticket has waited so long.
func allowed(r *pairing.Rules, wait time.Duration) float64 {
	if r.AnySkillAfter != pairing.Never && wait >= r.AnySkillAfter {
		return math.Inf(1)
	}
	return r.Window + wait.Seconds()*r.WidenPerSecond
}

// worst is the highest latency of a ticket's players to a region; known is
// false if one of those who have latencies lacks it.
func worst(t pairing.Ticket, region string) (ms int32, known bool) {
	known = true
	for _, player := range t.Latencies {
		v, ok := player[region]
		known = known && ok
		ms = max(ms, v)
	}
	return ms, known
}

// canPlay reports whether a ticket can ever play in the region.
func canPlay(r *pairing.Rules, t pairing.Ticket, region string) bool {
	ms, known := worst(t, region)
	if r.MaxLatencyMS > 0 && ms > r.MaxLatencyMS {
		return false
	}
	if t.Region != "" || len(t.Latencies) == 0 {
		return region == t.Region
	}
	return known
}

// inBest reports whether no region that the ticket can play in is nearer.
func inBest(r *pairing.Rules, t pairing.Ticket, region string) bool {
	here, _ := worst(t, region)
	for _, player := range t.Latencies {
		for other := range player {
			if there, _ := worst(t, other); canPlay(r, t, other) && there < here {
				return false
			}
		}
	}
	return true
}

// broken reports whether a ticket must be in no match at all.
func broken(r *pairing.Rules, t pairing.Ticket) bool {
	fits := false
	for _, team := range r.Teams {
		fits = fits || t.Size <= team.Max
	}
	for _, player := range t.Latencies {
		for _, ms := range player {
			if ms < 0 {
				return true
			}
		}
	}
	return !fits || t.Size < 1 || math.IsNaN(t.Skill) || math.IsInf(t.Skill, 0)
}

// check verifies every proposal.
func check(r *pairing.Rules, tickets []pairing.Ticket, now time.Time, proposals []pairing.Proposal) error {
	used := make(map[int]bool)
	for _, p := range proposals {
		if err := checkOne(r, tickets, now, p, used); err != nil {
			return fmt.Errorf("proposal %+v: %w", p, err)
		}
	}
	if !slices.IsSortedFunc(proposals, func(p, q pairing.Proposal) int {
		if p.Score == q.Score {
			return 0
		}
		if p.Score > q.Score {
			return -1
		}
		return 1
	}) {
		return fmt.Errorf("not best first")
	}
	return nil
}

func checkOne(r *pairing.Rules, tickets []pairing.Ticket, now time.Time, p pairing.Proposal, used map[int]bool) error {
	if len(p.Teams) != len(r.Teams) {
		return fmt.Errorf("has %d teams", len(p.Teams))
	}
	var members []pairing.Ticket
	for i, team := range p.Teams {
		players := 0
		for _, at := range team {
			if used[at] {
				return fmt.Errorf("ticket %q is in two places", tickets[at].ID)
			}
			used[at] = true
			players += tickets[at].Size
			members = append(members, tickets[at])
		}
		if players < r.Teams[i].Min || players > r.Teams[i].Max {
			return fmt.Errorf("team %d has %d players", i, players)
		}
	}
	var oldest time.Duration
	for _, t := range members {
		oldest = max(oldest, age(t, now))
	}
	for _, t := range members {
		if broken(r, t) {
			return fmt.Errorf("ticket %q is broken", t.ID)
		}
		if !canPlay(r, t, p.Region) {
			return fmt.Errorf("ticket %q cannot play in %q", t.ID, p.Region)
		}
		// Nobody is moved off their best region before half of the time,
		// unless somebody would else be left alone for too long.
		patience := 5 * time.Second
		if r.AnySkillAfter != pairing.Never {
			patience = r.AnySkillAfter / 2
		}
		if !inBest(r, t, p.Region) && age(t, now) < patience && !math.IsInf(allowed(r, oldest), 1) {
			return fmt.Errorf("ticket %q was moved to %q too early", t.ID, p.Region)
		}
		for _, u := range members {
			if d := math.Abs(t.Skill - u.Skill); d > allowed(r, oldest) {
				return fmt.Errorf("tickets %q and %q are %v apart", t.ID, u.ID, d)
			}
		}
	}
	if math.IsNaN(p.Score) || math.IsInf(p.Score, 0) {
		return fmt.Errorf("score is not finite")
	}
	return nil
}

// checkNobodyStays verifies the promise to those who wait for a match of two:
// of any two who fit one, and could play in the same region, the older has
// not waited long enough for any skill, and the window keeps them apart.
func checkNobodyStays(r *pairing.Rules, tickets []pairing.Ticket, now time.Time, proposals []pairing.Proposal) error {
	left := make(map[int]bool)
	for i, t := range tickets {
		left[i] = !broken(r, t)
	}
	for _, p := range proposals {
		for _, team := range p.Teams {
			for _, at := range team {
				left[at] = false
			}
		}
	}
	for i, a := range tickets {
		for j, b := range tickets[:i] {
			if !left[i] || !left[j] {
				continue
			}
			wait := max(age(a, now), age(b, now))
			if r.AnySkillAfter == pairing.Never || wait < r.AnySkillAfter {
				if math.Abs(a.Skill-b.Skill) > allowed(r, wait) || a.Region == "" || b.Region == "" {
					continue // they may wait on
				}
			}
			for _, region := range regionsOf(a) {
				if canPlay(r, a, region) && canPlay(r, b, region) {
					return fmt.Errorf("tickets %q and %q are both left in %q after %v", a.ID, b.ID, region, wait)
				}
			}
		}
	}
	return nil
}

func regionsOf(t pairing.Ticket) []string {
	regions := []string{t.Region}
	for _, player := range t.Latencies {
		for region := range player {
			regions = append(regions, region)
		}
	}
	return regions
}
