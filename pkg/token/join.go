package token

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// DefaultLifetime is how long a join token is good for: the time to load a
	// level and open a connection.
	DefaultLifetime = 120 * time.Second
	// MaxLifetime is the longest lifetime that a Minter can be given, and the
	// longest that a Verifier accepts unless it is told otherwise.
	MaxLifetime = 5 * time.Minute
	// notBefore is how long before its making a join token is valid, for
	// game servers whose clocks are late.
	notBefore = 30 * time.Second
	// useJoin is the claim that tells join tokens from all others.
	useJoin = "join"
)

// JoinClaims are what a join token says. Times are whole seconds, in UTC.
type JoinClaims struct {
	Issuer string
	// Audience is the game server, as [Audience] writes it.
	Audience string
	// Subject is the player.
	Subject string
	// ID is unique to the token: 128 random bits in base64url.
	ID string
	// MatchID is the value of the label torikumi/match.
	MatchID string
	// Team is empty if the match has no teams.
	Team                        string
	IssuedAt, NotBefore, Expiry time.Time
}

// Audience returns what a join token for this game server says as "aud".
func Audience(namespace, name string) string { return "gs:" + namespace + "/" + name }

// validPlayer is the rule for ids of players everywhere in the project.
func validPlayer(id string) bool { return matchesAll(id, "._:@|-", 128) }

// validMatchID is Kubernetes's rule for the values of labels, save that the
// value cannot be empty.
func validMatchID(id string) bool {
	return matchesAll(id, "-_.", 63) && !strings.ContainsRune("-_.", rune(id[0])) && !strings.ContainsRune("-_.", rune(id[len(id)-1]))
}

func validTeam(team string) bool { return team == "" || matchesAll(team, "_.-", 64) }

// validJoinID accepts what a Minter makes.
func validJoinID(id string) bool { return matchesAll(id, "_-", 22) && len(id) == 22 }

// thumbprintKeyID accepts RFC 7638 thumbprints with SHA-256.
func thumbprintKeyID(kid string) bool { return matchesAll(kid, "_-", 43) && len(kid) == 43 }

// validName is Kubernetes's rule for names of namespaces and game servers.
func validName(name string, limit int, extra string) bool {
	return matchesAll(name, extra, limit) && name == strings.ToLower(name) &&
		!strings.ContainsRune("-.", rune(name[0])) && !strings.ContainsRune("-.", rune(name[len(name)-1]))
}

// checkDuration applies a default and bounds to a setting.
func checkDuration(name string, value, byDefault, least, most time.Duration) (time.Duration, error) {
	if value == 0 {
		return byDefault, nil
	}
	if value < least || value > most {
		return 0, fmt.Errorf("%s %v: must be between %v and %v", name, value, least, most)
	}
	return value, nil
}

var errNoIssuer = errors.New("issuer: must not be empty")
