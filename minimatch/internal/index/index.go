// Package index finds what a pool's filter may let through among all that waits,
// tickets or backfills, without looking at each: it knows them by tag, by string
// argument, by double argument and by creation time.
//
// Whatever an entry carries is indexed when it is inserted, and nothing is built
// when it is first asked for: a query never pays for earlier ones, and queries
// can run beside each other.
package index

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/minimatch/internal/filter"
	"torikumi/proto/openmatch"
)

// Index holds entries. Create it with New. Candidates and Len may be called
// concurrently with each other, but not with Insert and Remove.
type Index[T any] struct {
	// created holds every entry.
	created *ordered[T]
	terms   table[term, *posting[T]]
	doubles table[string, *ordered[T]]
	length  int
}

// Entry is one thing in an index. It is meant to be embedded in whatever else is
// known of the thing, which then stays reachable while the entry is in the index.
// The zero value is an entry in no index.
type Entry[T any] struct {
	// Item is what Candidates returns. It may be replaced, as by a writer, while
	// the entry is in an index.
	Item   T
	places []place[T]
}

// term is one thing that a pool can ask for exactly: a tag, or a string argument
// with its value.
type term struct {
	name  string
	value string
	tag   bool
}

// posting is the list of the entries that share a term.
type posting[T any] struct {
	list[T]
	term term
}

// New returns an empty index.
func New[T any]() *Index[T] {
	return &Index[T]{
		created: &ordered[T]{},
		terms:   newTable[term, *posting[T]](),
		doubles: newTable[string, *ordered[T]](),
	}
}

// Len counts the entries.
func (x *Index[T]) Len() int { return x.length }

// Insert adds an entry with these search fields, created at that time, as
// filter.Pass takes them. It panics when the entry is in an index already. The
// cost grows with the number of tags and arguments, and hardly with that of the
// entries.
func (x *Index[T]) Insert(e *Entry[T], fields *openmatch.SearchFields, created *timestamppb.Timestamp) {
	if e.places != nil {
		panic("index: the entry is already in an index")
	}
	tags, equals, doubles := fields.GetTags(), fields.GetStringArgs(), fields.GetDoubleArgs()
	e.places = make([]place[T], 0, 1+len(tags)+len(equals)+len(doubles))
	x.length++
	x.created.add(e, timeKey(created.AsTime()))
	for _, tag := range tags {
		// While an entry is added, it is the last of the list of a tag that it
		// has named before.
		if p := x.posting(term{name: tag, tag: true}); p.last() != e {
			p.add(e, 0)
		}
	}
	for name, value := range equals {
		x.posting(term{name: name, value: value}).add(e, 0)
	}
	for name, value := range doubles {
		x.double(name).add(e, doubleKey(value))
	}
}

// Remove takes an entry out. One that is in no index is passed over.
func (x *Index[T]) Remove(e *Entry[T]) {
	if e.places == nil {
		return
	}
	for i := range e.places {
		p := e.places[i]
		key := p.list.drop(int(p.at))
		p.list.home.dropped(x, p.list, key)
	}
	e.places = nil
	x.length--
}

// Candidates appends to dst the items of all entries that the filter may let
// through, in no particular order; the caller still has to hold each against the
// filter. They are those that the most selective of the filter's conditions lets
// through, and the cost grows with their number, not with that of all entries.
func (x *Index[T]) Candidates(f *filter.Filter, dst []T) []T {
	dst, _ = x.candidates(f, dst)
	return dst
}

func (x *Index[T]) posting(t term) *posting[T] {
	p, ok := x.terms.get(t)
	if !ok {
		p = &posting[T]{term: t}
		p.home = p
		x.terms.put(t, p)
	}
	return p
}

func (x *Index[T]) double(name string) *ordered[T] {
	o, ok := x.doubles.get(name)
	if !ok {
		o = &ordered[T]{name: name}
		x.doubles.put(name, o)
	}
	return o
}

func (p *posting[T]) dropped(x *Index[T], _ *list[T], _ uint64) {
	if p.len() == 0 {
		x.terms.delete(p.term)
	}
}
