package index

import (
	"math"
	"time"

	"torikumi/proto/openmatch"
)

// keyRange is a range of keys, both ends included. It is empty if from > to.
type keyRange struct{ from, to uint64 }

var (
	everything = keyRange{0, math.MaxUint64}
	nothing    = keyRange{1, 0}
)

func (r keyRange) has(key uint64) bool { return r.from <= key && key <= r.to }

// nanKey is below the key of every number.
const nanKey = 0

// doubleKey maps numbers to integers in the same order, neighbours to
// neighbours, except that nothing has the integer below that of zero.
func doubleKey(v float64) uint64 {
	switch {
	case math.IsNaN(v):
		return nanKey
	case v == 0:
		v = 0 // of the two zeros the positive one
	}
	const sign = 1 << 63
	bits := math.Float64bits(v)
	if bits&sign != 0 {
		return ^bits
	}
	return bits | sign
}

// doubleRange is the range of the keys of the values that pass.
func doubleRange(f *openmatch.DoubleRangeFilter) keyRange {
	lo, hi := f.GetMin(), f.GetMax()
	r := keyRange{doubleKey(lo), doubleKey(hi)}
	switch f.GetExclude() {
	case openmatch.DoubleRangeFilter_NONE:
	case openmatch.DoubleRangeFilter_MIN:
		r.from++
	case openmatch.DoubleRangeFilter_MAX:
		r.to--
	case openmatch.DoubleRangeFilter_BOTH:
		r.from++
		r.to--
	default:
		return everything // the argument has to be there, NaN too
	}
	if math.IsNaN(lo) || math.IsNaN(hi) {
		return nothing
	}
	return r
}

// timeKey maps times to integers in the same order: nanoseconds, but all times
// too early or too late to be counted so share the first or the last one.
func timeKey(t time.Time) uint64 {
	const sign = 1 << 63
	switch {
	case t.Before(time.Unix(0, math.MinInt64)):
		return 0
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxUint64
	}
	return uint64(t.UnixNano()) ^ sign
}

// timeRange holds the keys of all times between the two, and of those equal to
// them, since times may share a key.
func timeRange(after, before time.Time) keyRange {
	r := everything
	if !after.IsZero() {
		r.from = timeKey(after)
	}
	if !before.IsZero() {
		r.to = timeKey(before)
	}
	return r
}
