package packing

import (
	"math/rand/v2"
	"slices"
)

const (
	// mostNeighbours bounds how many sets of one item a move looks at, those of
	// the highest weight first. An item in very many sets would take everything.
	mostNeighbours = 128
	// slack is the least gain, as a fraction of the largest weight: below it is
	// rounding.
	slack = 1e-12
	// tries is how many sets are drawn to force in the one that costs least.
	tries = 3
	// rounds is how many times the budget goes through all sets.
	rounds = 8
	// window is how many sets further on in the order a draw may go.
	window = 512
	// again: one time in this many, one more is forced in nearby.
	again = 8
	// settleSteps are for settling, per item of a set.
	finishSteps = 64
)

// search improves a choice by moves that put a set in and what it collides with
// out. It keeps the owner of each item, so that a move costs what the sets
// concerned have of items, however many others want them too.
type search struct {
	component *component
	taken     []bool
	owners    []int32 // the taken set of each item, or -1
	total     float64
	seen      []int32 // for each set, the last look that met it
	looks     int32
	held      int32   // the set that no move may put out, or -1
	losers    []int32 // what the last look found in the way
	queue     []int32 // sets to look at
	queued    []bool
	undo      []int32 // what went in (number) and out (^number) since the mark
}

func (s *search) reset(q *component) {
	n := len(q.weights)
	s.component, s.total, s.looks, s.held = q, 0, 0, -1
	s.taken, s.owners, s.seen, s.queued = resize(s.taken, n), resize(s.owners, q.numItems), resize(s.seen, n), resize(s.queued, n)
	clear(s.taken)
	clear(s.seen)
	clear(s.queued)
	for x := range s.owners {
		s.owners[x] = -1
	}
	s.queue, s.undo = s.queue[:0], s.undo[:0]
}

func (s *search) adopt(taken []bool) {
	for v, t := range taken {
		if t {
			s.in(int32(v))
		}
	}
	s.undo = s.undo[:0]
}

func (s *search) in(v int32) {
	for _, x := range s.component.sets.of(v) {
		s.owners[x] = v
	}
	s.taken[v] = true
	s.total += s.component.weights[v]
	s.undo = append(s.undo, v)
}

func (s *search) out(v int32) {
	for _, x := range s.component.sets.of(v) {
		s.owners[x] = -1
	}
	s.taken[v] = false
	s.total -= s.component.weights[v]
	s.undo = append(s.undo, ^v)
}

// look finds what v would push out, and returns what the choice would gain.
func (s *search) look(v int32) (gain float64) {
	s.looks++
	if s.looks < 0 { // all numbers used
		clear(s.seen)
		s.looks = 1
	}
	s.losers = s.losers[:0]
	gain = s.component.weights[v]
	for _, x := range s.component.sets.of(v) {
		if u := s.owners[x]; u >= 0 && s.seen[u] != s.looks {
			s.seen[u] = s.looks
			s.losers = append(s.losers, u)
			gain -= s.component.weights[u]
		}
	}
	return gain
}

// free reports whether v collides with nothing.
func (s *search) free(v int32) bool {
	s.look(v)
	return len(s.losers) == 0
}

// put puts v in after a look at it, and queues what could now be better.
func (s *search) put(v int32, b *budget) {
	for _, u := range s.losers {
		s.out(u)
	}
	s.in(v)
	for _, u := range s.losers {
		for _, x := range s.component.sets.of(u) {
			if s.owners[x] >= 0 {
				continue
			}
			near := s.component.inc.of(x)
			near = near[:min(len(near), mostNeighbours)]
			for _, c := range near {
				if !s.taken[c] && !s.queued[c] {
					s.queued[c] = true
					s.queue = append(s.queue, c)
				}
			}
			b.spend(1 + len(near))
		}
	}
}

// descend makes moves that gain something until the queue is empty, or the
// budget.
func (s *search) descend(b *budget) {
	for i := 0; i < len(s.queue); i++ {
		v := s.queue[i]
		s.queued[v] = false
		if s.taken[v] {
			continue
		}
		gain := s.look(v)
		b.spend(len(s.component.sets.of(v)))
		if slices.Contains(s.losers, s.held) {
			continue
		}
		if gain > slack || len(s.losers) == 0 || s.older(v) {
			s.put(v, b)
		}
		if b.over() {
			break
		}
	}
	for _, v := range s.queue {
		s.queued[v] = false
	}
	s.queue = s.queue[:0]
}

// older reports whether v, just looked at, is preferred to the one set of the same
// weight that is in its way.
func (s *search) older(v int32) bool {
	return len(s.losers) == 1 && v < s.losers[0] && s.component.weights[v] == s.component.weights[s.losers[0]]
}

func (s *search) all() {
	for v := range s.taken {
		s.queue = append(s.queue, int32(v))
		s.queued[v] = true
	}
}

// finish makes the choice one that no single move improves, as far as some
// steps go, and that lacks nothing that collides with nothing.
func (s *search) finish(b *budget) {
	b.grant(finishSteps * int64(len(s.component.sets.values)))
	s.all()
	s.descend(b)
	for v := range s.taken {
		if !s.taken[v] && s.free(int32(v)) {
			s.in(int32(v))
		}
	}
}

// improve is iterated local search: it forces a set in, lets the neighbourhood
// settle, and goes back if the sum is lower than before. It goes through the
// sets some rounds, in an order in which neighbours are close to each other: what
// it touches stays in the processor's cache for a while.
func (s *search) improve(order []int32, b *budget) {
	rng := rand.New(rand.NewPCG(uint64(len(s.taken)), uint64(s.component.numItems)))
	s.all()
	s.descend(b)
	for all := b.left; !b.over(); {
		done := float64(all-b.left) / float64(all)
		at := int(done*rounds*float64(len(order))) % len(order)
		v := s.draw(rng, order[at:min(at+window, len(order))], b)
		if v < 0 {
			continue
		}
		before := s.total
		s.undo = s.undo[:0]
		s.look(v)
		s.put(v, b)
		s.held = v
		for len(s.queue) > 0 && rng.Uint32N(again) == 0 { // and another one nearby
			if u := s.queue[rng.IntN(len(s.queue))]; !s.taken[u] {
				s.look(u)
				if !slices.Contains(s.losers, v) {
					s.put(u, b)
				}
			}
		}
		s.descend(b)
		s.held = -1
		if s.total < before-slack {
			s.back()
		}
	}
}

// draw returns one of sets to force in, or -1: of a few that are not taken, the
// one that costs least.
func (s *search) draw(rng *rand.Rand, sets []int32, b *budget) int32 {
	best, most := int32(-1), 0.0
	for range tries {
		v := sets[rng.IntN(len(sets))]
		b.spend(1)
		if s.taken[v] {
			continue
		}
		b.spend(len(s.component.sets.of(v)))
		if gain := s.look(v); best < 0 || gain > most {
			best, most = v, gain
		}
	}
	return best
}

// back undoes everything since the mark.
func (s *search) back() {
	log := s.undo
	for i := len(log) - 1; i >= 0; i-- {
		if v := log[i]; v >= 0 {
			s.out(v)
		} else {
			s.in(^v)
		}
	}
	s.undo = log[:0]
}
