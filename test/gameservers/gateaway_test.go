//go:build unix

package gameservers

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
)

// ailingGate is SDK and gate of one game server. It lets everybody in, and takes no
// departure.
type ailingGate struct {
	mu sync.Mutex
	// calls are the paths of signs of life and of departures, in their order.
	calls []string
}

func (g *ailingGate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	answer := any(struct{}{})
	switch r.URL.Path {
	case "/health":
		g.calls = append(g.calls, r.URL.Path)
	case "/v1/departures":
		g.calls = append(g.calls, r.URL.Path)
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/v1/admissions":
		var req struct{ Token string }
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		answer = map[string]any{"player": req.Token, "team": "red", "match_id": "m", "reconnect": false, "admission": "of-" + req.Token}
	case "/v1/presence":
		answer = map[string]any{"refused": []string{}}
	}
	_ = json.NewEncoder(w).Encode(answer) // the server may be gone
}

// most returns how many departures came at the most between two signs of life, and how
// many signs of life there were after the first departure.
func (g *ailingGate) most() (departures, healths int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	run, seen := 0, false
	for _, path := range g.calls {
		if path == "/health" {
			run = 0
			if seen {
				healths++
			}
			continue
		}
		seen = true
		run++
		departures = max(departures, run)
	}
	return departures, healths
}

// TestGateAway: a gate that gives no answer costs three seconds a call, and signs of life
// may be 15 s apart. However many players leave meanwhile, they have to go on.
func TestGateAway(t *testing.T) {
	for name, program := range map[string]func(*testing.T) []string{
		"Python": func(t *testing.T) []string {
			need(t, "python3", "python3")
			return []string{"python3", "-B", filepath.Join(examples, "python", "udp.py")}
		},
		"Cpp":    func(t *testing.T) []string { return []string{cpp(t, "udp")} },
		"CSharp": func(t *testing.T) []string { return []string{"mono", csharp(t, "Udp")} },
	} {
		t.Run(name, func(t *testing.T) {
			gate := new(ailingGate)
			port := startUDP(t, gate, program(t))
			const players = 8
			for i := range players {
				token := fmt.Sprintf("player%d", i)
				say(t, port, token)
			}
			eventually.True(t, "signs of life", func() bool { _, healths := gate.most(); return healths >= 4 })
			if departures, _ := gate.most(); departures > 1 {
				t.Errorf("%d departures were tried before the next sign of life", departures)
			}
		})
	}
}

// startUDP starts a server until the test ends, and returns where it listens.
func startUDP(t *testing.T, gate http.Handler, args []string) (port int) {
	t.Helper()
	port = porttest.UDP(t)
	start(t, gate, port, args)
	return port
}

// start starts a server on a port until the test ends.
func start(t *testing.T, gate http.Handler, port int, args []string) (pid int) {
	t.Helper()
	api := httptest.NewServer(gate)
	t.Cleanup(api.Close)
	_, apiPort, err := net.SplitHostPort(strings.TrimPrefix(api.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	printed := new(output)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "TORIKUMI_GATE="+api.URL, "AGONES_SDK_HTTP_PORT="+apiPort)
	cmd.Stdout, cmd.Stderr = printed, printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(printed)
		}
	})
	return cmd.Process.Pid
}

// say joins and leaves again; what gets lost is said again.
func say(t *testing.T, port int, token string) {
	t.Helper()
	conn, err := net.Dial("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 2048)
	for _, step := range []struct{ message, answer string }{{"JOIN " + token, "WELCOME "}, {"LEAVE", "BYE"}} {
		eventually.True(t, step.answer, func() bool {
			if _, err := conn.Write([]byte(step.message)); err != nil {
				return false // nobody listens yet
			}
			_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := conn.Read(buf)
			return err == nil && strings.HasPrefix(string(buf[:n]), step.answer)
		})
	}
}
