// Package matching_test runs the real match function and the real evaluator
// against an Open Match: minimatch, or any whose addresses are in the
// variables that docs/openmatch.md lists.
package matching_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"torikumi/evaluator/evaluator"
	"torikumi/matchfunction/matchfunction"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 3 * time.Minute

// harness is an Open Match with two match functions of ours and our evaluator.
type harness struct {
	t        testing.TB
	frontend openmatch.FrontendServiceClient
	backend  openmatch.BackendServiceClient
	// functions are the addresses of the match functions.
	functions []string
	// tag is on all tickets of the test.
	tag string
}

// launch runs a service with settings until the test ends, and returns its
// gRPC address.
func launch[C any](t testing.TB, run func(context.Context, *C, func(service.Addrs)) error, change func(*C)) string {
	t.Helper()
	cfg := new(C)
	config.Default(cfg)
	if err := config.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	change(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	addrs, done := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { done <- run(ctx, cfg, func(a service.Addrs) { addrs <- a }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-addrs:
		return a.GRPC
	case err := <-done:
		done <- nil
		t.Fatal(err)
		return ""
	}
}

func start(t testing.TB) *harness {
	t.Helper()
	frontend, backend, query := os.Getenv("OPEN_MATCH_FRONTEND"), os.Getenv("OPEN_MATCH_BACKEND"), os.Getenv("OPEN_MATCH_QUERY")
	listen := "127.0.0.1:0"
	if frontend != "" {
		listen = os.Getenv("OPEN_MATCH_EVALUATOR_LISTEN")
	}
	chooser := launch(t, evaluator.Run, func(c *evaluator.Config) { c.GRPCListen, c.HTTPListen = listen, "127.0.0.1:0" })
	if frontend == "" {
		frontend = launch(t, minimatch.Run, func(c *minimatch.Config) {
			c.GRPCListen, c.HTTPListen, c.Evaluator = "127.0.0.1:0", "127.0.0.1:0", chooser
		})
		backend, query = frontend, frontend
	}
	w := &harness{t: t, tag: fmt.Sprintf("mode.test-%d", rand.Int64())}
	for _, name := range []string{"one", "two"} {
		w.functions = append(w.functions, launch(t, matchfunction.Run, func(c *matchfunction.Config) {
			c.GRPCListen, c.HTTPListen, c.Query, c.Name = "127.0.0.1:0", "127.0.0.1:0", query, name
		}))
	}
	dial := func(addr string) *grpc.ClientConn {
		conn, err := rpc.Dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	w.frontend, w.backend = openmatch.NewFrontendServiceClient(dial(frontend)), openmatch.NewBackendServiceClient(dial(backend))
	// An Open Match that runs already may have to find the new evaluator first.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, err := w.fetch(ctx, 0, "nobody", versus(1, 1, 0)); err == nil {
			return w
		} else if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// create makes a ticket of players with these skills.
func (w *harness) create(ctx context.Context, skills ...float64) string {
	w.t.Helper()
	details := new(torikumiv1.TicketDetails)
	for i, s := range skills {
		details.Players = append(details.Players, &torikumiv1.Player{Id: fmt.Sprintf("%s-%d-%d", w.tag, rand.Int64(), i),
			Attributes: map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: s}}}})
	}
	t := &openmatch.Ticket{SearchFields: &openmatch.SearchFields{Tags: []string{w.tag}}}
	if err := contract.Put(&t.Extensions, contract.TicketExtension, details); err != nil {
		w.t.Fatal(err)
	}
	made, err := w.frontend.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: t})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_, _ = w.frontend.DeleteTicket(context.Background(), &openmatch.DeleteTicketRequest{TicketId: made.GetId()})
	})
	return made.GetId()
}

// fetch asks one of the match functions for matches by a rule set.
func (w *harness) fetch(ctx context.Context, function int, name, rules string) ([]*openmatch.Match, error) {
	host, port, err := net.SplitHostPort(w.functions[function])
	if err != nil {
		return nil, err
	}
	var number int32
	if _, err := fmt.Sscan(port, &number); err != nil {
		return nil, err
	}
	p := &openmatch.MatchProfile{Name: name, Pools: []*openmatch.Pool{{Name: "all", TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: w.tag}}}}}
	if err := contract.Put(&p.Extensions, contract.ProfileExtension, &torikumiv1.ProfileDetails{Queue: name,
		Rules: &torikumiv1.ProfileDetails_RuleSet{RuleSet: rules}}); err != nil {
		return nil, err
	}
	stream, err := w.backend.FetchMatches(ctx, &openmatch.FetchMatchesRequest{
		Config: &openmatch.FunctionConfig{Host: host, Port: number, Type: openmatch.FunctionConfig_GRPC}, Profile: p})
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
		out = append(out, r.GetMatch())
	}
}

// versus is a rule set of two teams, for those whose skill is at least so
// high.
func versus(n int, distance, least float64) string {
	return fmt.Sprintf(`{"name": "%[1]dv%[1]d", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": %[1]d, "maxPlayers": %[1]d}, {"name": "blue", "minPlayers": %[1]d, "maxPlayers": %[1]d}],
		"rules": [{"name": "good", "type": "comparison", "measurements": ["flatten(teams[*].players.attributes[skill])"], "referenceValue": %[3]g, "operation": ">="},
			{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": %[2]g}]}`, n, distance, least)
}

