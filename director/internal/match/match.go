// Package match turns a match of Open Match, of our match function or of another,
// into what the director works with: who plays with whom. It is
// the first thing that happens to a match after it has been fetched.
package match

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Match is a valid match. It is not changed after Parse.
type Match struct {
	// ID is Open Match's id of the match.
	ID string
	// Label is contract.MatchLabelValue(ID).
	Label  string
	Queue  string
	Region string
	// Tickets are Open Match's ids, at least one, each once.
	Tickets []string
	// Teams hold every player of the tickets and nobody else, and say how many
	// bots the game server has to add; one may have bots alone.
	Teams []*torikumiv1.Team
	// MinPlayers is the size of the smallest match, as the match function says; 0 if
	// it does not.
	MinPlayers int
	// tickets are Open Match's own.
	tickets []*openmatch.Ticket
	// Expires is when the last of the tickets ends; zero if none says.
	Expires time.Time
}

// Players counts the players of all tickets but some.
func (m *Match) Players(without map[string]bool) int {
	n := 0
	for _, t := range m.Teams {
		for _, member := range t.GetMembers() {
			if !without[member.GetTicketId()] {
				n++
			}
		}
	}
	return n
}

// Asked are the tickets whose players can be asked: those that a frontend of ours has made.
func (m *Match) Asked() []string {
	var asked []string
	for _, t := range m.tickets {
		if contract.Get(t.GetExtensions(), contract.TicketExtension, new(torikumiv1.TicketDetails)) == nil {
			asked = append(asked, t.GetId())
		}
	}
	return asked
}

// InvalidError says why a match cannot be played.
type InvalidError struct {
	Reason string
	// Tickets are those that should be released; each once, possibly none.
	Tickets []string
}

func (e *InvalidError) Error() string { return "invalid match: " + e.Reason }

// ErrBackfill says that the match is none to be placed: its tickets join a
// server that is running, and the backfill's acknowledgement assigns them.
var ErrBackfill = errors.New("match fills a running game server")

// Parse checks a match that was fetched for a queue. The error is ErrBackfill
// or an *InvalidError. The tickets are the truth: what the match's details say
// of others is left out, and players whom the details forget join a team
// without a name.
func Parse(queue string, from *openmatch.Match) (*Match, error) {
	ids, err := ticketIDs(from)
	if err != nil {
		return nil, err
	}
	if from.GetBackfill() != nil && !from.GetAllocateGameserver() {
		return nil, ErrBackfill
	}
	m := &Match{ID: from.GetMatchId(), Label: contract.MatchLabelValue(from.GetMatchId()), Queue: queue, Tickets: ids, tickets: from.GetTickets()}

	details := new(torikumiv1.MatchDetails)
	if err := contract.Get(from.GetExtensions(), contract.MatchExtension, details); err != nil {
		details = new(torikumiv1.MatchDetails) // a foreign match function's, or as good as
	}
	m.Region, m.MinPlayers = details.GetRegion(), int(max(details.GetMinPlayers(), 0))
	m.fillTeams(details.GetTeams(), from.GetTickets())
	return m, nil
}

func ticketIDs(m *openmatch.Match) ([]string, error) {
	var ids []string
	seen := make(map[string]bool, len(m.GetTickets()))
	reason := ""
	for _, t := range m.GetTickets() {
		switch id := t.GetId(); {
		case id == "":
			reason = "a ticket has no id"
		case seen[id]:
			reason = fmt.Sprintf("ticket %q is in it twice", id)
		default:
			seen[id] = true
			ids = append(ids, id)
		}
	}
	switch {
	case len(m.GetTickets()) == 0:
		reason = "no tickets"
	case m.GetMatchId() == "":
		reason = "no match id"
	}
	if reason != "" {
		return nil, &InvalidError{Reason: reason, Tickets: ids}
	}
	return ids, nil
}

// fillTeams fills the teams, and the region if nobody has named it and all tickets
// want the same.
func (m *Match) fillTeams(teams []*torikumiv1.Team, tickets []*openmatch.Ticket) {
	known := make(map[string]bool, len(m.Tickets))
	for _, id := range m.Tickets {
		known[id] = true
	}
	inTeam := make(map[string]bool, len(m.Tickets))
	for _, t := range teams {
		team := &torikumiv1.Team{Name: t.GetName(), Bots: max(t.GetBots(), 0)}
		for _, member := range t.GetMembers() {
			if known[member.GetTicketId()] {
				team.Members = append(team.Members, member)
				inTeam[member.GetTicketId()] = true
			}
		}
		if len(team.Members) > 0 || team.Bots > 0 {
			m.Teams = append(m.Teams, team)
		}
	}

	rest := new(torikumiv1.Team)
	var regions []string
	for _, t := range tickets {
		players, region, expires := playersOf(t)
		regions = append(regions, region)
		if expires.After(m.Expires) {
			m.Expires = expires
		}
		if inTeam[t.GetId()] {
			continue
		}
		for _, p := range players {
			rest.Members = append(rest.Members, &torikumiv1.TeamMember{PlayerId: p, TicketId: t.GetId()})
		}
	}
	if len(rest.Members) > 0 {
		m.Teams = append(m.Teams, rest)
	}
	if regions = slices.Compact(regions); m.Region == "" && len(regions) == 1 {
		m.Region = regions[0]
	}
}

// playersOf takes a ticket whose details cannot be read for one player with
// the ticket's id: the match has been made, and the others want to play.
func playersOf(t *openmatch.Ticket) (players []string, region string, expires time.Time) {
	details, err := contract.TicketDetails(t)
	if err != nil {
		return []string{t.GetId()}, "", time.Time{}
	}
	if end := details.GetExpireTime(); end != nil {
		expires = end.AsTime()
	}
	for _, p := range details.GetPlayers() {
		players = append(players, p.GetId())
	}
	return players, details.GetRegion(), expires
}

// Roster is what stands in the annotation of the match's game server. The limits may
// be nil, and so is the policy if the match stays as it is.
func (m *Match) Roster(limits *torikumiv1.TimeLimits, policy *torikumiv1.BackfillPolicy, tracking *torikumiv1.Tracking) (string, error) {
	return contract.EncodeRoster(&torikumiv1.Roster{
		OpenMatchId: m.ID, Queue: m.Queue, Region: m.Region, Teams: m.Teams, TimeLimits: limits, Backfill: policy,
		Tracking: tracking,
	})
}

// Owns reports whether a roster that was read from a game server is this
// match's. Match functions in the wild have given different matches the same
// id, so that the label alone does not say it. Those who have joined since say nothing.
func (m *Match) Owns(roster string) bool {
	r, err := contract.DecodeRoster(roster)
	if err != nil || r.GetOpenMatchId() != m.ID {
		return false
	}
	theirs := make(map[string]bool)
	for _, t := range r.GetTeams() {
		for _, member := range t.GetMembers() {
			if member.GetJoinTime() == nil {
				theirs[member.GetTicketId()] = true
			}
		}
	}
	foreign := func(id string) bool { return !theirs[id] }
	return len(theirs) == len(m.Tickets) && !slices.ContainsFunc(m.Tickets, foreign)
}
