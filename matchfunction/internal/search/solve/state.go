package solve

import (
	"math"

	"torikumi/matchfunction/internal/search/compile"
)

// state is a match in the making, as the search changes it.
type state struct {
	compile.Match
	layout *layout
	// anchor stays in whatever is tried.
	anchor int32
	// most is how much of each window the match may use.
	most []float64
	// lo and hi are the bounds of the tickets by window.
	lo, hi []float64
	// room: parties larger than this do not fit any more.
	room int

	members []int32 // all tickets but the backfill

	// Scratch.
	sums  []float64
	order []int32
	saved [][]int32
}

// may are the teams that a ticket may be in.
func (st *state) may(t int32) *compile.SlotSet { return st.layout.may(t) }

func newState(rs *compile.Rules, l *layout) *state {
	n, windows := len(l.plan.Slots), len(l.plan.Windows)
	return &state{
		Match: compile.NewMatch(rs, l.plan, l.pool), layout: l,
		lo: make([]float64, windows), hi: make([]float64, windows), most: make([]float64, windows),
		sums: make([]float64, n), saved: make([][]int32, n),
	}
}

// start empties the match.
func (st *state) start(region int) {
	st.Match.Start(region)
	for i := range st.lo {
		st.lo[i], st.hi[i] = math.Inf(1), math.Inf(-1)
	}
	st.room = st.Plan.MaxParty
	st.members = st.members[:0]
}

// pin puts those who already play into their teams. It reports whether they fit.
func (st *state) pin(t int32) bool {
	if !st.Match.Pin(t) {
		return false
	}
	st.widen(t)
	return true
}

// near reports whether a ticket is in the windows with those that are in.
func (st *state) near(t int32) bool {
	for i, w := range st.Plan.Windows {
		x := st.Pool.Value(w.Column, t)
		if max(st.hi[i], x)-min(st.lo[i], x) > st.most[i] {
			return false
		}
	}
	return true
}

func (st *state) widen(t int32) {
	p := st.Pool
	for i, w := range st.Plan.Windows {
		if p.Tickets[t].Teams == nil {
			x := p.Value(w.Column, t)
			st.lo[i], st.hi[i] = min(st.lo[i], x), max(st.hi[i], x)
			continue
		}
		for _, x := range p.Numbers[w.Column][p.First[t]:p.First[t+1]] {
			st.lo[i], st.hi[i] = min(st.lo[i], x), max(st.hi[i], x)
		}
	}
}

// rebound computes the windows anew.
func (st *state) rebound() {
	for i := range st.lo {
		st.lo[i], st.hi[i] = math.Inf(1), math.Inf(-1)
	}
	for _, t := range st.All() {
		st.widen(t)
	}
}
