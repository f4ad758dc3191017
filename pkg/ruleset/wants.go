package ruleset

import (
	"math"
	"reflect"
	"slices"
)

// Wants is what rules want of the players of a match, for those who make players
// up: values, each looked at by itself. It does not solve rule sets: rules may want
// what can't be had together, and what expressions and custom rules want is not known.
// It is for one goroutine.
type Wants struct {
	// Sizes are how many players the teams (TeamSlots) have in the smallest match,
	// bots left out.
	Sizes []int
	// MaxLatency is in milliseconds, +Inf if no rule says. SameLatency: players must
	// not be far apart. Without a rule that looks at latencies neither is set.
	MaxLatency  float64
	SameLatency bool
	// NoParties: a party can be why players can't make a match.
	NoParties bool

	first *Definition
	of    map[string]*Want
}

// Want is what is wanted of one attribute.
type Want struct {
	// Words are all that rules name, in their order, be it that none may have them.
	Words []string
	// Exact are numbers that a rule compares with by = or !=.
	Exact []float64
	// Near is by how much the numbers of a match may differ; +Inf if no rule says.
	Near float64
	// Shared is how many words all players have to have.
	Shared int
	// Holders bounds how many players have the words of a team; all if negative.
	Holders int
	// Distinct: no two players have the same.
	Distinct bool
	// Teams are in the order of TeamSlots.
	Teams []TeamWant
}

// TeamWant is what is wanted of each player of one team.
type TeamWant struct {
	// Low and High are bounds, infinite if there are none.
	Low, High float64
	Avoid     []float64
	// Words are those to have, Not those not to have.
	Words, Not []string
	// Roles are quotas for the players together.
	Roles []Role
}

// NewWants reads the rules of stages of one rule set, at least one. The sizes of teams
// are those of the first.
func NewWants(stages []Stage) *Wants {
	ws := &Wants{MaxLatency: math.Inf(1), first: &stages[0].Definition, of: make(map[string]*Want)}
	for _, slot := range ws.first.TeamSlots() {
		if slot.Bots {
			slot.Min = 0
		}
		ws.Sizes = append(ws.Sizes, slot.Min)
	}
	for i := range stages {
		for j := range stages[i].Rules {
			r := &stages[i].Rules[j]
			r.Kind.info().reader.want(ws, r)
		}
	}
	if slices.Max(ws.Sizes) == 0 {
		ws.Sizes[0] = 1 // no match is of bots alone
	}
	return ws
}

// Of is what is wanted of an attribute; the caller may change it.
func (ws *Wants) Of(attribute string) *Want {
	if ws.of[attribute] == nil {
		ws.of[attribute] = newWant(len(ws.Sizes))
	}
	return ws.of[attribute]
}

func newWant(teams int) *Want {
	return &Want{Near: math.Inf(1), Shared: 1, Holders: -1, Teams: slices.Repeat([]TeamWant{{Low: math.Inf(-1), High: math.Inf(1)}}, teams)}
}

// Free reports whether players can have any value, if they have the same.
func (w *Want) Free() bool {
	return !w.Distinct && reflect.DeepEqual(w.Teams, newWant(len(w.Teams)).Teams)
}

// Add adds words to those that rules name.
func (w *Want) Add(words ...string) {
	for _, word := range words {
		if !slices.Contains(w.Words, word) {
			w.Words = append(w.Words, word)
		}
	}
}

// near wants numbers that differ by no more; nil is no bound.
func (w *Want) near(most *float64) {
	if most != nil {
		w.Near = min(w.Near, *most)
	}
}

// measured is an attribute that a rule measures, and the teams of whose single players
// it says something. A count, for one, says nothing of them.
type measured struct {
	*Want
	teams []*TeamWant
}

// measured notes the words that the rule names, too.
func (ws *Wants) measured(r *Rule) (out []measured) {
	_, words := r.Reference.Constants()
	for i := range r.Measurements {
		e, single := &r.Measurements[i], true
		for ; e.Call != nil; e = e.Call.Argument {
			single = single && !slices.Contains([]Function{FnCount, FnSum, FnStddev}, e.Call.Function)
		}
		if e.Path == nil || e.Path.Property != PlayerAttribute {
			continue
		}
		m := measured{Want: ws.Of(e.Path.Attribute)}
		m.Add(words...)
		for _, at := range e.Path.Slots {
			if single {
				m.teams = append(m.teams, &m.Teams[at])
			}
		}
		out = append(out, m)
	}
	return out
}
