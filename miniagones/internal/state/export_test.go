package state

// Counts returns the number of servers in each state that has any.
func (f *Fleet) Counts() map[State]int {
	counts := make(map[State]int)
	for _, r := range f.servers {
		counts[r.cur.State]++
	}
	return counts
}
