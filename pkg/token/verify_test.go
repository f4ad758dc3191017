package token_test

import (
	"testing"
	"time"

	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

func TestVerifierOptions(t *testing.T) {
	keys := frontend
	verifier := func(o token.VerifierOptions) error { _, err := token.NewVerifier(o); return err }
	for name, err := range map[string]error{
		"verify keys":      verifier(token.VerifierOptions{Algorithm: token.ES256, Issuer: issuer}),
		"verify algorithm": verifier(token.VerifierOptions{Keys: keys, Issuer: issuer}),
		"verify none":      verifier(token.VerifierOptions{Keys: keys, Issuer: issuer, Algorithm: "none"}),
		"verify issuer":    verifier(token.VerifierOptions{Keys: keys, Algorithm: token.ES256}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestTimes walks a token through its life at second granularity.
func TestTimes(t *testing.T) {
	raw := frontend.Forge(begin).Claims(nil)
	for _, test := range []struct {
		now  time.Duration
		want token.Reason
	}{
		{-31 * time.Second, token.ReasonIssuedInFuture},
		{-30 * time.Second, ""},
		{0, ""},
		{120 * time.Second, ""},
		{150*time.Second - 1, ""},
		{150 * time.Second, token.ReasonExpired},
		{24 * time.Hour, token.ReasonExpired},
	} {
		_, err := newVerifier(t, frontend, token.RS256, at(begin.Add(test.now))).Verify(t.Context(), raw, want)
		if got := tokentest.Reason(t, err); got != test.want {
			t.Errorf("at %v: %q, want %q", test.now, got, test.want)
		}
	}
}
