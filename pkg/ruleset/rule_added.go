package ruleset

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxExpression bounds the CEL source of an expression rule, in characters.
const maxExpression = 4096

func (d *decoder) expression(n *node, r *Rule) {
	v := d.need(n, "expression")
	s, ok := d.text(v)
	switch {
	case !ok:
	case strings.TrimSpace(s) == "":
		d.fail(v, "must not be empty")
	case utf8.RuneCountInString(s) > maxExpression:
		d.fail(v, "has %d characters, may have at most %d", utf8.RuneCountInString(s), maxExpression)
	default:
		r.Expression = s
		d.checkExpression(v, r)
	}
}

func (d *decoder) custom(n *node, r *Rule) {
	if v := d.need(n, "rule"); v != nil {
		r.CustomRule, _ = d.name(v, "")
	}
	if v := n.get("parameters"); v != nil {
		r.Parameters = v.json()
	}
	d.checkCustom(n, r)
}

func (d *decoder) teamDifference(n *node, r *Rule) {
	if v := d.need(n, "attribute"); v != nil {
		r.SortAttribute, _ = d.attribute(v, Number)
	}
	r.TeamAggregate = "avg"
	if v := n.get("aggregate"); v != nil {
		r.TeamAggregate = choice(d, v, "avg", "sum", "min", "max", "median")
	}
	r.MaxDistance = d.amount(d.need(n, "maxDifference"))
}

// sizes reads the rules about numbers of players.
func (d *decoder) sizes(n *node, r *Rule) {
	if most, ok := d.whole(d.need(n, "maxDifference"), 0, MaxPlayers); ok {
		f := float64(most)
		r.MaxDistance = &f
	}
}

func (d *decoder) roleQuota(n *node, r *Rule) {
	if v := d.need(n, "attribute"); v != nil {
		r.SortAttribute, _ = d.attribute(v, String, StringList)
	}
	if v := d.need(n, "roles"); v != nil {
		d.roles(v, r)
	}
	if v := n.get("teams"); v != nil {
		d.roleTeams(v, r)
	}
}

var roleProperties = []string{"role", "min", "max"}

// roles reads quotas. One without a maximum may fill a match.
func (d *decoder) roles(list *node, r *Rule) {
	items := d.array(list)
	if list.kind == isArray && len(items) == 0 {
		d.fail(list, "must have at least one role")
	}
	seen := map[string]bool{}
	for _, n := range items {
		if !d.object(n, roleProperties) {
			continue
		}
		role := Role{Max: MaxPlayers}
		name := d.need(n, "role")
		var named bool
		if role.Name, named = d.name(name, ""); named {
			named = d.unique(name, seen, role.Name, "role")
		}
		low, high := n.get("min"), n.get("max")
		if low == nil && high == nil {
			d.fail(n, "min or max is missing")
		}
		lowOK, highOK := true, true
		if low != nil {
			role.Min, lowOK = d.whole(low, 0, MaxPlayers)
		}
		if high != nil {
			role.Max, highOK = d.whole(high, 0, MaxPlayers)
		}
		if lowOK && highOK && role.Min > role.Max {
			d.fail(low, "min %d is more than max %d", role.Min, role.Max)
		}
		if named {
			r.Roles = append(r.Roles, role)
		}
	}
}

func (d *decoder) roleTeams(list *node, r *Rule) {
	items := d.array(list)
	if list.kind == isArray && len(items) == 0 {
		d.fail(list, "must have at least one team; leave it out for all")
	}
	seen := map[string]bool{}
	for _, n := range items {
		name, ok := d.text(n)
		if !ok || !d.unique(n, seen, name, "team") {
			continue
		}
		if !slices.ContainsFunc(d.def.Teams, func(t Team) bool { return t.Name == name }) {
			d.fail(n, "there is no team %q%s", shorten(name), whichTeam(name, teamNames(d.def.Teams)))
			continue
		}
		r.RoleTeams = append(r.RoleTeams, name)
	}
}

func teamNames(teams []Team) []string {
	names := make([]string, len(teams))
	for i, t := range teams {
		names[i] = t.Name
	}
	return names
}
