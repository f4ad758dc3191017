package playertoken_test

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/frontend/playertoken"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

func TestMistakesInIssuers(t *testing.T) {
	for text, want := range map[string]string{
		`issuers: []`: "issuers: at least one is required",
		`nonsense: 1`: `unknown field "nonsense"`,
		`issuers: [{issuer: "https://a.example", audiense: a}]`:                                                   `unknown field`,
		`issuers: [{audience: a}]`:                                                                                "issuers[0].issuer: required",
		`issuers: [{issuer: "https://a.example"}]`:                                                                "issuers[0].audience: required, or authorized_party",
		`issuers: [{issuer: "https://a.example", audience: a, service_audience: a}]`:                              "issuers[0].service_audience: must not be that of the players",
		`issuers: [{issuer: "http://a.example", audience: a}]`:                                                    "issuers[0].jwks_url: issuer, which has to say where its keys are: ",
		`issuers: [{issuer: "a", audience: a}]`:                                                                   "must be an absolute http or https URL",
		`issuers: [{issuer: "a", audience: a, jwks_url: "http://a.example"}]`:                                     `issuers[0].jwks_url: key set URL "http://a.example": must be https, or http on this machine; allow_http takes plain HTTP too`,
		`issuers: [{issuer: "https://a.example", audience: a, algorithms: [HS256]}]`:                              `issuers[0].algorithms: algorithm "HS256": must be RS256, ES256 or EdDSA`,
		`issuers: [{issuer: "https://a.example", audience: a, algorithms: [none]}]`:                               `issuers[0].algorithms`,
		`issuers: [{issuer: "https://a.example", audience: a, player_prefix: "a b"}]`:                             "issuers[0].player_prefix: must have at most 32 characters",
		`issuers: [{issuer: "https://a.example", audience: a, player_prefix: "` + strings.Repeat("a", 33) + `"}]`: "issuers[0].player_prefix: must have at most 32 characters",
		two("", "b|"):    `issuers[1].player_prefix: must be there, and not begin with that of another issuer: "" and "b|"`,
		two("a", "ab"):   "issuers[1].player_prefix: must be there",
		two("ab|", "ab"): "issuers[1].player_prefix: must be there",
		two("a", "a"):    "issuers[1].player_prefix: must be there",
		`issuers: [{issuer: "https://a.example", audience: a, player_prefix: a}, {issuer: "https://a.example", audience: b, player_prefix: b}]`: "issuers[1].issuer: must be unique",
	} {
		if _, err := playertoken.ParseIssuers([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	all, err := playertoken.ParseIssuers([]byte(two("a|", "b|")))
	if err != nil || len(all) != 2 || len(all[0].Algorithms) != 2 {
		t.Errorf("two: %+v, %v", all, err)
	}
}

func two(a, b string) string {
	return fmt.Sprintf(`issuers: [{issuer: "https://a.example", audience: a, player_prefix: %q}, {issuer: "https://b.example", audience: b, player_prefix: %q}]`, a, b)
}

// provider is an issuer that says where its keys are, and can move them.
type provider struct {
	*httptest.Server
	keys  *tokentest.Issuer
	path  atomic.Value // of the key set
	claim atomic.Value // what it calls itself
	noID  bool
}

func newProvider(t *testing.T, key crypto.Signer) *provider {
	t.Helper()
	p := &provider{keys: tokentest.NewIssuer(key)}
	p.path.Store("/keys")
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/realm/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.claim.Load(), "jwks_uri": p.URL + p.path.Load().(string)})
		case p.path.Load():
			text := string(p.keys.JWKS())
			if p.noID {
				text = strings.Replace(text, `"kid":"`+p.keys.KeyID+`",`, "", 1)
			}
			fmt.Fprint(w, text)
		default:
			http.NotFound(w, r)
		}
	}))
	p.claim.Store(p.name())
	t.Cleanup(p.Close)
	return p
}

func (p *provider) name() string { return p.URL + "/realm" }

// forger makes good tokens of the provider's for audience game.
func (p *provider) forger() *tokentest.Forger {
	f := p.keys.Forge(begin)
	f.Payload = tokentest.Object{"iss": p.name(), "aud": "game", "sub": "p1", "exp": begin.Unix() + 1<<40}
	f.Payload["exp"] = 4102444800 // the verifiers have the real clock
	return f
}

