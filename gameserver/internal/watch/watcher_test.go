package watch_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/pkg/eventually"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/agones/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type recorder struct {
	mu    sync.Mutex
	views []watch.View
}

func (r *recorder) observe(v watch.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.views = append(r.views, v)
}

func follow(t *testing.T, s *harness.SDK, change ...func(*watch.Options)) (*watch.Watcher, *recorder) {
	t.Helper()
	conn, err := rpc.Dial("127.0.0.1:" + strconv.Itoa(s.Port()))
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	o := watch.Options{SDK: sdk.NewSDKClient(conn), Observe: r.observe, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	f := watch.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := f.Refresh(context.Background()); !errors.Is(err, watch.ErrUnavailable) {
			t.Errorf("Refresh after the end: %v", err)
		}
		_ = conn.Close()
	})
	eventually.True(t, "the watcher has a view", func() bool { _, ok := f.Current(); return ok && f.Lost() == 0 })
	return f, r
}

func TestRefreshIsSharedAndPaced(t *testing.T) {
	s := harness.StartSDK(t)
	f, _ := follow(t, s)
	_, _, _, before := s.Calls()
	s.Blind(true)
	s.SetState("Allocated")
	var wg sync.WaitGroup
	begin := time.Now()
	for range 50 {
		wg.Go(func() {
			if v, err := f.Refresh(t.Context()); err != nil || v.State != "Allocated" {
				t.Errorf("fresh = %+v, %v", v, err)
			}
		})
	}
	wg.Wait()
	// Callers who are late cause questions of their own.
	most := 3 + int(time.Since(begin)/(200*time.Millisecond))
	if _, _, _, after := s.Calls(); after-before > most {
		t.Errorf("50 callers have caused %d questions, want at most %d", after-before, most)
	}
}

// TestChangeThatTheWatchMisses: nobody asks and no event comes.
func TestChangeThatTheWatchMisses(t *testing.T) {
	s := harness.StartSDK(t)
	s.Blind(true)
	f, _ := follow(t, s, func(o *watch.Options) { o.ResyncInterval = 10 * time.Millisecond })
	s.SetState("Allocated")
	eventually.True(t, "the change is seen", func() bool { v, _ := f.Current(); return v.State == "Allocated" })
}

// TestSharedServer: what a director stamps on a server for several matches.
func TestSharedServer(t *testing.T) {
	s := harness.StartSDK(t)
	f, _ := follow(t, s)
	for _, c := range []struct {
		value string
		want  bool
	}{{"true", true}, {"false", false}} {
		s.Change(func(gs *sdk.GameServer) {
			gs.Status.State = agones.Allocated
			gs.ObjectMeta.Labels[contract.MatchLabel], gs.ObjectMeta.Labels[contract.SharedLabel] = "", c.value
		})
		if v, err := f.Refresh(t.Context()); err != nil || v.Shared != c.want {
			t.Errorf("%s: %+v, %v", c.value, v, err)
		}
	}
}

func TestOlderViewIsDropped(t *testing.T) {
	s := harness.StartSDK(t)
	s.Change(func(*sdk.GameServer) {})
	s.SetState("Ready")
	f, r := follow(t, s)
	eventually.True(t, "it is told of changes", func() bool { return s.Watchers() == 1 })
	s.SetState("Allocated")
	eventually.True(t, "the change is seen", func() bool { v, _ := f.Current(); return v.State == "Allocated" })
	// An event from before, which comes late.
	s.Late(func(gs *sdk.GameServer) { gs.Status.State = "Ready"; gs.ObjectMeta.ResourceVersion = "1" })
	s.SetState("Reserved")
	eventually.True(t, "the next change is seen", func() bool { v, _ := f.Current(); return v.State == "Reserved" })
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, v := range r.views[1:] {
		if v.State == "Ready" && r.views[i].State == "Allocated" {
			t.Errorf("an older view came after a newer one: %+v", r.views)
		}
	}
}

func TestRestartOfTheSDK(t *testing.T) {
	s := harness.StartSDK(t)
	f, _ := follow(t, s)
	s.Stop()
	eventually.True(t, "the loss is noticed", func() bool { return f.Lost() > 0 })
	if _, err := f.Refresh(t.Context()); !errors.Is(err, watch.ErrUnavailable) {
		t.Errorf("Refresh: %v", err)
	}
	// It counts anew after its restart; its word still counts.
	s.Change(func(gs *sdk.GameServer) { gs.Status.State = "Ready" })
	s.ResetVersion()
	s.Restart()
	eventually.True(t, "the new state is seen", func() bool { v, _ := f.Current(); return v.State == "Ready" && f.Lost() == 0 })
}

// overtaken is an SDK whose first answer is taken after a newer one.
type overtaken struct {
	sdk.SDKClient
	mu       sync.Mutex
	gets     int
	asked    chan struct{}
	answered chan struct{}
}

type quiet struct {
	grpc.ServerStreamingClient[sdk.GameServer]
	ctx context.Context
}

func (q quiet) Recv() (*sdk.GameServer, error) { <-q.ctx.Done(); return nil, q.ctx.Err() }

func (o *overtaken) WatchGameServer(ctx context.Context, _ *sdk.Empty, _ ...grpc.CallOption) (grpc.ServerStreamingClient[sdk.GameServer], error) {
	return quiet{ctx: ctx}, nil
}

func (o *overtaken) GetGameServer(context.Context, *sdk.Empty, ...grpc.CallOption) (*sdk.GameServer, error) {
	o.mu.Lock()
	o.gets++
	first := o.gets == 1
	o.mu.Unlock()
	view := func(version, state string) *sdk.GameServer {
		return &sdk.GameServer{ObjectMeta: &sdk.GameServer_ObjectMeta{Uid: "u", ResourceVersion: version}, Status: &sdk.GameServer_Status{State: state}}
	}
	if first {
		close(o.asked)
		<-o.answered
		return view("5", "Ready"), nil
	}
	return view("6", "Allocated"), nil
}

func TestFirstAnswerIsOvertaken(t *testing.T) {
	c, r := &overtaken{asked: make(chan struct{}), answered: make(chan struct{})}, &recorder{}
	f := watch.New(watch.Options{SDK: c, Observe: r.observe, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	<-c.asked
	if _, err := f.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	close(c.answered)
	eventually.True(t, "the watch works", func() bool { return f.Lost() == 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(r.views) != 1 || r.views[0].State != "Allocated" {
		t.Errorf("observed %+v", r.views)
	}
}

// silent is an SDK that is not there.
type silent struct{ sdk.SDKClient }

func (silent) WatchGameServer(context.Context, *sdk.Empty, ...grpc.CallOption) (grpc.ServerStreamingClient[sdk.GameServer], error) {
	return nil, errors.New("connection refused")
}

// TestNoSDK: it is logged, once, that the SDK does not come.
func TestNoSDK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		for limit, lines := range map[time.Duration]int{4 * time.Second: 0, time.Minute: 1} {
			log.Reset()
			f := watch.New(watch.Options{SDK: silent{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if err := f.Run(ctx); err != nil {
				t.Error(err)
			}
			if n := strings.Count(log.String(), "the Agones SDK cannot be reached since the start"); n != lines {
				t.Errorf("%d lines in %v, want %d:\n%s", n, limit, lines, &log)
			}
		}
	})
}
