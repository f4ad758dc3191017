package check

import (
	"fmt"
	"slices"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// roleQuota: in each of the teams each player can be given one role, of those
// that he or she has, so that each role has from its Min to its Max players.
func (j *judge) roleQuota(r *ruleset.Rule) string {
	for i, slot := range j.def.TeamSlots() {
		if len(r.RoleTeams) > 0 && !slices.Contains(r.RoleTeams, j.def.Teams[slot.Team].Name) {
			continue
		}
		var players [][]string // the roles of each
		for _, m := range j.match.Teams[i].Members {
			players = append(players, j.rolesOf(m.Player, r.Attribute))
		}
		if !assignable(players, r.Roles) {
			return fmt.Sprintf("team %q can't fill its roles", slot.Name)
		}
	}
	return ""
}

// rolesOf is the string, or the list of strings, of a player.
func (j *judge) rolesOf(p *rule.Player, attribute string) []string {
	v, _ := j.own(p, attribute)
	if v.Type == ruleset.String {
		return []string{v.String}
	}
	return v.List
}

// assignable reports whether each player can be given a role. A role has a seat
// for each of its Max players; the first Min of them must be taken.
//
// It grows an assignment by augmenting paths: seats that must be taken each get
// a player, then players without a seat each get one. A path only moves who is
// seated, it never leaves a taken seat empty or a seated player without one; so
// what the first round reached outlasts the second. Where a seat, or a player,
// has no such path, no assignment has all of them (Berge; Mendelsohn and
// Dulmage for both at once).
func assignable(players [][]string, roles []ruleset.Role) bool {
	a := &assignment{players: players}
	var must []bool // whether a seat must be taken
	for _, role := range roles {
		if role.Min > min(role.Max, len(players)) {
			return false
		}
		for n := range min(role.Max, len(players)) {
			a.seats = append(a.seats, role.Name)
			a.sits = append(a.sits, nobody)
			must = append(must, n < role.Min)
		}
	}
	for seat := range a.seats {
		if must[seat] && !a.fill(seat, make(map[int]bool)) {
			return false
		}
	}
	for player := range players {
		if a.seatOf(player) == nobody && !a.seat(player, make(map[int]bool)) {
			return false
		}
	}
	return true
}

// nobody stands for no player in a seat, and no seat of a player.
const nobody = -1

// assignment says who sits where.
type assignment struct {
	players [][]string // the roles of each
	seats   []string   // the role of each
	sits    []int      // the player in each seat, or nobody
}

func (a *assignment) seatOf(player int) int { return slices.Index(a.sits, player) }

// fill finds a player for an empty seat: one without a seat, or one whose own
// seat finds another player. Tried are the players not to ask again.
func (a *assignment) fill(seat int, tried map[int]bool) bool {
	for player, can := range a.players {
		if tried[player] || !slices.Contains(can, a.seats[seat]) {
			continue
		}
		tried[player] = true
		old := a.seatOf(player)
		if old == nobody || a.fill(old, tried) {
			a.sits[seat] = player
			return true
		}
	}
	return false
}

// seat finds a seat for a player: an empty one, or one whose player finds
// another. Tried are the seats not to ask again.
func (a *assignment) seat(player int, tried map[int]bool) bool {
	for seat, role := range a.seats {
		if tried[seat] || !slices.Contains(a.players[player], role) {
			continue
		}
		tried[seat] = true
		if a.sits[seat] == nobody || a.seat(a.sits[seat], tried) {
			a.sits[seat] = player
			return true
		}
	}
	return false
}
