package check

import (
	"slices"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// own is the value of a player's attribute: the player's, or the default if there is none. It
// is false if there is neither, or the player's is not of the declared type.
func (j *judge) own(p *rule.Player, name string) (ruleset.Value, bool) {
	declared, ok := j.def.Attribute(name)
	if !ok {
		return ruleset.Value{}, false
	}
	if v, ok := p.Attribute(name); ok {
		return v, v.Type == declared.Type
	}
	if declared.Default != nil {
		return *declared.Default, true
	}
	return ruleset.Value{}, false
}

// party lists who counts together with a member: all who came with the same
// ticket, but of those who already play each counts alone.
func party(m rule.Member) []*rule.Player {
	if m.Ticket.Teams != nil {
		return []*rule.Player{m.Player}
	}
	return playersOf(m.Ticket)
}

func playersOf(t *rule.Ticket) []*rule.Player {
	var out []*rule.Player
	for i := range t.Players {
		out = append(out, &t.Players[i])
	}
	return out
}

// counted is the value that a member counts with in a rule: a float64, a
// string, a list of strings, or nil for none.
func (j *judge) counted(m rule.Member, name string, agg ruleset.Aggregation) any {
	declared, _ := j.def.Attribute(name)
	switch declared.Type {
	case ruleset.Number:
		if numbers := j.numbers(party(m), name); len(numbers) > 0 {
			return aggregate(numbers, agg)
		}
	case ruleset.String:
		if v, ok := j.own(m.Player, name); ok {
			return v.String
		}
	case ruleset.StringList:
		var lists [][]string
		for _, p := range party(m) {
			if v, ok := j.own(p, name); ok {
				lists = append(lists, v.List)
			}
		}
		if len(lists) > 0 {
			return list(combine(lists, agg))
		}
	}
	return nil
}

func (j *judge) numbers(players []*rule.Player, name string) []float64 {
	var out []float64
	for _, p := range players {
		if v, ok := j.own(p, name); ok {
			out = append(out, v.Number)
		}
	}
	return out
}

// aggregate makes one number of those of a party, which are not none.
func aggregate(numbers []float64, agg ruleset.Aggregation) float64 {
	switch agg {
	case ruleset.Min:
		return slices.Min(numbers)
	case ruleset.Max:
		return slices.Max(numbers)
	default:
		return mean(numbers)
	}
}

// combine makes one list of those of a party, which are not none.
func combine(lists [][]string, agg ruleset.Aggregation) []string {
	if len(lists) == 1 {
		return lists[0]
	}
	if agg == ruleset.Intersection {
		return common(lists)
	}
	return distinct(slices.Concat(lists...))
}
