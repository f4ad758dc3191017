// Package admission is the heart of the gate: it decides who comes in to the match
// that its game server was allocated for, remembers who is there, and ends the
// server when nobody is left or nobody came. It is the last station on a
// player's path before the game.
package admission

import (
	"time"

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
	// Expected maps the players of the roster to their places.
	Expected map[string]Place
	// Fill is the request for more players.
	Fill Fill
	// Presence names the match whose players may be here; it outlives Agones's
	// state Allocated, but not a return to Ready.
	Presence *journal.Presence
}

// open reports whether players of the match may come in.
func (s *State) open() bool {
	return s.Phase == PhaseOpen && s.Server.State == agones.Allocated && !s.Server.Deleted
}

// Place is a player's place on the roster.
type Place struct {
	Team string
	// Joined is when the player was found for the running match; zero for those who are in
	// it from its beginning.
	Joined time.Time
	// Seen is when the gate first saw the place.
	Seen time.Time
}

// setRoster takes in a roster that was seen now.
func (s *State) setRoster(r *torikumiv1.Roster, now time.Time) {
	before := s.Expected
	s.Roster, s.Expected = r, map[string]Place{}
	for _, team := range r.GetTeams() {
		for _, m := range team.GetMembers() {
			place := Place{Team: team.GetName(), Seen: now}
			if m.GetJoinTime().IsValid() {
				place.Joined = m.GetJoinTime().AsTime()
			}
			if known, ok := before[m.GetPlayerId()]; ok && known.Joined.Equal(place.Joined) {
				place.Seen = known.Seen
			}
			s.Expected[m.GetPlayerId()] = place
		}
	}
}

// given reports whether the place of a player is somebody else's. A player who has been found
// for the match anew has another one.
func (s *State) given(player string) bool {
	joined, given := s.Presence.Given[player]
	place, expected := s.Expected[player]
	return given && (!expected || place.Joined.Equal(joined))
}

// came reports whether the player of a place has been here, or is.
func (s *State) came(player string, place Place) bool {
	if _, ok := s.Presence.Present[player]; ok {
		return true
	}
	left, ok := s.Presence.Departed[player]
	return ok && left.Joined.Equal(place.Joined)
}
