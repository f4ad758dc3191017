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

// Filter is a pool in the form in which tickets are held against it. It must
// not be changed, and is safe for concurrent use. The zero value passes everything.
type Filter struct {
	// Ranges, Equals and Tags are all to be met.
	Ranges []*openmatch.DoubleRangeFilter
	Equals []*openmatch.StringEqualsFilter
	Tags   []*openmatch.TagPresentFilter
	// After and Before are the times between which a ticket must have been
	// created, both exclusive. A zero time is no bound.
	After, Before time.Time
}

// New reads a pool, which must not be changed afterwards. A nil pool passes
// everything. The error is ErrCreatedBefore or ErrCreatedAfter.
func New(pool *openmatch.Pool) (*Filter, error) {
	f := &Filter{
		Ranges: pool.GetDoubleRangeFilters(),
		Equals: pool.GetStringEqualsFilters(),
		Tags:   pool.GetTagPresentFilters(),
	}
	if ts := pool.GetCreatedBefore(); ts != nil {
		if ts.CheckValid() != nil {
			return nil, ErrCreatedBefore
		}
		f.Before = ts.AsTime()
	}
	if ts := pool.GetCreatedAfter(); ts != nil {
		if ts.CheckValid() != nil {
			return nil, ErrCreatedAfter
		}
		f.After = ts.AsTime()
	}
	return f, nil
}

// Pass reports whether something with these search fields, created at that
// time, is in the pool. Nil search fields are empty ones.
//
// Open Match takes a bound of 0001-01-01T00:00:00Z for an absent one, and so
// does this.
func (f *Filter) Pass(fields *openmatch.SearchFields, created *timestamppb.Timestamp) bool {
	if !f.Before.IsZero() && !created.AsTime().Before(f.Before) {
		return false
	}
	if !f.After.IsZero() && !created.AsTime().After(f.After) {
		return false
	}
	for _, want := range f.Equals {
		got, ok := fields.GetStringArgs()[want.GetStringArg()]
		if !ok || got != want.GetValue() {
			return false
		}
	}
	for _, want := range f.Tags {
		if !slices.Contains(fields.GetTags(), want.GetTag()) {
			return false
		}
	}
	for _, want := range f.Ranges {
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
