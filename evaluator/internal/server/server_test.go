package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/evaluator/internal/server"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixture struct {
	client   openmatch.EvaluatorClient
	registry *prometheus.Registry
}

func start(t testing.TB, limits server.Limits) *fixture {
	return startWith(t, server.Options{Limits: limits, Logger: slog.New(slog.DiscardHandler)})
}

// startWith makes the metrics, too.
func startWith(t testing.TB, o server.Options) *fixture {
	t.Helper()
	f := &fixture{registry: prometheus.NewRegistry()}
	o.Metrics = server.NewMetrics(f.registry)
	lis := bufconn.Listen(1 << 20)
	s := grpc.NewServer(rpc.ServerOptions(f.registry, slog.New(slog.DiscardHandler))...)
	openmatch.RegisterEvaluatorServer(s, server.New(o))
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Serve(lis); err != nil {
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
		s.Stop()
		served.Wait()
	})
	f.client = openmatch.NewEvaluatorClient(conn)
	return f
}

func roomy() server.Limits {
	return server.Limits{Proposals: 1000, Tickets: 10_000, Effort: 100, ChooseTime: time.Minute}
}

// evaluate sends all matches and returns the answers.
func (f *fixture) evaluate(ctx context.Context, matches ...*openmatch.Match) ([]string, error) {
	stream, err := f.client.Evaluate(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range matches {
		if err := stream.Send(&openmatch.EvaluateRequest{Match: m}); err != nil {
			break // Recv tells why
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var ids []string
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		ids = append(ids, r.GetMatchId())
	}
}

func match(id string, score float64, tickets ...string) *openmatch.Match {
	m := &openmatch.Match{MatchId: id}
	for _, k := range tickets {
		m.Tickets = append(m.Tickets, &openmatch.Ticket{Id: k})
	}
	if err := contract.Put(&m.Extensions, contract.EvaluationExtension, &openmatch.DefaultEvaluationCriteria{Score: score}); err != nil {
		panic(err)
	}
	return m
}

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
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestEvaluate(t *testing.T) {
	noScore := match("none", 0, "1")
	noScore.Extensions = nil
	strange := match("strange", 0, "1")
	strange.Extensions[contract.EvaluationExtension] = &anypb.Any{TypeUrl: "x/y", Value: []byte{1}}
	old, young := match("z-old", 1, "1"), match("a-young", 1, "1")
	old.Tickets[0].CreateTime = timestamppb.New(time.Unix(1000, 0))
	young.Tickets[0].CreateTime = timestamppb.New(time.Unix(2000, 0))
	again := match("b-again", 1, "1")
	again.Tickets[0].CreateTime = timestamppb.New(time.Unix(3000, 0))
	if err := contract.Put(&again.Tickets[0].Extensions, contract.SearchTimeExtension, timestamppb.New(time.Unix(1500, 0))); err != nil {
		t.Fatal(err)
	}
	fills := func(id string, score float64, backfill string) *openmatch.Match {
		m := match(id, score, "ticket of "+id)
		m.Backfill = &openmatch.Backfill{Id: backfill}
		return m
	}
	for name, c := range map[string]struct {
		in   []*openmatch.Match
		want []string
	}{
		"nothing":            {nil, nil},
		"a nil match":        {[]*openmatch.Match{nil, match("a", 1, "1")}, []string{"a"}},
		"apart":              {[]*openmatch.Match{match("a", 1, "1"), match("b", 2, "2")}, []string{"b", "a"}},
		"the better":         {[]*openmatch.Match{match("a", 1, "1", "2"), match("b", 2, "2", "3")}, []string{"b"}},
		"no score":           {[]*openmatch.Match{noScore, match("b", -1e300, "1")}, []string{"b"}},
		"no number":          {[]*openmatch.Match{match("a", math.NaN(), "1"), match("b", -1e300, "1")}, []string{"b"}},
		"another extension":  {[]*openmatch.Match{strange, match("b", -1e300, "1")}, []string{"b"}},
		"only bad scores":    {[]*openmatch.Match{strange, noScore, match("nan", math.NaN(), "1")}, []string{"nan"}},
		"the older":          {[]*openmatch.Match{young, old}, []string{"z-old"}},
		"keeps its wait":     {[]*openmatch.Match{young, again}, []string{"b-again"}},
		"an older wait":      {[]*openmatch.Match{old, again}, []string{"z-old"}},
		"two for one":        {[]*openmatch.Match{match("a", 2, "2"), match("b", 3, "1", "2"), match("c", 2, "1")}, []string{"a", "c"}},
		"one backfill":       {[]*openmatch.Match{fills("a", 1, "x"), fills("b", 2, "x")}, []string{"b"}},
		"new backfills":      {[]*openmatch.Match{fills("a", 1, ""), fills("b", 2, "")}, []string{"b", "a"}},
		"neither":            {[]*openmatch.Match{match("a", 1)}, nil},
		"an id of two":       {[]*openmatch.Match{match("a", 1, "1"), match("a", 1, "2")}, nil},
		"the same one twice": {[]*openmatch.Match{match("a", 1, "1"), match("a", 1, "1")}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, roomy())
			got, err := f.evaluate(t.Context(), c.in...)
			if err != nil || !slices.Equal(got, c.want) {
				t.Fatalf("got %v, %v, want %v", got, err, c.want)
			}
			slices.Reverse(c.in)
			if got, err := f.evaluate(t.Context(), c.in...); err != nil || !slices.Equal(got, c.want) {
				t.Errorf("the other way round: got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	f := start(t, roomy())
	if _, err := f.evaluate(t.Context(), match("a", 2, "1", "2"), match("b", 1, "2"), match("c", 3, "4"), match("d", 1)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"torikumi_evaluator_proposals_total": 4, "torikumi_evaluator_accepted_total": 2,
		"torikumi_evaluator_collisions_total": 1, "torikumi_evaluator_broken_total": 1,
		"torikumi_evaluator_score_kept_total": 5, "torikumi_evaluator_score_lost_total": 1, "torikumi_evaluator_cut_total": 0} {
		if got := f.counter(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

// Scores that no counter could hold beside others are left out of it.
func TestMetricsOfAbsurdScores(t *testing.T) {
	f := start(t, roomy())
	if _, err := f.evaluate(t.Context(), match("a", math.Inf(1), "1"), match("b", 1e300, "2"), match("c", math.MaxFloat64, "3"), match("d", math.MaxFloat64, "4")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.evaluate(t.Context(), match("a", 2, "1"), match("b", -2, "2")); err != nil {
		t.Fatal(err)
	}
	if got := f.counter(t, "torikumi_evaluator_score_kept_total"); got != 2 {
		t.Errorf("score kept is %v, want 2", got)
	}
}

// A clock that jumps cuts the search: the answer is sound, the metric counts
// each time, and the log says it once.
func TestCut(t *testing.T) {
	var log bytes.Buffer // written before the answer is
	var clock atomic.Int64
	limits := roomy()
	limits.ChooseTime = time.Second
	f := startWith(t, server.Options{
		Limits: limits,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Now:    func() time.Time { return time.Unix(clock.Add(3600), 0) },
	})
	for range 2 {
		ids, err := f.evaluate(t.Context(), match("a", 2, "2"), match("b", 3, "1", "2"), match("c", 2, "1"), match("d", 1, "3"))
		if want := []string{"b", "d"}; err != nil || !slices.Equal(ids, want) {
			t.Errorf("got %v, %v, want the stock choice %v", ids, err, want)
		}
	}
	if got := f.counter(t, "torikumi_evaluator_cut_total"); got != 2 {
		t.Errorf("%v cuts counted, want 2", got)
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("%d warnings, want 1: %s", n, log.String())
	}
}

func TestLimits(t *testing.T) {
	matches := func(n, tickets int) (out []*openmatch.Match) {
		for i := range n {
			m := match(fmt.Sprint(i), 1)
			for j := range tickets {
				m.Tickets = append(m.Tickets, &openmatch.Ticket{Id: fmt.Sprint(i, "-", j)})
			}
			out = append(out, m)
		}
		return out
	}
	f := start(t, server.Limits{Proposals: 3, Tickets: 10, ChooseTime: time.Minute})
	for name, c := range map[string]struct {
		in   []*openmatch.Match
		want codes.Code
	}{
		"as many as may be":   {matches(3, 3), codes.OK},
		"too many":            {matches(4, 1), codes.ResourceExhausted},
		"far too many":        {matches(5000, 1), codes.ResourceExhausted},
		"too many tickets":    {matches(3, 4), codes.ResourceExhausted},
		"one with too many":   {matches(1, 11), codes.ResourceExhausted},
		"tickets to the brim": {matches(1, 10), codes.OK},
	} {
		ids, err := f.evaluate(t.Context(), c.in...)
		if status.Code(err) != c.want || (err == nil) != (len(ids) == len(c.in)) {
			t.Errorf("%s: %d answers, %v", name, len(ids), err)
		}
	}
}

// A caller that leaves before it has sent everything gets no answer, and the
// next one is served.
func TestCallerLeaves(t *testing.T) {
	f := start(t, roomy())
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := f.client.Evaluate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&openmatch.EvaluateRequest{Match: match("a", 1, "1")}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if r, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("got %v, %v", r, err)
	}
	if got, err := f.evaluate(t.Context(), match("b", 1, "1")); err != nil || !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// Calls at the same time know nothing of each other.
func TestCallsApart(t *testing.T) {
	f := start(t, roomy())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := fmt.Sprint("match ", i)
			if got, err := f.evaluate(t.Context(), match(want, 1, "1"), match("worse", 0, "1")); err != nil || !slices.Equal(got, []string{want}) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

// FuzzEvaluate feeds any bytes as the evaluation input of one of two matches.
func FuzzEvaluate(f *testing.F) {
	seed, err := proto.Marshal(&openmatch.DefaultEvaluationCriteria{Score: math.NaN()})
	if err != nil {
		f.Fatal(err)
	}
	fix := start(f, roomy())
	f.Add(seed, "type.googleapis.com/openmatch.DefaultEvaluationCriteria", "1")
	f.Add([]byte{255}, "x/y", "2")
	f.Add([]byte(nil), "", "")
	f.Fuzz(func(t *testing.T, input []byte, url, ticket string) {
		if !utf8.ValidString(url) || !utf8.ValidString(ticket) {
			return // not possible in a message
		}
		odd := match("odd", 0, ticket)
		odd.Extensions[contract.EvaluationExtension] = &anypb.Any{TypeUrl: url, Value: input}
		got, err := fix.evaluate(t.Context(), odd, match("plain", 0, "1"))
		slices.Sort(got)
		sane := slices.Equal(got, []string{"odd"}) || slices.Equal(got, []string{"plain"})
		if ticket != "1" && ticket != "" {
			sane = slices.Equal(got, []string{"odd", "plain"})
		}
		if err != nil || !sane {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// Open Match delivers nothing that is answered after a match for a backfill that
// has expired.
func TestMatchesThatFillAreAnsweredLast(t *testing.T) {
	f := start(t, roomy())
	fills, creates := match("fills", 9, "1"), match("creates", 5, "3")
	fills.Backfill, creates.Backfill = &openmatch.Backfill{Id: "b"}, &openmatch.Backfill{}
	got, err := f.evaluate(t.Context(), fills, match("low", 1, "2"), creates)
	if want := []string{"creates", "low", "fills"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
