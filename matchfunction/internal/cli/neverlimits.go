package cli

import (
	"fmt"
	"slices"

	"torikumi/pkg/ruleset"
)

// subject is what a rule limits: the values of an expression, the differences of two,
// or a count of a collection.
type subject struct {
	// text is the same for the same values; name is for messages.
	text, name string
	// slots are the teams, where the values are those of players; of is then which.
	slots []int
	of    string
	// between are subjects, from the least to the largest of which the values are.
	between []subject
}

// limit is what a rule says of each value of a subject that has some in every match.
type limit struct {
	subject
	numbers intervals
	word    *string  // this one, if not nil
	not     []string // none of these
}

// limitsOf reads rules that compare with constants, or expressions with each other.
func limitsOf(d *ruleset.Definition, r *ruleset.Rule) []limit {
	var out []limit
	for i := range r.Measurements {
		e := valuesOf(&r.Measurements[i])
		switch {
		case r.Kind == ruleset.Collection:
			out = append(out, countLimits(d, r, &r.Measurements[i])...)
		case r.Reference == nil || !yields(d, e):
		case r.Reference.Literal == nil:
			out = append(out, differenceLimits(d, r, e)...)
		default:
			out = append(out, valueLimits(d, r, e)...)
		}
	}
	return out
}

// valuesOf is an expression with the same values in fewer lists.
func valuesOf(e *ruleset.Expr) *ruleset.Expr {
	for e.Call != nil && e.Call.Function == ruleset.FnFlatten {
		e = e.Call.Argument
	}
	return e
}

func subjectOf(d *ruleset.Definition, r *ruleset.Rule, e *ruleset.Expr) subject {
	s := subject{text: textOf(r, e), name: e.Source}
	if p := e.Path; p != nil && p.Property != ruleset.Players {
		s.name, s.slots, s.of = p.Attribute, p.Slots, fmt.Sprint(p.Property, p.Attribute)
		if a, _ := d.Attribute(p.Attribute); a.Type == ruleset.Number {
			s.of += string(r.PartyAggregation)
		}
		if p.Property == ruleset.PlayerID {
			s.name = "playerId"
		}
	}
	if e.Call != nil && within(e.Call.Function) {
		inner := subjectOf(d, r, valuesOf(e.Call.Argument))
		s.between = append(s.between, inner)
		s.between = append(s.between, inner.between...)
	}
	return s
}

// within reports whether a function's result is from the least to the largest value.
func within(f ruleset.Function) bool {
	return f == ruleset.FnMin || f == ruleset.FnMax || f == ruleset.FnAvg || f == ruleset.FnMedian
}

func textOf(r *ruleset.Rule, e *ruleset.Expr) string {
	if e.Call != nil {
		return fmt.Sprintf("%s(%s)", e.Call.Function, textOf(r, e.Call.Argument))
	}
	if e.Path != nil {
		return fmt.Sprint(*e.Path, r.PartyAggregation)
	}
	return e.Source
}

// valueLimits are of comparisons with constants.
func valueLimits(d *ruleset.Definition, r *ruleset.Rule, e *ruleset.Expr) []limit {
	l := limit{subject: subjectOf(d, r, e), numbers: intervals{anywhere}}
	numbers, words := r.Reference.Constants()
	for _, n := range numbers {
		l.numbers = l.numbers.and(allowed(r, n))
	}
	switch _, other := different(words, "%s"); {
	case len(words) > 0 && r.Operation == ruleset.Equal && other == "":
		l.word = &words[0]
	case r.Operation == ruleset.NotEqual:
		l.not = words
	}
	out := []limit{l}
	// What is at most the largest value is so of each, and at least the least.
	for bounds := l.numbers.hull(); e.Call != nil && len(numbers) > 0; {
		switch e.Call.Function {
		case ruleset.FnMin:
			bounds.most, bounds.openMost = anywhere.most, false
		case ruleset.FnMax:
			bounds.least, bounds.openLeast = anywhere.least, false
		default:
			return out
		}
		e = valuesOf(e.Call.Argument)
		out = append(out, limit{subject: subjectOf(d, r, e), numbers: intervals{bounds}})
	}
	return out
}

