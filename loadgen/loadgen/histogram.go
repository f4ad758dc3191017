package loadgen

import (
	"math"
	"math/bits"
	"time"
)

// Values are kept in microseconds with subBits bits of precision: a percentile
// is at most 1/128 too high and never too low.
const (
	subBits = 7
	subs    = 1 << subBits
)

// histogram counts durations in buckets whose width grows with the value. The
// zero value is ready for use; negative durations count as zero.
type histogram struct {
	counts []int64
	n      int64
	max    time.Duration
}

// bucket returns the bucket of a value in microseconds.
func bucket(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// top is the largest value of a bucket, in microseconds.
func top(b int) uint64 {
	if b < 2*subs {
		return uint64(b)
	}
	shift := b>>subBits - 1
	return (uint64(b-shift<<subBits)+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	b := bucket(uint64(d.Microseconds()))
	for b >= len(h.counts) {
		h.counts = append(h.counts, make([]int64, subs)...)
	}
	h.counts[b]++
	h.n++
	h.max = max(h.max, d)
}

// quantile is the least value that a share q of all values, from 0 to 1, does
// not exceed (nearest rank); 0 if there are none.
func (h *histogram) quantile(q float64) time.Duration {
	rank := max(int64(math.Ceil(q*float64(h.n))), 1)
	var seen int64
	for b, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(top(b)+1)*time.Microsecond, h.max)
		}
	}
	return h.max
}
