package search

import (
	"cmp"
	"slices"

	"torikumi/matchfunction/rule"
)

// readRegions finds the regions of all tickets and the latencies there. If there
// are more than can count, those of tickets that fit no match do not.
func (p *pool) readRegions(fits func(t int32) bool) {
	for t := range p.tickets {
		for i := range p.tickets[t].Players {
			for _, l := range p.tickets[t].Players[i].Latencies {
				if !(l.Milliseconds >= 0) || l.Milliseconds >= far {
					p.bad[t] = BadLatency
				}
			}
		}
	}
	count := p.countRegions(func(int32) bool { return true })
	if len(count) > mostRegions {
		count = p.countRegions(fits)
	}
	for name := range count {
		p.regions = append(p.regions, name)
	}
	slices.SortFunc(p.regions, func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	p.regions = p.regions[:min(len(p.regions), mostRegions)]
	slices.Sort(p.regions)
	index := make(map[string]int, len(p.regions))
	for i, name := range p.regions {
		index[name] = i
	}
	p.latencies = make([]regionLatency, len(p.tickets)*len(p.regions))
	p.unmeasured = make([]uint64, len(p.tickets))
	for t := range p.tickets {
		if p.named[t] {
			p.unmeasured[t] = p.readLatencies(&p.tickets[t], p.latencies[t*len(p.regions):(t+1)*len(p.regions)], index)
		}
	}
}

// countRegions counts the tickets that name each region.
func (p *pool) countRegions(of func(t int32) bool) map[string]int {
	count := make(map[string]int)
	last := make(map[string]int) // the ticket that named a region last
	for t := range p.tickets {
		k := &p.tickets[t]
		if !of(int32(t)) {
			continue
		}
		if k.Region != "" {
			count[k.Region]++
			continue
		}
		for i := range k.Players {
			for _, l := range k.Players[i].Latencies {
				if by, ok := last[l.Region]; !ok || by != t {
					count[l.Region]++ // once per ticket, whatever its players name
					last[l.Region] = t
				}
			}
		}
	}
	return count
}

// readLatencies puts the ticket's latencies where they belong: those of the
// players who have any. A region counts if all of them have one, or if it is
// the one that the ticket asks for. It returns, as bits, the regions to which a
// player of the ticket lacks a latency, unless nobody of it has any, or it plays
// already.
func (p *pool) readLatencies(k *rule.Ticket, at []regionLatency, index map[string]int) (unmeasured uint64) {
	for i := range at {
		at[i] = regionLatency{min: far, avg: 0, max: 0}
	}
	var seen, players [mostRegions]int32
	with := int32(0)
	for i := range k.Players {
		if len(k.Players[i].Latencies) == 0 {
			continue
		}
		with++
		for _, l := range k.Players[i].Latencies {
			r, known := index[l.Region]
			if !known || players[r] == with {
				continue
			}
			players[r] = with
			seen[r]++
			v := l.Milliseconds
			at[r].min, at[r].max = min(at[r].min, v), max(at[r].max, v)
			at[r].avg += v
		}
	}
	only, asked := index[k.Region]
	for r := range at {
		if with > 0 && k.Teams == nil && int(seen[r]) < len(k.Players) {
			unmeasured |= 1 << r
		}
		switch {
		case k.Region != "" && (!asked || r != only), k.Region == "" && seen[r] < with:
			at[r] = regionLatency{min: far, avg: far, max: far}
		case seen[r] == 0:
			at[r] = regionLatency{players: float64(len(k.Players))}
		default:
			at[r].players = float64(seen[r])
			at[r].avg /= at[r].players
		}
	}
	return unmeasured
}

// fits reports whether a ticket, but for its regions, fits a match of any stage.
func (e *Engine) fits(p *pool, t int32) bool {
	return slices.ContainsFunc(e.plans, func(pl *plan) bool { return pl.unreadable(p, t) == "" && !pl.divided(p, t) })
}

// reachable are the regions of a ticket, as bits, in which it keeps the
// limits: those where its latency, by the limit's aggregation, is not too
// high. A ticket that says nothing of regions is in any, unless rules ask for
// latencies; then all of its players have to have one, or none and it asks for a
// region.
func (pl *plan) reachable(p *pool, t int32) uint64 {
	n := len(p.regions)
	if !p.named[t] {
		if pl.needsRegion {
			return 0
		}
		return ^uint64(0)
	}
	var mask uint64
	for r, l := range p.latencies[int(t)*n : (int(t)+1)*n] {
		if l.min == far || pl.needsRegion && p.unmeasured[t]&(1<<r) != 0 {
			continue
		}
		ok := true
		for _, limit := range pl.limits {
			ok = ok && l.by(limit.aggregation) <= limit.most
		}
		if ok {
			mask |= 1 << r
		}
	}
	return mask
}

// latency is that of a ticket in a region, 0 where it is not known.
func (p *pool) latency(t int32, region int) regionLatency {
	if region < 0 || !p.named[t] {
		return regionLatency{}
	}
	return p.latencies[int(t)*len(p.regions)+region]
}
