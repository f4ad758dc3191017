package compile

import (
	"slices"

	"torikumi/pkg/ruleset"
)

// mostVariants bounds how many ways to keep the compound rules are searched
// for one by one.
const mostVariants = 8

// variants are ways to keep the compound rules of a definition: sets of the
// rules that they name, each of which keeps them if it is kept, as far as it
// can be told from the statements alone. A compound rule says little of where
// to look: of or(and(A, B), C) the search tries matches that keep A and B
// first, then matches that keep C, and then any.
func variants(d *ruleset.Definition) [][]int {
	out := [][]int{nil}
	for i := range d.Rules {
		if s := d.Rules[i].Statement; s != nil && !d.Rules[i].Optional {
			out = product(out, alternatives(s))
		}
	}
	return slices.DeleteFunc(out, func(v []int) bool { return len(v) == 0 })
}

// alternatives are the variants of one statement; a nil one says nothing.
func alternatives(s *ruleset.Statement) [][]int {
	switch s.Connective {
	case "":
		return [][]int{{s.Rule}}
	case ruleset.And:
		out := [][]int{nil}
		for _, p := range s.Parts {
			out = product(out, alternatives(p))
		}
		return out
	case ruleset.Or, ruleset.Xor:
		var out [][]int
		for _, p := range s.Parts {
			out = append(out, alternatives(p)...)
		}
		return out[:min(len(out), mostVariants)]
	default:
		return [][]int{nil}
	}
}

// product joins each of a with each of b.
func product(a, b [][]int) [][]int {
	var out [][]int
	for _, x := range a {
		for _, y := range b {
			if len(out) == mostVariants {
				return out
			}
			out = append(out, append(append([]int(nil), x...), y...))
		}
	}
	return out
}
