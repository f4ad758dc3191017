package solve

import "slices"

// repair changes a match, step by step, until it keeps all rules: two tickets
// of different teams change places, one gives way to a candidate, goes to
// another team, or leaves, or a candidate joins. Each step brings it nearer to
// the rules. The anchor stays.
type repair struct {
	*state
	cands  []candidate
	budget *budget
}

// run repairs a match that is so far from the rules. It reports whether that worked.
func (r *repair) run(broken float64) bool {
	for broken > 0 && !r.budget.spent() {
		next, ok := r.better(broken)
		if !ok {
			return false
		}
		broken = next
	}
	r.refresh()
	if broken > 0 {
		return false
	}
	return r.Enough() && !r.BreaksGuards() && r.Broken() == 0
}

// refresh computes what depends on the tickets in the teams.
func (st *state) refresh() {
	st.members = st.members[:0]
	for _, team := range st.Teams {
		st.members = append(st.members, team...)
	}
	st.rebound()
}

// better makes the first step that it finds.
func (r *repair) better(broken float64) (float64, bool) {
	for _, try := range []func(float64) (float64, bool){r.swap, r.shift, r.replace, r.join, r.leave} {
		if b, ok := try(broken); ok {
			return b, true
		}
	}
	return broken, false
}

// look tells how far the match is from the rules now, and whether that is
// better than before.
func (r *repair) look(before float64) (float64, bool) {
	r.budget.left -= 1 + r.Plan.LookCost
	st := r.state
	if r.budget.spent() {
		return before, false
	}
	if st.BreaksGuards() {
		return before, false
	}
	b := st.Broken()
	return b, b < before*(1-1e-9)
}

// swap lets two tickets of the same size change teams.
func (r *repair) swap(broken float64) (float64, bool) {
	st, p := r.state, r.Pool
	for a := range st.Teams {
		for b := range a {
			for i, x := range st.Teams[a] {
				for j, y := range st.Teams[b] {
					if r.budget.left <= 0 {
						return broken, false
					}
					if p.Size(x) != p.Size(y) || !st.may(x).Has(b) || !st.may(y).Has(a) {
						continue
					}
					st.Teams[a][i], st.Teams[b][j] = y, x
					if next, ok := r.look(broken); ok {
						return next, true
					}
					st.Teams[a][i], st.Teams[b][j] = x, y
				}
			}
		}
	}
	return broken, false
}

func (r *repair) shift(broken float64) (float64, bool) {
	st, p := r.state, r.Pool
	for a := range st.Teams {
		for i := 0; i < len(st.Teams[a]); i++ {
			x := st.Teams[a][i]
			size := p.Size(x)
			for b, slot := range st.Plan.Slots {
				if r.budget.left <= 0 {
					return broken, false
				}
				if a == b || !st.may(x).Has(b) || st.Fill[b]+size > slot.Max || st.Fill[a]-size < st.Plan.Slots[a].Min {
					continue
				}
				st.Drop(a, i)
				st.Put(x, b)
				if next, ok := r.look(broken); ok {
					return next, true
				}
				st.Drop(b, len(st.Teams[b])-1)
				st.restore(a, i, x)
			}
		}
	}
	return broken, false
}

// restore puts a ticket back where it was.
func (st *state) restore(slot, i int, t int32) {
	st.Put(t, slot)
	team := st.Teams[slot]
	copy(team[i+1:], team[i:len(team)-1])
	team[i] = t
}

// replace lets a candidate take the place of a ticket of the same size.
func (r *repair) replace(broken float64) (float64, bool) {
	st, p := r.state, r.Pool
	for c := range r.cands {
		k := r.cands[c].ticket
		if st.in(k) {
			continue
		}
		for a := range st.Teams {
			for i, x := range st.Teams[a] {
				if r.budget.left <= 0 {
					return broken, false
				}
				if x == st.anchor || p.Size(x) != p.Size(k) || !st.may(k).Has(a) {
					continue
				}
				st.Teams[a][i] = k
				st.rebound()
				if st.withinWindows() && !st.Apart(k) {
					if next, ok := r.look(broken); ok {
						return next, true
					}
				}
				st.Teams[a][i] = x
			}
		}
	}
	st.rebound()
	return broken, false
}

func (st *state) in(t int32) bool {
	for _, team := range st.Teams {
		if slices.Contains(team, t) {
			return true
		}
	}
	return false
}

func (st *state) withinWindows() bool {
	for i, most := range st.most {
		if st.hi[i]-st.lo[i] > most {
			return false
		}
	}
	return true
}

func (r *repair) join(broken float64) (float64, bool) {
	st, p := r.state, r.Pool
	if st.Full() {
		return broken, false
	}
	st.rebound()
	for c := range r.cands {
		k := r.cands[c].ticket
		if st.in(k) || !st.near(k) || st.Apart(k) {
			continue
		}
		for a, slot := range st.Plan.Slots {
			if r.budget.left <= 0 {
				return broken, false
			}
			if !st.may(k).Has(a) || st.Fill[a]+p.Size(k) > slot.Max {
				continue
			}
			st.Put(k, a)
			if next, ok := r.look(broken); ok {
				return next, true
			}
			st.Drop(a, len(st.Teams[a])-1)
		}
	}
	return broken, false
}

func (r *repair) leave(broken float64) (float64, bool) {
	st, p := r.state, r.Pool
	for a := range st.Teams {
		for i := 0; i < len(st.Teams[a]); i++ {
			x := st.Teams[a][i]
			if r.budget.left <= 0 {
				return broken, false
			}
			if x == st.anchor || st.Fill[a]-p.Size(x) < st.Plan.Slots[a].Min {
				continue
			}
			st.Drop(a, i)
			if next, ok := r.look(broken); ok {
				return next, true
			}
			st.restore(a, i, x)
		}
	}
	return broken, false
}
