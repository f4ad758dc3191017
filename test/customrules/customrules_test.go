// Package customrules_test does what docs/custom-rules.md tells a studio to do:
// it builds the module of the document outside this repository, runs its tests
// and its match function, and sees that the rule in it decides.
package customrules_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/evaluator/evaluator"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience covers builds without a cache.
const patience = 9 * time.Minute

// files are those of the document, in its order.
var files = []string{"go.mod", "main.go", "rivals/rivals.go", "rivals/rivals_test.go", "queues.yaml", "clash.json"}

// block is a fenced block below a line with a file's name alone.
var block = regexp.MustCompile("(?ms)^`([a-z_./-]+)`\n\n```[a-z]*\n(.*?)^```$")

// extract writes the document's files into a folder outside the repository,
// with this checkout as the one that go.mod replaces from.
func extract(t *testing.T) string {
	t.Helper()
	checkout, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(checkout, "docs", "custom-rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var found []string
	for _, m := range block.FindAllStringSubmatch(string(text), -1) {
		name, content := m[1], m[2]
		found = append(found, name)
		if name == "go.mod" {
			const there = "=> ../torikumi/"
			if strings.Count(content, there) != 3 {
				t.Fatalf("go.mod replaces something else:\n%s", content)
			}
			content = regexp.MustCompile(there+`(\S+)`).ReplaceAllStringFunc(content, func(line string) string {
				return fmt.Sprintf("=> %q", filepath.Join(checkout, strings.TrimPrefix(line, there)))
			})
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(found, files) {
		t.Fatalf("the document has %v, want %v", found, files)
	}
	// The sums of the checkout, so that only what is new is asked for: nothing.
	sums, err := os.ReadFile(filepath.Join(checkout, "matchfunction", "go.sum"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "go.sum"), sums, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// gotool runs the go command as a reader does, whatever this repository's
// workspace is.
func gotool(ctx context.Context, t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// launch runs one of our services until the test ends, and returns its gRPC
// address.
func launch[C any](t *testing.T, run func(context.Context, *C, func(service.Addrs)) error, change func(*C)) string {
	t.Helper()
	cfg := new(C)
	config.Default(cfg)
	change(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	addrs, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { done <- run(ctx, cfg, func(a service.Addrs) { addrs <- a }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-addrs:
		return a.GRPC
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return ""
	}
}

// program runs the reader's match function until the test ends, and returns
// its gRPC address.
func program(t *testing.T, path string, args ...string) string {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")} // none of our settings
	var log bytes.Buffer
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has done its work
		_, _ = io.Copy(io.Discard, stdout)
		_ = cmd.Wait() // killed
		if t.Failed() {
			t.Logf("its log:\n%s", &log)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if m := regexp.MustCompile(`^listening service=matchfunction grpc=(\S+)`).FindStringSubmatch(lines.Text()); m != nil {
			return m[1]
		}
	}
	t.Fatal("it ended before it listened")
	return ""
}

// harness is Open Match with the reader's match function.
type harness struct {
	*testing.T
	frontend openmatch.FrontendServiceClient
	backend  openmatch.BackendServiceClient
	function string
	queue    queues.Queue
}

// search makes a ticket for a player of each clan, as the frontend does.
func (w *harness) search(clans ...string) {
	w.Helper()
	for _, clan := range clans {
		k := &openmatch.Ticket{SearchFields: &openmatch.SearchFields{Tags: []string{w.queue.Tag()}}}
		if err := contract.Put(&k.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{Players: []*torikumiv1.Player{{
			Id: fmt.Sprintf("%s-%d", clan, time.Now().UnixNano()), Attributes: map[string]*torikumiv1.Attribute{
				"clan": {Value: &torikumiv1.Attribute_String_{String_: clan}}}}}}); err != nil {
			w.Fatal(err)
		}
		if _, err := w.frontend.CreateTicket(w.Context(), &openmatch.CreateTicketRequest{Ticket: k}); err != nil {
			w.Fatal(err)
		}
	}
}

// fetch returns the matches as the clans of each team, sorted.
func (w *harness) fetch(ctx context.Context) []string {
	w.Helper()
	profile, err := w.queue.Profile()
	if err != nil {
		w.Fatal(err)
	}
	host, port, _ := strings.Cut(w.function, ":")
	var number int32
	if _, err := fmt.Sscan(port, &number); err != nil {
		w.Fatal(err)
	}
	stream, err := w.backend.FetchMatches(ctx, &openmatch.FetchMatchesRequest{Profile: profile,
		Config: &openmatch.FunctionConfig{Host: host, Port: number, Type: openmatch.FunctionConfig_GRPC}})
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			slices.Sort(out)
			return out
		}
		if err != nil {
			w.Fatal(err)
		}
		details := new(torikumiv1.MatchDetails)
		if err := contract.Get(r.GetMatch().GetExtensions(), contract.MatchExtension, details); err != nil {
			w.Fatal(err)
		}
		var teams []string
		for _, team := range details.GetTeams() {
			var clans []string
			for _, m := range team.GetMembers() {
				clan, _, _ := strings.Cut(m.GetPlayerId(), "-")
				clans = append(clans, clan)
			}
			slices.Sort(clans)
			teams = append(teams, strings.Join(clans, "+"))
		}
		slices.Sort(teams)
		out = append(out, strings.Join(teams, " : "))
	}
}

func TestTheExampleOfTheDocument(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("go is not in the PATH, and the example has to be built")
	}
	if testing.Short() {
		t.Skip("builds a module")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dir := extract(t)
	binary := filepath.Join(dir, "studio-matchfunction.exe")
	gotool(ctx, t, dir, "mod", "tidy")
	gotool(ctx, t, dir, "vet", "./...")
	gotool(ctx, t, dir, "test", "./...")
	gotool(ctx, t, dir, "build", "-o", binary, ".")

	set, err := queues.Load(filepath.Join(dir, "queues.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	chooser := launch(t, evaluator.Run, func(c *evaluator.Config) { c.GRPCListen, c.HTTPListen = "127.0.0.1:0", "127.0.0.1:0" })
	om := launch(t, minimatch.Run, func(c *minimatch.Config) {
		c.GRPCListen, c.HTTPListen, c.Evaluator = "127.0.0.1:0", "127.0.0.1:0", chooser
	})
	w := &harness{T: t, queue: set.Queues[0], function: program(t, binary, "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--query="+om)}
	conn, err := rpc.Dial(om)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w.frontend, w.backend = openmatch.NewFrontendServiceClient(conn), openmatch.NewBackendServiceClient(conn)

	// Each step: who comes, and the match that there is then. Those of a match
	// are in no other; those who are left over stay.
	for _, step := range []struct{ come, want []string }{
		{[]string{"foxes", "wolves", "foxes", "wolves"}, []string{"foxes+foxes : wolves+wolves"}},
		{[]string{"foxes", "crows", "foxes", "crows"}, nil}, // a feud, and the foxes want an enemy
		{[]string{"crows", "crows"}, []string{"crows+crows : crows+crows"}},
		{[]string{"wolves", "wolves"}, []string{"foxes+foxes : wolves+wolves"}},
	} {
		w.search(step.come...)
		if got := w.fetch(ctx); !slices.Equal(got, step.want) {
			t.Errorf("%v come: got %q, want %q", step.come, got, step.want)
		}
	}
}
