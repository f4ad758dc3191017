package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests run against minimatch, or against any Open Match whose addresses are
// in these variables. That one has to call the evaluator that the tests serve at
// OPEN_MATCH_EVALUATOR_LISTEN, with a proposal collection interval of 2 s and a
// page size of 10. It must be nobody else's: every ticket that the tests find is
// taken for theirs. The REST tests need the HTTP addresses, and the tests of what
// expires a pending release timeout that can be waited for, which is told them.
// With OPEN_MATCH_EVALUATOR_HTTP_LISTEN instead of OPEN_MATCH_EVALUATOR_LISTEN it
// calls the evaluator over REST; only the tests of such an evaluator then run.
const (
	envFrontend      = "OPEN_MATCH_FRONTEND"
	envBackend       = "OPEN_MATCH_BACKEND"
	envQuery         = "OPEN_MATCH_QUERY"
	envFrontendHTTP  = "OPEN_MATCH_FRONTEND_HTTP"
	envBackendHTTP   = "OPEN_MATCH_BACKEND_HTTP"
	envQueryHTTP     = "OPEN_MATCH_QUERY_HTTP"
	envEvaluator     = "OPEN_MATCH_EVALUATOR_LISTEN"
	envEvaluatorHTTP = "OPEN_MATCH_EVALUATOR_HTTP_LISTEN"
	envPending       = "OPEN_MATCH_PENDING_RELEASE_TIMEOUT"
)

const (
	pageSize = 10
	// collection is the proposal collection interval of tests that wait for its end.
	collection = 5 * time.Second
)

// openMatch is the system under test, with a match function and an evaluator
// whose behaviour each test sets.
type openMatch struct {
	t testing.TB
	// addr serves everything; empty for a system that was not started here.
	addr string
	// clock is minimatch's, when a test moves it.
	clock *minimatch.FakeClock
	// The base URLs of the three services.
	frontendURL, backendURL, queryURL string
	backendAddr                       string
	frontend                          openmatch.FrontendServiceClient
	backend                           openmatch.BackendServiceClient
	query                             openmatch.QueryServiceClient

	functions *functions
	evaluator *evaluator
	config    *openmatch.FunctionConfig
	// name is in the id of every match and the tag of every ticket of the test.
	name string
}

// start gives a system with an evaluator that accepts everything.
func start(t testing.TB, change ...func(*minimatch.Config)) *openMatch {
	t.Helper()
	if os.Getenv(envFrontend) == "" {
		return startOwn(t, change...)
	}
	if len(change) > 0 {
		t.Skip("needs settings of its own")
	}
	if os.Getenv(envEvaluator) == "" {
		t.Skip(envEvaluator + " is not set")
	}
	om := newOpenMatch(t)
	serve(t, os.Getenv(envEvaluator), func(r grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(r, om.evaluator) })
	return om.other()
}

// startHasty is start for a test of what the end of the proposal collection interval cuts:
// minimatch's is the default elsewhere, which a busy machine does not come to.
func startHasty(t testing.TB) *openMatch {
	t.Helper()
	if os.Getenv(envFrontend) != "" {
		return start(t)
	}
	return startOwn(t, func(c *minimatch.Config) { c.ProposalCollectionInterval = collection })
}

// startWithREST is start with this evaluator over REST.
func startWithREST(t *testing.T, answer func(http.ResponseWriter, *http.Request, []string)) *openMatch {
	t.Helper()
	if os.Getenv(envFrontend) == "" {
		addr := restEvaluator(t, "127.0.0.1:0", answer)
		return startOwn(t, func(c *minimatch.Config) { c.EvaluatorREST = addr })
	}
	if os.Getenv(envEvaluatorHTTP) == "" {
		t.Skip(envEvaluatorHTTP + " is not set")
	}
	restEvaluator(t, os.Getenv(envEvaluatorHTTP), answer)
	return newOpenMatch(t).other()
}

// other connects to the Open Match of the variables.
func (om *openMatch) other() *openMatch {
	t := om.t
	t.Helper()
	om.connect(os.Getenv(envFrontend), os.Getenv(envBackend), os.Getenv(envQuery))
	om.restAt(os.Getenv(envFrontendHTTP), os.Getenv(envBackendHTTP), os.Getenv(envQueryHTTP))
	om.proposing("nothing")
	// It waits longer and longer, up to two minutes, before it connects again.
	eventually.Within(t, 3*time.Minute, "it reaches the evaluator of this test", func() error {
		return om.fetch(t.Context(), om.request("nothing")).err
	})
	return om
}

// startOwn is start for minimatch, whatever the variables say.
func startOwn(t testing.TB, change ...func(*minimatch.Config)) *openMatch {
	t.Helper()
	om := newOpenMatch(t)
	evaluatorAddr := serve(t, "127.0.0.1:0", func(r grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(r, om.evaluator) })
	own := run(t, append([]func(*minimatch.Config){func(c *minimatch.Config) {
		c.Evaluator = evaluatorAddr
		c.QueryPageSize = pageSize
	}}, change...)...)
	om.addr = own.GRPC
	om.restAt(own.HTTP, own.HTTP, own.HTTP)
	om.connect(own.GRPC, own.GRPC, own.GRPC)
	return om
}

