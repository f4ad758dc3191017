package search

import (
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
)

// Proposal is a match of tickets, which are positions in what Search was
// given.
type Proposal struct {
	// Region is empty where the tickets say nothing of regions.
	Region string
	// Tickets of the match; that of those who already play, if any, is
	// Backfill and not among them.
	Tickets []int32
	// Team is, by position in Tickets, the position of the ticket's team.
	Team []uint8
	// Backfill is -1 for a new match.
	Backfill int32
	// Stage is the position of the rules that the match keeps.
	Stage int
	// Wait is that of the ticket that decides on the stage.
	Wait time.Duration
	// Score is positive and finite; higher is better.
	Score float64
	// Spread is the difference between the highest and the lowest of the
	// number that the rules care about most, 0 if there is none.
	Spread float64

	plan *plan
}

// Match spells a proposal out.
func (p *Proposal) Match(tickets []rule.Ticket) *rule.Match {
	m := &rule.Match{Region: p.Region, Wait: p.Wait, Teams: make([]rule.Team, len(p.plan.slots))}
	for i, slot := range p.plan.slots {
		m.Teams[i].Name = slot.Name
	}
	add := func(t *rule.Ticket, slot func(i int) int) {
		m.Tickets = append(m.Tickets, t)
		for i := range t.Players {
			at := &m.Teams[slot(i)]
			at.Members = append(at.Members, rule.Member{Player: &t.Players[i], Ticket: t})
		}
	}
	if p.Backfill >= 0 {
		t := &tickets[p.Backfill]
		add(t, func(i int) int { return t.Teams[i] })
	}
	for i, t := range p.Tickets {
		add(&tickets[t], func(int) int { return int(p.Team[i]) })
	}
	for i, slot := range p.plan.slots {
		if slot.Bots {
			m.Teams[i].Bots = max(0, slot.Min-len(m.Teams[i].Members))
		}
	}
	return m
}

// MinPlayers is the size of the smallest match at the proposal's stage.
func (p *Proposal) MinPlayers() int { return p.plan.least }

func (r *run) proposal(st *state) Proposal {
	p := Proposal{Backfill: st.backfill, Stage: r.plan.stage, plan: r.plan}
	n := 0
	for _, team := range st.teams {
		n += len(team)
	}
	p.Tickets, p.Team = make([]int32, 0, n), make([]uint8, 0, n)
	for slot, team := range st.teams {
		for _, t := range team {
			p.Tickets, p.Team = append(p.Tickets, t), append(p.Team, uint8(slot))
		}
	}
	everyone := st.all()
	for _, t := range everyone {
		if st.region >= 0 && r.pool.named[t] {
			p.Region = r.pool.regions[st.region]
		}
	}
	p.Wait = r.decisive(everyone)
	// The tickets may have reached a later stage than the one that is searched.
	p.Stage = r.engine.rules.At(p.Wait)
	p.plan = r.engine.plans[p.Stage]
	if r.plan.sortKey >= 0 {
		lo, hi := st.spread(r.plan.sortKey)
		p.Spread = hi - lo
	}
	p.Score = r.score(everyone, st.total, p.Spread, st.meanLatency())
	return p
}

// decisive is the wait of the ticket that decides on expansions.
func (r *run) decisive(tickets []int32) time.Duration {
	wait := r.pool.wait[tickets[0]]
	for _, t := range tickets[1:] {
		if r.byOldest {
			wait = max(wait, r.pool.wait[t])
		} else {
			wait = min(wait, r.pool.wait[t])
		}
	}
	return wait
}

// The score of a match is
//
//	players · (1 + wait / 1 min) · (1 + closeness + nearness)
//
// where wait is the mean wait of its tickets, at most 10 min, closeness is
// 1 / (1 + spread / window), and nearness is 1 / (1 + latency / 100 ms). So
// of two that collide the one that serves more players stands, unless others
// have waited much longer, and then the fairer and nearer one. It is made for
// an evaluator that adds scores up.
const (
	scoreWait    = time.Minute
	scoreMaxWait = 10 * time.Minute
	scoreLatency = 100.0 // ms
)

func (r *run) score(tickets []int32, players int, spread, latency float64) float64 {
	wait := 0.0
	for _, t := range tickets {
		wait += min(max(0, r.pool.wait[t]), scoreMaxWait).Seconds()
	}
	wait /= float64(len(tickets)) * scoreWait.Seconds()
	scale := r.scale
	closeness := 1 / (1 + spread/scale)
	nearness := 1 / (1 + latency/scoreLatency)
	s := float64(players) * (1 + wait) * (1 + closeness + nearness)
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return float64(players) // numbers at the end of their range
	}
	return s
}

// window is what spreads are measured by: the first window of the rules, or
// else the standard deviation of the pool.
func (r *run) window() float64 {
	if len(r.plan.windows) > 0 && r.plan.windows[0].most > 0 {
		return r.plan.windows[0].most
	}
	if r.plan.sortKey < 0 || len(r.free) < 2 {
		return 1
	}
	values := make([]float64, len(r.free))
	for i, t := range r.free {
		values[i] = r.pool.value(r.plan.sortKey, t)
	}
	m, sum := mean(values), 0.0
	for _, x := range values {
		sum += (x - m) * (x - m)
	}
	if sd := math.Sqrt(sum / float64(len(values))); sd > 0 && !math.IsInf(sd, 0) {
		return sd
	}
	return 1
}

// sortByAge sorts tickets, the longest waiting first.
func (r *run) sortByAge(tickets []int32) {
	wait := r.pool.wait
	slices.SortFunc(tickets, func(a, b int32) int {
		if wait[a] != wait[b] {
			if wait[a] > wait[b] {
				return -1
			}
			return 1
		}
		return int(a - b)
	})
}
