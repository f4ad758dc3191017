package search

import (
	"context"
	"iter"
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"torikumi/pkg/ruleset"
)

// checkEvery is the number of anchors between two looks at the context.
const checkEvery = 64

// Steps bound the work of a search; a step is one ticket that is tried, or one
// look at the rules. Each stage gets its part of stepsAll. In a stage every
// anchor gets a few first, whatever that comes to, so that tickets that match
// nobody delay nobody else; what is left goes to those for whom they were not
// enough: one half to the longest waiting, the other half to all of them in
// turn, from another one each second.
const (
	stepsFirst  = 96
	stepsSecond = 4096
	stepsAll    = 20_000_000
	// stepsSlow is what a look at an expression or a custom rule costs.
	stepsSlow = 200
)

// run is the search of one stage.
type run struct {
	ctx      context.Context
	engine   *Engine
	pool     *pool
	plan     *plan
	byOldest bool

	// free are the usable tickets, the longest waiting first; backfills are
	// those of matches that are already played.
	free      []int32
	backfills []int32
	// By ticket, for those that are usable.
	class     []int32
	reach     []uint64
	partition []int32

	classes classes

	groups map[groupKey]*group
	// population is the number of tickets by region.
	population []int
	// parties reports whether not everybody comes alone.
	parties bool
	scale   float64
	steps   int
	// stopped says that the time of this stage, or of the search, is over.
	stopped atomic.Bool
	// turn moves on each second.
	turn int64

	// unfinished are the anchors whose steps were not enough.
	unfinished []int32

	// broke counts, if it is not nil, how often a rule kept a complete match
	// from being one.
	broke map[*ruleset.Rule]breach

	state *state
	walk  walk
	far   walk // of rare
	best  best
	// unrepaired reports whether a match of the anchor had enough players and broke
	// a rule.
	unrepaired bool
	cands      []candidate
	// Scratch of bySize.
	sorted []candidate
	counts []int
}

// breach is how often a rule was broken, and the least that it would have had to
// allow, 0 if that is not known.
type breach struct {
	times  int
	needed float64
	// refusal is what a custom rule said of the first such match.
	refusal error
}

type groupKey struct {
	partition int32
	region    int32
}

func newRun(ctx context.Context, e *Engine, p *pool, way *plan) *run {
	r := &run{ctx: ctx, engine: e, pool: p, plan: way, byOldest: e.rules.ByOldest()}
	n := len(p.tickets)
	r.class, r.reach, r.partition = make([]int32, n), make([]uint64, n), make([]int32, n)
	partitions := partitioner{pool: p, equals: r.plan.equals}
	r.free = make([]int32, 0, n)
	for t := range int32(n) {
		if p.taken[t] || !r.belongs(t) || r.plan.flaw(p, t) != "" {
			continue
		}
		r.class[t], r.reach[t], r.partition[t] = r.classes.of(r.plan, p, t), r.plan.reachable(p, t), partitions.of(t)
		if p.tickets[t].Teams != nil {
			r.backfills = append(r.backfills, t)
		} else {
			r.free = append(r.free, t)
		}
	}
	r.dropLonely()
	return r
}

// watch stops the run when its part of the time that the search has left is
// over, shared by so many stages. The returned function ends that.
func (r *run) watch(stages int) (end func()) {
	stop := func() { r.stopped.Store(true) }
	ended := context.AfterFunc(r.ctx, stop)
	deadline, bounded := r.ctx.Deadline()
	if !bounded {
		return func() { ended() }
	}
	timer := time.AfterFunc(time.Until(deadline)/time.Duration(stages), stop)
	return func() {
		ended()
		timer.Stop()
	}
}

// spent reports whether an anchor's steps, or the time, are used up.
func (r *run) spent(budget *int) bool {
	if r.stopped.Load() {
		*budget = 0
	}
	return *budget <= 0
}

// dropLonely leaves out the tickets of partitions that are too small for a match,
// even with those who already play: a pool can have as many partitions as tickets.
func (r *run) dropLonely() {
	if len(r.plan.equals) == 0 {
		return
	}
	last := int32(0)
	for _, list := range [][]int32{r.free, r.backfills} {
		for _, t := range list {
			last = max(last, r.partition[t])
		}
	}
	players := make([]int32, last+1)
	for _, list := range [][]int32{r.free, r.backfills} {
		for _, t := range list {
			players[r.partition[t]] += int32(r.pool.size(t))
		}
	}
	alone := func(t int32) bool { return int(players[r.partition[t]]) < r.plan.least }
	r.free, r.backfills = slices.DeleteFunc(r.free, alone), slices.DeleteFunc(r.backfills, alone)
}

// may are the teams that a ticket may be in.
func (r *run) may(t int32) *slotSet { return &r.classes.sets[r.class[t]] }

// belongs reports whether a ticket may be in a match of this stage: where the
// newest ticket decides all have to have waited long enough, where the oldest
// does none may have waited longer.
func (r *run) belongs(t int32) bool {
	own := int(r.pool.own[t])
	if r.byOldest {
		return own <= r.plan.stage
	}
	return own >= r.plan.stage
}

