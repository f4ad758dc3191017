// Package solve makes matches of the tickets of a pool, by rules that are compiled.
//
// In go Rules and a Pool that they have read. Out come Proposals, as they are found
// (Matches), or what keeps a ticket from being in one (Why).
//
// Stage by stage, matches are made around the longest waiting ticket, from its
// neighbours (run, anchor); a complete match that breaks a rule is repaired (repair).
// Where the rules are no more than equality and one bounded number, and everybody
// comes alone, the pool is divided into matches at once, as well as it can be
// (segment). With a preference matches that are not close enough are held back (hold).
//
// It promises that every match keeps the rules of the stage that its tickets have
// reached, that no ticket is in two, that the work is bounded, and that the same rules
// and pool at the same time give the same matches, unless ctx ends the search. It does
// not promise to find each match that there is.
package solve

import (
	"context"
	"time"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
)

// board is what the runs of one search share.
type board struct {
	rules *compile.Rules
	pool  *pool.Pool
	// taken are the tickets that are in a match.
	taken []bool
	// hold is what the search holds out for; nil if the rules alone decide.
	hold *hold
}

func newBoard(rs *compile.Rules, p *pool.Pool) *board {
	return &board{rules: rs, pool: p, taken: make([]bool, len(p.Tickets)), hold: newHold(rs, p)}
}

// Matches yields matches of a pool as they are found, about those of the longest
// waiting first, and ends early with ctx. No ticket is in two.
func Matches(ctx context.Context, rs *compile.Rules, p *pool.Pool, now time.Time, yield func(Proposal) bool) {
	b := newBoard(rs, p)
	highest := 0
	for _, stage := range p.Stage {
		highest = max(highest, int(stage))
	}
	ways := rs.Ways(highest)
	steps := stepsAll
	for i, way := range ways {
		// What one stage leaves over goes to the next ones.
		r := newRun(ctx, b, way)
		r.steps, r.turn = steps/(len(ways)-i), now.Unix()
		given := r.steps
		stop := r.watch(len(ways) - i)
		more := r.search(yield)
		stop()
		if !more || ctx.Err() != nil {
			return
		}
		steps -= given - r.steps
	}
}
