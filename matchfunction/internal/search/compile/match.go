package compile

import (
	"iter"
	"time"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Match is a match in the making, as rules see it. It is reused from match to
// match (Start). Whoever makes it moves tickets by Put and Drop, or by hand: then Fill
// and Total have to follow Teams. It is for one goroutine at a time.
type Match struct {
	rules *Rules
	// Plan and Pool do not change.
	Plan *Plan
	Pool *pool.Pool
	// region is a position in the pool's regions, or -1.
	region int
	// Teams are the tickets by team slot.
	Teams [][]int32
	// Fill is the number of players by team slot, Total that of the match.
	Fill  []int
	Total int
	// Pinned are the ranges of the players who already play, by team slot, and
	// Backfill is their ticket, or -1.
	Pinned   [][][2]int32
	Backfill int32

	// filling reports whether more tickets may come.
	filling bool
	// refusal is what a custom rule said last.
	refusal error

	// Scratch.
	values    []vector
	sorted    []float64
	numbers   []float64
	ids       []int32
	reference []int32
	options   []uint64
	quota     quota
	everyone  []int32
}

// NewMatch makes an empty match by a plan of rules. Without rules (nil), Exact and
// Lineup, and custom rules and expressions, can't be asked.
func NewMatch(rs *Rules, pl *Plan, p *pool.Pool) Match {
	n := len(pl.Slots)
	return Match{
		rules: rs, Plan: pl, Pool: p, Teams: make([][]int32, n), Fill: make([]int, n), Pinned: make([][][2]int32, n), Backfill: -1,
		values: make([]vector, pl.nodes),
	}
}

// Start empties the match. Its region is a position in the pool's, or -1.
func (m *Match) Start(region int) {
	for i := range m.Teams {
		m.Teams[i], m.Fill[i], m.Pinned[i] = m.Teams[i][:0], 0, m.Pinned[i][:0]
	}
	m.region, m.Total, m.Backfill = region, 0, -1
}

// Pin puts those who already play into their teams. It reports whether they fit.
func (m *Match) Pin(t int32) bool {
	m.Backfill = t
	k := &m.Pool.Tickets[t]
	at := m.Pool.First[t]
	for i, slot := range k.Teams {
		if slot < 0 || slot >= len(m.Teams) {
			return false
		}
		from := at + int32(i)
		if s := m.Pinned[slot]; len(s) > 0 && s[len(s)-1][1] == from {
			s[len(s)-1][1]++
		} else {
			m.Pinned[slot] = append(s, [2]int32{from, from + 1})
		}
		m.Fill[slot]++
		m.Total++
	}
	for slot, n := range m.Fill {
		if n > m.Plan.Slots[slot].Max {
			return false
		}
	}
	return m.pinnedFit()
}

// pinnedFit reports whether those who already play may be in their teams.
func (m *Match) pinnedFit() bool {
	for i := range m.Plan.fits {
		f := &m.Plan.fits[i]
		for _, slot := range f.slots {
			for _, s := range m.Pinned[slot] {
				for player := s[0]; player < s[1]; player++ {
					if !f.ok(m.Pool, player) {
						return false
					}
				}
			}
		}
	}
	return true
}

// Players are the ranges of players of a team: from the first of each pair to before
// the second.
func (m *Match) Players(slot int) iter.Seq2[int32, int32] {
	return func(yield func(int32, int32) bool) {
		for _, s := range m.Pinned[slot] {
			if !yield(s[0], s[1]) {
				return
			}
		}
		first := m.Pool.First
		for _, t := range m.Teams[slot] {
			if !yield(first[t], first[t+1]) {
				return
			}
		}
	}
}

// All are the tickets of the match, that of those who already play too, until
// the next call.
func (m *Match) All() []int32 {
	m.everyone = m.everyone[:0]
	if m.Backfill >= 0 {
		m.everyone = append(m.everyone, m.Backfill)
	}
	for _, team := range m.Teams {
		m.everyone = append(m.everyone, team...)
	}
	return m.everyone
}

// Decisive is the wait of the ticket that decides on the stage of the match.
func (m *Match) Decisive() time.Duration { return m.rules.decisive(m.Pool, m.All()) }

// Put puts a ticket into a team, whether or not it fits.
func (m *Match) Put(t int32, slot int) {
	m.Teams[slot] = append(m.Teams[slot], t)
	size := m.Pool.Size(t)
	m.Fill[slot] += size
	m.Total += size
}

// Drop takes the i-th ticket of a team out.
func (m *Match) Drop(slot, i int) int32 {
	team := m.Teams[slot]
	t := team[i]
	m.Teams[slot] = append(team[:i], team[i+1:]...)
	size := m.Pool.Size(t)
	m.Fill[slot] -= size
	m.Total -= size
	return t
}

// Enough reports whether each team has its smallest size.
func (m *Match) Enough() bool {
	if m.Total < 1 {
		return false
	}
	for i, p := range m.Plan.Slots {
		if m.Fill[i] < p.Min && !p.Bots {
			return false
		}
	}
	return true
}

// Full reports whether nobody else fits.
func (m *Match) Full() bool { return m.Total == m.Plan.Most }

// Apart reports whether a custom rule keeps the ticket from any other that is in, or
// one of its players is in the match already, as who has left a match that is filled
// up may be back before that is known, or is banned from it.
func (m *Match) Apart(t int32) bool {
	if m.Backfill >= 0 && (m.Pool.Shared(t, m.Backfill) || m.Pool.Bans(m.Backfill, t)) {
		return true
	}
	if len(m.Plan.pairwise) == 0 {
		return false
	}
	k := m.Pool.Tickets
	for _, other := range m.All() {
		for _, r := range m.Plan.pairwise {
			if other != t && r.pairwise(&k[t], &k[other]) {
				return true
			}
		}
	}
	return false
}

// BreaksGuards reports whether a rule is broken that adding tickets can't repair.
func (m *Match) BreaksGuards() bool {
	if len(m.Plan.incremental) == 0 {
		return false
	}
	m.filling = true
	defer func() { m.filling = false }()
	return m.brokenBy(m.Plan.incremental) > 0
}

// Broken tells how far a complete match is from keeping the rules: 0 if it keeps
// them, and less the nearer it is.
func (m *Match) Broken() float64 { return m.brokenBy(m.Plan.complete) }

// brokenBy tells how far the match is from keeping some rules; slow ones are
// looked at only when all others are kept.
func (m *Match) brokenBy(checks []*check) float64 {
	sum := 0.0
	for _, k := range checks {
		if k.slow && sum > 0 {
			break
		}
		sum += k.broken(m)
	}
	return sum
}

// Breach is a rule that a complete match breaks.
type Breach struct {
	Rule *ruleset.Rule
	// Limit is what the rule allows, and, where that is known, what it would have had to.
	Limit Threshold
	// Refusal is what a custom rule says, nil if it says nothing.
	Refusal error
}

// Breaches tells of each rule that a complete match breaks.
func (m *Match) Breaches(each func(Breach)) {
	for _, k := range m.Plan.complete {
		m.refusal = nil
		if k.broken(m) > 0 {
			b := Breach{Rule: k.rule, Refusal: m.refusal}
			b.Limit = k.breach(m)
			each(b)
		}
	}
}

// Exact reports whether the match keeps the rules of the very stage that its
// tickets have reached, if that is another than its own.
func (m *Match) Exact() bool {
	stage := m.rules.Set.At(m.rules.decisive(m.Pool, m.All()))
	if stage == m.Plan.Stage {
		return true
	}
	other := m.rules.Plans[stage]
	for i, p := range other.Slots {
		if m.Fill[i] > p.Max || (m.Fill[i] < p.Min && !p.Bots) {
			return false
		}
	}
	for _, t := range m.All() {
		if other.Flaw(m.Pool, t) != "" || (m.region >= 0 && other.Reachable(m.Pool, t)&(1<<m.region) == 0) {
			return false
		}
	}
	for len(m.values) < other.nodes {
		m.values = append(m.values, vector{})
	}
	return m.brokenBy(other.checks) == 0
}

// ruleMatch is the match as a custom rule sees it.
func (m *Match) ruleMatch() *rule.Match {
	l := m.Lineup()
	return l.Match(m.Pool.Tickets)
}
