package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// baseline is what the two strategies share that the search is compared with.
// They are what a matchmaker does that is written in an afternoon: a match is
// made around whoever has waited longest, of others who are taken in some
// order as long as the rules are kept. They know solo players, teams of one
// size, equality and windows.
type baseline struct {
	rules   *ruleset.RuleSet
	columns []column
	stages  []stage
	teams   []ruleset.TeamSlot
	players int
	// main is the column that spreads are about, that of the first window.
	main int
}

// column is an attribute that the rules read.
type column struct {
	name     string
	fallback *ruleset.Value
}

// stage is what the rules demand at a wait, by positions in columns.
type stage struct {
	equal  []int
	window []window
}

type window struct {
	column int
	most   float64
}

func newBaseline(rs *ruleset.RuleSet) (*baseline, error) {
	b := &baseline{rules: rs, teams: rs.Stages[0].TeamSlots(), players: rs.Stages[0].MaxPlayers(), main: -1}
	for i := range rs.Stages {
		d := &rs.Stages[i].Definition
		for j, p := range d.TeamSlots() {
			if p != b.teams[j] || p.Min != p.Max || p.Bots {
				return nil, fmt.Errorf("teams[%d] (team %q): the strategies that a day is compared with know only teams whose minPlayers is maxPlayers at all times, and no bots", p.Team, d.Teams[p.Team].Name)
			}
		}
		var s stage
		for j := range d.Rules {
			r := &d.Rules[j]
			if r.Optional {
				continue
			}
			if !b.add(d, r, &s) {
				return nil, fmt.Errorf("%s (rule %q): the strategies that a day is compared with know only rules that all are alike, or that a number is within a maxDistance", r.Path, r.Name)
			}
		}
		b.stages = append(b.stages, s)
	}
	if b.main < 0 {
		return nil, errors.New("a day needs a rule that a number is within a maxDistance: spreads are of that number")
	}
	return b, nil
}

// add takes in a rule. It reports whether it knows such rules.
func (b *baseline) add(d *ruleset.Definition, r *ruleset.Rule, s *stage) bool {
	if r.Kind == ruleset.BatchDistance {
		if r.MaxDistance == nil {
			s.equal = append(s.equal, b.column(d, r.BatchAttribute))
		} else {
			b.bound(s, b.column(d, r.BatchAttribute), *r.MaxDistance)
		}
		return true
	}
	if len(r.Measurements) != 1 {
		return false
	}
	m, f := b.everyone(&r.Measurements[0])
	switch {
	case r.Kind == ruleset.Comparison && r.Reference == nil && r.Operation == ruleset.Equal && m != "" && f == "":
		s.equal = append(s.equal, b.column(d, m))
		return true
	case r.Kind == ruleset.Distance && (r.MinDistance == nil || *r.MinDistance == 0) && r.MaxDistance != nil && m != "":
		reference, g := b.everyone(r.Reference)
		if reference != m || !(f == ruleset.FnMax && g == ruleset.FnMin || f == ruleset.FnMin && g == ruleset.FnMax) {
			return false
		}
		b.bound(s, b.column(d, m), *r.MaxDistance)
		return true
	}
	return false
}

func (b *baseline) bound(s *stage, column int, most float64) {
	s.window = append(s.window, window{column, most})
	if b.main < 0 {
		b.main = column
	}
}

// everyone reads "flatten(teams[*].players.attributes[NAME])", of which there
// may be the min or the max. The name is empty for any other expression.
func (b *baseline) everyone(e *ruleset.Expr) (name string, f ruleset.Function) {
	if c := e.Call; c != nil && (c.Function == ruleset.FnMin || c.Function == ruleset.FnMax) {
		f, e = c.Function, c.Argument
	}
	if e.Call == nil || e.Call.Function != ruleset.FnFlatten {
		return "", ""
	}
	p := e.Call.Argument.Path
	if p == nil || p.Property != ruleset.PlayerAttribute || len(p.Slots) != len(b.teams) {
		return "", ""
	}
	return p.Attribute, f
}

func (b *baseline) column(d *ruleset.Definition, name string) int {
	if i := slices.IndexFunc(b.columns, func(c column) bool { return c.name == name }); i >= 0 {
		return i
	}
	a, _ := d.Attribute(name) // rules name declared ones
	b.columns = append(b.columns, column{name, a.Default})
	return len(b.columns) - 1
}

// attribute is the number that spreads are about.
func (b *baseline) attribute() string { return b.columns[b.main].name }

// scalar is the value of a column; what is missing is not there.
type scalar struct {
	number float64
	text   string
	there  bool
}

func (c *column) read(p *rule.Player) scalar {
	v, ok := p.Attribute(c.name)
	if !ok && c.fallback != nil {
		v, ok = *c.fallback, true
	}
	if !ok {
		return scalar{number: math.NaN()} // is in no window
	}
	return scalar{v.Number, v.String, true}
}

// crowd is those who wait, as a baseline sees them.
type crowd struct {
	b       *baseline
	tickets []rule.Ticket
	waits   []time.Duration
	values  [][]scalar // by column, then ticket
	taken   []bool
}

