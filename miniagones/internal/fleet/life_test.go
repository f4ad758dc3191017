package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/process"
	"torikumi/miniagones/internal/virtual"
	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"
)

func waitReady(t testing.TB, r *harness, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.WaitReady(ctx, n, 0); err != nil {
		t.Fatal(err)
	}
}

// follow waits for an event.
func follow(t testing.TB, sub *fleet.Subscription, what string, wanted func(fleet.Event) bool) fleet.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			t.Fatalf("no event: %s: %v", what, err)
		}
		if wanted(e) {
			return e
		}
	}
}

func gameAddr(s *fleet.Server) string {
	return net.JoinHostPort(s.Address, strconv.Itoa(int(s.Ports[0].Port)))
}

func TestSilentServer(t *testing.T) {
	r := run(t, fleet.Options{
		Ready: 1, Max: 1, Backend: children(t, conformance.ModeMute),
		Health: fleet.Health{Period: 20 * time.Millisecond, FailureThreshold: 2, InitialDelay: 20 * time.Millisecond},
	})
	sub := r.Subscribe()
	defer sub.Close()
	e := follow(t, sub, "Unhealthy", func(e fleet.Event) bool { return e.Server.State == agones.Unhealthy })
	follow(t, sub, "gone", func(n fleet.Event) bool { return n.Gone && n.Server.Name == e.Server.Name })
	follow(t, sub, "another one", func(n fleet.Event) bool { return n.From == "" && n.Server.UID != e.Server.UID })
	if f := r.Snapshot().LastFailure; f == nil || !strings.Contains(f.Reason, "no sign of life") {
		t.Errorf("last failure %+v", f)
	}
}

func TestServerFallsSilent(t *testing.T) {
	r := run(t, fleet.Options{
		Ready: 1, Max: 1, Backend: children(t, conformance.ModeServe),
		// Its program has to start within it, on a busy machine too.
		Health: fleet.Health{Period: 3 * time.Second, FailureThreshold: 2},
	})
	waitReady(t, r, 1)
	sub := r.Subscribe()
	defer sub.Close()
	s := r.Snapshot().Servers[0]
	if _, err := conformance.Command(t.Context(), gameAddr(s), "UNHEALTHY"); err != nil {
		t.Fatal(err)
	}
	follow(t, sub, "Unhealthy", func(e fleet.Event) bool { return e.Server.State == agones.Unhealthy })
	follow(t, sub, "replaced", func(e fleet.Event) bool { return e.Server.UID != s.UID && e.Server.State == agones.Ready })
}

