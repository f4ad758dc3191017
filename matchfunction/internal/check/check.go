package check

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Violation is something that a match breaks.
type Violation struct {
	// Rule is the name of the rule, or empty for what any match has to be.
	Rule string
	// Text says what is wrong, for developers.
	Text string
}

// String is the text with the rule before it.
func (v Violation) String() string {
	if v.Rule == "" {
		return v.Text
	}
	return v.Rule + ": " + v.Text
}

// Checker judges by one rule set. It may be used by many goroutines at once if
// its custom rules and expressions may.
type Checker struct {
	rules *ruleset.RuleSet
	// custom and expressions hold what rules of these kinds call, by stage and
	// position of the rule.
	custom      []map[int]rule.Rule
	expressions []map[int]callable
}

// callable is a CEL rule that can be called.
type callable func(*rule.Match) (bool, error)

// New makes a Checker. The rule set must be a checked one: what ruleset.Parse
// would have refused may panic. The function expression makes the CEL rule of a
// stage callable; it may be nil if there is none. The error says which rule
// can't be made.
func New(rs *ruleset.RuleSet, custom rule.Registry, expression func(stage int, r *ruleset.Rule) (func(*rule.Match) (bool, error), error)) (*Checker, error) {
	if rs == nil || len(rs.Stages) == 0 {
		return nil, errors.New("a rule set has at least one stage")
	}
	c := &Checker{rules: rs}
	for stage := range rs.Stages {
		c.custom = append(c.custom, make(map[int]rule.Rule))
		c.expressions = append(c.expressions, make(map[int]callable))
		for i := range rs.Stages[stage].Rules {
			r := &rs.Stages[stage].Rules[i]
			var err error
			switch r.Kind {
			case ruleset.Custom:
				c.custom[stage][i], err = makeCustom(custom, r)
			case ruleset.Expression:
				if expression == nil {
					err = errors.New("there is nothing to make expressions callable")
				} else {
					c.expressions[stage][i], err = expression(stage, r)
				}
			}
			if err != nil {
				return nil, fmt.Errorf("rule %q of stage %d: %w", r.Name, stage, err)
			}
		}
	}
	return c, nil
}

func makeCustom(custom rule.Registry, r *ruleset.Rule) (rule.Rule, error) {
	factory, ok := custom[r.CustomRule]
	if !ok {
		return nil, fmt.Errorf("there is no custom rule %q", r.CustomRule)
	}
	return factory(r.Parameters)
}

// Match judges one match at a time. It returns nil if the match keeps every
// rule. Rules are judged only if the match is whole, so that each text is about
// the first thing that is wrong.
func (c *Checker) Match(m *rule.Match, now time.Time) []Violation {
	if m == nil {
		return []Violation{{Text: "there is no match"}}
	}
	if out := tickets(m); out != nil {
		return out
	}
	wait := c.wait(m, now)
	stage := c.rules.At(wait)
	j := &judge{checker: c, stage: stage, def: &c.rules.Stages[stage].Definition, match: m}

	var out []Violation
	if m.Wait != wait {
		out = append(out, Violation{Text: fmt.Sprintf("the match says it waited %v, but it is %v", m.Wait, wait)})
	}
	out = append(out, j.teams()...)
	out = append(out, region(m)...)
	if out != nil {
		return out
	}
	if out := j.missing(); out != nil {
		return out
	}
	return j.rules()
}

func (c *Checker) wait(m *rule.Match, now time.Time) time.Duration {
	var waits []time.Duration
	for _, t := range m.Tickets {
		waits = append(waits, max(0, now.Sub(t.Created)))
	}
	if c.rules.ByOldest() {
		return slices.Max(waits)
	}
	return slices.Min(waits)
}

// Proposals judges matches that are proposed together: each for itself, and
// that no ticket and no player is in two of them. The texts name the match by
// its position.
func (c *Checker) Proposals(ms []*rule.Match, now time.Time) []Violation {
	var out []Violation
	type thing struct{ kind, id string }
	seen := make(map[thing]int)
	once := func(kind, id string, i int) {
		if other, ok := seen[thing{kind, id}]; ok && other != i {
			out = append(out, Violation{Text: fmt.Sprintf("%s %q is in match %d and in match %d", kind, id, other, i)})
		}
		seen[thing{kind, id}] = i
	}
	for i, m := range ms {
		for _, v := range c.Match(m, now) {
			out = append(out, Violation{Rule: v.Rule, Text: fmt.Sprintf("match %d: %s", i, v.Text)})
		}
		if m == nil {
			continue
		}
		for _, t := range m.Tickets {
			if t == nil {
				continue
			}
			once("ticket", t.ID, i)
			for p := range t.Players {
				once("player", t.Players[p].ID, i)
			}
		}
	}
	return out
}
