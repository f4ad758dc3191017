package search

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// segmentable reports whether the pool can be divided into matches at once: everybody
// comes alone, all matches have the same size, anybody may be in any team, and
// beside equality the rules say no more than that one number differs by at
// most so much.
func (r *run) segmentable() bool {
	pl := r.plan
	if len(pl.windows) != 1 || pl.windows[0].column != pl.sortKey || len(pl.complete)+len(pl.incremental)+len(pl.fits)+len(pl.limits)+len(pl.sorts)+len(pl.pairwise) > 0 {
		return false
	}
	if len(r.pool.regions) > 0 || len(r.backfills) > 0 || r.byOldest || !r.loosens() {
		return false
	}
	for _, p := range pl.slots {
		if p.Min != p.Max || p.Bots {
			return false
		}
	}
	for _, t := range r.free {
		if r.pool.size(t) != 1 {
			return false
		}
	}
	return true
}

// loosens reports whether a match which keeps the rules of this stage keeps those
// of all later ones, which some of its tickets may have reached: they are the
// same but for the window, which gets no smaller.
func (r *run) loosens() bool {
	pl := r.plan
	for _, later := range r.engine.plans[pl.stage+1:] {
		if len(later.checks) != len(pl.checks) || len(later.windows) != 1 || later.windows[0].column != pl.windows[0].column ||
			later.windows[0].most < pl.windows[0].most || !slices.EqualFunc(later.equals, pl.equals, func(a, b equal) bool { return a.column == b.column }) ||
			len(later.complete)+len(later.incremental)+len(later.fits)+len(later.limits) > 0 || !slices.Equal(later.slots, pl.slots) {
			return false
		}
	}
	return true
}

// sortedTicket is a ticket and where it stands by the sort key.
type sortedTicket struct {
	bits   uint64 // the number, so that bits are in its order
	ticket int32
}

// sortable makes bits that are in the order of numbers.
func sortable(x float64) uint64 {
	b := math.Float64bits(x)
	if b>>63 != 0 {
		return ^b
	}
	return b | 1<<63
}

// segment chooses, among all ways to divide the pool into matches, the one that costs
// least: a match its spread, a ticket that is left out more than the whole
// window, and the more the longer it has waited.
func (r *run) segment(yield func(Proposal) bool) bool {
	all, ends := r.byPartition()
	tickets, teams := make([]int32, len(all)), make([]uint8, len(all))
	from := int32(0)
	for _, to := range ends {
		if to > from && !r.segmentPartition(radix(all[from:to]), tickets[from:to], teams[from:to], yield) {
			return false
		}
		from = to
	}
	return true
}

// byPartition are the tickets of one partition after the other, and where each ends.
// Partitions are numbered densely, by words or by what the partitioner has seen.
func (r *run) byPartition() (all []sortedTicket, ends []int32) {
	last := int32(0)
	for _, t := range r.free {
		last = max(last, r.partition[t])
	}
	ends = make([]int32, last+2)
	for _, t := range r.free {
		ends[r.partition[t]+1]++
	}
	for i := range last + 1 {
		ends[i+1] += ends[i]
	}
	all = make([]sortedTicket, len(r.free))
	for _, t := range r.free {
		at := &ends[r.partition[t]]
		all[*at] = sortedTicket{sortable(r.key(t)), t}
		*at++
	}
	return all, ends[:last+1]
}