// newOpenMatch serves the match function of a test.
func newOpenMatch(t testing.TB) *openMatch {
	t.Helper()
	om := &openMatch{
		t:         t,
		functions: &functions{byProfile: map[string]func(context.Context, *openmatch.MatchProfile, func(*openmatch.Match)) error{}},
		evaluator: &evaluator{evaluate: acceptAll},
		name:      fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()),
	}
	addr := serve(t, "127.0.0.1:0", func(r grpc.ServiceRegistrar) { openmatch.RegisterMatchFunctionServer(r, om.functions) })
	om.config = function(addr)
	return om
}

// run starts minimatch on free ports until the test ends.
func run(t testing.TB, change ...func(*minimatch.Config)) service.Addrs {
	t.Helper()
	var cfg minimatch.Config
	config.Default(&cfg)
	cfg.GRPCListen, cfg.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.RegistrationInterval = 100 * time.Millisecond
	cfg.LogLevel = 100
	for _, f := range change {
		f(&cfg)
	}
	if err := config.Validate(&cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan service.Addrs, 1)
	done := make(chan error, 1)
	go func() { done <- minimatch.Run(ctx, &cfg, func(a service.Addrs) { started <- a }) }()
	select {
	case addrs := <-started:
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("minimatch ended with %v", err)
			}
		})
		return addrs
	case err := <-done:
		cancel()
		t.Fatalf("minimatch did not start: %v", err)
		return service.Addrs{}
	}
}

func (om *openMatch) connect(frontend, backend, query string) {
	om.backendAddr = backend
	om.frontend = openmatch.NewFrontendServiceClient(dial(om.t, frontend))
	om.backend = openmatch.NewBackendServiceClient(dial(om.t, backend))
	om.query = openmatch.NewQueryServiceClient(dial(om.t, query))
}

// restAt says where the REST mapping is.
func (om *openMatch) restAt(frontend, backend, query string) {
	om.frontendURL = "http://" + frontend + "/v1/frontendservice/"
	om.backendURL = "http://" + backend + "/v1/backendservice/"
	om.queryURL = "http://" + query + "/v1/queryservice/"
}

// rest skips a test when it is not known where the REST mapping is.
func (om *openMatch) rest() {
	if om.addr == "" && os.Getenv(envFrontendHTTP) == "" {
		om.t.Skip(envFrontendHTTP + " is not set")
	}
}

func dial(t testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// serve runs a gRPC server until the test ends and returns its address.
func serve(t testing.TB, addr string, register func(grpc.ServiceRegistrar)) string {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	// Open Match pings more often than a server without these options bears.
	s := grpc.NewServer(rpc.ServerOptions(prometheus.NewRegistry(), slog.New(slog.DiscardHandler))...)
	register(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().String()
}

func function(addr string) *openmatch.FunctionConfig {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(err)
	}
	return &openmatch.FunctionConfig{Host: host, Port: int32(n)}
}

// functions serves a match function of its own for each profile name.
type functions struct {
	openmatch.UnimplementedMatchFunctionServer
	mu        sync.Mutex
	byProfile map[string]func(context.Context, *openmatch.MatchProfile, func(*openmatch.Match)) error
}

func (f *functions) Run(req *openmatch.RunRequest, stream openmatch.MatchFunction_RunServer) error {
	f.mu.Lock()
	fn := f.byProfile[req.GetProfile().GetName()]
	f.mu.Unlock()
	if fn == nil {
		return status.Error(codes.NotFound, "no such profile")
	}
	var sendErr error
	err := fn(stream.Context(), req.GetProfile(), func(m *openmatch.Match) {
		sendErr = errors.Join(sendErr, stream.Send(&openmatch.RunResponse{Proposal: m}))
	})
	return errors.Join(err, sendErr)
}

// evaluator does what the test says.
type evaluator struct {
	openmatch.UnimplementedEvaluatorServer
	mu       sync.Mutex
	evaluate func(openmatch.Evaluator_EvaluateServer) error
}

func (e *evaluator) set(f func(openmatch.Evaluator_EvaluateServer) error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.evaluate = f
}

func (e *evaluator) Evaluate(stream openmatch.Evaluator_EvaluateServer) error {
	e.mu.Lock()
	f := e.evaluate
	e.mu.Unlock()
	return f(stream)
}

// proposals takes all that a cycle has.
func proposals(stream openmatch.Evaluator_EvaluateServer) ([]string, error) {
	var ids []string
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, req.GetMatch().GetMatchId())
	}
}

