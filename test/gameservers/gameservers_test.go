//go:build unix

// Package gameservers plays whole matches on the example game servers in other
// languages (gameserver/examples): real frontend, director, gate and miniagones, and
// intruders who have to be refused.
package gameservers

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/local/demo"
	"torikumi/local/suite"
	"torikumi/pkg/service"
)

func TestMain(m *testing.M) {
	for name, run := range map[string]func([]string) error{bridgeCommand: bridge, lossyCommand: lossy} {
		if len(os.Args) > 2 && os.Args[1] == name {
			if err := run(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "torikumi-gameservers-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		built = dir
		return m.Run()
	}())
}

// built holds what tests compile, for all of them.
var built string

const examples = "../../gameserver/examples"

// need skips a test whose tools are missing; in CI a missing tool is a failure.
func need(t *testing.T, debian string, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			lacks(t, tool, debian)
		}
	}
}

func lacks(t *testing.T, what, debian string) {
	t.Helper()
	message := fmt.Sprintf("%s is missing; Debian has it in %s", what, debian)
	if os.Getenv("CI") != "" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// build runs a compiler.
func build(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// output collects what servers print.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// jwt looks like a token.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}`)

// play lets players and intruders loose on a server.
func play(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	logs, printed, progress := new(output), new(output), new(output)
	const players = 12
	r, err := demo.Run(ctx, demo.Options{Players: players, Seed: 7, Progress: progress, Suite: suite.Options{
		HTTPListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", IssuerListen: "127.0.0.1:0",
		ServerArgs: args, RegistrationInterval: 20 * time.Millisecond, PortProtocol: "TCPUDP",
		Log:       service.Config{LogLevel: slog.LevelWarn, LogFormat: "text", ShutdownTimeout: 5 * time.Second},
		LogOutput: logs, ServerOutput: printed,
	}})
	if err != nil || !r.OK {
		t.Fatalf("%v, %v\n%s\n%s\n%s", err, r.Err, progress, logs, printed)
	}
	if r.Admitted != players || r.Intruders < 4 || r.Refused != r.Intruders || r.ServersRecycled != r.Matches || r.Matches == 0 {
		t.Errorf("%+v", r)
	}
	if found := jwt.FindString(printed.String()); found != "" {
		t.Errorf("a token is in the server's log: %.20s…", found)
	}
	if !strings.Contains(printed.String(), "joined: ") {
		t.Errorf("the server printed nothing of its players:\n%s", printed)
	}
}

// TestLostAnswers loses the gate's first answer to each request for admission, and to each
// departure. Every player still comes in, once, and every intruder hears the right reason.
func TestLostAnswers(t *testing.T) {
	for name, program := range map[string]func(*testing.T) []string{
		"Python": func(t *testing.T) []string {
			need(t, "python3", "python3")
			t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
			return []string{"python3", filepath.Join(examples, "python", "udp.py")}
		},
		"Cpp":    func(t *testing.T) []string { return []string{cpp(t, "udp")} },
		"CSharp": func(t *testing.T) []string { return []string{"mono", csharp(t, "Udp")} },
		"Unreal": func(t *testing.T) []string { return []string{core(t, "server")} },
	} {
		t.Run(name, func(t *testing.T) { play(t, wrapped(t, lossyCommand, program(t)...)...) })
	}
}

// overWebSocket puts the bridge before a server's arguments.
func overWebSocket(t *testing.T, args ...string) []string {
	t.Helper()
	return wrapped(t, bridgeCommand, args...)
}

// wrapped runs a server by a command of this test's program.
func wrapped(t *testing.T, command string, args ...string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{self, command}, args...)
}

func TestPython(t *testing.T) {
	need(t, "python3", "python3")
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	t.Run("UDP", func(t *testing.T) { play(t, "python3", filepath.Join(examples, "python", "udp.py")) })
	t.Run("WebSocket", func(t *testing.T) {
		play(t, overWebSocket(t, "python3", filepath.Join(examples, "python", "websocket.py"))...)
	})
}

// warnings are errors in what others learn from.
var warnings = []string{"-std=c++17", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror", "-pthread"}

// needCurl is need for g++ and the headers of libcurl.
func needCurl(t *testing.T) {
	t.Helper()
	need(t, "g++", "g++")
	probe := exec.CommandContext(t.Context(), "g++", "-E", "-x", "c++", "-")
	probe.Stdin = strings.NewReader("#include <curl/curl.h>\n")
	if probe.Run() != nil {
		lacks(t, "libcurl's header", "libcurl4-openssl-dev")
	}
}

// cpp compiles an example. The sanitizers end a server that reads or writes where it must
// not.
func cpp(t *testing.T, name string) string {
	t.Helper()
	needCurl(t)
	program := filepath.Join(built, "cpp-"+name)
	if _, err := os.Stat(program); err != nil {
		args := append([]string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}, warnings...)
		build(t, "g++", append(args, filepath.Join(examples, "cpp", name+".cpp"), "-lcurl", "-o", program)...)
	}
	return program
}

func TestCpp(t *testing.T) {
	t.Run("UDP", func(t *testing.T) { play(t, cpp(t, "udp")) })
	t.Run("WebSocket", func(t *testing.T) { play(t, overWebSocket(t, cpp(t, "websocket"))...) })
}

func csharp(t *testing.T, name string) string {
	t.Helper()
	need(t, "mono-mcs", "mcs")
	need(t, "mono-runtime", "mono")
	program, dir := filepath.Join(built, name+".exe"), filepath.Join(examples, "csharp")
	build(t, "mcs", "-warnaserror", "-warn:4", "-out:"+program, filepath.Join(dir, name+".cs"), filepath.Join(dir, "Game.cs"), filepath.Join(dir, "Gate.cs"))
	return program
}

func TestCSharp(t *testing.T) {
	t.Run("UDP", func(t *testing.T) { play(t, "mono", csharp(t, "Udp")) })
	t.Run("WebSocket", func(t *testing.T) { play(t, overWebSocket(t, "mono", csharp(t, "WebSocket"))...) })
}

// goServer builds the example in Go.
func goServer(t *testing.T) string {
	t.Helper()
	program := filepath.Join(built, "go-websocket")
	if _, err := os.Stat(program); err != nil {
		build(t, "go", "build", "-race", "-o", program, "torikumi/gameserver/examples/go")
	}
	return program
}

func TestGo(t *testing.T) { play(t, overWebSocket(t, goServer(t))...) }

// TestGateLines: what talks to the gate is no more than an afternoon's reading.
func TestGateLines(t *testing.T) {
	for _, file := range []string{"cpp/gate.hpp", "python/gate.py", "csharp/Gate.cs"} {
		text, err := os.ReadFile(filepath.Join(examples, file))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			skip := line == ""
			for _, begin := range []string{"//", "#", `"""`, "import ", "using System"} {
				skip = skip || strings.HasPrefix(line, begin)
			}
			if !skip {
				lines++
			}
		}
		if lines > 50 {
			t.Errorf("%s has %d lines of code, 50 are promised", file, lines)
		}
	}
}
