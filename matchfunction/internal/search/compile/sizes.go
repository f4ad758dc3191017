package compile

import "math"

// teamSizeBalance and partySizes compare numbers of players of the teams.
type (
	teamSizeBalance struct{ unaided }
	partySizes      struct{ unaided }
)

func (teamSizeBalance) compile(_ *checks, k *check) error {
	k.atMost(func(m *Match) float64 {
		lo, hi := math.MaxInt, 0
		for _, n := range m.Fill {
			lo, hi = min(lo, n), max(hi, n)
		}
		return float64(hi - lo)
	})
	return nil
}

func (partySizes) compile(_ *checks, k *check) error {
	k.atMost(func(m *Match) float64 {
		lo, hi := math.MaxInt, 0
		for slot := range m.Plan.Slots {
			if n := m.largestParty(slot); n > 0 {
				lo, hi = min(lo, n), max(hi, n)
			}
		}
		return float64(hi - min(lo, hi))
	})
	return nil
}

// largestParty is the size of the largest party in a team, 0 if it is empty.
func (m *Match) largestParty(slot int) int {
	n := 0
	for _, t := range m.Teams[slot] {
		n = max(n, m.Pool.Size(t))
	}
	if len(m.Pinned[slot]) > 0 {
		n = max(n, 1) // those who already play count alone
	}
	return n
}
