package compile

import (
	"slices"

	"torikumi/matchfunction/internal/search/pool"
)

// Flaw says why a ticket fits no match of a plan, or "".
func (pl *Plan) Flaw(p *pool.Pool, t int32) pool.Reason {
	reason := pl.unreadable(p, t)
	switch {
	case reason != "":
		return reason
	case pl.Reachable(p, t) == 0:
		return pool.BadRegion
	case pl.divided(p, t):
		return pool.Divided
	}
	return ""
}

// unreadable is Flaw for what is neither regions nor rules.
func (pl *Plan) unreadable(p *pool.Pool, t int32) pool.Reason {
	bad := p.Bad(t)
	switch {
	case bad != "":
		return bad
	case p.Lacks(t)&pl.requires != 0:
		return pool.BadAttribute
	case p.Tickets[t].Teams == nil && p.Size(t) > pl.MaxParty:
		return pool.BadParty
	}
	return ""
}

func (pl *Plan) divided(p *pool.Pool, t int32) bool {
	return p.Tickets[t].Teams == nil && len(pl.fits) > 0 && pl.mayBeIn(p, t) == SlotSet{} || !pl.agrees(p, t)
}

// fits reports whether a ticket, but for its regions, fits a match of any stage.
func (rs *Rules) fits(p *pool.Pool, t int32) bool {
	return slices.ContainsFunc(rs.Plans, func(pl *Plan) bool { return pl.unreadable(p, t) == "" && !pl.divided(p, t) })
}

// agrees reports whether the players of a ticket are alike where they have to
// be.
func (pl *Plan) agrees(p *pool.Pool, t int32) bool {
	from, to := p.First[t], p.First[t+1]
	for _, e := range pl.equals {
		for i := from + 1; i < to; i++ {
			if p.Differ(e.column, i, from) {
				return false
			}
		}
	}
	return true
}

// AnyTeam reports whether the rules let anybody be in any team that has room.
func (pl *Plan) AnyTeam() bool { return len(pl.fits) == 0 }

// mayBeIn are the teams that a ticket may be in.
func (pl *Plan) mayBeIn(p *pool.Pool, t int32) SlotSet {
	var may SlotSet
	size := p.Size(t)
	for i, slot := range pl.Slots {
		if size <= slot.Max {
			may.Add(i)
		}
	}
	for i := range pl.fits {
		f := &pl.fits[i]
		for player := p.First[t]; player < p.First[t+1]; player++ {
			if f.ok(p, player) {
				continue
			}
			for _, slot := range f.slots {
				may.remove(slot)
			}
			break
		}
	}
	return may
}

// Reachable are the regions of a ticket, as bits, in which it keeps the
// limits: those where its latency, by the limit's aggregation, is not too
// high. A ticket that says nothing of regions is in any, unless rules ask for
// latencies; then all of its players have to have one, or none and it asks for a
// region.
func (pl *Plan) Reachable(p *pool.Pool, t int32) uint64 {
	if !p.Named(t) {
		if pl.needsRegion {
			return 0
		}
		return ^uint64(0)
	}
	var mask uint64
	for r := range p.Regions {
		if !p.Playable(t, r, pl.needsRegion) {
			continue
		}
		l := p.Latency(t, r)
		ok := true
		for _, limit := range pl.limits {
			ok = ok && l.By(limit.aggregation) <= limit.most
		}
		if ok {
			mask |= 1 << r
		}
	}
	return mask
}
