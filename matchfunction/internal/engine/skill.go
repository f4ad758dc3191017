package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"torikumi/matchfunction/internal/pairing"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// skill is the engine for torikumiv1.SkillRules.
type skill struct {
	rules     pairing.Rules
	attribute string
}

func newSkill(m *torikumiv1.SkillRules) (*skill, error) {
	rules := pairing.Rules{
		Window:         m.GetWindow(),
		WidenPerSecond: m.GetWidenPerSecond(),
		AnySkillAfter:  pairing.Never,
		MaxLatencyMS:   m.GetMaxLatencyMs(),
	}
	for _, t := range m.GetTeams() {
		rules.Teams = append(rules.Teams, pairing.Team{Name: t.GetName(), Min: int(t.GetMinPlayers()), Max: int(t.GetMaxPlayers())})
	}
	var wrong error
	if after := m.GetAnySkillAfter(); after != nil {
		rules.AnySkillAfter = after.AsDuration()
		if after.CheckValid() != nil || rules.AnySkillAfter < 0 {
			wrong = fmt.Errorf("any_skill_after: must be a duration that is not negative, got %d s %d ns", after.GetSeconds(), after.GetNanos())
			rules.AnySkillAfter = pairing.Never
		}
	}
	if err := errors.Join(rules.Validate(), wrong); err != nil {
		return nil, err
	}
	return &skill{rules: rules, attribute: m.GetSkillAttribute()}, nil
}

// Fills implements Engine: running matches stay as they are.
func (s *skill) Fills() bool { return false }

// Search implements Engine.
func (s *skill) Search(ctx context.Context, of Pool, now time.Time, skipped func(*openmatch.Ticket, Reason)) iter.Seq[Match] {
	return func(yield func(Match) bool) {
		tickets := of.Tickets
		pool := s.readAll(tickets, now)
		leftOut := func(i int, reason pairing.Reason) { skipped(tickets[i].Ticket, Reason(reason)) }
		for p := range pairing.Search(ctx, &s.rules, pool, now, leftOut) {
			if !yield(s.match(p, tickets)) {
				return
			}
		}
	}
}

// Unfit implements Engine.
func (s *skill) Unfit(tickets []Ticket, now time.Time, skipped func(*openmatch.Ticket, Reason)) {
	pairing.Unfit(&s.rules, s.readAll(tickets, now), func(i int, reason pairing.Reason) { skipped(tickets[i].Ticket, Reason(reason)) })
}

func (s *skill) readAll(tickets []Ticket, now time.Time) []pairing.Ticket {
	out := make([]pairing.Ticket, len(tickets))
	for i, t := range tickets {
		out[i] = s.read(t, now)
	}
	return out
}

func (s *skill) read(t Ticket, now time.Time) pairing.Ticket {
	players := t.Details.GetPlayers()
	out := pairing.Ticket{ID: t.Ticket.GetId(), Size: len(players), Region: t.Details.GetRegion(), Created: searching(t.Ticket, now, s.rules.AnySkillAfter)}
	for _, p := range players {
		v := p.GetAttributes()[s.attribute].GetNumber()
		if math.IsInf(v, 0) {
			v = math.NaN() // else one of each sign would hide the other
		}
		// Divided first, as the sum of huge numbers is not a number.
		out.Skill += v / float64(len(players))
		if len(p.GetLatencies()) > 0 {
			out.Latencies = append(out.Latencies, p.GetLatencies())
		}
	}
	return out
}

// match puts the players' ids in the place of positions.
func (s *skill) match(p pairing.Proposal, tickets []Ticket) Match {
	m := Match{Region: p.Region, Score: p.Score, MinPlayers: s.rules.MinPlayers(), Teams: make([]Team, len(p.Teams))}
	for i, members := range p.Teams {
		team := Team{Name: s.rules.Teams[i].Name}
		for _, at := range members {
			t := tickets[at]
			m.Tickets = append(m.Tickets, t.Ticket)
			for _, player := range t.Details.GetPlayers() {
				team.Members = append(team.Members, Member{Player: player.GetId(), Ticket: t.Ticket.GetId()})
			}
		}
		m.Teams[i] = team
	}
	return m
}
