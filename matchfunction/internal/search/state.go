package search

import (
	"iter"
	"math"

	"torikumi/matchfunction/rule"
)

// spans are ranges of players.
type spans [][2]int32

func (s spans) spans() iter.Seq2[int32, int32] {
	return func(yield func(int32, int32) bool) {
		for _, r := range s {
			if !yield(r[0], r[1]) {
				return
			}
		}
	}
}

// state is a match in the making. It is reused from match to match.
type state struct {
	run  *run
	plan *plan
	// region is a position in the pool's regions, or -1.
	region int
	// anchor stays in whatever is tried.
	anchor int32
	// refusal is what a custom rule said last; blame looks at it.
	refusal error
	// relax is how much of the windows the match may use.
	relax float64
	// teams are the tickets by team slot.
	teams [][]int32
	// fill is the number of players by team slot.
	fill  []int
	total int
	// pinned are the players who already play, by team slot, and backfill is
	// their ticket, or -1.
	pinned   []spans
	backfill int32
	// lo and hi are the bounds of the tickets by window.
	lo, hi []float64
	// room: parties larger than this do not fit any more.
	room int

	// filling reports whether more tickets may come.
	filling bool

	members []int32 // all tickets but the backfill

	// Scratch.
	values    []vector
	sorted    []float64
	numbers   []float64
	ids       []int32
	reference []int32
	options   []uint64
	quota     quota
	everyone  []int32
	sums      []float64
	order     []int32
	saved     [][]int32
}

func newState(r *run) *state {
	n := len(r.plan.slots)
	return &state{
		run: r, plan: r.plan, teams: make([][]int32, n), fill: make([]int, n), pinned: make([]spans, n), backfill: -1,
		lo: make([]float64, len(r.plan.windows)), hi: make([]float64, len(r.plan.windows)),
		values: make([]vector, r.plan.nodes), sums: make([]float64, n), saved: make([][]int32, n),
	}
}

// start empties the match.
func (st *state) start(region int) {
	for i := range st.teams {
		st.teams[i], st.fill[i], st.pinned[i] = st.teams[i][:0], 0, st.pinned[i][:0]
	}
	for i := range st.lo {
		st.lo[i], st.hi[i] = math.Inf(1), math.Inf(-1)
	}
	st.region, st.total, st.room, st.backfill = region, 0, st.plan.maxParty, -1
	st.members = st.members[:0]
}

// pin puts those who already play into their teams. It reports whether they fit.
func (st *state) pin(t int32) bool {
	st.backfill = t
	k := &st.run.pool.tickets[t]
	at := st.run.pool.first[t]
	for i, slot := range k.Teams {
		if slot < 0 || slot >= len(st.teams) {
			return false
		}
		from := at + int32(i)
		if s := st.pinned[slot]; len(s) > 0 && s[len(s)-1][1] == from {
			s[len(s)-1][1]++
		} else {
			st.pinned[slot] = append(s, [2]int32{from, from + 1})
		}
		st.fill[slot]++
		st.total++
	}
	for slot, n := range st.fill {
		if n > st.plan.slots[slot].Max {
			return false
		}
	}
	if !st.pinnedFit() {
		return false
	}
	st.widen(t)
	return true
}

// pinnedFit reports whether those who already play may be in their teams.
func (st *state) pinnedFit() bool {
	for i := range st.plan.fits {
		f := &st.plan.fits[i]
		for _, slot := range f.slots {
			for from, to := range st.pinned[slot].spans() {
				for player := from; player < to; player++ {
					if !f.ok(st.run.pool, player) {
						return false
					}
				}
			}
		}
	}
	return true
}

// players are the ranges of players of a team.
func (st *state) players(slot int) iter.Seq2[int32, int32] {
	return func(yield func(int32, int32) bool) {
		for _, s := range st.pinned[slot] {
			if !yield(s[0], s[1]) {
				return
			}
		}
		first := st.run.pool.first
		for _, t := range st.teams[slot] {
			if !yield(first[t], first[t+1]) {
				return
			}
		}
	}
}

// all are the tickets of the match, that of those who already play too.
func (st *state) all() []int32 {
	st.everyone = st.everyone[:0]
	if st.backfill >= 0 {
		st.everyone = append(st.everyone, st.backfill)
	}
	for _, team := range st.teams {
		st.everyone = append(st.everyone, team...)
	}
	return st.everyone
}

func (st *state) near(t int32) bool {
	for i, w := range st.plan.windows {
		x := st.run.pool.value(w.column, t)
		if max(st.hi[i], x)-min(st.lo[i], x) > w.most*st.relax {
			return false
		}
	}
	return true
}

func (st *state) widen(t int32) {
	p := st.run.pool
	for i, w := range st.plan.windows {
		if p.tickets[t].Teams == nil {
			x := p.value(w.column, t)
			st.lo[i], st.hi[i] = min(st.lo[i], x), max(st.hi[i], x)
			continue
		}
		for _, x := range p.numbers[w.column][p.first[t]:p.first[t+1]] {
			st.lo[i], st.hi[i] = min(st.lo[i], x), max(st.hi[i], x)
		}
	}
}

// rebound computes the windows anew.
func (st *state) rebound() {
	for i := range st.lo {
		st.lo[i], st.hi[i] = math.Inf(1), math.Inf(-1)
	}
	for _, t := range st.all() {
		st.widen(t)
	}
}

func (st *state) put(t int32, slot int) {
	st.teams[slot] = append(st.teams[slot], t)
	size := st.run.pool.size(t)
	st.fill[slot] += size
	st.total += size
}

// drop takes the i-th ticket of a team out.
func (st *state) drop(slot, i int) int32 {
	team := st.teams[slot]
	t := team[i]
	st.teams[slot] = append(team[:i], team[i+1:]...)
	size := st.run.pool.size(t)
	st.fill[slot] -= size
	st.total -= size
	return t
}

// enough reports whether each team has its smallest size.
func (st *state) enough() bool {
	if st.total < 1 {
		return false
	}
	for i, p := range st.plan.slots {
		if st.fill[i] < p.Min && !p.Bots {
			return false
		}
	}
	return true
}

// full reports whether nobody else fits.
func (st *state) full() bool { return st.total == st.plan.most }

// broken tells how far the match is from keeping some rules; slow ones are
// looked at only when all others are kept.
func (st *state) broken(checks []*check) float64 {
	sum := 0.0
	for _, k := range checks {
		if k.slow && sum > 0 {
			break
		}
		sum += k.broken(st)
	}
	return sum
}

// match is the match as a custom rule sees it.
func (st *state) match() *rule.Match {
	p := st.run.proposal(st)
	return p.Match(st.run.pool.tickets)
}
