package packing

const (
	// firstCompaction is the length of a trace that is compacted first.
	firstCompaction = 1 << 16
	// longestTrace bounds a trace that can't be made shorter: 32 MB.
	longestTrace = 1 << 22
)

// trace remembers what the states of a sweep have taken, as a tree: they share
// most of it.
type trace struct {
	steps []taking
	next  int     // the length at which to compact
	moved []int32 // where each step has gone, plus 1
}

// taking is that a set was taken after another one, or as the first (-1).
type taking struct{ before, set int32 }

func (t *trace) reset() { t.steps, t.next = t.steps[:0], firstCompaction }

// add returns the number of a new step behind end.
func (t *trace) add(end, v int32) int32 {
	t.steps = append(t.steps, taking{end, v})
	return int32(len(t.steps) - 1)
}

// compact forgets, from time to time, what leads to none of the ends, and
// changes those to the new numbers. It is false if too much is left.
func (t *trace) compact(ends []int32) bool {
	if len(t.steps) < t.next {
		return true
	}
	t.moved = resize(t.moved, len(t.steps))
	clear(t.moved)
	for _, e := range ends {
		for ; e >= 0 && t.moved[e] == 0; e = t.steps[e].before {
			t.moved[e] = 1
		}
	}
	n := int32(0)
	for i, s := range t.steps { // what comes before a step has a lower number
		if t.moved[i] == 0 {
			continue
		}
		if s.before >= 0 {
			s.before = t.moved[s.before] - 1
		}
		t.steps[n] = s
		n++
		t.moved[i] = n
	}
	t.steps = t.steps[:n]
	for i, e := range ends {
		if e >= 0 {
			ends[i] = t.moved[e] - 1
		}
	}
	t.next = max(firstCompaction, 2*len(t.steps))
	return len(t.steps) <= longestTrace/2
}

// taken tells which of n sets were taken up to end.
func (t *trace) taken(end int32, n int) []bool {
	out := make([]bool, n)
	for ; end >= 0; end = t.steps[end].before {
		out[t.steps[end].set] = true
	}
	return out
}
