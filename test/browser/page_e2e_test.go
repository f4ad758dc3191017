//go:build e2e

package browser

import (
	"context"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"torikumi/gameserver/client"
	"torikumi/pkg/proxytest"
)

// site is the folder of the client in TypeScript.
const site = "../../clients/typescript"

// TestPage: two players find a match on a page of another origin, one by server-sent
// events and one by WebSocket, whatever becomes of their connections. What the page
// shows lets them into the game server.
func TestPage(t *testing.T) {
	named, stranger := serve(t), serve(t)
	at := startUp(t, named)
	resumed, recorder := record(t, at.frontend)
	proxy := proxytest.New(t, "127.0.0.1:0", recorder)
	browser := startBrowser(t)
	open := func(origin, player, transport string) *page {
		query := url.Values{"frontend": {"http://" + proxy.Addr}, "issuer": {at.issuer}, "player": {player}, "transport": {transport}}
		return openPage(t, browser, origin+"/example/index.html?"+query.Encode(), "find")
	}

	alice, bob := open(named, "alice", "events"), open(named, "bob", "websocket")
	alice.click("find")
	alice.until("SEARCHING")
	alice.click("cancel")
	alice.until("CANCELLED")

	// alice goes on where she was when her connection is lost, and so does bob.
	alice.click("find")
	alice.until("SEARCHING")
	proxy.Restore()
	bob.click("find")
	alice.until("ASSIGNED")
	bob.until("ASSIGNED")
	alice.screenshot("assigned.png")
	if a, b := alice.text("server"), bob.text("server"); a != b || alice.text("match") != bob.text("match") || alice.text("team") == bob.text("team") {
		t.Errorf("not one match: %q and %q", a, b)
	}
	for player, p := range map[string]*page{"alice": alice, "bob": bob} {
		if id, err := enter(t.Context(), p.text("server"), p.text("token")); err != nil || id != player {
			t.Errorf("%s comes in as %q: %v", player, id, err)
		}
	}

	// The network is away while bob waits: both ways find their way back.
	for _, transport := range []string{"websocket", "events"} {
		carol, dave := open(named, "carol-"+transport, transport), open(named, "dave-"+transport, "events")
		carol.click("find")
		carol.until("SEARCHING")
		proxy.Refuse()
		proxy.Restore()
		dave.click("find")
		carol.until("ASSIGNED")
		dave.until("ASSIGNED")
	}

	for transport, ids := range map[string]func() []string{"events": resumed.events, "websocket": resumed.sockets} {
		if len(ids()) == 0 {
			t.Errorf("%s: nobody went on where they were", transport)
		}
	}

	// A page that nobody has named cannot even sign in.
	eve := open(stranger, "eve", "events")
	eve.click("find")
	eve.until("FAILED")

	// What the API refuses, the page says.
	mallory := open(named, "mallory", "websocket")
	mallory.set("queue", "none")
	mallory.click("find")
	mallory.until("FAILED")
	if got := mallory.text("reason"); !strings.Contains(got, "queue must be one of") {
		t.Errorf("the page says %q", got)
	}
}

// serve serves the pages at an origin of their own.
func serve(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(site, "dist/example/main.js")); err != nil {
		t.Fatalf("the client is not built: use make e2e-browser (%v)", err)
	}
	s := httptest.NewServer(http.FileServer(http.Dir(site)))
	t.Cleanup(s.Close)
	return s.URL
}

// resumes are the ids with which streams went on.
type resumes struct {
	mu        sync.Mutex
	ofEvents  []string
	ofSockets []string
}

func (r *resumes) events() []string { r.mu.Lock(); defer r.mu.Unlock(); return r.ofEvents }

func (r *resumes) sockets() []string { r.mu.Lock(); defer r.mu.Unlock(); return r.ofSockets }

// record passes on to the frontend, and notes what pages say they know.
func record(t *testing.T, frontend string) (_ *resumes, addr string) {
	t.Helper()
	r := new(resumes)
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: frontend})
	pass.ErrorLog = log.New(io.Discard, "", 0) // connections are lost on purpose
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		if id := req.Header.Get("Last-Event-ID"); id != "" {
			r.ofEvents = append(r.ofEvents, id)
		}
		if id := req.URL.Query().Get("last_event_id"); id != "" {
			r.ofSockets = append(r.ofSockets, id)
		}
		r.mu.Unlock()
		pass.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	return r, s.Listener.Addr().String()
}

// enter joins the game server, and returns as whom.
func enter(ctx context.Context, server, token string) (string, error) {
	c, err := client.Dial(server)
	if err != nil {
		return "", err
	}
	defer c.Close()
	welcome, err := client.Enter(ctx, c, token, nil)
	return welcome.Player, err
}

// page is a tab.
type page struct {
	t     *testing.T
	ctx   context.Context
	close context.CancelFunc
}

// openPage opens a page in a tab of its own, and waits until it shows an element.
func openPage(t *testing.T, browser context.Context, at, id string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &page{t, ctx, cancel}
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of its first call
		t.Fatal(err)
	}
	p.do("open the page", chromedp.EmulateViewport(720, 900), chromedp.Navigate(at), chromedp.WaitVisible(chromedp.ID(id)))
	return p
}

func (p *page) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p *page) click(id string) {
	p.t.Helper()
	p.do("click "+id, chromedp.Click(chromedp.CSS("#"+id+":enabled")))
}

func (p *page) set(name, value string) {
	p.t.Helper()
	p.do("set "+name, chromedp.SetValue(chromedp.CSS("[name="+name+"]"), value))
}

func (p *page) text(id string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.TextContent(chromedp.ID(id)))
	if err != nil {
		p.t.Fatalf("read %s: %v", id, err)
	}
	return text
}

// until waits for a state. Should it not come, the failure says what the page shows.
func (p *page) until(state string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitReady(chromedp.CSS("#state[data-state="+state+"]"))); err != nil {
		p.t.Fatalf("%s: %v; the page says %q: %q", state, err, p.text("state"), p.text("reason"))
	}
}

// screenshot keeps what the page looks like, with go test -artifacts.
func (p *page) screenshot(name string) {
	p.t.Helper()
	image, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatalf("take a screenshot: %v", err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name), image, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
