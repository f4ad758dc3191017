package ruleset

var batchDistanceKind = kindInfo{
	kind: BatchDistance, reader: batchDistance{},
	properties: []string{"batchAttribute", "maxDistance", "partyAggregation"},
	large:      true,
}

type batchDistance struct{}

func (batchDistance) read(d *decoder, n *node, r *Rule) {
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

// want: of strings nothing, as players are given the same.
func (batchDistance) want(ws *Wants, r *Rule) { ws.Of(r.BatchAttribute).near(r.MaxDistance) }
