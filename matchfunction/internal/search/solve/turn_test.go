package solve

import "testing"

// TestTurn: whoever waits has their turn soon, whatever their number and however often a
// search runs.
func TestTurn(t *testing.T) {
	const reached = 100 // in a run
	for _, n := range []int{1, 2, 99, 1000, 1025, 1366, 2049, 4098, 4099, 4100, 8198} {
		for _, every := range []int64{1, 2, 3, 5, 60} {
			left := make(map[int]bool)
			for i := range n {
				left[i] = true
			}
			runs := 0
			for second := int64(1_700_000_000); len(left) > 0 && runs < 10*n; second += every {
				at := turn(second, n)
				for i := range min(reached, n) {
					delete(left, (at+i)%n)
				}
				runs++
			}
			if most := 4 * (n + reached - 1) / reached; len(left) > 0 || runs > most {
				t.Errorf("of %d, each %d s: %d never had their turn in %d runs, want all in %d", n, every, len(left), runs, most)
			}
		}
	}
}
