package check

import (
	"fmt"
	"slices"

	"torikumi/pkg/ruleset"
)

// collection: a count has to be from MinCount to MaxCount, for each measurement
// and, in lists of lists of collections, each list of collections for itself.
func (j *judge) collection(r *ruleset.Rule) string {
	var reference []string
	if r.Reference != nil {
		reference = only[string](j.eval(r.Reference, r.PartyAggregation))
	}
	for i := range r.Measurements {
		v, depth := j.eval(&r.Measurements[i], r.PartyAggregation), j.depth(&r.Measurements[i])
		for _, count := range counts(r.Operation, v, depth, reference) {
			if r.MinCount != nil && count < *r.MinCount {
				return fmt.Sprintf("%s counts %d, less than %d", r.Operation, count, *r.MinCount)
			}
			if r.MaxCount != nil && count > *r.MaxCount {
				return fmt.Sprintf("%s counts %d, more than %d", r.Operation, count, *r.MaxCount)
			}
		}
	}
	return ""
}

// counts lists the counts of an operation in a measurement: a collection is of
// depth 1, a list of collections of depth 2, lists of those are deeper.
func counts(op ruleset.Operation, measurement any, depth int, reference []string) []int {
	if depth > 2 {
		var out []int
		for _, e := range measurement.([]any) {
			out = append(out, counts(op, e, depth-1, reference)...)
		}
		return out
	}
	if depth == 1 {
		return []int{countInOne(op, only[string](measurement), reference)}
	}
	var collections [][]string
	for _, e := range measurement.([]any) {
		collections = append(collections, only[string](e))
	}
	return countInList(op, collections, reference)
}

func countInOne(op ruleset.Operation, collection, reference []string) int {
	switch op {
	case ruleset.CollectionIntersection:
		return len(distinct(collection))
	case ruleset.Contains:
		return countIn(collection, reference)
	case ruleset.ReferenceIntersectionCount:
		return countIn(distinct(collection), reference)
	}
	panic(fmt.Sprintf("check: %q is no operation of collections", op))
}

// countIn counts what of a collection is in the reference.
func countIn(collection, reference []string) int {
	count := 0
	for _, s := range collection {
		if slices.Contains(reference, s) {
			count++
		}
	}
	return count
}

// countInList counts in a list of collections: once in all of it, or once in
// each of them.
func countInList(op ruleset.Operation, collections [][]string, reference []string) []int {
	switch op {
	case ruleset.CollectionIntersection:
		return []int{len(common(collections))}
	case ruleset.Contains:
		count := 0
		for _, c := range collections {
			if holdsAll(c, reference) {
				count++
			}
		}
		return []int{count}
	default:
		var out []int
		for _, c := range collections {
			out = append(out, countInOne(op, c, reference))
		}
		return out
	}
}

func holdsAll(collection, reference []string) bool {
	return !slices.ContainsFunc(reference, func(s string) bool { return !slices.Contains(collection, s) })
}
