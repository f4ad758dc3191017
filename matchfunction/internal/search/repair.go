package search

import "slices"

// repair changes a match, step by step, until it keeps all rules: two tickets
// of different teams change places, one gives way to a candidate, goes to
// another team, or leaves, or a candidate joins. Each step brings it nearer to
// the rules. The anchor stays. It reports whether that worked.
func (r *run) repair(broken float64, budget *int) bool {
	st := r.state
	for broken > 0 && !r.spent(budget) {
		next, ok := r.better(broken, budget)
		if !ok {
			return false
		}
		broken = next
	}
	st.refresh()
	if broken > 0 {
		return false
	}
	return st.enough() && !st.breaksIncremental() && st.broken(r.plan.complete) == 0
}

// refresh computes what depends on the tickets in the teams.
func (st *state) refresh() {
	st.members = st.members[:0]
	for _, team := range st.teams {
		st.members = append(st.members, team...)
	}
	st.rebound()
}

// better makes the first step that it finds.
func (r *run) better(broken float64, budget *int) (float64, bool) {
	for _, try := range []func(float64, *int) (float64, bool){r.swap, r.shift, r.replace, r.join, r.leave} {
		if b, ok := try(broken, budget); ok {
			return b, true
		}
	}
	return broken, false
}

// look tells how far the match is from the rules now, and whether that is
// better than before.
func (r *run) look(before float64, budget *int) (float64, bool) {
	*budget -= 1 + r.plan.lookCost
	st := r.state
	if r.spent(budget) {
		return before, false
	}
	if st.breaksIncremental() {
		return before, false
	}
	b := st.broken(r.plan.complete)
	return b, b < before*(1-1e-9)
}

// swap lets two tickets of the same size change teams.
func (r *run) swap(broken float64, budget *int) (float64, bool) {
	st, p := r.state, r.pool
	for a := range st.teams {
		for b := range a {
			for i, x := range st.teams[a] {
				for j, y := range st.teams[b] {
					if *budget <= 0 {
						return broken, false
					}
					if p.size(x) != p.size(y) || !r.may(x).has(b) || !r.may(y).has(a) {
						continue
					}
					st.teams[a][i], st.teams[b][j] = y, x
					if next, ok := r.look(broken, budget); ok {
						return next, true
					}
					st.teams[a][i], st.teams[b][j] = x, y
				}
			}
		}
	}
	return broken, false
}

func (r *run) shift(broken float64, budget *int) (float64, bool) {
	st, p := r.state, r.pool
	for a := range st.teams {
		for i := 0; i < len(st.teams[a]); i++ {
			x := st.teams[a][i]
			size := p.size(x)
			for b, slot := range st.plan.slots {
				if *budget <= 0 {
					return broken, false
				}
				if a == b || !r.may(x).has(b) || st.fill[b]+size > slot.Max || st.fill[a]-size < st.plan.slots[a].Min {
					continue
				}
				st.drop(a, i)
				st.put(x, b)
				if next, ok := r.look(broken, budget); ok {
					return next, true
				}
				st.drop(b, len(st.teams[b])-1)
				st.restore(a, i, x)
			}
		}
	}
	return broken, false
}

// restore puts a ticket back where it was.
func (st *state) restore(slot, i int, t int32) {
	st.put(t, slot)
	team := st.teams[slot]
	copy(team[i+1:], team[i:len(team)-1])
	team[i] = t
}

// replace lets a candidate take the place of a ticket of the same size.
func (r *run) replace(broken float64, budget *int) (float64, bool) {
	st, p := r.state, r.pool
	for c := range r.cands {
		k := r.cands[c].ticket
		if st.in(k) {
			continue
		}
		for a := range st.teams {
			for i, x := range st.teams[a] {
				if *budget <= 0 {
					return broken, false
				}
				if x == st.anchor || p.size(x) != p.size(k) || !r.may(k).has(a) {
					continue
				}
				st.teams[a][i] = k
				st.rebound()
				if st.withinWindows() && !st.apart(k) {
					if next, ok := r.look(broken, budget); ok {
						return next, true
					}
				}
				st.teams[a][i] = x
			}
		}
	}
	st.rebound()
	return broken, false
}

func (st *state) in(t int32) bool {
	for _, team := range st.teams {
		if slices.Contains(team, t) {
			return true
		}
	}
	return false
}

func (st *state) withinWindows() bool {
	for i, w := range st.plan.windows {
		if st.hi[i]-st.lo[i] > w.most*st.relax {
			return false
		}
	}
	return true
}

func (r *run) join(broken float64, budget *int) (float64, bool) {
	st, p := r.state, r.pool
	if st.full() {
		return broken, false
	}
	st.rebound()
	for c := range r.cands {
		k := r.cands[c].ticket
		if st.in(k) || !st.near(k) || st.apart(k) {
			continue
		}
		for a, slot := range st.plan.slots {
			if *budget <= 0 {
				return broken, false
			}
			if !r.may(k).has(a) || st.fill[a]+p.size(k) > slot.Max {
				continue
			}
			st.put(k, a)
			if next, ok := r.look(broken, budget); ok {
				return next, true
			}
			st.drop(a, len(st.teams[a])-1)
		}
	}
	return broken, false
}

func (r *run) leave(broken float64, budget *int) (float64, bool) {
	st, p := r.state, r.pool
	for a := range st.teams {
		for i := 0; i < len(st.teams[a]); i++ {
			x := st.teams[a][i]
			if *budget <= 0 {
				return broken, false
			}
			if x == st.anchor || st.fill[a]-p.size(x) < st.plan.slots[a].Min {
				continue
			}
			st.drop(a, i)
			if next, ok := r.look(broken, budget); ok {
				return next, true
			}
			st.restore(a, i, x)
		}
	}
	return broken, false
}
