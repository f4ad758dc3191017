package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"torikumi/pkg/token"
)

// kind is the type of a record.
type kind string

const (
	// begins a file, and nothing else does: Version, and At if there is a start.
	kindBegin kind = "begin"
	// a token was used: ID, Expiry.
	kindUsed kind = "used"
	// the rule about tokens issued before the start has ended.
	kindFresh kind = "fresh"
	// an allocation, and nobody has come yet: UID, Server, Match, At. Without a
	// match: the server is free.
	kindAllocated kind = "allocated"
	// a player has come in with a token: Player, Team, ID, Attempt, Reconnect, Joined, At, and,
	// if the token has to be remembered, Expiry.
	kindAdmitted kind = "admitted"
	// a player who was present, or had lapsed, has left: Player, At; Lapsed if nobody has said so.
	kindDeparted kind = "departed"
	// the game server has asked for players, or, with Stop, wants no more.
	kindBackfill kind = "backfill"
	// a player's place is given to somebody else: Player, and Joined if they were found for
	// the running match.
	kindGiven kind = "given"
	// the match is closed to newcomers, or, with Stop, open again.
	kindClosed kind = "closed"
	// a player may not come back, and has left at the latest now: Player, At.
	kindBanned kind = "banned"
)

const version = 1

// record is one line of the journal.
type record struct {
	Type      kind      `json:"type"`
	Version   int       `json:"version,omitempty"`
	At        time.Time `json:"at,omitzero"`
	ID        string    `json:"jti,omitempty"`
	Expiry    int64     `json:"exp,omitempty"` // seconds since 1970
	UID       string    `json:"uid,omitempty"`
	Server    string    `json:"server,omitempty"`
	Match     string    `json:"match,omitempty"`
	Player    string    `json:"player,omitempty"`
	Team      string    `json:"team,omitempty"`
	Attempt   string    `json:"attempt,omitempty"`
	Reconnect bool      `json:"reconnect,omitempty"`
	Lapsed    bool      `json:"lapsed,omitempty"`
	Joined    time.Time `json:"joined,omitzero"`
	Stop      bool      `json:"stop,omitempty"`
}

// line returns the record with the line end that makes it count.
func (r record) line() []byte {
	data, err := json.Marshal(r)
	if err != nil { // only a time beyond the year 9999
		panic(fmt.Sprintf("journal record %+v: %v", r, err))
	}
	return append(data, '\n')
}

// contents is what the records of a journal say.
type contents struct {
	// start is the time before which uses may be missing; zero: none are.
	start time.Time
	// used maps the ids of tokens to their expiry.
	used     map[string]int64
	presence Presence
}

func newContents() contents { return contents{used: map[string]int64{}, presence: newPresence()} }

// apply takes a record in. The error says that no gate has written it there.
func (c *contents) apply(r record) error {
	switch r.Type {
	case kindUsed:
		if !ValidID(r.ID) {
			return errors.New("used: no id")
		}
		c.used[r.ID] = r.Expiry
	case kindFresh:
		c.start = time.Time{}
	case kindAllocated:
		c.presence = newPresence()
		c.presence.UID, c.presence.Server, c.presence.Match, c.presence.Since = r.UID, r.Server, r.Match, r.At
	case kindAdmitted:
		if !ValidID(r.ID) || r.Player == "" {
			return errors.New("admitted: no id or player")
		}
		if r.Expiry != 0 {
			c.used[r.ID] = r.Expiry
		}
		c.presence.Enter(Player{Player: r.Player, Team: r.Team, Since: r.At, Admission: r.ID, Attempt: r.Attempt, Reconnect: r.Reconnect, Joined: r.Joined})
	case kindDeparted:
		if _, present := c.presence.Present[r.Player]; !present && (r.Lapsed || !c.presence.lapsed(r.Player)) {
			return errors.New("departed: not present")
		}
		c.presence.Leave(r.Player, r.At, r.Lapsed)
	case kindBackfill:
		c.presence.Backfill = BackfillAsked
		if r.Stop {
			c.presence.Backfill = BackfillStopped
		}
	case kindGiven:
		if r.Player == "" {
			return errors.New("given: no player")
		}
		c.presence.Given[r.Player] = r.Joined
	case kindClosed:
		c.presence.Closed = !r.Stop
	case kindBanned:
		if r.Player == "" {
			return errors.New("banned: no player")
		}
		c.presence.Ban(r.Player, r.At)
	default:
		return fmt.Errorf("unknown type %q", r.Type)
	}
	return nil
}

// records returns the fewest records that say the same.
func (c *contents) records() []record {
	all := []record{{Type: kindBegin, Version: version, At: c.start}}
	for id, expiry := range c.used {
		all = append(all, record{Type: kindUsed, ID: id, Expiry: expiry})
	}
	p := &c.presence
	all = append(all, record{Type: kindAllocated, UID: p.UID, Server: p.Server, Match: p.Match, At: p.Since})
	admitted := func(q Player) record {
		return record{Type: kindAdmitted, Player: q.Player, Team: q.Team, At: q.Since, ID: q.Admission, Attempt: q.Attempt, Reconnect: q.Reconnect, Joined: q.Joined}
	}
	if p.Backfill != BackfillUnset {
		all = append(all, record{Type: kindBackfill, Stop: p.Backfill == BackfillStopped})
	}
	if p.Closed {
		all = append(all, record{Type: kindClosed})
	}
	for player := range p.Banned {
		all = append(all, record{Type: kindBanned, Player: player})
	}
	for player, joined := range p.Given {
		all = append(all, record{Type: kindGiven, Player: player, Joined: joined})
	}
	for _, q := range p.Departed {
		all = append(all, admitted(q), record{Type: kindDeparted, Player: q.Player, At: q.Since, Lapsed: q.Lapsed})
	}
	for _, q := range p.Present {
		all = append(all, admitted(q))
	}
	return all
}

// parse reads a journal, and reports whether it is whole. A last line without an
// end does not count, and does no harm: what it was about was never answered.
func parse(data []byte) (c contents, whole bool) {
	c = newContents()
	lines := bytes.Split(data[:bytes.LastIndexByte(data, '\n')+1], []byte("\n"))
	for i, line := range lines[:len(lines)-1] {
		var r record
		err := json.Unmarshal(line, &r)
		switch {
		case i == 0:
			whole = err == nil && r.Type == kindBegin && r.Version == version
			c.start = r.At
		case err != nil || c.apply(r) != nil:
			whole = false
		}
	}
	return c, whole
}

// ValidID reports whether a text can be the id of a token, and so of an admission; the
// rule is wider than a frontend's.
func ValidID(id string) bool { return token.Matches(id, "_-", 64) }

// size is how many records it takes.
func (c *contents) size() int {
	return len(c.used) + len(c.presence.Present) + 2*len(c.presence.Departed) + len(c.presence.Given) + len(c.presence.Banned)
}
