package index

import (
	"cmp"
	"slices"
	"sort"
)

// bucketSize is how many entries with different keys a bucket holds at most.
const bucketSize = 128

// ordered holds entries by key. They stand in buckets, which are in order while
// their entries are not: so an entry leaves without a search. A bucket of entries
// that all have one key has no limit, so that a value that everyone shares costs
// no more than others.
//
// Of two neighbours one has more than a quarter of bucketSize, or they have more
// than half of it together: others are merged. So there are at most a few more
// than 8 buckets for each bucketSize entries, and inserting into the slice of
// buckets costs little, and seldom.
type ordered[T any] struct {
	name    string
	buckets []bucket[T]
}

// bucket holds the entries with keys of at least from and below the next
// bucket's. It is never empty.
type bucket[T any] struct {
	from uint64
	list *list[T]
	// uniform says that all keys equal from.
	uniform bool
}

// part is some consecutive buckets of an order, and those of their entries whose
// keys are in a range.
type part[T any] struct {
	buckets []bucket[T]
	keys    keyRange
}

func (o *ordered[T]) all() part[T] { return part[T]{buckets: o.buckets, keys: everything} }

// part finds the buckets that can hold keys of the range, and counts the entries
// in them; it stops once there are as many as the limit. passed are the buckets
// that it looked at.
func (o *ordered[T]) part(r keyRange, limit int) (p part[T], size, passed int) {
	if r.from > r.to {
		return p, 0, 0
	}
	first := max(o.find(r.from), 0)
	end := first
	for end < len(o.buckets) && o.buckets[end].from <= r.to {
		size += o.buckets[end].list.len()
		end++
		if size >= limit {
			break
		}
	}
	return part[T]{buckets: o.buckets[first:end], keys: r}, size, end - first
}

func (p part[T]) appendTo(dst []T) []T {
	for _, b := range p.buckets {
		dst = b.list.appendTo(dst, p.keys)
	}
	return dst
}

// find returns the last bucket that begins at the key or before, -1 when there
// is none.
func (o *ordered[T]) find(key uint64) int {
	n := len(o.buckets)
	if n > 0 && o.buckets[n-1].from <= key {
		return n - 1 // as nearly always with creation times
	}
	return sort.Search(n, func(i int) bool { return o.buckets[i].from > key }) - 1
}

func (o *ordered[T]) add(e *Entry[T], key uint64) {
	i := o.find(key)
	if i >= 0 && o.divide(i, key) {
		i = o.find(key)
	}
	if i < 0 || !o.buckets[i].takes(key) {
		// There is nothing between the bucket and the next.
		i++
		if i == len(o.buckets) || !o.buckets[i].takes(key) {
			o.buckets = slices.Insert(o.buckets, i, bucket[T]{from: key, list: &list[T]{home: o}, uniform: true})
		}
	}
	b := &o.buckets[i]
	b.uniform = b.uniform && key == b.from
	b.from = min(b.from, key)
	b.list.add(e, key)
}

// takes reports whether the bucket may take an entry with this key.
func (b *bucket[T]) takes(key uint64) bool {
	return b.list.len() < bucketSize || b.uniform && key == b.from
}

// divide makes two of a bucket that is full, unless all its keys are one, or it
// is the last and the given key is above all of its keys. It reports whether it
// has changed anything.
func (o *ordered[T]) divide(i int, key uint64) bool {
	b := &o.buckets[i]
	if b.uniform || b.list.len() < bucketSize {
		return false
	}
	items := b.list.tail // all of them: bucketSize < chunk
	slices.SortFunc(items, func(a, b item[T]) int { return cmp.Compare(a.key, b.key) })
	for at := range items {
		items[at].entry.places[items[at].place].at = uint32(at)
	}
	lowest, highest := items[0].key, items[len(items)-1].key
	b.from, b.uniform = lowest, lowest == highest
	if b.uniform || i == len(o.buckets)-1 && key > highest {
		return true
	}
	at := split(items)
	upper := &list[T]{home: o, tail: make([]item[T], 0, bucketSize)}
	for _, it := range items[at:] {
		upper.move(it)
	}
	clear(items[at:])
	b.list.tail = shrink(items[:at])
	b.uniform = lowest == items[at-1].key
	from := upper.tail[0].key
	o.buckets = slices.Insert(o.buckets, i+1, bucket[T]{from: from, list: upper, uniform: from == highest})
	// One of the halves is small when most of the entries share a key.
	o.merge(i + 1)
	if i > 0 {
		o.merge(i - 1)
	}
	return true
}

// split finds the place nearest to the middle between two different keys of sorted
// items that are not all the same.
func split[T any](items []item[T]) int {
	middle := len(items) / 2
	for d := 0; ; d++ {
		for _, at := range [...]int{middle - d, middle + d} {
			if at > 0 && at < len(items) && items[at-1].key != items[at].key {
				return at
			}
		}
	}
}

// dropped removes a bucket that is empty, and merges one that is nearly so with
// a neighbour.
func (o *ordered[T]) dropped(x *Index[T], l *list[T], key uint64) {
	if l.len() > bucketSize/4 {
		return
	}
	i := o.find(key)
	if l.len() == 0 {
		o.remove(i)
		if len(o.buckets) == 0 && o != x.created {
			x.doubles.delete(o.name)
		}
		return
	}
	if !o.merge(i) && i > 0 {
		o.merge(i - 1)
	}
}

// merge makes one of a bucket and the next if they are small.
func (o *ordered[T]) merge(i int) bool {
	if i+1 >= len(o.buckets) {
		return false
	}
	b, next := &o.buckets[i], o.buckets[i+1].list
	if b.list.len()+next.len() > bucketSize/2 {
		return false
	}
	for _, it := range next.tail {
		b.list.move(it)
	}
	b.uniform = false
	o.remove(i + 1)
	return true
}

func (o *ordered[T]) remove(i int) { o.buckets = shrink(slices.Delete(o.buckets, i, i+1)) }
