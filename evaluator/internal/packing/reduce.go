package packing

// reduce returns the sets that are not dominated, in their order. A set is
// dominated by one that comes before it and has no item that it has not: in any
// choice the other could stand in its place. The greedy choice takes none of
// them either.
func reduce(p *Problem, incidence table, b *budget) []int32 {
	rarest := make([]int32, len(p.Weights)) // item of each set, or -1
	for v := range rarest {
		rarest[v] = -1
		for _, x := range p.of(int32(v)) {
			if r := rarest[v]; r < 0 || len(incidence.of(x)) < len(incidence.of(r)) {
				rarest[v] = x
			}
		}
	}
	// A set that dominates v is found under its rarest item, which v has.
	heads, next := make([]int32, p.NumItems), make([]int32, len(p.Weights))
	for x := range heads {
		heads[x] = -1
	}
	has := make([]int32, p.NumItems) // the last set, plus 1, that has the item
	kept := make([]int32, 0, len(p.Weights))
	for v := range int32(len(p.Weights)) {
		if !b.over() && dominated(p, v, heads, next, has, b) {
			continue
		}
		kept = append(kept, v)
		if r := rarest[v]; r >= 0 {
			heads[r], next[v] = v, heads[r]
		}
	}
	return kept
}

func dominated(p *Problem, v int32, heads, next, has []int32, b *budget) bool {
	items := p.of(v)
	for _, x := range items {
		has[x] = v + 1
	}
	for _, x := range items {
		for u := heads[x]; u >= 0; u = next[u] {
			b.spend(1)
			if len(p.of(u)) <= len(items) && within(p.of(u), has, v+1, b) {
				return true
			}
		}
		if !b.spend(1) {
			return false
		}
	}
	return false
}

// within reports whether all items are marked.
func within(items, has []int32, mark int32, b *budget) bool {
	for i, x := range items {
		if has[x] != mark {
			b.spend(i)
			return false
		}
	}
	return true
}
