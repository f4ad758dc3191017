package issuer_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/frontend/playertoken"
	"torikumi/frontend/signing"
	"torikumi/local/issuer"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an issuer with a key of its own.
func start(t *testing.T, origins ...string) (base, keysDir string) {
	t.Helper()
	dir := t.TempDir()
	if _, err := signing.GenerateKey(dir, token.RS256, time.Now()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() {
		done <- issuer.Run(ctx, issuer.Options{KeysDir: dir, HTTPListen: "127.0.0.1:0", Origins: origins,
			Service: service.Config{LogFormat: "text"}, Started: func(a service.Addrs) { started <- a }})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-started:
		return "http://" + a.HTTP, dir
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return "", ""
	}
}

func post(t *testing.T, url, body string) (int, map[string]any) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return resp.StatusCode, answer
}

func TestToken(t *testing.T) {
	base, dir := start(t)
	code, answer := post(t, base+issuer.TokenPath, `{"player":"alice","claims":{"clan":"owls"}}`)
	if code != http.StatusOK {
		t.Fatalf("%d %v", code, answer)
	}
	keys, err := signing.LoadKeys(dir, signing.KeyOptions{Algorithm: token.RS256})
	if err != nil {
		t.Fatal(err)
	}
	v, err := playertoken.NewVerifier(playertoken.Options{Keys: keys, Issuer: issuer.URL, Audience: issuer.Audience, Algorithms: []token.Algorithm{token.RS256}})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := v.Verify(t.Context(), answer["token"].(string))
	if err != nil || claims.Subject != "alice" || claims.All.Text("clan") != "owls" {
		t.Errorf("claims %+v, %v", claims, err)
	}
}

func TestBadRequests(t *testing.T) {
	base, _ := start(t)
	for body, want := range map[string]int{
		`{"player":"a","claims":{"sub":"b"}}`: 400, `{"player":"a","claims":[]}`: 400,
		`{"player":""}`: 400, `{"player":"a b"}`: 400, `{}`: 400, `{"palyer":"a"}`: 400, `[]`: 400, ``: 400, `{"player":"a"} {}`: 400,
		`{"player":"` + strings.Repeat("a", 129) + `"}`: 400, `{"player":"` + strings.Repeat("a", 5000) + `"}`: 413,
	} {
		if code, answer := post(t, base+issuer.TokenPath, body); code != want || answer["status"] != float64(want) {
			t.Errorf("%.40s: %d %v", body, code, answer)
		}
	}
}

func TestNoKeysNoStart(t *testing.T) {
	if err := issuer.Run(t.Context(), issuer.Options{KeysDir: t.TempDir(), HTTPListen: "127.0.0.1:0"}); err == nil {
		t.Error("started without a key")
	}
}

// A web page must not get tokens through a browser on this machine.
func TestForeignPages(t *testing.T) {
	base, _ := start(t)
	for _, header := range []func(*http.Request){
		func(r *http.Request) { r.Host = "evil.example" },
		func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") },
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+issuer.TokenPath, strings.NewReader(`{"player":"alice"}`))
		if err != nil {
			t.Fatal(err)
		}
		header(r)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMisdirectedRequest && resp.StatusCode != http.StatusForbidden {
			t.Errorf("answered with %d", resp.StatusCode)
		}
	}
}

// A page that was named may sign in, and no other.
func TestNamedPage(t *testing.T) {
	const page = "http://127.0.0.1:8090"
	base, _ := start(t, page)
	for origin, want := range map[string]int{page: http.StatusOK, "http://127.0.0.1:8091": http.StatusForbidden, "https://evil.example": http.StatusForbidden} {
		for _, method := range []string{http.MethodOptions, http.MethodPost} {
			r, err := http.NewRequestWithContext(t.Context(), method, base+issuer.TokenPath, strings.NewReader(`{"player":"alice"}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", http.MethodPost)
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			allowed := resp.Header.Get("Access-Control-Allow-Origin") == origin
			if allowed != (origin == page) || method == http.MethodPost && resp.StatusCode != want {
				t.Errorf("%s of %s: %d %v", method, origin, resp.StatusCode, resp.Header)
			}
		}
	}
}
