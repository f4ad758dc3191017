package ruleset

import "slices"

// unique reports a name that was there before, and reports whether it is new.
func (d *decoder) unique(n *node, seen map[string]bool, name, what string) bool {
	if seen[name] {
		d.fail(n, "%s %q is there twice", what, shorten(name))
		return false
	}
	seen[name] = true
	return true
}

var attributeProperties = []string{"name", "type", "default"}

func (d *decoder) attributes(list *node) {
	seen := map[string]bool{}
	for _, n := range d.array(list) {
		if !d.object(n, attributeProperties) {
			continue
		}
		var a Attribute
		name := d.need(n, "name")
		var named bool
		if a.Name, named = d.sendable(name, "[]"); named {
			named = d.unique(name, seen, a.Name, "attribute")
		}
		a.Type = choice(d, d.need(n, "type"), String, Number, StringList, StringNumberMap)
		if v := n.get("default"); v != nil && a.Type != "" {
			a.Default = d.value(v, a.Type)
		}
		if named {
			d.def.Attributes = append(d.def.Attributes, a)
		}
	}
}

func (d *decoder) value(n *node, t AttributeType) *Value {
	v := &Value{Type: t}
	switch t {
	case Number:
		v.Number, _ = d.number(n)
	case String:
		v.String, _ = d.text(n)
	case StringList:
		v.List = []string{}
		for _, item := range d.array(n) {
			s, _ := d.text(item)
			v.List = append(v.List, s)
		}
	case StringNumberMap:
		if n.kind != isObject {
			d.fail(n, "must be an object of numbers, not %s", n.describe())
			break
		}
		v.Map = make(map[string]float64, len(n.members))
		for _, m := range n.members {
			v.Map[m.name], _ = d.number(m.value)
		}
	}
	return v
}

var teamProperties = []string{"name", "minPlayers", "maxPlayers", "quantity", "botsAfterSeconds"}

func (d *decoder) teams(list *node) {
	seen := map[string]bool{}
	for _, n := range d.some(list, "team") {
		if d.object(n, teamProperties) {
			d.team(n, seen)
		}
	}
	d.slots, d.players = d.def.TeamSlots(), d.def.MaxPlayers()
	if d.players > MaxPlayers {
		d.fail(list, "have %d players in all, a match may have at most %d", d.players, MaxPlayers)
	}
}

func (d *decoder) team(n *node, seen map[string]bool) {
	var t Team
	name := d.need(n, "name")
	var named bool
	t.Name, named = d.sendable(name, "[],*")
	least := d.need(n, "minPlayers")
	most := d.need(n, "maxPlayers")
	var minOK, maxOK bool
	t.MinPlayers, minOK = d.whole(least, 0, MaxPlayers)
	t.MaxPlayers, maxOK = d.whole(most, 1, MaxPlayers)
	if minOK && maxOK && t.MinPlayers > t.MaxPlayers {
		d.fail(least, "minPlayers %d is more than maxPlayers %d", t.MinPlayers, t.MaxPlayers)
	}
	t.Quantity, _ = d.whole(n.get("quantity"), 1, MaxPlayers)
	t.Quantity = max(t.Quantity, 1)
	wait, ok := d.seconds(n.get("botsAfterSeconds"), 0)
	t.Bots = ok && wait <= d.after
	if !named || !d.unique(name, seen, t.Name, "team") {
		return
	}
	if last := slotName(t.Name, t.Quantity); t.Quantity > 1 && !ValidName(last) {
		d.fail(name, "%s, also with its number: got %q", NameRule, last)
		return
	}
	for i := range t.Quantity {
		if t.Quantity > 1 && !d.unique(name, seen, slotName(t.Name, i+1), "team") {
			return
		}
	}
	d.def.Teams = append(d.def.Teams, t)
}

// attribute reads the name of a declared attribute of one of some types, and
// returns its type.
func (d *decoder) attribute(n *node, types ...AttributeType) (string, AttributeType) {
	name, ok := d.text(n)
	if !ok {
		return "", ""
	}
	a, ok := d.def.Attribute(name)
	if !ok {
		d.fail(n, "attribute %q is not declared in playerAttributes%s", shorten(name), didYouMean(name, d.def.attributeNames()))
		return "", ""
	}
	if a.Type != "" && !slices.Contains(types, a.Type) {
		d.fail(n, "attribute %q is a %s, must be %s", name, a.Type, oneOf(types, func(t AttributeType) string { return "a " + string(t) }))
		return "", ""
	}
	return name, a.Type
}

func (d *Definition) attributeNames() []string {
	return names(d.Attributes, func(a Attribute) string { return a.Name })
}
