package packing

// mostFresh is the last of an orderer's buckets: it has all sets with that many
// fresh items or more.
const mostFresh = 255

// orderer finds the order in which a sweep goes through a component: one in which
// few items are open at a time, that is, begun and to come again.
type orderer struct {
	fresh   []int32 // for each set, how many of its items are not begun
	placed  []bool
	begun   []bool
	buckets [mostFresh + 1][]int32 // sets by the number of fresh items
	heads   [mostFresh + 1]int     // what has been read of each bucket, first in first out
	top     int                    // the last of them that this component needs
	order   []int32
}

// run returns an order that begins at one end of the component. The cost is one step
// for each item of a set.
func (o *orderer) run(q *component, b *budget) []int32 {
	// What comes last from anywhere is at an end.
	from := o.grow(q, 0)
	end := from[len(from)-1]
	b.spend(2 * len(q.sets.values))
	return o.grow(q, end)
}

// grow goes from a set always to one that begins the fewest items, and among
// those to the one that has waited longest.
func (o *orderer) grow(q *component, first int32) []int32 {
	n, largest := len(q.weights), 0
	o.fresh, o.placed, o.begun = resize(o.fresh, n), resize(o.placed, n), resize(o.begun, q.numItems)
	clear(o.placed)
	clear(o.begun)
	for v := range o.fresh {
		o.fresh[v] = int32(len(q.sets.of(int32(v))))
		largest = max(largest, int(o.fresh[v]))
	}
	o.top = min(largest, mostFresh)
	for i := range o.top + 1 {
		o.buckets[i], o.heads[i] = o.buckets[i][:0], 0
	}
	o.order = o.order[:0]
	for v := first; v >= 0; v = o.next() {
		o.place(q, v)
	}
	return o.order
}

func (o *orderer) place(q *component, v int32) {
	o.placed[v] = true
	o.order = append(o.order, v)
	for _, x := range q.sets.of(v) {
		if o.begun[x] {
			continue
		}
		o.begun[x] = true
		for _, u := range q.inc.of(x) {
			o.fresh[u]--
			if !o.placed[u] {
				f := min(o.fresh[u], mostFresh)
				o.buckets[f] = append(o.buckets[f], u)
			}
		}
	}
}

// next returns the set to place, or -1 if there is none.
func (o *orderer) next() int32 {
	for f := range o.top + 1 {
		for o.heads[f] < len(o.buckets[f]) {
			v := o.buckets[f][o.heads[f]]
			o.heads[f]++
			if !o.placed[v] && min(int(o.fresh[v]), mostFresh) == f {
				return v
			}
		}
	}
	return -1
}
