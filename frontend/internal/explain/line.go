package explain

import (
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

// line are the entries that are asked for in turn.
type line struct {
	entries []*entry
	// first rotates, so that among more queues than there are turns all get
	// some.
	first int
}

// sweep sends those to the end whose turn is over, takes out those that leave,
// and returns by queue those that can be asked for, in order.
func (l *line) sweep(judge func(*entry) verdict) [][]*entry {
	var kept, back []*entry
	queues := make(map[string][]*entry)
	for _, pass := range []*[]*entry{&l.entries, &back} {
		for _, e := range *pass {
			if e.back {
				e.back = false
				back = append(back, e)
				continue
			}
			v := judge(e)
			if v != leave {
				kept = append(kept, e)
			}
			if v == ask {
				queues[e.queue] = append(queues[e.queue], e)
			}
		}
	}
	l.entries = kept
	names := slices.Sorted(maps.Keys(queues))
	out := make([][]*entry, len(names))
	l.first++
	for i, name := range names {
		out[(i+l.first)%len(names)] = queues[name]
	}
	return out
}

// pick returns up to n entries that open agrees to, one of each queue in turn:
// queues that can fill an even share get one, and the others share what is left.
func pick(queues [][]*entry, n int, open func(*entry) bool) []*entry {
	var picked []*entry
	for len(queues) > 0 && len(picked) < n {
		for i := range queues {
			for taken := false; !taken && len(queues[i]) > 0 && len(picked) < n; queues[i] = queues[i][1:] {
				if taken = open(queues[i][0]); taken {
					picked = append(picked, queues[i][0])
				}
			}
		}
		queues = slices.DeleteFunc(queues, func(q []*entry) bool { return len(q) == 0 })
	}
	return picked
}
