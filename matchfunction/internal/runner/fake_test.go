package runner_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/engine"
	"torikumi/matchfunction/internal/runner"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// queryServer is Open Match's query service over a map of pools.
type queryServer struct {
	openmatch.UnimplementedQueryServiceServer
	pools map[string][]*openmatch.Ticket
	// page is the number of tickets in an answer.
	page int
	// fail, if set, is what a query ends with after its first page.
	fail error
	// hang makes queries wait, after telling asked, until their caller leaves.
	hang  bool
	asked chan struct{}
}

func (q *queryServer) QueryTickets(req *openmatch.QueryTicketsRequest, stream grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error {
	if q.hang {
		q.asked <- struct{}{}
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	tickets := q.pools[req.GetPool().GetName()]
	for len(tickets) > 0 {
		n := min(max(1, q.page), len(tickets))
		if err := stream.Send(&openmatch.QueryTicketsResponse{Tickets: tickets[:n]}); err != nil {
			return err
		}
		if q.fail != nil {
			return q.fail
		}
		tickets = tickets[n:]
	}
	return q.fail
}

// serve starts a server in memory with the options of our services, and
// returns a connection to it.
func serve(t *testing.T, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	lis := bufconn.Listen(1 << 20)
	logger := slog.New(slog.DiscardHandler)
	server := grpc.NewServer(rpc.ServerOptions(prometheus.NewRegistry(), logger)...)
	register(server)
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.Serve(lis); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	conn, err := rpc.Dial("passthrough:///memory", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return lis.DialContext(ctx)
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.Stop()
		served.Wait()
	})
	return conn
}

// fixture is a match function in front of a query service.
type fixture struct {
	client   openmatch.MatchFunctionClient
	registry *prometheus.Registry
	log      *bytes.Buffer
}

func start(t *testing.T, q *queryServer, change func(*runner.Options)) *fixture {
	t.Helper()
	f := &fixture{registry: prometheus.NewRegistry(), log: new(bytes.Buffer)}
	query := serve(t, func(s *grpc.Server) { openmatch.RegisterQueryServiceServer(s, q) })
	o := runner.Options{
		Name: "torikumi", Query: openmatch.NewQueryServiceClient(query), QueryTimeout: time.Minute,
		RunTimeout: time.Minute, Compiler: new(engine.Compiler),
		Metrics: runner.NewMetrics(f.registry), Logger: slog.New(slog.NewTextHandler(f.log, nil)),
		Now: func() time.Time { return now },
	}
	if change != nil {
		change(&o)
	}
	function := serve(t, func(s *grpc.Server) { openmatch.RegisterMatchFunctionServer(s, runner.New(o)) })
	f.client = openmatch.NewMatchFunctionClient(function)
	return f
}

// counter sums the values of a metric over its labels.
func (f *fixture) counter(t *testing.T, name string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func profile(t *testing.T, pools ...string) *openmatch.MatchProfile {
	t.Helper()
	p := &openmatch.MatchProfile{Name: "session"}
	for _, name := range pools {
		p.Pools = append(p.Pools, &openmatch.Pool{Name: name})
	}
	details := &torikumiv1.ProfileDetails{Queue: "session", Rules: &torikumiv1.ProfileDetails_Skill{Skill: &torikumiv1.SkillRules{
		Teams:          []*torikumiv1.TeamSpec{{Name: "red", MinPlayers: 1, MaxPlayers: 1}, {Name: "blue", MinPlayers: 1, MaxPlayers: 1}},
		SkillAttribute: "skill", Window: 200, AnySkillAfter: durationpb.New(8 * time.Second),
	}}}
	if err := contract.Put(&p.Extensions, contract.ProfileExtension, details); err != nil {
		t.Fatal(err)
	}
	return p
}

func ticket(id string, skill float64, waited time.Duration) *openmatch.Ticket {
	return &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now.Add(-waited)), SearchFields: &openmatch.SearchFields{
		DoubleArgs: map[string]float64{"skill": skill}, StringArgs: map[string]string{"region": "eu"}, Tags: []string{"mode.session"}}}
}
