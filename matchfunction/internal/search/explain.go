package search

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode"

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
	Reason Reason
	// Refusals are what the reason comes from, as far as it is known.
	Refusals []Refusal
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
	Thresholds []Threshold
	// Said is what custom rules said of the first match that they refused, by
	// the name of the rule in Broken. It is for developers.
	Said map[string]string
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
	Threshold
	// stage and wait are those of the nearest one.
	stage int
	wait  time.Duration
}

// Later is a stage of the rules that is still to come.
type Later struct {
	// In is when the first pair of this ticket and a candidate is there.
	In time.Duration
	// Candidates of those who wait now, once all of them are there.
	Candidates int
	Players    int
}

// RegionRule stands, in an Apart, for the regions, which are no rule's.
const RegionRule = "(regions)"

// Explain tells why the ticket at a position is in no match.
func (e *Engine) Explain(ctx context.Context, tickets []rule.Ticket, at int, now time.Time) Explanation {
	for p := range e.Search(ctx, tickets, now, nil) {
		if slices.Contains(p.Tickets, int32(at)) || p.Backfill == int32(at) {
			return Explanation{Ticket: tickets[at].ID, Wait: max(0, now.Sub(tickets[at].Created)), Match: p.Match(tickets)}
		}
	}
	if all := e.Why(ctx, tickets, []int{at}, now); len(all) > 0 {
		return all[0]
	}
	return Explanation{Ticket: tickets[at].ID, Others: len(tickets) - 1} // ctx is over
}

// Why tells of tickets, by their positions, that are known to be in no match
// why that is so. It ends early with ctx, with fewer answers.
func (e *Engine) Why(ctx context.Context, tickets []rule.Ticket, positions []int, now time.Time) []Explanation {
	p := e.newPool(tickets, now)
	out := make([]Explanation, 0, len(positions))
	for _, at := range positions {
		x := e.why(ctx, p, int32(at))
		if ctx.Err() != nil {
			break // not all others have been looked at
		}
		out = append(out, x)
	}
	return out
}

