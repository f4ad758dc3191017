package demo

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"torikumi/frontend/signing"
	"torikumi/gameserver/client"
	"torikumi/local/suite"
	"torikumi/pkg/token"
)

// kind is a way to try to get in without belonging there.
type kind int

// The intruders: a token of one's own making under the right key's name, one
// that has expired, one that has been used, one for another server.
const (
	forged kind = iota
	expired
	replayed
	foreign
	kinds
)

// reason is what the gate has to say to each.
func (k kind) reason() token.Reason {
	return [...]token.Reason{token.ReasonBadSignature, token.ReasonExpired, token.ReasonReplayed, token.ReasonWrongAudience}[k]
}

func (k kind) String() string { return [...]string{"forged", "expired", "replayed", "foreign"}[k] }

// forger makes the tokens that intruders come with.
type forger struct {
	now, past *signing.Minter
	key       *rsa.PrivateKey
}

// newForger uses the real keys of the suite for tokens that are genuine and
// still no good, and a key of its own for forgeries.
func newForger(keysDir string) (*forger, error) {
	keys, err := signing.LoadKeys(keysDir, signing.KeyOptions{Algorithm: token.RS256})
	if err != nil {
		return nil, err
	}
	l := new(forger)
	if l.now, err = signing.NewMinter(signing.MinterOptions{Keys: keys, Issuer: suite.Issuer}); err != nil {
		return nil, err
	}
	longAgo := func() time.Time { return time.Now().Add(-time.Hour) }
	if l.past, err = signing.NewMinter(signing.MinterOptions{Keys: keys, Issuer: suite.Issuer, Now: longAgo}); err != nil {
		return nil, err
	}
	l.key, err = rsa.GenerateKey(rand.Reader, 2048)
	return l, err
}

// make returns a token of the kind for the server that the genuine one opens.
func (l *forger) make(k kind, genuine string) (string, error) {
	var claims struct {
		Audience string `json:"aud"`
		Match    string `json:"mid"`
		Team     string `json:"team"`
	}
	parts := strings.Split(genuine, ".")
	if len(parts) != 3 {
		return "", errors.New("the frontend's token is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("the frontend's token: %w", err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", fmt.Errorf("the frontend's token: %w", err)
	}
	namespace, server, _ := strings.Cut(strings.TrimPrefix(claims.Audience, "gs:"), "/")
	req := signing.MintRequest{Player: "intruder", Namespace: namespace, GameServer: server, MatchID: claims.Match, Team: claims.Team}
	switch k {
	case forged:
		mine := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(payload), `"sub":"`, `"sub":"x`, 1)))
		sum := sha256.Sum256([]byte(mine))
		sig, err := rsa.SignPKCS1v15(rand.Reader, l.key, crypto.SHA256, sum[:])
		return mine + "." + base64.RawURLEncoding.EncodeToString(sig), err
	case expired:
		raw, _, err := l.past.Mint(req)
		return raw, err
	case replayed:
		return genuine, nil
	default:
		req.GameServer = "elsewhere"
		raw, _, err := l.now.Mint(req)
		return raw, err
	}
}

// intrude tries to get into the server and reports whether it was refused for
// the right reason.
func (l *forger) intrude(ctx context.Context, k kind, server, genuine string) error {
	raw, err := l.make(k, genuine)
	if err != nil {
		return fmt.Errorf("make a %s token: %w", k, err)
	}
	c, err := client.Dial(server)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Join(ctx, raw)
	var refused *client.RefusedError
	switch {
	case err == nil:
		return fmt.Errorf("the intruder with a %s token was let in", k)
	case !errors.As(err, &refused):
		return fmt.Errorf("the intruder with a %s token got no answer: %w", k, err)
	case refused.Reason != k.reason():
		return fmt.Errorf("the intruder with a %s token was refused as %s, not as %s", k, refused.Reason, k.reason())
	}
	return nil
}
