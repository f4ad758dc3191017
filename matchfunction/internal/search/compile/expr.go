package compile

import (
	"fmt"
	"math"
	"slices"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// vector is the value of an expression: numbers, ids of strings, or lists of
// such ids, alone (depth 0), in a list (1) or in lists (2), whose ends are in
// ends.
type vector struct {
	scalar  scalar
	depth   int
	numbers []float64
	ids     []int32
	lists   [][]int32
	ends    []int32
}

func (v *vector) reset(depth int) {
	v.depth = depth
	v.numbers, v.ids, v.lists, v.ends = v.numbers[:0], v.ids[:0], v.lists[:0], v.ends[:0]
}

func (v *vector) len() int { return max(len(v.numbers), len(v.ids), len(v.lists)) }

func (v *vector) isWords() bool { return v.scalar == words }

// scalar tells what an expression's innermost values are.
type scalar uint8

const (
	numbers scalar = iota
	words
	wordLists
	people // for count alone
)

// node is a compiled expression.
type node struct {
	// id is the place of its value among those of a match.
	id     int
	scalar scalar
	// depth of what it yields.
	depth int

	literal *vector

	// For a path:
	slots  []int
	column int

	function ruleset.Function
	argument *node
}

// nodes compiles the expressions of one stage.
type nodes struct {
	schema     *pool.Schema
	definition *ruleset.Definition
	count      int
}

func (c *nodes) compile(e *ruleset.Expr, agg ruleset.Aggregation) (*node, error) {
	n := &node{id: c.count, column: -1}
	c.count++
	switch {
	case e.Literal != nil:
		c.literal(n, e.Literal)
		return n, nil
	case e.Path != nil:
		return n, c.path(n, e.Path, agg)
	default:
		argument, err := c.compile(e.Call.Argument, agg)
		if err != nil {
			return nil, err
		}
		n.function, n.argument = e.Call.Function, argument
		return n, n.typed()
	}
}

func (c *nodes) literal(n *node, l *ruleset.Literal) {
	n.literal = new(vector)
	n.scalar = words
	switch {
	case l.Number != nil:
		n.scalar, n.literal.numbers = numbers, []float64{*l.Number}
	case l.String != nil:
		n.literal.ids = []int32{c.schema.Word(*l.String)}
	case l.Numbers != nil:
		n.scalar, n.literal.numbers, n.depth = numbers, l.Numbers, 1
	default:
		n.depth = 1
		for _, w := range l.Strings {
			n.literal.ids = append(n.literal.ids, c.schema.Word(w))
		}
	}
	n.literal.depth, n.literal.scalar = n.depth, n.scalar
}

func (c *nodes) path(n *node, p *ruleset.Path, agg ruleset.Aggregation) error {
	n.slots, n.depth = p.Slots, 1
	if p.List {
		n.depth = 2
	}
	switch p.Property {
	case ruleset.Players:
		n.scalar = people
	case ruleset.PlayerID:
		n.scalar, n.column = words, playerIDs
	default:
		a, ok := c.definition.Attribute(p.Attribute)
		if !ok {
			return fmt.Errorf("the attribute %q is not declared", p.Attribute)
		}
		switch a.Type {
		case ruleset.Number:
			n.scalar = numbers
		case ruleset.String:
			n.scalar = words
		case ruleset.StringList:
			n.scalar = wordLists
		default:
			return fmt.Errorf("the attribute %q is a map, which expressions can't read", p.Attribute)
		}
		var err error
		n.column, err = c.schema.Column(a, agg)
		return err
	}
	return nil
}

// playerIDs stands for a column that holds the players' ids.
const playerIDs = -2

// typed finds what a function yields.
func (n *node) typed() error {
	a := n.argument
	n.scalar, n.depth = numbers, a.depth-1
	switch n.function {
	case ruleset.FnFlatten:
		n.scalar = a.scalar
		if a.scalar == wordLists && a.depth == 1 {
			n.scalar, n.depth = words, 1 // the strings of all lists
		}
	case ruleset.FnSetIntersection:
		n.scalar, n.depth = words, a.depth
		if a.scalar == words {
			n.depth = a.depth - 1
		}
	case ruleset.FnCount:
		if a.scalar == wordLists {
			n.depth = a.depth
		}
	default:
		if a.scalar != numbers {
			return fmt.Errorf("%s takes numbers", n.function)
		}
	}
	if n.depth < 0 || (n.scalar == words && n.function == ruleset.FnSetIntersection && n.depth < 1) || (n.function == ruleset.FnFlatten && n.depth < 1) {
		return fmt.Errorf("%s takes a list", n.function)
	}
	return nil
}

// eval computes an expression over the match in the making. The result is
// good until the same node is evaluated again.
func (m *Match) eval(n *node) *vector {
	if n.literal != nil {
		return n.literal
	}
	v := &m.values[n.id]
	v.reset(n.depth)
	v.scalar = n.scalar
	if n.argument == nil {
		m.evalPath(n, v)
		return v
	}
	a := m.eval(n.argument)
	switch n.function {
	case ruleset.FnFlatten:
		v.numbers, v.ids = append(v.numbers, a.numbers...), append(v.ids, a.ids...)
		if n.scalar == words && n.argument.scalar == wordLists {
			for _, l := range a.lists {
				v.ids = append(v.ids, l...)
			}
			return v
		}
		v.lists = append(v.lists, a.lists...)
	case ruleset.FnSetIntersection:
		intersections(n, a, v)
	default:
		m.reduce(n, a, v)
	}
	return v
}

func (m *Match) evalPath(n *node, v *vector) {
	p := m.Pool
	for _, slot := range n.slots {
		for from, to := range m.Players(slot) {
			switch {
			case n.scalar == people:
				for range to - from {
					v.numbers = append(v.numbers, 0)
				}
			case n.column == playerIDs:
				v.ids = append(v.ids, p.PlayerIDs()[from:to]...)
			case n.scalar == numbers:
				v.numbers = append(v.numbers, p.Numbers[n.column][from:to]...)
			case n.scalar == words:
				v.ids = append(v.ids, p.Strings[n.column][from:to]...)
			default:
				v.lists = append(v.lists, p.Lists[n.column][from:to]...)
			}
		}
		if n.depth == 2 {
			v.ends = append(v.ends, int32(v.len()))
		}
	}
}

// reduce makes one number of each innermost list.
func (m *Match) reduce(n *node, a, v *vector) {
	if n.function == ruleset.FnCount {
		count(n, a, v)
		return
	}
	from := int32(0)
	ends := a.ends
	if a.depth < 2 {
		ends = []int32{int32(len(a.numbers))}
	}
	for _, to := range ends {
		if x, ok := m.aggregate(n.function, a.numbers[from:to]); ok {
			v.numbers = append(v.numbers, x)
		}
		from = to
	}
}

func count(n *node, a, v *vector) {
	if n.argument.scalar == wordLists {
		for _, l := range a.lists {
			v.numbers = append(v.numbers, float64(len(l)))
		}
		v.ends = append(v.ends, a.ends...)
		return
	}
	if a.depth < 2 {
		v.numbers = append(v.numbers, float64(a.len()))
		return
	}
	from := int32(0)
	for _, to := range a.ends {
		v.numbers = append(v.numbers, float64(to-from))
		from = to
	}
}

// aggregate is a function of numbers; there is none of no numbers but their
// sum.
func (m *Match) aggregate(f ruleset.Function, x []float64) (float64, bool) {
	if len(x) == 0 {
		return 0, f == ruleset.FnSum
	}
	switch f {
	case ruleset.FnMin:
		return slices.Min(x), true
	case ruleset.FnMax:
		return slices.Max(x), true
	case ruleset.FnSum:
		sum := 0.0
		for _, y := range x {
			sum += y
		}
		return sum, true
	case ruleset.FnMedian:
		m.sorted = append(m.sorted[:0], x...)
		slices.Sort(m.sorted)
		mid := len(x) / 2
		if len(x)%2 == 1 {
			return m.sorted[mid], true
		}
		return m.sorted[mid-1]/2 + m.sorted[mid]/2, true
	case ruleset.FnStddev:
		mid, sum := pool.Mean(x), 0.0
		for _, y := range x {
			sum += (y - mid) * (y - mid)
		}
		return math.Sqrt(sum / float64(len(x))), true
	default:
		return pool.Mean(x), true
	}
}

// intersections puts into v the words that are in all lists of each list of
// lists.
func intersections(n *node, a, v *vector) {
	if n.argument.scalar == words { // lists of words: one result
		v.ids = intersectSpans(a, v.ids)
		return
	}
	if a.depth < 2 {
		v.ids = intersect(a.lists, v.ids)
		return
	}
	from := int32(0)
	for _, to := range a.ends {
		v.ids = intersect(a.lists[from:to], v.ids)
		v.ends = append(v.ends, int32(len(v.ids)))
		from = to
	}
}

// intersect appends the words that are in all lists, which are sorted and
// distinct.
func intersect(lists [][]int32, to []int32) []int32 {
	if len(lists) == 0 {
		return to
	}
	start := len(to)
	to = append(to, lists[0]...)
	for _, l := range lists[1:] {
		kept := start
		for _, id := range to[start:] {
			if _, in := slices.BinarySearch(l, id); in {
				to[kept] = id
				kept++
			}
		}
		to = to[:kept]
	}
	return to
}

// intersectSpans appends the words that are in all innermost lists of words.
func intersectSpans(a *vector, to []int32) []int32 {
	if a.depth < 2 {
		return distinct(a.ids, to)
	}
	from := int32(0)
	for i, end := range a.ends {
		span := a.ids[from:end]
		from = end
		if i == 0 {
			to = distinct(span, to)
			continue
		}
		to = slices.DeleteFunc(to, func(id int32) bool { return !slices.Contains(span, id) })
	}
	return to
}

func distinct(ids, to []int32) []int32 {
	start := len(to)
	to = append(to, ids...)
	slices.Sort(to[start:])
	return to[:start+len(slices.Compact(to[start:]))]
}