func (e *Engine) why(ctx context.Context, p *pool, t int32) Explanation {
	plan := e.plans[p.own[t]]
	x := Explanation{Ticket: p.tickets[t].ID, Wait: p.wait[t], Size: p.size(t), Reason: plan.flaw(p, t), Others: len(p.tickets) - 1, Needs: max(0, plan.least-p.size(t))}
	if x.Reason != "" {
		x.Refusals = plan.refusals(p, t, x.Reason)
		for i, r := range x.Refusals {
			if r.Rule != "" {
				x.Broken = append(x.Broken, r.Rule)
			}
			if r.Needed > 0 {
				x.Refusals[i].Threshold = e.loosening(r.Rule, int(p.own[t]), p.wait[t], r.Threshold)
			}
		}
		for stage := int(p.own[t]) + 1; stage < len(e.plans); stage++ {
			if e.plans[stage].flaw(p, t) == "" {
				x.Later = []Later{{In: max(0, e.rules.Stages[stage].After-x.Wait)}}
				break
			}
		}
		return x
	}
	e.meet(ctx, p, t, -1, &x)
	e.brokenBy(ctx, p, t, &x)
	clear(p.taken)
	candidates, players := x.Candidates, x.Players
	for stage := int(p.own[t]) + 1; stage < len(e.plans); stage++ {
		var then Explanation
		in := e.meet(ctx, p, t, stage, &then)
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
func (e *Engine) meet(ctx context.Context, p *pool, t int32, later int, x *Explanation) time.Duration {
	apart := make(map[string]*Apart)
	soonest := time.Duration(math.MaxInt64)
	for c := range int32(len(p.tickets)) {
		if c%1024 == 0 && ctx.Err() != nil {
			return 0
		}
		if c == t {
			continue
		}
		wait := min(p.wait[t], p.wait[c])
		if e.rules.ByOldest() {
			wait = max(p.wait[t], p.wait[c])
		}
		stage := max(e.rules.At(wait), later)
		plan := e.plans[stage]
		if plan.flaw(p, c) != "" {
			x.Unfit++
			continue
		}
		name, kind, excess, most := plan.apart(p, t, c)
		if name == "" {
			x.Candidates++
			x.Players += p.size(c)
			soonest = min(soonest, max(0, e.rules.Stages[stage].After-wait))
			continue
		}
		a := apart[name]
		if a == nil {
			a = &Apart{Rule: name, Kind: kind, Threshold: Threshold{Needed: math.Inf(1)}}
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
			a.Threshold = e.loosening(a.Rule, a.stage, a.wait, a.Threshold)
		}
		x.Apart = append(x.Apart, *a)
	}
	slices.SortFunc(x.Apart, func(a, b Apart) int {
		return cmp.Or(cmp.Compare(b.Tickets, a.Tickets), cmp.Compare(a.Rule, b.Rule))
	})
	if x.Candidates == 0 {
		return max(0, e.rules.Stages[max(0, later)].After-p.wait[t])
	}
	return soonest
}

// apart names the first rule that keeps two tickets from being in one match,
// and, if it bounds a difference, says how large that is and may be.
func (pl *plan) apart(p *pool, a, b int32) (name string, kind ruleset.Kind, difference, most float64) {
	of := func(r *ruleset.Rule, difference, most float64) (string, ruleset.Kind, float64, float64) {
		return r.Name, r.Kind, difference, most
	}
	for _, e := range pl.equals {
		if p.differ(e.column, p.first[a], p.first[b]) {
			return of(e.rule, 0, 0)
		}
	}
	if pl.reachable(p, a)&pl.reachable(p, b) == 0 && len(p.regions) > 0 {
		if len(pl.limits) > 0 {
			return of(pl.limits[0].rule, pl.nearestLatency(p, a, b), pl.limits[0].most)
		}
		return RegionRule, "", 0, 0
	}
	for _, w := range pl.windows {
		if d := math.Abs(p.value(w.column, a) - p.value(w.column, b)); d > w.most {
			return of(w.rule, d, w.most)
		}
	}
	for _, r := range pl.pairwise {
		if r.pairwise(&p.tickets[a], &p.tickets[b]) {
			return of(r.rule, 0, 0)
		}
	}
	if r := pl.apartByGuards(p, a, b); r != nil {
		return of(r, 0, 0)
	}
	return "", "", 0, 0
}

// apartByGuards puts both tickets into a match, in whichever teams, and looks
// at what adding others can't repair.
func (pl *plan) apartByGuards(p *pool, a, b int32) *ruleset.Rule {
	if len(pl.incremental) == 0 || p.tickets[a].Teams != nil || p.tickets[b].Teams != nil {
		return nil
	}
	r := &run{pool: p, plan: pl}
	st := newState(r)
	st.relax = 1
	var blamed *ruleset.Rule
	few := min(len(pl.slots), mostTried)
	for i := range few {
		for j := range few {
			if i == j && p.size(a)+p.size(b) > pl.slots[i].Max {
				continue
			}
			st.start(firstRegion(pl.reachable(p, a) & pl.reachable(p, b)))
			st.put(a, i)
			st.put(b, j)
			st.filling = true
			bad := pl.brokenGuard(st)
			if bad == nil {
				return nil
			}
			blamed = bad
		}
	}
	return blamed
}

// mostTried is how many teams two tickets are tried in.
const mostTried = 4

// firstRegion is one of a set of regions, or -1.
func firstRegion(mask uint64) int {
	if mask == 0 || mask == ^uint64(0) {
		return -1
	}
	return bits.TrailingZeros64(mask)
}

func (pl *plan) brokenGuard(st *state) *ruleset.Rule {
	for _, k := range pl.incremental {
		if k.broken(st) > 0 {
			return k.rule
		}
	}
	return nil
}

// brokenBy makes matches around the ticket and tells which rules those with
// enough players broke, and by how much at least.
func (e *Engine) brokenBy(ctx context.Context, p *pool, t int32, x *Explanation) {
	r := newRun(ctx, e, p, e.plans[p.own[t]])
	if len(r.free) == 0 {
		return
	}
	r.scale = 1
	r.sortByAge(r.free)
	r.sortIntoGroups()
	r.state = newState(r)
	r.broke = make(map[*ruleset.Rule]breach)
	defer r.watch(1)()
	budget := stepsSecond
	r.anchor(t, &budget)
	rules := make([]*ruleset.Rule, 0, len(r.broke))
	for k := range r.broke {
		rules = append(rules, k)
	}
	slices.SortFunc(rules, func(a, b *ruleset.Rule) int {
		return cmp.Or(cmp.Compare(r.broke[b].times, r.broke[a].times), cmp.Compare(a.Name, b.Name))
	})
	for _, k := range rules {
		x.Broken = append(x.Broken, k.Name)
		if said := r.broke[k].refusal; said != nil {
			if x.Said == nil {
				x.Said = make(map[string]string)
			}
			x.Said[k.Name] = oneLine(said.Error())
		}
		most, _ := mostOf(k)
		x.Thresholds = append(x.Thresholds, e.loosening(k.Name, int(p.own[t]), p.wait[t], Threshold{Most: most, Needed: r.broke[k].needed}))
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
