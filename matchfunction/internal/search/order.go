package search

import (
	"cmp"
	"slices"

	"torikumi/pkg/ruleset"
)

func (r *run) inOrder(t int32, region int, budget *int) bool {
	st := r.state
	if !r.begin(t, region) {
		return false
	}
	for _, c := range r.cands {
		if r.spent(budget) || st.total == r.plan.most || st.room == 0 {
			break
		}
		*budget--
		st.add(c.ticket)
	}
	return r.storeBest(region, budget)
}

// largest fills the teams with the largest parties first, as solos close the
// gaps that parties leave, from the nearest neighbours who are so many
// players.
func (r *run) largest(t int32, g *group, x float64, region int, players int, budget *int) bool {
	r.gather(t, g, x, players, budget)
	r.bySize()
	return r.inOrder(t, region, budget)
}

// bySize sorts the candidates, the largest parties first; those of one size
// stay in order.
func (r *run) bySize() {
	clear(r.counts)
	for _, c := range r.cands {
		n := r.pool.size(c.ticket)
		for len(r.counts) <= n {
			r.counts = append(r.counts, 0)
		}
		r.counts[n]++
	}
	at := 0
	for n := len(r.counts) - 1; n >= 0; n-- {
		r.counts[n], at = at, at+r.counts[n]
	}
	r.sorted = append(r.sorted[:0], r.cands...)
	for _, c := range r.sorted {
		n := r.pool.size(c.ticket)
		r.cands[r.counts[n]] = c
		r.counts[n]++
	}
}

// inSortedOrder fills the teams in the order of the sorting rules.
func (r *run) inSortedOrder(t int32, g *group, x float64, region int, budget *int) bool {
	r.gather(t, g, x, maxPlayers, budget)
	for i := len(r.plan.sorts) - 1; i >= 0; i-- { // the first rule counts most
		o := &r.plan.sorts[i]
		for j := range r.cands {
			r.cands[j].order = r.rank(o, t, r.cands[j].ticket)
		}
		slices.SortStableFunc(r.cands, func(a, b candidate) int {
			if o.ascending {
				return cmp.Compare(a.order, b.order)
			}
			return cmp.Compare(b.order, a.order)
		})
	}
	if r.inOrder(t, region, budget) {
		return true
	}
	r.bySize()
	return r.inOrder(t, region, budget)
}

// rank is what a sorting rule sorts a ticket by, next to the anchor: its
// number, or its number's distance to the anchor's; for words, 0 if they are
// the anchor's and 1 if not.
func (r *run) rank(o *order, anchor, t int32) float64 {
	p := r.pool
	var a, b float64
	switch o.kind {
	case ruleset.Number:
		a, b = p.value(o.column, anchor), p.value(o.column, t)
	case ruleset.StringNumberMap:
		key, ok := extreme(p.maps[o.column][p.first[anchor]], o.key)
		if !ok {
			return 0
		}
		a, b = p.mapValue(o, anchor, key), p.mapValue(o, t, key)
	case ruleset.String:
		return one(p.strings[o.column][p.first[anchor]] != p.strings[o.column][p.first[t]])
	default:
		return one(!slices.Equal(p.lists[o.column][p.first[anchor]], p.lists[o.column][p.first[t]]))
	}
	if o.absolute {
		return b
	}
	return abs(a - b)
}

// extreme is the key with the lowest or the highest value.
func extreme(m map[string]float64, which ruleset.MapKey) (string, bool) {
	best, found := "", false
	for k, v := range m {
		c := cmp.Compare(v, m[best])
		if which == ruleset.MaxValue {
			c = -c
		}
		if !found || c < 0 || (c == 0 && k < best) {
			best, found = k, true
		}
	}
	return best, found
}

// mapValue is the aggregate of a ticket's values at a key, 0 where it is
// missing.
func (p *pool) mapValue(o *order, t int32, key string) float64 {
	var v []float64
	for _, m := range p.maps[o.column][p.first[t]:p.first[t+1]] {
		v = append(v, m[key])
	}
	return aggregateNumbers(o.agg, v)
}
