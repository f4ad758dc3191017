// Package keytest is a frontend's signing side for tests: real keys, a real key
// set over HTTP, good tokens, and tokens that have to be refused.
package keytest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"torikumi/gameserver/internal/sdktest"
	"torikumi/pkg/token"
)

// Name is what the tokens say as "iss".
const Name = "https://frontend.example/torikumi"

// Issuer signs tokens for the game server of sdktest.
type Issuer struct {
	tb      testing.TB
	keys    *token.Keys
	minter  *token.Minter
	private *rsa.PrivateKey
	http    *httptest.Server
}

// keyFile is made once: RSA keys take long to make.
var keyFile = sync.OnceValues(func() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
})

// New publishes keys until the test ends.
func New(tb testing.TB) *Issuer {
	tb.Helper()
	data, err := keyFile()
	must(tb, err)
	dir := tb.TempDir()
	must(tb, os.WriteFile(dir+"/a.pem", data, 0o600))
	keys, err := token.LoadKeys(dir, token.KeyOptions{Algorithm: token.RS256})
	must(tb, err)
	minter, err := token.NewMinter(token.MinterOptions{Keys: keys, Issuer: Name})
	must(tb, err)
	block, _ := pem.Decode(data)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	must(tb, err)
	mux := http.NewServeMux()
	mux.Handle(token.JWKSPath, token.JWKSHandler(keys))
	i := &Issuer{tb: tb, keys: keys, minter: minter, private: private.(*rsa.PrivateKey), http: httptest.NewServer(mux)}
	tb.Cleanup(i.http.Close)
	return i
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// URL is where the keys are.
func (i *Issuer) URL() string { return i.http.URL + token.JWKSPath }

// Close takes the key set off the net.
func (i *Issuer) Close() { i.http.Close() }

// Mint makes a good token.
func (i *Issuer) Mint(player, team, match string) string {
	i.tb.Helper()
	raw, _, err := i.minter.Mint(token.MintRequest{Player: player, Namespace: sdktest.Namespace, GameServer: sdktest.Name, MatchID: match, Team: team})
	must(i.tb, err)
	return raw
}

// Members are those of a JSON object.
type Members map[string]any

func (m Members) with(changes Members) Members {
	c := maps.Clone(m)
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

// Seal signs changed header and claims of a good token; nil takes a member away.
func (i *Issuer) Seal(player, match string, header, claims Members) string {
	i.tb.Helper()
	h, c := i.parts(player, match)
	return sign(i.tb, i.private, encode(i.tb, h.with(header)), encode(i.tb, c.with(claims)))
}

func (i *Issuer) parts(player, match string) (header, claims Members) {
	now := time.Now().Unix()
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return Members{"alg": "RS256", "typ": "JWT", "kid": i.keys.SigningKeyID()}, Members{
		"iss": Name, "aud": token.Audience(sdktest.Namespace, sdktest.Name), "sub": player, "use": "join", "mid": match, "team": "red",
		"jti": base64.RawURLEncoding.EncodeToString(id), "iat": now, "nbf": now - 30, "exp": now + 120,
	}
}

func encode(tb testing.TB, m Members) string {
	tb.Helper()
	data, err := json.Marshal(m)
	must(tb, err)
	return string(data)
}

func b64(s []byte) string { return base64.RawURLEncoding.EncodeToString(s) }

func sign(tb testing.TB, key *rsa.PrivateKey, header, payload string) string {
	tb.Helper()
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	must(tb, err)
	return signed + "." + b64(sig)
}
