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
	r.CustomRule, _ = d.name(d.need(n, "rule"), "")
	if v := n.get("parameters"); v != nil {
		r.Parameters = v.json()
	}
	d.checkCustom(n, r)
}

func (d *decoder) teamDifference(n *node, r *Rule) {
	r.SortAttribute, _ = d.attribute(d.need(n, "attribute"), Number)
	r.TeamAggregate = choiceOr(d, n, "aggregate", "avg", "avg", "sum", "min", "max", "median")
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
	r.SortAttribute, _ = d.attribute(d.need(n, "attribute"), String, StringList)
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
	seen := map[string]bool{}
	for _, n := range d.some(list, "role") {
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
		var lowOK bool
		role.Min, lowOK = d.whole(low, 0, MaxPlayers)
		highOK := true
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
	seen := map[string]bool{}
	for _, n := range d.some(list, "team; leave it out for all") {
		name, ok := d.text(n)
		if !ok || !d.unique(n, seen, name, "team") {
			continue
		}
		if !slices.ContainsFunc(d.def.Teams, func(t Team) bool { return t.Name == name }) {
			d.fail(n, "there is no team %q%s", shorten(name), whichTeam(name, names(d.def.Teams, func(t Team) string { return t.Name })))
			continue
		}
		r.RoleTeams = append(r.RoleTeams, name)
	}
}
