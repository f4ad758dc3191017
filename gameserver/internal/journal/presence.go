package journal

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// maxDeparted bounds the list of who has left: it is more than a roster can name.
const maxDeparted = 8192

// Player is one who is in the match, or was.
type Player struct {
	Player, Team string
	// Since is when the player was admitted; for the departed, when they left.
	Since time.Time
	// Admission is the id of the token that let the player in.
	Admission string
	// Attempt is a name for the request that did it, so that a request whose
	// answer was lost can be made again; Reconnect is what it was answered.
	Attempt   string
	Reconnect bool
	// Lapsed, of the departed: nobody has reported that they left. The game server
	// no longer named them among those who are there.
	Lapsed bool
	// Joined is when the player was found for the running match; zero for those who are
	// in it from its beginning. It tells a player's place from a later one of theirs.
	Joined time.Time
}

// Presence is who has come for one allocation of the game server, and who has left.
type Presence struct {
	// UID and Server, namespace/name, are those of the game server.
	UID, Server string
	// Match is empty if the server is free.
	Match string
	// Since is when the gate first saw the allocation.
	Since time.Time
	// Present and Departed are disjoint, by player.
	Present, Departed map[string]Player
	// Backfill is what the game server has said last of more players.
	Backfill Backfill
	// Given maps players whose place was given to somebody else to the Joined of that place.
	Given map[string]time.Time
	// Closed: nobody comes in who has not been here.
	Closed bool
	// Banned are players who do not come in any more.
	Banned map[string]bool
}

// Backfill is what a game server wants.
type Backfill string

const (
	// BackfillUnset: it has said nothing.
	BackfillUnset Backfill = ""
	// BackfillAsked: it wants more players.
	BackfillAsked Backfill = "asked"
	// BackfillStopped: it wants no more.
	BackfillStopped Backfill = "stopped"
)

func newPresence() Presence {
	return Presence{Present: map[string]Player{}, Departed: map[string]Player{}, Given: map[string]time.Time{}, Banned: map[string]bool{}}
}

// Enter makes a player present.
func (p *Presence) Enter(player Player) {
	delete(p.Departed, player.Player)
	p.Present[player.Player] = player
}

// Knows reports whether a player has been here, or still is.
func (p *Presence) Knows(name string) bool {
	_, present := p.Present[name]
	_, departed := p.Departed[name]
	return present || departed
}

// Attempted returns the player whom a request has let in, unless their departure was
// reported.
func (p *Presence) Attempted(attempt string) (player Player, ok bool) {
	if attempt == "" {
		return Player{}, false
	}
	for _, players := range []map[string]Player{p.Present, p.Departed} {
		for _, player := range players {
			if player.Attempt == attempt {
				return player, true
			}
		}
	}
	return Player{}, false
}

// Leave makes a present player a departed one. Lapsed is of one whose departure
// nobody has reported; once it is, nothing that let them in before brings them back.
func (p *Presence) Leave(name string, at time.Time, lapsed bool) {
	player, present := p.Present[name]
	if !present {
		if left, departed := p.Departed[name]; departed && !lapsed {
			left.Lapsed, left.Attempt = false, ""
			p.Departed[name] = left
		}
		return
	}
	delete(p.Present, name)
	if len(p.Departed) >= maxDeparted {
		oldest := slices.MinFunc(slices.Collect(maps.Values(p.Departed)), func(a, b Player) int { return a.Since.Compare(b.Since) })
		delete(p.Departed, oldest.Player)
	}
	player.Since, player.Lapsed = at, lapsed
	if !lapsed {
		player.Attempt = ""
	}
	p.Departed[name] = player
}

// Ban keeps a player out from now on, and makes a present one a departed one.
func (p *Presence) Ban(name string, at time.Time) {
	p.Banned[name] = true
	p.Leave(name, at, false)
}

// lapsed reports whether a player has left and nobody has said so.
func (p *Presence) lapsed(name string) bool { return p.Departed[name].Lapsed }

// LastLeft returns when the last of the departed left; zero if there are none.
func (p *Presence) LastLeft() (last time.Time) {
	for _, player := range p.Departed {
		if player.Since.After(last) {
			last = player.Since
		}
	}
	return last
}

// Sorted returns players by name.
func Sorted(players map[string]Player) []Player {
	return slices.SortedFunc(maps.Values(players), func(a, b Player) int { return strings.Compare(a.Player, b.Player) })
}
