package ruleset

var latencyKind = kindInfo{
	kind: Latency, reader: latency{},
	properties: []string{"maxLatency", "maxDistance", "distanceReference", "partyAggregation"},
	large:      true, nameable: true,
}

type latency struct{}

func (latency) read(d *decoder, n *node, r *Rule) {
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

func (latency) want(ws *Wants, r *Rule) {
	if r.MaxLatency != nil {
		ws.MaxLatency = min(ws.MaxLatency, *r.MaxLatency)
	}
	ws.SameLatency = ws.SameLatency || r.MaxDistance != nil
}
