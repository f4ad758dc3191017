package solve

import (
	"cmp"
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

const (
	// mostCandidates is how many neighbours of an anchor are sorted, or tried
	// in the place of others.
	mostCandidates = 128
	// mostWords is how many words of an anchor are tried as the one that all
	// have in common.
	mostWords = 8
	// fewOfEach is how many of each bucket are tried for their roles, if there
	// are not more than mostBuckets.
	fewOfEach, mostBuckets = 4, 64
	// mostFloors is how many windows around an anchor are tried.
	mostFloors = 12
)

type candidate struct {
	ticket int32
	key    float64
	order  float64
}

// best is the largest match around an anchor so far.
type best struct {
	teams  [][]int32
	region int
	total  int
	spread float64
}

// broken is how often a rule was broken, and the least that it would have had to
// allow, 0 if that is not known.
type broken struct {
	times int
	limit compile.Threshold
	// wait is the longest that of the tickets which decide on the stage of those matches.
	wait time.Duration
	// refusal is what a custom rule said of the first such match.
	refusal error
}

// anchor is the ticket around which a match is looked for, in one of its regions. It
// is reused from ticket to ticket.
type anchor struct {
	layout *layout
	pool   *pool.Pool
	plan   *compile.Plan
	taken  []bool
	hold   *hold

	ticket int32
	// region is a position in the pool's regions, or -1, group whom the ticket can
	// meet there, x its key.
	region int
	group  *group
	x      float64
	budget budget

	state *state
	walk  walk
	far   walk // of rare
	best  best
	// unrepaired reports whether a match of the anchor had enough players and broke
	// a rule.
	unrepaired bool
	// holding reports whether a match of the anchor was held back: more steps would
	// find no closer one.
	holding bool
	cands   []candidate
	repair  repair
	// Scratch of bySize.
	sorted []candidate
	counts []int

	// broke counts, if it is not nil, how often a rule kept a complete match
	// from being one.
	broke map[*ruleset.Rule]broken
	// held is, with broke, the closest match that the search held out for.
	held *Held
	// impatient has matches use all of their windows.
	impatient bool
}

func newAnchor(r *run) *anchor {
	return &anchor{
		layout: r.layout, pool: r.pool, plan: r.plan, taken: r.taken, hold: r.hold,
		budget: budget{stopped: &r.stopped}, state: newState(r.rules, r.layout),
	}
}

// match makes, in the state, the match of a ticket, or fills the match of those who
// already play, in the first of its regions that has a full one, else the largest
// one. It reports whether there is one, and how many of the steps are left.
func (a *anchor) match(t int32, steps int) (ok bool, left int) {
	a.ticket, a.x, a.budget.left = t, a.layout.beginAt(t), steps
	a.best.total, a.holding = 0, false
	for _, region := range a.layout.byLatency(t) {
		a.region, a.group = region, a.layout.groups[groupKey{a.layout.partition[t], int32(region)}]
		if a.group == nil {
			continue
		}
		if a.inRegion() || a.budget.left <= 0 {
			break
		}
	}
	if a.best.total == 0 {
		return false, a.budget.left
	}
	st := a.state
	a.region = a.best.region
	a.begin()
	for slot, team := range a.best.teams {
		st.Teams[slot] = st.Teams[slot][:0]
		for _, k := range team {
			a.taken[k] = true
			st.Teams[slot] = append(st.Teams[slot], k)
		}
	}
	st.recount()
	a.taken[t] = true
	return true, a.budget.left
}

// begin starts a match with the anchor in it. It reports whether the anchor
// keeps the rules by itself.
func (a *anchor) begin() bool {
	st, t := a.state, a.ticket
	st.start(a.region)
	st.anchor = t
	a.bound()
	if a.pool.Tickets[t].Teams != nil {
		return st.pin(t) && !st.BreaksGuards()
	}
	return st.add(t)
}

// boundHeld is how much of its own threshold the match of an anchor may use: that of
// the match is about as large.
const boundHeld = 1.5

// bound sets how much of the windows a match of the anchor may use.
func (a *anchor) bound() {
	st, t := a.state, a.ticket
	relax := a.plan.Relax(a.pool.Wait[t])
	if a.impatient {
		relax = 1
	}
	for i, w := range a.plan.Windows {
		st.most[i] = w.Most * relax
	}
	if _, ok := a.plan.SortKeyWindow(); ok && a.hold != nil && a.pool.Tickets[t].Teams == nil && a.broke == nil {
		st.most[0] = min(st.most[0], boundHeld*a.hold.now[t])
	}
}

// patience says until when the match in the state is held out for, by the window of which it
// uses most. Elsewhere says that it is not held at all.
func (a *anchor) patience() (h *Held, elsewhere bool) {
	st := a.state
	st.rebound()
	longest := a.pool.Wait[a.ticket]
	for _, k := range st.All() {
		longest = max(longest, a.pool.Wait[k])
	}
	relax, used := a.plan.Relax(longest), 0.0
	for i, w := range a.plan.Windows {
		if spread := st.hi[i] - st.lo[i]; w.Most > 0 && spread/w.Most > used {
			used = spread / w.Most
			h = &Held{Spread: spread, Most: w.Limit() * relax, In: a.plan.Relaxed(used) - longest, Patience: true}
		}
	}
	if used <= relax {
		return nil, true
	}
	return h, false
}

// holdsOut reports whether the match is not close enough yet. Those who already
// play are not kept waiting.
func (a *anchor) holdsOut(spread float64) bool {
	st := a.state
	if a.hold == nil || st.Backfill >= 0 {
		return false
	}
	most := a.hold.of(st.All())
	if !(spread > most) {
		return false
	}
	a.holding = true
	if a.broke != nil && (a.held == nil || spread < a.held.Spread) {
		a.held = &Held{Spread: spread, Most: most, In: a.hold.in(st.All(), spread)}
	}
	return true
}

// inRegion looks for a match in the region. It reports whether it is full.
func (a *anchor) inRegion() bool {
	if !a.begin() {
		return false
	}
	a.walk.to(a.group.buckets, a.x, a.taken)
	a.unrepaired = false
	if len(a.plan.Sorts) > 0 {
		return a.inSortedOrder()
	}
	// Large parties are hard to place, and solos close any gap: whoever takes
	// solos while large parties are near will miss them later.
	if a.layout.parties && a.hold == nil && a.largest(2*a.plan.Most) {
		return true
	}
	full, blocked, misfit := a.nearest(noFloor, 0)
	if full {
		return true
	}
	if blocked && a.floors() {
		return true
	}
	if misfit && a.largest(maxPlayers) {
		return true
	}
	if a.plan.Common >= 0 && a.words() {
		return true
	}
	return a.best.total == 0 && a.unrepaired && a.smallest()
}

// mostSmall is how many of an anchor's neighbours a smallest match is begun
// with.
const mostSmall = 12

// smallest looks for the smallest match, where none could be repaired: it begins
// with each of the nearest neighbours in turn, and ends as soon as the teams
// have their smallest sizes.
func (a *anchor) smallest() bool {
	a.gather(maxPlayers)
	for skip := range min(mostSmall, max(1, len(a.cands))) {
		if a.budget.left <= 0 || !a.begin() {
			return false
		}
		if skip > 0 && a.state.Enough() {
			a.state.add(a.cands[skip-1].ticket)
		}
		for _, c := range a.cands[min(skip, len(a.cands)):] {
			if a.state.Enough() || a.budget.left <= 0 {
				break
			}
			a.budget.left--
			a.state.add(c.ticket)
		}
		if a.storeBest() || a.best.total > 0 {
			return a.best.total == a.plan.Most
		}
	}
	return false
}

// noFloor is a floor that is none.
var noFloor = math.Inf(-1)

// nearest fills the teams with the nearest neighbours of the anchor that are
// not below the floor and, if word is not 0, hold that word. It reports whether
// the match is full, whether the window alone kept out one who is near enough
// to the anchor, and whether somebody did not fit.
func (a *anchor) nearest(floor float64, word int32) (full, blocked, misfit bool) {
	st := a.state
	if !a.begin() {
		return false, false, false
	}
	a.walk.start()
	most, bounded := a.sortKeyWindow()
	if floor > noFloor {
		st.lo[0] = min(st.lo[0], floor)
	}
	a.cands = a.cands[:0]
	for !a.budget.spent() && st.Total < a.plan.Most && st.room > 0 {
		k, key, ok := a.walk.next()
		if !ok {
			break
		}
		if k == a.ticket {
			continue
		}
		a.budget.left--
		if bounded && max(st.hi[0], key)-min(st.lo[0], key) > most {
			blocked = blocked || abs(key-a.x) <= most
			a.walk.stop(key < a.x)
			continue
		}
		if word != 0 && !a.holds(k, word-1) {
			continue
		}
		if !st.add(k) {
			misfit = true
			a.walk.only(a.openTeams(), st.room)
			if len(a.cands) < mostCandidates {
				a.cands = append(a.cands, candidate{ticket: k, key: key})
			}
		}
	}
	a.more()
	return a.storeBest(), blocked, misfit
}

// sortKeyWindow is the window of the sort key, if the first window is one.
func (a *anchor) sortKeyWindow() (float64, bool) {
	if _, ok := a.plan.SortKeyWindow(); ok {
		return a.state.most[0], true
	}
	return 0, false
}

// openTeams are the teams with room; nil where anybody may be in any team that has.
func (a *anchor) openTeams() *compile.SlotSet {
	if a.plan.AnyTeam() {
		return nil
	}
	var may compile.SlotSet
	for i, p := range a.plan.Slots {
		if a.state.Fill[i] < p.Max {
			may.Add(i)
		}
	}
	return &may
}

// more keeps some of those who come next, to be tried in the place of others.
func (a *anchor) more() {
	if a.plan.LookCost == 0 {
		return
	}
	a.rare()
	// Half of the steps are for repairing.
	for half := a.budget.left / 2; len(a.cands) < mostCandidates && a.budget.left > half && !a.budget.spent(); {
		k, key, ok := a.walk.next()
		if !ok {
			break
		}
		a.budget.left--
		if k != a.ticket {
			a.cands = append(a.cands, candidate{ticket: k, key: key})
		}
	}
}

// rare adds the nearest of each bucket to the candidates, where roles are asked
// for: who has one can be far away.
func (a *anchor) rare() {
	if !a.plan.AsksRoles() || len(a.group.buckets) > mostBuckets {
		return
	}
	most, bounded := a.sortKeyWindow()
	for i := range a.group.buckets {
		a.far.to(a.group.buckets[i:i+1], a.x, a.taken)
		a.far.start()
		for range fewOfEach {
			k, key, ok := a.far.next()
			if !ok || a.budget.spent() || (bounded && abs(key-a.x) > most) {
				break
			}
			a.budget.left--
			if k != a.ticket {
				a.cands = append(a.cands, candidate{ticket: k, key: key})
			}
		}
	}
}

// floors tries windows that start at neighbours below the anchor.
func (a *anchor) floors() bool {
	most, _ := a.sortKeyWindow()
	var floors []float64
	a.walk.start()
	for range 8 * a.plan.Most {
		_, key, ok := a.walk.next()
		if !ok {
			break
		}
		if key <= a.x && a.x-key <= most {
			floors = append(floors, key)
		}
	}
	floors = append(floors, a.x)
	stride := max(1, len(floors)/mostFloors)
	for i := 0; i < len(floors) && a.budget.left > 0; i += stride {
		if full, _, _ := a.nearest(floors[i], 0); full {
			return true
		}
	}
	return false
}

// gather takes the nearest neighbours of an anchor as candidates, until they
// are so many players.
func (a *anchor) gather(players int) {
	a.cands = a.cands[:0]
	a.walk.start()
	most, bounded := a.sortKeyWindow()
	for len(a.cands) < mostCandidates && !a.budget.spent() && players > 0 {
		k, key, ok := a.walk.next()
		if !ok {
			return
		}
		a.budget.left--
		if bounded && abs(key-a.x) > most {
			a.walk.stop(key < a.x)
			continue
		}
		if k != a.ticket {
			a.cands = append(a.cands, candidate{ticket: k, key: key})
			players -= a.pool.Size(k)
		}
	}
}

// maxPlayers is more than any number of candidates has.
const maxPlayers = math.MaxInt

// words tries the anchor's words one by one as the one that all hold.
func (a *anchor) words() bool {
	// By text: the ids depend on who else waits, if only to be refused.
	own := slices.Clone(a.pool.Lists[a.plan.Common][a.pool.First[a.ticket]])
	slices.SortFunc(own, func(x, y int32) int { return cmp.Compare(a.pool.Texts[x], a.pool.Texts[y]) })
	for i, w := range own {
		if i == mostWords || a.budget.left <= 0 {
			break
		}
		if full, _, _ := a.nearest(noFloor, w+1); full {
			return true
		}
	}
	return false
}

func (a *anchor) holds(t, word int32) bool {
	for _, l := range a.pool.Lists[a.plan.Common][a.pool.First[t]:a.pool.First[t+1]] {
		if _, in := slices.BinarySearch(l, word); !in {
			return false
		}
	}
	return true
}

// storeBest makes what is in the state the best match if it keeps all rules, if
// need be after it has been repaired, and is larger than the best so far, or
// closer together. It reports whether it is full.
func (a *anchor) storeBest() bool {
	st := a.state
	if !st.Enough() || st.Total < a.best.total {
		return false
	}
	if a.budget.spent() && a.best.total > 0 {
		return false
	}
	st.balance()
	a.budget.left -= a.plan.LookCost + len(st.members)*len(st.members)/64
	if b := st.Broken(); b > 0 && !a.repaired(b) {
		a.unrepaired = true
		a.blame()
		return false
	}
	if !st.Exact() {
		return false
	}
	spread := 0.0
	if a.plan.SortKey >= 0 {
		lo, hi := st.Spread(a.plan.SortKey)
		spread = hi - lo
	}
	if st.Total < a.best.total || (st.Total == a.best.total && a.best.total > 0 && spread >= a.best.spread) {
		return false
	}
	if a.holdsOut(spread) {
		return false
	}
	if st.Backfill >= 0 && len(st.All()) == 1 {
		return false // nobody joins
	}
	a.best.region, a.best.total, a.best.spread = a.region, st.Total, spread
	for len(a.best.teams) < len(st.Teams) {
		a.best.teams = append(a.best.teams, nil)
	}
	for i, team := range st.Teams {
		a.best.teams[i] = append(a.best.teams[i][:0], team...)
	}
	return st.Full()
}

// repaired repairs the match in the state, which is so far from the rules. It reports whether
// that worked.
func (a *anchor) repaired(broken float64) bool {
	a.repair = repair{state: a.state, cands: a.cands, budget: &a.budget}
	return a.repair.run(broken)
}

// blame notes which rules the match breaks.
func (a *anchor) blame() {
	if a.broke == nil {
		return
	}
	a.state.Breaches(func(of compile.Breach) {
		b := a.broke[of.Rule]
		b.times++
		b.wait = max(b.wait, a.state.Decisive())
		if b.refusal == nil {
			b.refusal = of.Refusal
		}
		before := b.limit.Needed
		if b.limit = of.Limit; before > 0 && before < b.limit.Needed {
			b.limit.Needed = before
		}
		a.broke[of.Rule] = b
	})
}
