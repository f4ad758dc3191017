package token_test

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/token"
	"torikumi/pkg/token/corpus"
	"torikumi/pkg/token/tokentest"
)

var frontend = tokentest.NewIssuer(tokentest.RSA())

// newForger makes tokens of always the same id.
func newForger() *tokentest.Forger {
	f := frontend.Forge(begin)
	f.Payload["jti"] = strings.Repeat("A", 22)
	return f
}

// published returns the corpus, and who makes its tokens.
func published(tb testing.TB) (*corpus.Maker, []corpus.Case) {
	tb.Helper()
	m, err := corpus.NewMaker(corpus.Expected{Issuer: issuer, Audience: audience, Match: match, Player: "player@one", Team: "red"})
	if err != nil {
		tb.Fatal(err)
	}
	cases, err := corpus.Cases()
	if err != nil {
		tb.Fatal(err)
	}
	return m, cases
}

func made(tb testing.TB, m *corpus.Maker, c corpus.Case) string {
	tb.Helper()
	raw, err := m.Make(c, begin)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

func TestCorpus(t *testing.T) {
	m, cases := published(t)
	if len(cases) < 150 {
		t.Errorf("%d cases", len(cases))
	}
	v := newVerifier(t, m, token.RS256, at(begin))
	// The unchanged token is good: what follows fails for its own reason.
	if _, err := v.Verify(t.Context(), made(t, m, corpus.Case{}), want); err != nil {
		t.Fatalf("the unchanged token is refused: %v", err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), made(t, m, c), want)
			if got := tokentest.Reason(t, err); got != c.Reason {
				t.Errorf("reason %q (%v), want %q", got, err, c.Reason)
			}
			if claims != (token.JoinClaims{}) {
				t.Errorf("claims with a refusal: %+v", claims)
			}
			if e := (&token.Refusal{Reason: c.Reason}); (c.Reason == token.ReasonBadSignature || c.Reason == token.ReasonMalformed) && (e.Retryable() || e.Renewable()) {
				t.Errorf("%s must be final", c.Reason)
			}
		})
	}
}

// TestLeeway: the last second that is too late, beside verify_test.go.
func TestLeeway(t *testing.T) {
	f, sec := newForger(), begin.Unix()
	v := newVerifier(t, frontend, token.RS256, at(begin))
	for _, test := range []struct {
		claims tokentest.Object
		want   token.Reason
	}{
		{tokentest.Object{"nbf": sec + 30}, ""},
		{tokentest.Object{"nbf": sec + 31}, token.ReasonNotYetValid},
		{tokentest.Object{"exp": sec + 300}, ""},
		{tokentest.Object{"exp": sec + 301}, token.ReasonLifetimeTooLong},
	} {
		_, err := v.Verify(t.Context(), f.Claims(test.claims), want)
		if got := tokentest.Reason(t, err); got != test.want {
			t.Errorf("%v: reason %q, want %q", test.claims, got, test.want)
		}
	}
}

// TestEmptyExpectation: a server that does not know its match, or
// its name, must not take "absent" for "equal".
func TestEmptyExpectation(t *testing.T) {
	f := newForger()
	v := newVerifier(t, frontend, token.RS256, at(begin))
	for _, test := range []struct {
		raw  string
		want token.Expectation
		why  token.Reason
	}{
		{f.Claims(nil), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.Claims(tokentest.Object{"mid": ""}), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.Claims(tokentest.Object{"mid": nil}), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.Claims(tokentest.Object{"aud": ""}), token.Expectation{MatchID: match}, token.ReasonWrongAudience},
		{f.Claims(tokentest.Object{"aud": nil}), token.Expectation{MatchID: match}, token.ReasonWrongAudience},
	} {
		if _, err := v.Verify(t.Context(), test.raw, test.want); tokentest.Reason(t, err) != test.why {
			t.Errorf("%+v: %v, want %s", test.want, err, test.why)
		}
	}
}

// TestCheckOrder: of two faults the one that is cheaper to find is reported.
func TestCheckOrder(t *testing.T) {
	f := newForger()
	stranger := &tokentest.Forger{Key: tokentest.OtherRSA(), Header: f.Header, Payload: f.Payload}
	v := newVerifier(t, frontend, token.RS256, at(begin.Add(time.Hour)))
	unknown := "x" + frontend.KeyID[1:]
	for _, a := range []struct {
		name, raw string
		want      token.Reason
	}{
		{"algorithm before kid", f.Headers(tokentest.Object{"alg": "none", "kid": unknown}), token.ReasonBadAlgorithm},
		{"kid before signature", stranger.Headers(tokentest.Object{"kid": unknown}), token.ReasonUnknownKey},
		{"signature before claims", stranger.Claims(tokentest.Object{"iss": "x"}), token.ReasonBadSignature},
		{"iss before aud", f.Claims(tokentest.Object{"iss": "x", "aud": "x"}), token.ReasonWrongIssuer},
		{"aud before use", f.Claims(tokentest.Object{"aud": "x", "use": "x"}), token.ReasonWrongAudience},
		{"use before mid", f.Claims(tokentest.Object{"use": "x", "mid": "x"}), token.ReasonWrongUse},
		{"mid before times", f.Claims(tokentest.Object{"mid": "x"}), token.ReasonWrongMatch},
		{"times before names", f.Claims(tokentest.Object{"sub": "\n"}), token.ReasonExpired},
	} {
		if _, err := v.Verify(t.Context(), a.raw, want); tokentest.Reason(t, err) != a.want {
			t.Errorf("%s: %v, want %s", a.name, err, a.want)
		}
	}
}

func TestRefusalAdvice(t *testing.T) {
	retry := []token.Reason{token.ReasonKeysUnavailable, token.ReasonJournalUnavailable, token.ReasonNotYetValid, token.ReasonIssuedInFuture}
	renew := []token.Reason{token.ReasonExpired, token.ReasonReplayed, token.ReasonIssuedBeforeStart}
	for _, r := range retry {
		if e := (&token.Refusal{Reason: r}); !e.Retryable() || e.Renewable() {
			t.Errorf("%s: must be retryable only", r)
		}
	}
	for _, r := range renew {
		if e := (&token.Refusal{Reason: r}); e.Retryable() || !e.Renewable() {
			t.Errorf("%s: must be renewable only", r)
		}
	}
}

type brokenSource struct{ err error }

func (b brokenSource) Key(context.Context, string) (crypto.PublicKey, error) { return nil, b.err }

func TestSourceErrors(t *testing.T) {
	raw := newForger().Claims(nil)
	for _, test := range []struct {
		err  error
		want token.Reason
	}{
		{token.ErrUnknownKey, token.ReasonUnknownKey},
		{fmt.Errorf("wrapped: %w", token.ErrUnknownKey), token.ReasonUnknownKey},
		{token.ErrKeysUnavailable, token.ReasonKeysUnavailable},
		{context.DeadlineExceeded, token.ReasonKeysUnavailable},
		{errors.New("anything else"), token.ReasonKeysUnavailable},
		{nil, token.ReasonBadAlgorithm}, // a nil key without an error
	} {
		_, err := newVerifier(t, brokenSource{test.err}, token.RS256, at(begin)).Verify(t.Context(), raw, want)
		if tokentest.Reason(t, err) != test.want {
			t.Errorf("source error %v: %v, want %s", test.err, err, test.want)
		}
		if test.err != nil && !errors.Is(err, test.err) {
			t.Errorf("%v does not wrap %v", err, test.err)
		}
	}
}
