package filter_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/minimatch/internal/filter"
	"torikumi/proto/openmatch"
)

func TestRanges(t *testing.T) {
	const none, lo, hi, both = openmatch.DoubleRangeFilter_NONE, openmatch.DoubleRangeFilter_MIN,
		openmatch.DoubleRangeFilter_MAX, openmatch.DoubleRangeFilter_BOTH
	inf, nan := math.Inf(1), math.NaN()
	for _, tc := range []struct {
		exclude  openmatch.DoubleRangeFilter_Exclude
		min, max float64
		value    float64
		want     bool
	}{
		{none, 1, 2, 1, true}, {none, 1, 2, 2, true}, {none, 1, 2, 0.9, false}, {none, 1, 2, 2.1, false},
		{lo, 1, 2, 1, false}, {lo, 1, 2, 2, true}, {lo, 1, 2, 1.5, true}, {lo, 1, 2, 2.1, false},
		{hi, 1, 2, 1, true}, {hi, 1, 2, 2, false}, {hi, 1, 2, 1.5, true}, {hi, 1, 2, 0.9, false},
		{both, 1, 2, 1, false}, {both, 1, 2, 2, false}, {both, 1, 2, 1.5, true}, {both, 1, 1, 1, false},
		{none, 1, 1, 1, true}, {none, 2, 1, 1.5, false},
		{none, -inf, inf, inf, true}, {both, -inf, inf, inf, false}, {both, -inf, inf, 0, true},
		{none, -inf, inf, nan, false}, {none, nan, nan, 1, false}, {none, nan, nan, nan, false},
		{lo, nan, inf, 1, false}, {hi, -inf, nan, 1, false}, {both, nan, nan, 1, false},
		{99, 5, 6, 1, true}, // an exclusion of some later version
	} {
		f, err := filter.New(&openmatch.Pool{DoubleRangeFilters: []*openmatch.DoubleRangeFilter{
			{DoubleArg: "v", Min: tc.min, Max: tc.max, Exclude: tc.exclude}}})
		if err != nil {
			t.Fatal(err)
		}
		fields := &openmatch.SearchFields{DoubleArgs: map[string]float64{"v": tc.value}}
		if got := f.Pass(fields, nil); got != tc.want {
			t.Errorf("%v in [%v, %v] without %v: %v", tc.value, tc.min, tc.max, tc.exclude, got)
		}
		if f.Pass(nil, nil) || f.Pass(&openmatch.SearchFields{DoubleArgs: map[string]float64{"w": 1}}, nil) {
			t.Errorf("a missing argument passes %+v", tc)
		}
	}
}

func TestCreationTimeBoundsAreExclusive(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 5, time.UTC)
	created := timestamppb.New(at)
	for name, tc := range map[string]struct {
		pool *openmatch.Pool
		want bool
	}{
		"before itself":      {&openmatch.Pool{CreatedBefore: created}, false},
		"after itself":       {&openmatch.Pool{CreatedAfter: created}, false},
		"before the next ns": {&openmatch.Pool{CreatedBefore: timestamppb.New(at.Add(1))}, true},
		"after the last ns":  {&openmatch.Pool{CreatedAfter: timestamppb.New(at.Add(-1))}, true},
		"between": {&openmatch.Pool{CreatedAfter: timestamppb.New(at.Add(-1)),
			CreatedBefore: timestamppb.New(at.Add(1))}, true},
		"year 1 is no bound": {&openmatch.Pool{CreatedBefore: timestamppb.New(time.Time{})}, true},
	} {
		f, err := filter.New(tc.pool)
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Pass(nil, created); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestInvalidTimes(t *testing.T) {
	bad := &timestamppb.Timestamp{Nanos: -1}
	if _, err := filter.New(&openmatch.Pool{CreatedBefore: bad}); !errors.Is(err, filter.ErrCreatedBefore) {
		t.Errorf("got %v", err)
	}
	if _, err := filter.New(&openmatch.Pool{CreatedAfter: bad}); !errors.Is(err, filter.ErrCreatedAfter) {
		t.Errorf("got %v", err)
	}
}

func FuzzPass(f *testing.F) {
	seed, err := proto.Marshal(&openmatch.Pool{Name: "p",
		TagPresentFilters:   []*openmatch.TagPresentFilter{{Tag: "x"}},
		StringEqualsFilters: []*openmatch.StringEqualsFilter{{StringArg: "a", Value: "b"}},
		DoubleRangeFilters:  []*openmatch.DoubleRangeFilter{{DoubleArg: "d", Max: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, []byte{})
	f.Fuzz(func(t *testing.T, rawPool, rawFields []byte) {
		var p openmatch.Pool
		var fields openmatch.SearchFields
		if proto.Unmarshal(rawPool, &p) != nil || proto.Unmarshal(rawFields, &fields) != nil {
			return
		}
		if pf, err := filter.New(&p); err == nil {
			pf.Pass(&fields, timestamppb.New(time.Unix(0, 0)))
		}
	})
}
