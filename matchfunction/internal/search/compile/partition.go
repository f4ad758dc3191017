package compile

import (
	"math"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// Partitions numbers the partitions of a pool: the sets of tickets that may meet.
type Partitions struct {
	pool   *pool.Pool
	equals []equal
	seen   map[[2]uint64]int32
}

// Splits reports whether there may be more than one partition.
func (pl *Plan) Splits() bool { return len(pl.equals) > 0 }

// Partitions are those of a pool by one stage of the rules.
func (pl *Plan) Partitions(p *pool.Pool) *Partitions { return &Partitions{pool: p, equals: pl.equals} }

// Of is the number of a ticket's partition; 0 where nothing splits the pool.
func (pt *Partitions) Of(t int32) int32 {
	partition := int32(0)
	for i, e := range pt.equals {
		column := e.column
		at := pt.pool.First[t]
		var v uint64
		if pt.pool.Strings[column] != nil {
			if len(pt.equals) == 1 {
				return pt.pool.Strings[column][at]
			}
			v = uint64(pt.pool.Strings[column][at])
		} else {
			v = math.Float64bits(pt.pool.Numbers[column][at] + 0) // -0 is 0
		}
		key := [2]uint64{uint64(partition)<<8 | uint64(i), v}
		id, ok := pt.seen[key]
		if !ok {
			if pt.seen == nil {
				pt.seen = make(map[[2]uint64]int32)
			}
			id = int32(len(pt.seen)) + 1
			pt.seen[key] = id
		}
		partition = id
	}
	return partition
}

// Classes numbers the different sets of teams that tickets may be in, by one plan.
type Classes struct {
	sets  []SlotSet
	index map[SlotSet]int32
	// bySize is 1 + the class of a size, where the size alone decides, 0 where it is not
	// known yet.
	bySize [ruleset.MaxPlayers + 1]int32
}

// Teams are the teams of a number. The set must not be changed.
func (c *Classes) Teams(class int32) *SlotSet { return &c.sets[class] }

// Of is the number of the teams that a ticket may be in.
func (c *Classes) Of(pl *Plan, p *pool.Pool, t int32) int32 {
	size := p.Size(t)
	known := len(pl.fits) == 0 && size < len(c.bySize)
	if known && c.bySize[size] > 0 {
		return c.bySize[size] - 1
	}
	set := pl.mayBeIn(p, t)
	id, ok := c.index[set]
	if !ok {
		if c.index == nil {
			c.index = make(map[SlotSet]int32)
		}
		id = int32(len(c.sets))
		c.index[set] = id
		c.sets = append(c.sets, set)
	}
	if known {
		c.bySize[size] = id + 1
	}
	return id
}
