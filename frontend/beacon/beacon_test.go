package beacon_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/frontend/beacon"
	"torikumi/frontend/internal/echo"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/pkg/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings() *beacon.Config {
	cfg := new(beacon.Config)
	config.Default(cfg)
	cfg.LogLevel = 12
	cfg.UDPListen, cfg.HTTPListen, cfg.AdminListen = []string{"127.0.0.1:0", "[::1]:0"}, "127.0.0.1:0", "127.0.0.1:0"
	return cfg
}

// start runs a beacon until the test ends.
func start(t *testing.T, cfg *beacon.Config) service.Addrs {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	up, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { done <- beacon.Run(ctx, cfg, func(a service.Addrs) { up <- a }) }()
	select {
	case a := <-up:
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return a
	case err := <-done:
		cancel()
		t.Fatal(err)
		return service.Addrs{}
	}
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func get(t *testing.T, method, url string) (resp *http.Response, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Origin", "https://any.example")
	resp, err = client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestBeacon: two run in one process, answer by both ways, and say to their operators
// alone how much.
func TestBeacon(t *testing.T) {
	addrs, other := start(t, settings()), start(t, settings())
	if len(addrs.UDPAll) != 2 || addrs.UDPAll[0] == other.UDPAll[0] {
		t.Fatalf("listens on %q and %q", addrs.UDPAll, other.UDPAll)
	}
	for i, at := range addrs.UDPAll {
		conn, err := net.Dial("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		nonce := [echo.NonceSize]byte{byte(i), 1}
		buf := make([]byte, 100)
		_, _ = conn.Write([]byte("hello"))
		_, _ = conn.Write(echo.Request(nonce))
		if n, err := conn.Read(buf); err != nil || !echo.Answers(buf[:n], nonce) {
			t.Errorf("%s: %q, %v", at, buf[:n], err)
		}
	}
	resp, body := get(t, "GET", "http://"+addrs.HTTP+"/ping")
	h := resp.Header
	if resp.StatusCode != http.StatusNoContent || body != "" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Timing-Allow-Origin") != "*" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("ping: %s %q %v", resp.Status, body, h)
	}
	for path, code := range map[string]int{"/metrics": 404, "/livez": 404, "/readyz": 404, "/debug/pprof/": 404, "/": 404} {
		if resp, _ := get(t, "GET", "http://"+addrs.HTTP+path); resp.StatusCode != code {
			t.Errorf("%s where everybody can ask: %s", path, resp.Status)
		}
	}
	if resp, _ := get(t, "POST", "http://"+addrs.HTTP+"/ping"); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
	if resp, _ := get(t, "GET", "http://"+addrs.Admin+"/readyz"); resp.StatusCode != http.StatusOK {
		t.Errorf("readyz: %s", resp.Status)
	}
	eventually.True(t, "all is counted", func() bool {
		_, metrics := get(t, "GET", "http://"+addrs.Admin+"/metrics")
		for _, line := range []string{
			`torikumi_beacon_datagrams_total{result="answered"} 2`, `torikumi_beacon_datagrams_total{result="malformed"} 2`,
			`torikumi_beacon_datagrams_total{result="source_limit"} 0`, "torikumi_beacon_pings_total 1",
		} {
			if !strings.Contains(metrics, line+"\n") {
				return false
			}
		}
		return true
	})
	if _, metrics := get(t, "GET", "http://"+other.Admin+"/metrics"); !strings.Contains(metrics, `torikumi_beacon_datagrams_total{result="answered"} 0`) {
		t.Error("what one beacon answers counts for the other")
	}
}

// TestKeepAlive: a client measures over one connection.
func TestKeepAlive(t *testing.T) {
	addrs := start(t, settings())
	conn, err := net.Dial("tcp", addrs.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
	defer transport.CloseIdleConnections()
	for i := range 3 {
		resp, err := (&http.Client{Transport: transport}).Get("http://" + addrs.HTTP + "/ping")
		if err != nil {
			t.Fatalf("ping %d: %v", i, err)
		}
		_ = resp.Body.Close()
	}
}

// TestPortIsTaken: what was opened before is closed again.
func TestPortIsTaken(t *testing.T) {
	addrs := start(t, settings())
	cfg := settings()
	cfg.UDPListen = []string{"127.0.0.1:0", addrs.UDPAll[0]}
	if err := beacon.Run(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "start beacon: listen for UDP: ") {
		t.Errorf("%v", err)
	}
}

// TestFailedStart: whatever fails, no socket is left open.
func TestFailedStart(t *testing.T) {
	addrs := start(t, settings())
	cfg := settings()
	// Again, if somebody else gets the port meanwhile.
	eventually.NoError(t, "the start fails", func() error {
		free, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		cfg.UDPListen, cfg.HTTPListen = []string{free.LocalAddr().String()}, addrs.HTTP
		free.Close()
		if err := beacon.Run(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "listen for HTTP: ") {
			return fmt.Errorf("by %w", err)
		}
		return nil
	})
	eventually.NoError(t, "the port is free after a failed start", func() error {
		again, err := net.ListenPacket("udp", cfg.UDPListen[0])
		if err != nil {
			return err
		}
		return again.Close()
	})
}

func TestSettings(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel() // what is taken after all ends at once
	for want, change := range map[string]func(*beacon.Config){
		"--admin-listen: required":                    func(c *beacon.Config) { c.AdminListen = "" },
		"--udp-listen: required":                      func(c *beacon.Config) { c.UDPListen = nil },
		"--udp-listen: must be host:port":             func(c *beacon.Config) { c.UDPListen = []string{":7800", "7800"} },
		"--source-rate: must be from 1":               func(c *beacon.Config) { c.SourceRate = 0 },
		"--source-rate: must be at most --total-rate": func(c *beacon.Config) { c.SourceRate = c.TotalRate + 1 },
		"--total-rate: must be from 1":                func(c *beacon.Config) { c.SourceRate, c.TotalRate = 1, 0 },
		"--tls-cert: required":                        func(c *beacon.Config) { c.HTTPSListen = ":8443" },
		"certificate of --https-listen: open /nothing.crt": func(c *beacon.Config) {
			c.HTTPSListen, c.TLSCert, c.TLSKey = "127.0.0.1:0", "/nothing.crt", "/nothing.key"
		},
	} {
		cfg := settings()
		change(cfg)
		if err := beacon.Run(over, cfg, nil); err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
