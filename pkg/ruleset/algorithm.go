package ruleset

import "time"

// maxPatience is an hour, in seconds.
const maxPatience = 3600

var algorithmProperties = []string{
	"strategy", "batchingPreference", "sortByAttributes", "balancedAttribute", "expansionAgeSelection", "backfillPriority",
	"patienceSeconds", "preference",
}

// preferences are the named points between 0 and 1.
var preferences = map[string]float64{"fast": 0, "balanced": 0.5, "best": 1}

// algorithm reads the section of this name and fills in FlexMatch's defaults.
func (d *decoder) algorithm(root *node) {
	a := &d.def.Algorithm
	a.Strategy, a.ExpansionAge, a.BackfillPriority = ExhaustiveSearch, Newest, Normal
	n := root.get("algorithm")
	if n == nil {
		a.BatchingPreference = Random
		d.checkSize(root)
		return
	}
	if !d.object(n, algorithmProperties) {
		return
	}
	a.Strategy = choiceOr(d, n, "strategy", a.Strategy, ExhaustiveSearch, Balanced)
	a.ExpansionAge = choiceOr(d, n, "expansionAgeSelection", a.ExpansionAge, Newest, Oldest)
	a.BackfillPriority = choiceOr(d, n, "backfillPriority", a.BackfillPriority, Normal, Low, High)
	seconds, _ := d.whole(n.get("patienceSeconds"), 0, maxPatience)
	a.Patience = time.Duration(seconds) * time.Second
	a.Preference = d.preference(n.get("preference"))
	if a.Patience > 0 && a.Preference > 0 {
		d.fail(n.get("preference"), "patienceSeconds is there too, and both say how long to hold out for closer matches: leave one of them out")
	}
	switch a.Strategy {
	case ExhaustiveSearch:
		d.checkSize(root)
		d.exhaustive(n)
	case Balanced:
		d.balanced(n)
	}
}

// checkSize demands the strategy for large matches where they can be large.
func (d *decoder) checkSize(root *node) {
	if d.players <= MaxSmallPlayers || d.players > MaxPlayers {
		return
	}
	at := root.get("teams")
	if n := root.get("algorithm"); n != nil {
		at = n
		if s := n.get("strategy"); s != nil {
			at = s
		}
	}
	d.fail(at, "a match of %d players, more than %d, needs the algorithm's strategy %q", d.players, MaxSmallPlayers, Balanced)
}

func (d *decoder) exhaustive(n *node) {
	a := &d.def.Algorithm
	a.BatchingPreference = choiceOr(d, n, "batchingPreference", Random, Random, Sorted)
	if v := n.get("balancedAttribute"); v != nil {
		d.fail(v, "balancedAttribute is for the strategy %q alone", Balanced)
	}
	by := n.get("sortByAttributes")
	switch {
	case a.BatchingPreference == Sorted && by == nil:
		d.fail(n, "sortByAttributes is missing, batchingPreference %q needs it", Sorted)
	case a.BatchingPreference == Random && by != nil:
		d.fail(by, "sortByAttributes is for the batchingPreference %q alone", Sorted)
	case a.BatchingPreference == Sorted:
		a.SortByAttributes = d.sortBy(by)
	}
}

// sortBy reads the attributes to sort by: FlexMatch sorts numbers and strings.
func (d *decoder) sortBy(list *node) []string {
	var names []string
	seen := map[string]bool{}
	for _, n := range d.some(list, "attribute") {
		name, t := d.attribute(n, Number, String)
		if t != "" && d.unique(n, seen, name, "attribute") {
			names = append(names, name)
		}
	}
	return names
}

func (d *decoder) balanced(n *node) {
	a := &d.def.Algorithm
	a.BatchingPreference = choiceOr(d, n, "batchingPreference", LargestPopulation, LargestPopulation, FastestRegion)
	if v := n.get("sortByAttributes"); v != nil {
		d.fail(v, "sortByAttributes is for the strategy %q alone", ExhaustiveSearch)
	}
	if v := n.get("balancedAttribute"); v != nil {
		a.BalancedAttribute, _ = d.attribute(v, Number)
	} else {
		d.fail(n, "balancedAttribute is missing, strategy %q needs it", Balanced)
	}
}

// preference reads a word or a number from 0 to 1; nil is 0.
func (d *decoder) preference(n *node) float64 {
	if n == nil {
		return 0
	}
	if p, ok := preferences[n.text]; ok && n.kind == isString {
		return p
	}
	if n.kind != isNumber && (n.kind != isString || !numberText.MatchString(n.text)) {
		d.fail(n, `must be "fast", "balanced", "best" or a number from 0 to 1, not %s`, n.describe())
		return 0
	}
	p, ok := d.number(n)
	if ok && (p < 0 || p > 1) {
		d.fail(n, "must be from 0 (fast) to 1 (best), not %s", shorten(n.text))
		return 0
	}
	return p
}
