package solve

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Explanation says why a ticket is in no match, and what would let it be in
// one.
type Explanation struct {
	Ticket string
	Wait   time.Duration
	// Match is the one that the ticket is in, if there is one now; then all
	// else is empty.
	Match *rule.Match
	// Reason, if not empty, says why the ticket fits no match whoever waits.
	// Then Later is when the rules loosen so far that it may, if they do.
	Reason pool.Reason
	// Refusals are what the reason comes from, as far as it is known.
	Refusals []compile.Refusal
	// Size is how many players the ticket has.
	Size int
	// Others is how many other tickets wait, Unfit how many of them fit no
	// match at all.
	Others, Unfit int
	// Apart are the rules that keep others from the ticket, those that keep
	// most first. Each of the others is counted once, at the first rule that
	// keeps it apart.
	Apart []Apart
	// Candidates are the tickets, and Players those in them, that no rule
	// keeps apart from this one.
	Candidates, Players int
	// Needs is how many players the smallest match needs beside the ticket's, by the
	// stage that it would have reached with the candidates.
	Needs int
	// Broken are the rules that the matches with enough players broke, those
	// that broke most first; with a Reason those that refuse the ticket.
	Broken []string
	// Thresholds are those of Broken; none with a Reason.
	Thresholds []compile.Threshold
	// Said is what custom rules said of the first match that they refused, by
	// the name of the rule in Broken. It is for developers.
	Said map[string]string
	// Elsewhere reports whether a match with the ticket is possible, but for those who
	// are in other matches.
	Elsewhere bool
	// Held is a match that keeps all rules and is not close enough for the preference
	// or the patience of the rule set yet; nil if there is none.
	Held *Held
	// Later is how many candidates there will be of those who wait now, and how many
	// players are needed, when the rules loosen, each time that it changes.
	Later []Later
}

// Apart is a rule that keeps others from a ticket.
type Apart struct {
	Rule string
	Kind ruleset.Kind
	// Tickets that it keeps apart.
	Tickets int
	// Threshold is, for a rule that bounds a difference or the latency, what it
	// allows and the smallest that would let one of them meet the ticket.
	compile.Threshold
}

// Held is a match that the search holds out for: closer ones may come.
type Held struct {
	// Spread is that of the match, Most what is close enough now.
	Spread, Most float64
	// In is when this match would be close enough, if nobody nearer comes before.
	In time.Duration
	// Patience reports whether it is the rule set's patience that holds out, and not
	// its preference.
	Patience bool
}

// Later is a stage of the rules that is still to come.
type Later struct {
	// In is when the first pair of this ticket and another is there, or the ticket itself.
	In time.Duration
	// Candidates of those who wait now, once all of them are there.
	Candidates int
	Players    int
	// Needs is how many players the smallest match needs then, beside the ticket's.
	Needs int
}

// Why tells of tickets, by their positions, that are known to be in no match
// why that is so. It ends early with ctx, with fewer answers.
func Why(ctx context.Context, rs *compile.Rules, p *pool.Pool, positions []int) []Explanation {
	b := newBoard(rs, p)
	out := make([]Explanation, 0, len(positions))
	for _, at := range positions {
		x := b.why(ctx, int32(at))
		if ctx.Err() != nil {
			break // not all others have been looked at
		}
		out = append(out, x)
	}
	return out
}

func (b *board) why(ctx context.Context, t int32) Explanation {
	rs, p := b.rules, b.pool
	own := int(p.Stage[t])
	x := Explanation{Ticket: p.Tickets[t].ID, Wait: p.Wait[t], Size: p.Size(t), Reason: rs.Unfit(p, t), Others: len(p.Tickets) - 1}
	if x.Reason != "" {
		x.Needs = b.needs(own, t)
		b.refused(t, &x)
		return x
	}
	pairs := b.pairs(ctx, t, &x)
	x.Needs = b.needsWith(pairs, t)
	b.brokenBy(ctx, t, &x)
	clear(b.taken)
	b.later(ctx, pairs, t, &x)
	return x
}

// needs is how many players the smallest match of a stage needs beside the ticket's.
func (b *board) needs(stage int, t int32) int {
	return max(0, b.rules.Plans[stage].Least-b.pool.Size(t))
}

