package packing

const (
	// mostStates is the largest number of states that a sweep follows.
	mostStates = 1 << 13
	// leastStates, for each word of a mask: where fewer can be afforded, the
	// steps are spent better on local search.
	leastStates = 48
	// indexSize is a power of two, a few times what two steps can leave.
	indexSize = 4 * mostStates
	// mostWords bounds how many items may be open, to 64 times this.
	mostWords = 64
	// surge is how many times its share of the budget one position may take:
	// wide places are short.
	surge = 4
)

// sweep goes through the sets of a part in an order, and follows all choices at
// once. Of a choice, only which of the open items it has used matters for what
// comes; so of all choices that used the same ones the best is enough. As long
// as all of these states are followed, the best at the end is the best there is
// (dynamic programming over a path decomposition). If there are too many, those
// that look best go on, and the result is a good choice (beam search).
type sweep struct {
	orderer orderer
	last    []int32 // for each item, the position of its last set
	slot    []int32 // the bit of each item that has been open, or -1
	free    []int32 // bits that no open item has
	words   int     // length of a mask
	using   []uint64
	closing []uint64
	now     states
	then    states
	trace   trace
}

// run returns which sets to take, and whether that is the best there is; nil if
// the component is too wide for the budget, of which it takes about half at most.
func (s *sweep) run(q *component, greedy []bool, b *budget) (taken []bool, exact bool) {
	order := s.orderer.run(q, b)
	if s.words = s.width(q, order); s.words > mostWords {
		return nil, false
	}
	reserve := b.left / 2
	if b.over() || s.limit(b.left-reserve, len(order)) < leastStates*s.words {
		return nil, false
	}
	price := s.start(q, greedy)
	exact = true
	for at, v := range order {
		limit := s.limit(b.left-reserve, len(order)-at)
		s.step(q, int32(at), v, b)
		s.now, s.then = s.then, s.now
		if len(s.now.sums) > limit {
			s.now.prune((limit+1)/2, price)
			exact = false
		}
		if b.cut || !s.trace.compact(s.now.ends) {
			return nil, false
		}
	}
	// Nothing is open any more, so there is one state.
	return s.trace.taken(s.now.ends[0], len(order)), exact
}

// limit is how many states may be followed at a position, with so many steps
// for all positions that are left.
func (s *sweep) limit(steps int64, positions int) int {
	each := steps * surge / int64(3*(s.words+1)*positions)
	return int(min(mostStates, max(1, each)))
}

// width finds out which set is the last of each item, and how many words a mask
// of the open items needs.
func (s *sweep) width(q *component, order []int32) int {
	s.last = resize(s.last, q.numItems)
	for at, v := range order {
		for _, x := range q.sets.of(v) {
			s.last[x] = int32(at)
		}
	}
	s.slot = resize(s.slot, q.numItems)
	for x := range s.slot {
		s.slot[x] = -1
	}
	open, most := 0, 1
	for at, v := range order {
		closed := 0
		for _, x := range q.sets.of(v) {
			if s.slot[x] < 0 {
				s.slot[x] = 0
				open++
			}
			if s.last[x] == int32(at) {
				closed++
			}
		}
		most = max(most, open)
		open -= closed
	}
	return (most + 63) / 64
}

// start makes the one state at the beginning, and returns what an item is worth:
// what the greedy choice makes of one.
func (s *sweep) start(q *component, greedy []bool) (price float64) {
	for x := range s.slot {
		s.slot[x] = -1
	}
	s.free = s.free[:0]
	for i := s.words*64 - 1; i >= 0; i-- {
		s.free = append(s.free, int32(i))
	}
	s.using, s.closing = resize(s.using, s.words), resize(s.closing, s.words)
	clear(s.using)
	clear(s.closing)
	s.trace.reset()
	s.now.reset(s.words)
	s.now.put(s.using, nil, s.closing)
	s.now.ends[0] = -1
	items := 0
	for v, t := range greedy {
		if t {
			items += len(q.sets.of(int32(v)))
		}
	}
	return q.sum(greedy) / float64(items)
}

// step goes from the states before v to those after it: each without v, and
// with it where its items are unused.
func (s *sweep) step(q *component, at, v int32, b *budget) {
	clear(s.using)
	clear(s.closing)
	for _, x := range q.sets.of(v) {
		if s.slot[x] < 0 {
			s.slot[x] = s.free[len(s.free)-1]
			s.free = s.free[:len(s.free)-1]
		}
		i := s.slot[x]
		s.using[i>>6] |= 1 << (i & 63)
		if s.last[x] == at {
			s.closing[i>>6] |= 1 << (i & 63)
		}
	}
	for _, x := range q.sets.of(v) { // only now, lest another item gets the bit
		if s.last[x] == at {
			s.free = append(s.free, s.slot[x])
		}
	}
	now, then := &s.now, &s.then
	then.reset(s.words)
	for i, sum := range now.sums {
		mask := now.mask(i)
		if k, old := then.put(mask, nil, s.closing); !old || sum > then.sums[k] {
			then.sums[k], then.ends[k] = sum, now.ends[i]
		}
		if !disjoint(mask, s.using) {
			continue
		}
		sum += q.weights[v]
		if k, old := then.put(mask, s.using, s.closing); !old || sum > then.sums[k] {
			then.sums[k], then.ends[k] = sum, s.trace.add(now.ends[i], v)
		}
	}
	b.spend((s.words + 1) * (len(now.sums) + len(then.sums)))
}

func disjoint(a, b []uint64) bool {
	for i := range a {
		if a[i]&b[i] != 0 {
			return false
		}
	}
	return true
}
