package solve

import (
	"cmp"
	"math"
	"math/bits"
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
	// sorted are the tickets of one partition by the sort key.
	sorted []sortedTicket
	// tickets and teams are room for the matches of the partition.
	tickets []int32
	teams   []uint8
	// Scratch of deal, by team.
	sums []float64
	fill []int
	// Scratch of starts: the least costs of the last matches' worth of tickets, and whether
	// a match ends with each ticket.
	costs []float64
	ends  []bool
}

// x is the number at a position.
func (s *segments) x(i int) float64 { return number(s.sorted[i].bits) }

// segment divides the pool. It reports whether to go on.
func (r *run) segment(yield func(Proposal) bool) bool {
	all, ends := r.byPartition()
	slots := len(r.plan.Slots)
	s := &segments{run: r, sums: make([]float64, slots), fill: make([]int, slots), costs: make([]float64, r.plan.Most)}
	tickets, teams := make([]int32, len(all)), make([]uint8, len(all))
	largest, from := int32(0), int32(0)
	for _, to := range ends {
		largest, from = max(largest, to-from), to
	}
	scratch := make([]sortedTicket, largest)
	s.ends = make([]bool, largest)
	from = 0
	for _, to := range ends {
		if n := int(to - from); n >= r.plan.Most {
			sortByKey(all[from:to], scratch)
			s.sorted, s.tickets, s.teams = all[from:to], tickets[from:to], teams[from:to]
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
	r, k := s.run, s.run.plan.Most
	for i, from := range s.starts() {
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return false
		}
		p := Proposal{Spread: s.x(from+k-1) - s.x(from)}
		p.Tickets, p.Team = s.tickets[:k:k], s.teams[:k:k]
		s.tickets, s.teams = s.tickets[k:], s.teams[k:]
		s.deal(s.sorted[from:from+k], &p)
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
	plan, waits, sorted := s.run.plan, s.run.pool.Wait, s.sorted
	n, k := len(sorted), plan.Most
	left := s.leaving()
	most := plan.Windows[0].Most
	unit := most
	if unit <= 0 {
		unit = 1
	}
	// The last f, and in costs, around, those of the k tickets before.
	cost, costs, at := 0.0, s.costs, 0
	clear(costs)
	ends, relaxes := s.ends[:n], plan.Relaxes()
	oldest := longest{width: k}
	for i := range sorted {
		wait := waits[sorted[i].ticket]
		costs[at] = cost
		if left != nil {
			cost += left[i]
		} else {
			cost += unit * (1 + float64(min(max(0, wait), scoreMaxWait))/float64(scoreWait))
		}
		limit := most
		if relaxes {
			limit *= plan.Relax(oldest.push(i, wait))
		}
		ends[i] = false
		if at++; at == k {
			at = 0
		}
		if i+1 < k {
			continue
		}
		spread := s.x(i) - s.x(i-k+1)
		if c := costs[at] + spread; spread <= limit && c < cost {
			cost, ends[i] = c, true
		}
	}
	for i := n; i > 0; {
		if !ends[i-1] {
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
	h, sorted := s.run.hold, s.sorted
	if h == nil {
		return nil
	}
	h.learn(len(sorted), func(i int) int32 { return sorted[i].ticket }, s.x)
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
func (s *segments) deal(sorted []sortedTicket, p *Proposal) {
	r, slots, sums, fill := s.run, s.run.plan.Slots, s.sums, s.fill
	clear(sums)
	clear(fill)
	least := number(sorted[0].bits)
	for i := len(sorted) - 1; i >= 0; i-- {
		best := -1
		for slot := range slots {
			if fill[slot] < slots[slot].Max && (best < 0 || sums[slot] < sums[best]) {
				best = slot
			}
		}
		fill[best]++
		sums[best] += number(sorted[i].bits) - least
		t := sorted[i].ticket
		r.taken[t] = true
		p.Tickets[i], p.Team[i] = t, uint8(best)
	}
	p.Lineup = r.rules.Lineup(r.pool, p.Tickets, p.Team)
	p.Score = r.score(p.Tickets, len(p.Tickets), p.Spread, 0)
}

// Sorting by bits: digits of so many bits, and so few tickets that comparing them is
// quicker.
const (
	digit = 11
	few   = 512
)

// sortByKey sorts by bits; those that are equal stay in order. Scratch has room for as
// many.
//
// The highest bits in which tickets differ are sorted by radix. They are so many that
// hardly any tickets have the same of them, unless numbers are anywhere between the
// smallest and the largest that there are; those that do are sorted by comparing them.
func sortByKey(in, scratch []sortedTicket) {
	if len(in) < few {
		slices.SortStableFunc(in, func(a, b sortedTicket) int { return cmp.Compare(a.bits, b.bits) })
		return
	}
	differ := uint64(0)
	for i := range in {
		differ |= in[i].bits ^ in[0].bits
	}
	// Two digits are the exponents of numbers within a factor of 8 of each other, and a
	// millionth of them.
	passes, high := 2, bits.Len64(differ)
	if high > 56 {
		passes = 3
	}
	shift := max(0, high-passes*digit)
	out := scratch[:len(in)]
	for pass := range passes {
		radix(in, out, shift+pass*digit)
		in, out = out, in
	}
	if passes%2 != 0 {
		copy(out, in)
		in, out = out, in
	}
	if differ&(1<<shift-1) == 0 {
		return
	}
	for from := 0; from < len(in); {
		to := from + 1
		for to < len(in) && in[to].bits>>shift == in[from].bits>>shift {
			to++
		}
		if to-from > 1 {
			sortByKey(in[from:to], out)
		}
		from = to
	}
}

// radix sorts by one digit.
func radix(in, out []sortedTicket, shift int) {
	var ends [1 << digit]int32
	for i := range in {
		ends[in[i].bits>>shift&(1<<digit-1)]++
	}
	sum := int32(0)
	for i, n := range ends {
		ends[i], sum = sum, sum+n
	}
	for i := range in {
		end := &ends[in[i].bits>>shift&(1<<digit-1)]
		out[*end] = in[i]
		*end++
	}
}
