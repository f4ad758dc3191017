package search

import (
	"cmp"
	"math"
	"slices"

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

// anchor makes the match of a ticket, or fills the match of those who already
// play, in the first of its regions that has a full one, else the largest one.
func (r *run) anchor(t int32, budget *int) (Proposal, bool) {
	r.best.total = 0
	for _, region := range r.byLatency(t) {
		g := r.groups[groupKey{r.partition[t], int32(region)}]
		if g == nil {
			continue
		}
		if r.region(t, g, region, budget) || *budget <= 0 {
			break
		}
	}
	if r.best.total == 0 {
		return Proposal{}, false
	}
	st := r.state
	r.begin(t, r.best.region)
	for slot, team := range r.best.teams {
		st.teams[slot] = st.teams[slot][:0]
		for _, k := range team {
			r.pool.taken[k] = true
			st.teams[slot] = append(st.teams[slot], k)
		}
	}
	st.recount()
	r.pool.taken[t] = true
	return r.proposal(st), true
}

func (st *state) recount() {
	st.total = 0
	for slot := range st.teams {
		st.fill[slot] = 0
		for from, to := range st.players(slot) {
			st.fill[slot] += int(to - from)
		}
		st.total += st.fill[slot]
	}
}

// byLatency are the regions of a ticket, the nearest first, or the one with
// the most tickets where the rules say so; -1 stands for no region at all.
func (r *run) byLatency(t int32) []int {
	out := slices.Collect(r.regions(t))
	populous := r.plan.definition.Algorithm.BatchingPreference == ruleset.LargestPopulation
	slices.SortStableFunc(out, func(a, b int) int {
		if c := cmp.Compare(r.population[b], r.population[a]); populous && c != 0 {
			return c
		}
		return cmp.Compare(r.pool.latency(t, a).avg, r.pool.latency(t, b).avg)
	})
	if !r.pool.named[t] {
		out = append(out, -1)
	}
	return out
}

// begin starts a match with the anchor in it. It reports whether the anchor
// keeps the rules by itself.
func (r *run) begin(t int32, region int) bool {
	st := r.state
	st.start(region)
	st.anchor, st.relax = t, r.plan.relax(r.pool.wait[t])
	if r.pool.tickets[t].Teams != nil {
		return st.pin(t) && !st.breaksIncremental()
	}
	return st.add(t)
}

// region looks for a match in one region. It reports whether it is full.
func (r *run) region(t int32, g *group, region int, budget *int) bool {
	if !r.begin(t, region) {
		return false
	}
	r.unrepaired = false
	x := r.key(t)
	if len(r.plan.sorts) > 0 {
		return r.inSortedOrder(t, g, x, region, budget)
	}
	// Large parties are hard to place, and solos close any gap: whoever takes
	// solos while large parties are near will miss them later.
	if r.parties && r.largest(t, g, x, region, 2*r.plan.most, budget) {
		return true
	}
	full, blocked, misfit := r.nearest(t, g, x, region, noFloor, 0, budget)
	if full {
		return true
	}
	if blocked && r.floors(t, g, x, region, budget) {
		return true
	}
	if misfit && r.largest(t, g, x, region, maxPlayers, budget) {
		return true
	}
	if r.plan.common >= 0 && r.words(t, g, x, region, budget) {
		return true
	}
	return r.best.total == 0 && r.unrepaired && r.smallest(t, g, x, region, budget)
}

// mostSmall is how many of an anchor's neighbours a smallest match is begun
// with.
const mostSmall = 12

// smallest looks for the smallest match, where none could be repaired: it begins
// with each of the nearest neighbours in turn, and ends as soon as the teams
// have their smallest sizes.
func (r *run) smallest(t int32, g *group, x float64, region int, budget *int) bool {
	r.gather(t, g, x, maxPlayers, budget)
	for skip := range min(mostSmall, max(1, len(r.cands))) {
		if *budget <= 0 || !r.begin(t, region) {
			return false
		}
		if skip > 0 && r.state.enough() {
			r.state.add(r.cands[skip-1].ticket)
		}
		for _, c := range r.cands[min(skip, len(r.cands)):] {
			if r.state.enough() || *budget <= 0 {
				break
			}
			*budget--
			r.state.add(c.ticket)
		}
		if r.storeBest(region, budget) || r.best.total > 0 {
			return r.best.total == r.plan.most
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
func (r *run) nearest(t int32, g *group, x float64, region int, floor float64, word int32, budget *int) (full, blocked, misfit bool) {
	st := r.state
	if !r.begin(t, region) {
		return false, false, false
	}
	r.walk.start(g, x, r.pool.taken)
	most, bounded := r.sortKeyWindow()
	if floor > noFloor {
		st.lo[0] = min(st.lo[0], floor)
	}
	r.cands = r.cands[:0]
	for !r.spent(budget) && st.total < r.plan.most && st.room > 0 {
		k, key, ok := r.walk.next()
		if !ok {
			break
		}
		if k == t {
			continue
		}
		*budget--
		if bounded && max(st.hi[0], key)-min(st.lo[0], key) > most {
			blocked = blocked || abs(key-x) <= most
			r.walk.stop(key < x)
			continue
		}
		if word != 0 && !r.holds(k, word-1) {
			continue
		}
		if !st.add(k) {
			misfit = true
			r.walk.only(r.openTeams(), st.room)
			if len(r.cands) < mostCandidates {
				r.cands = append(r.cands, candidate{ticket: k, key: key})
			}
		}
	}
	r.more(t, g, x, budget)
	return r.storeBest(region, budget), blocked, misfit
}

// sortKeyWindow is the window of the sort key, if the first window is one.
func (r *run) sortKeyWindow() (float64, bool) {
	if len(r.plan.windows) > 0 && r.plan.windows[0].column == r.plan.sortKey {
		return r.plan.windows[0].most * r.state.relax, true
	}
	return 0, false
}

// openTeams are the teams with room.
func (r *run) openTeams() *slotSet {
	if len(r.plan.fits) == 0 {
		return &everySlot
	}
	var may slotSet
	for i, p := range r.plan.slots {
		if r.state.fill[i] < p.Max {
			may.add(i)
		}
	}
	return &may
}

// more keeps some of those who come next, to be tried in the place of others.
func (r *run) more(t int32, g *group, x float64, budget *int) {
	if len(r.plan.complete) == 0 {
		return
	}
	r.rare(t, g, x, budget)
	// Half of the steps are for repairing.
	for half := *budget / 2; len(r.cands) < mostCandidates && *budget > half && !r.spent(budget); {
		k, key, ok := r.walk.next()
		if !ok {
			break
		}
		*budget--
		if k != t {
			r.cands = append(r.cands, candidate{ticket: k, key: key})
		}
	}
}

// rare adds the nearest of each bucket to the candidates, where roles are asked
// for: who has one can be far away.
func (r *run) rare(t int32, g *group, x float64, budget *int) {
	if len(r.plan.quotas) == 0 || len(g.buckets) > mostBuckets {
		return
	}
	most, bounded := r.sortKeyWindow()
	for i := range g.buckets {
		r.far.start(&group{buckets: g.buckets[i : i+1]}, x, r.pool.taken)
		for range fewOfEach {
			k, key, ok := r.far.next()
			if !ok || r.spent(budget) || (bounded && abs(key-x) > most) {
				break
			}
			*budget--
			if k != t {
				r.cands = append(r.cands, candidate{ticket: k, key: key})
			}
		}
	}
}

// floors tries windows that start at neighbours below the anchor.
func (r *run) floors(t int32, g *group, x float64, region int, budget *int) bool {
	most, _ := r.sortKeyWindow()
	var floors []float64
	r.walk.start(g, x, r.pool.taken)
	for range 8 * r.plan.most {
		_, key, ok := r.walk.next()
		if !ok {
			break
		}
		if key <= x && x-key <= most {
			floors = append(floors, key)
		}
	}
	floors = append(floors, x)
	stride := max(1, len(floors)/mostFloors)
	for i := 0; i < len(floors) && *budget > 0; i += stride {
		if full, _, _ := r.nearest(t, g, x, region, floors[i], 0, budget); full {
			return true
		}
	}
	return false
}

// gather takes the nearest neighbours of an anchor as candidates, until they
// are so many players.
func (r *run) gather(t int32, g *group, x float64, players int, budget *int) {
	r.cands = r.cands[:0]
	r.walk.start(g, x, r.pool.taken)
	most, bounded := r.sortKeyWindow()
	for len(r.cands) < mostCandidates && !r.spent(budget) && players > 0 {
		k, key, ok := r.walk.next()
		if !ok {
			return
		}
		*budget--
		if bounded && abs(key-x) > most {
			r.walk.stop(key < x)
			continue
		}
		if k != t {
			r.cands = append(r.cands, candidate{ticket: k, key: key})
			players -= r.pool.size(k)
		}
	}
}

// maxPlayers is more than any number of candidates has.
const maxPlayers = math.MaxInt

// words tries the anchor's words one by one as the one that all hold.
func (r *run) words(t int32, g *group, x float64, region int, budget *int) bool {
	// By text: the ids depend on who else waits, if only to be refused.
	own := slices.Clone(r.pool.lists[r.plan.common][r.pool.first[t]])
	slices.SortFunc(own, func(a, b int32) int { return cmp.Compare(r.pool.texts[a], r.pool.texts[b]) })
	for i, w := range own {
		if i == mostWords || *budget <= 0 {
			break
		}
		if full, _, _ := r.nearest(t, g, x, region, noFloor, w+1, budget); full {
			return true
		}
	}
	return false
}

func (r *run) holds(t, word int32) bool {
	for _, l := range r.pool.lists[r.plan.common][r.pool.first[t]:r.pool.first[t+1]] {
		if _, in := slices.BinarySearch(l, word); !in {
			return false
		}
	}
	return true
}

// storeBest makes what is in the state the best match if it keeps all rules, if
// need be after it has been repaired, and is larger than the best so far, or
// closer together. It reports whether it is full.
func (r *run) storeBest(region int, budget *int) bool {
	st := r.state
	if !st.enough() || st.total < r.best.total {
		return false
	}
	if r.spent(budget) && r.best.total > 0 {
		return false
	}
	st.balance()
	*budget -= r.plan.lookCost + len(st.members)*len(st.members)/64
	if b := st.broken(r.plan.complete); b > 0 && !r.repair(b, budget) {
		r.unrepaired = true
		r.blame()
		return false
	}
	if !r.exact() {
		return false
	}
	spread := 0.0
	if r.plan.sortKey >= 0 {
		lo, hi := st.spread(r.plan.sortKey)
		spread = hi - lo
	}
	if st.total < r.best.total || (st.total == r.best.total && r.best.total > 0 && spread >= r.best.spread) {
		return false
	}
	if st.backfill >= 0 && len(st.all()) == 1 {
		return false // nobody joins
	}
	r.best.region, r.best.total, r.best.spread = region, st.total, spread
	for len(r.best.teams) < len(st.teams) {
		r.best.teams = append(r.best.teams, nil)
	}
	for i, team := range st.teams {
		r.best.teams[i] = append(r.best.teams[i][:0], team...)
	}
	return st.full()
}

// exact reports whether the match keeps the rules of the very stage that its
// tickets have reached, if that is another than the one that is searched.
func (r *run) exact() bool {
	st := r.state
	stage := r.engine.rules.At(r.decisive(st.all()))
	if stage == r.plan.stage {
		return true
	}
	other := r.engine.plans[stage]
	for i, p := range other.slots {
		if st.fill[i] > p.Max || (st.fill[i] < p.Min && !p.Bots) {
			return false
		}
	}
	for _, t := range st.all() {
		if other.flaw(r.pool, t) != "" || (st.region >= 0 && other.reachable(r.pool, t)&(1<<st.region) == 0) {
			return false
		}
	}
	for len(st.values) < other.nodes {
		st.values = append(st.values, vector{})
	}
	return st.broken(other.checks) == 0
}

// blame notes which rules the match breaks.
func (r *run) blame() {
	for _, k := range r.plan.complete {
		r.state.refusal = nil
		if r.broke != nil && k.broken(r.state) > 0 {
			b := r.broke[k.rule]
			b.times++
			if b.refusal == nil {
				b.refusal = r.state.refusal
			}
			if needed, ok := k.spreadOf(r.state); ok && (b.needed == 0 || needed < b.needed) {
				b.needed = needed
			}
			r.broke[k.rule] = b
		}
	}
}