// refused tells of a ticket that fits no match what refuses it, and when nothing does any
// more.
func (b *board) refused(t int32, x *Explanation) {
	rs, p, own := b.rules, b.pool, int(b.pool.Stage[t])
	x.Refusals = rs.Plans[own].Refusals(p, t, x.Reason)
	for i, r := range x.Refusals {
		if r.Rule != "" {
			x.Broken = append(x.Broken, r.Rule)
		}
		if r.Needed > 0 {
			x.Refusals[i].Threshold = rs.Loosening(r.Rule, own, x.Wait, r.Threshold)
		}
	}
	for stage := own + 1; stage < len(rs.Plans); stage++ {
		if rs.Plans[stage].Flaw(p, t) == "" {
			x.Later = []Later{{In: max(0, rs.Set.Stages[stage].After-x.Wait), Needs: b.needs(stage, t)}}
			return
		}
	}
}

// pair is the ticket with another one.
type pair struct {
	other int32
	// wait is that of the one which decides on the stage of a match of both, stage the
	// one that they have reached, meets whether no rule of it keeps them apart.
	wait  time.Duration
	stage int
	meets bool
}

// pairs compares the ticket with each of the others, by the rules of the stage that they
// have reached together, and says in the explanation what keeps them apart.
func (b *board) pairs(ctx context.Context, t int32, x *Explanation) []pair {
	rs, p := b.rules, b.pool
	apart := make(map[string]*Apart)
	pairs := make([]pair, 0, len(p.Tickets))
	for c := range int32(len(p.Tickets)) {
		if c%1024 == 0 && ctx.Err() != nil {
			return nil
		}
		if c == t {
			continue
		}
		wait := min(p.Wait[t], p.Wait[c])
		if rs.Set.ByOldest() {
			wait = max(p.Wait[t], p.Wait[c])
		}
		k := pair{other: c, wait: wait, stage: rs.Set.At(wait)}
		if rs.Unfit(p, c) != "" {
			x.Unfit++
		} else if name, kind, limit := b.apart(k.stage, t, c); name == "" {
			k.meets = true
			x.Candidates++
			x.Players += p.Size(c)
		} else {
			a := apart[name]
			if a == nil {
				a = &Apart{Rule: name, Kind: kind}
				apart[name] = a
			}
			a.Tickets++
			// Of the nearest; 0: no limit would do.
			if limit.Needed > 0 && (a.Needed == 0 || limit.Needed < a.Needed) {
				a.Threshold = rs.Loosening(name, k.stage, wait, limit)
			}
		}
		pairs = append(pairs, k)
	}
	for _, a := range apart {
		x.Apart = append(x.Apart, *a)
	}
	slices.SortFunc(x.Apart, func(a, b Apart) int {
		return cmp.Or(cmp.Compare(b.Tickets, a.Tickets), cmp.Compare(a.Rule, b.Rule))
	})
	return pairs
}

// apart names the rule of a stage that keeps two tickets apart, or one of them out of its
// matches; it is empty if there is none.
func (b *board) apart(stage int, t, other int32) (string, ruleset.Kind, compile.Threshold) {
	plan := b.rules.Plans[stage]
	for _, k := range []int32{other, t} {
		reason := plan.Flaw(b.pool, k)
		if reason == "" {
			continue
		}
		for _, r := range plan.Refusals(b.pool, k, reason) {
			if r.Rule != "" {
				return r.Rule, r.Kind, r.Threshold
			}
		}
		return compile.RegionRule, "", compile.Threshold{}
	}
	return plan.Apart(b.pool, t, other)
}

// needsWith is how many players the smallest match needs with candidates: of the latest stage
// in which there are enough, else of the first one that they have reached.
func (b *board) needsWith(pairs []pair, t int32) int {
	players := make([]int, len(b.rules.Plans)) // of those who have reached at least the stage
	first := -1
	for _, k := range pairs {
		if !k.meets {
			continue
		}
		if first < 0 || k.stage < first {
			first = k.stage
		}
		for stage := range k.stage + 1 {
			players[stage] += b.pool.Size(k.other)
		}
	}
	if first < 0 {
		return b.needs(int(b.pool.Stage[t]), t)
	}
	for stage := len(players) - 1; stage > first; stage-- {
		if needs := b.needs(stage, t); players[stage] > 0 && players[stage] >= needs {
			return needs
		}
	}
	return b.needs(first, t)
}

