package loadgen_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"torikumi/loadgen/loadgen"
	"torikumi/pkg/config"
	"torikumi/pkg/porttest"
	"torikumi/proto/openmatch"
)

// assigner is an Open Match frontend that gives out assignments by itself: the
// nth ticket of a group gets its connection when the group is full.
type assigner struct {
	openmatch.UnimplementedFrontendServiceServer
	group int
	// sameRegion keeps the regions apart.
	sameRegion bool
	// changes sends every ticket elsewhere after its first assignment.
	changes bool
	// delay is what a creation takes.
	delay time.Duration
	// die is closed once there are so many tickets, and one is watched, so that somebody knows
	// that theirs was made.
	dieAt int
	die   chan struct{}

	mu      sync.Mutex
	made    int
	watched bool
	matches int
	open    map[string][]chan string
	waiting map[string]chan string
}

func (a *assigner) CreateTicket(ctx context.Context, req *openmatch.CreateTicketRequest) (*openmatch.Ticket, error) {
	if a.delay > 0 {
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made++
	a.mayDie()
	region := ""
	if a.sameRegion {
		region = req.GetTicket().GetSearchFields().GetStringArgs()["region"]
	}
	id := "t" + time.Duration(a.made).String()
	connection := make(chan string, 1)
	a.waiting[id] = connection
	a.open[region] = append(a.open[region], connection)
	if len(a.open[region]) == a.group {
		a.matches++
		for _, c := range a.open[region] {
			c <- "server-" + time.Duration(a.matches).String()
		}
		a.open[region] = nil
	}
	return &openmatch.Ticket{Id: id}, nil
}

// mayDie is called with mu held.
func (a *assigner) mayDie() {
	if a.dieAt > 0 && a.made >= a.dieAt && a.watched {
		a.dieAt = 0
		close(a.die)
	}
}

func (a *assigner) WatchAssignments(req *openmatch.WatchAssignmentsRequest, stream openmatch.FrontendService_WatchAssignmentsServer) error {
	a.mu.Lock()
	a.watched = true
	a.mayDie()
	c := a.waiting[req.GetTicketId()]
	a.mu.Unlock()
	if c == nil {
		return status.Error(codes.NotFound, "no such ticket")
	}
	select {
	case connection := <-c:
		all := []string{connection}
		if a.changes {
			all = append(all, connection+"-else")
		}
		for _, connection := range all {
			if err := stream.Send(&openmatch.WatchAssignmentsResponse{Assignment: &openmatch.Assignment{Connection: connection}}); err != nil {
				return err
			}
		}
	case <-stream.Context().Done():
	}
	<-stream.Context().Done()
	return nil
}

func (a *assigner) DeleteTicket(context.Context, *openmatch.DeleteTicketRequest) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

func (a *assigner) GetTicket(_ context.Context, req *openmatch.GetTicketRequest) (*openmatch.Ticket, error) {
	return nil, status.Error(codes.NotFound, req.GetTicketId())
}

// serve gives the address of the assigner, which ends with the test, or when it
// dies.
func serve(t *testing.T, a *assigner) string {
	t.Helper()
	a.open, a.waiting, a.die = map[string][]chan string{}, map[string]chan string{}, make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	openmatch.RegisterFrontendServiceServer(s, a)
	done, over := make(chan struct{}), make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	go func() {
		select {
		case <-a.die:
		case <-over:
		}
		s.Stop()
	}()
	t.Cleanup(func() {
		close(over)
		<-done
	})
	return l.Addr().String()
}

// settings are 40 tickets in 0.2 s.
func settings(t *testing.T, addr string, change ...func(*loadgen.Config)) loadgen.Config {
	t.Helper()
	var cfg loadgen.Config
	config.Default(&cfg)
	cfg.OpenMatch, cfg.Rate, cfg.Duration, cfg.Timeout = addr, 200, 200*time.Millisecond, 20*time.Second
	cfg.ReuseAfter = time.Minute // no connection is given out twice, and players may hear of one late
	for _, f := range change {
		f(&cfg)
	}
	if err := config.Validate(&cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func run(t *testing.T, cfg loadgen.Config) *loadgen.Report {
	t.Helper()
	r, err := loadgen.Run(t.Context(), cfg, loadgen.Env{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAllAssigned(t *testing.T) {
	r := run(t, settings(t, serve(t, &assigner{group: 2, sameRegion: true})))
	if !r.OK || r.Created != 40 || r.Assigned != 40 || r.Lost != 0 || r.Matches != 20 || r.Malformed != 0 {
		t.Errorf("%+v", r)
	}
}

func TestMalformedMatches(t *testing.T) {
	for name, c := range map[string]struct {
		assigner  *assigner
		reason    string
		rate      float64
		malformed int
	}{
		"three in a match":     {&assigner{group: 4, sameRegion: true}, "too_many_tickets", 200, 10},
		"across regions":       {&assigner{group: 2}, "several_regions", 200, 1},
		"a changed assignment": {&assigner{group: 2, sameRegion: true, changes: true}, "changed_assignment", 200, 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, settings(t, serve(t, c.assigner)))
			if r.OK || r.Malformed < c.malformed || r.MalformedBy[c.reason] < c.malformed {
				t.Errorf("malformed %d %v", r.Malformed, r.MalformedBy)
			}
		})
	}
}

func TestTargetDies(t *testing.T) {
	r := run(t, settings(t, serve(t, &assigner{group: 1000, dieAt: 20}), func(c *loadgen.Config) { c.Timeout = 2 * time.Second }))
	if r.OK || r.Assigned != 0 || r.Created == 0 || r.Lost != r.Created {
		t.Errorf("%+v", r)
	}
	failed := 0
	for _, n := range r.CreateErrors {
		failed += n
	}
	if r.Created+failed != 40 {
		t.Errorf("%d created and %d failed of 40", r.Created, failed)
	}
}

func TestLatencyFromSchedule(t *testing.T) {
	const delay = 300 * time.Millisecond
	r := run(t, settings(t, serve(t, &assigner{group: 2, sameRegion: true, delay: delay})))
	if want := float64(delay.Milliseconds()); r.Latency.P50 < want || r.CreateLatency.P50 < want {
		t.Errorf("due to assigned %v, due to created %v, but a creation takes %v ms", r.Latency.P50, r.CreateLatency.P50, want)
	}
}

func TestTargetMissing(t *testing.T) {
	addr := porttest.Hold(t).String()
	if r, err := loadgen.Run(t.Context(), settings(t, addr), loadgen.Env{}); err == nil {
		t.Errorf("there is a report: %+v", r)
	}
}

func TestWrongSettings(t *testing.T) {
	var cfg loadgen.Config
	config.Default(&cfg)
	cfg.Target, cfg.Rate, cfg.Duration, cfg.Wait, cfg.Timeout, cfg.Connections, cfg.OpenMatch = "x", -1, 0, "x", 0, 0, "x"
	cfg.FrontendCA = filepath.Join(t.TempDir(), "none")
	err := config.Validate(&cfg)
	for _, flag := range []string{"target", "rate", "duration", "wait", "timeout", "connections", "open-match", "frontend-ca"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not in %v", flag, err)
		}
	}
}

func TestFrontendCA(t *testing.T) {
	var cfg loadgen.Config
	config.Default(&cfg)
	cfg.FrontendCA = filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(cfg.FrontendCA, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(&cfg); err == nil || !strings.Contains(err.Error(), "--frontend-ca: must hold certificates as PEM") {
		t.Error(err)
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(cfg.FrontendCA, authority, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Validate(&cfg); err != nil {
		t.Error(err)
	}
}
