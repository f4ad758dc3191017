package ruleset

import "slices"

var roleQuotaKind = kindInfo{
	kind: RoleQuota, reader: roleQuota{},
	properties: []string{"attribute", "roles", "teams"},
	large:      true, nameable: true,
}

type roleQuota struct{}

func (roleQuota) read(d *decoder, n *node, r *Rule) {
	r.Attribute, _ = d.attribute(d.need(n, "attribute"), String, StringList)
	if v := d.need(n, "roles"); v != nil {
		d.roles(v, r)
	}
	if v := n.get("teams"); v != nil {
		d.roleTeams(v, r)
	}
}

// want: teams large enough for their roles.
func (roleQuota) want(ws *Wants, r *Rule) {
	w, least := ws.Of(r.Attribute), 0
	for _, role := range r.Roles {
		w.Add(role.Name)
		least += role.Min
	}
	slots := ws.first.TeamSlots()
	for _, at := range ws.first.RoleSlots(r) {
		ws.Sizes[at] = min(max(ws.Sizes[at], least), slots[at].Max)
		w.Teams[at].Roles = append(w.Teams[at].Roles, r.Roles...)
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

// RoleSlots are the positions in TeamSlots of the teams that a RoleQuota is for.
// A name in RoleTeams stands for all slots of the team.
func (d *Definition) RoleSlots(r *Rule) []int {
	var out []int
	for i, p := range d.TeamSlots() {
		if len(r.RoleTeams) == 0 {
			out = append(out, i)
			continue
		}
		for _, name := range r.RoleTeams {
			if d.Teams[p.Team].Name == name {
				out = append(out, i)
			}
		}
	}
	return out
}
