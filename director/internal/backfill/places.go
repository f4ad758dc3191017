package backfill

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// The functions of this file are pure: they say who has a place. None changes what it
// is given.

// keep returns a roster without those who have lost their place: whom the gate does not
// name, although it has seen them there. The gate has seen those who joined until seen.
func keep(r *torikumiv1.Roster, named map[string]bool, seen time.Time) *torikumiv1.Roster {
	out := proto.CloneOf(r)
	for _, t := range out.GetTeams() {
		t.Members = slices.DeleteFunc(t.Members, func(m *torikumiv1.TeamMember) bool {
			return !named[m.GetPlayerId()] && (m.GetJoinTime() == nil || !m.GetJoinTime().AsTime().After(seen))
		})
	}
	return out
}

// join adds those who join by a backfill, and who are not there yet. It reports false,
// with the roster as it was, if one of them finds no place in their team. Bots give way. Each
// join time is later than all before, whatever the clock of another director says.
func join(r *torikumiv1.Roster, d *torikumiv1.BackfillDetails, sizes map[string]int, now time.Time) (*torikumiv1.Roster, bool) {
	out := proto.CloneOf(r)
	there := members(out)
	at := now
	for _, m := range there {
		if t := m.GetJoinTime(); t != nil && !t.AsTime().Before(at) {
			at = t.AsTime().Add(time.Millisecond)
		}
	}
	for _, m := range d.GetJoining() {
		if there[m.GetPlayerId()] != nil {
			continue
		}
		team := teamOf(out, d, m.GetPlayerId(), sizes)
		if team == nil {
			return r, false
		}
		added := &torikumiv1.TeamMember{PlayerId: m.GetPlayerId(), TicketId: m.GetTicketId(), JoinTime: timestamppb.New(at)}
		there[m.GetPlayerId()] = added
		team.Members = append(team.Members, added)
		team.Bots = max(0, min(team.Bots, int32(sizes[team.GetName()]-len(team.GetMembers()))))
	}
	return out, true
}

// teamOf finds the team of a player who joins; nil if it has no place. A team that has
// nobody may not stand in the roster yet.
func teamOf(r *torikumiv1.Roster, d *torikumiv1.BackfillDetails, player string, sizes map[string]int) *torikumiv1.Team {
	for _, t := range d.GetTeams() {
		if !slices.ContainsFunc(t.GetPlayers(), func(p *torikumiv1.Player) bool { return p.GetId() == player }) {
			continue
		}
		i := slices.IndexFunc(r.GetTeams(), func(of *torikumiv1.Team) bool { return of.GetName() == t.GetName() })
		switch {
		case i < 0 && sizes[t.GetName()] > 0:
			r.Teams = append(r.Teams, &torikumiv1.Team{Name: t.GetName()})
			return r.Teams[len(r.Teams)-1]
		case i >= 0 && len(r.Teams[i].GetMembers()) < sizes[t.GetName()]:
			return r.Teams[i]
		}
		return nil
	}
	return nil
}

// toldTeams are the teams as frontends are told them: when somebody joined concerns the
// gate alone.
func toldTeams(r *torikumiv1.Roster) []*torikumiv1.Team {
	teams := proto.CloneOf(r).GetTeams()
	for _, t := range teams {
		for _, m := range t.GetMembers() {
			m.JoinTime = nil
		}
	}
	return teams
}

// members are those on a roster, by their id.
func members(r *torikumiv1.Roster) map[string]*torikumiv1.TeamMember {
	all := make(map[string]*torikumiv1.TeamMember)
	for _, t := range r.GetTeams() {
		for _, m := range t.GetMembers() {
			all[m.GetPlayerId()] = m
		}
	}
	return all
}

// open is how many places are free; none if somebody is in a team that the queue does
// not have, as nobody would fit beside them.
func open(r *torikumiv1.Roster, sizes map[string]int) int {
	free := 0
	taken := make(map[string]int)
	for _, t := range r.GetTeams() {
		taken[t.GetName()] += len(t.GetMembers())
		if _, ok := sizes[t.GetName()]; !ok && len(t.GetMembers()) > 0 {
			return 0
		}
	}
	for name, size := range sizes {
		free += max(0, size-taken[name])
	}
	return free
}

// ask is what a backfill says of those who have a place, and who is banned: nobody joins yet.
func ask(r *torikumiv1.Roster, players map[string]*torikumiv1.Player, banned []string, server, match string) *torikumiv1.BackfillDetails {
	d := &torikumiv1.BackfillDetails{Queue: r.GetQueue(), Region: r.GetRegion(), GameServer: server, MatchId: match, Banned: banned}
	for _, t := range r.GetTeams() {
		team := &torikumiv1.BackfillTeam{Name: t.GetName()}
		for _, m := range t.GetMembers() {
			p := players[m.GetPlayerId()]
			if p == nil {
				p = &torikumiv1.Player{Id: m.GetPlayerId()}
			}
			team.Players = append(team.Players, p)
		}
		if len(team.GetPlayers()) > 0 {
			d.Teams = append(d.Teams, team)
		}
	}
	return d
}

// current reports whether a backfill says of a roster what it says now, and who is banned.
func current(d *torikumiv1.BackfillDetails, r *torikumiv1.Roster, banned []string) bool {
	if len(d.GetJoining()) > 0 || !slices.Equal(d.GetBanned(), banned) {
		return false
	}
	teams := make(map[string]string)
	for _, t := range d.GetTeams() {
		for _, p := range t.GetPlayers() {
			teams[p.GetId()] = t.GetName()
		}
	}
	n := 0
	for _, t := range r.GetTeams() {
		for _, m := range t.GetMembers() {
			if team, ok := teams[m.GetPlayerId()]; !ok || team != t.GetName() {
				return false
			}
			n++
		}
	}
	return n == len(teams)
}
