package check

import (
	"fmt"
	"slices"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// missing judges that each player has what rules and algorithm read, whatever
// it is worth.
func (j *judge) missing() []Violation {
	var out []Violation
	algorithm := slices.Clone(j.def.Algorithm.SortByAttributes)
	if j.def.Algorithm.BalancedAttribute != "" {
		algorithm = append(algorithm, j.def.Algorithm.BalancedAttribute)
	}
	for _, name := range algorithm {
		out = append(out, j.lacking("", name)...)
	}
	for _, i := range j.read() {
		r := &j.def.Rules[i]
		for _, name := range attributesOf(r) {
			out = append(out, j.lacking(r.Name, name)...)
		}
		if r.Kind != ruleset.Latency {
			continue
		}
		for _, t := range j.match.Tickets {
			if !namesRegions(t) {
				out = append(out, Violation{Rule: r.Name, Text: fmt.Sprintf("ticket %q has neither a region nor latencies", t.ID)})
			} else if p, lacks := unmeasured(t, j.match.Region); lacks {
				out = append(out, Violation{Rule: r.Name, Text: fmt.Sprintf("player %q of ticket %q has no latency to %q", p, t.ID, j.match.Region)})
			}
		}
	}
	return out
}

// unmeasured finds a player of a new ticket who has no latency to a region, where
// another has latencies.
func unmeasured(t *rule.Ticket, region string) (player string, lacks bool) {
	if t.Teams != nil || !slices.ContainsFunc(t.Players, func(p rule.Player) bool { return len(p.Latencies) > 0 }) {
		return "", false
	}
	for i := range t.Players {
		if _, known := t.Players[i].Latency(region); !known {
			return t.Players[i].ID, true
		}
	}
	return "", false
}

// lacking lists the players who lack an attribute that a rule reads.
func (j *judge) lacking(ruleName, attribute string) []Violation {
	var out []Violation
	for _, t := range j.match.Tickets {
		for i := range t.Players {
			if _, ok := j.own(&t.Players[i], attribute); !ok {
				out = append(out, Violation{Rule: ruleName, Text: fmt.Sprintf("player %q has no %q", t.Players[i].ID, attribute)})
			}
		}
	}
	return out
}

// read lists the rules that are looked at, by position: those in force, and
// those that compounds among them name, unless they are optional.
func (j *judge) read() []int {
	var out []int
	var add func(i int)
	var walk func(s *ruleset.Statement)
	add = func(i int) {
		if j.def.Rules[i].Optional || slices.Contains(out, i) {
			return
		}
		out = append(out, i)
		if s := j.def.Rules[i].Statement; s != nil {
			walk(s)
		}
	}
	walk = func(s *ruleset.Statement) {
		if s.Connective == "" {
			add(s.Rule)
		}
		for _, part := range s.Parts {
			walk(part)
		}
	}
	for i := range j.def.Rules {
		if j.inForce(i) {
			add(i)
		}
	}
	return out
}

// inForce reports whether a rule demands something by itself.
func (j *judge) inForce(i int) bool { return !j.def.Rules[i].Optional && !j.def.Named()[i] }

// attributesOf lists the attributes that a rule reads, each once.
func attributesOf(r *ruleset.Rule) []string {
	var out []string
	add := func(name string) {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for i := range r.Measurements {
		add(r.Measurements[i].Attribute())
	}
	if r.Reference != nil {
		add(r.Reference.Attribute())
	}
	add(r.BatchAttribute)
	add(r.Attribute)
	return out
}
