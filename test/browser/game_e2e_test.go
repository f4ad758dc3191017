//go:build e2e

package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"torikumi/pkg/eventually"
)

// TestGame: two tabs play the example game over WebSocket, through the gate, with
// intruders, reloads and a lost server.
func TestGame(t *testing.T) {
	origin := serve(t)
	at := startUp(t, origin, "--port-protocol=TCP", "--game-server="+build(t, "game", "../../gameserver/examples/go"))
	browser := startBrowser(t)
	open := func(player string) *gamePage {
		query := url.Values{"frontend": {"http://" + at.frontend}, "issuer": {at.issuer}, "player": {player}}
		return &gamePage{page: openPage(t, browser, origin+"/example/game.html?"+query.Encode(), "play")}
	}

	alice, bob := open("alice"), open("bob")
	sockets := alice.sockets()
	alice.click("play")
	bob.click("play")
	alice.until("PLAYING")
	bob.until("PLAYING")
	server := strings.TrimPrefix(alice.text("gameserver"), "Game server ")

	// Each sees the other move.
	alice.sees("bob", bob.place("bob"))
	from := alice.place("alice")
	alice.press("ArrowRight")
	bob.sees("alice", field{from.X + 1, from.Y})
	from = bob.place("bob")
	bob.press("ArrowLeft")
	alice.sees("bob", field{from.X - 1, from.Y})
	alice.screenshot("game.png")

	// The token is in no address.
	if got := sockets(); len(got) != 1 || got[0] != "ws://"+server+"/" {
		t.Errorf("the page opens %q", got)
	}

	// Whoever forges a token is refused, and the players notice nothing.
	a := api{t, at}
	forged := forge(t, a.joinToken("alice"))
	eve := open("eve")
	for token, want := range map[string]string{forged: "bad_signature", "rubbish": "malformed", "": "malformed"} {
		if got := eve.join(server, token); got != want {
			t.Errorf("a token of %d bytes: %q, want %q", len(token), got, want)
		}
	}

	// After a reload a player goes on at once, where they were.
	from = alice.place("alice")
	alice.do("reload", chromedp.Reload())
	alice.until("PLAYING")
	if got := alice.text("reason"); got != "Welcome back." {
		t.Errorf("after a reload the page says %q", got)
	}
	alice.sees("alice", from)
	bob.sees("alice", from)

	// Another tab of the same player replaces the first, and a token is good once.
	token := a.joinToken("bob")
	if got := eve.join(server, token); got != "as bob" {
		t.Errorf("another tab of bob plays as %q", got)
	}
	bob.until("OVER")
	if got := bob.text("reason"); got != "replaced" {
		t.Errorf("the first tab says %q", got)
	}
	if got := eve.join(server, token); got != "replayed" {
		t.Errorf("the same token again: %q", got)
	}
	bob.click("play") // the match runs still: no new one is searched for
	bob.until("PLAYING")
	if got := bob.text("gameserver"); got != "Game server "+server {
		t.Errorf("bob plays on at %q", got)
	}

	// When both have gone the server ends: one leaves, the other closes the tab.
	bob.click("leave")
	bob.until("OVER")
	if got := bob.text("state"); got != "You have left." {
		t.Errorf("the page says %q", got)
	}
	alice.close()
	eventually.NoError(t, "the server ends", func() error {
		conn, err := net.Dial("tcp", server)
		if err != nil {
			return nil
		}
		return errors.Join(errors.New("it listens"), conn.Close())
	})
	bob.click("play") // a new match is another one
	bob.until("SEARCHING")
	bob.click("leave")
}

type field struct{ X, Y int }

// gamePage is a tab with the game.
type gamePage struct{ *page }

// sockets notes to where the tab opens WebSockets.
func (p *gamePage) sockets() (opened func() []string) {
	p.t.Helper()
	var mu sync.Mutex
	var all []string
	err := chromedp.Listen(p.ctx, func(ev any) {
		if e, ok := ev.(*network.EventWebSocketCreated); ok && !strings.Contains(e.URL, "/v1/tickets/") {
			mu.Lock()
			defer mu.Unlock()
			all = append(all, e.URL)
		}
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return func() []string { mu.Lock(); defer mu.Unlock(); return all }
}

func (p *gamePage) press(key string) {
	p.t.Helper()
	p.do("press "+key, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.dispatchEvent(new KeyboardEvent('keydown', {key: %q}))", key)))
}

// place is where the tab shows a player.
func (p *gamePage) place(player string) field {
	p.t.Helper()
	var at field
	eventually.NoError(p.t, "the page shows "+player, func() error {
		script := fmt.Sprintf("(d => d === undefined ? null : {X: +d.x, Y: +d.y})(document.querySelector('[data-player=%s]')?.dataset)", player)
		got, err := chromedp.Run(p.ctx, chromedp.Evaluate[*field](script))
		if err == nil && got == nil {
			err = errors.New("it is not there")
		}
		if err == nil {
			at = *got
		}
		return err
	})
	return at
}

// sees waits until the tab shows a player on a field.
func (p *gamePage) sees(player string, at field) {
	p.t.Helper()
	eventually.NoError(p.t, "the page shows "+player+" there", func() error {
		if got := p.place(player); got != at {
			return fmt.Errorf("%s is at %v, not at %v", player, got, at)
		}
		return nil
	})
}

// join comes to a server with a token, and returns as whom it comes in, or why it does not.
func (p *gamePage) join(server, token string) string {
	p.t.Helper()
	script := fmt.Sprintf(`import("/dist/example/connection.js").then(({ Connection }) => new Promise((resolve) => {
		const connection = new Connection(%q, %q, { onWelcome: (w) => resolve("as " + w.player) });
		connection.ended.then((end) => resolve(end.reason));
	}))`, server, token)
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("join: %v", err)
	}
	return got
}

// api is the player API.
type api struct {
	t  *testing.T
	at addresses
}

func (a api) call(method, url, bearer string, in, out any) {
	a.t.Helper()
	var body io.Reader = http.NoBody
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			a.t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, body)
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil || resp.StatusCode != http.StatusOK {
		a.t.Fatalf("%s %s: %s, %v", method, url, resp.Status, err)
	}
}

func (a api) signIn(player string) string {
	a.t.Helper()
	var got struct{ Token string }
	a.call(http.MethodPost, a.at.issuer+"/v1/player-tokens", "", map[string]string{"player": player}, &got)
	return got.Token
}

// joinToken makes a token for the match that a player is in.
func (a api) joinToken(player string) string {
	a.t.Helper()
	bearer, tickets := a.signIn(player), "http://"+a.at.frontend+"/v1/tickets"
	var all struct{ Tickets []struct{ ID string } }
	a.call(http.MethodGet, tickets, bearer, nil, &all)
	if len(all.Tickets) != 1 {
		a.t.Fatalf("%s has %d tickets", player, len(all.Tickets))
	}
	var got struct{ JWT string }
	a.call(http.MethodPost, tickets+"/"+all.Tickets[0].ID+"/join-token", bearer, struct{}{}, &got)
	return got.JWT
}

// forge makes a token with the claims and the header of another, and a signature that is not
// of them.
func forge(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	other := byte('A')
	if parts[2][0] == other {
		other = 'B'
	}
	return parts[0] + "." + parts[1] + "." + string(other) + parts[2][1:]
}