// differenceLimits are of expressions against each other: of what is measured less
// the reference. Of strings it counts whether it is 0.
func differenceLimits(d *ruleset.Definition, r *ruleset.Rule, e *ruleset.Expr) []limit {
	reference := valuesOf(r.Reference)
	if !yields(d, reference) {
		return nil
	}
	a, b, numbers := subjectOf(d, r, e), subjectOf(d, r, reference), allowed(r, 0)
	if a.shares(d, b) && len(numbers.and(allowed(&ruleset.Rule{Operation: ruleset.Equal}, 0))) == 0 {
		numbers = nil // not even a value and itself
	}
	name := fmt.Sprintf("the difference between %s and %s", a.name, b.name)
	if a.text > b.text {
		a, b, numbers = b, a, numbers.negated()
	}
	return []limit{{subject: subject{text: a.text + " - " + b.text, name: name}, numbers: numbers}}
}

// countLimits are of collections, which lists count for themselves.
func countLimits(d *ruleset.Definition, r *ruleset.Rule, e *ruleset.Expr) []limit {
	if r.Operation == ruleset.ReferenceIntersectionCount && !yields(d, e) {
		return nil // each collection has a count of its own
	}
	s := subject{text: string(r.Operation) + " " + textOf(r, e), name: fmt.Sprintf("the count of %q", r.Operation)}
	if r.Reference != nil {
		s.text += " " + textOf(r, r.Reference)
	}
	bounds := interval{least: value(number(r.MinCount), 0), most: value(number(r.MaxCount), anywhere.most)}
	return []limit{{subject: s, numbers: intervals{bounds}}}
}

// shares reports whether two subjects have a value in common in every match.
func (a subject) shares(d *ruleset.Definition, b subject) bool {
	if a.text == b.text {
		return true
	}
	var common []int
	for _, i := range a.slots {
		if slices.Contains(b.slots, i) {
			common = append(common, i)
		}
	}
	return len(common) > 0 && a.of == b.of && inhabited(d, common)
}

// covers reports whether all values of another subject are of this one.
func (a subject) covers(b subject) bool {
	return a.text == b.text || len(b.slots) > 0 && a.of == b.of &&
		!slices.ContainsFunc(b.slots, func(i int) bool { return !slices.Contains(a.slots, i) })
}

// against is why no match keeps both limits, or "". Of a limit that no match keeps by
// itself it says nothing.
func (a limit) against(d *ruleset.Definition, b limit) string {
	const none = "of %s they leave no value"
	if a.shares(d, b.subject) {
		switch {
		case a.word != nil && b.word != nil && *a.word != *b.word:
			return fmt.Sprintf("%s can't be both %q and %q", a.name, *b.word, *a.word)
		case a.word != nil && slices.Contains(b.not, *a.word), b.word != nil && slices.Contains(a.not, *b.word), apart(a.numbers, b.numbers):
			return fmt.Sprintf(none, a.name)
		}
		return ""
	}
	for _, pair := range [][2]limit{{a, b}, {b, a}} {
		result, values := pair[0], pair[1]
		if slices.ContainsFunc(result.between, values.covers) && apart(result.numbers, intervals{values.numbers.hull().rounded()}) {
			return fmt.Sprintf(none, result.name)
		}
	}
	return ""
}

func apart(a, b intervals) bool { return len(a) > 0 && len(b) > 0 && len(a.and(b)) == 0 }

// exclusive is why no match keeps the limits of two rules, or "".
func exclusive(d *ruleset.Definition, a, b []limit) string {
	for _, l := range b {
		for _, o := range a {
			if why := l.against(d, o); why != "" {
				return why
			}
		}
	}
	return ""
}

// judgeLimits finds rules that leave no number by themselves.
func judgeLimits(d *ruleset.Definition, r *ruleset.Rule) verdict {
	if !slices.ContainsFunc(limitsOf(d, r), func(l limit) bool { return len(l.numbers) == 0 }) {
		return verdict{}
	}
	switch {
	case r.Reference.Literal != nil:
		return verdict{true, false, fmt.Sprintf("no number is as far as it says from each of %s", r.Reference.Source)}
	case r.Kind == ruleset.Distance:
		return verdict{true, false, fmt.Sprintf("values are compared with themselves, at a distance of 0, and minDistance is %g", *r.MinDistance)}
	}
	return verdict{true, false, fmt.Sprintf("values are compared with themselves, and none is %s itself", r.Operation)}
}
