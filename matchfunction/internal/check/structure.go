package check

import (
	"fmt"
	"slices"

	"torikumi/matchfunction/rule"
)

// tickets judges that the teams hold exactly the tickets of the match, each
// whole and once. What follows relies on it.
func tickets(m *rule.Match) []Violation {
	var out []Violation
	wrong := func(format string, args ...any) {
		out = append(out, Violation{Text: fmt.Sprintf(format, args...)})
	}

	// The tickets by themselves.
	ticketIDs := make(map[string]bool)
	playerIDs := make(map[string]bool)
	playing := 0
	for i, t := range m.Tickets {
		if t == nil {
			wrong("ticket number %d is nil", i)
			return out
		}
		if ticketIDs[t.ID] {
			wrong("ticket %q is there twice", t.ID)
		}
		ticketIDs[t.ID] = true
		for p := range t.Players {
			if playerIDs[t.Players[p].ID] {
				wrong("player %q is there twice", t.Players[p].ID)
			}
			playerIDs[t.Players[p].ID] = true
		}
		if len(t.Players) == 0 {
			wrong("ticket %q brings no player", t.ID)
		}
		if t.Teams != nil {
			playing++
			if len(t.Teams) != len(t.Players) {
				wrong("ticket %q has %d players in %d teams", t.ID, len(t.Players), len(t.Teams))
			}
		}
	}
	for _, t := range m.Tickets {
		for _, banned := range t.Banned {
			if playerIDs[banned] {
				wrong("player %q may not join ticket %q", banned, t.ID)
			}
		}
	}
	if len(m.Tickets) == 0 {
		wrong("the match has no tickets")
	}
	if playing > 1 {
		wrong("%d tickets are of those who already play", playing)
	}

	// The members of the teams by themselves.
	for _, team := range m.Teams {
		for i, member := range team.Members {
			switch {
			case member.Ticket == nil || member.Player == nil:
				wrong("member %d of team %q has no ticket or no player", i, team.Name)
			case !slices.Contains(m.Tickets, member.Ticket):
				wrong("player %q in team %q is of ticket %q, which the match doesn't list", member.Player.ID, team.Name, member.Ticket.ID)
			case !brings(member.Ticket, member.Player):
				wrong("player %q in team %q is not one of ticket %q", member.Player.ID, team.Name, member.Ticket.ID)
			}
		}
	}
	if out != nil {
		return out
	}

	// Both together: who of whom plays where.
	for _, t := range m.Tickets {
		var teams []int // that of each player
		for p := range t.Players {
			in := teamsOf(m, t, &t.Players[p])
			if len(in) != 1 {
				wrong("player %q of ticket %q is %d times in the teams, not once", t.Players[p].ID, t.ID, len(in))
				continue
			}
			teams = append(teams, in[0])
		}
		if len(teams) != len(t.Players) {
			continue // said already
		}
		for p, team := range teams {
			if t.Teams != nil && team != t.Teams[p] {
				wrong("player %q of ticket %q is in team %d, but already plays in team %d", t.Players[p].ID, t.ID, team, t.Teams[p])
			}
			if t.Teams == nil && team != teams[0] {
				wrong("player %q of ticket %q is in team %d, the first one in team %d", t.Players[p].ID, t.ID, team, teams[0])
			}
		}
	}
	return out
}

// brings reports whether this very player is one of the ticket.
func brings(t *rule.Ticket, p *rule.Player) bool {
	for i := range t.Players {
		if &t.Players[i] == p {
			return true
		}
	}
	return false
}

// teamsOf lists the teams that a player of a ticket is a member of, once for
// each time.
func teamsOf(m *rule.Match, t *rule.Ticket, p *rule.Player) []int {
	var out []int
	for i, team := range m.Teams {
		for _, member := range team.Members {
			if member.Ticket == t && member.Player == p {
				out = append(out, i)
			}
		}
	}
	return out
}

// teams judges names, order and sizes of the teams.
func (j *judge) teams() []Violation {
	slots := j.def.TeamSlots()
	if len(j.match.Teams) != len(slots) {
		return []Violation{{Text: fmt.Sprintf("the match has %d teams, not %d", len(j.match.Teams), len(slots))}}
	}
	var out []Violation
	wrong := func(format string, args ...any) {
		out = append(out, Violation{Text: fmt.Sprintf(format, args...)})
	}
	for i, slot := range slots {
		team := j.match.Teams[i]
		if team.Name != slot.Name {
			wrong("team %d is %q, not %q", i, team.Name, slot.Name)
		}
		players := len(team.Members)
		if players > slot.Max {
			wrong("team %q has %d players, more than %d", team.Name, players, slot.Max)
		}
		bots := 0
		if slot.Bots {
			bots = max(0, slot.Min-players)
		} else if players < slot.Min {
			wrong("team %q has %d players, less than %d", team.Name, players, slot.Min)
		}
		if team.Bots != bots {
			wrong("team %q has %d bots, not %d", team.Name, team.Bots, bots)
		}
	}
	return out
}
