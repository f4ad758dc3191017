package ruleset

var collectionKind = kindInfo{
	kind: Collection, reader: collection{},
	properties: []string{"measurements", "referenceValue", "operation", "minCount", "maxCount", "partyAggregation"},
	nameable:   true,
}

type collection struct{}

func (collection) read(d *decoder, n *node, r *Rule) {
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

func (collection) want(ws *Wants, r *Rule) {
	_, words := r.Reference.Constants()
	none := r.MaxCount != nil && *r.MaxCount == 0
	for _, m := range ws.measured(r) {
		switch {
		case r.Operation == CollectionIntersection && r.MinCount != nil:
			m.Shared = max(m.Shared, *r.MinCount)
		case r.Operation == Contains && r.MaxCount != nil && len(words) > 0 && !none:
			m.Holders = *r.MaxCount
		}
		for _, team := range m.teams {
			if none {
				team.Not = append(team.Not, words...)
			} else {
				team.Words = append(team.Words, words...)
			}
		}
	}
}
