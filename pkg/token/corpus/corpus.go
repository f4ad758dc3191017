// Package corpus has the join tokens that a verifier has to refuse, as data
// (corpus.json, whose format is in docs/corpus.md), and makes them.
package corpus

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"torikumi/pkg/token"
)

//go:embed corpus.json
var published []byte

// Case is how one token is made, and why it is refused. What it does not say is as
// in a good token.
type Case struct {
	Name   string       `json:"name"`
	Reason token.Reason `json:"reason"`
	// Header and Claims are members with other values; null takes one away.
	Header map[string]any `json:"header,omitempty"`
	Claims map[string]any `json:"claims,omitempty"`
	// HeaderEnd and ClaimsEnd stand in place of the last brace.
	HeaderEnd *string `json:"header_end,omitempty"`
	ClaimsEnd *string `json:"claims_end,omitempty"`
	// HeaderText and ClaimsText stand in place of the whole object.
	HeaderText *string `json:"header_text,omitempty"`
	ClaimsText *string `json:"claims_text,omitempty"`
	// Signature is one of the names of signatures; empty is that of the frontend.
	Signature string `json:"signature,omitempty"`
	// Text is the token; null is header, claims and signature, with dots between them.
	Text *string `json:"text,omitempty"`
}

// Cases returns the published cases.
func Cases() ([]Case, error) {
	d := json.NewDecoder(bytes.NewReader(published))
	d.DisallowUnknownFields()
	d.UseNumber()
	var cases []Case
	if err := d.Decode(&cases); err != nil {
		return nil, fmt.Errorf("read corpus: %w", err)
	}
	return cases, nil
}

// Expected is what the verifier expects of a good token.
type Expected struct {
	Issuer, Audience, Match, Player, Team string
}

// Maker makes tokens for a verifier that knows one key. It is safe for concurrent use.
type Maker struct {
	Expected

	key, stranger *rsa.PrivateKey
	kid           string
}

// NewMaker makes a maker with keys of its own.
func NewMaker(e Expected) (*Maker, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("name key: %w", err)
	}
	return &Maker{Expected: e, key: key, stranger: stranger, kid: b64(thumbprint)}, nil
}

// Key implements [token.KeySource].
func (m *Maker) Key(_ context.Context, kid string) (crypto.PublicKey, error) {
	if kid != m.kid {
		return nil, token.ErrUnknownKey
	}
	return m.key.Public(), nil
}

// JWKS returns the key set that the verifier has to know.
func (m *Maker) JWKS() ([]byte, error) {
	key := jose.JSONWebKey{Key: m.key.Public(), KeyID: m.kid, Algorithm: string(token.RS256), Use: "sig"}
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	if err != nil {
		return nil, fmt.Errorf("marshal key set: %w", err)
	}
	return data, nil
}

// Good makes a token that the verifier has to accept.
func (m *Maker) Good(now time.Time) (string, error) { return m.Make(Case{}, now) }

// Make makes the token of a case. Each has an id of its own.
func (m *Maker) Make(c Case, now time.Time) (string, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", fmt.Errorf("make token id: %w", err)
	}
	sec := now.Unix()
	header := map[string]any{"alg": string(token.RS256), "typ": "JWT", "kid": m.kid}
	claims := map[string]any{
		"iss": m.Issuer, "aud": m.Audience, "sub": m.Player, "jti": b64(id), "use": "join", "mid": m.Match, "team": m.Team,
		"iat": sec, "nbf": sec - 30, "exp": sec + 120,
	}
	w := words{now: sec, texts: map[string]string{
		"kid": m.kid, "other-kid": otherKeyID(m.kid), "issuer": m.Issuer, "audience": m.Audience, "match": m.Match, "player": m.Player,
		"stranger-modulus": b64(m.stranger.N.Bytes()),
	}}
	unchanged, err := signedText(w, Case{}, header, claims)
	if err != nil {
		return "", err
	}
	signed, err := signedText(w, c, header, claims)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	signature, err := m.sign(c.Signature, signed, unchanged)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	w.texts["header"], w.texts["claims"], _ = strings.Cut(signed, ".")
	w.texts["signature"] = b64(signature)
	w.texts["token"] = signed + "." + b64(signature)
	if c.Text == nil {
		return w.texts["token"], nil
	}
	raw, err := w.fill(*c.Text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Name, err)
	}
	return raw, nil
}

func signedText(w words, c Case, header, claims map[string]any) (string, error) {
	h, err := w.object(header, c.Header, c.HeaderEnd, c.HeaderText)
	if err != nil {
		return "", err
	}
	p, err := w.object(claims, c.Claims, c.ClaimsEnd, c.ClaimsText)
	if err != nil {
		return "", err
	}
	return b64([]byte(h)) + "." + b64([]byte(p)), nil
}

// object returns the text of an object with other members, another end or as a whole
// another text.
func (w words) object(good, changes map[string]any, end, text *string) (string, error) {
	if text != nil {
		return w.fill(*text)
	}
	changed := maps.Clone(good)
	for name, value := range changes {
		filled, err := w.value(value)
		if err != nil {
			return "", err
		}
		if changed[name] = filled; filled == nil {
			delete(changed, name)
		}
	}
	data, err := json.Marshal(changed)
	if err != nil {
		return "", fmt.Errorf("marshal object: %w", err)
	}
	if end == nil {
		return string(data), nil
	}
	more, err := w.fill(*end)
	return strings.TrimSuffix(string(data), "}") + more, err
}

// sign makes a signature of the name, which docs/corpus.md explains.
func (m *Maker) sign(name, signed, unchanged string) ([]byte, error) {
	good, err := rs256(m.key, signed)
	if err != nil {
		return nil, err
	}
	switch name {
	case "":
		return good, nil
	case "none":
		return nil, nil
	case "stranger":
		return rs256(m.stranger, signed)
	case "of-the-unchanged-token":
		return rs256(m.key, unchanged)
	case "sha512":
		sum := sha512.Sum512([]byte(signed))
		sig, err := rsa.SignPKCS1v15(nil, m.key, crypto.SHA512, sum[:])
		if err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		return sig, nil
	case "hmac-of-pem", "hmac-of-der", "hmac-of-nothing":
		secret, err := m.secret(name)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(signed))
		return mac.Sum(nil), nil
	case "flipped-bit":
		good[0] ^= 1
		return good, nil
	case "a-byte-less":
		return good[:len(good)-1], nil
	case "a-byte-more":
		return append([]byte{0}, good...), nil
	case "plus-modulus":
		return new(big.Int).Add(new(big.Int).SetBytes(good), m.key.N).Bytes(), nil
	case "64-bytes":
		// As long as one of ES256.
		return good[:64], nil
	}
	return nil, fmt.Errorf("signature %q is not known", name)
}

// secret is what everybody knows of the key.
func (m *Maker) secret(name string) ([]byte, error) {
	if name == "hmac-of-nothing" {
		return nil, nil
	}
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	if err != nil {
		return nil, fmt.Errorf("marshal key: %w", err)
	}
	if name == "hmac-of-der" {
		return der, nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

func rs256(key *rsa.PrivateKey, signed string) ([]byte, error) {
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sig, nil
}

// otherKeyID returns a key id of the same shape that is not this one.
func otherKeyID(kid string) string {
	if strings.HasPrefix(kid, "x") {
		return "y" + kid[1:]
	}
	return "x" + kid[1:]
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

var errWord = errors.New("is no word of the corpus")
