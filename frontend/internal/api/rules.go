package api

import (
	"fmt"

	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// checkRules sees that the players bring what the queue's rule set needs: who
// does not would wait until the ticket expires. Attributes that the rule set
// does not declare are let pass, as a client sends the same ones to all queues.
func checkRules(v *violations, q *queues.Queue, region string, players []*torikumiv1.Player) {
	declared, needs := q.Attributes(), q.Needs()
	placed := region != ""
	for i, p := range players {
		field := func(name string) string { return fmt.Sprintf("players[%d].attributes.%s", i, name) }
		for _, a := range declared {
			if given := p.GetAttributes()[a.Name]; given.GetValue() != nil && typeOf(given) != a.Type {
				v.add(field(a.Name), "must be a %s in queue %q", a.Type, q.Name)
			}
		}
		for _, a := range needs.Attributes {
			if _, there := p.GetAttributes()[a.Name]; !there {
				v.add(field(a.Name), "required in queue %q: a %s", q.Name, a.Type)
			}
		}
		placed = placed || len(p.GetLatencies()) > 0
	}
	if needs.Region && !placed {
		v.add("region", "required in queue %q, unless there are latencies", q.Name)
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
