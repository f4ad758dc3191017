package crowd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// group is whom values of one attribute are made for.
type group struct {
	*ruleset.Want
	// teams is the team of each player.
	teams []int
	// roles is that of each player, empty for none.
	roles []string
}

// newGroup is of the first players of teams of these sizes.
func newGroup(w *ruleset.Want, sizes []int, players int) *group {
	g := &group{Want: w}
	for team, size := range sizes {
		g.teams = append(g.teams, slices.Repeat([]int{team}, size)...)
		g.roles = append(g.roles, quota(w.Teams[team].Roles, size)...)
	}
	g.teams = g.teams[:players]
	return g
}

// quota gives each player of a team a role: those that have to be there first,
// then those that may.
func quota(roles []ruleset.Role, size int) []string {
	var out, more []string
	for _, role := range roles {
		if slices.Contains(out, role.Name) || slices.Contains(more, role.Name) {
			continue // another rule has it too
		}
		for n := range min(role.Max, size) {
			if n < role.Min {
				out = append(out, role.Name)
			} else {
				more = append(more, role.Name)
			}
		}
	}
	return slices.Concat(out, more, make([]string, size))[:size]
}

// values are those of the players, one each. Common numbers the words that no
// rule names; the players of a match have the same.
func (g *group) values(a ruleset.Attribute, common int, rng *rand.Rand) []*torikumiv1.Attribute {
	numbers := g.numbers(a, rng)
	out := make([]*torikumiv1.Attribute, len(g.teams))
	for i := range out {
		out[i] = new(torikumiv1.Attribute)
		words := g.words(i, common)
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

// numbers lie around the default, or where players usually are. They are near
// enough for rules about the sums of teams, too.
func (g *group) numbers(a ruleset.Attribute, rng *rand.Rand) []float64 {
	mean, deviation := float64(usualNumber), float64(usualDeviation)
	if a.Default != nil && a.Type == ruleset.Number {
		mean = a.Default.Number
		deviation = math.Abs(mean) / 10
	}
	base := math.Round(mean + deviation*rng.NormFloat64())
	spread := min(usualSpread, g.Near/float64(2*len(g.teams)))
	out := make([]float64, len(g.teams))
	for i := range out {
		o := &g.Teams[g.teams[i]]
		v := base + math.Floor(spread*rng.Float64())
		if g.Distinct {
			v = base + float64(i)
		}
		v = min(max(v, o.Low), o.High)
		for slices.Contains(o.Avoid, v) {
			v += max(1, math.Abs(v)/1e6) // another number, however large
		}
		out[i] = v
	}
	return out
}

// words of player i, at least one: the first is for a text, all are for a list.
func (g *group) words(i, common int) []string {
	o := &g.Teams[g.teams[i]]
	words := slices.Compact(slices.Sorted(slices.Values(o.Words)))
	words = slices.DeleteFunc(words, func(s string) bool { return slices.Contains(o.Not, s) })
	if g.Holders >= 0 && i >= g.Holders {
		words = nil
	}
	if g.roles[i] != "" {
		// A text is one role; a list is all, so that anybody can stand in.
		first := []string{g.roles[i]}
		for _, s := range slices.Concat(words, g.roles) {
			if s != "" && !slices.Contains(first, s) {
				first = append(first, s)
			}
		}
		return first
	}
	named := len(words)
	for n := 0; len(words) == 0 || (g.Holders >= 0 && len(words)-named < g.Shared) || len(words) < g.Shared; n++ {
		if s := fmt.Sprintf("word-%d", common+n); !slices.Contains(o.Not, s) {
			words = append(words, s)
		}
	}
	if g.Distinct {
		words[0] = fmt.Sprintf("%s-%d", words[0], i+1)
	}
	return words
}
