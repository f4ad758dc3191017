package ruleset

var compoundKind = kindInfo{
	kind: Compound, reader: compound{},
	properties: []string{"statement"},
}

type compound struct{ noWants }

func (compound) read(d *decoder, n *node, r *Rule) {
	v := d.need(n, "statement")
	if s, ok := d.text(v); ok {
		p := statementParser{scanner{d: d, n: v, text: []rune(s)}}
		r.Statement = p.parse()
	}
}
