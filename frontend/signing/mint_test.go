package signing_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

func signers() map[token.Algorithm]crypto.Signer {
	return map[token.Algorithm]crypto.Signer{token.RS256: tokentest.RSA(), token.ES256: tokentest.EC()}
}

func TestMint(t *testing.T) {
	for alg, key := range signers() {
		t.Run(string(alg), func(t *testing.T) {
			now := begin.Add(700 * time.Millisecond)
			keys := loaded(t, alg, key)
			raw, minted, err := newMinter(t, keys, at(now)).Mint(request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := newVerifier(t, keys, alg, at(now)).Verify(t.Context(), raw, want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(minted, got); diff != "" {
				t.Errorf("verified claims differ from the minted ones (-minted +verified):\n%s", diff)
			}
			expected := token.JoinClaims{
				Issuer: issuer, Audience: audience, Subject: "player@one", ID: got.ID, MatchID: match, Team: "red",
				IssuedAt: begin, NotBefore: begin.Add(-30 * time.Second), Expiry: begin.Add(120 * time.Second),
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

// TestWireFormat pins what other implementations (Unreal's plugin) rely on.
func TestWireFormat(t *testing.T) {
	keys := loaded(t, token.RS256, tokentest.RSA())
	raw, claims, err := newMinter(t, keys, at(begin)).Mint(request)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(raw, ".")
	header, payload := decode(t, parts[0]), decode(t, parts[1])
	wantHeader := map[string]any{"alg": "RS256", "typ": "JWT", "kid": rsaThumbprint()}
	if diff := cmp.Diff(wantHeader, header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	wantPayload := map[string]any{
		"iss": issuer, "aud": audience, "sub": "player@one", "jti": claims.ID, "use": "join", "mid": match, "team": "red",
		"iat": float64(begin.Unix()), "nbf": float64(begin.Unix() - 30), "exp": float64(begin.Unix() + 120),
	}
	if diff := cmp.Diff(wantPayload, payload); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if id, err := base64.RawURLEncoding.DecodeString(claims.ID); err != nil || len(id) != 16 {
		t.Errorf("jti %q is not 128 bits", claims.ID)
	}
}

// rsaThumbprint computes RFC 7638 by hand.
func rsaThumbprint() string {
	sum := sha256.Sum256([]byte(`{"e":"AQAB","kty":"RSA","n":"` + tokentest.B64(tokentest.RSA().N.Bytes()) + `"}`))
	return tokentest.B64(sum[:])
}

func decode(t *testing.T, part string) map[string]any {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMintIDsDiffer(t *testing.T) {
	m := newMinter(t, loaded(t, token.ES256, tokentest.EC()), at(begin))
	seen := map[string]bool{}
	for range 100 {
		_, claims, err := m.Mint(request)
		if err != nil {
			t.Fatal(err)
		}
		if seen[claims.ID] {
			t.Fatalf("jti %q twice", claims.ID)
		}
		seen[claims.ID] = true
	}
}

func TestMintWithoutRandomness(t *testing.T) {
	broken := errors.New("no entropy")
	m, err := signing.NewMinter(signing.MinterOptions{
		Keys: loaded(t, token.ES256, tokentest.EC()), Issuer: issuer, Rand: iotest.ErrReader(broken),
	})
	if err != nil {
		t.Fatal(err)
	}
	if raw, _, err := m.Mint(request); !errors.Is(err, broken) || raw != "" {
		t.Errorf("Mint = %q, %v; want the reader's error", raw, err)
	}
}

func TestMintUsesRand(t *testing.T) {
	m, err := signing.NewMinter(signing.MinterOptions{
		Keys: loaded(t, token.ES256, tokentest.EC()), Issuer: issuer, Rand: bytes.NewReader(make([]byte, 16)),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, claims, err := m.Mint(request)
	if err != nil || claims.ID != strings.Repeat("A", 22) {
		t.Errorf("Mint = id %q, %v", claims.ID, err)
	}
}

func TestMintRequests(t *testing.T) {
	m := newMinter(t, loaded(t, token.ES256, tokentest.EC()), at(begin))
	tests := map[string]struct {
		field string
		set   func(*signing.MintRequest)
	}{
		"no player":             {"player", func(r *signing.MintRequest) { r.Player = "" }},
		"player with space":     {"player", func(r *signing.MintRequest) { r.Player = "a b" }},
		"player not ASCII":      {"player", func(r *signing.MintRequest) { r.Player = "é" }},
		"player too long":       {"player", func(r *signing.MintRequest) { r.Player = strings.Repeat("x", 129) }},
		"no namespace":          {"namespace", func(r *signing.MintRequest) { r.Namespace = "" }},
		"namespace with slash":  {"namespace", func(r *signing.MintRequest) { r.Namespace = "a/b" }},
		"namespace with dot":    {"namespace", func(r *signing.MintRequest) { r.Namespace = "a.b" }},
		"upper-case namespace":  {"namespace", func(r *signing.MintRequest) { r.Namespace = "Games" }},
		"no game server":        {"game server", func(r *signing.MintRequest) { r.GameServer = "" }},
		"game server with dash": {"game server", func(r *signing.MintRequest) { r.GameServer = "arena-" }},
		"no match":              {"match id", func(r *signing.MintRequest) { r.MatchID = "" }},
		"match with colon":      {"match id", func(r *signing.MintRequest) { r.MatchID = "a:b" }},
		"match too long":        {"match id", func(r *signing.MintRequest) { r.MatchID = strings.Repeat("x", 64) }},
		"match ends in dot":     {"match id", func(r *signing.MintRequest) { r.MatchID = "x." }},
		"team with newline":     {"team", func(r *signing.MintRequest) { r.Team = "red\n" }},
		"team too long":         {"team", func(r *signing.MintRequest) { r.Team = strings.Repeat("x", 65) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req := request
			test.set(&req)
			if _, _, err := m.Mint(req); err == nil || !strings.HasPrefix(err.Error(), test.field+":") {
				t.Errorf("Mint: %v; want an error about %q", err, test.field)
			}
		})
	}
	noTeam := request
	noTeam.Team = ""
	if _, _, err := m.Mint(noTeam); err != nil {
		t.Errorf("Mint without a team: %v", err)
	}
}

func TestMinterOptions(t *testing.T) {
	keys := loaded(t, token.ES256, tokentest.EC())
	minter := func(o signing.MinterOptions) error { _, err := signing.NewMinter(o); return err }
	playerMinter := func(o signing.PlayerMinterOptions) error { _, err := signing.NewPlayerMinter(o); return err }
	for name, err := range map[string]error{
		"mint keys":         minter(signing.MinterOptions{Issuer: issuer}),
		"mint issuer":       minter(signing.MinterOptions{Keys: keys}),
		"mint long":         minter(signing.MinterOptions{Keys: keys, Issuer: issuer, Lifetime: token.MaxLifetime + time.Second}),
		"mint short":        minter(signing.MinterOptions{Keys: keys, Issuer: issuer, Lifetime: time.Millisecond}),
		"mint negative":     minter(signing.MinterOptions{Keys: keys, Issuer: issuer, Lifetime: -time.Second}),
		"mint fraction":     minter(signing.MinterOptions{Keys: keys, Issuer: issuer, Lifetime: 1500 * time.Millisecond}),
		"playermint keys":   playerMinter(signing.PlayerMinterOptions{Issuer: issuer, Audience: "a"}),
		"playermint issuer": playerMinter(signing.PlayerMinterOptions{Keys: keys, Audience: "a"}),
		"playermint no aud": playerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: issuer}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkMint(b *testing.B) {
	for alg, key := range signers() {
		m := newMinter(b, loaded(b, alg, key), nil)
		b.Run(string(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := m.Mint(request); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
