package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

func TestPendingAndAssignedTicketsTimeOut(t *testing.T) {
	c := minimatch.NewFakeClock(time.Now())
	om := start(t, func(cfg *minimatch.Config) { cfg.Clock = c })
	a, b := om.ticket(), om.ticket()
	om.proposing("p", om.match("m", a, b))
	done := make(chan fetched, 1)
	go func() { done <- om.fetch(t.Context(), om.request("p")) }()
	eventually.True(t, "a cycle registers", func() bool { n, _ := c.Waiting(); return n > 0 })
	c.Advance(time.Second)
	om.expectFetch(<-done, codes.OK, "m")
	om.expectWaiting()

	om.assign("x", a)
	watch, err := om.frontend.WatchAssignments(t.Context(), &openmatch.WatchAssignmentsRequest{TicketId: a.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	om.expectWaiting(b)
	c.Advance(9 * time.Minute)
	_, err = watch.Recv()
	expectCode(t, err, codes.NotFound)
	_, err = om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: a.GetId()})
	expectCode(t, err, codes.NotFound)
}

func TestEvaluatorThatIsNotThereAndComes(t *testing.T) {
	addr := porttest.Hold(t).String()
	om := start(t, func(cfg *minimatch.Config) { cfg.Evaluator = addr })
	om.proposing("p", om.match("m"))
	got := om.fetch(t.Context(), om.request("p"))
	om.expectFetch(got, codes.Unknown)
	if message := status.Convert(got.err).Message(); strings.Contains(message, addr) || !strings.Contains(message, "evaluator") {
		t.Errorf("the message is %q", message)
	}
	serve(t, addr, func(r grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(r, om.evaluator) })
	eventually.True(t, "matches once the evaluator is there", func() bool {
		return om.fetch(t.Context(), om.request("p")).err == nil
	})
}

func TestEvaluatorThatEndsBeforeItHasAllProposals(t *testing.T) {
	om := start(t, func(*minimatch.Config) {})
	returned := make(chan struct{})
	om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		_, err := stream.Recv()
		close(returned)
		return err
	})
	om.function("p", func(ctx context.Context, _ *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		propose(om.match("first"))
		<-returned
		for i := 0; ctx.Err() == nil; i++ {
			propose(om.match(fmt.Sprint(i)))
		}
		return nil
	})
	got := om.fetch(t.Context(), om.request("p"))
	om.expectFetch(got, codes.Unknown)
	if !strings.Contains(got.err.Error(), "before it had all proposals") {
		t.Errorf("got %v", got.err)
	}
}

func TestStoppingEndsStreamsCleanly(t *testing.T) {
	var cfg minimatch.Config
	config.Default(&cfg)
	cfg.GRPCListen, cfg.HTTPListen, cfg.LogLevel = "127.0.0.1:0", "127.0.0.1:0", 100
	cfg.RegistrationInterval, cfg.ShutdownTimeout = time.Hour, time.Hour // neither may hold it up
	om := &openMatch{t: t, evaluator: &evaluator{evaluate: acceptAll}, name: t.Name(), functions: &functions{}}
	om.config = function(serve(t, "127.0.0.1:0", func(r grpc.ServiceRegistrar) { openmatch.RegisterMatchFunctionServer(r, om.functions) }))
	cfg.Evaluator = serve(t, "127.0.0.1:0", func(r grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(r, om.evaluator) })
	running := make(chan struct{})
	om.functions.byProfile = map[string]func(context.Context, *openmatch.MatchProfile, func(*openmatch.Match)) error{
		"p": func(ctx context.Context, _ *openmatch.MatchProfile, _ func(*openmatch.Match)) error {
			close(running)
			<-ctx.Done()
			return nil
		}}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	started, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- minimatch.Run(ctx, &cfg, func(a service.Addrs) { started <- a }) }()
	addrs := <-started
	om.connect(addrs.GRPC, addrs.GRPC, addrs.GRPC)
	made, err := om.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{}})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := om.frontend.WatchAssignments(t.Context(), &openmatch.WatchAssignmentsRequest{TicketId: made.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	fetching := make(chan fetched, 1)
	go func() { fetching <- om.fetch(t.Context(), om.request("p")) }()
	<-running
	stop()
	om.expectFetch(<-fetching, codes.Unavailable)
	_, err = watch.Recv()
	expectCode(t, err, codes.Unavailable)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	addrs := run(t)
	client := openmatch.NewFrontendServiceClient(dial(t, addrs.GRPC))
	if _, err := client.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{}}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/readyz": "", "/livez": "", "/metrics": `minimatch_tickets{state="waiting"} 1`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addrs.HTTP+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DisableKeepAlives: true}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d, %v", path, resp.StatusCode, err)
		}
	}
}

