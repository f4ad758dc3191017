package playertoken_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"torikumi/frontend/playertoken"
	"torikumi/frontend/signing"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

const (
	playerIssuer   = "https://id.example"
	playerAudience = "torikumi"
)

var (
	want  = token.Expectation{Audience: tokentest.Server, MatchID: tokentest.Match}
	begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

func newGateVerifier(t testing.TB, keys token.KeySource, alg token.Algorithm) *token.Verifier {
	t.Helper()
	v, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: alg, Issuer: tokentest.Frontend, Now: at(begin)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newPlayerVerifier(t testing.TB, keys token.KeySource, algorithms ...token.Algorithm) *playertoken.Verifier {
	t.Helper()
	v, err := playertoken.NewVerifier(playertoken.Options{
		Keys: keys, Issuer: playerIssuer, Audience: playerAudience, Algorithms: algorithms, Now: at(begin),
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMintedPlayerToken(t *testing.T) {
	for _, alg := range []token.Algorithm{token.RS256, token.ES256} {
		dir := t.TempDir()
		if _, err := signing.GenerateKey(dir, alg, begin); err != nil {
			t.Fatal(err)
		}
		keys, err := signing.LoadKeys(dir, signing.KeyOptions{Algorithm: alg})
		if err != nil {
			t.Fatal(err)
		}
		m, err := signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: playerIssuer, Audience: playerAudience, Now: at(begin)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := m.MintPlayer("auth0|a:b@c.d-e_f", time.Hour, map[string]any{"clan": "owls"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := newPlayerVerifier(t, keys, token.RS256, token.ES256).Verify(t.Context(), raw)
		if err != nil || got.Subject != "auth0|a:b@c.d-e_f" || !got.Expiry.Equal(begin.Add(time.Hour)) || got.Service || got.All.Text("clan") != "owls" {
			t.Errorf("%s: %+v, %v", alg, got, err)
		}
		// A player token must not open a game server.
		_, err = newGateVerifier(t, keys, alg).Verify(t.Context(), raw, want)
		if tokentest.Reason(t, err) != token.ReasonWrongIssuer {
			t.Errorf("%s: at a gate: %v", alg, err)
		}
		for _, sub := range []string{"", "a b", "a\n", strings.Repeat("x", 129)} {
			if _, err := m.MintPlayer(sub, time.Hour, nil); err == nil {
				t.Errorf("sub %q: no error", sub)
			}
		}
		for _, lifetime := range []time.Duration{0, -time.Hour, time.Millisecond} {
			if _, err := m.MintPlayer("a", lifetime, nil); err == nil {
				t.Errorf("lifetime %v: no error", lifetime)
			}
		}
	}
}

// TestJoinToken, not even with the frontend's own issuer, key and
// audience.
func TestJoinToken(t *testing.T) {
	keys := tokentest.NewIssuer(tokentest.EC())
	raw := keys.Forge(begin).Claims(nil)
	v, err := playertoken.NewVerifier(playertoken.Options{
		Keys: keys, Issuer: tokentest.Frontend, Audience: tokentest.Server, Algorithms: []token.Algorithm{token.ES256}, Now: at(begin),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), raw); tokentest.Reason(t, err) != token.ReasonWrongUse {
		t.Errorf("%v, want wrong_use", err)
	}
}

func TestOtherIssuers(t *testing.T) {
	sec := begin.Unix()
	keys := tokentest.NewIssuer(tokentest.RSA())
	kid := keys.KeyID
	f := &tokentest.Forger{
		Key:     tokentest.RSA(),
		Header:  tokentest.Object{"alg": "RS256", "typ": "JWT", "kid": kid},
		Payload: tokentest.Object{"iss": playerIssuer, "aud": playerAudience, "sub": "p1", "exp": sec + 3600},
	}
	v := newPlayerVerifier(t, keys, token.RS256)
	for _, a := range []struct {
		name, raw string
		want      token.Reason
	}{
		{"least", f.Claims(nil), ""},
		{"aud list", f.Claims(tokentest.Object{"aud": []string{"other", playerAudience}}), ""},
		{"other claims", f.Claims(tokentest.Object{"iat": sec, "nbf": sec, "email": "x@y", "realm": tokentest.Object{"roles": []string{"a"}}}), ""},
		{"fractional times", f.Claims(tokentest.Object{"exp": json.Number("1772370000.75"), "iat": json.Number("1772366399.25")}), ""},
		{"exp with exponent", f.Claims(tokentest.Object{"exp": json.Number("1.7723700e9")}), ""},
		{"no typ", f.Headers(tokentest.Object{"typ": nil}), ""},
		{"access token", f.Headers(tokentest.Object{"typ": "at+jwt"}), ""},
		{"x5t", f.Headers(tokentest.Object{"x5t": "abc"}), ""},
		{"long life", f.Claims(tokentest.Object{"exp": sec + 365*86400}), ""},
		{"just expired, within leeway", f.Claims(tokentest.Object{"exp": sec - 29}), ""},

		{"expired", f.Claims(tokentest.Object{"exp": sec - 30}), token.ReasonExpired},
		{"no exp", f.Claims(tokentest.Object{"exp": nil}), token.ReasonMissingClaim},
		{"text exp", f.Claims(tokentest.Object{"exp": "9999999999"}), token.ReasonBadClaim},
		{"future iat", f.Claims(tokentest.Object{"iat": sec + 31}), token.ReasonIssuedInFuture},
		{"text iat", f.Claims(tokentest.Object{"iat": "now"}), token.ReasonBadClaim},
		{"future nbf", f.Claims(tokentest.Object{"nbf": sec + 31}), token.ReasonNotYetValid},
		{"huge nbf", f.Claims(tokentest.Object{"nbf": json.Number("1e308")}), token.ReasonBadClaim},
		{"wrong iss", f.Claims(tokentest.Object{"iss": playerIssuer + "/"}), token.ReasonWrongIssuer},
		{"no aud", f.Claims(tokentest.Object{"aud": nil}), token.ReasonWrongAudience},
		{"empty aud list", f.Claims(tokentest.Object{"aud": []string{}}), token.ReasonWrongAudience},
		{"wrong aud", f.Claims(tokentest.Object{"aud": []string{"other"}}), token.ReasonWrongAudience},
		{"aud with a number", f.Claims(tokentest.Object{"aud": []any{playerAudience, 1}}), token.ReasonWrongAudience},
		{"no sub", f.Claims(tokentest.Object{"sub": nil}), token.ReasonMissingClaim},
		{"sub with space", f.Claims(tokentest.Object{"sub": "a b"}), token.ReasonBadClaim},
		{"long sub", f.Claims(tokentest.Object{"sub": strings.Repeat("a", 129)}), token.ReasonBadClaim},
		{"number sub", f.Claims(tokentest.Object{"sub": 1}), token.ReasonBadClaim},
		{"use join", f.Claims(tokentest.Object{"use": "join"}), token.ReasonWrongUse},
		{"use Join", f.Claims(tokentest.Object{"use": "Join"}), token.ReasonWrongUse},
		{"none", f.Headers(tokentest.Object{"alg": "none"}), token.ReasonBadAlgorithm},
		{"ES256 not configured", f.Headers(tokentest.Object{"alg": "ES256"}), token.ReasonBadAlgorithm},
		{"EdDSA", f.Headers(tokentest.Object{"alg": "EdDSA"}), token.ReasonBadAlgorithm},
		{"HS256 keyed with the kid", f.HMAC([]byte(kid)), token.ReasonBadAlgorithm},
		{"jku", f.Headers(tokentest.Object{"jku": "https://evil.example"}), token.ReasonBadHeader},
		{"x5c", f.Headers(tokentest.Object{"x5c": []string{"x"}}), token.ReasonBadHeader},
		{"crit", f.Headers(tokentest.Object{"crit": []string{"exp"}}), token.ReasonBadHeader},
		{"secret event token", f.Headers(tokentest.Object{"typ": "secevent+jwt"}), token.ReasonBadHeader},
		{"null typ", tokentest.Seal(tokentest.RSA(), `{"alg":"RS256","typ":null,"kid":"`+kid+`"}`, f.Payload.JSON()), token.ReasonBadHeader},
		{"no kid", f.Headers(tokentest.Object{"kid": nil}), token.ReasonBadKeyID},
		{"path in kid", f.Headers(tokentest.Object{"kid": "../../etc/passwd"}), token.ReasonUnknownKey},
		{"NUL in kid", f.Headers(tokentest.Object{"kid": "a\x00"}), token.ReasonBadKeyID},
		{"sub twice", f.RawPayload(`,"sub":"admin"}`), token.ReasonMalformed},
		{"SUB too", f.RawPayload(`,"SUB":"admin"}`), token.ReasonMalformed},
		{"oversized", f.Claims(tokentest.Object{"x": strings.Repeat("x", 8<<10)}), token.ReasonTooLarge},
		{"other key", (&tokentest.Forger{Key: tokentest.OtherRSA(), Header: f.Header, Payload: f.Payload}).Claims(nil), token.ReasonBadSignature},
	} {
		t.Run(a.name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), a.raw)
			if got := tokentest.Reason(t, err); got != a.want {
				t.Errorf("reason %q (%v), want %q", got, err, a.want)
			}
			if (err == nil) != (claims.Subject == "p1") {
				t.Errorf("claims %+v with error %v", claims, err)
			}
		})
	}
}

// TestAlgorithmOfKey: an issuer may use two algorithms, a key only one.
func TestAlgorithmOfKey(t *testing.T) {
	payload := tokentest.Object{"iss": playerIssuer, "aud": playerAudience, "sub": "p1", "exp": begin.Unix() + 3600}
	for _, keys := range []*tokentest.Issuer{tokentest.NewIssuer(tokentest.RSA()), tokentest.NewIssuer(tokentest.EC())} {
		alg := keys.Algorithm()
		other := map[token.Algorithm]token.Algorithm{token.RS256: token.ES256, token.ES256: token.RS256}[alg]
		f := &tokentest.Forger{Key: keys.Private, Header: tokentest.Object{"alg": alg, "kid": keys.KeyID}, Payload: payload}
		v := newPlayerVerifier(t, keys, token.RS256, token.ES256)
		if _, err := v.Verify(t.Context(), f.Claims(nil)); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		if _, err := v.Verify(t.Context(), f.Headers(tokentest.Object{"alg": other})); tokentest.Reason(t, err) != token.ReasonBadAlgorithm {
			t.Errorf("%s called %s: %v, want bad_algorithm", alg, other, err)
		}
	}
}

// TestServiceTokens: a backend's token is known by its audience, and one that is a
// player's too is neither.
func TestServiceTokens(t *testing.T) {
	key := tokentest.EC()
	keys := tokentest.NewIssuer(key)
	f := &tokentest.Forger{
		Key:     key,
		Header:  tokentest.Object{"alg": "ES256", "typ": "JWT", "kid": keys.KeyID},
		Payload: tokentest.Object{"iss": playerIssuer, "sub": "p1", "exp": begin.Unix() + 3600},
	}
	for _, configured := range []string{"", "backends"} {
		v, err := playertoken.NewVerifier(playertoken.Options{
			Keys: keys, Issuer: playerIssuer, Audience: playerAudience, ServiceAudience: configured, Algorithms: []token.Algorithm{token.ES256}, Now: at(begin),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			aud     any
			service bool
			refused bool
		}{
			{playerAudience, false, false},
			{"backends", true, configured == ""},
			{[]string{"other", "backends"}, true, configured == ""},
			{[]string{playerAudience, "backends"}, false, configured != ""},
			{"", false, true},
			{[]string{}, false, true},
		} {
			claims, err := v.Verify(t.Context(), f.Claims(tokentest.Object{"aud": c.aud}))
			if (err != nil) != c.refused || err == nil && claims.Service != c.service {
				t.Errorf("audience of services %q, aud %v: service %v, %v", configured, c.aud, claims.Service, err)
			}
			if c.refused && tokentest.Reason(t, err) != token.ReasonWrongAudience {
				t.Errorf("%v: %v", c.aud, err)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	keys := tokentest.NewIssuer(tokentest.EC())
	es := []token.Algorithm{token.ES256}
	for name, o := range map[string]playertoken.Options{
		"keys":       {Issuer: "i", Audience: "a", Algorithms: es},
		"issuer":     {Keys: keys, Audience: "a", Algorithms: es},
		"audience":   {Keys: keys, Issuer: "i", Algorithms: es},
		"algorithms": {Keys: keys, Issuer: "i", Audience: "a"},
		"services":   {Keys: keys, Issuer: "i", Audience: "a", ServiceAudience: "a", Algorithms: es},
		"HS256":      {Keys: keys, Issuer: "i", Audience: "a", Algorithms: []token.Algorithm{"HS256"}},
	} {
		if _, err := playertoken.NewVerifier(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzSignedPayload gives the parser what only a holder of the key could: no
// payload makes it panic, and an admitted one says what its claims say.
func FuzzSignedPayload(f *testing.F) {
	keys := tokentest.NewIssuer(tokentest.EC())
	v := newGateVerifier(f, keys, token.ES256)
	p, err := playertoken.NewVerifier(playertoken.Options{
		Keys: keys, Issuer: tokentest.Frontend, Audience: tokentest.Server, Algorithms: []token.Algorithm{token.ES256}, Now: at(begin),
	})
	if err != nil {
		f.Fatal(err)
	}
	forger := keys.Forge(begin)
	header, good := forger.Header.JSON(), forger.Payload
	for _, changes := range []tokentest.Object{nil, {"exp": nil}, {"aud": []string{tokentest.Server}, "use": nil}, {"iat": 1e308}, {"x": []any{tokentest.Object{"a": nil}}}} {
		f.Add(good.With(changes).JSON())
	}
	f.Fuzz(func(t *testing.T, payload string) {
		raw := tokentest.Seal(keys.Private, header, payload)
		claims, err := v.Verify(t.Context(), raw, want)
		if err == nil {
			life := claims.Expiry.Sub(claims.IssuedAt)
			if claims.Audience != tokentest.Server || claims.MatchID != tokentest.Match || claims.Issuer != tokentest.Frontend || len(claims.ID) != 22 ||
				life < 0 || life > token.MaxLifetime || claims.Expiry.Before(begin.Add(-time.Minute)) {
				t.Errorf("admitted %q as %+v", payload, claims)
			}
		}
		if _, playerErr := p.Verify(t.Context(), raw); err == nil && playerErr == nil {
			t.Errorf("both a join token and a player token: %q", payload)
		}
	})
}
