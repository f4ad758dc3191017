package explain

import (
	"cmp"
	"iter"
	"maps"
	"slices"
)

// verdict is what becomes of an entry in line.
type verdict int

const (
	// leave takes it out.
	leave verdict = iota
	// stay keeps its place.
	stay
	// ask means that it can be asked for.
	ask
)

// waiting are the entries in line, by queue. It belongs to the loop.
type waiting struct {
	queues map[string][]*entry
	// first rotates, so that among more queues than there are turns all get
	// some.
	first int
}

func newWaiting() *waiting { return &waiting{queues: make(map[string][]*entry)} }

// add puts an entry at the end of its queue's line.
func (w *waiting) add(e *entry) { w.queues[e.queue] = append(w.queues[e.queue], e) }

// all yields every entry in line.
func (w *waiting) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, line := range w.queues {
			for _, e := range line {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// pick returns up to n entries that judge wants asked and open still finds so,
// from the beginnings of the lines. Queues that can fill an even share get one,
// and what the others leave is shared among them.
func (w *waiting) pick(n int, judge func(*entry) verdict, open func(*entry) bool) []*entry {
	names := slices.Sorted(maps.Keys(w.queues))
	if len(names) > 0 {
		w.first = (w.first + 1) % len(names)
		names = slices.Concat(names[w.first:], names[:w.first])
	}
	var candidates [][]*entry
	for _, name := range names {
		if c := w.sweep(name, judge); len(c) > 0 {
			candidates = append(candidates, c)
		}
	}
	slices.SortStableFunc(candidates, func(a, b []*entry) int { return cmp.Compare(len(a), len(b)) })
	var picked []*entry
	for i, line := range candidates {
		others := len(candidates) - i
		most := len(picked) + (n-len(picked)+others-1)/others
		for _, e := range line {
			if len(picked) == most {
				break
			}
			if open(e) {
				picked = append(picked, e)
			}
		}
	}
	return picked
}

// sweep sends those back whose turn is over, takes those out that leave, and
// returns those that can be asked for.
func (w *waiting) sweep(name string, judge func(*entry) verdict) (candidates []*entry) {
	old := w.queues[name]
	line, last := make([]*entry, 0, len(old)), []*entry(nil)
	for _, e := range old {
		if e.back {
			e.back = false
			last = append(last, e)
		} else {
			line = append(line, e)
		}
	}
	line = append(line, last...)
	line = slices.DeleteFunc(line, func(e *entry) bool {
		v := judge(e)
		if v == ask {
			candidates = append(candidates, e)
		}
		return v == leave
	})
	if len(line) == 0 {
		delete(w.queues, name)
	} else {
		w.queues[name] = line
	}
	return candidates
}