func TestEachOfOpenMatchsPortsServesEverything(t *testing.T) {
	// Whoever has these ports is not ours to push aside.
	for _, port := range []string{"50503", "50504", "50505"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Skipf("port %s is taken", port)
		}
		l.Close()
	}
	run(t, func(c *minimatch.Config) { c.GRPCListen = "" })
	for _, port := range []string{"50503", "50504", "50505"} {
		conn := dial(t, "127.0.0.1:"+port)
		_, err := openmatch.NewFrontendServiceClient(conn).GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: "x"})
		expectCode(t, err, codes.NotFound)
		_, err = openmatch.NewBackendServiceClient(conn).ReleaseTickets(t.Context(), &openmatch.ReleaseTicketsRequest{})
		expectCode(t, err, codes.OK)
	}
}

func TestConfigNamesAllThatIsWrong(t *testing.T) {
	err := config.Load("minimatch", "MINIMATCH", &minimatch.Config{}, []string{
		"--grpc-listen=nowhere", "--http-listen=x", "--evaluator=", "--registration-interval=0s",
		"--proposal-collection-interval=-1s", "--pending-release-timeout=0s", "--assigned-delete-timeout=0s", "--query-page-size=9",
		"--evaluator-rest=there", "--backfill-lock-timeout=0s",
	}, func(string) string { return "" }, io.Discard)
	for _, flag := range []string{"grpc-listen", "http-listen", "evaluator", "registration-interval",
		"proposal-collection-interval", "pending-release-timeout", "assigned-delete-timeout", "query-page-size", "evaluator-rest", "backfill-lock-timeout"} {
		if err == nil || !strings.Contains(err.Error(), flag) {
			t.Errorf("%s is not in %v", flag, err)
		}
	}
	if err := config.Load("minimatch", "MINIMATCH", &minimatch.Config{}, nil, func(string) string { return "" }, io.Discard); err != nil {
		t.Errorf("the defaults: %v", err)
	}
}

func TestConfigTakesNoZones(t *testing.T) {
	for _, flag := range []string{"--evaluator", "--evaluator-rest"} {
		err := config.Load("minimatch", "MINIMATCH", &minimatch.Config{}, []string{flag + "=[::1%lo]:31508"}, func(string) string { return "" }, io.Discard)
		if want := flag + ": must be host:port, without an IPv6 zone"; !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// What is larger than a message of gRPC's default is refused where it comes in, as by Open
// Match: else nobody could read its neighbours.
func TestTooLarge(t *testing.T) {
	om := startHastyOwn(t)
	fields := &openmatch.SearchFields{StringArgs: map[string]string{"x": strings.Repeat("x", 4<<20)}}
	if _, err := om.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{SearchFields: fields}}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("ticket: %v", err)
	}
	if _, err := om.frontend.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{SearchFields: fields}}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("backfill: %v", err)
	}
	backfill, err := om.frontend.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{}})
	if err != nil {
		t.Fatal(err)
	}
	backfill.SearchFields = fields
	if _, err := om.frontend.UpdateBackfill(t.Context(), &openmatch.UpdateBackfillRequest{Backfill: backfill}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("update: %v", err)
	}

	// A match fails the call of its match function alone, whatever the evaluator takes.
	a, b := om.ticket(), om.ticket()
	large := om.match("large", a)
	large.Extensions = map[string]*anypb.Any{"x": {TypeUrl: "x/y", Value: make([]byte, 5<<20)}}
	om.proposing("large", large)
	om.proposing("small", om.match("small", b))
	got := om.fetchAll("large", "small")
	om.expectFetch(got[0], codes.Unknown)
	om.expectFetch(got[1], codes.OK, "small")
	if text := fmt.Sprint(got[0].err); !strings.Contains(text, "at most 4194304") {
		t.Error(text)
	}
}

