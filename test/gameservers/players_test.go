//go:build unix

package gameservers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/local/suite"
	"torikumi/pkg/service"
)

// TestPlayers: what a newcomer is told to do with an example. Two players come in and leave,
// and the game server ends by itself.
func TestPlayers(t *testing.T) {
	s, printed := startForPlayers(t)
	out, code := players(t, "--api="+s.URL(), "--issuer="+s.IssuerURL(), "--stay=0", "alice", "bob")
	if code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, out, printed)
	}
	for _, player := range []string{"alice", "bob"} {
		for _, says := range []string{player + ": matched after ", player + `: WELCOME {"player":"` + player + `"`, player + ": BYE"} {
			if !strings.Contains(out, says) {
				t.Errorf("no %q:\n%s", says, out)
			}
		}
	}
}

// TestPlayersKeptOut: who does not come in says why, and what to do, and the program fails.
func TestPlayersKeptOut(t *testing.T) {
	s, printed := startForPlayers(t)
	target, err := url.Parse(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	// Between the players and the API, one has their token changed, and one's is lost.
	forging := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: forge,
	}
	silent := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Header.Del("Authorization") }}
	alone := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // in place of a frontend's minute
		w.WriteHeader(http.StatusRequestTimeout)
		fmt.Fprint(w, `{"status":"timeout","ticket_id":"t","player":{"skill":1500,"latency":50,"region":"eu"},"reason":"1 more player is needed"}`)
	})
	at := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return "--api=" + server.URL
	}
	for name, c := range map[string]struct {
		args []string
		says []string
	}{
		"a forged token": {
			[]string{at(forging), "carol", "dave"},
			[]string{"carol: refused by the game server (bad_signature): the token was changed", "dave: refused by the game server (bad_signature)"},
		},
		"no match in time":    {[]string{at(alone), "erin"}, []string{"erin: no match in time: 1 more player is needed"}},
		"no player token":     {[]string{at(silent), "frank"}, []string{"frank: ", " answers 401: ", "(missing_token): the API takes tokens of its --player-issuer"}},
		"no API":              {[]string{"--api=http://127.0.0.1:1", "grace"}, []string{"grace: no answer of http://127.0.0.1:1/play/eu", "Is torikumi up there?", "--api"}},
		"a name that is none": {[]string{"--api=" + s.URL(), "no name"}, []string{"no name: ", " answers 400: ", "player"}},
		"no such region":      {[]string{"--api=" + s.URL(), "--region=no region", "heidi"}, []string{"heidi: ", " answers 400: ", "region must "}},
	} {
		out, code := players(t, append([]string{"--issuer=" + s.IssuerURL(), "--stay=0"}, c.args...)...)
		if code != 1 || strings.Contains(out, "Traceback") || strings.Contains(out, "WELCOME") {
			t.Errorf("%s: exit code %d\n%s\n%s", name, code, out, printed)
		}
		for _, says := range c.says {
			if !strings.Contains(out, says) {
				t.Errorf("%s: no %q:\n%s", name, says, out)
			}
		}
	}
}

// forge changes the signature of the join token in an answer.
func forge(answer *http.Response) error {
	var match map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&match); err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if jwt, ok := match["jwt"].(string); ok {
		dot, other := strings.LastIndexByte(jwt, '.'), "A"
		if jwt[dot+1] == 'A' {
			other = "B"
		}
		match["jwt"] = jwt[:dot+1] + other + jwt[dot+2:]
	}
	body, err := json.Marshal(match)
	answer.Body = io.NopCloser(bytes.NewReader(body))
	answer.Header.Del("Content-Length")
	answer.ContentLength = int64(len(body))
	return err
}

// startForPlayers starts a suite with the example over UDP.
func startForPlayers(t *testing.T) (*suite.Suite, *output) {
	t.Helper()
	need(t, "python3", "python3")
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	printed := new(output)
	s, err := suite.Start(t.Context(), suite.Options{
		HTTPListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", IssuerListen: "127.0.0.1:0", Ready: 1, Max: 4,
		GameServer: "python3 " + filepath.Join(examples, "python", "udp.py"), RegistrationInterval: 20 * time.Millisecond,
		Log:       service.Config{LogLevel: slog.LevelWarn, LogFormat: "text", ShutdownTimeout: 5 * time.Second},
		LogOutput: printed, ServerOutput: printed,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, printed
}

// players runs the program to its end.
func players(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "python3", append([]string{filepath.Join(examples, "python", "players.py")}, args...)...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}
