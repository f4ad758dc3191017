package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/process"
)

func TestMain(m *testing.M) {
	if os.Getenv("PROCESS_TEST_PARENT") != "" {
		os.Exit(parent())
	}
	goleak.VerifyTestMain(m)
}

// output is a writer that a test can look at while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func backend(t testing.TB, opts process.Options) *process.Backend {
	t.Helper()
	b, err := process.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// start runs a shell command as a server named "s" until the end of the test.
func start(t testing.TB, b *process.Backend, env ...string) fleet.Instance {
	t.Helper()
	i, err := b.Start(t.Context(), fleet.Spec{Name: "s", Env: env})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { i.Stop(0); <-i.Done() })
	return i
}

func TestOutputAndEnv(t *testing.T) {
	var out output
	b := backend(t, process.Options{
		Command: `env printf '%s %s\n12345678901234567890\nend' "$PORT" "$OWN"`,
		Env:     append(os.Environ(), "OWN=base", "PORT=1"), Output: &out, LineLimit: 12,
	})
	i := start(t, b, "PORT=7777")
	<-i.Done()
	if err := i.Err(); err != nil {
		t.Error(err)
	}
	if got, want := out.String(), "[s] 7777 base\n[s] 123456789012…\n[s] end\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

func TestExitStatus(t *testing.T) {
	b := backend(t, process.Options{Command: `sh -c 'for i in $(seq 30); do echo line $i; done; exit 3'`})
	i := start(t, b)
	<-i.Done()
	var exit *fleet.Failure
	if !errors.As(i.Err(), &exit) || exit.ExitCode != 3 || exit.Reason != "exit status 3" {
		t.Fatalf("got %#v", i.Err())
	}
	if n := len(exit.Output); n != 20 || exit.Output[0] != "line 11" || exit.Output[n-1] != "line 30" {
		t.Errorf("output %q, want the last 20 lines", exit.Output)
	}
}

func TestStartFails(t *testing.T) {
	b := backend(t, process.Options{Args: []string{"/no/such/program", "-x"}})
	if _, err := b.Start(t.Context(), fleet.Spec{Name: "s"}); err == nil || !strings.Contains(err.Error(), "/no/such/program -x") {
		t.Errorf("got %v, want an error that names the program", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Start(ctx, fleet.Spec{Name: "s"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.Start(t.Context(), fleet.Spec{Name: "s"}); err == nil {
		t.Error("a closed backend starts a server")
	}
}

func TestPorts(t *testing.T) {
	b := backend(t, process.Options{Command: "true"})
	seen := make(map[int32]fleet.Place)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				p, err := b.Place(t.Context(), fleet.Spec{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if _, ok := seen[p.Ports[0].Port]; ok {
					t.Errorf("port %d was given out twice", p.Ports[0].Port)
				}
				seen[p.Ports[0].Port] = p
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	bind := func(place fleet.Place) error {
		c, err := net.ListenPacket("udp", net.JoinHostPort(place.Address, strconv.Itoa(int(place.Ports[0].Port))))
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	for port, place := range seen {
		if bind(place) == nil {
			t.Errorf("port %d is not held until the start", port)
		}
		place.Release()
		if err := bind(place); err != nil {
			t.Errorf("port %d is not free after its release: %v", port, err)
		}
	}

	place, err := b.Place(t.Context(), fleet.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	i, err := b.Start(t.Context(), fleet.Spec{Name: "s", Place: place})
	if err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	if err := bind(place); err != nil {
		t.Errorf("a program can't bind its port: %v", err)
	}
	place.Release()
}

// TestProtocols: the port is held for its protocols, and for no other.
func TestProtocols(t *testing.T) {
	for protocol, want := range map[string][2]bool{"UDP": {true, false}, "TCP": {false, true}, "TCPUDP": {true, true}} {
		b := backend(t, process.Options{Command: "true", Protocol: protocol})
		// Somebody else may have the port for a protocol for which it is not held.
		var fault string
		for range 10 {
			if fault = holds(t, b, want); fault == "" {
				break
			}
		}
		if fault != "" {
			t.Errorf("%s: %s", protocol, fault)
		}
	}
}

// holds says what is wrong with how a backend holds a port for UDP and TCP.
func holds(t *testing.T, b *process.Backend, want [2]bool) string {
	t.Helper()
	place, err := b.Place(t.Context(), fleet.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	defer place.Release()
	at := net.JoinHostPort(place.Address, strconv.Itoa(int(place.Ports[0].Port)))
	free := func() (udp, tcp bool) {
		if c, err := net.ListenPacket("udp", at); err == nil {
			udp = c.Close() == nil
		}
		if l, err := net.Listen("tcp", at); err == nil {
			tcp = l.Close() == nil
		}
		return udp, tcp
	}
	if udp, tcp := free(); udp == want[0] || tcp == want[1] {
		return fmt.Sprintf("free for UDP: %v, for TCP: %v", udp, tcp)
	}
	i, err := b.Start(t.Context(), fleet.Spec{Name: "s", Place: place})
	if err != nil {
		t.Fatal(err)
	}
	<-i.Done()
	if udp, tcp := free(); !udp || !tcp {
		return fmt.Sprintf("a program cannot bind its port (UDP: %v, TCP: %v)", udp, tcp)
	}
	return ""
}

func TestOptionsAreChecked(t *testing.T) {
	for field, opts := range map[string]process.Options{
		"Command":   {},
		"Args":      {Command: "a", Args: []string{"b"}},
		"Address":   {Command: "a", Address: "localhost"},
		"LineLimit": {Command: "a", LineLimit: -1},
		"Protocol":  {Command: "a", Protocol: "SCTP"},
	} {
		if _, err := process.New(opts); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want an error that names it", field, err)
		}
	}
}

// parent is a process that starts a server and waits to be killed.
func parent() int {
	b, err := process.New(process.Options{Command: "sleep 600"})
	if err != nil {
		return 1
	}
	i, err := b.Start(context.Background(), fleet.Spec{Name: "s"})
	if err != nil {
		return 1
	}
	<-i.Done()
	return 0
}