// segmentPartition divides tickets that are sorted by the sort key. With f(i) the least
// cost of the first i, ticket i is left out, or ends a match:
//
//	f(i) = min(f(i-1) + left(i), f(i-k) + spread(i-k..i))
func (r *run) segmentPartition(sorted []sortedTicket, tickets []int32, teams []uint8, yield func(Proposal) bool) bool {
	n, k := len(sorted), r.plan.most
	if n < k {
		return true
	}
	most := r.plan.windows[0].most
	unit := most
	if unit <= 0 {
		unit = 1
	}
	x := make([]float64, n)
	for i := range sorted {
		x[i] = r.key(sorted[i].ticket)
	}
	f, ends := make([]float64, n+1), make([]bool, n+1)
	oldest := longest{wait: r.pool.wait, of: sorted, width: k}
	for i := 1; i <= n; i++ {
		wait := min(max(0, r.pool.wait[sorted[i-1].ticket]), scoreMaxWait)
		f[i] = f[i-1] + unit*(1+float64(wait)/float64(scoreWait))
		held := oldest.push(i - 1)
		if i < k {
			continue
		}
		spread := x[i-1] - x[i-k]
		if c := f[i-k] + spread; spread <= most*r.plan.relax(held) && c < f[i] {
			f[i], ends[i] = c, true
		}
	}
	var starts []int
	for i := n; i > 0; {
		if !ends[i] {
			i--
			continue
		}
		i -= k
		starts = append(starts, i)
	}
	slices.Reverse(starts)
	used := 0
	sums := make([]float64, len(r.plan.slots))
	fill := make([]int, len(r.plan.slots))
	for i, from := range starts {
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return false
		}
		p := Proposal{Backfill: -1, Stage: r.plan.stage, plan: r.plan, Spread: x[from+k-1] - x[from],
			Tickets: tickets[used : used+k : used+k], Team: teams[used : used+k : used+k]}
		used += k
		r.deal(sorted[from:from+k], x[from:from+k], &p, sums, fill)
		if !yield(p) {
			return false
		}
	}
	return true
}

// longest is the longest wait of the last tickets that were pushed, so many as
// a match has.
type longest struct {
	wait  []time.Duration
	of    []sortedTicket
	width int
	// queue are positions, the longest waiting first, each of which came after
	// the one before.
	queue []int
}

// push adds the next position and returns the longest wait.
func (l *longest) push(i int) time.Duration {
	w := l.wait[l.of[i].ticket]
	for len(l.queue) > 0 && l.wait[l.of[l.queue[len(l.queue)-1]].ticket] <= w {
		l.queue = l.queue[:len(l.queue)-1]
	}
	l.queue = append(l.queue, i)
	if l.queue[0] <= i-l.width {
		l.queue = l.queue[1:]
	}
	return l.wait[l.of[l.queue[0]].ticket]
}

// deal puts the tickets of a match, sorted by the sort key, into its teams: the
// highest first, each into the team with room that has the least so far.
func (r *run) deal(sorted []sortedTicket, x []float64, p *Proposal, sums []float64, fill []int) {
	clear(sums)
	clear(fill)
	for i := len(sorted) - 1; i >= 0; i-- {
		best := -1
		for slot := range r.plan.slots {
			if fill[slot] < r.plan.slots[slot].Max && (best < 0 || sums[slot] < sums[best]) {
				best = slot
			}
		}
		fill[best]++
		sums[best] += x[i] - x[0]
		t := sorted[i].ticket
		r.pool.taken[t] = true
		p.Tickets[i], p.Team[i] = t, uint8(best)
	}
	p.Wait = r.decisive(p.Tickets)
	p.Stage = r.engine.rules.At(p.Wait)
	p.plan = r.engine.plans[p.Stage]
	p.Score = r.score(p.Tickets, len(p.Tickets), p.Spread, 0)
}

// radix sorts by bits; those that are equal stay in order.
func radix(in []sortedTicket) []sortedTicket {
	const width, buckets = 11, 1 << 11
	if len(in) < 512 {
		slices.SortStableFunc(in, func(a, b sortedTicket) int { return cmp.Compare(a.bits, b.bits) })
		return in
	}
	var counts [6][buckets]int32
	for i := range in {
		b := in[i].bits
		for d := range counts {
			counts[d][b&(buckets-1)]++
			b >>= width
		}
	}
	out := make([]sortedTicket, len(in))
	for d := range counts {
		shift := d * width
		c := &counts[d]
		if c[in[0].bits>>shift&(buckets-1)] == int32(len(in)) {
			continue // all the same
		}
		sum := int32(0)
		for i, n := range c {
			c[i], sum = sum, sum+n
		}
		for i := range in {
			digit := in[i].bits >> shift & (buckets - 1)
			out[c[digit]] = in[i]
			c[digit]++
		}
		in, out = out, in
	}
	return in
}
