package check

import (
	"math"
	"slices"
)

// A value is a float64, a string, or a []any of values. Nil is no value, and
// in no list.

// list makes a value of strings or numbers.
func list[T float64 | string](elements []T) []any {
	out := []any{}
	for _, e := range elements {
		out = append(out, e)
	}
	return out
}

// scalars lists the numbers and strings anywhere in a value.
func scalars(v any) []any {
	if v == nil {
		return nil
	}
	elements, ok := v.([]any)
	if !ok {
		return []any{v}
	}
	var out []any
	for _, e := range elements {
		out = append(out, scalars(e)...)
	}
	return out
}

// only lists the numbers, or the strings, anywhere in a value.
func only[T float64 | string](v any) []T {
	var out []T
	for _, s := range scalars(v) {
		if x, ok := s.(T); ok {
			out = append(out, x)
		}
	}
	return out
}

// distinct leaves out what was there before.
func distinct(all []string) []string {
	var out []string
	for _, s := range all {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// common lists the distinct strings that are in all lists; of no lists, none.
func common(lists [][]string) []string {
	if len(lists) == 0 {
		return nil
	}
	return slices.DeleteFunc(distinct(lists[0]), func(s string) bool {
		return slices.ContainsFunc(lists, func(l []string) bool { return !slices.Contains(l, s) })
	})
}

func sum(numbers []float64) float64 {
	total := 0.0
	for _, n := range numbers {
		total += n
	}
	return total
}

// mean is of at least one number, as are median and stddev.
func mean(numbers []float64) float64 { return sum(numbers) / float64(len(numbers)) }

func median(numbers []float64) float64 {
	sorted := slices.Sorted(slices.Values(numbers))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func stddev(numbers []float64) float64 {
	var squares []float64
	for _, n := range numbers {
		squares = append(squares, (n-mean(numbers))*(n-mean(numbers)))
	}
	return math.Sqrt(mean(squares))
}

// Tolerance is how much a distance may be over its limit, as a part of the
// greatest of the limit and the numbers that it is between.
const Tolerance = 1e-9

// atMostApart reports whether two numbers differ by at most a limit. It is false
// for what is not a number.
func atMostApart(a, b, limit float64) bool {
	return math.Abs(a-b) <= limit+slack(a, b, limit)
}

// atLeastApart reports whether two numbers differ by at least a limit.
func atLeastApart(a, b, limit float64) bool {
	return math.Abs(a-b) >= limit-slack(a, b, limit)
}

func slack(a, b, limit float64) float64 {
	return Tolerance * max(math.Abs(a), math.Abs(b), math.Abs(limit))
}
