// Package filter decides which waiting players a match profile's pool sees: it
// is the meaning of an Open Match pool, applied to one ticket at a time. An
// index may narrow the candidates, but never changes the answer given here.
package filter

import (
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/proto/openmatch"
)

// Errors of New. Their texts name the field, and may be shown to a client.
var (
	ErrCreatedBefore = errors.New("pool.created_before is not a valid timestamp")
	ErrCreatedAfter  = errors.New("pool.created_after is not a valid timestamp")
)

// Filter is a pool in the form in which tickets are held against it. It is
// immutable and safe for concurrent use. The zero value passes everything.
type Filter struct {
	ranges []*openmatch.DoubleRangeFilter
	equals []*openmatch.StringEqualsFilter
	tags   []*openmatch.TagPresentFilter
	before time.Time
	after  time.Time
}

// New reads a pool, which must not be changed afterwards. A nil pool passes
// everything. The error is ErrCreatedBefore or ErrCreatedAfter.
func New(pool *openmatch.Pool) (*Filter, error) {
	f := &Filter{
		ranges: pool.GetDoubleRangeFilters(),
		equals: pool.GetStringEqualsFilters(),
		tags:   pool.GetTagPresentFilters(),
	}
	if ts := pool.GetCreatedBefore(); ts != nil {
		if ts.CheckValid() != nil {
			return nil, ErrCreatedBefore
		}
		f.before = ts.AsTime()
	}
	if ts := pool.GetCreatedAfter(); ts != nil {
		if ts.CheckValid() != nil {
			return nil, ErrCreatedAfter
		}
		f.after = ts.AsTime()
	}
	return f, nil
}

// Equals lists the string arguments that a ticket must carry with these exact
// values, for an index to choose from.
func (f *Filter) Equals() []*openmatch.StringEqualsFilter { return f.equals }

// Tags lists the tags that a ticket must carry, for an index to choose from.
func (f *Filter) Tags() []*openmatch.TagPresentFilter { return f.tags }

// Ranges lists the double arguments that a ticket must carry and the ranges that
// they must be in, for an index to choose from.
func (f *Filter) Ranges() []*openmatch.DoubleRangeFilter { return f.ranges }

// Created returns the times between which a ticket must have been created, both
// exclusive, for an index to choose from. A zero time is no bound.
func (f *Filter) Created() (after, before time.Time) { return f.after, f.before }

// Pass reports whether something with these search fields, created at that
// time, is in the pool. Nil search fields are empty ones.
//
// Open Match takes a bound of 0001-01-01T00:00:00Z for an absent one, and so
// does this.
func (f *Filter) Pass(fields *openmatch.SearchFields, created *timestamppb.Timestamp) bool {
	if !f.before.IsZero() && !created.AsTime().Before(f.before) {
		return false
	}
	if !f.after.IsZero() && !created.AsTime().After(f.after) {
		return false
	}
	for _, want := range f.equals {
		got, ok := fields.GetStringArgs()[want.GetStringArg()]
		if !ok || got != want.GetValue() {
			return false
		}
	}
	for _, want := range f.tags {
		if !slices.Contains(fields.GetTags(), want.GetTag()) {
			return false
		}
	}
	for _, want := range f.ranges {
		got, ok := fields.GetDoubleArgs()[want.GetDoubleArg()]
		if !ok || !within(got, want) {
			return false
		}
	}
	return true
}

// within holds a value against a range. NaN is in no range. An exclusion that
// this version does not know only asks for the argument's presence, as in Open
// Match 1.8.
func within(v float64, r *openmatch.DoubleRangeFilter) bool {
	switch r.GetExclude() {
	case openmatch.DoubleRangeFilter_NONE:
		return v >= r.GetMin() && v <= r.GetMax()
	case openmatch.DoubleRangeFilter_MIN:
		return v > r.GetMin() && v <= r.GetMax()
	case openmatch.DoubleRangeFilter_MAX:
		return v >= r.GetMin() && v < r.GetMax()
	case openmatch.DoubleRangeFilter_BOTH:
		return v > r.GetMin() && v < r.GetMax()
	default:
		return true
	}
}
