package clusterattach

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"torikumi/gameserver/gate"
	"torikumi/miniagones/kubernetes/attach"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// TestGateEnds: a gate that ends unasked is told of; one that never ran, or was stopped, is
// told of by start and stop alone.
func TestGateEnds(t *testing.T) {
	broken := errors.New("broken")
	die, failed := make(chan error), make(chan error, 1)
	cfg := new(Config)
	config.Default(cfg)
	g := &gates{cfg: cfg, log: slog.New(slog.DiscardHandler), keys: "http://127.0.0.1:1/jwks.json", stopKeys: func() {}}
	g.run = func(ctx context.Context, cfg *gate.Config, started func(service.Addrs)) error {
		if cfg.Journal != "" || cfg.HTTPListen != "127.0.0.1:8085" {
			t.Errorf("a gate with journal %q, at %s", cfg.Journal, cfg.HTTPListen)
		}
		if cfg.Issuer == "wrong" {
			return broken
		}
		started(service.Addrs{})
		select {
		case err := <-die:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	start := func(issuer string) (func(), error) {
		return g.start(t.Context(), attach.Server{Gate: attach.GateSettings{Issuer: issuer, JWKSURL: "x"}}, func(err error) { failed <- err })
	}
	if _, err := start("wrong"); !errors.Is(err, broken) || len(failed) > 0 {
		t.Errorf("one that does not run: %v", err)
	}
	stop, err := start("right")
	if err != nil {
		t.Fatal(err)
	}
	if stop(); len(failed) > 0 {
		t.Errorf("one that is stopped: %v", <-failed)
	}
	for _, with := range []error{broken, nil} {
		if stop, err = start("right"); err != nil {
			t.Fatal(err)
		}
		die <- with
		if err := <-failed; with != nil && !errors.Is(err, with) || with == nil && !strings.Contains(err.Error(), "has ended") {
			t.Errorf("one that ends with %v: %v", with, err)
		}
		stop()
	}
}
