package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/runner"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run collects the proposals of one call.
func (f *fixture) run(ctx context.Context, p *openmatch.MatchProfile) ([]*openmatch.Match, error) {
	stream, err := f.client.Run(ctx, &openmatch.RunRequest{Profile: p})
	if err != nil {
		return nil, err
	}
	var out []*openmatch.Match
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, r.GetProposal())
	}
}

func TestProposalSaysEverything(t *testing.T) {
	a, b := ticket("a", 1000, 4*time.Second), ticket("b", 1100, 0)
	f := start(t, &queryServer{pools: map[string][]*openmatch.Ticket{"all": {a, b}}}, nil)
	got, err := f.run(t.Context(), profile(t, "all"))
	if err != nil || len(got) != 1 {
		t.Fatalf("got %v, %v", got, err)
	}
	m := got[0]
	details, input := new(torikumiv1.MatchDetails), new(openmatch.DefaultEvaluationCriteria)
	if err := errors.Join(contract.Get(m.GetExtensions(), contract.MatchExtension, details),
		contract.Get(m.GetExtensions(), contract.EvaluationExtension, input)); err != nil {
		t.Fatal(err)
	}
	want := &torikumiv1.MatchDetails{Queue: "session", Region: "eu", MinPlayers: 2, Score: 1, Teams: []*torikumiv1.Team{
		{Name: "red", Members: []*torikumiv1.TeamMember{{PlayerId: "b", TicketId: "b"}}},
		{Name: "blue", Members: []*torikumiv1.TeamMember{{PlayerId: "a", TicketId: "a"}}}}}
	if diff := cmp.Diff(want, details, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	// Half of the window is left, and half of the wait for any skill is over.
	if input.GetScore() != 1 {
		t.Errorf("score %v", input.GetScore())
	}
	wanted := &openmatch.Match{MatchId: m.GetMatchId(), MatchProfile: "session", MatchFunction: "torikumi", AllocateGameserver: true,
		Tickets: []*openmatch.Ticket{b, a}, Extensions: m.GetExtensions()}
	if diff := cmp.Diff(wanted, m, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	again, err := f.run(t.Context(), profile(t, "all"))
	if err != nil || len(again) != 1 {
		t.Fatalf("the same tickets give %v, %v", again, err)
	}
	// Another run may stand beside this one in a cycle: same match, other id.
	if again[0].GetMatchId() == m.GetMatchId() {
		t.Error("two runs proposed the same id")
	}
	again[0].MatchId = m.GetMatchId()
	if diff := cmp.Diff(m, again[0], protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestMatchIDs(t *testing.T) {
	tickets := func(ids ...string) (out []*openmatch.Ticket) {
		for _, id := range ids {
			out = append(out, &openmatch.Ticket{Id: id})
		}
		return out
	}
	id := runner.MatchID("r", "f", "p", tickets("a", "b"))
	if id != runner.MatchID("r", "f", "p", tickets("b", "a")) || !contract.ValidLabelValue(id) {
		t.Errorf("id %q depends on the order or is no label", id)
	}
	for _, other := range []string{
		runner.MatchID("r", "g", "p", tickets("a", "b")), runner.MatchID("s", "f", "p", tickets("a", "b")), runner.MatchID("r", "f", "q", tickets("a", "b")), runner.MatchID("r", "f", "p", tickets("a", "c")),
		runner.MatchID("r", "f", "p", tickets("ab")), runner.MatchID("r", "fp", "", tickets("a", "b")), runner.MatchID("r", "f", "pa", tickets("b")),
	} {
		if other == id {
			t.Error("another match has the same id")
		}
	}
}

// Pages, pools that overlap, and tickets of all kinds of makers.
func TestPoolsAreReadOnceEach(t *testing.T) {
	var all []*openmatch.Ticket
	for i := range 3001 {
		all = append(all, ticket(fmt.Sprintf("t%04d", i), float64(i), time.Duration(i)*time.Millisecond))
	}
	f := start(t, &queryServer{page: 100, pools: map[string][]*openmatch.Ticket{"one": all[:2000], "two": all[1000:], "none": nil}}, nil)
	got, err := f.run(t.Context(), profile(t, "one", "two", "none", "unknown", "two"))
	if err != nil || len(got) != 1500 {
		t.Fatalf("%d proposals, %v", len(got), err)
	}
	seen, ids := make(map[string]bool), make(map[string]bool)
	var scores []float64
	for _, m := range got {
		if ids[m.GetMatchId()] {
			t.Fatalf("match id %q twice", m.GetMatchId())
		}
		ids[m.GetMatchId()] = true
		for _, k := range m.GetTickets() {
			if seen[k.GetId()] {
				t.Fatalf("ticket %q twice", k.GetId())
			}
			seen[k.GetId()] = true
		}
		input := new(openmatch.DefaultEvaluationCriteria)
		if err := contract.Get(m.GetExtensions(), contract.EvaluationExtension, input); err != nil {
			t.Fatal(err)
		}
		scores = append(scores, -input.GetScore())
	}
	if !slices.IsSorted(scores[:512]) {
		t.Error("a batch is not best first")
	}
	for name, want := range map[string]float64{"torikumi_matchfunction_tickets_total": 3001,
		"torikumi_matchfunction_proposals_total": 1500, "torikumi_matchfunction_skipped_tickets_total": 0, "torikumi_matchfunction_run_seconds": 1} {
		if got := f.counter(t, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestBrokenTicketsAreCountedAndLoggedOnce(t *testing.T) {
	foreign := ticket("foreign", 0, 0)
	foreign.Extensions = map[string]*anypb.Any{contract.TicketExtension: {TypeUrl: "x/y", Value: []byte{1}}}
	f := start(t, &queryServer{pools: map[string][]*openmatch.Ticket{"all": {
		ticket("a", 0, 0), foreign, ticket("nan", math.NaN(), 0), ticket("b", 0, 0), ticket("", 0, 0)}}}, nil)
	for range 3 {
		got, err := f.run(t.Context(), profile(t, "all"))
		if err != nil || len(got) != 1 {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	if got := f.counter(t, "torikumi_matchfunction_skipped_tickets_total"); got != 9 {
		t.Errorf("%v skipped, want 9", got)
	}
	if got := f.counter(t, "torikumi_matchfunction_tickets_total"); got != 15 {
		t.Errorf("%v seen, want 15", got)
	}
	if n := strings.Count(f.log.String(), "tickets left out"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, f.log)
	}
}

func TestWrongProfile(t *testing.T) {
	f := start(t, &queryServer{}, nil)
	bare := profile(t, "all")
	bare.Extensions = nil
	broken := profile(t, "all")
	if err := contract.Put(&broken.Extensions, contract.ProfileExtension, &torikumiv1.ProfileDetails{
		Rules: &torikumiv1.ProfileDetails_Skill{Skill: &torikumiv1.SkillRules{Window: math.Inf(1)}}}); err != nil {
		t.Fatal(err)
	}
	for field, p := range map[string]*openmatch.MatchProfile{
		"profile:": nil, "pools": profile(t), contract.ProfileExtension: bare, "skill.window": broken, "skill.teams": broken,
	} {
		_, err := f.run(t.Context(), p)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(status.Convert(err).Message(), field) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestQueryFails(t *testing.T) {
	tickets := map[string][]*openmatch.Ticket{"all": {ticket("a", 0, 0), ticket("b", 0, 0)}}
	for name, q := range map[string]*queryServer{
		"unavailable": {fail: status.Error(codes.Unavailable, "redis at 10.0.0.7 is down")},
		"half-way":    {pools: tickets, page: 1, fail: status.Error(codes.Internal, "redis at 10.0.0.7 is down")},
		"cancelled":   {fail: status.Error(codes.Canceled, "redis at 10.0.0.7 is down")},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, q, nil)
			got, err := f.run(t.Context(), profile(t, "all"))
			if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "redis") || len(got) != 0 {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestQueryHangs(t *testing.T) {
	t.Run("until the time is over", func(t *testing.T) {
		q := &queryServer{hang: true, asked: make(chan struct{}, 10)}
		f := start(t, q, func(o *runner.Options) { o.QueryTimeout = 20 * time.Millisecond })
		if _, err := f.run(t.Context(), profile(t, "all")); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("until the caller leaves", func(t *testing.T) {
		q := &queryServer{hang: true, asked: make(chan struct{}, 10)}
		f := start(t, q, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-q.asked; cancel() }()
		if _, err := f.run(ctx, profile(t, "all")); status.Code(err) != codes.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

// A caller that leaves in the middle of the answers ends the search.
func TestCallerLeaves(t *testing.T) {
	var all []*openmatch.Ticket
	for i := range 20_000 {
		all = append(all, ticket(fmt.Sprint(i), 0, 0))
	}
	done := make(chan struct{})
	f := start(t, &queryServer{page: 5000, pools: map[string][]*openmatch.Ticket{"all": all}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := f.client.Run(ctx, &openmatch.RunRequest{Profile: profile(t, "all")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	go func() {
		defer close(done)
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	<-done
	// The call is over on the server too once its time has been taken.
	eventually.True(t, "the call is over", func() bool { return f.counter(t, "torikumi_matchfunction_run_seconds") == 1 })
	if got := f.counter(t, "torikumi_matchfunction_proposals_total"); got >= 10_000 {
		t.Errorf("%v proposals for a caller who left", got)
	}
}

const rules = `{"ruleLanguageVersion": "1.0", "name": "duel", "playerAttributes": [{"name": "skill", "type": "number", "default": 0}],
	"teams": [{"name": "duel", "minPlayers": 2, "maxPlayers": 2}],
	"rules": [{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 10}]}`

// A frontend asks, the next run looks, and the frontend hears it.
func TestRunsExplainWhoIsAskedFor(t *testing.T) {
	explainer := &explain.Server{Now: time.Now}
	f := start(t, &queryServer{pools: map[string][]*openmatch.Ticket{"all": {ticket("a", 0, 0), ticket("b", 5, 0), ticket("c", 900, 0)}}},
		func(o *runner.Options) { o.Explain = explainer })
	p := &openmatch.MatchProfile{Name: "duel", Pools: []*openmatch.Pool{{Name: "all"}}}
	if err := contract.Put(&p.Extensions, contract.ProfileExtension, &torikumiv1.ProfileDetails{Queue: "duel",
		Rules: &torikumiv1.ProfileDetails_RuleSet{RuleSet: rules}}); err != nil {
		t.Fatal(err)
	}
	known := func() []*torikumiv1.Explanation {
		t.Helper()
		r, err := explainer.Explain(t.Context(), &torikumiv1.ExplainRequest{TicketIds: []string{"a", "c", "elsewhere"}})
		if err != nil {
			t.Fatal(err)
		}
		return r.GetExplanations()
	}
	if len(known()) != 0 {
		t.Error("known before any run")
	}
	var x []*torikumiv1.Explanation
	eventually.True(t, "a run explains", func() bool { // on a busy machine one may have no time for that
		if got, err := f.run(t.Context(), p); err != nil || len(got) != 1 || len(got[0].GetTickets()) != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
		x = known()
		return len(x) > 0
	})
	if len(x) != 1 || x[0].GetTicketId() != "c" || x[0].GetOthers() != 2 || x[0].GetApart()[0].GetTickets() != 2 || x[0].GetSummary() == "" {
		t.Errorf("got %v", x)
	}
}

// A run that takes too long proposes what it has, and no error.
func TestALongRunIsCut(t *testing.T) {
	var tickets []*openmatch.Ticket
	for i := range 2000 {
		tickets = append(tickets, ticket(fmt.Sprint("t", i), 0, 0))
	}
	f := start(t, &queryServer{pools: map[string][]*openmatch.Ticket{"all": tickets}}, func(o *runner.Options) { o.RunTimeout = time.Nanosecond })
	if got, err := f.run(t.Context(), profile(t, "all")); err != nil || len(got) == 1000 {
		t.Errorf("%d proposals, %v", len(got), err)
	}
	if !strings.Contains(f.log.String(), "cut short") {
		t.Error("nobody is told")
	}
}

type panics struct{}

func (panics) Allows(*rule.Match) error { panic("oh") }

type fails struct{}

func (fails) Allows(*rule.Match) error { return &rule.Failure{Err: errors.New("took too long")} }

// A custom rule that panics or fails and an expression that fails match nobody; all
// are counted each time and logged once, until they have been quiet.
func TestRulesThatFailAreCountedAndLoggedOnce(t *testing.T) {
	failures := &runner.Failures{}
	at := now
	f := start(t, &queryServer{pools: map[string][]*openmatch.Ticket{"all": {ticket("a", 0, 0), ticket("b", 5, 0)}}}, func(o *runner.Options) {
		*failures = runner.Failures{Metrics: o.Metrics, Logger: o.Logger, Now: func() time.Time { return at }}
		o.Compiler.Failed = failures.Add
		o.Compiler.Options = search.Options{Expression: expression.Compile, Custom: rule.Registry{
			"own":    func(json.RawMessage) (rule.Rule, error) { return panics{}, nil },
			"module": func(json.RawMessage) (rule.Rule, error) { return fails{}, nil }}}
	})
	run := func(queue, rules string) {
		t.Helper()
		p := &openmatch.MatchProfile{Name: queue, Pools: []*openmatch.Pool{{Name: "all"}}}
		if err := contract.Put(&p.Extensions, contract.ProfileExtension, &torikumiv1.ProfileDetails{Queue: queue, Rules: &torikumiv1.ProfileDetails_RuleSet{
			RuleSet: `{"ruleLanguageVersion": "1.0", "name": "duel", "teams": [{"name": "duel", "minPlayers": 2, "maxPlayers": 2}], "rules": [` + rules + `]}`}}); err != nil {
			t.Fatal(err)
		}
		if got, err := f.run(t.Context(), p); err != nil || len(got) != 0 {
			t.Errorf("%s: got %v, %v", queue, got, err)
		}
	}
	const custom, cel = `{"name": "own", "type": "custom", "rule": "own"}`, `{"name": "far", "type": "expression", "expression": "players.all(p, p.latency.mars < 9.0)"}`
	const module = `{"name": "slow", "type": "custom", "rule": "module"}`
	last := 0.0
	for range 3 {
		run("clash", custom)
		run("clash", module)
		run("space", cel)
		counted := f.counter(t, "torikumi_matchfunction_failed_rules_total")
		if counted < last+3 {
			t.Errorf("%v counted after %v", counted, last)
		}
		last = counted
	}
	logged := func(want int) {
		t.Helper()
		text := f.log.String()
		if n := strings.Count(text, `msg="custom rule panics; it counts as broken" queue=clash rule=own error="panic: oh"`); n != want {
			t.Errorf("the panic is logged %d times, want %d:\n%s", n, want, text)
		}
		if n := strings.Count(text, `msg="custom rule fails; it counts as broken" queue=clash rule=slow error="took too long"`); n != want {
			t.Errorf("the failure is logged %d times, want %d:\n%s", n, want, text)
		}
		if n := strings.Count(text, `msg="expression fails; it counts as broken" queue=space rule=far`); n != want {
			t.Errorf("the expression is logged %d times, want %d:\n%s", n, want, text)
		}
	}
	logged(1)
	if !strings.Contains(f.log.String(), "panics.Allows") {
		t.Errorf("the log doesn't say where:\n%s", f.log)
	}
	at = at.Add(time.Hour)
	run("clash", custom)
	run("clash", module)
	run("space", cel)
	logged(2)
}

// A match that is too large for one message is left out, and the run goes on.
func TestAMatchThatIsTooLarge(t *testing.T) {
	var all []*openmatch.Ticket
	for i, id := range []string{"a", "b", "c", "d"} {
		k := ticket(id, float64(1000*(i/2)), time.Second)
		if i < 2 {
			k.SearchFields.Tags = append(k.SearchFields.Tags, strings.Repeat("x", 3<<20))
		}
		all = append(all, k)
	}
	f := start(t, &queryServer{pools: map[string][]*openmatch.Ticket{"all": all}}, nil)
	got, err := f.run(t.Context(), profile(t, "all"))
	if err != nil || len(got) != 1 || got[0].GetTickets()[0].GetId() != "c" {
		t.Errorf("%d matches, %v", len(got), err)
	}
	if log := f.log.String(); !strings.Contains(log, "count=2") || !strings.Contains(log, "reason=match_size") {
		t.Errorf("log: %s", log)
	}
}
