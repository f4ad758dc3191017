package index

import "slices"

// chunk is how many entries stand in one piece of memory, so that no list is
// copied as a whole when it grows or shrinks.
const chunk = 1024

// list is an unordered list of entries. Each entry knows where it stands in it,
// so that it leaves at the same cost whatever the length.
type list[T any] struct {
	full [][]item[T] // each of chunk entries
	tail []item[T]
	home home[T]
}

// home is told when an entry has been dropped from one of its lists.
type home[T any] interface {
	dropped(x *Index[T], l *list[T], key uint64)
}

// item is an entry in a list, by its key where the list is a part of an order,
// and the number of the entry's place that points back here.
type item[T any] struct {
	entry *Entry[T]
	key   uint64
	place uint32
}

// place says where in which list an entry stands.
type place[T any] struct {
	list *list[T]
	at   uint32
}

func (l *list[T]) len() int { return len(l.full)*chunk + len(l.tail) }

// last is the entry added last, nil for an empty list.
func (l *list[T]) last() *Entry[T] {
	switch {
	case len(l.tail) > 0:
		return l.tail[len(l.tail)-1].entry
	case len(l.full) > 0:
		return l.full[len(l.full)-1][chunk-1].entry
	}
	return nil
}

func (l *list[T]) add(e *Entry[T], key uint64) {
	at := l.push(item[T]{entry: e, key: key, place: uint32(len(e.places))})
	e.places = append(e.places, place[T]{list: l, at: at})
}

// move adds an item of another list that forgets it.
func (l *list[T]) move(it item[T]) {
	it.entry.places[it.place] = place[T]{list: l, at: l.push(it)}
}

func (l *list[T]) push(it item[T]) (at uint32) {
	if len(l.tail) == chunk {
		l.full = append(l.full, l.tail)
		l.tail = make([]item[T], 0, chunk)
	}
	at = uint32(l.len())
	l.tail = append(l.tail, it)
	return at
}

// drop fills the gap with the last item, and returns the key of the one dropped.
func (l *list[T]) drop(at int) (key uint64) {
	key = l.item(at).key
	moved := l.pop() // which may move the others in memory
	if at < l.len() {
		*l.item(at) = moved
		moved.entry.places[moved.place].at = uint32(at)
	}
	return key
}

func (l *list[T]) item(at int) *item[T] {
	if i := at / chunk; i < len(l.full) {
		return &l.full[i][at%chunk]
	}
	return &l.tail[at-len(l.full)*chunk]
}

func (l *list[T]) pop() item[T] {
	if n := len(l.full); len(l.tail) == 0 {
		l.tail = l.full[n-1]
		l.full = shrink(slices.Delete(l.full, n-1, n))
	}
	n := len(l.tail) - 1
	it := l.tail[n]
	l.tail[n] = item[T]{}
	l.tail = l.tail[:n]
	if len(l.full) == 0 {
		l.tail = shrink(l.tail)
	}
	return it
}

// appendTo appends the items of the entries whose keys are in the range.
func (l *list[T]) appendTo(dst []T, r keyRange) []T {
	for _, items := range l.full {
		dst = appendItems(dst, items, r)
	}
	return appendItems(dst, l.tail, r)
}

func appendItems[T any](dst []T, items []item[T], r keyRange) []T {
	for i := range items {
		if r.has(items[i].key) {
			dst = append(dst, items[i].entry.Item)
		}
	}
	return dst
}

// shrink gives memory back when a quarter or less is in use.
func shrink[E any](s []E) []E {
	switch n := cap(s); {
	case len(s) == 0:
		return nil
	case n >= 16 && len(s) <= n/4:
		return append(make([]E, 0, n/2), s...)
	}
	return s
}
