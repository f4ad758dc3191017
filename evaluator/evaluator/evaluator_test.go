package evaluator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"torikumi/evaluator/evaluator"
	"torikumi/pkg/config"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func defaults() *evaluator.Config {
	cfg := new(evaluator.Config)
	config.Default(cfg)
	return cfg
}

func TestConfig(t *testing.T) {
	if err := config.Validate(defaults()); err != nil {
		t.Errorf("the defaults are wrong: %v", err)
	}
	err := config.Validate(&evaluator.Config{HTTPListen: "nowhere", Effort: -1, Config: service.Config{LogFormat: "text", ShutdownTimeout: 1}})
	for _, flag := range []string{"--grpc-listen", "--http-listen", "--max-proposals", "--max-tickets", "--effort", "--choose-time"} {
		if err == nil || !strings.Contains(err.Error(), flag+":") {
			t.Errorf("no word of %s: %v", flag, err)
		}
	}
}

// Two replicas in one process answer, are ready, and stop with a call open.
func TestRun(t *testing.T) {
	for range 2 {
		t.Run("replica", func(t *testing.T) {
			t.Parallel()
			serveOnce(t)
		})
	}
}

func serveOnce(t *testing.T) {
	cfg := defaults()
	cfg.GRPCListen, cfg.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	addrs, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- evaluator.Run(ctx, cfg, func(a service.Addrs) { addrs <- a }) }()
	var a service.Addrs
	select {
	case a = <-addrs:
	case err := <-ended:
		t.Fatalf("start: %v", err)
	}

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + a.HTTP + "/readyz")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("ready: %v, %v", resp, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}

	conn, err := rpc.Dial(a.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := openmatch.NewEvaluatorClient(conn).Evaluate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&openmatch.EvaluateRequest{Match: &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{{Id: "t"}}}}); err != nil {
		t.Fatal(err)
	}
	cancel() // the open call still gets its answer
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || r.GetMatchId() != "m" {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}
