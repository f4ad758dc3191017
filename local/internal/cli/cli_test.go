package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// process has no environment.
func process(args []string, stdout, stderr io.Writer) service.Process {
	return service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: stdout, Stderr: stderr}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func call(ctx context.Context, args ...string) (int, string, string) {
	var out, errs bytes.Buffer
	code := Main(ctx, process(args, &out, &errs))
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	if code, out, _ := call(t.Context(), "help"); code != 0 || !strings.Contains(out, "demo") {
		t.Errorf("help: %d %s", code, out)
	}
	if code, _, errs := call(t.Context()); code != exitUsage || !strings.Contains(errs, "Usage") {
		t.Errorf("nothing: %d %s", code, errs)
	}
	if code, _, errs := call(t.Context(), "fly"); code != exitUsage || !strings.Contains(errs, `"fly"`) {
		t.Errorf("unknown: %d %s", code, errs)
	}
	for _, command := range []string{"up", "demo"} {
		if code, out, _ := call(t.Context(), command, "--help"); code != 0 || !strings.Contains(out, "--queues") {
			t.Errorf("%s --help: %d %s", command, code, out)
		}
	}
}

func TestWrongSettings(t *testing.T) {
	code, _, errs := call(t.Context(), "up", "--host=nowhere", "--http-port=70000", "--ready=0", "--max=-1", "--fleet=virtual:x",
		"--game-server=./x", "--play-token=short", "--queues=/does/not/exist", "--log-format=xml", "--no-show-timeout=0s", "--matchfunction=50502")
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"--host", "--http-port", "--ready", "--max", "--fleet", "--play-token", "--queues", "--log-format", "--no-show-timeout", "--matchfunction"} {
		if !strings.Contains(errs, want+":") {
			t.Errorf("the message lacks %s:\n%s", want, errs)
		}
	}
	if strings.Contains(errs, `"short"`) {
		t.Error("the message shows the secret")
	}
	if code, _, errs := call(t.Context(), "demo", "--players=1", "--open-match=there"); code != exitUsage || !strings.Contains(errs, "--players:") || !strings.Contains(errs, "--open-match:") {
		t.Errorf("demo: %d %s", code, errs)
	}
}

// Nobody can be sent to an address that stands for all of them.
func TestUpHost(t *testing.T) {
	for _, host := range []string{"0.0.0.0", "::"} {
		if code, _, errs := call(t.Context(), "up", "--host="+host); code != 2 || !strings.Contains(errs, "--host") {
			t.Errorf("%s: exit %d: %s", host, code, errs)
		}
	}
}

func TestUpWithBrokenGameServer(t *testing.T) {
	code, _, errs := call(t.Context(), "up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--game-server=env LEVEL=1 /does/not/exist")
	if code != exitFailed || !strings.Contains(errs, "they fail again and again") || !strings.Contains(errs, "/does/not/exist") {
		t.Errorf("exit %d:\n%s", code, errs)
	}
}

// Up serves until it is told to stop, and leaves nothing behind (goleak).
func TestUpVirtual(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{want: "A ticket in any queue", seen: cancel}
	var errs bytes.Buffer
	code := Main(ctx, process([]string{"up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--fleet=virtual:50"}, out, &errs))
	if code != 0 || !strings.Contains(out.String(), "/play/eu") {
		t.Errorf("exit %d: %s%s", code, out, &errs)
	}
}

// watched calls seen once it has been told something.
type watched struct {
	bytes.Buffer
	want string
	seen func()
}

func (w *watched) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if strings.Contains(w.String(), w.want) {
		w.seen()
	}
	return n, err
}

