package signing

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"torikumi/pkg/token"
)

// notBefore is how long before its making a join token is valid, for game servers
// whose clocks are late.
const notBefore = 30 * time.Second

var errNoIssuer = errors.New("issuer: must not be empty")

// MinterOptions are what a [Minter] needs.
type MinterOptions struct {
	// Keys sign. Required.
	Keys *Keys
	// Issuer is "iss": the frontend's URL, letter for letter as gates have it
	// in their configuration. Required.
	Issuer string
	// Lifetime is the time from "iat" to "exp", in whole seconds, at most
	// token.MaxLifetime. Zero means token.DefaultLifetime.
	Lifetime time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand is where token ids come from; nil means crypto/rand.Reader. It must
	// be safe for concurrent use and impossible to foresee.
	Rand io.Reader
}

// Minter signs join tokens. It is safe for concurrent use.
type Minter struct{ opts MinterOptions }

// MintRequest says for whom a join token is, and what it opens.
type MintRequest struct {
	// Player has 1 to 128 characters of [A-Za-z0-9._:@|-].
	Player string
	// Namespace and GameServer name the server.
	Namespace, GameServer string
	// MatchID is what the director stamped on it.
	MatchID string
	// Team may be empty.
	Team string
}

// NewMinter returns an error that names the option that is wrong.
func NewMinter(opts MinterOptions) (*Minter, error) {
	if opts.Keys == nil {
		return nil, errors.New("keys: must be set")
	}
	if opts.Issuer == "" {
		return nil, errNoIssuer
	}
	opts.Lifetime = cmp.Or(opts.Lifetime, token.DefaultLifetime)
	if l := opts.Lifetime; l < time.Second || l > token.MaxLifetime || l%time.Second != 0 {
		return nil, fmt.Errorf("lifetime %v: must be whole seconds, from %v to %v", l, time.Second, token.MaxLifetime)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.Rand = cmp.Or(opts.Rand, rand.Reader)
	return &Minter{opts}, nil
}

// Mint signs a token with the key that signs now. Every call gives a new token
// with an id of its own. The error names the field that is wrong.
func (m *Minter) Mint(req MintRequest) (raw string, claims token.JoinClaims, err error) {
	if err := req.validate(); err != nil {
		return "", token.JoinClaims{}, err
	}
	var id [16]byte
	if _, err := io.ReadFull(m.opts.Rand, id[:]); err != nil {
		return "", token.JoinClaims{}, fmt.Errorf("make token id: %w", err)
	}
	now := time.Unix(m.opts.Now().Unix(), 0).UTC()
	claims = token.JoinClaims{
		Issuer:    m.opts.Issuer,
		Audience:  token.Audience(req.Namespace, req.GameServer),
		Subject:   req.Player,
		ID:        base64.RawURLEncoding.EncodeToString(id[:]),
		MatchID:   req.MatchID,
		Team:      req.Team,
		IssuedAt:  now,
		NotBefore: now.Add(-notBefore),
		Expiry:    now.Add(m.opts.Lifetime),
	}
	raw, err = m.opts.Keys.sign(jwt.MapClaims{
		"iss":  claims.Issuer,
		"aud":  claims.Audience,
		"sub":  claims.Subject,
		"jti":  claims.ID,
		"iat":  claims.IssuedAt.Unix(),
		"nbf":  claims.NotBefore.Unix(),
		"exp":  claims.Expiry.Unix(),
		"use":  token.UseJoin,
		"mid":  claims.MatchID,
		"team": claims.Team,
	})
	if err != nil {
		return "", token.JoinClaims{}, fmt.Errorf("sign join token: %w", err)
	}
	return raw, claims, nil
}

func (r *MintRequest) validate() error {
	switch {
	case !token.ValidPlayer(r.Player):
		return errors.New("player: must have 1 to 128 characters of [A-Za-z0-9._:@|-]")
	case !validName(r.Namespace, 63, "-"):
		return errors.New("namespace: must be an RFC 1123 label")
	case !validName(r.GameServer, 253, "-."):
		return errors.New("game server: must be an RFC 1123 subdomain")
	case !validMatchID(r.MatchID):
		return errors.New("match id: must be a Kubernetes label value of 1 to 63 characters")
	case !token.ValidTeam(r.Team):
		return errors.New("team: must have at most 64 characters of [A-Za-z0-9_.-], with spaces between them")
	}
	return nil
}

// validMatchID is Kubernetes's rule for the values of labels, save that the
// value cannot be empty.
func validMatchID(id string) bool {
	return token.Matches(id, "-_.", 63) && id == strings.Trim(id, "-_.")
}

// validName is Kubernetes's rule for names of namespaces and game servers.
func validName(name string, limit int, extra string) bool {
	return token.Matches(name, extra, limit) && name == strings.Trim(strings.ToLower(name), "-.")
}
