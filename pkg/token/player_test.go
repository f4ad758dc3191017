package token_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/token"
)

const (
	playerIssuer   = "https://id.example"
	playerAudience = "torikumi"
)

func newPlayerVerifier(t testing.TB, keys token.KeySource, algorithms ...token.Algorithm) *token.PlayerVerifier {
	t.Helper()
	v, err := token.NewPlayerVerifier(token.PlayerOptions{
		Keys: keys, Issuer: playerIssuer, Audience: playerAudience, Algorithms: algorithms, Now: at(begin),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMintedPlayerToken(t *testing.T) {
	for alg, key := range signers(t) {
		keys := loaded(t, alg, key)
		m, err := token.NewPlayerMinter(token.PlayerMinterOptions{Keys: keys, Issuer: playerIssuer, Audience: playerAudience, Now: at(begin)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := m.MintPlayer("auth0|a:b@c.d-e_f", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := newPlayerVerifier(t, keys, token.RS256, token.ES256).Verify(t.Context(), raw)
		if want := (token.PlayerClaims{Subject: "auth0|a:b@c.d-e_f", Expiry: begin.Add(time.Hour)}); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", alg, got, err, want)
		}
		// A player token must not open a game server.
		_, err = newVerifier(t, keys, alg, at(begin)).Verify(t.Context(), raw, want)
		if reason(t, err) != token.ReasonWrongIssuer {
			t.Errorf("%s: at a gate: %v", alg, err)
		}
		for _, sub := range []string{"", "a b", "a\n", strings.Repeat("x", 129)} {
			if _, err := m.MintPlayer(sub, time.Hour); err == nil {
				t.Errorf("sub %q: no error", sub)
			}
		}
		for _, lifetime := range []time.Duration{0, -time.Hour, time.Millisecond} {
			if _, err := m.MintPlayer("a", lifetime); err == nil {
				t.Errorf("lifetime %v: no error", lifetime)
			}
		}
	}
}

// TestJoinTokenIsNoPlayerToken, not even with the frontend's own issuer, key and
// audience.
func TestJoinTokenIsNoPlayerToken(t *testing.T) {
	keys := loaded(t, token.ES256, newEC(t))
	raw, _, err := newMinter(t, keys, at(begin)).Mint(request)
	if err != nil {
		t.Fatal(err)
	}
	v, err := token.NewPlayerVerifier(token.PlayerOptions{
		Keys: keys, Issuer: issuer, Audience: audience, Algorithms: []token.Algorithm{token.ES256}, Now: at(begin),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), raw); reason(t, err) != token.ReasonWrongUse {
		t.Errorf("%v, want wrong_use", err)
	}
}

func TestPlayerTokensOfOtherIssuers(t *testing.T) {
	sec := begin.Unix()
	kid := rsaThumbprint()
	f := &forger{
		t: t, key: rsaKey(),
		header:  object{"alg": "RS256", "typ": "JWT", "kid": kid},
		payload: object{"iss": playerIssuer, "aud": playerAudience, "sub": "p1", "exp": sec + 3600},
	}
	v := newPlayerVerifier(t, loaded(t, token.RS256, rsaKey()), token.RS256)
	for _, a := range []attack{
		{"least", f.claims(nil), ""},
		{"aud list", f.claims(object{"aud": []string{"other", playerAudience}}), ""},
		{"other claims", f.claims(object{"iat": sec, "nbf": sec, "email": "x@y", "realm": object{"roles": []string{"a"}}}), ""},
		{"fractional times", f.claims(object{"exp": json.Number("1772370000.75"), "iat": json.Number("1772366399.25")}), ""},
		{"exp with exponent", f.claims(object{"exp": json.Number("1.7723700e9")}), ""},
		{"no typ", f.headers(object{"typ": nil}), ""},
		{"access token", f.headers(object{"typ": "at+jwt"}), ""},
		{"x5t", f.headers(object{"x5t": "abc"}), ""},
		{"long life", f.claims(object{"exp": sec + 365*86400}), ""},
		{"just expired, within leeway", f.claims(object{"exp": sec - 29}), ""},

		{"expired", f.claims(object{"exp": sec - 30}), token.ReasonExpired},
		{"no exp", f.claims(object{"exp": nil}), token.ReasonMissingClaim},
		{"text exp", f.claims(object{"exp": "9999999999"}), token.ReasonBadClaim},
		{"future iat", f.claims(object{"iat": sec + 31}), token.ReasonIssuedInFuture},
		{"text iat", f.claims(object{"iat": "now"}), token.ReasonBadClaim},
		{"future nbf", f.claims(object{"nbf": sec + 31}), token.ReasonNotYetValid},
		{"huge nbf", f.claims(object{"nbf": json.Number("1e308")}), token.ReasonBadClaim},
		{"wrong iss", f.claims(object{"iss": playerIssuer + "/"}), token.ReasonWrongIssuer},
		{"no aud", f.claims(object{"aud": nil}), token.ReasonWrongAudience},
		{"empty aud list", f.claims(object{"aud": []string{}}), token.ReasonWrongAudience},
		{"wrong aud", f.claims(object{"aud": []string{"other"}}), token.ReasonWrongAudience},
		{"aud with a number", f.claims(object{"aud": []any{playerAudience, 1}}), token.ReasonWrongAudience},
		{"no sub", f.claims(object{"sub": nil}), token.ReasonMissingClaim},
		{"sub with space", f.claims(object{"sub": "a b"}), token.ReasonBadClaim},
		{"long sub", f.claims(object{"sub": strings.Repeat("a", 129)}), token.ReasonBadClaim},
		{"number sub", f.claims(object{"sub": 1}), token.ReasonBadClaim},
		{"use join", f.claims(object{"use": "join"}), token.ReasonWrongUse},
		{"use Join", f.claims(object{"use": "Join"}), token.ReasonWrongUse},
		{"none", f.headers(object{"alg": "none"}), token.ReasonBadAlgorithm},
		{"ES256 not configured", f.headers(object{"alg": "ES256"}), token.ReasonBadAlgorithm},
		{"EdDSA", f.headers(object{"alg": "EdDSA"}), token.ReasonBadAlgorithm},
		{"HS256 keyed with the kid", f.hmacWith([]byte(kid)), token.ReasonBadAlgorithm},
		{"jku", f.headers(object{"jku": "https://evil.example"}), token.ReasonBadHeader},
		{"x5c", f.headers(object{"x5c": []string{"x"}}), token.ReasonBadHeader},
		{"crit", f.headers(object{"crit": []string{"exp"}}), token.ReasonBadHeader},
		{"secret event token", f.headers(object{"typ": "secevent+jwt"}), token.ReasonBadHeader},
		{"null typ", seal(t, rsaKey(), `{"alg":"RS256","typ":null,"kid":"`+kid+`"}`, f.payload.json(t)), token.ReasonBadHeader},
		{"no kid", f.headers(object{"kid": nil}), token.ReasonBadKeyID},
		{"path in kid", f.headers(object{"kid": "../../etc/passwd"}), token.ReasonUnknownKey},
		{"NUL in kid", f.headers(object{"kid": "a\x00"}), token.ReasonBadKeyID},
		{"sub twice", f.rawPayload(`,"sub":"admin"}`), token.ReasonMalformed},
		{"SUB too", f.rawPayload(`,"SUB":"admin"}`), token.ReasonMalformed},
		{"oversized", f.claims(object{"x": strings.Repeat("x", 8<<10)}), token.ReasonTooLarge},
		{"other key", (&forger{t: t, key: otherRSAKey(), header: f.header, payload: f.payload}).claims(nil), token.ReasonBadSignature},
	} {
		t.Run(a.name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), a.raw)
			if got := reason(t, err); got != a.want {
				t.Errorf("reason %q (%v), want %q", got, err, a.want)
			}
			if (err == nil) != (claims.Subject == "p1") {
				t.Errorf("claims %+v with error %v", claims, err)
			}
		})
	}
}

// TestAlgorithmMustGoWithTheKey: an issuer may use two algorithms, a key only one.
func TestAlgorithmMustGoWithTheKey(t *testing.T) {
	payload := object{"iss": playerIssuer, "aud": playerAudience, "sub": "p1", "exp": begin.Unix() + 3600}
	for alg, key := range signers(t) {
		keys := loaded(t, alg, key)
		other := map[token.Algorithm]token.Algorithm{token.RS256: token.ES256, token.ES256: token.RS256}[alg]
		f := &forger{t: t, key: key, header: object{"alg": alg, "kid": keys.SigningKeyID()}, payload: payload}
		v := newPlayerVerifier(t, keys, token.RS256, token.ES256)
		if _, err := v.Verify(t.Context(), f.claims(nil)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := v.Verify(t.Context(), f.headers(object{"alg": other})); reason(t, err) != token.ReasonBadAlgorithm {
			t.Errorf("%s called %s: %v, want bad_algorithm", alg, other, err)
		}
	}
}
