package pool

import (
	"cmp"
	"slices"

	"torikumi/matchfunction/rule"
)

// readRegions finds the regions of all tickets and the latencies there. If there
// are more than can count, those of tickets that fit no match do not.
func (p *Pool) readRegions(fits func(t int32) bool) {
	for t := range p.Tickets {
		for i := range p.Tickets[t].Players {
			for _, l := range p.Tickets[t].Players[i].Latencies {
				if !(l.Milliseconds >= 0) || l.Milliseconds >= far {
					p.refuse(t, BadLatency)
				}
			}
		}
	}
	count := p.countRegions(func(int32) bool { return true })
	if len(count) > mostRegions {
		count = p.countRegions(fits)
	}
	for name := range count {
		p.Regions = append(p.Regions, name)
	}
	slices.SortFunc(p.Regions, func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a, b))
	})
	p.Regions = p.Regions[:min(len(p.Regions), mostRegions)]
	slices.Sort(p.Regions)
	index := make(map[string]int, len(p.Regions))
	for i, name := range p.Regions {
		index[name] = i
	}
	p.latencies = make([]Latency, len(p.Tickets)*len(p.Regions))
	p.unmeasured = make([]uint64, len(p.Tickets))
	for t := range p.Tickets {
		if p.named[t] {
			p.unmeasured[t] = p.readLatencies(&p.Tickets[t], p.latencies[t*len(p.Regions):(t+1)*len(p.Regions)], index)
		}
	}
}

// countRegions counts the tickets that name each region.
func (p *Pool) countRegions(of func(t int32) bool) map[string]int {
	count := make(map[string]int)
	last := make(map[string]int) // the ticket that named a region last
	for t := range p.Tickets {
		k := &p.Tickets[t]
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
func (p *Pool) readLatencies(k *rule.Ticket, at []Latency, index map[string]int) (unmeasured uint64) {
	for i := range at {
		at[i] = Latency{Min: far, Avg: 0, Max: 0}
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
			at[r].Min, at[r].Max = min(at[r].Min, v), max(at[r].Max, v)
			at[r].Avg += v
		}
	}
	only, asked := index[k.Region]
	for r := range at {
		if with > 0 && k.Teams == nil && int(seen[r]) < len(k.Players) {
			unmeasured |= 1 << r
		}
		switch {
		case k.Region != "" && (!asked || r != only), k.Region == "" && seen[r] < with:
			at[r] = Latency{Min: far, Avg: far, Max: far}
		case seen[r] == 0:
			at[r] = Latency{Players: float64(len(k.Players))}
		default:
			at[r].Players = float64(seen[r])
			at[r].Avg /= at[r].Players
		}
	}
	return unmeasured
}

// Playable reports whether a ticket that says something of regions can be played in
// one; measured, whether all of its players have to have a latency there.
func (p *Pool) Playable(t int32, region int, measured bool) bool {
	return p.latencies[int(t)*len(p.Regions)+region].Min != far && !(measured && p.unmeasured[t]&(1<<region) != 0)
}

// Latency is that of a ticket in a region, 0 where it is not known.
func (p *Pool) Latency(t int32, region int) Latency {
	if region < 0 || !p.Named(t) {
		return Latency{}
	}
	return p.latencies[int(t)*len(p.Regions)+region]
}
