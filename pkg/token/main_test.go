package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/pkg/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://frontend.example/torikumi"
	audience = "gs:games/arena-7"
	match    = "m-0123456789abcdef"
)

var (
	want    = token.Expectation{Audience: audience, MatchID: match}
	request = token.MintRequest{Player: "player@one", Namespace: "games", GameServer: "arena-7", MatchID: match, Team: "red"}
	begin   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quiet   = slog.New(slog.DiscardHandler)

	// RSA keys take long to make.
	rsaKey      = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(2048) })
	otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey { return mustRSA(2048) })
)

func mustRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// clock is a clock that only the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func writePEM(t testing.TB, path string, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return path
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// loaded returns Keys with exactly this key.
func loaded(t testing.TB, alg token.Algorithm, key crypto.Signer) *token.Keys {
	t.Helper()
	dir := t.TempDir()
	writePEM(t, filepath.Join(dir, "a.pem"), key)
	return load(t, dir, token.KeyOptions{Algorithm: alg})
}

func load(t testing.TB, dir string, opts token.KeyOptions) *token.Keys {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	keys, err := token.LoadKeys(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newMinter(t testing.TB, keys *token.Keys, now func() time.Time) *token.Minter {
	t.Helper()
	m, err := token.NewMinter(token.MinterOptions{Keys: keys, Issuer: issuer, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newVerifier(t testing.TB, keys token.KeySource, alg token.Algorithm, now func() time.Time) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: alg, Issuer: issuer, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// reason returns the reason of a refusal, "" for no error.
func reason(t testing.TB, err error) token.Reason {
	t.Helper()
	if err == nil {
		return ""
	}
	var r *token.Refusal
	if !errors.As(err, &r) {
		t.Fatalf("error %v (%T) is not a refusal", err, err)
	}
	return r.Reason
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// seal signs header and payload as they are, without any of the code under test.
func seal(t testing.TB, key crypto.Signer, header, payload string) string {
	t.Helper()
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(signed))
	var sig []byte
	switch key := key.(type) {
	case *rsa.PrivateKey:
		var err error
		if sig, err = rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:]); err != nil {
			t.Fatal(err)
		}
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		sig = make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	}
	return signed + "." + b64(sig)
}

type object map[string]any

// with returns a copy with other values; a nil value takes the member away.
func (o object) with(changes object) object {
	c := object{}
	for k, v := range o {
		c[k] = v
	}
	for k, v := range changes {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (o object) json(t testing.TB) string {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
