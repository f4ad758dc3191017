package check_test

import (
	"testing"

	"torikumi/pkg/ruleset"
)

func TestCollection(t *testing.T) {
	collection := func(op ruleset.Operation, least, most *int, reference *ruleset.Expr, ms ...ruleset.Expr) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.Collection, Operation: op, MinCount: least, MaxCount: most, Reference: reference, Measurements: ms}
	}
	const (
		intersection = ruleset.CollectionIntersection
		contains     = ruleset.Contains
		counts       = ruleset.ReferenceIntersectionCount
	)
	a, b, c := solo("a", strs("maps", "x", "y", "z")), solo("b", strs("maps", "y", "z")), solo("c", strs("maps", "z", "w"))
	m := match(tickets(a, b), tickets(c))
	twice := match(tickets(solo("d", strs("maps", "x", "x", "y"))), nil)
	all := call(ruleset.FnFlatten, of("maps", red, blue))
	one := call(ruleset.FnFlatten, of("maps", red)) // x y z y z
	modes := match(tickets(solo("a", str("mode", "x")), solo("b", str("mode", "x"))), tickets(solo("c", str("mode", "y"))))
	ref := func(names ...string) *ruleset.Expr { return new(texts(names...)) }

	run(t, []row{
		{"intersection of a list", collection(intersection, new(2), new(2), nil, of("maps", red)), m, ""},
		{"intersection too small", collection(intersection, new(3), nil, nil, of("maps", red)), m, "intersection counts 2, less than 3"},
		{"intersection too large", collection(intersection, nil, new(1), nil, of("maps", red)), m, "intersection counts 2, more than 1"},
		{"intersection of all", collection(intersection, new(1), new(1), nil, all), m, ""},
		{"intersection of each list of lists", collection(intersection, new(2), new(2), nil, of("maps", red, blue)), m, ""},
		{"intersection of each list fails", collection(intersection, nil, new(1), nil, of("maps", red, blue)), m, "intersection counts 2, more than 1"},
		{"intersection of one collection", collection(intersection, new(3), new(3), nil, one), m, ""},
		{"intersection of one counts distinct values", collection(intersection, new(4), nil, nil, one), m, "intersection counts 3, less than 4"},
		{"intersection of strings is one collection", collection(intersection, new(2), nil, nil, of("mode", red)), modes, "intersection counts 1, less than 2"},
		{"intersection of a function", collection(intersection, new(2), nil, nil, call(ruleset.FnSetIntersection, of("maps", red))), m, ""},
		{"intersection of a text", collection(intersection, new(2), new(2), nil, texts("x", "y", "x")), m, ""},
		{"intersection of no collections", collection(intersection, new(1), nil, nil, of("maps", blue)), twice, "intersection counts 0, less than 1"},

		{"contains in a list", collection(contains, new(2), new(2), ref("y", "z"), of("maps", red)), m, ""},
		{"contains needs all of the reference", collection(contains, new(2), nil, ref("x", "y"), of("maps", red)), m, "contains counts 1, less than 2"},
		{"contains too often", collection(contains, nil, new(1), ref("z"), of("maps", red)), m, "contains counts 2, more than 1"},
		{"contains in each list of lists", collection(contains, new(1), nil, ref("y"), of("maps", red, blue)), m, "contains counts 0, less than 1"},
		{"contains in all", collection(contains, new(3), nil, ref("z"), all), m, ""},
		{"contains in one collection", collection(contains, new(4), new(4), ref("y", "z", "q"), one), m, ""},
		{"contains in one collection too often", collection(contains, nil, new(3), ref("y", "z", "q"), one), m, "contains counts 4, more than 3"},
		{"contains in strings", collection(contains, new(2), nil, new(text("x")), of("mode", red)), modes, ""},
		{"contains in too few strings", collection(contains, new(2), nil, new(text("x")), of("mode", blue)), modes, "contains counts 0, less than 2"},
		{"contains refers to the match", collection(contains, new(2), nil, new(call(ruleset.FnSetIntersection, of("maps", red))), of("maps", red)), m, ""},

		{"counts for each collection", collection(counts, new(1), new(2), ref("y", "z"), of("maps", red, blue)), m, ""},
		{"counts too few", collection(counts, new(2), nil, ref("y", "z"), of("maps", red, blue)), m, "reference_intersection_count counts 1, less than 2"},
		{"counts too many", collection(counts, nil, new(1), ref("y", "z"), of("maps", red)), m, "reference_intersection_count counts 2, more than 1"},
		{"counts distinct values", collection(counts, nil, new(1), ref("x"), of("maps", red)), twice, ""},
		{"counts distinct values of one collection", collection(counts, new(2), nil, ref("x"), one), twice, "reference_intersection_count counts 1, less than 2"},
		{"counts anywhere in the reference", collection(counts, new(2), nil, new(of("maps", red, blue)), of("maps", red)), m, ""},
		{"each measurement", collection(counts, new(1), nil, ref("y"), of("maps", red), of("maps", blue)), m, "reference_intersection_count counts 0, less than 1"},
	})
}

func TestCollectionOfParties(t *testing.T) {
	intersection := func(least int, agg ruleset.Aggregation) ruleset.Rule {
		return ruleset.Rule{
			Kind: ruleset.Collection, Operation: ruleset.CollectionIntersection,
			MinCount: &least, Measurements: measured(of("maps", red)), PartyAggregation: agg,
		}
	}
	duo := ticket("duo", player("a", strs("maps", "x", "y")), player("b", strs("maps", "y", "z")))
	m := match(tickets(duo, solo("c", strs("maps", "x", "y", "z"))), nil)

	run(t, []row{
		{"union", intersection(3, ruleset.Union), m, ""},
		{"union is the default", intersection(3, ""), m, ""},
		{"union fails", intersection(4, ruleset.Union), m, "intersection counts 3, less than 4"},
		{"intersection", intersection(1, ruleset.Intersection), m, ""},
		{"intersection fails", intersection(2, ruleset.Intersection), m, "intersection counts 1, less than 2"},
	})
}
