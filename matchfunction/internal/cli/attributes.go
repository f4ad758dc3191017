package cli

import (
	"fmt"
	"maps"
	"slices"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
)

// warnTickets warns, once for each attribute, of what players bring and the
// rule set does not read: what it does not declare, or as another type.
func warnTickets(proc service.Process, command, file string, rs *ruleset.RuleSet, tickets []rule.Ticket) {
	count := make(map[string]int)
	for i := range tickets {
		for j := range tickets[i].Players {
			for _, a := range tickets[i].Players[j].Attributes {
				if why := unreadable(&rs.Stages[0].Definition, &a); why != "" {
					count[why]++
				}
			}
		}
	}
	for _, why := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(proc.Stderr, "matchfunction %s: %s: warning: %s, of %s\n", command, file, why, explain.Count(count[why], "player", "players"))
	}
}

func unreadable(d *ruleset.Definition, a *rule.Attribute) string {
	switch declared, ok := d.Attribute(a.Name); {
	case !ok:
		return fmt.Sprintf("the attribute %q is not declared in playerAttributes and not read", a.Name)
	case declared.Type != a.Value.Type:
		return fmt.Sprintf("the attribute %q is a %s, must be a %s", a.Name, a.Value.Type, declared.Type)
	default:
		return ""
	}
}