// syncBuffer is a log that a test can read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestCrashLoop(t *testing.T) {
	var log syncBuffer
	r := run(t, fleet.Options{
		Ready: 1, Max: 3, Backend: children(t, conformance.ModeCrash),
		BackoffMin: 5 * time.Millisecond, BackoffMax: 100 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	eventually.True(t, "five failures in a row", func() bool { return r.Snapshot().FailuresInARow >= 5 })
	s := r.Snapshot()
	if int(s.Totals.Created) > s.FailuresInARow+1 {
		t.Errorf("%d servers were made in %d pauses", s.Totals.Created, s.FailuresInARow)
	}
	// It is said once that this goes on, and no more of each server.
	const ending = "game servers keep ending"
	eventually.True(t, "that they keep ending is said", func() bool { return strings.Contains(log.String(), ending) })
	if n := strings.Count(log.String(), ending); n != 1 {
		t.Errorf("said %d times that servers keep ending:\n%s", n, &log)
	}
	if n := strings.Count(log.String(), "ended unasked"); n > 4 {
		t.Errorf("%d servers are in the log:\n%s", n, &log)
	}
	f := s.LastFailure
	if f.ExitCode != 3 || f.Reason != "exit status 3" || len(f.Output) != 1 || f.Output[0] != "the dog ate my level" {
		t.Errorf("last failure %+v", f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.WaitReady(ctx, 1, 0); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("WaitReady: %v, want the reason in it", err)
	}
}

func TestMissingProgram(t *testing.T) {
	b, err := process.New(process.Options{Args: []string{"/no/such/server"}})
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, fleet.Options{Ready: 1, Max: 1, Backend: b, BackoffMin: time.Millisecond})
	sub := r.Subscribe()
	defer sub.Close()
	follow(t, sub, "Error", func(e fleet.Event) bool { return e.Server.State == agones.Error })
	if f := r.Snapshot().LastFailure; f == nil || f.ExitCode != -1 || !strings.Contains(f.Reason, "/no/such/server") {
		t.Errorf("last failure %+v", f)
	}
}

func TestSidecar(t *testing.T) {
	var started, stopped atomic.Int32
	envs := make(chan []string, 16)
	r := run(t, fleet.Options{
		Ready: 1, Max: 2, Backend: children(t, conformance.ModeServe),
		Sidecar: func(_ context.Context, s fleet.Spec) ([]string, func(), error) {
			if started.Add(1) == 1 {
				return nil, nil, errors.New("the gate is stuck")
			}
			conn, err := net.Dial("tcp", s.SDKGRPC)
			if err != nil {
				t.Errorf("the SDK server isn't there yet: %v", err)
			} else {
				_ = conn.Close()
			}
			return []string{"TORIKUMI_GATE=here"}, func() { stopped.Add(1) }, nil
		},
		Env: func(s fleet.Spec) []string {
			envs <- s.Env
			return []string{"MORE=1"}
		},
		BackoffMin: time.Millisecond,
	})
	waitReady(t, r, 1)
	if f := r.Snapshot().LastFailure; f == nil || !strings.Contains(f.Reason, "the gate is stuck") {
		t.Errorf("last failure %+v", f)
	}
	eventually.True(t, "the first server is gone", func() bool { return len(r.Snapshot().Servers) == 1 })
	s := r.Snapshot().Servers[0]
	env := strings.Join(<-envs, "\n")
	for _, want := range []string{
		"TORIKUMI_GATE=here", agones.NameEnv + "=" + s.Name, "POD_NAMESPACE=default",
		"PORT=" + strconv.Itoa(int(s.Ports[0].Port)), agones.SDKGRPCPortEnv + "=", agones.SDKHTTPPortEnv + "=",
	} {
		if !strings.Contains(env, want) {
			t.Errorf("environment lacks %s:\n%s", want, env)
		}
	}
	if stopped.Load() != 0 {
		t.Error("the sidecar was stopped before its server")
	}
	r.stop()
	if got := stopped.Load(); got != 1 {
		t.Errorf("%d sidecars were stopped, want 1", got)
	}
}

func TestStopHangingSidecar(t *testing.T) {
	hangs := make(chan struct{}, 16)
	r := run(t, fleet.Options{
		Ready: 1, Max: 1, Backend: children(t, conformance.ModeServe),
		Sidecar: func(ctx context.Context, _ fleet.Spec) ([]string, func(), error) {
			hangs <- struct{}{}
			<-ctx.Done()
			return nil, nil, ctx.Err()
		},
	})
	<-hangs
	r.stop()
	if s := r.Snapshot(); len(s.Servers) != 0 || s.LastFailure != nil {
		t.Errorf("after stop: %+v", s)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	specs := make(chan fleet.Spec, 16)
	r := run(t, fleet.Options{
		Ready: 2, Max: 4, Backend: children(t, conformance.ModeStubborn), Grace: 50 * time.Millisecond,
		Sidecar: func(_ context.Context, s fleet.Spec) ([]string, func(), error) {
			specs <- s
			return nil, nil, nil
		},
	})
	waitReady(t, r, 2)
	servers := r.Snapshot().Servers
	sub := r.Subscribe()
	defer sub.Close()
	r.stop()
	for _, s := range servers {
		c, err := net.ListenPacket("udp", gameAddr(s))
		if err != nil {
			t.Errorf("the game port of %s is taken: %v", s.Name, err)
			continue
		}
		_ = c.Close()
	}
	for range servers {
		spec := <-specs
		for _, addr := range []string{spec.SDKGRPC, spec.SDKHTTP} {
			if c, err := net.Dial("tcp", addr); err == nil {
				_ = c.Close()
				t.Errorf("somebody answers on %s, where the SDK of %s was", addr, spec.Name)
			}
		}
	}
	gone := 0
	for {
		e, err := sub.Next(t.Context())
		if errors.Is(err, fleet.ErrStopped) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Gone {
			gone++
		}
	}
	if s := r.Snapshot(); gone != 2 || len(s.Servers) != 0 || s.Totals.Gone != s.Totals.Created {
		t.Errorf("%d servers told that they are gone, %+v", gone, s)
	}
	if err := r.WaitReady(t.Context(), 1, 0); !errors.Is(err, fleet.ErrStopped) {
		t.Errorf("WaitReady after stop: %v", err)
	}
	late := r.Subscribe()
	defer late.Close()
	if e, err := late.Next(t.Context()); !errors.Is(err, fleet.ErrStopped) {
		t.Errorf("a subscription after stop: %+v, %v", e, err)
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("Run runs twice")
	}
}

func TestVirtualSession(t *testing.T) {
	r := run(t, fleet.Options{Ready: 4, Max: 8, Backend: new(virtual.Backend), Session: 10 * time.Millisecond})
	c := clients(r)
	for range 40 {
		waitReady(t, r, 1)
		c.take(t, "m")
	}
	eventually.True(t, "all forty are gone", func() bool { return r.Snapshot().Totals.Gone == 40 })
	waitReady(t, r, 4)
	if s := r.Snapshot(); s.LastFailure != nil || s.Totals.Created != 44 {
		t.Errorf("%+v", s)
	}
}

func TestSlowSubscriber(t *testing.T) {
	r := run(t, fleet.Options{Ready: 100, Max: 200, Backend: new(virtual.Backend), Session: time.Millisecond})
	sub := r.Subscribe()
	defer sub.Close()
	c := clients(r)
	for sub.Lost() == 0 {
		waitReady(t, r, 1)
		c.take(t, "m")
	}
	if e, err := sub.Next(t.Context()); err != nil || e.Server == nil {
		t.Errorf("after a loss: %+v, %v", e, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := func() fleet.Options {
		return fleet.Options{Name: "local", Ready: 1, Max: 2, Backend: new(virtual.Backend)}
	}
	if _, err := fleet.New(good()); err != nil {
		t.Fatal(err)
	}
	for field, edit := range map[string]func(*fleet.Options){
		"Name":       func(o *fleet.Options) { o.Name = "Bouts" },
		"Name \"x":   func(o *fleet.Options) { o.Name = strings.Repeat("x", 52) },
		"Namespace":  func(o *fleet.Options) { o.Namespace = "a.b" },
		"Ready":      func(o *fleet.Options) { o.Ready = -1 },
		"Max":        func(o *fleet.Options) { o.Ready = 3 },
		"Labels":     func(o *fleet.Options) { o.Labels = map[string]string{"a": "b:c"} },
		"Session":    func(o *fleet.Options) { o.Session = -1 },
		"Backend":    func(o *fleet.Options) { o.Backend = nil },
		"Grace":      func(o *fleet.Options) { o.Grace = -1 },
		"BackoffMin": func(o *fleet.Options) { o.BackoffMin = -1 },
		"BackoffMax": func(o *fleet.Options) { o.BackoffMax = 1 },
	} {
		o := good()
		edit(&o)
		if _, err := fleet.New(o); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want an error that names it", field, err)
		}
	}
}
