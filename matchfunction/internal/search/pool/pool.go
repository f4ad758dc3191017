// Package pool holds the tickets of one search as typed columns, so that rules and
// the search read numbers and ids and not attributes by their names.
//
// In go tickets and a Schema: the attributes that rules read, each with the
// aggregation of parties by which they see it. Out comes a Pool. A ticket is known by
// its position in what was given, a player by their place in the sequence of all
// players, a string by its id, a region by its position in Regions.
//
// It promises that every column of the schema is there, with one value of each
// player, but for the tickets that Lacks or Bad tell of; that the strings which the
// schema knows have its ids; and that the same tickets in the same order make the
// same pool. It knows nothing of what rules mean: package compile does.
package pool

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

// Pool is the tickets of one search as typed columns. It is not changed after Read,
// but for the ids that PlayerIDs adds, so it is for one goroutine at a time.
type Pool struct {
	Schema  *Schema
	Tickets []rule.Ticket
	// First[t]:First[t+1] are the players of ticket t.
	First []int32
	// Wait is how long each ticket has waited, 0 if it is from the future.
	Wait []time.Duration
	// Stage is the stage that each ticket's own wait has reached.
	Stage []uint8
	// lacks has a bit for each column in which the ticket has no value; nil if no ticket
	// lacks any.
	lacks []uint64

	// By column and player; only the one of the column's type is set. Each player
	// of a party has the aggregated value.
	Numbers [][]float64
	Strings [][]int32
	Lists   [][][]int32 // distinct, in order of id
	Maps    [][]map[string]float64

	words map[string]int32
	// Texts are the words by their ids.
	Texts []string

	// Regions are sorted by name, at most 64.
	Regions []string
	// named reports whether the ticket says anything of regions; nil if none does.
	named []bool
	// latencies[t*len(Regions)+r] are those of the ticket's players.
	latencies []Latency
	// unmeasured are, as bits by ticket, the regions that rules on latencies
	// leave it not.
	unmeasured []uint64
	// bad is, by ticket, what is wrong with it whatever the rules are, or ""; nil if
	// nothing is wrong with any.
	bad []Reason

	ids []int32 // see PlayerIDs
}

// Latency is how the players of a ticket see a region, in milliseconds.
type Latency struct {
	Min, Avg, Max float64
	// Players is how many of them it is of.
	Players float64
}

// By is the latency of a party by an aggregation: the mean unless it is Min or Max.
func (l Latency) By(a ruleset.Aggregation) float64 {
	switch a {
	case ruleset.Min:
		return l.Min
	case ruleset.Max:
		return l.Max
	default:
		return l.Avg
	}
}

// Lacks has a bit for each column in which a ticket has no value.
func (p *Pool) Lacks(t int32) uint64 {
	if p.lacks == nil {
		return 0
	}
	return p.lacks[t]
}

// Named reports whether a ticket says anything of regions.
func (p *Pool) Named(t int32) bool { return p.named != nil && p.named[t] }

// Bad is what is wrong with a ticket whatever the rules are, or "".
func (p *Pool) Bad(t int32) Reason {
	if p.bad == nil {
		return ""
	}
	return p.bad[t]
}

// refuse says what is wrong with a ticket.
func (p *Pool) refuse(t int, why Reason) {
	if p.bad == nil {
		p.bad = make([]Reason, len(p.Tickets))
	}
	p.bad[t] = why
}

// Size is the number of a ticket's players.
func (p *Pool) Size(t int32) int { return int(p.First[t+1] - p.First[t]) }

// Value is the number of a ticket in a column: its players all have the same,
// unless they already play.
func (p *Pool) Value(column int, t int32) float64 { return p.Numbers[column][p.First[t]] }

// Differ reports whether two players have different values in a column of
// strings or numbers.
func (p *Pool) Differ(column int, a, b int32) bool {
	if p.Strings[column] != nil {
		return p.Strings[column][a] != p.Strings[column][b]
	}
	return p.Numbers[column][a] != p.Numbers[column][b]
}

// Has reports whether a player's attribute is, or holds, a word.
func (p *Pool) Has(t ruleset.AttributeType, column int, player, word int32) bool {
	if t == ruleset.String {
		return p.Strings[column][player] == word
	}
	return slices.Contains(p.Lists[column][player], word)
}

// Shared reports whether a player is in both of two tickets.
func (p *Pool) Shared(a, b int32) bool {
	for i := range p.Tickets[a].Players {
		for j := range p.Tickets[b].Players {
			if p.Tickets[a].Players[i].ID == p.Tickets[b].Players[j].ID {
				return true
			}
		}
	}
	return false
}

// Bans reports whether a player of ticket t may not join those of ticket of.
func (p *Pool) Bans(of, t int32) bool {
	banned := p.Tickets[of].Banned
	if len(banned) == 0 {
		return false
	}
	for i := range p.Tickets[t].Players {
		if _, in := slices.BinarySearch(banned, p.Tickets[t].Players[i].ID); in {
			return true
		}
	}
	return false
}

// PlayerIDs are the ids of all players as words of the pool.
func (p *Pool) PlayerIDs() []int32 {
	if p.ids == nil {
		p.ids = make([]int32, 0, p.First[len(p.Tickets)])
		for t := range p.Tickets {
			for i := range p.Tickets[t].Players {
				p.ids = append(p.ids, p.word(p.Tickets[t].Players[i].ID))
			}
		}
	}
	return p.ids
}

