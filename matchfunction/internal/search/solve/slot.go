package solve

import (
	"cmp"
	"slices"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/pkg/ruleset"
)

// add takes a ticket in if it fits beside those that are in and breaks no
// rule that adding others could not repair.
func (st *state) add(t int32) bool {
	p := st.Pool
	size := p.Size(t)
	if size > st.room || st.Total+size > st.Plan.Most || !st.near(t) || st.Apart(t) {
		return false
	}
	slot := st.needs(size, st.may(t))
	if slot < 0 && !st.repack(t) {
		if st.Plan.AnyTeam() {
			st.room = size - 1
		}
		return false
	}
	if slot >= 0 {
		st.Put(t, slot)
	}
	st.members = append(st.members, t)
	if st.BreaksGuards() {
		st.remove(t)
		st.members = st.members[:len(st.members)-1]
		return false
	}
	st.widen(t)
	return true
}

// remove takes a ticket out of whichever team it is in.
func (st *state) remove(t int32) {
	for slot, team := range st.Teams {
		if i := slices.Index(team, t); i >= 0 {
			st.Drop(slot, i)
			return
		}
	}
}

// needs is the team for the next party, of those that it may be in and that
// have room: first those below their smallest size, of them the one with the
// most room, then the one with the least of what teams share. -1 if there is
// none. It is the order that FlexMatch documents.
func (st *state) needs(size int, may *compile.SlotSet) int {
	best := -1
	for i, p := range st.Plan.Slots {
		if !may.Has(i) || st.Fill[i]+size > p.Max {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		q := st.Plan.Slots[best]
		c := cmp.Or(
			cmp.Compare(lacks(p, st.Fill[i]), lacks(q, st.Fill[best])),
			cmp.Compare(p.Max-st.Fill[i], q.Max-st.Fill[best]),
		)
		if c > 0 || (c == 0 && st.sums[i] < st.sums[best]) {
			best = i
		}
	}
	return best
}

// lacks is 1 if a team of so many is below its smallest size, else 0.
func lacks(p ruleset.TeamSlot, players int) int {
	if !p.Bots && players < p.Min {
		return 1
	}
	return 0
}

// repack puts all tickets and one more into the teams anew, the largest
// parties first. If they do not fit, nothing changes.
func (st *state) repack(t int32) bool {
	p := st.Pool
	if p.Size(t) == 1 && st.Plan.AnyTeam() {
		return false // there is no room at all
	}
	st.order = append(append(st.order[:0], st.members...), t)
	slices.SortStableFunc(st.order, func(a, b int32) int { return cmp.Compare(p.Size(b), p.Size(a)) })
	return st.deal(st.order)
}

// deal puts tickets into the teams in their order. If they do not fit, the
// teams stay as they were.
func (st *state) deal(tickets []int32) bool {
	p := st.Pool
	for i := range st.Teams {
		st.saved[i] = append(st.saved[i][:0], st.Teams[i]...)
	}
	st.empty()
	for _, t := range tickets {
		slot := st.needs(p.Size(t), st.may(t))
		if slot < 0 {
			st.undeal()
			return false
		}
		st.Put(t, slot)
		if st.Plan.Balance >= 0 {
			st.sums[slot] += p.Value(st.Plan.Balance, t) * float64(p.Size(t))
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
			st.Put(back, i)
		}
	}
}

// empty takes all tickets out of the teams; those who already play stay.
func (st *state) empty() {
	p := st.Pool
	clear(st.sums)
	for i, team := range st.Teams {
		for _, t := range team {
			st.Fill[i] -= p.Size(t)
			st.Total -= p.Size(t)
		}
		st.Teams[i] = team[:0]
		if st.Plan.Balance >= 0 {
			for _, s := range st.Pinned[i] {
				for _, x := range p.Numbers[st.Plan.Balance][s[0]:s[1]] {
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
	if st.Plan.Balance < 0 || len(st.Teams) < 2 || st.Plan.Most == len(st.Teams) {
		return
	}
	p := st.Pool
	col := st.Plan.Balance
	st.order = append(st.order[:0], st.members...)
	slices.SortFunc(st.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(p.Size(b), p.Size(a)), cmp.Compare(p.Value(col, b), p.Value(col, a)), cmp.Compare(a, b))
	})
	if !st.deal(st.order) {
		return
	}
	if !st.Enough() {
		st.undeal()
	}
	for range mostBalanced {
		changed := false
		for a := range st.Teams {
			for b := range st.Teams[:a] {
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
	p, col := st.Pool, st.Plan.Balance
	if st.Fill[a] == 0 || st.Fill[b] == 0 {
		return false
	}
	sumA, sumB := st.sum(a), st.sum(b)
	na, nb := float64(st.Fill[a]), float64(st.Fill[b])
	changed := false
	for i, x := range st.Teams[a] {
		for j, y := range st.Teams[b] {
			if p.Size(x) != p.Size(y) || !st.may(x).Has(b) || !st.may(y).Has(a) {
				continue
			}
			d := (p.Value(col, y) - p.Value(col, x)) * float64(p.Size(x))
			if now, then := sumA/na-sumB/nb, (sumA+d)/na-(sumB-d)/nb; abs(then) < abs(now)*(1-1e-9) {
				st.Teams[a][i], st.Teams[b][j] = y, x
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
	for from, to := range st.Players(slot) {
		for _, x := range st.Pool.Numbers[st.Plan.Balance][from:to] {
			sum += x
		}
	}
	return sum
}

func abs(x float64) float64 { return max(x, -x) }

// recount has the numbers of players follow the teams.
func (st *state) recount() {
	st.Total = 0
	for slot := range st.Teams {
		st.Fill[slot] = 0
		for from, to := range st.Players(slot) {
			st.Fill[slot] += int(to - from)
		}
		st.Total += st.Fill[slot]
	}
}
