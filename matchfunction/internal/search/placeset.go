package search

import "torikumi/pkg/ruleset"

// placeSet is a set of teams of a match.
type placeSet [(ruleset.MaxPlayers + 63) / 64]uint64

// everyPlace holds all teams.
var everyPlace = func() (s placeSet) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}()

func (s *placeSet) add(place int)      { s[place/64] |= 1 << (place % 64) }
func (s *placeSet) remove(place int)   { s[place/64] &^= 1 << (place % 64) }
func (s *placeSet) has(place int) bool { return s[place/64]&(1<<(place%64)) != 0 }

// meets tells whether two sets have a team in common.
func (s *placeSet) meets(o *placeSet) bool {
	for i := range s {
		if s[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

// classes numbers the different sets of teams that tickets may be in.
type classes struct {
	sets  []placeSet
	index map[placeSet]int32
	// bySize is the class of a size, where the size alone decides.
	bySize map[int]int32
}

// of returns the class of a ticket.
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
			c.index, c.bySize = make(map[placeSet]int32), make(map[int]int32)
		}
		id = int32(len(c.sets))
		c.index[set] = id
		c.sets = append(c.sets, set)
	}
	c.bySize[p.size(t)] = id
	return id
}
