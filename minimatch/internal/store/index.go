package store

import (
	"torikumi/minimatch/internal/filter"
	"torikumi/proto/openmatch"
)

// index holds the tickets that a query may see, and only those: a ticket leaves
// it while it is pending, and for good once it is assigned or deleted. So a
// query never has to skip anything. It is not safe for concurrent use.
type index struct {
	all   posting
	terms map[term]*posting
}

// term is one thing that a pool can ask for exactly.
type term struct {
	kind  termKind
	name  string
	value string
}

type termKind uint8

const (
	tagTerm termKind = iota
	stringTerm
)

// posting is an unordered list of tickets that share a term. Each element knows
// which of the entry's places points back to it, so that removal is O(1).
type posting struct {
	term  term
	items []item
}

type item struct {
	entry *entry
	place int
}

// place says where in which posting an entry stands.
type place struct {
	list *posting
	at   int
}

func newIndex() *index {
	return &index{terms: map[term]*posting{}}
}

func (x *index) insert(e *entry) {
	fields := e.ticket.GetSearchFields()
	e.places = make([]place, 0, 1+len(fields.GetTags())+len(fields.GetStringArgs()))
	x.all.add(e)
	for _, tag := range fields.GetTags() {
		x.list(term{kind: tagTerm, name: tag}).add(e)
	}
	for name, value := range fields.GetStringArgs() {
		x.list(term{kind: stringTerm, name: name, value: value}).add(e)
	}
}

func (x *index) remove(e *entry) {
	for _, p := range e.places {
		p.list.drop(p.at)
		if len(p.list.items) == 0 && p.list != &x.all {
			delete(x.terms, p.list.term)
		}
	}
	e.places = nil
}

// candidates appends to dst the tickets of the shortest posting that holds
// every ticket of the pool. They have still to be held against the filter.
func (x *index) candidates(f *filter.Filter, dst []*openmatch.Ticket) []*openmatch.Ticket {
	shortest := &x.all
	consider := func(t term) {
		list, ok := x.terms[t]
		if !ok {
			list = &posting{}
		}
		if len(list.items) < len(shortest.items) {
			shortest = list
		}
	}
	for _, want := range f.Tags() {
		consider(term{kind: tagTerm, name: want.GetTag()})
	}
	for _, want := range f.Equals() {
		consider(term{kind: stringTerm, name: want.GetStringArg(), value: want.GetValue()})
	}
	if cap(dst)-len(dst) < len(shortest.items) {
		dst = append(make([]*openmatch.Ticket, 0, len(dst)+len(shortest.items)), dst...)
	}
	for _, it := range shortest.items {
		dst = append(dst, it.entry.ticket)
	}
	return dst
}

func (x *index) list(t term) *posting {
	p, ok := x.terms[t]
	if !ok {
		p = &posting{term: t}
		x.terms[t] = p
	}
	return p
}

// add appends the entry. A ticket that names one tag twice stands in its
// posting once.
func (p *posting) add(e *entry) {
	if n := len(p.items); n > 0 && p.items[n-1].entry == e {
		return
	}
	e.places = append(e.places, place{list: p, at: len(p.items)})
	p.items = append(p.items, item{entry: e, place: len(e.places) - 1})
}

// drop fills the gap with the last element.
func (p *posting) drop(at int) {
	last := len(p.items) - 1
	moved := p.items[last]
	p.items[at] = moved
	moved.entry.places[moved.place].at = at
	p.items[last] = item{}
	p.items = p.items[:last]
}
