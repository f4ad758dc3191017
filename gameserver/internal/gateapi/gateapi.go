// Package gateapi is the gate's HTTP API on localhost: what a dedicated server
// calls when a player comes or goes. It holds the handler, the client and the
// messages between them.
//
//	POST /v1/admissions  {"token":"…"}   200 Admission, 403 or 503 problem with a reason
//	POST /v1/departures  {"player":"…"}  204, 404 or 503 problem
//	PUT  /v1/presence    {"match_id":"…","players":[…]}
//	                                     200 PresenceAnswer, 409 or 503 problem
//	GET  /v1/roster                      200 Roster, or 503 problem
//	PUT  /v1/closed      {"closed":true} 200 Closed, 409 or 503 problem with a reason
//	POST /v1/bans        {"player":"…"}  204, 404, 409 or 503 problem with a reason
//	POST /v1/backfill    {}              200 Backfill, 409 or 503 problem with a reason
//	DELETE /v1/backfill                  the same
//	GET  /v1/backfill                    200 Backfill, or 503 problem
//
// A refusal is 403 if the player is to blame or late, and 503 if something of
// ours is missing. Beside the members of RFC 9457 it says "reason", "retryable"
// (the same token may work a little later) and "renewable" (a new token will).
// A request for admission may carry an Idempotency-Key: made again with the same
// key and token, after its answer was lost, it is answered in the same way. Another key
// with the same token is refused as "replayed".
package gateapi

import (
	"encoding/json"
	"time"

	"torikumi/pkg/problem"
	"torikumi/pkg/token"
)

// KeyHeader names a request for admission.
const KeyHeader = "Idempotency-Key"

// AdmissionRequest asks to let a player in.
type AdmissionRequest struct {
	Token string `json:"token"`
}

// Admission is the answer for a player who is let in.
type Admission struct {
	Player  string `json:"player"`
	Team    string `json:"team"`
	MatchID string `json:"match_id"`
	// Reconnect: the player was here before; an older connection of theirs has
	// to go.
	Reconnect bool `json:"reconnect"`
	// Admission names this stay of the player.
	Admission string `json:"admission"`
}

// DepartureRequest tells that a player has left.
type DepartureRequest struct {
	Player string `json:"player"`
	// Admission, if given, is the stay that has ended: the report then cannot
	// end a later one.
	Admission string `json:"admission,omitempty"`
}

// Presence is everybody who is there for a match.
type Presence struct {
	MatchID string `json:"match_id"`
	Players []Stay `json:"players"`
}

// Stay is a player's presence since one admission.
type Stay struct {
	Player    string `json:"player"`
	Admission string `json:"admission"`
}

// PresenceAnswer names those who are not to be there.
type PresenceAnswer struct {
	Refused []RefusedStay `json:"refused"`
}

// RefusedStay is a player whose connection has to be dropped, and why.
type RefusedStay struct {
	Player    string       `json:"player"`
	Admission string       `json:"admission"`
	Reason    token.Reason `json:"reason"`
}

// Roster is who is expected, present and gone. Bots are those that the game
// server is to add to the players.
type Roster struct {
	MatchID  string     `json:"match_id"`
	Queue    string     `json:"queue"`
	Region   string     `json:"region"`
	State    string     `json:"state"`
	Expected []Expected `json:"expected"`
	Bots     []Bots     `json:"bots"`
	Present  []Player   `json:"present"`
	Departed []Player   `json:"departed"`
	// Closed: nobody comes in who has not been here. Banned do not come back.
	Closed bool     `json:"closed"`
	Banned []string `json:"banned"`
	// Data is what the queue says of the match, a contract.MatchData; left out if it says
	// nothing, or in another annotation.
	Data json.RawMessage `json:"data,omitempty"`
}

// Expected is a player of the match.
type Expected struct {
	Player string `json:"player"`
	Team   string `json:"team"`
	// Party is the same for players who came together; left out for those who came alone.
	Party string `json:"party,omitempty"`
}

// ClosedRequest closes the match to newcomers, or opens it again.
type ClosedRequest struct {
	Closed *bool `json:"closed"`
}

// Closed is whether the match is closed to newcomers.
type Closed struct {
	MatchID string `json:"match_id"`
	Closed  bool   `json:"closed"`
}

// BanRequest keeps a player out of the match.
type BanRequest struct {
	Player string `json:"player"`
}

// Bots is how many bots fill up a team; teams without any are not listed.
type Bots struct {
	Team  string `json:"team"`
	Count int32  `json:"count"`
}

// Player is a player who is here, or was. Since is when they came; for the
// departed, when they left.
type Player struct {
	Player    string    `json:"player"`
	Team      string    `json:"team"`
	Since     time.Time `json:"since"`
	Admission string    `json:"admission"`
	// Lapsed: nobody has said that the player left; the game server no longer named them.
	Lapsed bool `json:"lapsed,omitempty"`
}

// BackfillRequest asks for players. It says nothing more: how many are missing, and in which
// teams, follows from the match.
type BackfillRequest struct{}

// What becomes of the request for players.
const (
	// BackfillUnavailable: the match cannot be filled up; there is a reason.
	BackfillUnavailable = "unavailable"
	// BackfillOff: nobody is wanted.
	BackfillOff = "off"
	// BackfillWaiting: no director has answered yet, or nobody is there to play with.
	BackfillWaiting = "waiting"
	// BackfillSearching: players are searched for.
	BackfillSearching = "searching"
	// BackfillFull: no place is free.
	BackfillFull = "full"
)

// Backfill is the state of the request for players.
type Backfill struct {
	MatchID string `json:"match_id"`
	State   string `json:"state"`
	// Reason is of a match that cannot be filled up.
	Reason token.Reason `json:"reason,omitempty"`
	// OpenPlaces are free, at most.
	OpenPlaces int32 `json:"open_places"`
	// Failure is the gRPC code of the last call to a director; empty if it was answered.
	Failure string `json:"failure,omitempty"`
}

// refusalBody is a problem with the extension members of a refusal.
type refusalBody struct {
	problem.Problem
	Retryable bool `json:"retryable"`
	Renewable bool `json:"renewable"`
}
