package cli

import (
	"fmt"
	"math"

	"torikumi/pkg/ruleset"
)

// judgeTeams is of rules that compare teams: one cannot differ.
func judgeTeams(d *ruleset.Definition, _ *ruleset.Rule) verdict {
	if len(d.TeamSlots()) == 1 {
		return verdict{true, true, "there is only one team"}
	}
	return verdict{}
}

func judgeTeamSizes(d *ruleset.Definition, r *ruleset.Rule) verdict {
	if v := judgeTeams(d, r); v.certain {
		return v
	}
	// The largest and the smallest team that there can be, and that there have to be.
	least, most, largest, smallest := math.MaxInt, 0, 0, math.MaxInt
	for _, p := range d.TeamSlots() {
		least, most = min(least, fewest(p)), max(most, p.Max)
		largest, smallest = max(largest, fewest(p)), min(smallest, p.Max)
	}
	switch {
	case *r.MaxDistance >= float64(most-least):
		return verdict{true, true, fmt.Sprintf("teams have from %d to %d players, and never differ by more than %g", least, most, *r.MaxDistance)}
	case float64(largest-smallest) > *r.MaxDistance:
		return verdict{true, false, fmt.Sprintf("one team has at least %d players, another at most %d", largest, smallest)}
	}
	return verdict{}
}

func judgePartySizes(d *ruleset.Definition, r *ruleset.Rule) verdict {
	if v := judgeTeams(d, r); v.certain {
		return v
	}
	most := d.MaxParty()
	if *r.MaxDistance >= float64(most-1) {
		return verdict{true, true, fmt.Sprintf("parties have from 1 to %d players, and never differ by more than %g", most, *r.MaxDistance)}
	}
	return verdict{}
}

// judgeRoles compares how many players the roles are for, and how many a team has. A team
// without players has a quota too.
func judgeRoles(d *ruleset.Definition, r *ruleset.Rule) verdict {
	slots, least, most := d.TeamSlots(), 0, 0
	for _, role := range r.Roles {
		least, most = least+role.Min, most+role.Max
	}
	for _, i := range d.RoleSlots(r) {
		p := slots[i]
		switch {
		case most < fewest(p):
			return verdict{true, false, fmt.Sprintf("the roles are for at most %d players, team %q has at least %d", most, p.Name, fewest(p))}
		case least > p.Max:
			return verdict{true, false, fmt.Sprintf("the roles need %d players, team %q has at most %d", least, p.Name, p.Max)}
		}
	}
	return verdict{}
}
