package api

import (
	"fmt"
	"slices"

	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// checkRules sees that the players bring what the queue's rule set needs: who
// does not would wait until the ticket expires. Attributes that the rule set
// does not declare are let pass, as a client sends the same ones to all queues.
func checkRules(v *violations, q *queues.Queue, region string, players []*torikumiv1.Player) {
	declared, needs := q.Attributes(), q.Needs()
	measured := 0
	for i, p := range players {
		field := func(name string) string { return fmt.Sprintf("players[%d].attributes.%s", i, name) }
		for _, a := range declared {
			if given := p.GetAttributes()[a.Name]; given.GetValue() != nil && typeOf(given) != a.Type {
				v.add(field(a.Name), "must be a %s in queue %q%s", a.Type, q.Name, from(q, a.Name))
			}
		}
		for _, a := range needs.Attributes {
			if _, there := p.GetAttributes()[a.Name]; !there {
				v.add(field(a.Name), "required in queue %q: a %s%s", q.Name, a.Type, from(q, a.Name))
			}
		}
		if len(p.GetLatencies()) > 0 {
			measured++
		}
	}
	switch {
	case !needs.Region:
	case measured == 0 && region == "":
		v.add("region", "required in queue %q, unless there are latencies", q.Name)
	case measured > 0:
		checkLatencies(v, q, region, players)
	}
}

// checkLatencies sees that there is a region to which all players have latencies,
// as rules on them ask for.
func checkLatencies(v *violations, q *queues.Queue, region string, players []*torikumiv1.Player) {
	for name := range players[0].GetLatencies() {
		shared := func(p *torikumiv1.Player) bool { _, ok := p.GetLatencies()[name]; return ok }
		if (region == "" || region == name) && !slices.ContainsFunc(players, func(p *torikumiv1.Player) bool { return !shared(p) }) {
			return
		}
	}
	for i, p := range players {
		if _, known := p.GetLatencies()[region]; len(p.GetLatencies()) == 0 || region != "" && !known {
			field := fmt.Sprintf("players[%d].latencies", i)
			if region != "" {
				field += "." + region
			}
			v.add(field, "required in queue %q, as others of the party have latencies or a region is asked for", q.Name)
		}
	}
	if region == "" && !slices.ContainsFunc(players, func(p *torikumiv1.Player) bool { return len(p.GetLatencies()) == 0 }) {
		v.add("players", "must have latencies to a region that all share, in queue %q", q.Name)
	}
}

// typeOf is the type of an attribute as rule sets know it, or empty.
func typeOf(a *torikumiv1.Attribute) ruleset.AttributeType {
	switch a.GetValue().(type) {
	case *torikumiv1.Attribute_Number:
		return ruleset.Number
	case *torikumiv1.Attribute_String_:
		return ruleset.String
	case *torikumiv1.Attribute_StringList_:
		return ruleset.StringList
	case *torikumiv1.Attribute_StringNumberMap_:
		return ruleset.StringNumberMap
	default:
		return ""
	}
}
