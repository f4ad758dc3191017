package solve

import (
	"cmp"
	"context"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"

	"torikumi/matchfunction/internal/search/compile"
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
)

// From so many anchors on, if hardly any has found a match with its first steps, the others
// get a fraction of theirs at first, and the rest only if that finds one.
const (
	hopelessAnchors = 1000
	hopelessPart    = 5
)

// run is the search of one stage.
type run struct {
	*layout
	ctx   context.Context
	rules *compile.Rules
	taken []bool
	hold  *hold

	scale float64
	steps int
	// stopped says that the time of this stage, or of the search, is over.
	stopped atomic.Bool
	// turn moves on each second.
	turn int64

	// anchor is the ticket around which a match is looked for.
	anchor *anchor
	// tried is how many tickets were anchors in the last round, found how many of them got
	// a match, or had one that was held back; reached is how far it came.
	tried, found, reached int
	// unfinished are the anchors whose steps were not enough.
	unfinished []int32
}

func newRun(ctx context.Context, b *board, way *compile.Plan) *run {
	return &run{layout: newLayout(b, way), ctx: ctx, rules: b.rules, taken: b.taken, hold: b.hold}
}

// begin readies the search around anchors.
func (r *run) begin() {
	r.sortIntoGroups(r.hold)
	r.anchor = newAnchor(r)
}

// budget is the steps that are left for an anchor.
type budget struct {
	left int
	// stopped says that there are none, whatever is left.
	stopped *atomic.Bool
}

// spent reports whether the steps, or the time, are used up.
func (b *budget) spent() bool {
	if b.stopped.Load() {
		b.left = 0
	}
	return b.left <= 0
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

// search reports whether to go on.
func (r *run) search(yield func(Proposal) bool) bool {
	if len(r.free) == 0 {
		return true
	}
	r.scale = r.window()
	if r.segmentable() {
		return r.segment(yield)
	}
	r.begin()
	first := stepsFirst + 4*r.plan.Most
	second := r.steps
	priority := r.plan.Definition.Algorithm.BackfillPriority
	if priority == ruleset.High && !r.fill(r.backfills, yield) {
		return false
	}
	anchors := r.free
	if priority == ruleset.Normal && len(r.backfills) > 0 {
		anchors = slices.Concat(r.backfills, r.free)
		r.sortByAge(anchors)
	}
	anchors = r.bestFirst(anchors)
	r.steps = (len(r.free) + len(r.backfills)) * first
	if !r.around(anchors, first, yield) {
		return false
	}
	hardly := r.tried >= hopelessAnchors && r.found*hopelessAnchors < r.tried
	if priority == ruleset.Low && !r.fill(r.backfills, yield) {
		return false
	}
	// Who had steps left would find nothing with more of them.
	again := slices.Clone(r.unfinished)
	if hardly {
		if !r.more(again, second/hopelessPart, yield) {
			return false
		}
		second += r.steps - second/hopelessPart
		if r.found == 0 {
			r.steps = second // for the stages that follow
			return true
		}
	}
	return r.more(again, second, yield)
}

// more shares steps among anchors for whom the first were not enough: one half to the longest
// waiting, the other half to those who got none, in turn.
func (r *run) more(anchors []int32, steps int, yield func(Proposal) bool) bool {
	each := stepsSecond + 8*r.plan.Most
	r.steps = steps / 2
	if !r.around(anchors, each, yield) {
		return false
	}
	found := r.found
	r.steps += steps - steps/2
	first, others := anchors[:r.reached], anchors[r.reached:]
	if found == 0 {
		first = nil // nothing has changed for them
	}
	at := turn(r.turn, len(others))
	on := r.around(slices.Concat(others[at:], others[:at], first), each, yield)
	r.found += found
	return on
}

// turn is with which of n to begin in a second: spread evenly over them, however far apart
// the seconds are.
func turn(second int64, n int) int {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	at, _ := bits.Mul64(uint64(second)*golden, uint64(n))
	return int(at)
}

// fill fills backfills by themselves, before or after all others.
func (r *run) fill(backfills []int32, yield func(Proposal) bool) bool {
	r.steps = max(r.steps, len(backfills)*stepsSecond)
	return r.around(backfills, stepsSecond, yield)
}

// around makes a match around each free ticket, or fills each backfill, in
// their order, with so many steps for each.
func (r *run) around(anchors []int32, steps int, yield func(Proposal) bool) bool {
	r.tried, r.found = 0, 0
	for i, t := range anchors {
		r.reached = i
		if i%checkEvery == 0 && r.ctx.Err() != nil {
			return false
		}
		if r.steps <= 0 || r.stopped.Load() {
			return true
		}
		plays := r.pool.Tickets[t].Teams != nil
		if r.taken[t] || (r.byOldest && int(r.pool.Stage[t]) != r.plan.Stage && !plays) {
			continue
		}
		given := min(steps, r.steps)
		r.steps -= given
		ok, left := r.anchor.match(t, given)
		r.steps += max(left, 0)
		if !plays {
			r.tried++
		}
		if !plays && (ok || r.anchor.holding) {
			r.found++
		}
		if !ok && left <= 0 && !r.anchor.holding {
			r.unfinished = append(r.unfinished, t)
		}
		if ok && !yield(r.proposal(r.anchor.state)) {
			return false
		}
	}
	r.reached = len(anchors)
	return true
}

// bestFirst leaves, of the anchors, those who may get a match that is close enough,
// sorted by how much closer it may be.
func (r *run) bestFirst(anchors []int32) []int32 {
	h := r.hold
	if h == nil {
		return anchors
	}
	out := make([]int32, 0, len(anchors))
	for _, t := range anchors {
		if r.pool.Tickets[t].Teams != nil || !h.hopeless(t) {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b int32) int { return cmp.Compare(h.surplus[b], h.surplus[a]) })
	return out
}
