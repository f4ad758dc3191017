package solve

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
	if !r.plan.OneWindow() || len(r.pool.Regions) > 0 || len(r.backfills) > 0 || r.byOldest || !r.rules.Loosens(r.plan) {
		return false
	}
	for _, t := range r.free {
		if r.pool.Size(t) != 1 {
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

// number is what sortable was given.
func number(b uint64) float64 {
	if b>>63 != 0 {
		return math.Float64frombits(b &^ (1 << 63))
	}
	return math.Float64frombits(^b)
}

// segments chooses, among all ways to divide the pool into matches, the one that costs
// least: a match its spread, a ticket that is left out more than the whole
// window, and the more the longer it has waited.
type segments struct {
	run *run
	// sorted are the tickets of one partition by the sort key, and x their numbers.
	sorted []sortedTicket
	x      []float64
	// tickets and teams are room for the matches of the partition.
	tickets []int32
	teams   []uint8
	// Scratch of deal, by team.
	sums []float64
	fill []int
}

// segment divides the pool. It reports whether to go on.
func (r *run) segment(yield func(Proposal) bool) bool {
	all, ends := r.byPartition()
	slots := len(r.plan.Slots)
	s := &segments{run: r, sums: make([]float64, slots), fill: make([]int, slots)}
	tickets, teams := make([]int32, len(all)), make([]uint8, len(all))
	from := int32(0)
	for _, to := range ends {
		if n := int(to - from); n >= r.plan.Most {
			s.sorted, s.x, s.tickets, s.teams = radix(all[from:to]), make([]float64, n), tickets[from:to], teams[from:to]
			if !s.partition(yield) {
				return false
			}
		}
		from = to
	}
	return true
}

// byPartition are the tickets of one partition after the other, and where each ends.
// Partitions are numbered densely, by words or by what the partitioner has seen.
func (l *layout) byPartition() (all []sortedTicket, ends []int32) {
	last := int32(0)
	for _, t := range l.free {
		last = max(last, l.partition[t])
	}
	ends = make([]int32, last+2)
	for _, t := range l.free {
		ends[l.partition[t]+1]++
	}
	for i := range last + 1 {
		ends[i+1] += ends[i]
	}
	all = make([]sortedTicket, len(l.free))
	for _, t := range l.free {
		at := &ends[l.partition[t]]
		all[*at] = sortedTicket{sortable(l.key(t)), t}
		*at++
	}
	return all, ends[:last+1]
}

// partition divides one partition.
func (s *segments) partition(yield func(Proposal) bool) bool {
	r, x, k := s.run, s.x, s.run.plan.Most
	for i := range x {
		x[i] = number(s.sorted[i].bits)
	}
	for i, from := range s.starts() {
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return false
		}
		p := Proposal{Spread: x[from+k-1] - x[from]}
		p.Tickets, p.Team = s.tickets[:k:k], s.teams[:k:k]
		s.tickets, s.teams = s.tickets[k:], s.teams[k:]
		s.deal(s.sorted[from:from+k], x[from:from+k], &p)
		if !yield(p) {
			return false
		}
	}
	return true
}

// starts returns where matches start. With f(i) the least cost of the first i, ticket
// i is left out, or ends a match:
//
//	f(i) = min(f(i-1) + left(i), f(i-k) + spread(i-k..i))
//
// Who is left out costs more than any match, unless the search holds out for closer
// ones: then a match has to cost less than to leave all of it out, which is its
// threshold.
func (s *segments) starts() (starts []int) {
	plan, waits, sorted, x := s.run.plan, s.run.pool.Wait, s.sorted, s.x
	n, k := len(sorted), plan.Most
	left := s.leaving()
	most := plan.Windows[0].Most
	unit := most
	if unit <= 0 {
		unit = 1
	}
	f, ends := make([]float64, n+1), make([]bool, n+1)
	oldest := longest{width: k}
	for i := 1; i <= n; i++ {
		wait := waits[sorted[i-1].ticket]
		if left != nil {
			f[i] = f[i-1] + left[i-1]
		} else {
			f[i] = f[i-1] + unit*(1+float64(min(max(0, wait), scoreMaxWait))/float64(scoreWait))
		}
		held := oldest.push(i-1, wait)
		if i < k {
			continue
		}
		spread := x[i-1] - x[i-k]
		if c := f[i-k] + spread; spread <= most*plan.Relax(held) && c < f[i] {
			f[i], ends[i] = c, true
		}
	}
	for i := n; i > 0; {
		if !ends[i] {
			i--
			continue
		}
		i -= k
		starts = append(starts, i)
	}
	slices.Reverse(starts)
	return starts
}

// leaving is what it costs to leave each ticket out if the search holds out, else nil.
func (s *segments) leaving() []float64 {
	h, sorted, x := s.run.hold, s.sorted, s.x
	if h == nil {
		return nil
	}
	h.learn(len(sorted), func(i int) int32 { return sorted[i].ticket }, func(i int) float64 { return x[i] })
	left := make([]float64, len(sorted))
	for i := range left {
		t := sorted[i].ticket
		left[i] = h.now[t]/float64(s.run.plan.Most) + h.overdue(t)
	}
	return left
}

// longest is the longest wait of the last tickets that were pushed, so many as
// a match has.
type longest struct {
	width int
	// queue are waits and their positions, the longest first, each of which came after
	// the one before.
	queue []waited
}

type waited struct {
	at   int
	wait time.Duration
}

// push adds the wait at the next position and returns the longest one.
func (l *longest) push(i int, wait time.Duration) time.Duration {
	for len(l.queue) > 0 && l.queue[len(l.queue)-1].wait <= wait {
		l.queue = l.queue[:len(l.queue)-1]
	}
	l.queue = append(l.queue, waited{i, wait})
	if l.queue[0].at <= i-l.width {
		l.queue = l.queue[1:]
	}
	return l.queue[0].wait
}

// deal puts the tickets of a match, sorted by the sort key, into its teams: the
// highest first, each into the team with room that has the least so far.
func (s *segments) deal(sorted []sortedTicket, x []float64, p *Proposal) {
	r, slots, sums, fill := s.run, s.run.plan.Slots, s.sums, s.fill
	clear(sums)
	clear(fill)
	for i := len(sorted) - 1; i >= 0; i-- {
		best := -1
		for slot := range slots {
			if fill[slot] < slots[slot].Max && (best < 0 || sums[slot] < sums[best]) {
				best = slot
			}
		}
		fill[best]++
		sums[best] += x[i] - x[0]
		t := sorted[i].ticket
		r.taken[t] = true
		p.Tickets[i], p.Team[i] = t, uint8(best)
	}
	p.Lineup = r.rules.Lineup(r.pool, p.Tickets, p.Team)
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
