package search

import (
	"cmp"
	"slices"

	"torikumi/pkg/ruleset"
)

// add takes a ticket in if it fits beside those that are in and breaks no
// rule that adding others could not repair.
func (st *state) add(t int32) bool {
	p := st.run.pool
	size := p.size(t)
	if size > st.room || st.total+size > st.plan.most || !st.near(t) || st.apart(t) {
		return false
	}
	slot := st.needs(size, st.run.may(t))
	if slot < 0 && !st.repack(t) {
		if len(st.plan.fits) == 0 {
			st.room = size - 1
		}
		return false
	}
	if slot >= 0 {
		st.put(t, slot)
	}
	st.members = append(st.members, t)
	if st.breaksIncremental() {
		st.remove(t)
		st.members = st.members[:len(st.members)-1]
		return false
	}
	st.widen(t)
	return true
}

// breaksIncremental reports whether a rule is broken that adding tickets can't repair.
func (st *state) breaksIncremental() bool {
	if len(st.plan.incremental) == 0 {
		return false
	}
	st.filling = true
	defer func() { st.filling = false }()
	return st.broken(st.plan.incremental) > 0
}

// apart reports whether a custom rule keeps the ticket from any other that is in, or
// one of its players is in the match already: who has left a match that is
// filled up may be back before that is known.
func (st *state) apart(t int32) bool {
	if st.backfill >= 0 && st.run.pool.shared(t, st.backfill) {
		return true
	}
	if len(st.plan.pairwise) == 0 {
		return false
	}
	k := st.run.pool.tickets
	for _, other := range st.all() {
		for _, r := range st.plan.pairwise {
			if other != t && r.pairwise(&k[t], &k[other]) {
				return true
			}
		}
	}
	return false
}

func (p *pool) shared(a, b int32) bool {
	for i := range p.tickets[a].Players {
		for j := range p.tickets[b].Players {
			if p.tickets[a].Players[i].ID == p.tickets[b].Players[j].ID {
				return true
			}
		}
	}
	return false
}

// remove takes a ticket out of whichever team it is in.
func (st *state) remove(t int32) {
	for slot, team := range st.teams {
		if i := slices.Index(team, t); i >= 0 {
			st.drop(slot, i)
			return
		}
	}
}

// needs is the team for the next party, of those that it may be in and that
// have room: first those below their smallest size, of them the one with the
// most room, then the one with the least of what teams share. -1 if there is
// none. It is the order that FlexMatch documents.
func (st *state) needs(size int, may *slotSet) int {
	best := -1
	for i, p := range st.plan.slots {
		if !may.has(i) || st.fill[i]+size > p.Max {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		q := st.plan.slots[best]
		c := cmp.Or(
			cmp.Compare(one(lacks(p, st.fill[i])), one(lacks(q, st.fill[best]))),
			cmp.Compare(p.Max-st.fill[i], q.Max-st.fill[best]),
		)
		if c > 0 || (c == 0 && st.sums[i] < st.sums[best]) {
			best = i
		}
	}
	return best
}

// lacks reports whether a team of so many is below its smallest size.
func lacks(p ruleset.TeamSlot, players int) bool { return !p.Bots && players < p.Min }

// repack puts all tickets and one more into the teams anew, the largest
// parties first. If they do not fit, nothing changes.
func (st *state) repack(t int32) bool {
	p := st.run.pool
	if p.size(t) == 1 && len(st.plan.fits) == 0 {
		return false // there is no room at all
	}
	st.order = append(append(st.order[:0], st.members...), t)
	slices.SortStableFunc(st.order, func(a, b int32) int { return cmp.Compare(p.size(b), p.size(a)) })
	return st.deal(st.order)
}

// deal puts tickets into the teams in their order. If they do not fit, the
// teams stay as they were.
func (st *state) deal(tickets []int32) bool {
	p := st.run.pool
	for i := range st.teams {
		st.saved[i] = append(st.saved[i][:0], st.teams[i]...)
	}
	st.empty()
	for _, t := range tickets {
		slot := st.needs(p.size(t), st.run.may(t))
		if slot < 0 {
			st.undeal()
			return false
		}
		st.put(t, slot)
		if st.plan.balance >= 0 {
			st.sums[slot] += p.value(st.plan.balance, t) * float64(p.size(t))
		}
	}
	clear(st.sums)
	return true
}

// undeal puts the tickets back to where they were before deal.
func (st *state) undeal() {
	st.empty()
	clear(st.sums)
	for i, team := range st.saved {
		for _, back := range team {
			st.put(back, i)
		}
	}
}

// empty takes all tickets out of the teams; those who already play stay.
func (st *state) empty() {
	p := st.run.pool
	clear(st.sums)
	for i, team := range st.teams {
		for _, t := range team {
			st.fill[i] -= p.size(t)
			st.total -= p.size(t)
		}
		st.teams[i] = team[:0]
		if st.plan.balance >= 0 {
			for from, to := range st.pinned[i].spans() {
				for _, x := range p.numbers[st.plan.balance][from:to] {
					st.sums[i] += x
				}
			}
		}
	}
}

// mostBalanced bounds the passes over all pairs of teams.
const mostBalanced = 4

// balance deals the tickets anew so that the means of the teams lie close in
// what they should share.
func (st *state) balance() {
	if st.plan.balance < 0 || len(st.teams) < 2 || st.plan.most == len(st.teams) {
		return
	}
	p := st.run.pool
	col := st.plan.balance
	st.order = append(st.order[:0], st.members...)
	slices.SortFunc(st.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(p.size(b), p.size(a)), cmp.Compare(p.value(col, b), p.value(col, a)), cmp.Compare(a, b))
	})
	if !st.deal(st.order) {
		return
	}
	if !st.enough() {
		st.undeal()
	}
	for range mostBalanced {
		changed := false
		for a := range st.teams {
			for b := range st.teams[:a] {
				changed = st.closer(a, b) || changed
			}
		}
		if !changed {
			return
		}
	}
}

// closer swaps tickets of the same size between two teams as long as that
// brings their means closer. It reports whether it has.
func (st *state) closer(a, b int) bool {
	p, col := st.run.pool, st.plan.balance
	if st.fill[a] == 0 || st.fill[b] == 0 {
		return false
	}
	sumA, sumB := st.sum(a), st.sum(b)
	na, nb := float64(st.fill[a]), float64(st.fill[b])
	changed := false
	for i, x := range st.teams[a] {
		for j, y := range st.teams[b] {
			if p.size(x) != p.size(y) || !st.run.may(x).has(b) || !st.run.may(y).has(a) {
				continue
			}
			d := (p.value(col, y) - p.value(col, x)) * float64(p.size(x))
			if now, then := sumA/na-sumB/nb, (sumA+d)/na-(sumB-d)/nb; abs(then) < abs(now)*(1-1e-9) {
				st.teams[a][i], st.teams[b][j] = y, x
				x = y
				sumA, sumB, changed = sumA+d, sumB-d, true
			}
		}
	}
	return changed
}

// sum is that of a team in what the teams should share.
func (st *state) sum(slot int) float64 {
	sum := 0.0
	for from, to := range st.players(slot) {
		for _, x := range st.run.pool.numbers[st.plan.balance][from:to] {
			sum += x
		}
	}
	return sum
}

func abs(x float64) float64 { return max(x, -x) }
