package cli

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/pkg/ruleset"
)

// warnings are what is odd in a rule set that is not wrong, in the order of
// the text. Only what is certain is said: a warning that may be wrong is soon
// read by nobody.
func (s *source) warnings() []problem {
	out := slices.Concat(s.unread(), s.unbreakable(), s.unkeepable(), s.contradictions(), s.twice(), s.stricter(), s.idleSteps(), s.idlePreference())
	slices.SortStableFunc(out, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Message, b.Message))
	})
	return out
}

// idlePreference finds a preference that changes nothing.
func (s *source) idlePreference() []problem {
	if s.rules.Stages[0].Algorithm.Preference == 0 || s.engine.Prefers() {
		return nil
	}
	return []problem{s.problem("algorithm.preference", "", "changes nothing: no rule (batchDistance, or max less min) bounds the difference of the number by which tickets are sorted")}
}

// unread finds attributes that nothing reads. Custom rules may read any.
func (s *source) unread() []problem {
	read := map[string]bool{}
	var expressions []string
	for i := range s.rules.Stages {
		d := &s.rules.Stages[i].Definition
		for _, name := range d.UsedAttributes() {
			read[name] = true
		}
		for j := range d.Rules {
			switch d.Rules[j].Kind {
			case ruleset.Custom:
				return nil
			case ruleset.Expression:
				expressions = append(expressions, d.Rules[j].Expression)
			}
		}
	}
	var out []problem
	for i, a := range s.rules.Stages[0].Attributes {
		mentioned := slices.ContainsFunc(expressions, func(e string) bool { return strings.Contains(e, a.Name) })
		if !read[a.Name] && !mentioned {
			out = append(out, s.problem(fmt.Sprintf("playerAttributes[%d]", i), "", fmt.Sprintf("nothing reads the attribute %q", a.Name)))
		}
	}
	return out
}

// always returns why a rule is so in every stage in which it demands anything,
// or "".
func (s *source) always(rule int, why func(*ruleset.Definition, *ruleset.Rule) string) string {
	reason := ""
	for i := range s.rules.Stages {
		d := &s.rules.Stages[i].Definition
		r := &d.Rules[rule]
		if r.Optional {
			continue
		}
		now := why(d, r)
		if now == "" {
			return ""
		}
		reason = cmp.Or(reason, now)
	}
	return reason
}

func (s *source) unbreakable() []problem {
	var out []problem
	for i := range s.rules.Stages[0].Rules {
		if why := s.always(i, whyUnbreakable); why != "" {
			out = append(out, s.ruleProblem(i, "no match can break this rule: "+why))
		}
	}
	return out
}

func (s *source) ruleProblem(rule int, message string) problem {
	r := &s.rules.Stages[0].Rules[rule]
	return s.problem(r.Path, r.Name, message)
}

func whyUnbreakable(d *ruleset.Definition, r *ruleset.Rule) string {
	if v := verdictOf(d, r); v.certain && v.kept {
		return v.why
	}
	return ""
}

// fewest is the least number of players of a team, without bots.
func fewest(p ruleset.TeamSlot) int {
	if p.Bots {
		return 0
	}
	return p.Min
}

// unkeepable finds rules that no match can keep, at all or once an expansion has
// changed them. Of those that compound rules name it says nothing: they may be meant
// to be broken.
func (s *source) unkeepable() []problem {
	var out []problem
	for i, named := range s.rules.Stages[0].Named() {
		if named {
			continue
		}
		if why, when := s.lasting([]int{i}, func(stage int) string { return s.whyUnkeepable(stage, i) }); why != "" {
			out = append(out, s.ruleProblem(i, fmt.Sprintf("no match can keep this rule%s: %s", when, why)))
		}
	}
	return out
}

func (s *source) whyUnkeepable(stage, rule int) string {
	d := &s.rules.Stages[stage].Definition
	if v := verdictOf(d, &d.Rules[rule]); v.certain && !v.kept {
		return v.why
	}
	return ""
}

