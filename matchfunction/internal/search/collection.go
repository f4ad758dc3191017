package search

import (
	"slices"

	"torikumi/pkg/ruleset"
)

func (c *checks) collection(r *ruleset.Rule) (broken func(*state) float64, guard bool, err error) {
	ms, reference, err := c.operands(r)
	if err != nil {
		return nil, false, err
	}
	least, most := 0, int(^uint(0)>>1)
	if r.MinCount != nil {
		least = *r.MinCount
	}
	if r.MaxCount != nil {
		most = *r.MaxCount
	}
	outside := func(n int) float64 { return float64(max(0, least-n) + max(0, n-most)) }
	return func(st *state) float64 {
		var ref []int32
		if reference != nil {
			ref = st.referenceWords(reference)
		}
		sum := 0.0
		for _, m := range ms {
			v := st.eval(m)
			switch r.Operation {
			case ruleset.CollectionIntersection:
				eachList(v, func(ls [][]int32) {
					// A team that is empty yet says nothing.
					if len(ls) > 0 || !st.filling {
						sum += outside(st.common(ls))
					}
				}, func(ids []int32) { sum += outside(len(st.distinct(ids))) })
			case ruleset.Contains:
				eachList(v, func(ls [][]int32) { sum += outside(holding(ls, ref)) }, func(ids []int32) { sum += outside(within(ids, ref)) })
			default:
				one := func(ids []int32) { sum += outside(within(st.distinct(ids), ref)) }
				eachList(v, func(ls [][]int32) {
					for _, l := range ls {
						one(l)
					}
				}, one)
			}
		}
		return sum
	}, collectionGuard(r, ms), nil
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
func (st *state) referenceWords(n *node) []int32 {
	v := st.eval(n)
	st.reference = append(st.reference[:0], v.ids...)
	for _, l := range v.lists {
		st.reference = append(st.reference, l...)
	}
	slices.Sort(st.reference)
	st.reference = slices.Compact(st.reference)
	return st.reference
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
func (st *state) common(lists [][]int32) int {
	if len(lists) == 0 {
		return 0
	}
	st.ids = st.distinct(lists[0])
	for _, l := range lists[1:] {
		st.ids = slices.DeleteFunc(st.ids, func(id int32) bool { return !slices.Contains(l, id) })
	}
	return len(st.ids)
}

// distinct are the distinct words of a list, until the next call.
func (st *state) distinct(ids []int32) []int32 {
	st.ids = distinct(ids, st.ids[:0])
	return st.ids
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
