package backfill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	entry "torikumi/frontend/frontend"
	"torikumi/frontend/signing"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// entrance is a frontend that players search by.
type entrance struct {
	*harness
	url    string
	client *http.Client
	minter *signing.PlayerMinter
}

// entrance starts a frontend that hears no director: it reads what Open Match has
// assigned.
func (h *harness) entrance() *entrance {
	h.Helper()
	dir := h.TempDir()
	for name, text := range map[string]string{"queues.yaml": duel, "duel.json": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			h.Fatal(err)
		}
	}
	keysDir := h.TempDir()
	if _, err := signing.GenerateKey(keysDir, token.ES256, time.Now().Add(-time.Hour)); err != nil {
		h.Fatal(err)
	}
	keys, err := signing.LoadKeys(keysDir, signing.KeyOptions{Algorithm: token.ES256})
	if err != nil {
		h.Fatal(err)
	}
	jwks := httptest.NewServer(signing.JWKSHandler(keys))
	h.Cleanup(jwks.Close)
	minter, err := signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: "https://players.example", Audience: "game"})
	if err != nil {
		h.Fatal(err)
	}
	addrs := launchAll(h.T, entry.Run, func(c *entry.Config) {
		c.Config = service.Config{LogLevel: slog.LevelError, LogFormat: "text", ShutdownTimeout: time.Second}
		c.GRPCListen, c.HTTPListen, c.OpenMatch, c.Directors = "127.0.0.1:0", "127.0.0.1:0", h.openMatch, []string{h.openMatch}
		c.Queues, c.PlayerIssuer, c.PlayerAudience, c.PlayerJWKSURL = filepath.Join(dir, "queues.yaml"), "https://players.example", "game", jwks.URL
		c.KeysDir, c.Issuer, c.Algorithm, c.PlayQueue, c.ReconcileEvery = keysDir, "https://frontend.example", "ES256", "duel", 50*time.Millisecond
	})
	client := &http.Client{Transport: &http.Transport{}}
	h.Cleanup(client.CloseIdleConnections)
	return &entrance{harness: h, url: "http://" + addrs.HTTP, client: client, minter: minter}
}

// shown is a ticket as its players see it.
type shown struct {
	ID, State string
	Server    struct{ MatchID, Team string }
}

func (e *entrance) call(player, method, path, body string) (s shown) {
	e.Helper()
	bearer, err := e.minter.MintPlayer(player, time.Hour, nil)
	if err != nil {
		e.Fatal(err)
	}
	req, err := http.NewRequestWithContext(e.Context(), method, e.url+path, bytes.NewBufferString(body))
	if err != nil {
		e.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := e.client.Do(req)
	if err != nil {
		e.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		e.Fatalf("%s: %s, %v", resp.Status, text, err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		e.Fatal(err)
	}
	return s
}

// seek has a player search as players do.
func (e *entrance) seek(player string) shown {
	e.Helper()
	return e.call(player, http.MethodPost, "/v1/tickets", fmt.Sprintf(`{"queue":"duel","players":[{"id":%q,"attributes":{"skill":{"number":1000}}}]}`, player))
}

// TestLateJoinerForgotten: somebody is found after two directors have read the backfill. One
// assigns them and dies before they are on the roster; the other brings the backfill up
// to date, by which nobody knows of them any more. They are not sent to the match: they
// search on, and play when they have a place.
func TestLateJoinerForgotten(t *testing.T) {
	for _, redis := range []bool{false, true} {
		t.Run(fmt.Sprintf("claims %v", redis), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, time.Minute)
			if redis {
				h.withClaims()
			}
			e := h.entrance()
			h.match("gs", teams("ann", "bob"))
			dies, other := h.director("Acknowledge after"), h.director("")
			if _, err := other.fill(h, "gs", "ann", "bob"); err != nil {
				t.Fatal(err)
			}
			h.search("cid", 1000)
			h.fetch()
			var late shown
			dies.hook = func(method string) {
				if method == "Acknowledge" {
					late = e.seek("late")
					h.fetch()
				}
			}
			other.hook = func(method string) {
				if method == "Update" && late.ID == "" {
					if _, err := dies.fill(h, "gs", "ann", "bob"); status.Code(err) != codes.Unavailable {
						t.Errorf("the director that dies answers %v", err)
					}
				}
			}
			if _, err := other.fill(h, "gs", "ann", "bob"); err != nil {
				t.Fatal(err)
			}
			if late.ID == "" || !dies.dead() {
				t.Fatalf("the schedule was not played: calls %v and %v", other.calls, dies.calls)
			}
			ids(t, h.members("gs"), "ann", "bob", "cid")

			eventually.True(t, "late plays", func() bool {
				got := e.call("late", http.MethodGet, "/v1/tickets/"+late.ID, "")
				if got.State == "ASSIGNED" {
					ids(t, h.members("gs"), "ann", "bob", "cid", "late")
					return true
				}
				if _, err := other.fill(h, "gs", h.members("gs")...); err != nil {
					t.Fatal(err)
				}
				h.fetch()
				return false
			})
		})
	}
}

// crowded is an Open Match whose match function puts all who join into cid's team.
type crowded struct {
	openmatch.FrontendServiceClient
}

func (c crowded) AcknowledgeBackfill(ctx context.Context, r *openmatch.AcknowledgeBackfillRequest, o ...grpc.CallOption) (*openmatch.AcknowledgeBackfillResponse, error) {
	resp, err := c.FrontendServiceClient.AcknowledgeBackfill(ctx, r, o...)
	if err != nil {
		return nil, err
	}
	d := new(torikumiv1.BackfillDetails)
	if err := contract.Get(resp.GetBackfill().GetExtensions(), contract.BackfillExtension, d); err != nil {
		return nil, err
	}
	var all []*torikumiv1.Player
	for _, team := range d.GetTeams() {
		all = append(all, team.GetPlayers()...)
	}
	for _, team := range d.GetTeams() {
		if slices.ContainsFunc(team.GetPlayers(), func(p *torikumiv1.Player) bool { return p.GetId() == "cid" }) {
			d.Teams = []*torikumiv1.BackfillTeam{{Name: team.GetName(), Players: all}}
		}
	}
	return resp, contract.Put(&resp.Backfill.Extensions, contract.BackfillExtension, d)
}

// TestLateJoinerWithoutPlace: who was found after the roster was written, and assigned, and
// for whom there is no place, is told at once to search on.
func TestLateJoinerWithoutPlace(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.frontend = crowded{h.frontend}
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	in := h.search("cid", 1000)
	h.fetch()
	out := ""
	d.hook = func(method string) {
		if method == "Acknowledge" && out == "" {
			out = h.search("late", 1000)
			h.fetch()
		}
	}
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	if server, _ := h.assignedTo(in); server != "games/gs" {
		t.Errorf("cid was sent to %q", server)
	}
	_, details := h.assignedTo(out)
	if details == nil || details.GetGameServer() != "" {
		t.Errorf("late was sent to %v", details)
	}
	ids(t, h.told(), in, out)
}
