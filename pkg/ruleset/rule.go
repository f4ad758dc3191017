package ruleset

import (
	"slices"
	"strings"
)

// The properties that all rules have, and those of each type. The latter can
// be expanded, but for a compound rule's.
var (
	commonProperties = []string{"name", "description", "type", "secondsUntilOptional"}
	kindProperties   = map[Kind][]string{
		Comparison:    {"measurements", "referenceValue", "operation", "partyAggregation"},
		Distance:      {"measurements", "referenceValue", "minDistance", "maxDistance", "partyAggregation"},
		BatchDistance: {"batchAttribute", "maxDistance", "partyAggregation"},
		Collection:    {"measurements", "referenceValue", "operation", "minCount", "maxCount", "partyAggregation"},
		Latency:       {"maxLatency", "maxDistance", "distanceReference", "partyAggregation"},
		DistanceSort:  {"sortDirection", "sortAttribute", "mapKey", "partyAggregation"},
		AbsoluteSort:  {"sortDirection", "sortAttribute", "mapKey", "partyAggregation"},
		Compound:      {"statement"},

		Expression:      {"expression"},
		Custom:          {"rule", "parameters"},
		TeamDifference:  {"attribute", "aggregate", "maxDifference"},
		TeamSizeBalance: {"maxDifference"},
		PartySizes:      {"maxDifference"},
		RoleQuota:       {"attribute", "roles", "teams"},
	}
)

// kinds are the keys of kindProperties in an order to show them in.
var kinds = []Kind{
	Comparison, Distance, BatchDistance, Collection, Latency, DistanceSort, AbsoluteSort, Compound,
	Expression, Custom, TeamDifference, TeamSizeBalance, PartySizes, RoleQuota,
}

// readers read what each type adds.
var readers = map[Kind]func(*decoder, *node, *Rule){
	Comparison: (*decoder).comparison, Distance: (*decoder).distance, BatchDistance: (*decoder).batchDistance,
	Collection: (*decoder).collection, Latency: (*decoder).latency, Compound: (*decoder).compound,
	DistanceSort: (*decoder).sort, AbsoluteSort: (*decoder).sort,
	Expression: (*decoder).expression, Custom: (*decoder).custom, TeamDifference: (*decoder).teamDifference,
	TeamSizeBalance: (*decoder).sizes, PartySizes: (*decoder).sizes, RoleQuota: (*decoder).roleQuota,
}

// name says what a rule of this type is.
func (k Kind) name() string {
	if k[0] == 'a' || k[0] == 'e' {
		return "an " + string(k) + " rule"
	}
	return "a " + string(k) + " rule"
}

// large are the types of FlexMatch that a match of more than MaxSmallPlayers
// may have. Of ours it may have all.
var large = []Kind{Latency, BatchDistance, Expression, Custom, TeamDifference, TeamSizeBalance, PartySizes, RoleQuota}

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
	if r.Kind = choice(d, kind, kinds...); r.Kind == "" {
		return r
	}
	d.foreign(n, r.Kind)
	if d.players > MaxSmallPlayers && !slices.Contains(large, r.Kind) {
		d.fail(kind, "a match of more than %d players can't have %s", MaxSmallPlayers, r.Kind.name())
	}
	readers[r.Kind](d, n, &r)
	return r
}

// foreign reports properties that don't belong to a rule of this type.
func (d *decoder) foreign(n *node, kind Kind) {
	known := slices.Concat(commonProperties, kindProperties[kind])
	for _, m := range n.members {
		if slices.Contains(known, m.name) {
			continue
		}
		elsewhere := slices.ContainsFunc(kinds, func(k Kind) bool { return slices.Contains(kindProperties[k], m.name) })
		if elsewhere {
			d.failAt(m.at, n.path, "%s is no property of %s, which has %s", m.name, kind.name(),
				strings.Join(kindProperties[kind], ", "))
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
