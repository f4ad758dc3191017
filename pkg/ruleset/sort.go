package ruleset

// Sorts are never true or false, so compound rules name none.
var (
	distanceSortKind = kindInfo{kind: DistanceSort, reader: sorts{}, properties: sortProperties}
	absoluteSortKind = kindInfo{kind: AbsoluteSort, reader: sorts{}, properties: sortProperties}
)

var sortProperties = []string{"sortDirection", "sortAttribute", "mapKey", "partyAggregation"}

// sorts reads both.
type sorts struct{ noWants }

func (sorts) read(d *decoder, n *node, r *Rule) {
	d.aggregation(n, r)
	r.SortAscending = choice(d, d.need(n, "sortDirection"), "ascending", "descending") == "ascending"
	key := n.get("mapKey")
	r.MapKey = choice(d, key, MinValue, MaxValue)
	v := d.need(n, "sortAttribute")
	if v == nil {
		return
	}
	var t AttributeType
	r.Attribute, t = d.attribute(v, Number, StringNumberMap)
	switch {
	case t == StringNumberMap && key == nil:
		d.fail(n, "mapKey is missing: attribute %q is a string_number_map", r.Attribute)
	case t == Number && key != nil:
		d.fail(key, "mapKey is for a string_number_map; attribute %q is a number", r.Attribute)
	}
}