// Two match functions propose from the same tickets, by different rules, in
// the same cycles: no ticket is ever in two matches, each match keeps the
// rules of its own profile, and in the end all who can be are in one.
func TestOverlappingProfiles(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	rng := rand.New(rand.NewPCG(1, 2))
	skills := make(map[string]float64)
	const tickets = 400
	for range tickets {
		s := 1500 + 200*rng.NormFloat64()
		skills[w.create(ctx, s)] = s
	}
	sizes, distances, least := []int{1, 3}, []float64{60, 100}, []float64{1600, 0}
	matched := make(map[string]string)
	by := make([]int, 2)
	for cycle := 0; len(matched) < tickets*9/10; cycle++ {
		if ctx.Err() != nil {
			t.Fatalf("%d of %d are matched after %d cycles", len(matched), tickets, cycle)
		}
		found := make([][]*openmatch.Match, 2)
		errs := make([]error, 2)
		var both sync.WaitGroup
		for i := range 2 {
			both.Go(func() {
				found[i], errs[i] = w.fetch(ctx, i, fmt.Sprint("profile-", i), versus(sizes[i], distances[i], least[i]))
			})
		}
		both.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		for i, ms := range found {
			by[i] += len(ms)
			for _, m := range ms {
				w.check(m, sizes[i], distances[i], least[i], skills, matched)
			}
		}
	}
	t.Logf("%d of %d tickets: %d matches of two, %d of six", len(matched), tickets, by[0], by[1])
	if by[0] == 0 || by[1] == 0 {
		t.Error("one of the profiles got nothing")
	}
}

// check looks at one match, and takes its tickets out of the game.
func (w *harness) check(m *openmatch.Match, size int, distance, least float64, skills map[string]float64, matched map[string]string) {
	w.t.Helper()
	details := new(torikumiv1.MatchDetails)
	if err := contract.Get(m.GetExtensions(), contract.MatchExtension, details); err != nil {
		w.t.Fatal(err)
	}
	var of []float64
	var ids []string
	for _, k := range m.GetTickets() {
		if other, ok := matched[k.GetId()]; ok {
			w.t.Errorf("ticket %s is in %s and %s", k.GetId(), other, m.GetMatchId())
		}
		matched[k.GetId()] = m.GetMatchId()
		of = append(of, skills[k.GetId()])
		ids = append(ids, k.GetId())
	}
	if len(of) != 2*size || slices.Min(of) < least || slices.Max(of)-slices.Min(of) > distance || len(details.GetTeams()) != 2 ||
		len(details.GetTeams()[0].GetMembers()) != size || len(details.GetTeams()[1].GetMembers()) != size {
		w.t.Errorf("match of skills %v: %v", of, details)
	}
	if _, err := w.backend.AssignTickets(context.Background(), &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{
		{TicketIds: ids, Assignment: &openmatch.Assignment{Connection: "192.0.2.1:7000"}}}}); err != nil {
		w.t.Error(err)
	}
}

// Those who still play and the one who joins keep the rules together; the
// backfill's acknowledgement assigns the joiner, and the backfill knows of him.
func TestABackfillIsFilledByTheRules(t *testing.T) {
	w := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := &openmatch.Backfill{SearchFields: &openmatch.SearchFields{Tags: []string{w.tag}}}
	playing := func(id string, skill float64) *torikumiv1.Player {
		return &torikumiv1.Player{Id: id, Attributes: map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: skill}}}}
	}
	if err := contract.Put(&b.Extensions, contract.BackfillExtension, &torikumiv1.BackfillDetails{Teams: []*torikumiv1.BackfillTeam{
		{Name: "red", Players: []*torikumiv1.Player{playing("r1", 1500), playing("r2", 1510)}}, {Name: "blue", Players: []*torikumiv1.Player{playing("b1", 1505)}}}}); err != nil {
		t.Fatal(err)
	}
	made, err := w.frontend.CreateBackfill(ctx, &openmatch.CreateBackfillRequest{Backfill: b})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = w.frontend.DeleteBackfill(context.Background(), &openmatch.DeleteBackfillRequest{BackfillId: made.GetId()})
	}()
	far, near := w.create(ctx, 1900), w.create(ctx, 1520)
	// The query service may see the backfill a moment later.
	for {
		found, err := w.fetch(ctx, 0, "fill", versus(2, 100, 0))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			if ctx.Err() != nil {
				t.Fatal("nobody joins")
			}
			continue
		}
		m := found[0]
		if len(found) != 1 || m.GetBackfill().GetId() != made.GetId() || m.GetAllocateGameserver() || len(m.GetTickets()) != 1 || m.GetTickets()[0].GetId() != near {
			t.Fatalf("got %v, and %s is far", found, far)
		}
		break
	}
	if _, err := w.frontend.AcknowledgeBackfill(ctx, &openmatch.AcknowledgeBackfillRequest{BackfillId: made.GetId(),
		Assignment: &openmatch.Assignment{Connection: "192.0.2.7:7000"}}); err != nil {
		t.Fatal(err)
	}
	joined, err := w.frontend.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: near})
	if err != nil || joined.GetAssignment().GetConnection() != "192.0.2.7:7000" {
		t.Errorf("the joiner's ticket: %v, %v", joined, err)
	}
	after := new(torikumiv1.BackfillDetails)
	stored, err := w.frontend.GetBackfill(ctx, &openmatch.GetBackfillRequest{BackfillId: made.GetId()})
	if err != nil || contract.Get(stored.GetExtensions(), contract.BackfillExtension, after) != nil {
		t.Fatalf("%v, %v", stored, err)
	}
	playingNow := 0
	for _, team := range after.GetTeams() {
		playingNow += len(team.GetPlayers())
	}
	if playingNow != 4 || !strings.HasPrefix(after.GetTeams()[1].GetName(), "blue") {
		t.Errorf("after the join: %v", after)
	}
}
