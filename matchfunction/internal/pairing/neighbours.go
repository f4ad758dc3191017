package pairing

import (
	"cmp"
	"math"
	"slices"
)

// mostCandidates bounds how many are sorted by the size of their party for
// one anchor.
const mostCandidates = 64

// neighbours looks for a match of the anchor at the place in the list, and
// leaves its members in s.best. A full match is taken as soon as it is found,
// else the largest one. Three ways are tried, and each only if the one before
// left something open:
//
//   - nearest first, which is the best match but can run into the window: a
//     near one on this side rules out several on the other;
//   - nearest first above a floor, for each neighbour below as the floor that
//     has enough players above;
//   - large parties first, as solos close the gaps that parties leave.
func (s *search) neighbours(anchor int32, window float64) bool {
	s.best, s.players = s.best[:0], 0
	budget := s.budget
	full, blocked, misfit := s.nearest(anchor, window, math.Inf(-1), &budget)
	if full || (blocked && s.above(anchor, window, &budget)) {
		return true
	}
	if misfit && s.largest(anchor, window) {
		return true
	}
	return len(s.best) > 0
}

// above tries each neighbour below the anchor, and the anchor itself, as the
// floor of the match. It reports whether a match is full.
func (s *search) above(anchor int32, window float64, budget *int) bool {
	a := s.at(anchor)
	// players counts those from the floor to top, the highest place within the
	// window; beyond a few matches it is enough to know that they are many.
	top, players, many := anchor, s.sizeAt(anchor), 4*s.pick.most
	for next := s.nodes[top].next; next != none && players < many && s.at(next)-a <= window; next = s.nodes[next].next {
		top, players = next, players+s.sizeAt(next)
	}
	counted := players < many
	for floor := anchor; *budget > 0; {
		if !counted || players >= max(s.pick.least, s.players+1) {
			if full, _, _ := s.nearest(anchor, window, s.at(floor), budget); full {
				return true
			}
		}
		*budget--
		if floor = s.nodes[floor].prev; floor == none || a-s.at(floor) > window {
			return false
		}
		for players += s.sizeAt(floor); s.at(top)-s.at(floor) > window; top = s.nodes[top].prev {
			players -= s.sizeAt(top)
		}
	}
	return false
}

func (s *search) sizeAt(id int32) int { return int(s.size[s.nodes[id].rank]) }

// at is the skill of the ticket at a place.
func (s *search) at(id int32) float64 { return s.skill[s.nodes[id].rank] }

// nearest fills the teams with the nearest neighbours of the anchor that are
// not below the floor. It reports whether the match is full, whether the window
// alone kept out one who is near enough to the anchor, and whether a party did
// not fit.
func (s *search) nearest(anchor int32, window, floor float64, budget *int) (full, blocked, misfit bool) {
	a := s.at(anchor)
	lo, hi := a, a
	if !math.IsInf(floor, -1) {
		lo = floor
	}
	s.pick.start()
	s.pick.add(s.nodes[anchor].rank, s.size)
	left, right := s.nodes[anchor].prev, s.nodes[anchor].next
	for ; *budget > 0 && s.pick.room > 0 && (left != none || right != none); *budget-- {
		if s.leftIsNearer(a, left, right) {
			id := left
			left = s.nodes[id].prev
			if skill := s.at(id); skill < floor || hi-skill > window {
				blocked = blocked || a-skill <= window
				left = none
				continue
			} else if s.pick.add(s.nodes[id].rank, s.size) {
				lo = min(lo, skill)
				continue
			}
		} else {
			id := right
			right = s.nodes[id].next
			if skill := s.at(id); skill-lo > window {
				blocked = blocked || skill-a <= window
				right = none
				continue
			} else if s.pick.add(s.nodes[id].rank, s.size) {
				hi = max(hi, skill)
				continue
			}
		}
		misfit = true
	}
	return s.storeBest(), blocked, misfit
}

// leftIsNearer compares two places by their distance to the anchor's skill,
// the older ticket first where it is the same.
func (s *search) leftIsNearer(anchor float64, left, right int32) bool {
	if left == none || right == none {
		return right == none
	}
	l, r := anchor-s.at(left), s.at(right)-anchor
	if l != r {
		return l < r
	}
	return s.age[s.nodes[left].rank] < s.age[s.nodes[right].rank]
}

// largest fills the teams with the largest parties of the anchor's
// neighbourhood first. It reports whether the match is full.
func (s *search) largest(anchor int32, window float64) bool {
	a := s.at(anchor)
	var near []int32
	left, right := s.nodes[anchor].prev, s.nodes[anchor].next
	for len(near) < mostCandidates && (left != none || right != none) {
		id := right
		if s.leftIsNearer(a, left, right) {
			id = left
			left = s.nodes[left].prev
		} else {
			right = s.nodes[right].next
		}
		if math.Abs(s.at(id)-a) > window {
			break // the rest is farther still
		}
		near = append(near, s.nodes[id].rank)
	}
	slices.SortStableFunc(near, func(x, y int32) int { return cmp.Compare(s.size[y], s.size[x]) })
	lo, hi := a, a
	s.pick.start()
	s.pick.add(s.nodes[anchor].rank, s.size)
	for _, rank := range near {
		skill := s.skill[rank]
		if max(hi, skill)-min(lo, skill) <= window && s.pick.add(rank, s.size) {
			lo, hi = min(lo, skill), max(hi, skill)
		}
	}
	return s.storeBest()
}

// storeBest makes what has been picked the best match if it is one and larger than
// the best so far. It reports whether it is full.
func (s *search) storeBest() bool {
	p := s.pick
	if !p.enough() {
		return false
	}
	if p.total > s.players {
		s.best, s.players = append(s.best[:0], p.members...), p.total
	}
	return p.total == p.most
}
