package signing_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = tokentest.Frontend
	audience = tokentest.Server
	match    = tokentest.Match
)

var (
	want    = token.Expectation{Audience: audience, MatchID: match}
	request = signing.MintRequest{Player: "player@one", Namespace: "games", GameServer: "arena-7", MatchID: match, Team: "red"}
	begin   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quiet   = slog.New(slog.DiscardHandler)
)

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
func loaded(t testing.TB, alg token.Algorithm, key crypto.Signer) *signing.Keys {
	t.Helper()
	dir := t.TempDir()
	writePEM(t, filepath.Join(dir, "a.pem"), key)
	return load(t, dir, signing.KeyOptions{Algorithm: alg})
}

func load(t testing.TB, dir string, opts signing.KeyOptions) *signing.Keys {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = quiet
	}
	keys, err := signing.LoadKeys(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newMinter(t testing.TB, keys *signing.Keys, now func() time.Time) *signing.Minter {
	t.Helper()
	m, err := signing.NewMinter(signing.MinterOptions{Keys: keys, Issuer: issuer, Now: now})
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
