package check

import (
	"fmt"
	"slices"

	"torikumi/matchfunction/rule"
)

// region judges that each ticket can play where the match is.
func region(m *rule.Match) []Violation {
	var out []Violation
	anyNames := false
	for _, t := range m.Tickets {
		if !namesRegions(t) {
			continue
		}
		anyNames = true
		if m.Region != "" && !usable(t, m.Region) {
			out = append(out, Violation{Text: fmt.Sprintf("ticket %q can't play in region %q", t.ID, m.Region)})
		}
	}
	if anyNames && m.Region == "" {
		out = append(out, Violation{Text: "tickets name regions, but the match has none"})
	}
	if !anyNames && m.Region != "" {
		out = append(out, Violation{Text: fmt.Sprintf("no ticket names regions, but the match is in %q", m.Region)})
	}
	return out
}

// namesRegions reports whether a ticket asks for a region, or any of its players
// has latencies.
func namesRegions(t *rule.Ticket) bool {
	return t.Region != "" || slices.ContainsFunc(t.Players, func(p rule.Player) bool { return len(p.Latencies) > 0 })
}

// usable reports whether a ticket can play in a region: in that which it asks
// for, or else in those to which all players that have latencies have one.
func usable(t *rule.Ticket, region string) bool {
	if t.Region != "" {
		return region == t.Region
	}
	for i := range t.Players {
		p := &t.Players[i]
		if _, known := p.Latency(region); len(p.Latencies) > 0 && !known {
			return false
		}
	}
	return true
}
