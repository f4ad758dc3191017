package solve

import (
	"math"
	"time"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
)

// A match that the rules allow may be worth less than one that is possible a
// little later, when somebody nearer has come. How long that takes is up to how
// many come, so the threshold below which a match stands follows the arrival rate
// around its tickets. With the preference p and W, the widest window that the rules
// allow, a ticket that has waited for w has the threshold
//
//	min(W, θ · (1 + n / (holdGrowth · (k-1)))) + k · W · (w / L)²    with
//	θ = W · 10^-p · max(M, 1)^-holdExponent
//	L = (holdPlayer · k + holdPair · k · (k+1) · p⁴) · max(M, holdFewest)^-holdSparse, at most p · holdLimit
//
// where M is how many matches' worth of players come within W in a minute, k the players
// of a match, and n how many players have come within θ during w. A match stands if its
// spread is below the mean of its tickets' thresholds. So one ticket that has waited for
// L is enough for whatever the rules allow.
//
// By Little's law the rates are in the pool itself: as many come in a second as
// wait, divided by how long they wait. So nothing is kept from run to run, no replica
// has to know of others, and none knows less for having been restarted.
//
// The least mean spread at some mean wait would have θ fall with the square root of
// the rate. But then, where and when few come, matches are wider than those of any
// plain search; the smaller exponent and the least M bound that. Who holds out for
// little does so for a short while, and who holds out for much for long: L is short
// while the wait of all is, so that nobody waits many times as long as others, and so
// long later that hardly any match is wide for age. It is longer where more have to
// come for a match, and where few do.
const (
	holdExponent = 0.125
	holdGrowth   = 4.0
	holdPlayer   = 20 * time.Second
	holdPair     = 324 * time.Second
	holdSparse   = 0.3
	holdFewest   = 0.05
	holdLimit    = time.Hour
	// holdAround is the least number of neighbours on each side that tell the rate.
	holdAround = 8
	// holdYoungest and holdOldest bound the mean wait around a ticket, in seconds:
	// clocks differ, and some tickets match nobody.
	holdYoungest, holdOldest = 1.0, 600.0
	// holdDensest bounds the rate, in matches within W in a minute: players can be
	// all alike.
	holdDensest = 1e6
)

// hold is what the search holds out for, by ticket. It is nil where the rules alone
// decide.
type hold struct {
	pool *pool.Pool
	// window is W, factor what the preference makes of it.
	window, factor float64
	// limit is L where one match's worth of players comes in a minute, longest the most
	// that it is, in seconds.
	limit, longest float64
	// players of a match, and how many tickets on each side of one tell the rate.
	players, around int
	// fresh is θ by ticket, 0 where it is not known yet, nearer how many players come
	// within it in a second, now the threshold; limits is L, and around whom the mean
	// wait is so long, both in seconds.
	fresh, nearer, now, limits, waits []float64
	// surplus is by how much the threshold of a ticket is above the spread of the
	// nearest who would make a match with it.
	surplus []float64
	// ages and sizes are scratch: sums over the tickets before a position.
	ages, sizes []float64
}

// newHold returns nil where the rules alone decide.
func newHold(rs *compile.Rules, p *pool.Pool) *hold {
	first := rs.Plans[0]
	prefer, window := first.Definition.Algorithm.Preference, rs.Widest()
	if prefer <= 0 || window <= 0 {
		return nil
	}
	n, players := len(p.Tickets), float64(first.Most)
	return &hold{
		pool: p, window: window, factor: window * math.Pow(10, -prefer),
		limit:   holdPlayer.Seconds()*players + holdPair.Seconds()*players*(players+1)*math.Pow(prefer, 4),
		longest: prefer * holdLimit.Seconds(),
		players: first.Most, around: max(holdAround, first.Most),
		fresh: make([]float64, n), nearer: make([]float64, n), now: make([]float64, n), surplus: make([]float64, n),
		limits: make([]float64, n), waits: make([]float64, n),
		ages: make([]float64, 1, n+1), sizes: make([]float64, 1, n+1),
	}
}

// learn sets the thresholds of tickets that can meet, sorted by their keys, but for
// those that have one: the first run sees most of them.
func (h *hold) learn(n int, ticket func(int) int32, key func(int) float64) {
	h.ages, h.sizes = h.ages[:1], h.sizes[:1]
	for i := range n {
		t := ticket(i)
		size := float64(h.pool.Size(t))
		h.ages = append(h.ages, h.ages[i]+size*min(h.pool.Wait[t].Seconds(), holdOldest))
		h.sizes = append(h.sizes, h.sizes[i]+size)
	}
	for i := range n {
		t := ticket(i)
		if h.fresh[t] > 0 {
			continue
		}
		from, to := max(0, i-h.around), min(n-1, i+h.around)
		players := h.sizes[to+1] - h.sizes[from]
		wait := max((h.ages[to+1]-h.ages[from])/players, holdYoungest)
		// One player of them is there in any case.
		rate := max(players-1, 0) / wait / (key(to) - key(from))
		h.waits[t] = wait
		h.set(t, rate)
	}
}

