package solve

import (
	"cmp"
	"slices"
)

// inOrder fills the teams with the candidates in their order.
func (a *anchor) inOrder() bool {
	st := a.state
	if !a.begin() {
		return false
	}
	for _, c := range a.cands {
		if a.budget.spent() || st.Total == a.plan.Most || st.room == 0 {
			break
		}
		a.budget.left--
		st.add(c.ticket)
	}
	return a.storeBest()
}

// largest fills the teams with the largest parties first, as solos close the
// gaps that parties leave, from the nearest neighbours who are so many
// players.
func (a *anchor) largest(players int) bool {
	a.gather(players)
	a.bySize()
	return a.inOrder()
}

// bySize sorts the candidates, the largest parties first; those of one size
// stay in order.
func (a *anchor) bySize() {
	clear(a.counts)
	for _, c := range a.cands {
		n := a.pool.Size(c.ticket)
		for len(a.counts) <= n {
			a.counts = append(a.counts, 0)
		}
		a.counts[n]++
	}
	at := 0
	for n := len(a.counts) - 1; n >= 0; n-- {
		a.counts[n], at = at, at+a.counts[n]
	}
	a.sorted = append(a.sorted[:0], a.cands...)
	for _, c := range a.sorted {
		n := a.pool.Size(c.ticket)
		a.cands[a.counts[n]] = c
		a.counts[n]++
	}
}

// inSortedOrder fills the teams in the order of the sorting rules.
func (a *anchor) inSortedOrder() bool {
	a.gather(maxPlayers)
	for i := len(a.plan.Sorts) - 1; i >= 0; i-- { // the first rule counts most
		o := &a.plan.Sorts[i]
		for j := range a.cands {
			a.cands[j].order = o.Rank(a.pool, a.ticket, a.cands[j].ticket)
		}
		slices.SortStableFunc(a.cands, func(a, b candidate) int {
			if o.Ascending {
				return cmp.Compare(a.order, b.order)
			}
			return cmp.Compare(b.order, a.order)
		})
	}
	if a.inOrder() {
		return true
	}
	a.bySize()
	return a.inOrder()
}
