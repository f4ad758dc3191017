package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/proto/openmatch"
)

func TestFetchMatchesNeedsConfigAndProfile(t *testing.T) {
	om := start(t)
	for _, req := range []*openmatch.FetchMatchesRequest{
		{}, {Config: om.config}, {Profile: &openmatch.MatchProfile{}},
	} {
		om.expectFetch(om.fetch(t.Context(), req), codes.InvalidArgument)
	}
}

func TestCallsShareACycle(t *testing.T) {
	om := start(t)
	a, b := om.ticket(), om.ticket()
	om.proposing("a", om.match("a", a, b))
	om.proposing("b", om.match("b", a))
	var shared atomic.Bool
	om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		ids, err := proposals(stream)
		if err != nil {
			return err
		}
		shared.Store(len(ids) == 2)
		return accept(stream, ids[len(ids)-1])
	})
	eventually.True(t, "two calls meet in a cycle", func() bool {
		got := om.fetchAll("a", "b")
		if !shared.Load() {
			return false
		}
		if got[0].err != nil || got[1].err != nil || len(got[0].ids)+len(got[1].ids) != 1 {
			t.Errorf("got %+v", got)
		}
		return true
	})
}

func TestEvaluatorThatMisusesIdsFailsEveryCaller(t *testing.T) {
	for name, answer := range map[string]func(own string) []string{
		"unknown":  func(string) []string { return []string{"unknown"} },
		"repeated": func(own string) []string { return []string{own, own} },
	} {
		t.Run(name, func(t *testing.T) {
			om := start(t)
			om.proposing("a", om.match("a"))
			om.proposing("b", om.match("b"))
			var shared atomic.Bool
			om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
				ids, err := proposals(stream)
				if err != nil {
					return err
				}
				shared.Store(len(ids) == 2)
				return accept(stream, answer(om.name+"/a")...)
			})
			eventually.True(t, "two calls meet in a cycle", func() bool {
				got := om.fetchAll("a", "b")
				if !shared.Load() {
					return false
				}
				expectCode(t, got[0].err, codes.Unknown)
				expectCode(t, got[1].err, codes.Unknown)
				return true
			})
			// The next cycle is another matter.
			om.evaluator.set(acceptAll)
			om.expectFetch(om.fetch(t.Context(), om.request("b")), codes.OK, "b")
		})
	}
}

func TestOneMatchIdFromTwoFunctionsFailsBoth(t *testing.T) {
	om := start(t)
	om.proposing("a", om.match("same"))
	om.proposing("b", om.match("same"))
	eventually.True(t, "two calls meet in a cycle and fail", func() bool {
		got := om.fetchAll("a", "b")
		return status.Code(got[0].err) == codes.Unknown && status.Code(got[1].err) == codes.Unknown
	})
}

func TestOneMatchIdTwiceFromOneFunction(t *testing.T) {
	om := start(t)
	om.proposing("a", om.match("same"), om.match("same"))
	om.proposing("b", om.match("b"))
	got := om.fetchAll("a", "b")
	expectCode(t, got[0].err, codes.Unknown)
	om.expectFetch(got[1], codes.OK, "b")
}

func TestEvaluatorThatFails(t *testing.T) {
	om := start(t)
	om.proposing("a", om.match("a"))
	for name, evaluate := range map[string]func(openmatch.Evaluator_EvaluateServer) error{
		"at once": func(openmatch.Evaluator_EvaluateServer) error {
			return status.Error(codes.ResourceExhausted, "10.0.0.1 is full")
		},
		"at the end": func(stream openmatch.Evaluator_EvaluateServer) error {
			_, err := proposals(stream)
			return errors.Join(err, status.Error(codes.DataLoss, "10.0.0.1 lost it"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			om.evaluator.set(evaluate)
			got := om.fetch(t.Context(), om.request("a"))
			expectCode(t, got.err, codes.Unknown)
			if message := status.Convert(got.err).Message(); !strings.Contains(message, "10.0.0.1 is full") && !strings.Contains(message, "10.0.0.1 lost it") {
				t.Errorf("what the evaluator said is not in %q", message)
			}
		})
	}
	om.evaluator.set(acceptAll)
	// A call may still fall into the window of the cycle that failed.
	eventually.True(t, "matches again", func() bool {
		got := om.fetch(t.Context(), om.request("a"))
		return got.err == nil && len(got.ids) == 1
	})
}

func TestEvaluatorMayAnswerEarly(t *testing.T) {
	om := start(t)
	accepted := make(chan struct{})
	om.function("a", func(ctx context.Context, _ *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		propose(om.match("first"))
		select {
		case <-accepted:
		case <-ctx.Done():
		}
		propose(om.match("second"))
		return nil
	})
	om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		req, err := stream.Recv()
		if err != nil {
			return err
		}
		if err := accept(stream, req.GetMatch().GetMatchId()); err != nil {
			return err
		}
		_, err = proposals(stream)
		return err
	})
	stream, err := om.backend.FetchMatches(t.Context(), om.request("a"))
	if err != nil {
		t.Fatal(err)
	}
	// The match comes while the cycle still runs.
	resp, err := stream.Recv()
	if err != nil || !strings.HasSuffix(resp.GetMatch().GetMatchId(), "/first") {
		t.Fatalf("got %v, %v", resp, err)
	}
	close(accepted)
	if _, err = stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

