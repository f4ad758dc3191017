package matchfunction_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/wasm/wasmtest"
	"torikumi/matchfunction/matchfunction"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/porttest"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func defaults() *matchfunction.Config {
	cfg := new(matchfunction.Config)
	config.Default(cfg)
	return cfg
}

func TestConfig(t *testing.T) {
	if err := config.Validate(defaults()); err != nil {
		t.Errorf("the defaults are wrong: %v", err)
	}
	err := config.Validate(&matchfunction.Config{GRPCListen: "nowhere", Config: service.Config{LogFormat: "text", ShutdownTimeout: 1}})
	for _, flag := range []string{"--grpc-listen", "--http-listen", "--query", "--query-timeout", "--name"} {
		if err == nil || !strings.Contains(err.Error(), flag+":") {
			t.Errorf("no word of %s: %v", flag, err)
		}
	}
}

// start runs the service until the test ends.
func start(t *testing.T, query string, change ...func(*matchfunction.Config)) service.Addrs {
	t.Helper()
	cfg := defaults()
	cfg.GRPCListen, cfg.HTTPListen, cfg.Query = "127.0.0.1:0", "127.0.0.1:0", query
	for _, f := range change {
		f(cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	addrs, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- matchfunction.Run(ctx, cfg, func(a service.Addrs) { addrs <- a }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	select {
	case a := <-addrs:
		return a
	case err := <-ended:
		ended <- err
		t.Fatalf("start: %v", err)
		return service.Addrs{}
	}
}

// twoTickets is a query service in which two wait.
type twoTickets struct {
	openmatch.UnimplementedQueryServiceServer
}

func (twoTickets) QueryTickets(_ *openmatch.QueryTicketsRequest, stream grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error {
	now := timestamppb.Now()
	return stream.Send(&openmatch.QueryTicketsResponse{Tickets: []*openmatch.Ticket{{Id: "a", CreateTime: now}, {Id: "b", CreateTime: now}}})
}

// query serves twoTickets at the address and returns what stops it.
func query(t *testing.T, addr string) (stop func()) {
	t.Helper()
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	openmatch.RegisterQueryServiceServer(s, twoTickets{})
	served := make(chan error, 1)
	go func() { served <- s.Serve(lis) }()
	return func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

// proposals calls the service as Open Match does, for one against one.
func proposals(t *testing.T, addr string) (int, error) {
	t.Helper()
	team := func(name string) *torikumiv1.TeamSpec {
		return &torikumiv1.TeamSpec{Name: name, MinPlayers: 1, MaxPlayers: 1}
	}
	return proposalsBy(t, addr, &torikumiv1.ProfileDetails{Queue: "session",
		Rules: &torikumiv1.ProfileDetails_Skill{Skill: &torikumiv1.SkillRules{Teams: []*torikumiv1.TeamSpec{team("red"), team("blue")}}}})
}

func proposalsBy(t *testing.T, addr string, details *torikumiv1.ProfileDetails) (int, error) {
	t.Helper()
	conn, err := rpc.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}()
	p := &openmatch.MatchProfile{Name: "session", Pools: []*openmatch.Pool{{Name: "all"}}}
	if err := contract.Put(&p.Extensions, contract.ProfileExtension, details); err != nil {
		t.Fatal(err)
	}
	stream, err := openmatch.NewMatchFunctionClient(conn).Run(t.Context(), &openmatch.RunRequest{Profile: p})
	if err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

func ready(t *testing.T, addr string) bool {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	return resp.StatusCode == http.StatusOK
}

func poll(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("never: %s", what)
		}
	}
}

// Two replicas lose the query service, say so, and go on when it is back.
func TestQueryServiceComesAndGoes(t *testing.T) {
	at := porttest.Hold(t).String()
	replicas := []service.Addrs{start(t, at), start(t, at)}
	for range 2 {
		for _, a := range replicas {
			poll(t, "not ready", func() bool { return !ready(t, a.HTTP) })
			if _, err := proposals(t, a.GRPC); status.Code(err) != codes.Unavailable {
				t.Errorf("without the query service: %v", err)
			}
		}
		stop := query(t, at)
		for _, a := range replicas {
			poll(t, "ready", func() bool { return ready(t, a.HTTP) })
			if n, err := proposals(t, a.GRPC); n != 1 || err != nil {
				t.Errorf("%d proposals, %v", n, err)
			}
		}
		stop()
	}
}

// The service judges by the module that is in its folder, also when that changes
// while it serves, and counts one that fails.
func TestModules(t *testing.T) {
	at := porttest.Hold(t).String()
	defer query(t, at)()
	dir := t.TempDir()
	write := func(module []byte) {
		t.Helper()
		file := filepath.Join(dir, "own.wasm")
		if err := os.WriteFile(file+".new", module, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(wasmtest.Refuse("never"))
	a := start(t, at, func(c *matchfunction.Config) { c.RuleModules, c.ModuleTime = dir, time.Minute })
	poll(t, "ready", func() bool { return ready(t, a.HTTP) })
	found := func(module string) (int, error) {
		return proposalsBy(t, a.GRPC, &torikumiv1.ProfileDetails{Queue: "duel", Rules: &torikumiv1.ProfileDetails_RuleSet{RuleSet: `{"ruleLanguageVersion": "1.0",
			"name": "duel", "teams": [{"name": "duel", "minPlayers": 2, "maxPlayers": 2}], "rules": [{"name": "own", "type": "custom", "rule": "` + module + `"}]}`}})
	}
	if n, err := found("own.wasm"); n != 0 || err != nil {
		t.Errorf("%d proposals, %v", n, err)
	}
	if _, err := found("other.wasm"); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), `rules[0] (rule "own"): rule: the folder of modules (--rule-modules) has no "other.wasm"`) {
		t.Errorf("a module that is not there: %v", err)
	}
	write(wasmtest.Allow())
	poll(t, "the other module", func() bool { n, err := found("own.wasm"); return n == 1 && err == nil })
	write([]byte("no module"))
	poll(t, "the wrong file", func() bool {
		return strings.Contains(metrics(t, a.HTTP), "torikumi_matchfunction_modules_last_reload_successful 0\n")
	})
	if n, err := found("own.wasm"); n != 1 || err != nil {
		t.Errorf("with a wrong file: %d proposals, %v", n, err)
	}
	write(wasmtest.Judge("", wasmtest.Unreachable))
	poll(t, "the one that fails", func() bool { n, err := found("own.wasm"); return n == 0 && err == nil })
	text := metrics(t, a.HTTP)
	for _, want := range []string{`torikumi_matchfunction_failed_rules_total{queue="duel",rule="own"} `, `torikumi_matchfunction_module_info{digest="`} {
		if !strings.Contains(text, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func metrics(t *testing.T, addr string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAddressInUse(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := lis.Close(); err != nil {
			t.Error(err)
		}
	}()
	cfg := defaults()
	cfg.GRPCListen, cfg.HTTPListen = lis.Addr().String(), "127.0.0.1:0"
	if err := matchfunction.Run(t.Context(), cfg, nil); err == nil {
		t.Error("started on an address that is taken")
	}
}
