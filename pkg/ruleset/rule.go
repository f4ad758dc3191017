package ruleset

import (
	"slices"
	"strings"
)

// commonProperties are those that all rules have.
var commonProperties = []string{"name", "description", "type", "secondsUntilOptional"}

// rules reads the section of this name. A rule with mistakes keeps its
// position, so that compound rules find the right ones.
func (d *decoder) rules(list *node) {
	seen := map[string]bool{}
	for _, n := range d.array(list) {
		d.def.Rules = append(d.def.Rules, d.readRule(n, seen))
	}
	for i, named := range d.def.Named() {
		if v := list.items[i].get("secondsUntilOptional"); named && v != nil {
			d.rule = d.def.Rules[i].Name
			d.fail(v, "a rule that a compound rule names can't become optional; the compound rule can")
			d.rule = ""
		}
	}
}

func (d *decoder) readRule(n *node, seen map[string]bool) Rule {
	r := Rule{Path: n.path}
	if n.kind != isObject {
		d.object(n, nil)
		return r
	}
	defer func() { d.rule = "" }()
	if v := n.get("name"); v != nil && v.kind == isString {
		d.rule = v.text
	}
	name := d.need(n, "name")
	if s, ok := d.name(name, "[]"); ok && d.unique(name, seen, s, "rule") {
		r.Name = s
	}
	r.Description, _ = d.text(n.get("description"))
	wait, ok := d.seconds(n.get("secondsUntilOptional"), 1)
	r.Optional = ok && wait <= d.after
	kind := d.need(n, "type")
	if r.Kind = choice(d, kind, allKinds()...); r.Kind == "" {
		return r
	}
	info := r.Kind.info()
	d.foreign(n, info)
	if d.players > MaxSmallPlayers && !info.large {
		d.fail(kind, "a match of more than %d players can't have %s", MaxSmallPlayers, r.Kind.name())
	}
	info.reader.read(d, n, &r)
	return r
}

// foreign reports properties that don't belong to a rule of this type.
func (d *decoder) foreign(n *node, info *kindInfo) {
	known := slices.Concat(commonProperties, info.properties)
	for _, m := range n.members {
		if slices.Contains(known, m.name) {
			continue
		}
		elsewhere := slices.ContainsFunc(kindTable, func(k *kindInfo) bool { return slices.Contains(k.properties, m.name) })
		if elsewhere {
			d.failAt(m.at, n.path, "%s is no property of %s, which has %s", m.name, info.kind.name(),
				strings.Join(info.properties, ", "))
			continue
		}
		d.failAt(m.at, n.path, "unknown property %q%s", shorten(m.name), didYouMean(m.name, known))
	}
}

// aggregation reads how a party becomes one value: of numbers the mean, if it
// doesn't say.
func (d *decoder) aggregation(n *node, r *Rule) {
	r.PartyAggregation = choiceOr(d, n, "partyAggregation", Avg, Avg, Min, Max)
}

// measurement is the node of the i-th measurement, of what may be one string.
func measurement(n *node, i int) *node {
	v := n.get("measurements")
	if v.kind == isArray {
		return v.items[i]
	}
	return v
}
