package crowd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// constraint is what the rules want of one attribute of the players of a match.
type constraint struct {
	// spread says how far apart numbers may be.
	spread float64
	// shared is how many words all have to have.
	shared int
	// holders bounds how many players have the words of rules; all if negative.
	holders int
	// distinct: no two the same.
	distinct bool
	// roles in the order of the players.
	roles []string
	of    []own
}

// own is what rules want of one player, as of those in the same team.
type own struct {
	low, high float64
	avoid     []float64
	// words are those that rules name; others may not be.
	words, not []string
}

func newConstraint(players int) *constraint {
	w := &constraint{spread: usualSpread, shared: 1, holders: -1, of: make([]own, players)}
	for i := range w.of {
		w.of[i].low, w.of[i].high = math.Inf(-1), math.Inf(1)
	}
	return w
}

// near wants numbers that are at most this far apart, even as sums of all.
func (w *constraint) near(most float64) { w.spread = min(w.spread, most/float64(2*len(w.of))) }

// free reports that no rule names a value.
func (w *constraint) free() bool {
	for _, o := range w.of {
		if !math.IsInf(o.low, 0) || !math.IsInf(o.high, 0) || len(o.avoid)+len(o.words)+len(o.not) > 0 {
			return false
		}
	}
	return len(w.roles) == 0 && !w.distinct
}

// constraints are those of all rules.
type constraints struct {
	// places is the team of each player.
	places []int
	by     map[string]*constraint
	// latency is the most that the rules allow, in milliseconds; the players of
	// a match have the same if they must not be far apart.
	latency     float64
	sameLatency bool
}

func (ws *constraints) of(attribute string) *constraint {
	if ws.by[attribute] == nil {
		ws.by[attribute] = newConstraint(len(ws.places))
	}
	return ws.by[attribute]
}

// read collects what the rules of a definition want of the first players of
// teams of these sizes.
func read(d *ruleset.Definition, teams []int, players int) *constraints {
	ws := &constraints{by: make(map[string]*constraint), latency: math.Inf(1)}
	for place, size := range teams {
		ws.places = append(ws.places, slices.Repeat([]int{place}, size)...)
	}
	ws.places = ws.places[:players]
	for i := range d.Rules {
		r := &d.Rules[i]
		if r.Optional {
			continue
		}
		switch r.Kind {
		case ruleset.BatchDistance:
			if r.MaxDistance != nil {
				ws.of(r.BatchAttribute).near(*r.MaxDistance)
			}
		case ruleset.TeamDifference:
			if r.MaxDistance != nil {
				ws.of(r.SortAttribute).near(*r.MaxDistance)
			}
		case ruleset.RoleQuota:
			w := ws.of(r.SortAttribute)
			for _, size := range teams {
				w.roles = append(w.roles, quota(r, size)...)
			}
		case ruleset.Latency:
			if r.MaxLatency != nil {
				ws.latency = min(ws.latency, *r.MaxLatency)
			}
			ws.sameLatency = ws.sameLatency || r.MaxDistance != nil
		case ruleset.Comparison, ruleset.Distance, ruleset.Collection:
			for m := range r.Measurements {
				ws.measured(r, &r.Measurements[m])
			}
		}
	}
	return ws
}

// needed is how many players a team must have for its roles.
func needed(r *ruleset.Rule) int {
	n := 0
	for _, role := range r.Roles {
		n += role.Min
	}
	return n
}

// quota gives each player of a team a role: those that have to be there first,
// then those that may.
func quota(r *ruleset.Rule, size int) []string {
	var out, more []string
	for _, role := range r.Roles {
		for n := range min(role.Max, size) {
			if n < role.Min {
				out = append(out, role.Name)
			} else {
				more = append(more, role.Name)
			}
		}
	}
	out = append(out, more...)
	return out[:min(len(out), size)]
}

// measured takes in a rule that looks at an expression.
func (ws *constraints) measured(r *ruleset.Rule, e *ruleset.Expr) {
	for e.Call != nil {
		switch e.Call.Function {
		case ruleset.FnCount, ruleset.FnSum, ruleset.FnStddev:
			return // says nothing of the values of single players
		}
		e = e.Call.Argument
	}
	if e.Path == nil || e.Path.Property != ruleset.PlayerAttribute {
		return
	}
	w := ws.of(e.Path.Attribute)
	var literal *ruleset.Literal
	if r.Reference != nil {
		literal = r.Reference.Literal
	}
	each := func(f func(o *own)) {
		for i := range w.of {
			if slices.Contains(e.Path.Slots, ws.places[i]) {
				f(&w.of[i])
			}
		}
	}
	switch {
	case r.Kind == ruleset.Collection:
		w.collected(r, literal, each)
	case r.Kind == ruleset.Distance && r.MaxDistance != nil && literal != nil:
		for _, v := range numbers(literal) {
			each(func(o *own) { o.low, o.high = max(o.low, v-*r.MaxDistance), min(o.high, v+*r.MaxDistance) })
		}
	case r.Kind == ruleset.Distance && r.MaxDistance != nil:
		w.near(*r.MaxDistance)
	case r.Kind == ruleset.Comparison && literal != nil:
		each(func(o *own) { o.compared(r.Operation, literal) })
	case r.Kind == ruleset.Comparison && r.Operation == ruleset.NotEqual:
		w.distinct = w.distinct || r.Reference == nil
	case r.Kind == ruleset.Comparison:
		w.spread = 0
	}
}

