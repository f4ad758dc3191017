package search

import "torikumi/pkg/ruleset"

// slotSet is a set of teams of a match.
type slotSet [(ruleset.MaxPlayers + 63) / 64]uint64

// everySlot holds all teams.
var everySlot = func() (s slotSet) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}()

func (s *slotSet) add(slot int)      { s[slot/64] |= 1 << (slot % 64) }
func (s *slotSet) remove(slot int)   { s[slot/64] &^= 1 << (slot % 64) }
func (s *slotSet) has(slot int) bool { return s[slot/64]&(1<<(slot%64)) != 0 }

func (s *slotSet) meets(o *slotSet) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// classes numbers the different sets of teams that tickets may be in.
type classes struct {
	sets  []slotSet
	index map[slotSet]int32
	// bySize is the class of a size, where the size alone decides.
	bySize map[int]int32
}

func (c *classes) of(pl *plan, p *pool, t int32) int32 {
	if len(pl.fits) == 0 {
		if id, ok := c.bySize[p.size(t)]; ok {
			return id
		}
	}
	set := pl.mayBeIn(p, t)
	id, ok := c.index[set]
	if !ok {
		if c.index == nil {
			c.index, c.bySize = make(map[slotSet]int32), make(map[int]int32)
		}
		id = int32(len(c.sets))
		c.index[set] = id
		c.sets = append(c.sets, set)
	}
	c.bySize[p.size(t)] = id
	return id
}