// Read reads tickets by a schema. Stages are those of the rule set; fits reports
// whether a ticket, whatever its regions, fits any match: it is asked only if there
// are more regions than can count.
func Read(s *Schema, rs *ruleset.RuleSet, tickets []rule.Ticket, now time.Time, fits func(p *Pool, t int32) bool) *Pool {
	n := len(tickets)
	p := &Pool{
		Schema: s, Tickets: tickets,
		First: make([]int32, n+1), Wait: make([]time.Duration, n), Stage: make([]uint8, n),
		Numbers: make([][]float64, len(s.columns)), Strings: make([][]int32, len(s.columns)),
		Lists: make([][][]int32, len(s.columns)), Maps: make([][]map[string]float64, len(s.columns)),
		words: make(map[string]int32, len(s.words)),
	}
	p.Texts = slices.Clone(s.words)
	for i, w := range s.words {
		p.words[w] = int32(i)
	}
	several := len(rs.Stages) > 1
	players := 0
	for t := range tickets {
		players += len(tickets[t].Players)
	}
	readers := p.readers(players)
	// One pass: what the tickets point to is read from memory once.
	for t := range tickets {
		k := &tickets[t]
		p.First[t+1] = p.First[t] + int32(len(k.Players))
		p.Wait[t] = max(0, now.Sub(k.Created))
		if several {
			p.Stage[t] = uint8(rs.At(p.Wait[t]))
		}
		if len(k.Players) == 0 {
			p.refuse(t, BadParty)
		}
		named, lacks := k.Region != "", uint64(0)
		for j := range k.Players {
			named = named || len(k.Players[j].Latencies) > 0
			for i := range readers {
				if !readers[i].read(&k.Players[j], i, p.First[t]+int32(j)) {
					lacks |= 1 << i
				}
			}
		}
		if named {
			if p.named == nil {
				p.named = make([]bool, n)
			}
			p.named[t] = true
		}
		if lacks != 0 {
			if p.lacks == nil {
				p.lacks = make([]uint64, n)
			}
			p.lacks[t] = lacks
		}
		for i := range readers {
			// Those who already play are no party: each counts alone.
			if len(k.Players) > 1 && k.Teams == nil && lacks&(1<<i) == 0 {
				p.aggregate(i, p.First[t], p.First[t+1])
			}
		}
	}
	if p.named != nil {
		p.readRegions(func(t int32) bool { return fits(p, t) })
	}
	return p
}

// readers makes the columns, and what fills them.
func (p *Pool) readers(players int) []reader {
	out := make([]reader, len(p.Schema.columns))
	for i := range out {
		c := &p.Schema.columns[i]
		out[i] = reader{column: c, pool: p}
		switch c.attribute.Type {
		case ruleset.Number:
			p.Numbers[i] = make([]float64, players)
		case ruleset.String:
			p.Strings[i] = make([]int32, players)
		case ruleset.StringList:
			p.Lists[i] = make([][]int32, players)
		default:
			p.Maps[i] = make([]map[string]float64, players)
		}
	}
	return out
}

// reader reads one attribute of one player after the other.
type reader struct {
	column *column
	pool   *Pool
	// hint is where the attribute stood last.
	hint int
	// recent are strings read before, and ids those of them: few words are frequent.
	recent [4]string
	ids    [4]int32
	// at is where in recent the next one goes.
	at uint8
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

// typed is the value, or nil where the type is another: that is a mistake of whoever made the
// ticket, which the default would hide.
func (r *reader) typed(v *ruleset.Value) *ruleset.Value {
	if v.Type != r.column.attribute.Type {
		return nil
	}
	return v
}

// Wrong is the type of the first value that a ticket has wrong in a column: another
// than the column's, or the same for a number that is not finite; empty if its
// players only lack one.
func (p *Pool) Wrong(column int, t int32) ruleset.AttributeType {
	a := p.Schema.Attribute(column)
	for i := range p.Tickets[t].Players {
		if v, ok := p.Tickets[t].Players[i].Attribute(a.Name); ok && (v.Type != a.Type || notFinite(&v)) {
			return v.Type
		}
	}
	return ""
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
		r.pool.Numbers[column][at] = v.Number
		return !notFinite(v)
	case ruleset.String:
		r.pool.Strings[column][at] = r.word(v.String)
	case ruleset.StringList:
		ids := make([]int32, len(v.List))
		for i, w := range v.List {
			ids[i] = r.pool.word(w)
		}
		slices.Sort(ids)
		r.pool.Lists[column][at] = slices.Compact(ids)
	default:
		r.pool.Maps[column][at] = v.Map
	}
	return true
}

// word is that of the pool, which is asked for those alone that were not read lately.
func (r *reader) word(w string) int32 {
	for i := range r.recent {
		if r.recent[i] == w && w != "" {
			return r.ids[i]
		}
	}
	id := r.pool.word(w)
	r.recent[r.at%4], r.ids[r.at%4] = w, id
	r.at++
	return id
}

// word returns the id of a string in this pool.
func (p *Pool) word(w string) int32 {
	id, ok := p.words[w]
	if !ok {
		id = int32(len(p.words))
		p.words[w] = id
		p.Texts = append(p.Texts, w)
	}
	return id
}

// aggregate gives the players of a party the party's value.
func (p *Pool) aggregate(column int, from, to int32) {
	c := &p.Schema.columns[column]
	if c.aggregation == Own {
		return
	}
	switch c.attribute.Type {
	case ruleset.Number:
		v := p.Numbers[column][from:to]
		one := Aggregate(c.aggregation, v)
		for i := range v {
			v[i] = one
		}
	case ruleset.StringList:
		v := p.Lists[column][from:to]
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

// Aggregate is the value of a party by an aggregation: the mean unless it is Min or
// Max.
func Aggregate(a ruleset.Aggregation, v []float64) float64 {
	switch a {
	case ruleset.Min:
		return slices.Min(v)
	case ruleset.Max:
		return slices.Max(v)
	default:
		return Mean(v)
	}
}

// Mean is that of numbers, also where their sum would overflow.
func Mean(v []float64) float64 {
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
