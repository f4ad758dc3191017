// Package search finds matches by a rule set. On the player's path it is the
// heart of the match function: between the tickets that wait and the matches
// that are proposed.
//
// It is the door to three packages, each of which knows only those before it:
//
//   - pool holds tickets as typed columns;
//   - compile makes of a rule set what the search asks rules: how the pool is laid
//     out, who may meet whom, and how far a match in the making is from keeping the
//     rules;
//   - solve makes matches, and says why a ticket is in none.
//
// The cut is where the fewest names cross it. Rules are asked of a match (compile.Match),
// which solve fills and changes; so a kind of rules is one file of compile, and solve
// names none of them. The layout of the pool for walks among neighbours stays in
// solve: nothing else walks. A method of a type of another package costs no more than
// one of its own, and no call goes through an interface but those to custom rules.
//
// The same tickets, in the same order, at the same time give the same matches.
package search

import (
	"context"
	"iter"
	"slices"
	"time"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
	"torikumi/matchfunction/internal/search/solve"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// What rules need beside the rule set, and what they say.
type (
	// Options are what rules may need beside the rule set.
	Options = compile.Options
	// Panic is what a custom rule panicked with.
	Panic = compile.Panic
	// Reason says why a ticket fits no match whoever else waits.
	Reason = pool.Reason
	// Refusal is a part of a Reason.
	Refusal = compile.Refusal
	// Threshold is the limit of a rule, and when it loosens.
	Threshold = compile.Threshold
)

// What a search finds.
type (
	// Proposal is a match.
	Proposal = solve.Proposal
	// Explanation says why a ticket is in no match.
	Explanation = solve.Explanation
	// Apart is a rule that keeps others from a ticket.
	Apart = solve.Apart
	// Held is a match that is not close enough yet.
	Held = solve.Held
	// Later is a stage of the rules that is still to come.
	Later = solve.Later
)

// The reasons.
const (
	BadAttribute = pool.BadAttribute
	BadLatency   = pool.BadLatency
	BadParty     = pool.BadParty
	BadRegion    = pool.BadRegion
	Divided      = pool.Divided
)

// RegionRule stands, in an Apart, for the regions, which are no rule's.
const RegionRule = compile.RegionRule

// IsModule reports whether a custom rule of this name is a WebAssembly module,
// unless the registry has it.
func IsModule(name string) bool { return compile.IsModule(name) }

// Engine makes matches by one rule set. It is immutable and safe for
// concurrent use.
type Engine struct{ rules *compile.Rules }

// Compile readies a rule set. The error joins all that is wrong, each with the
// path and the name of the rule.
func Compile(rs *ruleset.RuleSet, o compile.Options) (*Engine, error) {
	compiled, err := compile.New(rs, o)
	if err != nil {
		return nil, err
	}
	return &Engine{compiled}, nil
}

// Search yields matches as they are found, about those of the longest waiting
// first, and ends early with ctx. No ticket is in two. Skipped, if not nil,
// hears of each ticket that fits no match whoever else waits, by its position.
// Tickets must not change while Search runs.
func (e *Engine) Search(ctx context.Context, tickets []rule.Ticket, now time.Time, skipped func(int, pool.Reason)) iter.Seq[solve.Proposal] {
	return func(yield func(solve.Proposal) bool) {
		p := e.rules.Read(tickets, now)
		if skipped != nil {
			e.skip(p, skipped)
		}
		solve.Matches(ctx, e.rules, p, now, yield)
	}
}

// SortedBy is the number that the rules care about most, empty if there is none.
func (e *Engine) SortedBy() string { return e.rules.SortedBy() }

// Set is the rule set that it was compiled from. It must not change.
func (e *Engine) Set() *ruleset.RuleSet { return e.rules.Set }

// Prefers reports whether a preference would change anything: whether the rules
// bound the difference of the number by which tickets are sorted.
func (e *Engine) Prefers() bool { return e.rules.Widest() > 0 }

// Unfit tells of each ticket that fits no match whoever else waits, as Search
// does.
func (e *Engine) Unfit(tickets []rule.Ticket, now time.Time, skipped func(int, pool.Reason)) {
	e.skip(e.rules.Read(tickets, now), skipped)
}

// skip tells of the tickets that fit no match in the stage that they have
// reached.
func (e *Engine) skip(p *pool.Pool, skipped func(int, pool.Reason)) {
	for t := range p.Tickets {
		if reason := e.rules.Unfit(p, int32(t)); reason != "" {
			skipped(t, reason)
		}
	}
}

// Explain tells why the ticket at a position is in no match.
func (e *Engine) Explain(ctx context.Context, tickets []rule.Ticket, at int, now time.Time) solve.Explanation {
	for p := range e.Search(ctx, tickets, now, nil) {
		if slices.Contains(p.Tickets, int32(at)) || p.Backfill == int32(at) {
			return solve.Explanation{Ticket: tickets[at].ID, Wait: max(0, now.Sub(tickets[at].Created)), Match: p.Match(tickets)}
		}
	}
	if all := e.Why(ctx, tickets, []int{at}, now); len(all) > 0 {
		return all[0]
	}
	return solve.Explanation{Ticket: tickets[at].ID, Others: len(tickets) - 1} // ctx is over
}

// Why tells of tickets, by their positions, that are known to be in no match
// why that is so. It ends early with ctx, with fewer answers.
func (e *Engine) Why(ctx context.Context, tickets []rule.Ticket, positions []int, now time.Time) []solve.Explanation {
	return solve.Why(ctx, e.rules, e.rules.Read(tickets, now), positions)
}
