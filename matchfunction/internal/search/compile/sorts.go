package compile

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// sorts demand nothing; they say who is considered first.
type sorts struct{}

func (sorts) compile(*checks, *check) error { return nil }

func (sorts) help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error) {
	a, ok := c.definition.Attribute(r.Attribute)
	if !ok {
		return false, fmt.Errorf("%s.sortAttribute: the attribute %q is not declared", r.Path, r.Attribute)
	}
	column, err := c.schema.Column(a, r.PartyAggregation)
	if err != nil {
		return false, err
	}
	p.Sorts = append(p.Sorts, Order{column: column, kind: a.Type, absolute: r.Kind == ruleset.AbsoluteSort,
		Ascending: r.SortAscending, key: r.MapKey, agg: r.PartyAggregation})
	return true, nil
}

// Order is a sorting rule.
type Order struct {
	column    int
	kind      ruleset.AttributeType
	absolute  bool
	Ascending bool
	key       ruleset.MapKey
	agg       ruleset.Aggregation
}

// Rank is what a sorting rule sorts a ticket by, next to the anchor: its
// number, or its number's distance to the anchor's; for words, 0 if they are
// the anchor's and 1 if not.
func (o *Order) Rank(p *pool.Pool, anchor, t int32) float64 {
	var a, b float64
	switch o.kind {
	case ruleset.Number:
		a, b = p.Value(o.column, anchor), p.Value(o.column, t)
	case ruleset.StringNumberMap:
		key, ok := extreme(p.Maps[o.column][p.First[anchor]], o.key)
		if !ok {
			return 0
		}
		a, b = o.mapValue(p, anchor, key), o.mapValue(p, t, key)
	case ruleset.String:
		return one(p.Strings[o.column][p.First[anchor]] != p.Strings[o.column][p.First[t]])
	default:
		return one(!slices.Equal(p.Lists[o.column][p.First[anchor]], p.Lists[o.column][p.First[t]]))
	}
	if o.absolute {
		return b
	}
	return math.Abs(a - b)
}

// extreme is the key with the lowest or the highest value.
func extreme(m map[string]float64, which ruleset.MapKey) (string, bool) {
	best, found := "", false
	for k, v := range m {
		c := cmp.Compare(v, m[best])
		if which == ruleset.MaxValue {
			c = -c
		}
		if !found || c < 0 || (c == 0 && k < best) {
			best, found = k, true
		}
	}
	return best, found
}

// mapValue is the aggregate of a ticket's values at a key, 0 where it is
// missing.
func (o *Order) mapValue(p *pool.Pool, t int32, key string) float64 {
	var v []float64
	for _, m := range p.Maps[o.column][p.First[t]:p.First[t+1]] {
		v = append(v, m[key])
	}
	return pool.Aggregate(o.agg, v)
}
