package pairing

import (
	"cmp"
	"slices"
)

// pick is a match in the making: tickets that fit into the teams together.
// It is reused from match to match.
type pick struct {
	teams []Team
	least int // players of the smallest match
	most  int // players of a full match

	members []int32 // ranks
	total   int     // players
	room    int     // parties larger than this do not fit any more
	counts  []int   // members by size
	largest int     // size of the largest member
	fill    []int   // players by team, as of the last pack
}

func newPick(rules *Rules) *pick {
	return &pick{
		teams: rules.Teams, least: rules.MinPlayers(), most: rules.maxPlayers(),
		counts: make([]int, rules.MaxParty()+1), fill: make([]int, len(rules.Teams)),
	}
}

func (p *pick) start() {
	clear(p.counts[:p.largest+1])
	p.members, p.total, p.largest, p.room = p.members[:0], 0, 0, len(p.counts)-1
}

// add takes the ticket in if it fits beside those that are in.
func (p *pick) add(rank int32, sizes []int32) bool {
	size := int(sizes[rank])
	if size > p.room {
		return false
	}
	largest := p.largest
	p.counts[size]++
	p.total += size
	p.largest = max(p.largest, size)
	// One more solo never spoils what fits, as solos are packed last.
	if p.total > p.most || (size > 1 && !p.pack(2)) {
		p.counts[size]--
		p.total -= size
		p.largest = largest
		p.room = size - 1
		return false
	}
	p.members = append(p.members, rank)
	if p.total == p.most {
		p.room = 0
	}
	return true
}

// pack reports whether the teams hold the parties of at least this size: the
// largest first, each into the team that needs players most. It can miss a
// way that is there, but never claims one that is not.
func (p *pick) pack(least int) bool {
	clear(p.fill)
	for size := p.largest; size >= least; size-- {
		for range p.counts[size] {
			t := p.needs(size, nil)
			if t < 0 {
				return false
			}
			p.fill[t] += size
		}
	}
	return true
}

// needs is the team for the next party: the one farthest below its smallest
// size, then with the most room, then with the least skill. -1 if none has
// room.
func (p *pick) needs(size int, sums []float64) int {
	best := -1
	for t := range p.teams {
		if p.fill[t]+size > p.teams[t].Max {
			continue
		}
		if best < 0 {
			best = t
			continue
		}
		c := cmp.Or(
			cmp.Compare(p.lacks(t), p.lacks(best)),
			cmp.Compare(p.teams[t].Max-p.fill[t], p.teams[best].Max-p.fill[best]),
		)
		if c > 0 || (c == 0 && sums != nil && sums[t] < sums[best]) {
			best = t
		}
	}
	return best
}

func (p *pick) lacks(t int) int { return max(0, p.teams[t].Min-p.fill[t]) }

func (p *pick) enough() bool {
	if p.total < p.least || !p.pack(1) {
		return false
	}
	for t := range p.teams {
		if p.fill[t] < p.teams[t].Min {
			return false
		}
	}
	return true
}

// assign puts the members, which have to fit, into the teams so that the
// means of their skill lie close, and returns the ranks by team.
func (p *pick) assign(members []int32, skill []float64, sizes []int32) [][]int {
	order := slices.Clone(members)
	slices.SortFunc(order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(sizes[b], sizes[a]), cmp.Compare(skill[b], skill[a]), cmp.Compare(a, b))
	})
	clear(p.fill)
	sums := make([]float64, len(p.teams))
	teams := make([][]int, len(p.teams))
	for _, rank := range order {
		size := int(sizes[rank])
		t := p.needs(size, sums)
		p.fill[t] += size
		sums[t] += skill[rank] * float64(size)
		teams[t] = append(teams[t], int(rank))
	}
	if p.most > len(p.teams) {
		balance(teams, sums, p.fill, skill, sizes)
	}
	return teams
}

// mostSwaps bounds the passes over all pairs of teams.
const mostSwaps = 4

// balance swaps tickets of the same size between teams as long as that brings
// the means of two teams closer.
func balance(teams [][]int, sums []float64, players []int, skill []float64, sizes []int32) {
	for range mostSwaps {
		better := false
		for a := range teams {
			for b := a + 1; b < len(teams); b++ {
				if swap(teams, sums, players, a, b, skill, sizes) {
					better = true
				}
			}
		}
		if !better {
			return
		}
	}
}

// swap makes the swaps between two teams that bring their means closer.
func swap(teams [][]int, sums []float64, players []int, a, b int, skill []float64, sizes []int32) bool {
	na, nb := float64(players[a]), float64(players[b])
	swapped := false
	for i, x := range teams[a] {
		for j, y := range teams[b] {
			if sizes[x] != sizes[y] {
				continue
			}
			x = teams[a][i]
			moved := (skill[y] - skill[x]) * float64(sizes[x])
			now, then := sums[a]/na-sums[b]/nb, (sums[a]+moved)/na-(sums[b]-moved)/nb
			// Squares overflow later than they matter; a NaN swaps nothing.
			if then*then < now*now*(1-1e-9) {
				teams[a][i], teams[b][j] = y, x
				sums[a] += moved
				sums[b] -= moved
				swapped = true
			}
		}
	}
	return swapped
}
