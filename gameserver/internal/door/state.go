// Package door is the heart of the gate: it decides who comes in to the match
// that its game server was allocated for, remembers who is there, and ends the
// server when nobody is left or nobody came. It is the last station on a
// player's path before the game.
package door

import (
	"maps"
	"slices"
	"strings"
	"time"

	"torikumi/gameserver/internal/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// maxStrangersDeparted bounds the list of who has left a match without a
// roster; with one, the roster is the bound.
const maxStrangersDeparted = 1024

// Guest is a player who is in the match, or was.
type Guest struct {
	Player string `json:"player"`
	Team   string `json:"team"`
	// Since is when the player was admitted; for the departed, when they left.
	Since time.Time `json:"since"`
	// Admission is the id of the token that let the player in.
	Admission string `json:"admission"`
	// Attempt is the caller's name for the request that did it, so that a
	// request whose answer was lost can be made again.
	Attempt string `json:"attempt,omitempty"`
}

// State is all that the decisions depend on. The zero value is a gate that has
// not heard of its game server.
type State struct {
	// Seen says that the SDK has told of the server.
	Seen   bool
	Server agones.View
	// Match is the one whose players may be here; it outlives the state
	// Allocated, but not a return to Ready.
	Match string
	// Since is when the gate first saw this allocation; zero without one.
	Since time.Time
	// Roster is nil if the match has none.
	Roster *torikumiv1.Roster
	// Expected maps the players of the roster to their teams.
	Expected map[string]string
	// Present and Departed are disjoint, by player.
	Present, Departed map[string]Guest
	// LastLeft is when the last departure was.
	LastLeft time.Time
	// Closing says that the end has been decided: nobody comes in any more.
	Closing bool
	// Asked says that Agones has been asked to end the server.
	Asked bool
}

// allocated says whether players of the match may come in.
func (s *State) allocated() bool {
	return s.Server.State == agones.StateAllocated && !s.Server.Deleted && !s.Closing
}

// reset begins with an allocation, or with none if match and since are zero.
func (s *State) reset(match string, since time.Time) {
	s.Match, s.Since = match, since
	s.Roster, s.Expected = nil, nil
	s.Present, s.Departed = map[string]Guest{}, map[string]Guest{}
	s.LastLeft, s.Closing, s.Asked = time.Time{}, false, false
}

func (s *State) setRoster(r *torikumiv1.Roster) {
	s.Roster, s.Expected = r, map[string]string{}
	for _, team := range r.GetTeams() {
		for _, m := range team.GetMembers() {
			s.Expected[m.GetPlayerId()] = team.GetName()
		}
	}
}

// enter makes a player present and says whether they had been here before.
func (s *State) enter(g Guest) (reconnect bool) {
	_, present := s.Present[g.Player]
	_, departed := s.Departed[g.Player]
	delete(s.Departed, g.Player)
	s.Present[g.Player] = g
	return present || departed
}

// leave makes a present player a departed one.
func (s *State) leave(player string, now time.Time) {
	g := s.Present[player]
	delete(s.Present, player)
	if len(s.Expected) == 0 && len(s.Departed) >= maxStrangersDeparted {
		oldest := slices.MinFunc(slices.Collect(maps.Values(s.Departed)), func(a, b Guest) int { return a.Since.Compare(b.Since) })
		delete(s.Departed, oldest.Player)
	}
	g.Since, g.Attempt = now, ""
	s.Departed[player] = g
	s.LastLeft = now
}

// sorted returns the guests by name.
func sorted(guests map[string]Guest) []Guest {
	return slices.SortedFunc(maps.Values(guests), func(a, b Guest) int { return strings.Compare(a.Player, b.Player) })
}
