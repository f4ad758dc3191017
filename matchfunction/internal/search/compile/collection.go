package compile

import (
	"slices"

	"torikumi/pkg/ruleset"
)

type collection struct{}

func (collection) compile(c *checks, k *check) error {
	r := k.rule
	ms, reference, err := c.operands(r)
	if err != nil {
		return err
	}
	least, most := 0, int(^uint(0)>>1)
	if r.MinCount != nil {
		least = *r.MinCount
	}
	if r.MaxCount != nil {
		most = *r.MaxCount
	}
	outside := func(n int) float64 { return float64(max(0, least-n) + max(0, n-most)) }
	k.guard, k.twice = collectionGuard(r, ms), true // empty teams and repairs
	k.broken = func(m *Match) float64 {
		var ref []int32
		if reference != nil {
			ref = m.referenceWords(reference)
		}
		sum := 0.0
		for _, n := range ms {
			v := m.eval(n)
			switch r.Operation {
			case ruleset.CollectionIntersection:
				eachList(v, func(ls [][]int32) {
					// A team that is empty yet says nothing.
					if len(ls) > 0 || !m.filling {
						sum += outside(m.common(ls))
					}
				}, func(ids []int32) { sum += outside(len(m.distinct(ids))) })
			case ruleset.Contains:
				eachList(v, func(ls [][]int32) { sum += outside(holding(ls, ref)) }, func(ids []int32) { sum += outside(within(ids, ref)) })
			default:
				one := func(ids []int32) { sum += outside(within(m.distinct(ids), ref)) }
				eachList(v, func(ls [][]int32) {
					for _, l := range ls {
						one(l)
					}
				}, one)
			}
		}
		return sum
	}
	return nil
}

// help finds the words of which players have to have one in common.
func (collection) help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error) {
	if r.Operation == ruleset.CollectionIntersection && r.MinCount != nil && *r.MinCount > 0 && len(r.Measurements) == 1 {
		if n, err := c.nodes.compile(&r.Measurements[0], r.PartyAggregation); err == nil && n.allPlayers(len(p.Slots)) && n.root().scalar == wordLists {
			p.Common = n.root().column
		}
	}
	return false, nil
}

// collectionGuard reports whether what breaks the rule can't be repaired by adding
// tickets. That is so where what has to be in common gets less with each list,
// and where what is counted gets more, whatever else comes.
func collectionGuard(r *ruleset.Rule, ms []*node) bool {
	switch r.Operation {
	case ruleset.CollectionIntersection:
		for _, m := range ms {
			if m.scalar != wordLists { // a list that players add their words to
				return false
			}
		}
		return r.MinCount != nil && r.MaxCount == nil
	case ruleset.Contains: // all of a reference, which may grow
		return r.MinCount == nil && r.Reference.Literal != nil && !intersects(r)
	default:
		return r.MinCount == nil && !intersects(r)
	}
}

func intersects(r *ruleset.Rule) bool {
	in := func(e *ruleset.Expr) bool {
		for ; e != nil && e.Call != nil; e = e.Call.Argument {
			if e.Call.Function == ruleset.FnSetIntersection {
				return true
			}
		}
		return false
	}
	for i := range r.Measurements {
		if in(&r.Measurements[i]) {
			return true
		}
	}
	return in(r.Reference)
}

// referenceWords are the words anywhere in the reference, sorted.
func (m *Match) referenceWords(n *node) []int32 {
	v := m.eval(n)
	m.reference = append(m.reference[:0], v.ids...)
	for _, l := range v.lists {
		m.reference = append(m.reference, l...)
	}
	slices.Sort(m.reference)
	m.reference = slices.Compact(m.reference)
	return m.reference
}

// eachList shows each list of collections to many, or the one collection to
// single.
func eachList(v *vector, many func([][]int32), single func([]int32)) {
	switch {
	case v.depth < 2 && v.isWords():
		single(v.ids)
	case v.isWords():
		lists := make([][]int32, 0, len(v.ends))
		from := int32(0)
		for _, to := range v.ends {
			lists = append(lists, v.ids[from:to])
			from = to
		}
		many(lists)
	case v.depth < 2:
		many(v.lists)
	default:
		from := int32(0)
		for _, to := range v.ends {
			many(v.lists[from:to])
			from = to
		}
	}
}

// common counts the distinct words that are in all lists.
func (m *Match) common(lists [][]int32) int {
	if len(lists) == 0 {
		return 0
	}
	m.ids = m.distinct(lists[0])
	for _, l := range lists[1:] {
		m.ids = slices.DeleteFunc(m.ids, func(id int32) bool { return !slices.Contains(l, id) })
	}
	return len(m.ids)
}

// distinct are the distinct words of a list, until the next call.
func (m *Match) distinct(ids []int32) []int32 {
	m.ids = distinct(ids, m.ids[:0])
	return m.ids
}

// holding counts the lists that hold all words of the reference.
func holding(lists [][]int32, ref []int32) int {
	n := 0
	for _, l := range lists {
		all := true
		for _, id := range ref {
			all = all && slices.Contains(l, id)
		}
		if all {
			n++
		}
	}
	return n
}

// within counts the words that are in the reference, which is sorted.
func within(ids, ref []int32) int {
	n := 0
	for _, id := range ids {
		if _, in := slices.BinarySearch(ref, id); in {
			n++
		}
	}
	return n
}
