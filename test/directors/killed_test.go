//go:build linux

package directors_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"torikumi/director/director"
	"torikumi/local/suite"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// directorCommand makes the test program a director, which can be killed and stopped.
const directorCommand = "director"

func runDirector(args []string) int {
	return service.Start(context.Background(), suite.Director, director.Run, args, func(string) string { return "" }, os.Stdout, os.Stderr)
}

// process is a director in a process of its own.
type process struct {
	cmd   *exec.Cmd
	addrs service.Addrs
}

// process starts one more director, as a process that ends with the test.
func (h *harness) process(listen string, args ...string) *process {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	args = append(args, "--grpc-listen="+listen, "--gate-listen=127.0.0.1:0")
	h.mu.Lock()
	cmd := exec.Command(self, append(append([]string{directorCommand}, h.args[suite.Director]...), args...)...)
	h.mu.Unlock()
	cmd.Stderr = h.t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	p := &process{cmd: cmd}
	h.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be dead
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if web, ok := strings.CutPrefix(lastWord(lines.Text()), "http="); ok {
			p.addrs = service.Addrs{GRPC: listen, HTTP: web}
			return p
		}
	}
	h.t.Fatal("the director ended before it listened")
	return nil
}

func lastWord(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Error(err)
	}
}

// serve serves on loopback until the test ends.
func serve(t *testing.T, register func(*grpc.Server)) (address string) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, served := grpc.NewServer(), make(chan struct{})
	register(server)
	go func() { defer close(served); _ = server.Serve(lis) }()
	t.Cleanup(func() { server.Stop(); <-served })
	return lis.Addr().String()
}

// deadlyBackend is a director's way to Open Match. When its assignment has had its effect,
// the director is killed, before it hears of it.
type deadlyBackend struct {
	openmatch.UnimplementedBackendServiceServer
	to   openmatch.BackendServiceClient
	kill func()
}

func (b deadlyBackend) FetchMatches(req *openmatch.FetchMatchesRequest, out grpc.ServerStreamingServer[openmatch.FetchMatchesResponse]) error {
	in, err := b.to.FetchMatches(out.Context(), req)
	for err == nil {
		var resp *openmatch.FetchMatchesResponse
		if resp, err = in.Recv(); err == nil {
			err = out.Send(resp)
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (b deadlyBackend) ReleaseTickets(ctx context.Context, req *openmatch.ReleaseTicketsRequest) (*openmatch.ReleaseTicketsResponse, error) {
	return b.to.ReleaseTickets(ctx, req)
}

func (b deadlyBackend) AssignTickets(ctx context.Context, req *openmatch.AssignTicketsRequest) (*openmatch.AssignTicketsResponse, error) {
	resp, err := b.to.AssignTickets(ctx, req)
	if err == nil {
		b.kill()
	}
	return resp, err
}

// TestKilledBeforeAnnouncing: a director dies when Open Match has taken its assignment, and
// before it has told anybody. Frontends find out by themselves, and nobody is placed anew.
func TestKilledBeforeAnnouncing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		h := newHarness(t, map[string][]string{
			suite.Director: {"--redis=redis://" + address},
			suite.Frontend: {"--redis=redis://" + address, "--reconcile-interval=1s", "--reconcile-rate=100"},
		})
		h.subscribed(1)
		h.suite.Instance(suite.Director).Stop() // was there for the suite to start
		conn, err := rpc.Dial(h.argument(suite.Director, "open-match"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		var mortal *process
		started, dead := make(chan struct{}), make(chan struct{})
		die := sync.OnceFunc(func() {
			<-started
			mortal.signal(t, syscall.SIGKILL)
			close(dead)
		})
		to := serve(t, func(s *grpc.Server) {
			openmatch.RegisterBackendServiceServer(s, deadlyBackend{to: openmatch.NewBackendServiceClient(conn), kill: die})
		})
		mortal = h.process(h.at(2), "--open-match="+to)
		close(started)
		resolver.set(t, h.at(2))
		h.subscribed(1)

		ann, bob := h.wants("ann", h.suite.URL(), 1000), h.wants("bob", h.suite.URL(), 1000)
		<-dead
		other := h.more(t, h.at(3))
		resolver.set(t, h.at(3))
		if one, two := ann.assigned(), bob.assigned(); one != two {
			t.Errorf("ann is at %s, bob at %s", one, two)
		}
		// They are told before they are counted.
		eventually.True(t, "the assignments of both were found by reading", func() bool { return h.found() == 2 })
		h.alone(other.Addrs(), 0, ann, bob)
	})
}

// alone checks that players are on the roster of one game server, the only one that was
// allocated, and how many matches a director has placed.
func (h *harness) alone(addrs service.Addrs, placed float64, players ...*player) {
	h.t.Helper()
	rosters := h.rosters()
	if len(rosters) != 1 {
		h.t.Errorf("%d servers are allocated: %v", len(rosters), rosters)
	}
	for _, p := range players {
		if on := rosters[p.server()]; len(on) != len(players) {
			h.t.Errorf("%s was sent to %s, which expects %v", p.id, p.server(), on)
		}
	}
	if n := h.metric(addrs, matches); n != placed {
		h.t.Errorf("the other director has placed %v matches, want %v", n, placed)
	}
}

// stoppingServers is a director's way to what lists the game servers, which it asks when it
// has claimed a match. It is stopped then, and its question waits.
type stoppingServers struct {
	torikumiv1.UnimplementedGameServerServiceServer
	to   torikumiv1.GameServerServiceClient
	stop func()
	held <-chan struct{}
}

func (s stoppingServers) ListGameServers(ctx context.Context, req *torikumiv1.ListGameServersRequest) (*torikumiv1.ListGameServersResponse, error) {
	if _, ofMatch := req.GetMatchLabels()[contract.MatchLabel]; ofMatch {
		s.stop()
		<-s.held
	}
	return s.to.ListGameServers(context.WithoutCancel(ctx), req)
}

func (s stoppingServers) DeleteGameServer(ctx context.Context, req *torikumiv1.DeleteGameServerRequest) (*torikumiv1.DeleteGameServerResponse, error) {
	return s.to.DeleteGameServer(ctx, req)
}

// TestStoppedAfterItsClaim: a director is stopped when it has claimed a match, until Open
// Match has given its tickets to another, and goes on then. There is one assignment, and
// one server: the other's if the claim is over by then, else its own.
func TestStoppedAfterItsClaim(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		for name, c := range map[string]struct {
			holds string // how long the director holds its tickets
			// mine says that the one that was stopped places the match, and the other has
			// to leave it alone.
			mine bool
		}{
			"the claim is over": {pendingRelease, false},
			"the claim is held": {"60s", true},
		} {
			t.Run(name, func(t *testing.T) {
				stopped(t, address+"/"+map[bool]string{false: "0", true: "1"}[c.mine], c.holds, c.mine)
			})
		}
	})
}

