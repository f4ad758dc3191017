package ruleset

// UsedAttributes lists the attributes that a match can't do without, in the
// order of their declaration: those that the algorithm and the rules read,
// sorts included, but for rules that are optional by now and rules that only
// such compound rules name. What an expression or a custom rule reads by itself is not
// known here.
func (d *Definition) UsedAttributes() []string {
	used := map[string]bool{d.Algorithm.BalancedAttribute: true}
	for _, name := range d.Algorithm.SortByAttributes {
		used[name] = true
	}
	demanded := d.Demanded()
	for i := range d.Rules {
		if demanded[i] {
			d.Rules[i].attributes(used)
		}
	}
	var out []string
	for _, a := range d.Attributes {
		if used[a.Name] {
			out = append(out, a.Name)
		}
	}
	return out
}

// Demanded tells which rules matter: those that are not optional, and of those
// that compound rules name, the ones that such a rule names. It is indexed like
// Definition.Rules.
func (d *Definition) Demanded() []bool {
	named := d.Named()
	out := make([]bool, len(d.Rules))
	for i := range d.Rules {
		if !d.Rules[i].Optional && !named[i] {
			out[i] = true
			d.Rules[i].Statement.mark(out)
		}
	}
	return out
}

func (r *Rule) attributes(used map[string]bool) {
	used[r.BatchAttribute] = true
	used[r.Attribute] = true
	for i := range r.Measurements {
		used[r.Measurements[i].Attribute()] = true
	}
	if r.Reference != nil {
		used[r.Reference.Attribute()] = true
	}
}

// MaxParty is the largest party that finds a team to be in as a whole.
func (d *Definition) MaxParty() int {
	largest := 0
	for _, t := range d.Teams {
		largest = max(largest, t.MaxPlayers)
	}
	return largest
}

// MinPlayers is how many players the smallest match has, bots not
// counted: at least one.
func (d *Definition) MinPlayers() int {
	n := 0
	for _, p := range d.TeamSlots() {
		if !p.Bots {
			n += p.Min
		}
	}
	return max(n, 1)
}

// MaxPlayers is how many players the largest match has.
func (d *Definition) MaxPlayers() int {
	n := 0
	for _, t := range d.Teams {
		n += t.MaxPlayers * t.Quantity
	}
	return n
}
