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
	index := regionNames{ids: make(map[string]int32, len(p.Regions)), names: p.Regions}
	for i, name := range p.Regions {
		index.ids[name] = int32(i)
	}
	p.latencies = make([]Latency, len(p.Tickets)*len(p.Regions))
	p.unmeasured = make([]uint64, len(p.Tickets))
	for t := range p.Tickets {
		if p.named[t] {
			p.unmeasured[t] = p.readLatencies(&p.Tickets[t], p.latencies[t*len(p.Regions):(t+1)*len(p.Regions)], &index)
		}
	}
}

// regionNames numbers the names of regions. Most players name the same ones in the same
// order, so that a name is looked for first where it stood last.
type regionNames struct {
	ids   map[string]int32
	names []string
	// last are the ids by position among a player's latencies.
	last []int32
}

// id is the number of a name, which is the position'th of a player's; -1 if it is new
// and must not be added.
func (r *regionNames) id(name string, position int, add bool) int32 {
	if position < len(r.last) && r.last[position] >= 0 && r.names[r.last[position]] == name {
		return r.last[position]
	}
	id, ok := r.ids[name]
	if !ok {
		if !add {
			return -1
		}
		id = int32(len(r.names))
		r.ids[name], r.names = id, append(r.names, name)
	}
	if position == len(r.last) && position < mostRegions {
		r.last = append(r.last, id)
	} else if position < len(r.last) {
		r.last[position] = id
	}
	return id
}

// countRegions counts the tickets that name each region.
func (p *Pool) countRegions(of func(t int32) bool) map[string]int {
	names := regionNames{ids: make(map[string]int32)}
	var counts, last []int // by name; last is 1 + the ticket that named it last
	for t := range p.Tickets {
		k := &p.Tickets[t]
		if !of(int32(t)) {
			continue
		}
		count := func(name string, position int) {
			id := names.id(name, position, true)
			if int(id) == len(counts) {
				counts, last = append(counts, 0), append(last, 0)
			}
			if last[id] != t+1 {
				counts[id]++ // once per ticket, whatever its players name
				last[id] = t + 1
			}
		}
		if k.Region != "" {
			count(k.Region, mostRegions)
			continue
		}
		for i := range k.Players {
			for j := range k.Players[i].Latencies {
				count(k.Players[i].Latencies[j].Region, j)
			}
		}
	}
	out := make(map[string]int, len(counts))
	for id, n := range counts {
		out[names.names[id]] = n
	}
	return out
}

// readLatencies puts the ticket's latencies where they belong: those of the
// players who have any. A region counts if all of them have one, or if it is
// the one that the ticket asks for. It returns, as bits, the regions to which a
// player of the ticket lacks a latency, unless nobody of it has any, or it plays
// already.
func (p *Pool) readLatencies(k *rule.Ticket, at []Latency, index *regionNames) (unmeasured uint64) {
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
		for j := range k.Players[i].Latencies {
			l := &k.Players[i].Latencies[j]
			r := index.id(l.Region, j, false)
			if r < 0 || players[r] == with {
				continue
			}
			players[r] = with
			seen[r]++
			v := l.Milliseconds
			at[r].Min, at[r].Max = min(at[r].Min, v), max(at[r].Max, v)
			at[r].Avg += v
		}
	}
	only, asked := index.ids[k.Region]
	for r := range at {
		if with > 0 && k.Teams == nil && int(seen[r]) < len(k.Players) {
			unmeasured |= 1 << r
		}
		switch {
		case k.Region != "" && (!asked || int32(r) != only), k.Region == "" && seen[r] < with:
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
