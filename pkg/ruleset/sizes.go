package ruleset

var (
	teamSizeBalanceKind = kindInfo{kind: TeamSizeBalance, reader: sizes{}, properties: []string{"maxDifference"}, large: true, nameable: true}
	partySizesKind      = kindInfo{kind: PartySizes, reader: sizes{}, properties: []string{"maxDifference"}, large: true, nameable: true}
)

// sizes reads the rules about numbers of players.
type sizes struct{}

func (sizes) read(d *decoder, n *node, r *Rule) {
	if most, ok := d.whole(d.need(n, "maxDifference"), 0, MaxPlayers); ok {
		f := float64(most)
		r.MaxDistance = &f
	}
}

func (sizes) want(ws *Wants, r *Rule) { ws.NoParties = ws.NoParties || r.Kind == PartySizes }
