// Package tokentest makes keys, tokens and key sets for tests, with none of the
// code that they test.
package tokentest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"torikumi/pkg/token"
)

// RSA and OtherRSA are two keys that are made once, because that takes long.
var (
	RSA      = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	OtherRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

// EC returns a new key for ES256.
func EC() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// Ed returns a new key for EdDSA.
func Ed() ed25519.PrivateKey { return ed25519.NewKeyFromSeed([]byte(rand.Text() + "123456")) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // no randomness, or a value that is no JSON: a mistake of the test
	}
	return v
}

// B64 is base64url without padding.
func B64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// Seal signs header and payload as they are.
func Seal(key crypto.Signer, header, payload string) string {
	signed := B64([]byte(header)) + "." + B64([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	var sig []byte
	switch key := key.(type) {
	case *rsa.PrivateKey:
		sig = must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		sig = make([]byte, 64)
		must(r, err).FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	case ed25519.PrivateKey:
		sig = ed25519.Sign(key, []byte(signed))
	}
	return signed + "." + B64(sig)
}

// Object is a JSON object.
type Object map[string]any

// With returns a copy with other values; a nil value takes the member away.
func (o Object) With(changes Object) Object {
	c := maps.Clone(o)
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// JSON returns the object as text.
func (o Object) JSON() string { return string(must(json.Marshal(o))) }

// Issuer has one key. It is a token.KeySource, and as a http.Handler it serves the
// key set.
type Issuer struct {
	Private crypto.Signer
	KeyID   string
}

// NewIssuer returns the issuer with this key.
func NewIssuer(key crypto.Signer) *Issuer {
	return &Issuer{Private: key, KeyID: B64(must((&jose.JSONWebKey{Key: key.Public()}).Thumbprint(crypto.SHA256)))}
}

// Algorithm is that of the key.
func (i *Issuer) Algorithm() token.Algorithm {
	switch i.Private.(type) {
	case *rsa.PrivateKey:
		return token.RS256
	case ed25519.PrivateKey:
		return token.EdDSA
	}
	return token.ES256
}

// Key implements token.KeySource.
func (i *Issuer) Key(_ context.Context, kid string) (crypto.PublicKey, error) {
	if kid != i.KeyID {
		return nil, token.ErrUnknownKey
	}
	return i.Private.Public(), nil
}

// JWKS returns the key set.
func (i *Issuer) JWKS() []byte {
	key := jose.JSONWebKey{Key: i.Private.Public(), KeyID: i.KeyID, Algorithm: string(i.Algorithm()), Use: "sig"}
	return must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}}))
}

// ServeHTTP implements http.Handler.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"`+i.KeyID+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(i.JWKS()))
}

// Claims of the join tokens that Forge makes.
const (
	Frontend = "https://frontend.example/torikumi"
	Server   = "gs:games/arena-7"
	Match    = "m-0123456789abcdef"
)

// Forger makes tokens with the issuer's real key, or with others.
type Forger struct {
	Key             crypto.Signer
	Header, Payload Object
}

// Forge returns a forger of join tokens that are made at a time and, unless they are
// changed, good, with a new id.
func (i *Issuer) Forge(now time.Time) *Forger {
	sec := now.Unix()
	id := make([]byte, 16)
	must(rand.Read(id))
	return &Forger{
		Key:    i.Private,
		Header: Object{"alg": string(i.Algorithm()), "typ": "JWT", "kid": i.KeyID},
		Payload: Object{
			"iss": Frontend, "aud": Server, "sub": "player@one", "jti": B64(id), "use": "join", "mid": Match,
			"team": "red", "iat": sec, "nbf": sec - 30, "exp": sec + 120,
		},
	}
}

// Headers returns a token with a changed header.
func (f *Forger) Headers(changes Object) string {
	return Seal(f.Key, f.Header.With(changes).JSON(), f.Payload.JSON())
}

// Claims returns a token with changed claims.
func (f *Forger) Claims(changes Object) string {
	return Seal(f.Key, f.Header.JSON(), f.Payload.With(changes).JSON())
}

// RawHeader adds text where the header ends.
func (f *Forger) RawHeader(more string) string {
	return Seal(f.Key, strings.TrimSuffix(f.Header.JSON(), "}")+more, f.Payload.JSON())
}

// RawPayload adds text where the payload ends.
func (f *Forger) RawPayload(more string) string {
	return Seal(f.Key, f.Header.JSON(), strings.TrimSuffix(f.Payload.JSON(), "}")+more)
}

// Unsigned returns a token of an algorithm without a signature.
func (f *Forger) Unsigned(alg string) string {
	return B64([]byte(f.Header.With(Object{"alg": alg}).JSON())) + "." + B64([]byte(f.Payload.JSON())) + "."
}

// HMAC signs with a MAC that is keyed with something public.
func (f *Forger) HMAC(secret []byte) string {
	raw := f.Unsigned("HS256")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(raw[:len(raw)-1]))
	return raw + B64(mac.Sum(nil))
}

// OtherKeyID returns a key id of the same shape that is not this one.
func OtherKeyID(kid string) string {
	first := "x"
	if kid[:1] == first {
		first = "y"
	}
	return first + kid[1:]
}

// Reason returns the reason of a refusal, "" for no error.
func Reason(tb testing.TB, err error) token.Reason {
	tb.Helper()
	if err == nil {
		return ""
	}
	var r *token.Refusal
	if !errors.As(err, &r) {
		tb.Fatalf("error %v (%T) is not a refusal", err, err)
	}
	return r.Reason
}

// WeakRSA returns a new key that is too short.
func WeakRSA() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) }
