package solve

import (
	"cmp"
	"iter"
	"math/bits"
	"slices"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// layout is the pool as one plan lays it out: the tickets that may be in a match, and
// for each of them the tickets that it can meet, sorted by the sort key.
type layout struct {
	pool     *pool.Pool
	plan     *compile.Plan
	byOldest bool

	// free are the usable tickets, the longest waiting first; backfills are
	// those of matches that are already played.
	free      []int32
	backfills []int32
	// By ticket, for those that are usable.
	class     []int32
	reach     []uint64
	partition []int32

	classes compile.Classes

	groups map[groupKey]*group
	// population is the number of tickets by region.
	population []int
	// parties reports whether not everybody comes alone.
	parties bool
}

type groupKey struct {
	partition int32
	region    int32
}

// newLayout finds the usable tickets of a board. They are not sorted yet.
func newLayout(b *board, way *compile.Plan) *layout {
	p := b.pool
	l := &layout{pool: p, plan: way, byOldest: b.rules.Set.ByOldest()}
	n := len(p.Tickets)
	l.class, l.reach, l.partition = make([]int32, n), make([]uint64, n), make([]int32, n)
	partitions := way.Partitions(p)
	l.free = make([]int32, 0, n)
	for t := range int32(n) {
		if b.taken[t] || !l.belongs(t) || way.Flaw(p, t) != "" {
			continue
		}
		l.class[t], l.reach[t], l.partition[t] = l.classes.Of(way, p, t), way.Reachable(p, t), partitions.Of(t)
		if p.Tickets[t].Teams != nil {
			l.backfills = append(l.backfills, t)
		} else {
			l.free = append(l.free, t)
		}
	}
	l.dropLonely()
	return l
}

// dropLonely leaves out the tickets of partitions that are too small for a match,
// even with those who already play: a pool can have as many partitions as tickets.
func (l *layout) dropLonely() {
	if !l.plan.Splits() {
		return
	}
	last := int32(0)
	for _, list := range [][]int32{l.free, l.backfills} {
		for _, t := range list {
			last = max(last, l.partition[t])
		}
	}
	players := make([]int32, last+1)
	for _, list := range [][]int32{l.free, l.backfills} {
		for _, t := range list {
			players[l.partition[t]] += int32(l.pool.Size(t))
		}
	}
	alone := func(t int32) bool { return int(players[l.partition[t]]) < l.plan.Least }
	l.free, l.backfills = slices.DeleteFunc(l.free, alone), slices.DeleteFunc(l.backfills, alone)
}

// may are the teams that a ticket may be in.
func (l *layout) may(t int32) *compile.SlotSet { return l.classes.Teams(l.class[t]) }

// belongs reports whether a ticket may be in a match of this stage: where the
// newest ticket decides all have to have waited long enough, where the oldest
// does none may have waited longer.
func (l *layout) belongs(t int32) bool {
	own := int(l.pool.Stage[t])
	if l.byOldest {
		return own <= l.plan.Stage
	}
	return own >= l.plan.Stage
}

// key is the value by which a ticket is sorted.
func (l *layout) key(t int32) float64 {
	if l.plan.SortKey < 0 {
		return -l.pool.Wait[t].Seconds()
	}
	return l.pool.Value(l.plan.SortKey, t)
}

// longestKey is below the key of any ticket that is sorted by its wait: a Duration has fewer
// seconds.
const longestKey = -1e10

// beginAt is by which key the neighbours of an anchor are the nearest. Where tickets are sorted
// by age alone, a running match takes the longest waiting: nearest to the age of its search,
// which may have just begun, are those who came last.
func (l *layout) beginAt(t int32) float64 {
	if l.plan.SortKey < 0 && l.pool.Tickets[t].Teams != nil {
		return longestKey
	}
	return l.key(t)
}

// sortIntoGroups sorts the usable tickets by age, and into the groups of those that
// can meet. The thresholds of hold, if there are any, follow from that.
func (l *layout) sortIntoGroups(h *hold) {
	l.sortByAge(l.backfills)
	sorted, scratch := make([]sortedTicket, len(l.free)), make([]sortedTicket, len(l.free))
	for i, t := range l.free { // by position
		sorted[i] = sortedTicket{^uint64(l.pool.Wait[t]), t}
	}
	sortByKey(sorted, scratch)
	keys := make([]float64, len(l.pool.Tickets))
	for i := range sorted {
		t := sorted[i].ticket
		keys[t], l.free[i] = l.key(t), t
		sorted[i].bits = sortable(keys[t] + 0) // -0 is 0
	}
	// Those with the same key: the longest waiting first.
	sortByKey(sorted, scratch)
	order := make([]int32, len(sorted))
	for i := range sorted {
		order[i] = sorted[i].ticket
	}
	l.learn(h, order, keys)
	l.groups, l.population = make(map[groupKey]*group), make([]int, len(l.pool.Regions))
	type bucketKey struct {
		class int32
		size  int
		roles uint64
	}
	buckets := make(map[*group]map[bucketKey]*bucket)
	put := func(t int32, region int32) {
		k := groupKey{l.partition[t], region}
		g := l.groups[k]
		if g == nil {
			g = new(group)
			l.groups[k], buckets[g] = g, make(map[bucketKey]*bucket)
		}
		key := bucketKey{l.class[t], l.pool.Size(t), l.plan.Brings(l.pool, t)}
		b := buckets[g][key]
		if b == nil {
			b = &bucket{may: l.may(t), size: key.size}
			buckets[g][key] = b
			g.buckets = append(g.buckets, b)
		}
		b.tickets, b.keys = append(b.tickets, t), append(b.keys, keys[t])
	}
	for _, t := range order {
		l.parties = l.parties || l.pool.Size(t) > 1
		if !l.pool.Named(t) {
			put(t, -1)
		}
		for region := range l.regions(t) {
			l.population[region]++
			put(t, int32(region))
		}
	}
	for _, g := range l.groups {
		for _, b := range g.buckets {
			b.seal()
		}
	}
}

// learn has the thresholds of tickets, which are sorted by their keys, follow who
// comes around them: of the same partition, and with the same nearest region.
func (l *layout) learn(h *hold, order []int32, keys []float64) {
	if h == nil {
		return
	}
	near := make(map[groupKey][]int32)
	meet := make(map[int32][]int32)
	for _, t := range order {
		k := groupKey{l.partition[t], l.nearestRegion(t)}
		near[k] = append(near[k], t)
		meet[k.partition] = append(meet[k.partition], t)
	}
	for _, all := range near {
		h.learn(len(all), func(i int) int32 { return all[i] }, func(i int) float64 { return keys[all[i]] })
	}
	for _, all := range meet {
		h.rank(all, keys, l.plan.Least)
	}
}

// nearestRegion is a position in the pool's regions, or -1.
func (l *layout) nearestRegion(t int32) int32 {
	best := int32(-1)
	for region := range l.regions(t) {
		if best < 0 || l.pool.Latency(t, region).Avg < l.pool.Latency(t, int(best)).Avg {
			best = int32(region)
		}
	}
	return best
}

// regions yields the regions of a ticket as positions in the pool's.
func (l *layout) regions(t int32) iter.Seq[int] {
	return func(yield func(int) bool) {
		for mask := l.reach[t] & (1<<len(l.pool.Regions) - 1); mask != 0; mask &= mask - 1 {
			if !yield(bits.TrailingZeros64(mask)) {
				return
			}
		}
	}
}

// byLatency are the regions of a ticket, the nearest first, or the one with
// the most tickets where the rules say so; -1 stands for no region at all.
func (l *layout) byLatency(t int32) []int {
	out := slices.Collect(l.regions(t))
	populous := l.plan.Definition.Algorithm.BatchingPreference == ruleset.LargestPopulation
	slices.SortStableFunc(out, func(a, b int) int {
		if c := cmp.Compare(l.population[b], l.population[a]); populous && c != 0 {
			return c
		}
		return cmp.Compare(l.pool.Latency(t, a).Avg, l.pool.Latency(t, b).Avg)
	})
	if !l.pool.Named(t) {
		out = append(out, -1)
	}
	return out
}

// sortByAge sorts tickets, the longest waiting first.
func (l *layout) sortByAge(tickets []int32) {
	wait := l.pool.Wait
	slices.SortFunc(tickets, func(a, b int32) int {
		if wait[a] != wait[b] {
			if wait[a] > wait[b] {
				return -1
			}
			return 1
		}
		return int(a - b)
	})
}