func stopped(t *testing.T, redis, holds string, mine bool) {
	times := times()
	h := newHarness(t, map[string][]string{
		suite.Minimatch: times[:1], suite.Director: append(times, "--redis=redis://"+redis),
		suite.Frontend: {"--redis=redis://" + redis, "--reconcile-interval=100ms", "--reconcile-rate=1000"},
	})
	h.subscribed(1)
	h.suite.Instance(suite.Director).Stop() // was there for the suite to start
	conn, err := rpc.Dial(h.argument(suite.Director, "gameservers"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var first *process
	started, stops, held := make(chan struct{}), make(chan struct{}), make(chan struct{})
	goOn := sync.OnceFunc(func() { close(held) })
	defer goOn()
	stop := sync.OnceFunc(func() {
		<-started
		first.signal(t, syscall.SIGSTOP)
		close(stops)
	})
	to := serve(t, func(s *grpc.Server) {
		torikumiv1.RegisterGameServerServiceServer(s, stoppingServers{to: torikumiv1.NewGameServerServiceClient(conn), stop: stop, held: held})
	})
	first = h.process(h.at(2), "--gameservers="+to, "--pending-release-timeout="+holds, "--match-timeout="+half(t, holds))
	close(started)
	resolver.set(t, h.at(2))
	h.subscribed(1)

	ann, bob := h.wants("ann", h.suite.URL(), 1000), h.wants("bob", h.suite.URL(), 1000)
	<-stops
	second := h.more(t, h.at(3)).Addrs()
	resolver.set(t, h.at(2), h.at(3))
	eventually.True(t, "the other director has had the tickets", func() bool {
		if mine {
			return h.ended(second) > 0
		}
		return h.metric(second, matches) > 0
	})
	first.signal(t, syscall.SIGCONT)
	goOn()
	eventually.True(t, "the director that was stopped has ended with the match", func() bool { return h.ended(first.addrs) > 0 })
	if one, two := ann.assigned(), bob.assigned(); one != two {
		t.Errorf("ann is at %s, bob at %s", one, two)
	}
	placed := map[bool]float64{true: 1}
	h.alone(first.addrs, placed[mine], ann, bob)
	h.alone(second, placed[!mine], ann, bob)
}

// ended is how many matches a director has ended with.
func (h *harness) ended(addrs service.Addrs) (n float64) {
	h.t.Helper()
	for _, outcome := range []string{"assigned", "pending", "released", "superseded", "unknown"} {
		n += h.metric(addrs, fmt.Sprintf("torikumi_director_matches_total{outcome=%q,queue=\"session\"}", outcome))
	}
	return n
}

// half is half of a duration.
func half(t *testing.T, text string) string {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return (d / 2).String()
}