// lasting returns why rules can't be kept, and when: in every stage in which they
// demand anything, or after one in which they could. Rules that can't be kept at first
// may be meant to hold matches up.
func (s *source) lasting(rules []int, why func(stage int) string) (reason, when string) {
	from, kept := 0, false
	for i := range s.rules.Stages {
		d, now := &s.rules.Stages[i].Definition, ""
		optional := slices.ContainsFunc(rules, func(r int) bool { return d.Rules[r].Optional })
		if !optional {
			now = why(i)
		}
		switch {
		case reason != "" && now == "" && kept:
			return reason, fmt.Sprintf(" from a wait of %d s to %d s", s.seconds(from), s.seconds(i))
		case optional:
			return reason, ""
		case now == "":
			reason, kept = "", true
		case reason == "":
			reason, from = now, i
		}
	}
	if kept && reason != "" {
		when = fmt.Sprintf(" from a wait of %d s on", s.seconds(from))
	}
	return reason, when
}

// seconds is the wait from which on a stage counts.
func (s *source) seconds(stage int) int { return int(s.rules.Stages[stage].After / time.Second) }

// twice finds rules that say the same as one above.
func (s *source) twice() []problem {
	same := func(a, b int) bool {
		for i := range s.rules.Stages {
			x, y := s.rules.Stages[i].Rules[a], s.rules.Stages[i].Rules[b]
			y.Name, y.Description, y.Path = x.Name, x.Description, x.Path
			if !reflect.DeepEqual(x, y) {
				return false
			}
		}
		return true
	}
	var out []problem
	rules, named := s.rules.Stages[0].Rules, s.rules.Stages[0].Named()
	for b := range rules {
		for a := range b {
			if !named[a] && !named[b] && same(a, b) {
				out = append(out, s.ruleProblem(b, fmt.Sprintf("says the same as the rule %q", rules[a].Name)))
				break
			}
		}
	}
	return out
}

// stricter finds expansions that make it harder to match.
func (s *source) stricter() []problem {
	var out []problem
	inverted := s.inverted()
	for i := 1; i < len(s.rules.Stages); i++ {
		before, after := &s.rules.Stages[i-1], &s.rules.Stages[i]
		for j := range after.Rules {
			a, b := &before.Rules[j], &after.Rules[j]
			if b.Optional || inverted[j] || s.whyUnkeepable(i-1, j) != "" || whyUnbreakable(&after.Definition, b) != "" {
				continue
			}
			for _, c := range tightened(a, b) {
				p := s.tightening("rules", b.Name, c, after.After)
				p.Rule, p.Message = b.Name, "the rule "+p.Message
				out = append(out, p)
			}
		}
		for j := range after.Teams {
			a, b := &before.Teams[j], &after.Teams[j]
			var changes []change
			if b.MinPlayers > a.MinPlayers && !b.Bots {
				changes = append(changes, change{"minPlayers", strconv.Itoa(a.MinPlayers), strconv.Itoa(b.MinPlayers)})
			}
			if b.MaxPlayers < a.MaxPlayers {
				changes = append(changes, change{"maxPlayers", strconv.Itoa(a.MaxPlayers), strconv.Itoa(b.MaxPlayers)})
			}
			for _, c := range changes {
				p := s.tightening("teams", b.Name, c, after.After)
				p.Message = fmt.Sprintf("the team %q ", b.Name) + p.Message
				out = append(out, p)
			}
		}
	}
	return out
}

// tightening says what gets stricter, for a message that names it.
func (s *source) tightening(section, name string, c change, after time.Duration) problem {
	from := ""
	if c.from != "" {
		from = " from " + c.from
	}
	return s.problem(s.stepPath(section, name, c.property, after), "", fmt.Sprintf(
		"gets stricter after %d s: %s goes%s to %s, which keeps apart who could have met before", after/time.Second, c.property, from, c.to))
}

// change is a property with another value; from is empty if it had none.
type change struct{ property, from, to string }

