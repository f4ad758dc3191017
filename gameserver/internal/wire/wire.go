// Package wire is the protocol between a game client and the reference dedicated
// server: datagrams whose first line is a verb, a space and an argument. It is
// described in docs/udp.md.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"torikumi/pkg/token"
)

const (
	// MaxJoin is the longest JOIN in bytes: one packet on nearly every path,
	// and room for a token with an RSA-2048 signature.
	MaxJoin = 1400
	// MaxReply is the longest datagram of the server.
	MaxReply = 1200
	// MaxPing is the longest argument of PING.
	MaxPing = 64
)

// Verbs of the client and of the server.
const (
	Join    = "JOIN"
	Ping    = "PING"
	Roster  = "ROSTER"
	Leave   = "LEAVE"
	Welcome = "WELCOME"
	Refused = "REFUSED"
	Pong    = "PONG"
	Bye     = "BYE"
	Kick    = "KICK"
)

// Reasons for KICK.
const (
	KickNoToken   = "no_token"
	KickTimeout   = "timeout"
	KickReplaced  = "replaced"
	KickMatchOver = "match_over"
	KickShutdown  = "shutdown"
	// KickNotAdmitted: the gate does not know the player as admitted.
	KickNotAdmitted = "not_admitted"
)

// Reasons for REFUSED that are the server's own; the gate's come beside them.
const (
	ReasonGateUnavailable token.Reason = "gate_unavailable"
	ReasonBusy            token.Reason = "busy"
)

// Player is one who is present.
type Player struct {
	Player string `json:"player"`
	Team   string `json:"team"`
}

// WelcomeBody is the argument of WELCOME.
type WelcomeBody struct {
	Player  string   `json:"player"`
	Team    string   `json:"team"`
	MatchID string   `json:"match_id"`
	Roster  []Player `json:"roster"`
	// Omitted is how many more players there are than fit.
	Omitted int `json:"omitted,omitempty"`
}

// RosterBody is the argument of the server's ROSTER.
type RosterBody struct {
	MatchID string   `json:"match_id"`
	Players []Player `json:"players"`
	Omitted int      `json:"omitted,omitempty"`
}

// RefusedBody is the argument of REFUSED.
type RefusedBody struct {
	Reason token.Reason `json:"reason"`
	Detail string       `json:"detail,omitempty"`
	// Retryable: the same token may be accepted a little later.
	Retryable bool `json:"retryable"`
}

// KickBody is the argument of KICK.
type KickBody struct {
	Reason string `json:"reason"`
}

// Parse takes a datagram apart. A line end may follow the first line; what comes
// after it is for later versions and is passed over. It returns false for
// whatever is not a verb of capital letters.
func Parse(b []byte) (verb, arg string, ok bool) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	if !utf8.Valid(line) {
		return "", "", false
	}
	verb, arg, _ = strings.Cut(string(line), " ")
	if verb == "" || len(verb) > 16 || strings.Trim(verb, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return "", "", false
	}
	return verb, arg, true
}

// PlainToken reports whether a JOIN's argument can be a token at all: letters,
// digits, and the three signs that compact tokens have.
func PlainToken(arg string) bool {
	return token.Matches(arg, "-_.", len(arg))
}

// Encode makes a datagram with a JSON argument.
func Encode(verb string, body any) []byte {
	data, err := json.Marshal(body)
	if err != nil { // strings, ints and bools: cannot happen
		return []byte(verb)
	}
	return append([]byte(verb+" "), data...)
}

// Decode reads a JSON argument.
func Decode(arg string, body any) error {
	if err := json.Unmarshal([]byte(arg), body); err != nil {
		return fmt.Errorf("datagram: %w", err)
	}
	return nil
}

// EncodeFitting makes a datagram with as many players as fit into MaxReply; set
// puts some of them into the body, and how many are left out.
func EncodeFitting(verb string, body any, players []Player, set func(some []Player, omitted int)) []byte {
	for n := len(players); ; n = n * 3 / 4 {
		set(players[:n], len(players)-n)
		if b := Encode(verb, body); len(b) <= MaxReply || n == 0 {
			return b
		}
	}
}
