package frontend_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"torikumi/frontend/signing"
)

// TestPlayersOfTwoIssuers: they are told apart, whatever their issuers call them.
func TestPlayersOfTwoIssuers(t *testing.T) {
	keys := makeKeys(t, t.TempDir())
	other := httptest.NewServer(signing.JWKSHandler(keys))
	defer other.Close()
	s := start(t, func(c *settings) {
		file := filepath.Join(t.TempDir(), "issuers.yaml")
		text := fmt.Sprintf(`issuers:
- {issuer: %q, audience: game, service_audience: backends, jwks_url: %q, player_prefix: "a|"}
- {issuer: "https://other.example", audience: game, jwks_url: %q, player_prefix: "b|"}
`, playersURL, c.PlayerJWKSURL, other.URL)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.PlayerIssuers, c.PlayerIssuer, c.PlayerAudience, c.PlayerJWKSURL, c.ServiceAudience = file, "", "", "", ""
	})
	minter, err := signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: "https://other.example", Audience: "game"})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := minter.MintPlayer("alice", time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	made := s.create("alice")
	if made.Players[0].ID != "a|alice" {
		t.Errorf("the one alice: %+v", made)
	}
	if r := s.send(t.Context(), raw, "GET", "/v1/tickets/"+made.ID, http.NoBody); r.code != http.StatusNotFound {
		t.Errorf("the other alice reads her ticket: %d %s", r.code, r.body)
	}
	if got := s.backend("GET", "/v1/tickets/"+made.ID, "").ticket(t); got.ID != made.ID {
		t.Errorf("a backend: %+v", got)
	}
}
