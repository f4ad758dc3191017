package packing

import (
	"math"
	"math/bits"
	"slices"
)

// states are choices among what has been swept so far, told apart by which of
// the open items they used.
type states struct {
	words int      // length of a mask
	masks []uint64 // the used items of each state
	sums  []float64
	ends  []int32 // of each state in the trace
	// index finds states by mask: base plus number plus 1. What is not above
	// base is an empty place.
	index []int32
	base  int32
	marks []float64 // what each is worth, for prune
	order []float64 // the same, reordered
}

// reset makes it empty, for masks of so many words.
func (t *states) reset(words int) {
	if t.index == nil {
		t.index = make([]int32, indexSize)
	}
	if t.base > math.MaxInt32-2*indexSize {
		clear(t.index)
		t.base = 0
	}
	t.base += int32(len(t.sums))
	t.words, t.masks, t.sums, t.ends = words, t.masks[:0], t.sums[:0], t.ends[:0]
}

func (t *states) mask(i int) []uint64 { return t.masks[i*t.words : (i+1)*t.words] }

// put makes room for a state that used mask and more, and has closed the items
// of closing. It returns its number, and whether it was there before.
func (t *states) put(mask, more, closing []uint64) (i int, old bool) {
	from := len(t.masks)
	t.masks = append(t.masks, mask...)
	m := t.masks[from:]
	hash := uint64(0)
	for k := range m {
		if more != nil {
			m[k] |= more[k]
		}
		m[k] &^= closing[k]
		hash = (hash ^ m[k]) * 0x9E3779B97F4A7C15
		hash ^= hash >> 32
	}
	h := uint32(hash) % indexSize
	for t.index[h] > t.base {
		i := int(t.index[h] - t.base - 1)
		if slices.Equal(t.mask(i), m) {
			t.masks = t.masks[:from]
			return i, true
		}
		h = (h + 1) % indexSize
	}
	t.sums, t.ends = append(t.sums, 0), append(t.ends, 0)
	t.index[h] = t.base + int32(len(t.sums))
	return len(t.sums) - 1, false
}

// prune keeps n states: those with the highest sums, less price for each open
// item that they used. After it, states can't be found by mask.
func (t *states) prune(n int, price float64) {
	t.marks = t.marks[:0]
	for i, sum := range t.sums {
		used := 0
		for _, w := range t.mask(i) {
			used += bits.OnesCount64(w)
		}
		t.marks = append(t.marks, sum-price*float64(used))
	}
	t.base += int32(len(t.sums)) // nothing in the index any more
	t.order = append(t.order[:0], t.marks...)
	least := highest(t.order, n)
	equal := n // of those that are just good enough, as many as fit
	for _, m := range t.marks {
		if m > least {
			equal--
		}
	}
	kept := 0
	for i, m := range t.marks {
		if m < least || m == least && equal == 0 {
			continue
		}
		if m == least {
			equal--
		}
		copy(t.mask(kept), t.mask(i))
		t.sums[kept], t.ends[kept] = t.sums[i], t.ends[i]
		kept++
	}
	t.masks, t.sums, t.ends = t.masks[:kept*t.words], t.sums[:kept], t.ends[:kept]
}

// highest returns the n-th highest number of s, and reorders s.
func highest(s []float64, n int) float64 {
	for {
		pivot := s[len(s)/2]
		i, j := 0, len(s)-1
		for i <= j {
			for s[i] > pivot {
				i++
			}
			for s[j] < pivot {
				j--
			}
			if i <= j {
				s[i], s[j] = s[j], s[i]
				i++
				j--
			}
		}
		switch { // s[:j+1] ≥ pivot ≥ s[i:], and between them is pivot
		case n <= j+1:
			s = s[:j+1]
		case n > i:
			s, n = s[i:], n-i
		default:
			return pivot
		}
	}
}