// A queues.yaml of one's own works as it is: the fleet carries the labels that
// it asks for, and GET /play takes the only queue there is.
func TestUpQueues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	up := func(ctx context.Context, out io.Writer) (int, string) {
		var errs bytes.Buffer
		code := Main(ctx, process([]string{"up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--fleet=virtual:5", "--queues=" + path}, out, &errs))
		return code, errs.String()
	}
	write(`queues: [{name: duel, regions: [asia], teams: [{name: a, players: 2}], skill: {attribute: s}, allocation: {labels: {game: duel}}}]`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{want: "A ticket in any queue", seen: cancel}
	if code, errs := up(ctx, out); code != 0 || !strings.Contains(out.String(), "/play/asia") || !strings.Contains(out.String(), `"queue":"duel"`) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}

	write(`queues:
- {name: duel, teams: [{name: a, players: 2}], skill: {attribute: s}, allocation: {labels: {game: duel}}}
- {name: race, teams: [{name: a, players: 2}], skill: {attribute: s}, allocation: {labels: {game: race}}}`)
	if code, errs := up(t.Context(), io.Discard); code != exitFailed || !strings.Contains(errs, `queue "race": allocation.labels`) {
		t.Errorf("labels that contradict each other: exit %d: %s", code, errs)
	}
}

func examples() string { return filepath.Join("..", "..", "..", "docs", "examples", "queues.yaml") }

// What `up` prints for a rule set can be sent as it stands.
func TestUpWithARuleSet(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &watched{want: "A ticket in any queue", seen: cancel}
	var errs bytes.Buffer
	code := Main(ctx, process([]string{"up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--fleet=virtual:5", "--queues=" + examples(), "--play-queue=raid"}, out, &errs))
	_, body, _ := strings.Cut(out.String(), "-d '{\"queue\"")
	body, _, _ = strings.Cut(body, "' http")
	if code != 0 || !strings.Contains(body, `"expedition"`) || !strings.Contains(body, `"roles"`) || !strings.Contains(body, `"string_list"`) {
		t.Errorf("exit %d: %s%s", code, out, &errs)
	}
	if strings.Contains(out.String(), "/play/") {
		t.Errorf("GET /play cannot bring what the queue needs:\n%s", out)
	}
}

func TestWrongRuleSet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "queues.yaml")
	for name, text := range map[string]string{"queues.yaml": "queues: [{name: a, rule_set: a.json}]", "a.json": `{}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"up", "demo"} {
		code, _, errs := call(t.Context(), command, "--queues="+path)
		lines := strings.Split(strings.TrimSpace(errs), "\n")[1:]
		if code != exitUsage || len(lines) < 2 {
			t.Errorf("%s: exit %d: %s", command, code, errs)
		}
		for _, line := range lines {
			if !strings.HasPrefix(line, "  --queues: queues in "+path+": queues[0].rule_set: a.json: line 1, column 1: ") {
				t.Errorf("%s: a line lacks the setting or the files: %s", command, line)
			}
		}
	}
	if code, _, errs := call(t.Context(), "demo", "--queues="+path, "--players=1"); code != exitUsage || !strings.Contains(errs, "--players: ") || !strings.Contains(errs, "--queues: ") {
		t.Errorf("both wrong: exit %d: %s", code, errs)
	}
	if code, _, errs := call(t.Context(), "demo", "--queues="+examples(), "--players=41"); code != exitUsage || !strings.Contains(errs, "--players: must fill matches of 2 or 4 players, as 40 or 42 does") {
		t.Errorf("a number that does not fit: exit %d: %s", code, errs)
	}
}

// asked is a match function that tells when it is asked.
type asked struct {
	openmatch.UnimplementedMatchFunctionServer
	by chan string
}

func (a asked) Run(req *openmatch.RunRequest, _ grpc.ServerStreamingServer[openmatch.RunResponse]) error {
	select {
	case a.by <- req.GetProfile().GetName():
	default:
	}
	return nil
}

// With --matchfunction matches come from a match function of one's own, and
// the suite starts none.
func TestUpMatchFunction(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := asked{by: make(chan string, 1)}
	server := grpc.NewServer()
	openmatch.RegisterMatchFunctionServer(server, own)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	defer func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	profile := ""
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case profile = <-own.by:
		case <-ctx.Done():
		}
		cancel()
	})
	code, out, errs := call(ctx, "up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--fleet=virtual:5",
		"--matchfunction="+lis.Addr().String())
	waiting.Wait()
	if code != 0 || profile == "" || (strings.Contains(out, "is up") && !strings.Contains(out, lis.Addr().String()+" (yours)")) {
		t.Errorf("exit %d, asked for %q: %s%s", code, profile, out, errs)
	}
}