// later tells what changes as pairs reach further stages.
func (b *board) later(ctx context.Context, pairs []pair, t int32, x *Explanation) {
	stages := b.rules.Set.Stages
	first := int(b.pool.Stage[t])
	for _, k := range pairs {
		first = min(first, k.stage)
	}
	now := Later{Candidates: x.Candidates, Players: x.Players, Needs: x.Needs}
	for stage := first + 1; stage < len(stages) && ctx.Err() == nil; stage++ {
		then, soonest, longest := now, time.Duration(math.MaxInt64), time.Duration(-1)
		for i := range pairs {
			k := &pairs[i]
			if k.stage < stage {
				meets := b.meets(stage, t, k.other)
				if meets != k.meets {
					soonest = min(soonest, stages[stage].After-k.wait)
					then.Candidates += map[bool]int{true: 1, false: -1}[meets]
					then.Players += map[bool]int{true: 1, false: -1}[meets] * b.pool.Size(k.other)
				}
				k.meets = meets
			}
			if k.meets {
				longest = max(longest, k.wait)
			}
		}
		if then.Needs = b.needs(stage, t); then.Needs == 0 || longest < 0 {
			longest = max(longest, b.pool.Wait[t])
		}
		if then == now {
			continue
		}
		if then.Needs != now.Needs {
			soonest = min(soonest, stages[stage].After-longest)
		}
		now = then
		then.In = max(0, soonest)
		x.Later = append(x.Later, then)
	}
}

func (b *board) meets(stage int, t, other int32) bool {
	name, _, _ := b.apart(stage, t, other)
	return name == ""
}

// brokenBy makes matches around the ticket, by the rules of the stage that it has reached,
// or else of another one that it can be in a match of, and tells which rules those with
// enough players broke, and by how much at least.
func (b *board) brokenBy(ctx context.Context, t int32, x *Explanation) {
	own, step, end := int(b.pool.Stage[t]), -1, -1
	if b.rules.Set.ByOldest() {
		step, end = 1, len(b.rules.Plans)
	}
	for stage := own; stage != end && !x.Elsewhere && x.Held == nil && len(x.Broken) == 0; stage += step {
		clear(b.taken)
		b.brokenIn(ctx, stage, t, x)
	}
}

func (b *board) brokenIn(ctx context.Context, stage int, t int32, x *Explanation) {
	r := newRun(ctx, b, b.rules.Plans[stage])
	if !slices.Contains(r.free, t) && !slices.Contains(r.backfills, t) {
		return
	}
	r.begin()
	a := r.anchor
	a.broke = make(map[*ruleset.Rule]broken)
	defer r.watch(1)()
	ok, _ := a.match(t, stepsSecond)
	if ok {
		x.Elsewhere = true
		return
	}
	x.Held = a.held
	if len(a.broke) == 0 && x.Held == nil && r.plan.Relaxes() {
		a.impatient = true
		if ok, _ = a.match(t, stepsSecond); ok {
			x.Held, x.Elsewhere = a.patience()
			return
		}
	}
	rules := make([]*ruleset.Rule, 0, len(a.broke))
	for k := range a.broke {
		rules = append(rules, k)
	}
	slices.SortFunc(rules, func(k, l *ruleset.Rule) int {
		return cmp.Or(cmp.Compare(a.broke[l].times, a.broke[k].times), cmp.Compare(k.Name, l.Name))
	})
	for _, k := range rules {
		x.Broken = append(x.Broken, k.Name)
		if said := a.broke[k].refusal; said != nil {
			if x.Said == nil {
				x.Said = make(map[string]string)
			}
			x.Said[k.Name] = oneLine(said.Error())
		}
		x.Thresholds = append(x.Thresholds, b.rules.Loosening(k.Name, stage, a.broke[k].wait, a.broke[k].limit))
	}
}

// mostSaid is the longest text of a custom rule, in characters.
const mostSaid = 300

// oneLine makes what somebody else wrote fit into a line.
func oneLine(text string) string {
	out := []rune(strings.ToValidUTF8(text, "\uFFFD"))
	if len(out) > mostSaid {
		out = append(out[:mostSaid-1], '…')
	}
	for i, r := range out {
		if unicode.IsControl(r) {
			out[i] = ' '
		}
	}
	return string(out)
}