func (o *own) compared(op ruleset.Operation, literal *ruleset.Literal) {
	for _, s := range texts(literal) {
		if op == ruleset.Equal {
			o.words = append(o.words, s)
		} else {
			o.not = append(o.not, s)
		}
	}
	for _, v := range numbers(literal) {
		switch op {
		case ruleset.Equal:
			o.low, o.high = v, v
		case ruleset.NotEqual:
			o.avoid = append(o.avoid, v)
		case ruleset.Less:
			o.high = min(o.high, v-1)
		case ruleset.LessOrEqual:
			o.high = min(o.high, v)
		case ruleset.Greater:
			o.low = max(o.low, v+1)
		case ruleset.GreaterOrEqual:
			o.low = max(o.low, v)
		}
	}
}

func (w *constraint) collected(r *ruleset.Rule, literal *ruleset.Literal, each func(func(o *own))) {
	if r.MinCount != nil && r.Operation == ruleset.CollectionIntersection {
		w.shared = max(w.shared, *r.MinCount)
	}
	if literal == nil {
		return
	}
	if r.MaxCount != nil && *r.MaxCount == 0 {
		each(func(o *own) { o.not = append(o.not, texts(literal)...) })
		return
	}
	each(func(o *own) { o.words = append(o.words, texts(literal)...) })
	if r.MaxCount != nil && r.Operation == ruleset.Contains {
		w.holders = *r.MaxCount
	}
}

func numbers(l *ruleset.Literal) []float64 {
	if l.Number != nil {
		return []float64{*l.Number}
	}
	return l.Numbers
}

func texts(l *ruleset.Literal) []string {
	if l.String != nil {
		return []string{*l.String}
	}
	return l.Strings
}

// values are those of the players, one each. Common numbers the words that no
// rule names; the players of a match have the same.
func (w *constraint) values(a ruleset.Attribute, common int, rng *rand.Rand) []*torikumiv1.Attribute {
	numbers := w.numbers(a, rng)
	out := make([]*torikumiv1.Attribute, len(w.of))
	for i := range out {
		out[i] = new(torikumiv1.Attribute)
		words := w.words(i, common)
		switch a.Type {
		case ruleset.Number:
			out[i].Value = &torikumiv1.Attribute_Number{Number: numbers[i]}
		case ruleset.String:
			out[i].Value = &torikumiv1.Attribute_String_{String_: words[0]}
		case ruleset.StringList:
			out[i].Value = &torikumiv1.Attribute_StringList_{StringList: &torikumiv1.Attribute_StringList{Values: words}}
		case ruleset.StringNumberMap:
			m := make(map[string]float64, len(words))
			for n, word := range words {
				m[word] = numbers[i] + float64(n)
			}
			out[i].Value = &torikumiv1.Attribute_StringNumberMap_{StringNumberMap: &torikumiv1.Attribute_StringNumberMap{Values: m}}
		}
	}
	return out
}

// numbers lie around the default, or where players usually are.
func (w *constraint) numbers(a ruleset.Attribute, rng *rand.Rand) []float64 {
	mean, deviation := float64(usualNumber), float64(usualDeviation)
	if a.Default != nil && a.Type == ruleset.Number {
		mean = a.Default.Number
		deviation = math.Abs(mean) / 10
	}
	base := math.Round(mean + deviation*rng.NormFloat64())
	out := make([]float64, len(w.of))
	for i, o := range w.of {
		v := base + math.Floor(w.spread*rng.Float64())
		if w.distinct {
			v = base + float64(i)
		}
		v = min(max(v, o.low), o.high)
		for slices.Contains(o.avoid, v) {
			v += max(1, math.Abs(v)/1e6) // another number, however large
		}
		out[i] = v
	}
	return out
}

// words of player i, at least one: the first is for a text, all are for a list.
func (w *constraint) words(i, common int) []string {
	o := w.of[i]
	words := slices.Compact(slices.Sorted(slices.Values(o.words)))
	words = slices.DeleteFunc(words, func(s string) bool { return slices.Contains(o.not, s) })
	if w.holders >= 0 && i >= w.holders {
		words = nil
	}
	if i < len(w.roles) {
		// A text is one role; a list is all, so that anybody can stand in.
		first := []string{w.roles[i]}
		for _, s := range slices.Concat(words, w.roles) {
			if !slices.Contains(first, s) {
				first = append(first, s)
			}
		}
		return first
	}
	named := len(words)
	for n := 0; len(words) == 0 || (w.holders >= 0 && len(words)-named < w.shared) || len(words) < w.shared; n++ {
		if s := fmt.Sprintf("word-%d", common+n); !slices.Contains(o.not, s) {
			words = append(words, s)
		}
	}
	if w.distinct {
		words[0] = fmt.Sprintf("%s-%d", words[0], i+1)
	}
	return words
}
