// Package admission is the heart of the gate: it decides who comes in to the match
// that its game server was allocated for, remembers who is there, and ends the
// server when nobody is left or nobody came. It is the last station on a
// player's path before the game.
package admission

import (
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// State is all that the decisions depend on.
type State struct {
	Phase  Phase
	Server watch.View
	// Roster is nil if the match has none.
	Roster *torikumiv1.Roster
	// Expected maps the players of the roster to their teams.
	Expected map[string]string
	// Presence names the match whose players may be here; it outlives Agones's
	// state Allocated, but not a return to Ready.
	Presence *journal.Presence
}

// open reports whether players of the match may come in.
func (s *State) open() bool {
	return s.Phase == PhaseOpen && s.Server.State == agones.Allocated && !s.Server.Deleted
}

func (s *State) setRoster(r *torikumiv1.Roster) {
	s.Roster, s.Expected = r, map[string]string{}
	for _, team := range r.GetTeams() {
		for _, m := range team.GetMembers() {
			s.Expected[m.GetPlayerId()] = team.GetName()
		}
	}
}
