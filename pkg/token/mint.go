package token

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MinterOptions are what a [Minter] needs.
type MinterOptions struct {
	// Keys sign. Required.
	Keys *Keys
	// Issuer is "iss": the frontend's URL, letter for letter as gates have it
	// in their configuration. Required.
	Issuer string
	// Lifetime is the time from "iat" to "exp", in whole seconds, at most
	// MaxLifetime. Zero means DefaultLifetime.
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
	var err error
	if opts.Lifetime, err = checkDuration("lifetime", opts.Lifetime, DefaultLifetime, time.Second, MaxLifetime); err != nil {
		return nil, err
	}
	if opts.Lifetime%time.Second != 0 {
		return nil, fmt.Errorf("lifetime %v: must be whole seconds", opts.Lifetime)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	return &Minter{opts}, nil
}

// Mint signs a token with the key that signs now. Every call gives a new token
// with an id of its own. The error names the field that is wrong.
func (m *Minter) Mint(req MintRequest) (raw string, claims JoinClaims, err error) {
	if err := req.validate(); err != nil {
		return "", JoinClaims{}, err
	}
	var id [16]byte
	if _, err := io.ReadFull(m.opts.Rand, id[:]); err != nil {
		return "", JoinClaims{}, fmt.Errorf("make token id: %w", err)
	}
	now := time.Unix(m.opts.Now().Unix(), 0).UTC()
	claims = JoinClaims{
		Issuer:    m.opts.Issuer,
		Audience:  Audience(req.Namespace, req.GameServer),
		Subject:   req.Player,
		ID:        base64url.EncodeToString(id[:]),
		MatchID:   req.MatchID,
		Team:      req.Team,
		IssuedAt:  now,
		NotBefore: now.Add(-notBefore),
		Expiry:    now.Add(m.opts.Lifetime),
	}
	raw, err = m.opts.Keys.Algorithm().sign(m.opts.Keys.signing(), claims.wire())
	if err != nil {
		return "", JoinClaims{}, fmt.Errorf("sign join token: %w", err)
	}
	return raw, claims, nil
}

func (r *MintRequest) validate() error {
	switch {
	case !validPlayer(r.Player):
		return errors.New("player: must have 1 to 128 characters of [A-Za-z0-9._:@|-]")
	case !validName(r.Namespace, 63, "-"):
		return errors.New("namespace: must be an RFC 1123 label")
	case !validName(r.GameServer, 253, "-."):
		return errors.New("game server: must be an RFC 1123 subdomain")
	case !validMatchID(r.MatchID):
		return errors.New("match id: must be a Kubernetes label value of 1 to 63 characters")
	case !validTeam(r.Team):
		return errors.New("team: must have at most 64 characters of [A-Za-z0-9_.-]")
	}
	return nil
}

// wire returns the claims under the names that they have in the token.
func (c *JoinClaims) wire() jwt.MapClaims {
	return jwt.MapClaims{
		"iss":  c.Issuer,
		"aud":  c.Audience,
		"sub":  c.Subject,
		"jti":  c.ID,
		"iat":  c.IssuedAt.Unix(),
		"nbf":  c.NotBefore.Unix(),
		"exp":  c.Expiry.Unix(),
		"use":  useJoin,
		"mid":  c.MatchID,
		"team": c.Team,
	}
}
