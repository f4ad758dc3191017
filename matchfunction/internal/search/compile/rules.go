// Package compile makes of a rule set what a search asks of rules, so that they are
// read once and not match by match.
//
// In goes a rule set, with what custom rules and expressions need (New). Out come
// Rules: a Plan for each stage, which says of tickets of a pool in which regions and
// teams they can be, which of them may meet, and by which number they are sorted; and
// checks, which say how far a Match in the making is from keeping the rules. Whoever
// makes matches fills a Match and asks it, and need not know which rules there are.
//
// It promises that a match keeps all rules of the stage if its tickets have no Flaw
// and share a partition, the region, and each of the windows, every ticket is in a team
// of its class, BreaksGuards is false and Broken is 0; and that Broken gets smaller as
// the match gets nearer to the rules. Rules are safe for concurrent use, a Match is not.
//
// Each kind of rules stands in one file, with a line in kinds (check.go).
package compile

import (
	"errors"
	"math"
	"time"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Options are what rules may need beside the rule set.
type Options struct {
	// Custom are the rules written in Go.
	Custom rule.Registry
	// Module finds the rule of a WebAssembly module by the name of its file
	// (IsModule). Without it there are none.
	Module func(name string) (rule.Factory, error)
	// Expression compiles a rule of kind Expression. Without it such rules are
	// refused.
	Expression func(stage int, d *ruleset.Definition, r *ruleset.Rule) (func(*rule.Match) (bool, error), error)
	// Failed, if not nil, hears of each time that an expression could not be
	// evaluated, and a custom rule panicked (*Panic, still on its stack) or failed
	// (*rule.Failure). Such a rule counts as broken. Many goroutines call it, and often.
	Failed func(r *ruleset.Rule, err error)
}

// Rules are a compiled rule set. They are immutable and safe for concurrent use.
type Rules struct {
	// Set is what they were compiled from.
	Set    *ruleset.RuleSet
	schema *pool.Schema
	// Plans are those of the stages.
	Plans []*Plan
	// variants are, by stage, plans that keep the compound rules in some way.
	variants [][]*Plan
}

// New readies a rule set. The error joins all that is wrong, each with the
// path and the name of the rule.
func New(set *ruleset.RuleSet, o Options) (*Rules, error) {
	rs := &Rules{Set: set, schema: pool.NewSchema()}
	var errs []error
	for stage := range set.Stages {
		p, err := newPlan(rs.schema, set, stage, &o, nil)
		if err != nil {
			errs = append(errs, err)
			break // the later stages would say the same
		}
		rs.Plans = append(rs.Plans, p)
		var ways []*Plan
		for _, v := range variants(p.Definition) {
			way, err := newPlan(rs.schema, set, stage, &o, v)
			if err != nil {
				errs = append(errs, err)
				break
			}
			ways = append(ways, way)
		}
		rs.variants = append(rs.variants, ways)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return rs, nil
}

// Read reads tickets into what the rules look at.
func (rs *Rules) Read(tickets []rule.Ticket, now time.Time) *pool.Pool {
	return pool.Read(rs.schema, rs.Set, tickets, now, rs.fits)
}

// Ways are the plans by which to search for matches, in their order, if the tickets
// have reached the stages up to highest.
func (rs *Rules) Ways(highest int) []*Plan {
	var ways []*Plan
	for i := range highest + 1 {
		stage := i
		if rs.Set.ByOldest() {
			stage = highest - i
		}
		ways = append(append(ways, rs.variants[stage]...), rs.Plans[stage])
	}
	return ways
}

// SortedBy is the number that the rules care about most, empty if there is none.
func (rs *Rules) SortedBy() string {
	if k := rs.Plans[0].SortKey; k >= 0 {
		if a := rs.schema.Attribute(k); a.Type == ruleset.Number {
			return a.Name
		}
	}
	return ""
}

// mostWide bounds the widest window, so that multiples of it are numbers.
const mostWide = 1e100

// Widest is the widest window of the sort key after any wait, 0 if there is none.
func (rs *Rules) Widest() float64 {
	most := 0.0
	for _, pl := range rs.Plans {
		if w, ok := pl.SortKeyWindow(); ok {
			most = max(most, min(w, mostWide))
		}
	}
	return most
}

// decisive is the wait of the ticket that decides on expansions.
func (rs *Rules) decisive(p *pool.Pool, tickets []int32) time.Duration {
	oldest := rs.Set.ByOldest()
	wait := p.Wait[tickets[0]]
	for _, t := range tickets[1:] {
		if oldest {
			wait = max(wait, p.Wait[t])
		} else {
			wait = min(wait, p.Wait[t])
		}
	}
	return wait
}

// Unfit says why a ticket fits no match in any stage that one with it may have now, whoever
// else waits, or "". What it says is of the stage that the ticket has reached.
func (rs *Rules) Unfit(p *pool.Pool, t int32) pool.Reason {
	own := int(p.Stage[t])
	reason := rs.Plans[own].Flaw(p, t)
	if reason == "" {
		return ""
	}
	// Older ones may be in its match, or younger ones.
	others := rs.Plans[:own]
	if rs.Set.ByOldest() {
		others = rs.Plans[own+1:]
	}
	for _, pl := range others {
		if pl.Flaw(p, t) == "" {
			return ""
		}
	}
	return reason
}

// Loosening fills in when a rule, from the stage of a match that has waited so
// long, comes to allow what is needed.
func (rs *Rules) Loosening(rule string, stage int, wait time.Duration, t Threshold) Threshold {
	limit := t.limit
	t.limit = noLimit
	for later := stage + 1; later < len(rs.Set.Stages); later++ {
		d := &rs.Set.Stages[later].Definition
		for i := range d.Rules {
			r := &d.Rules[i]
			if r.Name != rule {
				continue
			}
			most, ok := limit.of(r)
			if r.Optional {
				most, ok = math.Inf(1), true
			}
			enough := most > t.Most
			if t.Needed > 0 {
				enough = over(t.Needed, most) == 0
			}
			if ok && enough {
				t.Loosens, t.Then, t.In = true, most, max(0, rs.Set.Stages[later].After-wait)
				return t
			}
		}
	}
	return t
}
