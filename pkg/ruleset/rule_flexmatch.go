package ruleset

// comparison reads a comparison rule: with a reference, or among the values
// measured.
func (d *decoder) comparison(n *node, r *Rule) {
	d.aggregation(n, r)
	var want AttributeType
	r.Measurements, want = d.measurements(n, "")
	r.Operation = choice(d, d.need(n, "operation"), Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual)
	reference := n.get("referenceValue")
	if reference != nil {
		r.Reference = d.reference(reference, want)
	}
	ordered := r.Operation != "" && r.Operation != Equal && r.Operation != NotEqual
	switch {
	case ordered && reference == nil:
		d.fail(n.get("operation"), "%s needs a referenceValue; without one, values are compared with each other by = or !=", r.Operation)
	case ordered && want == String:
		d.fail(n.get("operation"), "%s compares numbers, not strings", r.Operation)
	}
	for i, e := range r.Measurements {
		at := measurement(n, i)
		if reference == nil && e.Type.Lists == 0 {
			d.fail(at, "is a %s: without a referenceValue a list is needed, whose values are compared with each other", e.Type.name())
		}
		if d.ofCollections(&e) {
			d.fail(at, "is a %s out of a string_list attribute; use a collection rule", e.Type.name())
		}
	}
}

// measurement is the node of the i-th measurement, of what may be one string.
func measurement(n *node, i int) *node {
	v := n.get("measurements")
	if v.kind == isArray {
		return v.items[i]
	}
	return v
}

// ofCollections reports whether an expression yields players' string lists.
func (d *decoder) ofCollections(e *Expr) bool {
	for e.Call != nil {
		if e.Call.Function != FnFlatten && e.Call.Function != FnSetIntersection {
			return false
		}
		e = e.Call.Argument
	}
	if e.Path == nil || e.Path.Property != PlayerAttribute {
		return false
	}
	a, _ := d.def.Attribute(e.Path.Attribute)
	return a.Type == StringList
}

func (d *decoder) distance(n *node, r *Rule) {
	d.aggregation(n, r)
	r.Measurements, _ = d.measurements(n, Number)
	if v := d.need(n, "referenceValue"); v != nil {
		r.Reference = d.reference(v, Number)
	}
	low, high := n.get("minDistance"), n.get("maxDistance")
	if low == nil && high == nil {
		d.fail(n, "maxDistance or minDistance is missing")
	}
	r.MinDistance, r.MaxDistance = d.amount(low), d.amount(high)
	if r.MinDistance != nil && r.MaxDistance != nil && *r.MinDistance > *r.MaxDistance {
		d.fail(low, "minDistance %g is more than maxDistance %g", *r.MinDistance, *r.MaxDistance)
	}
}

func (d *decoder) batchDistance(n *node, r *Rule) {
	d.aggregation(n, r)
	v := d.need(n, "batchAttribute")
	if v == nil {
		return
	}
	var t AttributeType
	r.BatchAttribute, t = d.attribute(v, Number, String)
	most := n.get("maxDistance")
	switch {
	case t == Number && most == nil:
		d.fail(n, "maxDistance is missing: attribute %q is a number", r.BatchAttribute)
	case t == String && most != nil:
		d.fail(most, "maxDistance is for numbers; attribute %q is a string, which all players have to share", r.BatchAttribute)
	default:
		r.MaxDistance = d.amount(most)
	}
}

func (d *decoder) collection(n *node, r *Rule) {
	r.PartyAggregation = choiceOr(d, n, "partyAggregation", Union, Union, Intersection)
	r.Measurements, _ = d.measurements(n, String)
	for i, e := range r.Measurements {
		if e.Type.Lists == 0 {
			d.fail(measurement(n, i), "is a %s, must be a list of strings, or lists of them", e.Type.name())
		}
	}
	r.Operation = choice(d, d.need(n, "operation"), CollectionIntersection, Contains, ReferenceIntersectionCount)
	reference := n.get("referenceValue")
	switch {
	case reference == nil && (r.Operation == Contains || r.Operation == ReferenceIntersectionCount):
		d.fail(n, "referenceValue is missing, operation %q needs it", r.Operation)
	case reference != nil && r.Operation == CollectionIntersection:
		d.fail(reference, "operation %q has no referenceValue", r.Operation)
	case reference != nil:
		r.Reference = d.reference(reference, String)
	}
	d.counts(n, r)
}

func (d *decoder) counts(n *node, r *Rule) {
	const most = 1_000_000 // more than there can be
	low, high := n.get("minCount"), n.get("maxCount")
	if low == nil && high == nil {
		d.fail(n, "minCount or maxCount is missing")
	}
	if c, ok := d.whole(low, 0, most); ok {
		r.MinCount = &c
	}
	if c, ok := d.whole(high, 0, most); ok {
		r.MaxCount = &c
	}
	if r.MinCount != nil && r.MaxCount != nil && *r.MinCount > *r.MaxCount {
		d.fail(low, "minCount %d is more than maxCount %d", *r.MinCount, *r.MaxCount)
	}
}

func (d *decoder) latency(n *node, r *Rule) {
	d.aggregation(n, r)
	most, distance, reference := n.get("maxLatency"), n.get("maxDistance"), n.get("distanceReference")
	r.MaxLatency, r.MaxDistance = d.amount(most), d.amount(distance)
	r.DistanceReference = choice(d, reference, Min, Avg)
	switch {
	case most == nil && distance == nil && reference == nil:
		d.fail(n, "maxLatency is missing, or maxDistance with distanceReference")
	case distance != nil && reference == nil:
		d.fail(n, "distanceReference is missing, maxDistance needs it")
	case reference != nil && distance == nil:
		d.fail(n, "maxDistance is missing, distanceReference needs it")
	case distance != nil && d.players > MaxSmallPlayers:
		d.fail(distance, "a match of more than %d players can't have maxDistance in a latency rule, only maxLatency", MaxSmallPlayers)
	}
}

func (d *decoder) sort(n *node, r *Rule) {
	d.aggregation(n, r)
	r.SortAscending = choice(d, d.need(n, "sortDirection"), "ascending", "descending") == "ascending"
	key := n.get("mapKey")
	r.MapKey = choice(d, key, MinValue, MaxValue)
	v := d.need(n, "sortAttribute")
	if v == nil {
		return
	}
	var t AttributeType
	r.SortAttribute, t = d.attribute(v, Number, StringNumberMap)
	switch {
	case t == StringNumberMap && key == nil:
		d.fail(n, "mapKey is missing: attribute %q is a string_number_map", r.SortAttribute)
	case t == Number && key != nil:
		d.fail(key, "mapKey is for a string_number_map; attribute %q is a number", r.SortAttribute)
	}
}

func (d *decoder) compound(n *node, r *Rule) {
	v := d.need(n, "statement")
	if s, ok := d.text(v); ok {
		p := statementParser{scanner{d: d, n: v, text: []rune(s)}}
		r.Statement = p.parse()
	}
}
