package token_test

import (
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

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
	want  = token.Expectation{Audience: audience, MatchID: match}
	begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quiet = slog.New(slog.DiscardHandler)
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func newVerifier(t testing.TB, keys token.KeySource, alg token.Algorithm, now func() time.Time) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: alg, Issuer: issuer, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