func (b *baseline) crowd(waiting []rule.Ticket, now time.Time) *crowd {
	c := &crowd{b: b, tickets: waiting, taken: make([]bool, len(waiting)), waits: make([]time.Duration, len(waiting))}
	for i := range b.columns {
		values := make([]scalar, len(waiting))
		for t := range waiting {
			values[t] = b.columns[i].read(&waiting[t].Players[0])
		}
		c.values = append(c.values, values)
	}
	for t := range waiting {
		c.waits[t] = max(0, now.Sub(waiting[t].Created))
	}
	return c
}

// group is a match in the making.
type group struct {
	members []int32
	wait    time.Duration // that decides on the stage
	lo, hi  []float64     // by column
	alike   []bool        // by column
}

func (c *crowd) start(t int32) *group {
	n := len(c.values)
	g := &group{members: []int32{t}, wait: c.waits[t], lo: make([]float64, n), hi: make([]float64, n), alike: make([]bool, n)}
	for i := range c.values {
		v := &c.values[i][t]
		g.lo[i], g.hi[i], g.alike[i] = v.number, v.number, v.there
	}
	return g
}

// join adds a ticket if the rules are kept, at the stage that the match then
// has reached.
func (c *crowd) join(g *group, t int32) bool {
	wait := min(g.wait, c.waits[t])
	if c.b.rules.ByOldest() {
		wait = max(g.wait, c.waits[t])
	}
	s := &c.b.stages[c.b.rules.At(wait)]
	for _, i := range s.equal {
		if !g.alike[i] || c.values[i][t] != c.values[i][g.members[0]] {
			return false
		}
	}
	for _, w := range s.window {
		x := c.values[w.column][t].number
		if d := max(g.hi[w.column], x) - min(g.lo[w.column], x); !(d <= w.most) {
			return false
		}
	}
	g.members, g.wait = append(g.members, t), wait
	for i := range c.values {
		v := &c.values[i][t]
		g.lo[i], g.hi[i] = min(g.lo[i], v.number), max(g.hi[i], v.number)
		g.alike[i] = g.alike[i] && *v == c.values[i][g.members[0]]
	}
	return true
}

// match spells a full group out: its tickets are dealt to the teams in turn.
func (c *crowd) match(g *group) found {
	m := &rule.Match{Wait: g.wait, Teams: make([]rule.Team, len(c.b.teams))}
	for i, slot := range c.b.teams {
		m.Teams[i].Name = slot.Name
	}
	at := 0
	for _, t := range g.members {
		for len(m.Teams[at].Members) == c.b.teams[at].Max {
			at = (at + 1) % len(m.Teams)
		}
		ticket := &c.tickets[t]
		m.Tickets = append(m.Tickets, ticket)
		m.Teams[at].Members = append(m.Teams[at].Members, rule.Member{Player: &ticket.Players[0], Ticket: ticket})
		at = (at + 1) % len(m.Teams)
		c.taken[t] = true
	}
	return found{g.members, m}
}

// around makes a match around each ticket, the longest waiting first, of
// others in the order that is yielded for it.
func (c *crowd) around(others func(anchor int32, yield func(int32) bool)) []found {
	var out []found
	for anchor := range int32(len(c.tickets)) {
		if c.taken[anchor] {
			continue
		}
		g := c.start(anchor)
		others(anchor, func(t int32) bool {
			if t != anchor && !c.taken[t] && len(g.members) < c.b.players {
				c.join(g, t)
			}
			return len(g.members) < c.b.players
		})
		if len(g.members) == c.b.players {
			out = append(out, c.match(g))
		}
	}
	return out
}

func (b *baseline) arrivalOrder(_ context.Context, waiting []rule.Ticket, now time.Time) []found {
	c := b.crowd(waiting, now)
	return c.around(func(_ int32, yield func(int32) bool) {
		for t := range int32(len(waiting)) {
			if !yield(t) {
				return
			}
		}
	})
}

// nearestFirst takes whoever is nearest to the one who has waited longest.
func (b *baseline) nearestFirst(_ context.Context, waiting []rule.Ticket, now time.Time) []found {
	c := b.crowd(waiting, now)
	x := c.values[b.main]
	sorted := make([]int32, len(waiting))
	for t := range sorted {
		sorted[t] = int32(t)
	}
	slices.SortFunc(sorted, func(s, t int32) int { return cmp.Or(cmp.Compare(x[s].number, x[t].number), cmp.Compare(s, t)) })
	at := make([]int, len(waiting))
	for i, t := range sorted {
		at[t] = i
	}
	return c.around(func(anchor int32, yield func(int32) bool) {
		down, up := at[anchor]-1, at[anchor]+1
		for down >= 0 || up < len(sorted) {
			var t int32
			if up == len(sorted) || down >= 0 && x[anchor].number-x[sorted[down]].number <= x[sorted[up]].number-x[anchor].number {
				t, down = sorted[down], down-1
			} else {
				t, up = sorted[up], up+1
			}
			if !yield(t) {
				return
			}
		}
	})
}