func accept(stream openmatch.Evaluator_EvaluateServer, ids ...string) error {
	for _, id := range ids {
		if err := stream.Send(&openmatch.EvaluateResponse{MatchId: id}); err != nil {
			return err
		}
	}
	return nil
}

func acceptAll(stream openmatch.Evaluator_EvaluateServer) error {
	ids, err := proposals(stream)
	if err != nil {
		return err
	}
	return accept(stream, ids...)
}

// ticket makes one that only this test's pool finds.
func (om *openMatch) ticket() *openmatch.Ticket {
	om.t.Helper()
	t, err := om.frontend.CreateTicket(om.t.Context(), &openmatch.CreateTicketRequest{
		Ticket: &openmatch.Ticket{SearchFields: &openmatch.SearchFields{Tags: []string{om.name}}}})
	if err != nil {
		om.t.Fatal(err)
	}
	om.deleteLater(t.GetId())
	return t
}

// deleteLater is for a system that outlives the test.
func (om *openMatch) deleteLater(id string) {
	om.t.Cleanup(func() {
		_, _ = om.frontend.DeleteTicket(context.Background(), &openmatch.DeleteTicketRequest{TicketId: id})
	})
}

func (om *openMatch) pool() *openmatch.Pool {
	return &openmatch.Pool{Name: "all", TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: om.name}}}
}

// waiting lists what a query finds, in order, and the sizes of the pages.
func (om *openMatch) waiting(pool *openmatch.Pool) (ids []string, pages []int) {
	om.t.Helper()
	stream, err := om.query.QueryTickets(om.t.Context(), &openmatch.QueryTicketsRequest{Pool: pool})
	if err != nil {
		om.t.Fatal(err)
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			slices.Sort(ids)
			return ids, pages
		}
		if err != nil {
			om.t.Fatal(err)
		}
		pages = append(pages, len(resp.GetTickets()))
		for _, t := range resp.GetTickets() {
			ids = append(ids, t.GetId())
		}
	}
}

func (om *openMatch) expectWaiting(want ...*openmatch.Ticket) {
	om.t.Helper()
	var ids []string
	for _, t := range want {
		ids = append(ids, t.GetId())
	}
	slices.Sort(ids)
	if got, _ := om.waiting(om.pool()); !slices.Equal(got, ids) {
		om.t.Errorf("waiting: %v, want %v", got, ids)
	}
}

// match has the test's name in its id, so that no two tests meet.
func (om *openMatch) match(id string, tickets ...*openmatch.Ticket) *openmatch.Match {
	return &openmatch.Match{MatchId: om.name + "/" + id, MatchProfile: "p", MatchFunction: "f", Tickets: tickets}
}

// proposing serves a profile whose match function proposes these and ends.
func (om *openMatch) proposing(profile string, matches ...*openmatch.Match) {
	om.function(profile, func(_ context.Context, _ *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		for _, m := range matches {
			propose(m)
		}
		return nil
	})
}

func (om *openMatch) function(profile string, f func(context.Context, *openmatch.MatchProfile, func(*openmatch.Match)) error) {
	om.functions.mu.Lock()
	defer om.functions.mu.Unlock()
	om.functions.byProfile[profile] = f
}

func (om *openMatch) request(profile string) *openmatch.FetchMatchesRequest {
	return &openmatch.FetchMatchesRequest{
		Config:  om.config,
		Profile: &openmatch.MatchProfile{Name: profile, Pools: []*openmatch.Pool{om.pool()}},
	}
}

// fetched is the outcome of a FetchMatches call.
type fetched struct {
	ids []string
	err error
}

// fetch calls FetchMatches and takes everything; ids are without the test's name.
func (om *openMatch) fetch(ctx context.Context, req *openmatch.FetchMatchesRequest) fetched {
	stream, err := om.backend.FetchMatches(ctx, req)
	if err != nil {
		return fetched{err: err}
	}
	var f fetched
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return f
		}
		if err != nil {
			f.err = err
			return f
		}
		f.ids = append(f.ids, resp.GetMatch().GetMatchId()[len(om.name)+1:])
	}
}

// fetchAll makes the calls at once, and returns their outcomes in their order.
func (om *openMatch) fetchAll(profiles ...string) []fetched {
	out := make([]fetched, len(profiles))
	var calls sync.WaitGroup
	for i, p := range profiles {
		calls.Go(func() { out[i] = om.fetch(om.t.Context(), om.request(p)) })
	}
	calls.Wait()
	return out
}

func (om *openMatch) expectFetch(got fetched, code codes.Code, ids ...string) {
	om.t.Helper()
	slices.Sort(got.ids)
	slices.Sort(ids)
	if status.Code(got.err) != code || !slices.Equal(got.ids, ids) {
		om.t.Errorf("fetched %v, %v, want %v, code %v", got.ids, got.err, ids, code)
	}
}

func expectCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if status.Code(err) != want {
		t.Errorf("got %v, want code %v", err, want)
	}
}
