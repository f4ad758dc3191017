package ruleset

var distanceKind = kindInfo{
	kind: Distance, reader: distance{},
	properties: []string{"measurements", "referenceValue", "minDistance", "maxDistance", "partyAggregation"},
	nameable:   true,
}

type distance struct{}

func (distance) read(d *decoder, n *node, r *Rule) {
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

func (distance) want(ws *Wants, r *Rule) {
	if r.MaxDistance == nil {
		return
	}
	numbers, _ := r.Reference.Constants()
	for _, m := range ws.measured(r) {
		if len(numbers) == 0 && len(m.teams) > 0 {
			m.near(r.MaxDistance)
		}
		for _, team := range m.teams {
			for _, v := range numbers {
				team.Low, team.High = max(team.Low, v-*r.MaxDistance), min(team.High, v+*r.MaxDistance)
			}
		}
	}
}