// No match makes a backfill that is larger than a client with gRPC's default limit takes.
func TestMatchesMakeNoBackfillThatIsTooLarge(t *testing.T) {
	om := startHastyOwn(t)
	conn, err := grpc.NewClient(om.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // its goroutines are looked for at the end
	om.frontend, om.backend, om.query = openmatch.NewFrontendServiceClient(conn), openmatch.NewBackendServiceClient(conn), openmatch.NewQueryServiceClient(conn)
	large := map[string]*anypb.Any{"x": {TypeUrl: "x/y", Value: make([]byte, 5<<19)}}
	asks := om.asking()
	asks.PersistentField = large
	b, err := om.frontend.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: asks})
	if err != nil {
		t.Fatal(err)
	}
	merged, made, others := om.match("merged", om.ticket()), om.match("made", om.ticket()), om.match("others", om.ticket())
	merged.Backfill = &openmatch.Backfill{Id: b.GetId(), Generation: 1, SearchFields: b.GetSearchFields(), Extensions: large}
	made.Backfill = om.asking()
	made.Backfill.Extensions = map[string]*anypb.Any{"x": {TypeUrl: "x/y", Value: make([]byte, 4<<20-1000)}}
	for size := 4 << 20; proto.Size(&openmatch.RunResponse{Proposal: made}) < size; {
		made.MatchProfile += "x"
	}
	om.proposing("merged", merged)
	om.proposing("made", made)
	om.proposing("others", others)
	got := om.fetchAll("merged", "made", "others")
	om.expectFetch(got[0], codes.Unknown)
	om.expectFetch(got[1], codes.Unknown)
	om.expectFetch(got[2], codes.OK, "others")
	for i, want := range []string{"backfill, with the persistent_field that it keeps, must have at most 4193280", "a match with a new backfill of 4194304 bytes, at most 4193280"} {
		if !strings.Contains(fmt.Sprint(got[i].err), want) {
			t.Errorf("got %v, want %s", got[i].err, want)
		}
	}
	om.expectWaiting(merged.GetTickets()[0], made.GetTickets()[0])
	om.expectBackfills(b)
	if got := om.get(b); got.GetGeneration() != 1 || got.GetExtensions() != nil {
		t.Errorf("generation %d", got.GetGeneration())
	}
	if _, err := om.acknowledge(b); err != nil {
		t.Error(err)
	}
}

func TestAssignmentsAreNotTooLarge(t *testing.T) {
	om := startOwn(t)
	ticket := om.ticket()
	_, err := om.backend.AssignTickets(t.Context(), &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{{
		TicketIds:  []string{ticket.GetId()},
		Assignment: &openmatch.Assignment{Extensions: map[string]*anypb.Any{"x": {TypeUrl: "x/y", Value: make([]byte, 4<<20)}}},
	}}})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(fmt.Sprint(err), "assignments[0].assignment: ticket "+ticket.GetId()) {
		t.Error(err)
	}
	om.expectWaiting(ticket)
}

// What the evaluator says itself is passed on, also where gRPC could have said it.
func TestEvaluatorsOwnWords(t *testing.T) {
	for _, own := range []string{"no transport for the party of ann", "rule set connection error budget", "the transport is closing time"} {
		om := startHastyOwn(t)
		om.proposing("p", om.match("m", om.ticket()))
		om.evaluator.set(func(openmatch.Evaluator_EvaluateServer) error { return status.Error(codes.Unavailable, own) })
		got := om.fetch(t.Context(), om.request("p"))
		if !strings.Contains(fmt.Sprint(got.err), own) {
			t.Errorf("%q became %v", own, got.err)
		}
	}
}

func startHastyOwn(t *testing.T) *openMatch {
	t.Helper()
	return startOwn(t, func(c *minimatch.Config) { c.ProposalCollectionInterval = collection })
}

// A client with gRPC's own limit of 4 MiB reads tickets of any size in pages of
// 10,000.
func TestPagesFitIntoMessages(t *testing.T) {
	om := start(t, func(cfg *minimatch.Config) { cfg.QueryPageSize = 10_000 })
	conn, err := grpc.NewClient(om.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // its goroutines are looked for at the end
	const waiting = 2000
	large := &openmatch.SearchFields{StringArgs: map[string]string{"x": strings.Repeat("x", 7000)}}
	for range waiting {
		if _, err := om.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{SearchFields: large}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 700 {
		if _, err := om.frontend.CreateBackfill(t.Context(), &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{SearchFields: large}}); err != nil {
			t.Fatal(err)
		}
	}
	query, read := openmatch.NewQueryServiceClient(conn), 0
	tickets, err := query.QueryTickets(t.Context(), &openmatch.QueryTicketsRequest{Pool: &openmatch.Pool{}})
	for err == nil {
		var page *openmatch.QueryTicketsResponse
		page, err = tickets.Recv()
		read += len(page.GetTickets())
	}
	if !errors.Is(err, io.EOF) || read != waiting {
		t.Errorf("%d tickets, %v", read, err)
	}
	backfills, err := query.QueryBackfills(t.Context(), &openmatch.QueryBackfillsRequest{Pool: &openmatch.Pool{}})
	read = 0
	for err == nil {
		var page *openmatch.QueryBackfillsResponse
		page, err = backfills.Recv()
		read += len(page.GetBackfills())
	}
	if !errors.Is(err, io.EOF) || read != 700 {
		t.Errorf("%d backfills, %v", read, err)
	}
}