func TestFunctionThatFailsKeepsItsProposals(t *testing.T) {
	om := start(t)
	a := om.ticket()
	om.function("a", func(_ context.Context, _ *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		propose(om.match("a", a))
		return status.Error(codes.Internal, "broken")
	})
	om.proposing("b", om.match("b"))
	got := om.fetchAll("a", "b")
	om.expectFetch(got[0], codes.Unknown, "a")
	if message := status.Convert(got[0].err).Message(); !strings.Contains(message, "broken") {
		t.Errorf("what the match function said is not in %q", message)
	}
	om.expectFetch(got[1], codes.OK, "b")
	om.expectWaiting()
}

func TestFunctionThatIsNotThere(t *testing.T) {
	om := start(t)
	free := porttest.Hold(t).String()
	for _, cfg := range []*openmatch.FunctionConfig{
		function(free), {Host: "no-such-host.invalid", Port: 1},
		{Host: "127.0.0.1", Port: function(free).GetPort(), Type: openmatch.FunctionConfig_REST},
	} {
		req := om.request("a")
		req.Config = cfg
		om.expectFetch(om.fetch(t.Context(), req), codes.Unknown)
	}
}

// Open Match says Unknown, minimatch blames the request.
func TestFunctionThatCannotBe(t *testing.T) {
	om := start(t)
	for _, cfg := range []*openmatch.FunctionConfig{
		{}, {Host: "::bad::", Port: -1}, {Host: "127.0.0.1", Port: 1 << 30}, {Host: "127.0.0.1", Port: 1, Type: 7},
	} {
		req := om.request("a")
		req.Config = cfg
		want := codes.InvalidArgument
		if om.addr == "" {
			want = codes.Unknown
		}
		om.expectFetch(om.fetch(t.Context(), req), want)
	}
}

func TestFunctionThatHangsIsCutAndKeepsItsProposals(t *testing.T) {
	om := startHasty(t)
	cut := make(chan struct{})
	om.function("hangs", func(ctx context.Context, _ *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		propose(om.match("early"))
		<-ctx.Done()
		close(cut)
		return nil
	})
	om.proposing("quick", om.match("quick"))
	got := om.fetchAll("hangs", "quick")
	om.expectFetch(got[0], codes.Unknown, "early")
	om.expectFetch(got[1], codes.OK, "quick")
	<-cut
	om.expectFetch(om.fetch(t.Context(), om.request("quick")), codes.OK, "quick")
}

func TestFunctionWithOddProposals(t *testing.T) {
	om := start(t)
	om.proposing("empty")
	om.expectFetch(om.fetch(t.Context(), om.request("empty")), codes.OK)
	om.proposing("strangers", om.match("m", &openmatch.Ticket{Id: "unknown"}, &openmatch.Ticket{}))
	om.expectFetch(om.fetch(t.Context(), om.request("strangers")), codes.OK, "m")
	om.proposing("nothing", nil)
	om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		_, err := proposals(stream)
		return err
	})
	om.expectFetch(om.fetch(t.Context(), om.request("nothing")), codes.OK)
}

