package cli

import (
	"context"
	"encoding/json"
	"testing"

	"torikumi/loadgen/loadgen"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
)

// TestOtherOpenMatch: players are matched by one that runs already, at an address that
// only Linux has without being told to.
func TestOtherOpenMatch(t *testing.T) {
	const host = "127.0.0.9"
	evaluator := porttest.Hold(t).String()
	cfg := new(minimatch.Config)
	config.Default(cfg)
	cfg.Host, cfg.Evaluator = host, evaluator
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- minimatch.Run(ctx, cfg, func(service.Addrs) { close(ready) }) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	code, out, errs := loader(t)("--up=--open-match="+host+" --evaluator-listen="+evaluator+" --fleet=virtual:100", "--target=frontend", "--wait=sse",
		"--rate=20", "--duration=1s", "--skill-deviation=0", "--timeout=1m", "--json=-")
	var r loadgen.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if code != 0 || !r.OK || r.Assigned != 20 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
