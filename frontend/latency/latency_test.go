package latency_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/frontend/beacon"
	"torikumi/frontend/latency"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) service.Addrs {
	t.Helper()
	cfg := new(beacon.Config)
	config.Default(cfg)
	cfg.LogLevel = 12
	cfg.UDPListen, cfg.HTTPListen, cfg.AdminListen = []string{"127.0.0.1:0"}, "127.0.0.1:0", "127.0.0.1:0"
	ctx, cancel := context.WithCancel(context.Background())
	up, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { done <- beacon.Run(ctx, cfg, func(a service.Addrs) { up <- a }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-up:
		return a
	case err := <-done:
		t.Fatal(err)
		return service.Addrs{}
	}
}

// far passes datagrams on to a beacon, each way after a delay, and answers of its own
// before them, which are not to be taken.
func far(t *testing.T, to string, delay time.Duration) string {
	t.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var passing sync.WaitGroup
	pass := func(request []byte, from net.Addr) {
		_, _ = front.WriteTo([]byte("torikuA1 guess of nonce"), from)
		_, _ = front.WriteTo([]byte("torikuA1abcdefghijklmnop"), from)
		time.Sleep(delay) // the distance
		back, err := net.Dial("udp", to)
		if err != nil {
			return
		}
		defer back.Close()
		_ = back.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = back.Write(request)
		answer := make([]byte, 100)
		n, _ := back.Read(answer)
		_, _ = front.WriteTo(answer[:n], from)
	}
	passing.Go(func() {
		buf := make([]byte, 100)
		for {
			n, from, err := front.ReadFrom(buf)
			if err != nil {
				return
			}
			request := slices.Clone(buf[:n])
			passing.Go(func() { pass(request, from) })
		}
	})
	t.Cleanup(func() { front.Close(); passing.Wait() })
	return front.LocalAddr().String()
}

// silent takes datagrams and never answers.
func silent(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// closed is an address where nobody takes datagrams: its socket is for those of another.
func closed(t *testing.T) string {
	t.Helper()
	conn, err := net.Dial("udp", silent(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().String()
}

// TestMeasure: each region gets its own latency, by the way that works, and those that do
// not answer are left out.
func TestMeasure(t *testing.T) {
	at := start(t)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	ping := "http://" + at.HTTP + "/ping"
	got := latency.Measure(t.Context(), []*torikumiv1.Region{
		{Name: "near", Udp: at.UDPAll[0]},
		{Name: "far", Udp: far(t, at.UDPAll[0], 80*time.Millisecond), Http: ping},
		{Name: "web", Http: ping},
		{Name: "web-after-silence", Udp: silent(t), Http: ping},
		{Name: "gone", Udp: closed(t), Http: "http://" + porttest.Hold(t).String() + "/ping"},
		{Name: "no-beacon", Http: other.URL},
		{Name: "nonsense", Udp: "nowhere", Http: ":"},
		{Name: "nothing"},
	}, latency.Options{Samples: 3, Timeout: 5 * time.Second}) // of which silence takes two
	for _, name := range []string{"near", "far", "web", "web-after-silence"} {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is not measured", name)
		}
	}
	if len(got) != 4 || got["far"] < 80 {
		t.Errorf("%v", got)
	}
}

// TestFirstDoesNotCount: it opens the way.
func TestFirstDoesNotCount(t *testing.T) {
	var asked atomic.Int32
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			time.Sleep(2 * time.Second) // the distance
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(slow.Close)
	// Again, if the machine is so busy that the second takes as long.
	eventually.NoError(t, "the second counts alone", func() error {
		asked.Store(0)
		got := latency.Measure(t.Context(), []*torikumiv1.Region{{Name: "a", Http: slow.URL}}, latency.Options{Samples: 1, Timeout: time.Minute})
		if ms, ok := got["a"]; !ok || ms >= 2000 || asked.Load() != 2 {
			return fmt.Errorf("%v after %d requests", got, asked.Load())
		}
		return nil
	})
}

// TestMeasureEnds: with the context, though nobody answers.
func TestMeasureEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if got := latency.Measure(ctx, []*torikumiv1.Region{{Name: "a", Udp: silent(t)}}, latency.Options{Timeout: time.Hour}); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
