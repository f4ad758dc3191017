package ruleset

var teamDifferenceKind = kindInfo{
	kind: TeamDifference, reader: teamDifference{},
	properties: []string{"attribute", "aggregate", "maxDifference"},
	large:      true, nameable: true,
}

type teamDifference struct{}

func (teamDifference) read(d *decoder, n *node, r *Rule) {
	r.Attribute, _ = d.attribute(d.need(n, "attribute"), Number)
	r.TeamAggregate = choiceOr(d, n, "aggregate", "avg", "avg", "sum", "min", "max", "median")
	r.MaxDistance = d.amount(d.need(n, "maxDifference"))
}

func (teamDifference) want(ws *Wants, r *Rule) { ws.Of(r.Attribute).near(r.MaxDistance) }
