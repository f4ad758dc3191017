package solve

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSortable: bits are in the order of the numbers that they stand for.
func TestSortable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Float64(), 2, 2).Draw(t, "numbers")
		for _, x := range all {
			if got := number(sortable(x)); math.Float64bits(got) != math.Float64bits(x) {
				t.Errorf("%v comes back as %v", x, got)
			}
		}
		slices.Sort(all)
		if a, b := sortable(all[0]), sortable(all[1]); a > b && all[0] != all[1] {
			t.Errorf("%v is before %v, and has %x after %x", all[0], all[1], a, b)
		}
	})
}
