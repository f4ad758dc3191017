// Package search finds matches by a rule set. On the player's path it is the
// heart of the match function: between the tickets that wait and the matches
// that are proposed.
//
// Rules are compiled once (plan): what splits the pool, bounds a number or
// keeps a ticket out of a team is built into the way the pool is laid out, and
// only the rest is looked at match by match. Tickets become typed columns
// (pool). Then, stage by stage, matches are made around the longest waiting
// ticket (run); where the rules are no more than equality and one bounded
// number, and everybody comes alone, the pool is divided into matches at once, as
// well as it can be (segment).
//
// The same tickets, in the same order, at the same time give the same matches.
package search

import (
	"context"
	"errors"
	"iter"
	"time"

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

// Engine makes matches by one rule set. It is immutable and safe for
// concurrent use.
type Engine struct {
	rules  *ruleset.RuleSet
	schema *schema
	// plans are those of the stages.
	plans []*plan
	// variants are, by stage, plans that keep the compound rules in some way.
	variants [][]*plan
}

// Compile readies a rule set. The error joins all that is wrong, each with the
// path and the name of the rule.
func Compile(rs *ruleset.RuleSet, o Options) (*Engine, error) {
	e := &Engine{rules: rs, schema: newSchema()}
	var errs []error
	for stage := range rs.Stages {
		p, err := newPlan(e.schema, rs, stage, &o, nil)
		if err != nil {
			errs = append(errs, err)
			break // the later stages would say the same
		}
		e.plans = append(e.plans, p)
		var ways []*plan
		for _, v := range variants(p.definition) {
			way, err := newPlan(e.schema, rs, stage, &o, v)
			if err != nil {
				errs = append(errs, err)
				break
			}
			ways = append(ways, way)
		}
		e.variants = append(e.variants, ways)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return e, nil
}

// Search yields matches as they are found, about those of the longest waiting
// first, and ends early with ctx. No ticket is in two. Skipped, if not nil,
// hears of each ticket that fits no match whoever else waits, by its position.
// Tickets must not change while Search runs.
func (e *Engine) Search(ctx context.Context, tickets []rule.Ticket, now time.Time, skipped func(int, Reason)) iter.Seq[Proposal] {
	return func(yield func(Proposal) bool) {
		p := e.newPool(tickets, now)
		if skipped != nil {
			e.skip(p, skipped)
		}
		highest := 0
		for t := range tickets {
			highest = max(highest, int(p.own[t]))
		}
		var ways []*plan
		for i := range highest + 1 {
			stage := i
			if e.rules.ByOldest() {
				stage = highest - i
			}
			ways = append(append(ways, e.variants[stage]...), e.plans[stage])
		}
		steps := stepsAll
		for i, way := range ways {
			// What one stage leaves over goes to the next ones.
			r := newRun(ctx, e, p, way)
			r.steps, r.turn = steps/(len(ways)-i), now.Unix()
			given := r.steps
			stop := r.watch(len(ways) - i)
			more := r.search(yield)
			stop()
			if !more || ctx.Err() != nil {
				return
			}
			steps -= given - max(0, r.steps)
		}
	}
}

// SortedBy is the number that the rules care about most, empty if there is none.
func (e *Engine) SortedBy() string {
	if k := e.plans[0].sortKey; k >= 0 {
		if a := e.schema.columns[k].attribute; a.Type == ruleset.Number {
			return a.Name
		}
	}
	return ""
}

// Unfit tells of each ticket that fits no match whoever else waits, as Search
// does.
func (e *Engine) Unfit(tickets []rule.Ticket, now time.Time, skipped func(int, Reason)) {
	e.skip(e.newPool(tickets, now), skipped)
}

// skip tells of the tickets that fit no match in the stage that they have
// reached.
func (e *Engine) skip(p *pool, skipped func(int, Reason)) {
	for t := range p.tickets {
		if reason := e.plans[p.own[t]].flaw(p, int32(t)); reason != "" {
			skipped(t, reason)
		}
	}
}

// flaw says why a ticket fits no match of a plan, or "".
func (pl *plan) flaw(p *pool, t int32) Reason {
	reason := pl.unreadable(p, t)
	switch {
	case reason != "":
		return reason
	case pl.reachable(p, t) == 0:
		return BadRegion
	case pl.divided(p, t):
		return Divided
	}
	return ""
}

// unreadable is flaw for what is neither regions nor rules.
func (pl *plan) unreadable(p *pool, t int32) Reason {
	switch {
	case p.bad[t] != "":
		return p.bad[t]
	case p.lacks[t]&pl.requires != 0:
		return BadAttribute
	case p.tickets[t].Teams == nil && p.size(t) > pl.maxParty:
		return BadParty
	}
	return ""
}

func (pl *plan) divided(p *pool, t int32) bool {
	return p.tickets[t].Teams == nil && len(pl.fits) > 0 && pl.mayBeIn(p, t) == slotSet{} || !pl.agrees(p, t)
}

// agrees reports whether the players of a ticket are alike where they have to
// be.
func (pl *plan) agrees(p *pool, t int32) bool {
	from, to := p.first[t], p.first[t+1]
	for _, e := range pl.equals {
		for i := from + 1; i < to; i++ {
			if p.differ(e.column, i, from) {
				return false
			}
		}
	}
	return true
}

// differ reports whether two players have different values in a column of
// strings or numbers.
func (p *pool) differ(column int, a, b int32) bool {
	if p.strings[column] != nil {
		return p.strings[column][a] != p.strings[column][b]
	}
	return p.numbers[column][a] != p.numbers[column][b]
}

// mayBeIn are the teams that a ticket may be in.
func (pl *plan) mayBeIn(p *pool, t int32) slotSet {
	var may slotSet
	size := p.size(t)
	for i, slot := range pl.slots {
		if size <= slot.Max {
			may.add(i)
		}
	}
	for i := range pl.fits {
		f := &pl.fits[i]
		for player := p.first[t]; player < p.first[t+1]; player++ {
			if f.ok(p, player) {
				continue
			}
			for _, slot := range f.slots {
				may.remove(slot)
			}
			break
		}
	}
	return may
}