// rank sets the surplus of tickets that may meet, sorted by their keys.
func (h *hold) rank(sorted []int32, keys []float64, least int) {
	players := 0
	for _, t := range sorted {
		players += h.pool.Size(t)
	}
	for i, t := range sorted {
		if players < least {
			h.surplus[t] = math.Inf(-1)
			continue
		}
		x, lo, hi := keys[t], i, i
		for players := h.pool.Size(t); players < least; {
			below, above := math.Inf(1), math.Inf(1)
			if lo > 0 {
				below = x - keys[sorted[lo-1]]
			}
			if hi < len(sorted)-1 {
				above = keys[sorted[hi+1]] - x
			}
			// Distances can be infinite where somebody is.
			if hi == len(sorted)-1 || lo > 0 && below <= above {
				lo--
				players += h.pool.Size(sorted[lo])
			} else {
				hi++
				players += h.pool.Size(sorted[hi])
			}
		}
		h.surplus[t] = h.now[t] - (keys[sorted[hi]] - keys[sorted[lo]])
	}
}

// hopeless reports whether no match around a ticket is likely to be close enough.
func (h *hold) hopeless(t int32) bool { return h.surplus[t] < -(boundHeld-1)*h.now[t] }

// set sets the threshold of a ticket around which so many players come, in a second
// and for each 1 of the sort key.
func (h *hold) set(t int32, rate float64) {
	perMatch := h.window * time.Minute.Seconds() / float64(h.players)
	matches := min(rate*perMatch, holdDensest)
	if !(matches > 0) { // also what is not a number
		matches = 0
	}
	h.fresh[t] = h.factor
	if matches > 1 {
		h.fresh[t] *= math.Exp2(-holdExponent * math.Log2(matches))
	}
	h.nearer[t] = matches / perMatch * h.fresh[t]
	h.limits[t] = min(h.limit*math.Exp2(-holdSparse*math.Log2(max(matches, holdFewest))), h.longest)
	h.now[t] = h.threshold(t, h.pool.Wait[t])
}

// threshold is that of a ticket that has waited so long.
func (h *hold) threshold(t int32, wait time.Duration) float64 {
	return h.grown(t, h.nearer[t]*wait.Seconds()) + h.forAge(wait, h.limits[t])
}

// grown is the threshold of a ticket within whose θ so many have come, without what is
// added for age.
func (h *hold) grown(t int32, came float64) float64 {
	return min(h.fresh[t]*(1+came/(holdGrowth*float64(max(1, h.players-1)))), h.window)
}

// forAge is what is added for age alone. After L it grows more slowly, beyond what any
// match needs: so that who has waited for e times as long as others has precedence over
// them, however much closer their matches are.
func (h *hold) forAge(wait time.Duration, limit float64) float64 {
	old := max(wait.Seconds(), 0) / max(limit, 1e-3)
	if old > 1 {
		return float64(h.players)*h.window + h.window*math.Log(old)
	}
	return float64(h.players) * h.window * old * old
}

// overdue is how much more it costs to leave a ticket out that has waited for L: more
// than a match with it costs and those lose by that who have hardly waited, k-1 of them,
// each W / k.
func (h *hold) overdue(t int32) float64 {
	old := h.pool.Wait[t].Seconds() / max(h.limits[t], 1e-3)
	if old < 1 {
		return 0
	}
	return h.window * (2 + math.Log(old))
}

// of is the threshold of a match.
func (h *hold) of(tickets []int32) float64 {
	sum := 0.0
	for _, t := range tickets {
		sum += h.now[t]
	}
	return sum / float64(len(tickets))
}

// in is how long a match of these tickets has to wait at most until it stands, in seconds
// rounded up, if nobody comes. Then the rate falls as the tickets around each grow older.
func (h *hold) in(tickets []int32, spread float64) time.Duration {
	missing := spread * float64(len(tickets))
	n := 0
	for ; float64(n) < h.longest; n++ {
		sum := 0.0
		for _, t := range tickets {
			sum += h.later(t, n)
		}
		if sum >= missing {
			break
		}
	}
	return time.Duration(n) * time.Second
}

// later is what the threshold of a ticket is at least, so many seconds later.
func (h *hold) later(t int32, seconds int) float64 {
	wait := h.pool.Wait[t] + time.Duration(seconds)*time.Second
	less := 1 + float64(seconds)/max(h.waits[t], holdYoungest)
	return h.grown(t, h.nearer[t]/less*wait.Seconds()) + h.forAge(wait, min(h.limits[t]*math.Pow(less, holdSparse), h.longest))
}
