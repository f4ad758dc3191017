package packing

// Search solves a problem by local search alone, also where a sweep is exact.
func Search(p *Problem, effort int) []bool {
	taken := make([]bool, len(p.Weights))
	sets := make([]int32, len(taken))
	for v := range sets {
		sets[v] = int32(v)
	}
	w := &solver{problem: p, local: make([]int32, p.NumItems)}
	w.load(sets)
	w.search.reset(&w.component)
	b := &budget{left: int64(effort * len(p.Items))}
	w.search.improve(sets, b)
	w.search.finish(b)
	copy(taken, w.search.taken)
	return taken
}
