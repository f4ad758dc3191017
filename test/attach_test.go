//go:build unix

package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"torikumi/gameserver/client"
	"torikumi/local/issuer"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
)

// child is a process that says what it does.
type child struct {
	*exec.Cmd
	out  *output
	done chan struct{}
}

// begin starts a program, which is killed at the end of the test.
func begin(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{Cmd: cmd, out: new(output), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = c.out, c.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(c.done); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-c.done
		if t.Failed() {
			t.Logf("%s:\n%s", strings.Join(cmd.Args, " "), c.out)
		}
	})
	return c
}

// says waits until it has said something that often.
func (c *child) says(t *testing.T, text string, times int) {
	t.Helper()
	eventually.Within(t, time.Minute, fmt.Sprintf("%q, %d times", text, times), func() error {
		if n := strings.Count(c.out.String(), text); n < times {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
}

// signal ends it, and returns its exit code.
func (c *child) signal(t *testing.T, s syscall.Signal) int {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return c.ends(t)
}

func (c *child) ends(t *testing.T) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		t.Fatalf("%s does not end", c.Path)
	}
	return c.ProcessState.ExitCode()
}

// desk is a developer's machine: a suite, and an editor that listens on a port.
type desk struct {
	t               *testing.T
	up              *child
	api, issuer     string
	port            int
	sdk, rest, gate int
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	free := func() int { return int(porttest.Hold(t).Port()) }
	d := &desk{t: t, port: porttest.UDP(t), sdk: free(), rest: free(), gate: free()}
	d.up = begin(t, command("torikumi", "up", "--http-port=0", "--grpc-port=0", "--issuer-port=0", "--open-match-ports=false", "--ready=1"))
	d.up.says(t, "A ticket in any queue", 1)
	d.api, d.issuer = d.printed("player API, HTTP"), d.printed("development issuer")
	return d
}

func (d *desk) printed(name string) string {
	d.t.Helper()
	found := regexp.MustCompile(`(?m)^ *` + name + ` +(\S+)$`).FindStringSubmatch(d.up.out.String())
	if found == nil {
		d.t.Fatalf("torikumi up does not print %s", name)
	}
	return found[1]
}

func (d *desk) attach(settings ...string) *child {
	d.t.Helper()
	args := []string{"attach", fmt.Sprintf("--port=%d", d.port), fmt.Sprintf("--sdk-grpc-port=%d", d.sdk), fmt.Sprintf("--sdk-http-port=%d", d.rest), fmt.Sprintf("--gate-port=%d", d.gate)}
	return begin(d.t, command("torikumi", append(args, settings...)...))
}

// editor starts the reference server, with nothing but the ports.
func (d *desk) editor() *child {
	d.t.Helper()
	return begin(d.t, command("server", fmt.Sprintf("--udp-listen=127.0.0.1:%d", d.port), fmt.Sprintf("--sdk-grpc-port=%d", d.sdk),
		fmt.Sprintf("--gate=http://127.0.0.1:%d", d.gate), "--presence-interval=1s"))
}

// answer is that of GET /play/{region}.
type answer struct {
	Status, JWT string
	Server      struct{ Connection string }
}

// search has two players search for a match.
func (d *desk) search(names ...string) map[string]answer {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	all, errs := map[string]answer{}, []error{}
	for _, name := range names {
		wg.Go(func() {
			a, err := d.play(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			all[name], errs = a, append(errs, err)
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *desk) play(ctx context.Context, name string) (a answer, err error) {
	var signedIn struct{ Token string }
	if err := fetch(ctx, http.MethodPost, d.issuer+issuer.TokenPath, "", map[string]string{"player": name}, &signedIn); err != nil {
		return a, err
	}
	for a.Status != "matched" {
		err := fetch(ctx, http.MethodGet, d.api+"/play/eu?skill=1500", signedIn.Token, nil, &a)
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

func fetch(ctx context.Context, method, url, bearer string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	if in == nil {
		body = nil
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	plain := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := plain.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusRequestTimeout {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// enter lets players in at the editor.
func (d *desk) enter(all map[string]answer) (in []*client.Client) {
	d.t.Helper()
	for name, a := range all {
		if want := net.JoinHostPort("127.0.0.1", strconv.Itoa(d.port)); a.Server.Connection != want {
			d.t.Fatalf("%s is sent to %s, not to the editor at %s", name, a.Server.Connection, want)
		}
		c, err := client.Dial(a.Server.Connection)
		if err != nil {
			d.t.Fatal(err)
		}
		d.t.Cleanup(func() { _ = c.Close() })
		ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
		welcome, err := client.Enter(ctx, c, a.JWT, nil)
		cancel()
		if err != nil || welcome.Player != name {
			d.t.Fatalf("%s comes in as %+v: %v", name, welcome, err)
		}
		in = append(in, c)
	}
	return in
}

// elsewhere has two players find a match that the editor does not get.
func (d *desk) elsewhere(names ...string) {
	d.t.Helper()
	for name, a := range d.search(names...) {
		if strings.HasSuffix(a.Server.Connection, fmt.Sprintf(":%d", d.port)) {
			d.t.Errorf("%s is sent to the editor, which is not attached", name)
		}
	}
}

func (d *desk) portsFree() {
	d.t.Helper()
	for _, port := range []int{d.sdk, d.rest, d.gate} {
		eventually.NoError(d.t, "the ports of the attachment are free", func() error {
			lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				return err
			}
			return lis.Close()
		})
	}
}

// TestAttachEditor: matches are played on a server that a developer has started, killed and
// started again.
func TestAttachEditor(t *testing.T) {
	d := newDesk(t)
	attach := d.attach("--wait-ready", "--exclusive", "--health-timeout=10s")
	attach.says(t, "waits until the server says Ready", 1)
	editor := d.editor()
	attach.says(t, "Ready, the next match", 1)
	players := d.enter(d.search("alice", "bob"))
	attach.says(t, "Allocated for match", 1)
	for _, c := range players {
		if err := c.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	attach.says(t, "Shutdown, the match is over", 1)
	if code := editor.ends(t); code != 0 {
		t.Errorf("the server exits with %d", code)
	}
	attach.says(t, "waits until the server says Ready", 2)

	// The editor is killed in a match: it gives no sign of life any more.
	editor = d.editor()
	attach.says(t, "Ready, the next match", 2)
	d.enter(d.search("carol", "dave"))
	editor.signal(t, syscall.SIGKILL)
	attach.says(t, "Unhealthy, it has given no sign of life", 1)
	attach.says(t, "waits until the server says Ready", 3)
	d.editor()
	attach.says(t, "Ready, the next match", 3)
	d.enter(d.search("erin", "frank"))

	if code := attach.signal(t, syscall.SIGINT); code != 0 || !strings.Contains(attach.out.String(), "Detached.") {
		t.Errorf("torikumi attach exits with %d", code)
	}
	d.portsFree()
	d.elsewhere("grace", "heidi")
	if code := d.up.signal(t, syscall.SIGINT); code != 0 {
		t.Errorf("torikumi up exits with %d", code)
	}
	empty(t, os.TempDir())
	if eyJ := regexp.MustCompile(`eyJ[A-Za-z0-9_-]{20,}`); eyJ.MatchString(attach.out.String()) {
		t.Error("torikumi attach prints a token")
	}
}

// TestAttachKilled: whichever side is killed, nothing of the attachment is left.
func TestAttachKilled(t *testing.T) {
	d := newDesk(t)
	attach := d.attach()
	attach.says(t, "Ready, the next match", 1)
	attach.signal(t, syscall.SIGKILL)
	d.portsFree()
	d.elsewhere("alice", "bob")

	// Without --exclusive it goes first all the same, and the match of others goes on elsewhere.
	attach = d.attach("--once", "--allocator="+d.printed("allocator"))
	attach.says(t, "Ready, the next match", 1)
	d.editor()
	players := d.enter(d.search("carol", "dave"))
	d.elsewhere("erin", "frank")
	for _, c := range players {
		if err := c.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if code := attach.ends(t); code != 0 || !strings.Contains(attach.out.String(), "The match is over: detached.") {
		t.Errorf("with --once it exits with %d", code)
	}
	d.portsFree()

	attach = d.attach()
	attach.says(t, "Ready, the next match", 1)
	d.up.signal(t, syscall.SIGKILL)
	if code := attach.ends(t); code != 1 || !strings.Contains(attach.out.String(), "is gone") {
		t.Errorf("without a suite it exits with %d", code)
	}
	d.portsFree()
	if lost := d.attach(); lost.ends(t) != 1 || !strings.Contains(lost.out.String(), "no torikumi up is found") {
		t.Error("it attaches to a suite that was killed")
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return !strings.HasPrefix(e.Name(), "torikumi-suite-") }) {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
