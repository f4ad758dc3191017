package compile

import (
	"time"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/matchfunction/rule"
)

// Lineup is who is in which team of a match. Tickets are positions in what the pool
// was read from.
type Lineup struct {
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

	plan *Plan
}

// Match spells a lineup out.
func (l *Lineup) Match(tickets []rule.Ticket) *rule.Match {
	m := &rule.Match{Region: l.Region, Wait: l.Wait, Teams: make([]rule.Team, len(l.plan.Slots))}
	for i, slot := range l.plan.Slots {
		m.Teams[i].Name = slot.Name
	}
	add := func(t *rule.Ticket, slot func(i int) int) {
		m.Tickets = append(m.Tickets, t)
		for i := range t.Players {
			at := &m.Teams[slot(i)]
			at.Members = append(at.Members, rule.Member{Player: &t.Players[i], Ticket: t})
		}
	}
	if l.Backfill >= 0 {
		t := &tickets[l.Backfill]
		add(t, func(i int) int { return t.Teams[i] })
	}
	for i, t := range l.Tickets {
		add(&tickets[t], func(int) int { return int(l.Team[i]) })
	}
	for i, slot := range l.plan.Slots {
		if slot.Bots {
			m.Teams[i].Bots = max(0, slot.Min-len(m.Teams[i].Members))
		}
	}
	return m
}

// MinPlayers is the size of the smallest match at the lineup's stage.
func (l *Lineup) MinPlayers() int { return l.plan.Least }

// reach sets the stage that the tickets of a lineup have reached, which may be later
// than the one that is searched.
func (l *Lineup) reach(rs *Rules, p *pool.Pool, everyone []int32) {
	l.Wait = rs.decisive(p, everyone)
	l.Stage = rs.Set.At(l.Wait)
	l.plan = rs.Plans[l.Stage]
}

// Lineup is that of a new match which is in no region.
func (rs *Rules) Lineup(p *pool.Pool, tickets []int32, team []uint8) Lineup {
	l := Lineup{Backfill: -1, Tickets: tickets, Team: team}
	l.reach(rs, p, tickets)
	return l
}

// Lineup is who is in the match now.
func (m *Match) Lineup() Lineup {
	l := Lineup{Backfill: m.Backfill}
	n := 0
	for _, team := range m.Teams {
		n += len(team)
	}
	l.Tickets, l.Team = make([]int32, 0, n), make([]uint8, 0, n)
	for slot, team := range m.Teams {
		for _, t := range team {
			l.Tickets, l.Team = append(l.Tickets, t), append(l.Team, uint8(slot))
		}
	}
	everyone := m.All()
	for _, t := range everyone {
		if m.region >= 0 && m.Pool.Named(t) {
			l.Region = m.Pool.Regions[m.region]
		}
	}
	l.reach(m.rules, m.Pool, everyone)
	return l
}
