package search

import (
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Reason says, as the value of a metric's label, why a ticket fits no match
// whoever else waits.
type Reason string

// The reasons.
const (
	// BadAttribute: a player lacks an attribute that a rule needs, or has one
	// of another type.
	BadAttribute Reason = "attribute"
	// BadLatency: a latency is negative or not a number.
	BadLatency Reason = "latency"
	// BadParty: the party has no players, or does not fit into any team.
	BadParty Reason = "party"
	// BadRegion: there is no region in which the ticket keeps the rules.
	BadRegion Reason = "region"
	// Divided: the players of the party break a rule among themselves, or
	// they are in no team that the rules let them be in.
	Divided Reason = "divided"
)

// mostRegions is how many regions a pool has. If tickets name more, the most
// frequent ones count: invented ones lose.
const mostRegions = 64

// far is the latency in a region that a ticket can't be played in.
const far = 1e300

// pool is the tickets of one run as typed columns. A player is known by its
// place in the sequence of all players.
type pool struct {
	schema  *schema
	tickets []rule.Ticket
	// first[t]:first[t+1] are the players of ticket t.
	first []int32
	wait  []time.Duration
	// own is the stage that each ticket's own wait has reached.
	own []uint8
	// lacks has a bit for each column in which the ticket has no value.
	lacks []uint64

	// By column; only the one of the column's type is set. Each player of a
	// party has the aggregated value.
	numbers [][]float64
	strings [][]int32
	lists   [][][]int32 // distinct, in order of id
	maps    [][]map[string]float64

	words map[string]int32
	// texts are the words by their ids.
	texts []string

	regions []string
	// named reports whether the ticket says anything of regions.
	named []bool
	// at[t*len(regions)+r] are the latencies of the ticket's players.
	latencies []regionLatency
	// unmeasured are, as bits by ticket, the regions that rules on latencies
	// leave it not.
	unmeasured []uint64
	bad        []Reason

	taken []bool

	ids []int32 // see playerIDs
}

// regionLatency is how the players of a ticket see a region, in milliseconds.
type regionLatency struct {
	min, avg, max float64
	// players is how many of them it is of.
	players float64
}

func (l regionLatency) by(a ruleset.Aggregation) float64 {
	switch a {
	case ruleset.Min:
		return l.min
	case ruleset.Max:
		return l.max
	default:
		return l.avg
	}
}

func (p *pool) size(t int32) int { return int(p.first[t+1] - p.first[t]) }

// value is the number of a ticket in a column: its players all have the same,
// unless they already play.
func (p *pool) value(column int, t int32) float64 { return p.numbers[column][p.first[t]] }

func (e *Engine) newPool(tickets []rule.Ticket, now time.Time) *pool {
	s, rs, n := e.schema, e.rules, len(tickets)
	p := &pool{
		schema: s, tickets: tickets,
		first: make([]int32, n+1), wait: make([]time.Duration, n), own: make([]uint8, n),
		lacks: make([]uint64, n), named: make([]bool, n), bad: make([]Reason, n), taken: make([]bool, n),
		numbers: make([][]float64, len(s.columns)), strings: make([][]int32, len(s.columns)),
		lists: make([][][]int32, len(s.columns)), maps: make([][]map[string]float64, len(s.columns)),
		words: make(map[string]int32, len(s.words)),
	}
	p.texts = slices.Clone(s.words)
	for i, w := range s.words {
		p.words[w] = int32(i)
	}
	several := len(rs.Stages) > 1
	players := 0
	for t := range tickets {
		players += len(tickets[t].Players)
	}
	readers := p.readers(players)
	named := false
	// One pass: what the tickets point to is read from memory once.
	for t := range tickets {
		k := &tickets[t]
		p.first[t+1] = p.first[t] + int32(len(k.Players))
		p.wait[t] = max(0, now.Sub(k.Created))
		if several {
			p.own[t] = uint8(rs.At(p.wait[t]))
		}
		if len(k.Players) == 0 {
			p.bad[t] = BadParty
		}
		p.named[t] = k.Region != ""
		for j := range k.Players {
			p.named[t] = p.named[t] || len(k.Players[j].Latencies) > 0
			for i := range readers {
				if !readers[i].read(&k.Players[j], i, p.first[t]+int32(j)) {
					p.lacks[t] |= 1 << i
				}
			}
		}
		named = named || p.named[t]
		for i := range readers {
			// Those who already play are no party: each counts alone.
			if len(k.Players) > 1 && k.Teams == nil && p.lacks[t]&(1<<i) == 0 {
				p.aggregate(i, p.first[t], p.first[t+1])
			}
		}
	}
	if named {
		p.readRegions(func(t int32) bool { return e.fits(p, t) })
	}
	return p
}

// readers makes the columns, and what fills them.
func (p *pool) readers(players int) []reader {
	out := make([]reader, len(p.schema.columns))
	for i := range out {
		c := &p.schema.columns[i]
		out[i] = reader{column: c, pool: p, lastWord: -1}
		switch c.attribute.Type {
		case ruleset.Number:
			p.numbers[i] = make([]float64, players)
		case ruleset.String:
			p.strings[i] = make([]int32, players)
		case ruleset.StringList:
			p.lists[i] = make([][]int32, players)
		default:
			p.maps[i] = make([]map[string]float64, players)
		}
	}
	return out
}

// reader reads one attribute of one player after the other.
type reader struct {
	column *column
	pool   *pool
	// hint is where the attribute stood last.
	hint int
	// last is the string read last, and its id.
	last     string
	lastWord int32
}

func (r *reader) find(p *rule.Player) *ruleset.Value {
	name := r.column.attribute.Name
	if r.hint < len(p.Attributes) && p.Attributes[r.hint].Name == name {
		return r.typed(&p.Attributes[r.hint].Value)
	}
	for i := range p.Attributes {
		if p.Attributes[i].Name == name {
			r.hint = i
			return r.typed(&p.Attributes[i].Value)
		}
	}
	return r.column.attribute.Default
}

// typed is the value, or the default where the type is another.
func (r *reader) typed(v *ruleset.Value) *ruleset.Value {
	if v.Type != r.column.attribute.Type {
		return nil
	}
	return v
}

func notFinite(v *ruleset.Value) bool {
	return v.Type == ruleset.Number && (math.IsNaN(v.Number) || math.IsInf(v.Number, 0))
}

// read puts the value into the pool. It reports whether there is one.
func (r *reader) read(p *rule.Player, column int, at int32) bool {
	v := r.find(p)
	if v == nil {
		return false
	}
	switch v.Type {
	case ruleset.Number:
		r.pool.numbers[column][at] = v.Number
		return !notFinite(v)
	case ruleset.String:
		if r.lastWord < 0 || v.String != r.last {
			r.last, r.lastWord = v.String, r.pool.word(v.String)
		}
		r.pool.strings[column][at] = r.lastWord
	case ruleset.StringList:
		ids := make([]int32, len(v.List))
		for i, w := range v.List {
			ids[i] = r.pool.word(w)
		}
		slices.Sort(ids)
		r.pool.lists[column][at] = slices.Compact(ids)
	default:
		r.pool.maps[column][at] = v.Map
	}
	return true
}

// word returns the id of a string in this pool.
func (p *pool) word(w string) int32 {
	id, ok := p.words[w]
	if !ok {
		id = int32(len(p.words))
		p.words[w] = id
		p.texts = append(p.texts, w)
	}
	return id
}

// aggregate gives the players of a party the party's value.
func (p *pool) aggregate(column int, from, to int32) {
	c := &p.schema.columns[column]
	if c.aggregation == own {
		return
	}
	switch c.attribute.Type {
	case ruleset.Number:
		v := p.numbers[column][from:to]
		one := aggregateNumbers(c.aggregation, v)
		for i := range v {
			v[i] = one
		}
	case ruleset.StringList:
		v := p.lists[column][from:to]
		one := slices.Clone(v[0])
		for _, other := range v[1:] {
			if c.aggregation == ruleset.Intersection {
				one = slices.DeleteFunc(one, func(id int32) bool { _, in := slices.BinarySearch(other, id); return !in })
			} else {
				one = append(one, other...)
			}
		}
		slices.Sort(one)
		one = slices.Compact(one)
		for i := range v {
			v[i] = one
		}
	}
}

// aggregateNumbers is the value of a party.
func aggregateNumbers(a ruleset.Aggregation, v []float64) float64 {
	switch a {
	case ruleset.Min:
		return slices.Min(v)
	case ruleset.Max:
		return slices.Max(v)
	default:
		return mean(v)
	}
}

// mean divides first where the sum would overflow.
func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	if !math.IsInf(sum, 0) {
		return sum / float64(len(v))
	}
	sum = 0
	for _, x := range v {
		sum += x / float64(len(v))
	}
	return sum
}