func verifiers(t *testing.T, issuers ...playertoken.Issuer) playertoken.Verifiers {
	t.Helper()
	all := make(playertoken.Verifiers)
	for _, i := range issuers {
		if len(i.Algorithms) == 0 {
			i.Algorithms = []token.Algorithm{token.RS256, token.ES256, token.EdDSA}
		}
		// Its time stands still: the issuer is not asked a second time.
		keys, err := i.Keys(token.RemoteOptions{Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return begin }})
		if err != nil {
			t.Fatal(err)
		}
		if all[i.Issuer], err = i.Verifier(keys); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestSeveralIssuers: each token is checked by the keys of the issuer that it names,
// which says itself where they are, and players of two issuers never meet.
func TestSeveralIssuers(t *testing.T) {
	steam, epic := newProvider(t, tokentest.RSA()), newProvider(t, tokentest.Ed())
	epic.noID = true
	all := verifiers(t,
		playertoken.Issuer{Issuer: steam.name(), Audience: "game", PlayerPrefix: "steam|"},
		playertoken.Issuer{Issuer: epic.name(), AuthorizedParty: "client", PlayerPrefix: "epic|"})
	ours := epic.forger()
	ours.Header = tokentest.Object{"alg": "EdDSA", "typ": "JWT"} // names no key
	ours.Payload = ours.Payload.With(tokentest.Object{"azp": "client", "aud": nil})
	stolen := steam.forger()
	stolen.Payload = stolen.Payload.With(tokentest.Object{"iss": epic.name(), "azp": "client"})
	strange := tokentest.NewIssuer(tokentest.Ed()).Forge(begin)
	strange.Header, strange.Payload = ours.Header, ours.Payload
	for name, c := range map[string]struct {
		raw, player string
		refused     token.Reason
	}{
		"one":                   {steam.forger().Claims(nil), "steam|p1", ""},
		"the other":             {ours.Claims(nil), "epic|p1", ""},
		"of nobody":             {steam.forger().Claims(tokentest.Object{"iss": "https://evil.example"}), "", token.ReasonWrongIssuer},
		"without issuer":        {steam.forger().Claims(tokentest.Object{"iss": nil}), "", token.ReasonWrongIssuer},
		"of the other, by name": {stolen.Claims(nil), "", token.ReasonUnknownKey},
		"another party":         {ours.Claims(tokentest.Object{"azp": "other"}), "", token.ReasonWrongAudience},
		"no party":              {ours.Claims(tokentest.Object{"azp": nil}), "", token.ReasonWrongAudience},
		"a list of parties":     {ours.Claims(tokentest.Object{"azp": []string{"client"}}), "", token.ReasonWrongAudience},
		"no key named, another": {strange.Claims(nil), "", token.ReasonUnknownKey},
		"an empty key id":       {ours.Headers(tokentest.Object{"kid": ""}), "", token.ReasonBadKeyID},
		"a thumbprint as id":    {ours.Headers(tokentest.Object{"kid": "#" + epic.keys.KeyID}), "", token.ReasonBadKeyID},
		"no player":             {steam.forger().Claims(tokentest.Object{"sub": ""}), "", token.ReasonBadClaim},
		"too long with prefix":  {steam.forger().Claims(tokentest.Object{"sub": strings.Repeat("a", 123)}), "", token.ReasonBadClaim},
		"rubbish":               {"x.y.z", "", token.ReasonMalformed},
	} {
		got, err := all.Verify(t.Context(), c.raw)
		if tokentest.Reason(t, err) != c.refused || got.Subject != c.player {
			t.Errorf("%s: %q, %v; want %q, %s", name, got.Subject, err, c.player, c.refused)
		}
	}
}

// TestDiscovery: an issuer may move its keys, and none is taken for another.
func TestDiscovery(t *testing.T) {
	p := newProvider(t, tokentest.EC())
	issuer := playertoken.Issuer{Issuer: p.name(), Audience: "game", Algorithms: []token.Algorithm{token.ES256}}
	keys, err := issuer.Keys(token.RemoteOptions{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	p.claim.Store("https://other.example")
	if err := keys.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "another issuer's") {
		t.Errorf("a document of another: %v", err)
	}
	p.claim.Store(p.name())
	refresh := func() {
		t.Helper()
		if err := keys.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	refresh()
	p.path.Store("/moved")
	if err := keys.Refresh(t.Context()); err == nil {
		t.Error("keys were fetched from where they are no more")
	}
	if _, err := keys.Key(t.Context(), p.keys.KeyID); err != nil {
		t.Errorf("the last good keys: %v", err)
	}
	refresh()
	p.path.Store("/sent/to\nrubbish")
	_ = keys.Refresh(t.Context()) // the first finds that they are gone
	if err := keys.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "jwks_uri") {
		t.Errorf("an address that is none: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := keys.Refresh(ctx); err == nil {
		t.Error("no error after the caller has gone")
	}
}

// TestRotationWithoutKeyIDs: a token that names no key is checked by keys that are
// newer than the last fetch too, and is refused for good by no set that is older.
func TestRotationWithoutKeyIDs(t *testing.T) {
	p := newProvider(t, tokentest.EC())
	p.noID = true
	issuer := playertoken.Issuer{Issuer: p.name(), Audience: "game", Algorithms: []token.Algorithm{token.ES256}}
	now := begin
	keys, err := issuer.Keys(token.RemoteOptions{Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := issuer.Verifier(keys)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(f *tokentest.Forger, want token.Reason) {
		t.Helper()
		_, err := v.Verify(t.Context(), f.Headers(tokentest.Object{"kid": nil}))
		if tokentest.Reason(t, err) != want || errors.Is(err, token.ErrKeyNotAsked) != (want == token.ReasonUnknownKey) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	verify(p.forger(), "")
	p.keys = tokentest.NewIssuer(tokentest.EC())
	verify(p.forger(), "")
	p.keys = tokentest.NewIssuer(tokentest.EC())
	verify(p.forger(), token.ReasonUnknownKey)
	now = now.Add(token.UnknownKeyInterval)
	verify(p.forger(), "")
	strange := tokentest.NewIssuer(tokentest.EC()).Forge(begin)
	strange.Payload = p.forger().Payload
	verify(strange, token.ReasonUnknownKey)
	now = now.Add(token.UnknownKeyInterval)
	verify(strange, token.ReasonBadSignature)
}
