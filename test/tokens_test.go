//go:build unix

package test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"torikumi/local/demo"
	"torikumi/local/suite"
)

// jwt is how a signed token begins: with a JSON object in base64.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}`)

// TestNoTokenInALog plays with all logs at DEBUG, refused tokens and intruders
// included, and looks for tokens in what services, gates and game servers write.
func TestNoTokenInALog(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	gates := ownLogs(t)
	logs, printed := new(output), new(output)
	l := &launcher{}
	l.started = func(p *process) {
		if p.name != suite.Frontend {
			return
		}
		if err := showForged(p.addrs.HTTP); err != nil {
			t.Error(err)
		}
	}
	o := quiet(l, logs)
	o.Log.LogLevel, o.ServerOutput = slog.LevelDebug, printed
	play(t, demo.Options{Players: 12, Seed: 11, Suite: o})

	written := map[string]string{"miniagones": logs.String(), "game servers": printed.String(), "gates": gates()}
	for _, p := range l.processes() {
		written[p.name] = p.out.String()
	}
	for name, text := range written {
		if found := jwt.FindString(text); found != "" {
			t.Errorf("a token in what %s has written: %.24s…", name, found)
		}
	}
	for name, want := range map[string]string{
		suite.Frontend: "ticket assigned", suite.Director: "level=DEBUG", "gates": "player admitted", "miniagones": "level=DEBUG",
		"game servers": "ready for players",
	} {
		if !strings.Contains(written[name], want) {
			t.Errorf("%s has written nothing of %q:\n%.2000s", name, want, written[name])
		}
	}
}

// ownLogs returns what this process writes to its standard error from now on: the
// suite runs the gates in it.
func ownLogs(t *testing.T) (read func() string) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	before := os.Stderr
	os.Stderr = file
	t.Cleanup(func() { os.Stderr = before; file.Close() })
	return func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Error(err)
		}
		return string(text)
	}
}

// showForged shows a frontend tokens that it refuses, in each place where a client can
// put one.
func showForged(addr string) error {
	const forged = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im5vbmUifQ.eyJzdWIiOiJtYWxsb3J5IiwiZXhwIjo0MTAyNDQ0ODAwfQ.c2lnbmF0dXJl"
	for _, path := range []string{"/v1/tickets", "/v1/tickets/" + forged, "/play/eu", "/play/" + forged, "/" + forged, "/v1/tickets?access_token=" + forged, "/v1/tickets/x/websocket"} {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "/websocket") {
			req.Header.Set("Sec-WebSocket-Protocol", "torikumi.v1, torikumi.bearer."+forged)
		} else {
			req.Header.Set("Authorization", "Bearer "+forged)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode < http.StatusBadRequest {
			return fmt.Errorf("GET %.20s… with a forged token: %s", path, resp.Status)
		}
	}
	return nil
}
