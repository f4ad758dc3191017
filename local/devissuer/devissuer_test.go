package devissuer_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"torikumi/local/devissuer"
	"torikumi/local/issuer"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func load(args ...string) (*devissuer.Config, error) {
	cfg := new(devissuer.Config)
	return cfg, config.Load("devissuer", "DEVISSUER_", cfg, args, func(string) string { return "" }, io.Discard)
}

func TestMustBeDevelopment(t *testing.T) {
	dir := t.TempDir()
	_, err := load("--keys-dir=" + dir)
	if err == nil || !strings.Contains(err.Error(), "--development: required: whoever reaches this issuer can be any player") {
		t.Errorf("without --development: %v", err)
	}
	cfg := &devissuer.Config{KeysDir: dir, HTTPListen: "127.0.0.1:0"}
	if err := devissuer.Run(t.Context(), cfg, func(service.Addrs) { t.Error("it serves") }); err == nil {
		t.Error("Run takes what the command line does not")
	}
	if _, err := load("--development"); err == nil || !strings.Contains(err.Error(), "--keys-dir: required") {
		t.Errorf("without --keys-dir: %v", err)
	}
}

// run starts an issuer, calls use with its base URL, and stops it.
func run(t *testing.T, dir string, use func(base string)) {
	t.Helper()
	cfg, err := load("--development", "--http-listen=127.0.0.1:0", "--keys-dir="+dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { done <- devissuer.Run(ctx, cfg, func(a service.Addrs) { started <- a }) }()
	select {
	case a := <-started:
		use("http://" + a.HTTP)
	case err := <-done:
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s %v", resp.Status, raw, err)
	}
	return string(raw)
}

// It makes a key where there is none, and the same directory gives the same key
// set after a restart.
func TestKeyStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var sets []string
	for range 2 {
		run(t, dir, func(base string) {
			resp, err := client.Get(base + token.JWKSPath)
			sets = append(sets, read(t, resp, err))
			resp, err = client.Post(base+issuer.TokenPath, "application/json", strings.NewReader(`{"player":"alice"}`))
			if body := read(t, resp, err); !strings.Contains(body, `"token":"ey`) {
				t.Errorf("no token in %s", body)
			}
		})
	}
	if sets[0] != sets[1] {
		t.Errorf("the keys have changed: %s, %s", sets[0], sets[1])
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%d keys, %v", len(entries), err)
	}
}
