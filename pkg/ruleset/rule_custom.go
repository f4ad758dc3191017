package ruleset

var customKind = kindInfo{
	kind: Custom, reader: customReader{},
	properties: []string{"rule", "parameters"},
	large:      true, nameable: true,
}

type customReader struct{ noWants }

func (customReader) read(d *decoder, n *node, r *Rule) {
	r.CustomRule, _ = d.name(d.need(n, "rule"), "")
	if v := n.get("parameters"); v != nil {
		r.Parameters = v.json()
	}
	d.checkCustom(n, r)
}
