package token

import (
	"strings"
	"time"
)

const (
	// DefaultLifetime is how long a join token is good for: the time to load a
	// level and open a connection.
	DefaultLifetime = 120 * time.Second
	// MaxLifetime is the longest lifetime of a join token that is signed or
	// accepted.
	MaxLifetime = 5 * time.Minute
	// UseJoin is the claim "use" that tells join tokens from all others.
	UseJoin = "join"
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

// ValidPlayer is the rule for ids of players everywhere in the project.
func ValidPlayer(id string) bool { return Matches(id, "._:@|-", 128) }

// ValidTeam is the rule for names of teams; "" is none.
func ValidTeam(team string) bool {
	return team == "" || Matches(team, "_.- ", 64) && team == strings.TrimSpace(team)
}

// validJoinID accepts 128 bits in base64url.
func validJoinID(id string) bool { return Matches(id, "_-", 22) && len(id) == 22 }

// thumbprintKeyID accepts RFC 7638 thumbprints with SHA-256.
func thumbprintKeyID(kid string) bool { return Matches(kid, "_-", 43) && len(kid) == 43 }

// ForeignKeyID reports whether kid can be the id of a key of some other issuer.
// Ids are only ever looked up in memory.
func ForeignKeyID(kid string) bool { return Matches(kid, "._:@+/=~|-", 256) }