func TestCallerWhoLeavesHoldsUpNobody(t *testing.T) {
	om := start(t)
	running := make(chan struct{}, 1)
	cancelled := make(chan struct{}, 1)
	om.function("hangs", func(ctx context.Context, _ *openmatch.MatchProfile, _ func(*openmatch.Match)) error {
		running <- struct{}{}
		<-ctx.Done()
		cancelled <- struct{}{}
		return nil
	})
	om.proposing("b", om.match("b"))
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan fetched, 1)
	go func() { left <- om.fetch(ctx, om.request("hangs")) }()
	<-running
	cancel()
	om.expectFetch(<-left, codes.Canceled)
	<-cancelled
	om.expectFetch(om.fetch(t.Context(), om.request("b")), codes.OK, "b")
}

func TestEvaluatorThatHangsLastsUntilItsCallersLeave(t *testing.T) {
	om := start(t)
	hangs, ended := make(chan struct{}), make(chan struct{})
	om.evaluator.set(func(stream openmatch.Evaluator_EvaluateServer) error {
		close(hangs)
		<-stream.Context().Done()
		close(ended)
		return nil
	})
	om.proposing("a", om.match("a"))
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan fetched, 1)
	go func() { left <- om.fetch(ctx, om.request("a")) }()
	<-hangs
	om.evaluator.set(acceptAll)
	cancel()
	om.expectFetch(<-left, codes.Canceled)
	<-ended
	om.expectFetch(om.fetch(t.Context(), om.request("a")), codes.OK, "a")
}

func TestCallerWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	om := start(t)
	// More than the smallest windows of a connection hold.
	const window = 1 << 16
	narrow := dial(t, om.backendAddr, grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window))
	big := &anypb.Any{TypeUrl: "x/y", Value: make([]byte, window)}
	var matches []*openmatch.Match
	for i := range 16 {
		m := om.match(fmt.Sprintf("%02d", i))
		m.Extensions = map[string]*anypb.Any{"big": big}
		matches = append(matches, m)
	}
	om.proposing("big", matches...)
	om.proposing("b", om.match("b"))
	slow, err := openmatch.NewBackendServiceClient(narrow).FetchMatches(t.Context(), om.request("big"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		om.expectFetch(om.fetch(t.Context(), om.request("b")), codes.OK, "b")
	}
	var got []string
	for range matches {
		resp, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.GetMatch().GetMatchId())
	}
	if slices.Sort(got); len(slices.Compact(got)) != len(matches) {
		t.Errorf("got %v", got)
	}
}

func TestManyCallersUnderChange(t *testing.T) {
	om := start(t)
	om.function("pairs", func(ctx context.Context, p *openmatch.MatchProfile, propose func(*openmatch.Match)) error {
		ids := om.waitingIDs(p.GetPools()[0])
		for i := 0; i+1 < len(ids); i += 2 {
			propose(om.match(ids[i]+ids[i+1], &openmatch.Ticket{Id: ids[i]}, &openmatch.Ticket{Id: ids[i+1]}))
		}
		return nil
	})
	const tickets = 40
	var mu sync.Mutex
	matched := map[string]int{}
	var players sync.WaitGroup
	for range tickets {
		players.Go(func() {
			ticket := om.ticket()
			stream, err := om.frontend.WatchAssignments(t.Context(), &openmatch.WatchAssignmentsRequest{TicketId: ticket.GetId()})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := stream.Recv(); err != nil {
				t.Error(err)
			}
		})
	}
	done := make(chan struct{})
	go func() { players.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		got := om.fetch(t.Context(), om.request("pairs"))
		if got.err != nil {
			t.Fatal(got.err)
		}
		for _, id := range got.ids {
			pair := []string{id[:len(id)/2], id[len(id)/2:]}
			resp, err := om.backend.AssignTickets(t.Context(), assignment(id, pair...))
			if err != nil || len(resp.GetFailures()) > 0 {
				t.Fatalf("assign: %v, %v", resp, err)
			}
			mu.Lock()
			for _, p := range pair {
				matched[p]++
			}
			mu.Unlock()
		}
	}
	for id, n := range matched {
		if n != 1 {
			t.Errorf("ticket %s is in %d matches", id, n)
		}
	}
	if len(matched) != tickets {
		t.Errorf("%d of %d tickets matched", len(matched), tickets)
	}
}