// search reports whether to go on.
func (r *run) search(yield func(Proposal) bool) bool {
	if len(r.free) == 0 {
		return true
	}
	r.scale = r.window()
	if r.segmentable() {
		return r.segment(yield)
	}
	r.sortByAge(r.free)
	r.sortByAge(r.backfills)
	r.sortIntoGroups()
	r.state = newState(r)
	first := stepsFirst + 4*r.plan.most
	second := r.steps
	priority := r.plan.definition.Algorithm.BackfillPriority
	if priority == ruleset.High && !r.fill(r.backfills, yield) {
		return false
	}
	anchors := r.free
	if priority == ruleset.Normal && len(r.backfills) > 0 {
		anchors = slices.Concat(r.backfills, r.free)
		r.sortByAge(anchors)
	}
	r.steps = (len(r.free) + len(r.backfills)) * first
	if !r.around(anchors, first, yield) || (priority == ruleset.Low && !r.fill(r.backfills, yield)) {
		return false
	}
	// Who had steps left would find nothing with more of them.
	again := slices.Clone(r.unfinished)
	r.steps = second / 2
	if !r.around(again, stepsSecond+8*r.plan.most, yield) {
		return false
	}
	r.steps += second - second/2
	if n := int64(len(again)); n > 0 {
		at := r.turn * 4099 % n // a prime, so that all have their turn
		again = slices.Concat(again[at:], again[:at])
	}
	return r.around(again, stepsSecond+8*r.plan.most, yield)
}

// fill fills backfills by themselves, before or after all others.
func (r *run) fill(backfills []int32, yield func(Proposal) bool) bool {
	r.steps = max(r.steps, len(backfills)*stepsSecond)
	return r.around(backfills, stepsSecond, yield)
}

// around makes a match around each free ticket, or fills each backfill, in
// their order, with so many steps for each.
func (r *run) around(anchors []int32, steps int, yield func(Proposal) bool) bool {
	for i, t := range anchors {
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return false
		}
		if r.steps <= 0 || r.stopped.Load() {
			return true
		}
		if r.pool.taken[t] || (r.byOldest && int(r.pool.own[t]) != r.plan.stage && r.pool.tickets[t].Teams == nil) {
			continue
		}
		budget := min(steps, r.steps)
		r.steps -= budget
		p, ok := r.anchor(t, &budget)
		r.steps += max(budget, 0)
		if !ok && budget <= 0 {
			r.unfinished = append(r.unfinished, t)
		}
		if ok && !yield(p) {
			return false
		}
	}
	return true
}

// partitioner numbers the partitions of the pool: the sets of tickets that may meet.
type partitioner struct {
	pool   *pool
	equals []equal
	seen   map[[2]uint64]int32
}

func (pt *partitioner) of(t int32) int32 {
	partition := int32(0)
	for i, e := range pt.equals {
		column := e.column
		at := pt.pool.first[t]
		var v uint64
		if pt.pool.strings[column] != nil {
			if len(pt.equals) == 1 {
				return pt.pool.strings[column][at]
			}
			v = uint64(pt.pool.strings[column][at])
		} else {
			v = math.Float64bits(pt.pool.numbers[column][at] + 0) // -0 is 0
		}
		key := [2]uint64{uint64(partition)<<8 | uint64(i), v}
		id, ok := pt.seen[key]
		if !ok {
			if pt.seen == nil {
				pt.seen = make(map[[2]uint64]int32)
			}
			id = int32(len(pt.seen)) + 1
			pt.seen[key] = id
		}
		partition = id
	}
	return partition
}

// key is the value by which a ticket is sorted.
func (r *run) key(t int32) float64 {
	if r.plan.sortKey < 0 {
		return -r.pool.wait[t].Seconds()
	}
	return r.pool.value(r.plan.sortKey, t)
}

// sortIntoGroups lays the pool out.
func (r *run) sortIntoGroups() {
	keys := make([]float64, len(r.pool.tickets))
	order := slices.Clone(r.free)
	for _, t := range order {
		keys[t] = r.key(t)
	}
	slices.SortFunc(order, func(a, b int32) int { return r.compareKeys(keys[a], keys[b], a, b) })
	r.groups, r.population = make(map[groupKey]*group), make([]int, len(r.pool.regions))
	type bucketKey struct {
		class int32
		size  int
		roles uint64
	}
	buckets := make(map[*group]map[bucketKey]*bucket)
	put := func(t int32, region int32) {
		k := groupKey{r.partition[t], region}
		g := r.groups[k]
		if g == nil {
			g = new(group)
			r.groups[k], buckets[g] = g, make(map[bucketKey]*bucket)
		}
		key := bucketKey{r.class[t], r.pool.size(t), r.plan.brings(r.pool, t)}
		b := buckets[g][key]
		if b == nil {
			b = &bucket{may: r.may(t), size: key.size}
			buckets[g][key] = b
			g.buckets = append(g.buckets, b)
		}
		b.tickets, b.keys = append(b.tickets, t), append(b.keys, keys[t])
	}
	for _, t := range order {
		r.parties = r.parties || r.pool.size(t) > 1
		if !r.pool.named[t] {
			put(t, -1)
		}
		for region := range r.regions(t) {
			r.population[region]++
			put(t, int32(region))
		}
	}
	for _, g := range r.groups {
		for _, b := range g.buckets {
			b.seal()
		}
	}
}

// regions yields the regions of a ticket as positions in the pool's.
func (r *run) regions(t int32) iter.Seq[int] {
	return func(yield func(int) bool) {
		for mask := r.reach[t] & (1<<len(r.pool.regions) - 1); mask != 0; mask &= mask - 1 {
			if !yield(bits.TrailingZeros64(mask)) {
				return
			}
		}
	}
}
