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
	// Needs is how many players the smallest match needs beside the ticket's.
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
	// of the rule set yet; nil if there is none.
	Held *Held
	// Later is how many candidates there will be of those who wait now when
	// the rules loosen, each time that it changes.
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
	// stage and wait are those of the nearest one.
	stage int
	wait  time.Duration
}

// Held is a match that the search holds out for: closer ones may come.
type Held struct {
	// Spread is that of the match, Most what is close enough now.
	Spread, Most float64
	// In is when this match would be close enough, if nobody nearer comes before.
	In time.Duration
}

// Later is a stage of the rules that is still to come.
type Later struct {
	// In is when the first pair of this ticket and a candidate is there.
	In time.Duration
	// Candidates of those who wait now, once all of them are there.
	Candidates int
	Players    int
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
	plan := rs.Plans[p.Stage[t]]
	x := Explanation{Ticket: p.Tickets[t].ID, Wait: p.Wait[t], Size: p.Size(t), Reason: plan.Flaw(p, t), Others: len(p.Tickets) - 1, Needs: max(0, plan.Least-p.Size(t))}
	if x.Reason != "" {
		x.Refusals = plan.Refusals(p, t, x.Reason)
		for i, r := range x.Refusals {
			if r.Rule != "" {
				x.Broken = append(x.Broken, r.Rule)
			}
			if r.Needed > 0 {
				x.Refusals[i].Threshold = rs.Loosening(r.Rule, int(p.Stage[t]), p.Wait[t], r.Threshold)
			}
		}
		for stage := int(p.Stage[t]) + 1; stage < len(rs.Plans); stage++ {
			if rs.Plans[stage].Flaw(p, t) == "" {
				x.Later = []Later{{In: max(0, rs.Set.Stages[stage].After-x.Wait)}}
				break
			}
		}
		return x
	}
	meet(ctx, rs, p, t, -1, &x)
	b.brokenBy(ctx, t, &x)
	clear(b.taken)
	candidates, players := x.Candidates, x.Players
	for stage := int(p.Stage[t]) + 1; stage < len(rs.Plans); stage++ {
		var then Explanation
		in := meet(ctx, rs, p, t, stage, &then)
		if then.Candidates == candidates && then.Players == players {
			continue
		}
		candidates, players = then.Candidates, then.Players
		x.Later = append(x.Later, Later{In: in, Candidates: candidates, Players: players})
	}
	return x
}

// meet compares the ticket with each of the others, by the rules of the stage
// that they have reached together, or of a later one. It returns the shortest
// time until a candidate and the ticket have reached that.
func meet(ctx context.Context, rs *compile.Rules, p *pool.Pool, t int32, later int, x *Explanation) time.Duration {
	apart := make(map[string]*Apart)
	soonest := time.Duration(math.MaxInt64)
	for c := range int32(len(p.Tickets)) {
		if c%1024 == 0 && ctx.Err() != nil {
			return 0
		}
		if c == t {
			continue
		}
		wait := min(p.Wait[t], p.Wait[c])
		if rs.Set.ByOldest() {
			wait = max(p.Wait[t], p.Wait[c])
		}
		stage := max(rs.Set.At(wait), later)
		plan := rs.Plans[stage]
		if plan.Flaw(p, c) != "" {
			x.Unfit++
			continue
		}
		name, kind, excess, most := plan.Apart(p, t, c)
		if name == "" {
			x.Candidates++
			x.Players += p.Size(c)
			soonest = min(soonest, max(0, rs.Set.Stages[stage].After-wait))
			continue
		}
		a := apart[name]
		if a == nil {
			a = &Apart{Rule: name, Kind: kind, Threshold: compile.Threshold{Needed: math.Inf(1)}}
			apart[name] = a
		}
		a.Tickets++
		a.Most = max(a.Most, most)
		if (excess > 0 || most == 0) && excess < a.Needed { // 0: no limit would do
			a.Needed, a.stage, a.wait = excess, stage, wait
		}
	}
	for _, a := range apart {
		if math.IsInf(a.Needed, 1) {
			a.Needed = 0
		}
		if a.Needed > 0 {
			a.Threshold = rs.Loosening(a.Rule, a.stage, a.wait, a.Threshold)
		}
		x.Apart = append(x.Apart, *a)
	}
	slices.SortFunc(x.Apart, func(a, b Apart) int {
		return cmp.Or(cmp.Compare(b.Tickets, a.Tickets), cmp.Compare(a.Rule, b.Rule))
	})
	if x.Candidates == 0 {
		return max(0, rs.Set.Stages[max(0, later)].After-p.Wait[t])
	}
	return soonest
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