// tightened are the limits of a rule that another stage narrows. Limits of something
// else than before can't be compared.
func tightened(a, b *ruleset.Rule) []change {
	x, y := *a, *b
	for _, r := range []*ruleset.Rule{&x, &y} {
		r.MaxDistance, r.MinDistance, r.MaxLatency, r.MaxCount, r.MinCount, r.Optional = nil, nil, nil, nil, nil, false
	}
	if !reflect.DeepEqual(x, y) {
		return tightenedComparison(x, y)
	}
	var out []change
	most := func(property string, x, y *float64) {
		if from, to := value(x, math.Inf(1)), value(y, math.Inf(1)); to < from {
			out = append(out, change{property, text(from), text(to)})
		}
	}
	least := func(property string, x, y *float64) {
		if from, to := value(x, 0), value(y, 0); to > from {
			out = append(out, change{property, text(from), text(to)})
		}
	}
	distance := "maxDistance"
	if slices.Contains(b.Kind.Properties(), "maxDifference") {
		distance = "maxDifference"
	}
	most(distance, a.MaxDistance, b.MaxDistance)
	most("maxLatency", a.MaxLatency, b.MaxLatency)
	most("maxCount", number(a.MaxCount), number(b.MaxCount))
	least("minDistance", a.MinDistance, b.MinDistance)
	least("minCount", number(a.MinCount), number(b.MinCount))
	return out
}

func text(limit float64) string {
	if math.IsInf(limit, 0) {
		return ""
	}
	return fmt.Sprintf("%g", limit)
}

// narrower are the operations that let pass less, of the same reference.
var narrower = map[ruleset.Operation][]ruleset.Operation{
	ruleset.LessOrEqual:    {ruleset.Less, ruleset.Equal},
	ruleset.GreaterOrEqual: {ruleset.Greater, ruleset.Equal},
	ruleset.NotEqual:       {ruleset.Less, ruleset.Greater},
}

// tightenedComparison compares rules that differ in operation or referenceValue, if in
// nothing else and not in both.
func tightenedComparison(a, b ruleset.Rule) []change {
	was, is, from, to := a.Operation, b.Operation, a.Reference, b.Reference
	a.Operation, b.Operation, a.Reference, b.Reference = "", "", nil, nil
	if a.Kind != ruleset.Comparison || from == nil || to == nil || !reflect.DeepEqual(a, b) {
		return nil
	}
	if was != is {
		if reflect.DeepEqual(from, to) && slices.Contains(narrower[was], is) {
			return []change{{"operation", string(was), string(is)}}
		}
		return nil
	}
	x, _ := from.Constants()
	y, _ := to.Constants()
	if len(x) == 0 || len(y) == 0 {
		return nil
	}
	switch less := is == ruleset.Less || is == ruleset.LessOrEqual; {
	case less && slices.Min(y) < slices.Min(x):
		return []change{{"referenceValue", text(slices.Min(x)), text(slices.Min(y))}}
	case (is == ruleset.Greater || is == ruleset.GreaterOrEqual) && slices.Max(y) > slices.Max(x):
		return []change{{"referenceValue", text(slices.Max(x)), text(slices.Max(y))}}
	}
	return nil
}

func value(x *float64, none float64) float64 {
	if x == nil {
		return none
	}
	return *x
}

func number(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

// inverted tells which rules a compound rule names inside not or xor: there, a
// narrower rule makes a wider one.
func (s *source) inverted() []bool {
	d := &s.rules.Stages[0].Definition
	out := make([]bool, len(d.Rules))
	var walk func(*ruleset.Statement, bool)
	walk = func(st *ruleset.Statement, in bool) {
		if st.Connective == "" {
			out[st.Rule] = out[st.Rule] || in
		}
		for _, part := range st.Parts {
			walk(part, in || st.Connective == ruleset.Not || st.Connective == ruleset.Xor)
		}
	}
	for i := range d.Rules {
		if st := d.Rules[i].Statement; st != nil {
			walk(st, false)
		}
	}
	return out
}
