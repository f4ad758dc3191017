package solve

import (
	"math"

	"torikumi/matchfunction/internal/search/compile"
)

// bucket holds the tickets that are alike in what has to be alike: the partition of
// the pool, the region, the teams that they may be in, and the size of the
// party. They are sorted by
// the sort key, so that those nearest to a number are found from there outwards.
// Tickets that are taken are passed over, and the way past them is remembered.
type bucket struct {
	may     *compile.SlotSet
	size    int
	tickets []int32
	keys    []float64
	// left and right are, by position, where to look for the next free one.
	left, right []int32
}

// group is what a match can be made of: the buckets of one partition and region.
type group struct{ buckets []*bucket }

func (b *bucket) seal() {
	n := len(b.tickets)
	b.left, b.right = make([]int32, n), make([]int32, n)
	for i := range n {
		b.left[i], b.right[i] = int32(i-1), int32(i+1)
	}
}

// below returns the nearest free position at or below i, or -1.
func (b *bucket) below(i int32, taken []bool) int32 {
	j := i
	for j >= 0 && taken[b.tickets[j]] {
		j = b.left[j]
	}
	for i >= 0 && i != j && taken[b.tickets[i]] {
		i, b.left[i] = b.left[i], j
	}
	return j
}

// above returns the nearest free position at or above i, or the length.
func (b *bucket) above(i int32, taken []bool) int32 {
	n := int32(len(b.tickets))
	j := i
	for j < n && taken[b.tickets[j]] {
		j = b.right[j]
	}
	for i < n && i != j && taken[b.tickets[i]] {
		i, b.right[i] = b.right[i], j
	}
	return j
}

// search returns the first position whose key is not below x.
func (b *bucket) search(x float64) int32 {
	lo, hi := 0, len(b.keys)
	for lo < hi {
		m := (lo + hi) / 2
		if b.keys[m] < x {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return int32(lo)
}

// cursor walks a bucket outwards from a number.
type cursor struct {
	*bucket
	size int // the bucket's
	l, r int32
	// ld and rd are the distances of the next tickets, infinite at the ends.
	ld, rd float64
}

// walk yields the free tickets of a group, nearest to x first.
type walk struct {
	taken   []bool
	x       float64
	cursors []cursor
	// from are the cursors at x.
	from []cursor
}

// to makes x, in a group, where the walk starts from. It stays so until one of the
// group's tickets is taken.
func (w *walk) to(buckets []*bucket, x float64, taken []bool) {
	w.taken, w.x, w.from = taken, x, w.from[:0]
	for _, b := range buckets {
		at := b.search(x)
		w.from = append(w.from, cursor{bucket: b, size: b.size})
		c := &w.from[len(w.from)-1]
		w.left(c, at-1)
		w.right(c, at)
	}
}

// start begins the walk, anew if it has begun.
func (w *walk) start() { w.cursors = append(w.cursors[:0], w.from...) }

// left goes on to the nearest free ticket at or below i.
func (w *walk) left(c *cursor, i int32) {
	c.l, c.ld = c.below(i, w.taken), math.Inf(1)
	if c.l >= 0 {
		c.ld = w.x - c.keys[c.l]
	}
}

func (w *walk) right(c *cursor, i int32) {
	c.r, c.rd = c.above(i, w.taken), math.Inf(1)
	if c.r < int32(len(c.keys)) {
		c.rd = c.keys[c.r] - w.x
	}
}

// next returns the nearest ticket and its key.
func (w *walk) next() (t int32, key float64, ok bool) {
	var best *cursor
	left, nearest := false, math.Inf(1)
	for i := range w.cursors {
		c := &w.cursors[i]
		if c.ld < nearest {
			best, left, nearest = c, true, c.ld
		}
		if c.rd < nearest {
			best, left, nearest = c, false, c.rd
		}
	}
	if best == nil {
		return 0, 0, false
	}
	if left {
		t, key = best.tickets[best.l], best.keys[best.l]
		w.left(best, best.l-1)
	} else {
		t, key = best.tickets[best.r], best.keys[best.r]
		w.right(best, best.r+1)
	}
	return t, key, true
}

// stop ends the walk on one side of x: there, nobody is near enough any more.
func (w *walk) stop(left bool) {
	for i := range w.cursors {
		if left {
			w.cursors[i].ld = math.Inf(1)
		} else {
			w.cursors[i].rd = math.Inf(1)
		}
	}
}

// only leaves the buckets of tickets that are not larger than room and may, unless it is
// nil, be in one of the teams.
func (w *walk) only(may *compile.SlotSet, room int) {
	kept := 0
	for i := range w.cursors {
		c := &w.cursors[i]
		if c.size > room || may != nil && !c.may.Meets(may) {
			continue
		}
		if kept != i {
			w.cursors[kept] = *c
		}
		kept++
	}
	w.cursors = w.cursors[:kept]
}
