package index

import (
	"slices"

	"torikumi/minimatch/internal/filter"
)

// source is where the candidates of a query are: a list, or a part of an order.
type source[T any] struct {
	list *list[T]
	part part[T]
	// size is how many entries are looked at.
	size int
}

// candidates is Candidates, and counts the steps: the entries looked at, and the
// buckets passed while counting them.
func (x *Index[T]) candidates(f *filter.Filter, dst []T) (_ []T, steps int) {
	best := source[T]{part: x.created.all(), size: x.length}
	if !x.narrowByTerms(f, &best) {
		return dst, 0
	}
	passed, some := x.narrowByOrder(f, &best)
	if !some {
		return dst, passed
	}
	dst = slices.Grow(dst, best.size)
	if best.list != nil {
		dst = best.list.appendTo(dst, everything)
	} else {
		dst = best.part.appendTo(dst)
	}
	return dst, passed + best.size
}

// narrowByTerms takes the shortest list of a tag or string argument, if it is
// shorter than the best. It returns false when nothing can pass.
func (x *Index[T]) narrowByTerms(f *filter.Filter, best *source[T]) bool {
	consider := func(t term) bool {
		p, ok := x.terms.get(t)
		if ok && p.len() < best.size {
			*best = source[T]{list: &p.list, size: p.len()}
		}
		return ok
	}
	for _, want := range f.Tags {
		if !consider(term{name: want.GetTag(), tag: true}) {
			return false
		}
	}
	for _, want := range f.Equals {
		if !consider(term{name: want.GetStringArg(), value: want.GetValue()}) {
			return false
		}
	}
	return true
}

// narrowByOrder does so with the ranges of double arguments and of the creation
// time. It also counts the buckets that it has passed.
func (x *Index[T]) narrowByOrder(f *filter.Filter, best *source[T]) (passed int, some bool) {
	consider := func(o *ordered[T], r keyRange) bool {
		p, size, buckets := o.part(r, best.size)
		passed += buckets
		if size < best.size {
			*best = source[T]{part: p, size: size}
		}
		return size > 0
	}
	for _, want := range f.Ranges {
		o, ok := x.doubles.get(want.GetDoubleArg())
		if !ok || !consider(o, doubleRange(want)) {
			return passed, false
		}
	}
	if f.After.IsZero() && f.Before.IsZero() {
		return passed, best.size > 0
	}
	return passed, consider(x.created, timeRange(f.After, f.Before))
}
