package reasons

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/frontend/internal/search"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); c.now = c.now.Add(d); c.mu.Unlock() }

// matchFunction is one replica: like the real one it notes what it is asked for,
// and its runs look at some of it.
type matchFunction struct {
	torikumiv1.UnimplementedExplainServiceServer
	t testing.TB

	mu     sync.Mutex
	lis    *bufconn.Listener // nil while it is down
	server *grpc.Server
	calls  [][]string
	noted  []string
	known  map[string]string
	fail   error
	extra  []*torikumiv1.Explanation
}

func (f *matchFunction) Explain(_ context.Context, req *torikumiv1.ExplainRequest) (*torikumiv1.ExplainResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, req.GetTicketIds())
	if f.fail != nil {
		return nil, f.fail
	}
	out := &torikumiv1.ExplainResponse{Explanations: f.extra}
	for _, id := range req.GetTicketIds() {
		if text, ok := f.known[id]; ok {
			out.Explanations = append(out.Explanations, &torikumiv1.Explanation{TicketId: id, Summary: text})
		} else if !slices.Contains(f.noted, id) {
			f.noted = append(f.noted, id)
		}
	}
	return out, nil
}

// run looks at up to n of the tickets that are asked for.
func (f *matchFunction) run(n int, say func(id string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(n, len(f.noted))
	for _, id := range f.noted[:n] {
		f.known[id] = say(id)
	}
	f.noted = f.noted[n:]
}

// say sets what is known of a ticket; nothing if text is empty.
func (f *matchFunction) say(id, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if text == "" {
		delete(f.known, id)
	} else {
		f.known[id] = text
	}
}

func (f *matchFunction) set(err error) { f.mu.Lock(); f.fail = err; f.mu.Unlock() }

// taken returns the calls since it was last asked.
func (f *matchFunction) taken() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// up begins to serve; an old one does not know the call.
func (f *matchFunction) up(old bool) {
	lis, server := bufconn.Listen(1<<16), grpc.NewServer()
	if !old {
		torikumiv1.RegisterExplainServiceServer(server, f)
	}
	f.mu.Lock()
	f.lis, f.server = lis, server
	f.mu.Unlock()
	go func() {
		// It may be stopped before it has begun.
		if err := server.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			f.t.Error(err)
		}
	}()
}

func (f *matchFunction) down() {
	f.mu.Lock()
	server := f.server
	f.lis, f.server = nil, nil
	f.mu.Unlock()
	if server != nil {
		server.Stop()
	}
}

// harness is a keeper with a store and replicas.
type harness struct {
	*Keeper
	t        testing.TB
	clock    *clock
	store    *search.Memory
	byAddr   map[string]*matchFunction
	registry *prometheus.Registry
	logs     *bytes.Buffer
}

// newHarness has a replica at each address, which are IP:port.
func newHarness(t testing.TB, addrs ...string) *harness {
	t.Helper()
	h := &harness{
		t: t, clock: &clock{now: time.Unix(1_000_000, 0)}, byAddr: map[string]*matchFunction{},
		registry: prometheus.NewRegistry(), logs: new(bytes.Buffer),
	}
	h.store = search.NewMemory(search.Limits{
		Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Searches: 1 << 20, Now: h.clock.Now,
	})
	for _, a := range addrs {
		f := &matchFunction{t: t, known: map[string]string{}}
		f.up(false)
		t.Cleanup(f.down)
		h.byAddr[a] = f
	}
	h.Keeper = New(Options{
		Store: h.store, MatchFunctions: addrs, Interval: time.Millisecond, Now: h.clock.Now,
		Logger: slog.New(slog.NewTextHandler(h.logs, nil)), Metrics: NewMetrics(h.registry),
	})
	h.replicas.dial = func(addr string) (*grpc.ClientConn, error) {
		return rpc.Dial("passthrough:///"+addr, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			f := h.byAddr[addr]
			if f == nil {
				return nil, errors.New("nobody is there")
			}
			f.mu.Lock()
			lis := f.lis
			f.mu.Unlock()
			if lis == nil {
				return nil, errors.New("it is down")
			}
			return lis.DialContext(ctx)
		}))
	}
	t.Cleanup(h.replicas.close)
	return h
}

const addr = "10.0.0.1:50502"

// begin starts a search whose ticket in Open Match is "om-" and its id.
func (h *harness) begin(queue, id string) search.Search {
	h.t.Helper()
	if err := h.store.Begin(search.Search{ID: id, Queue: queue, Players: []*torikumiv1.Player{{Id: id}}}); err != nil {
		h.t.Fatal(err)
	}
	s, ok, _ := h.store.Bind(id, "om-"+id)
	if !ok {
		h.t.Fatalf("%s not bound", id)
	}
	return s
}

// look is what a player reads.
func (h *harness) look(id string) string {
	s, _ := h.store.Get(id)
	return h.Look(&s)
}

// step lets time pass and asks.
func (h *harness) step(d time.Duration) {
	h.clock.pass(d)
	h.round(h.t.Context())
}

// lines counts log lines that have a text.
func (h *harness) lines(text string) int { return strings.Count(h.logs.String(), text) }

func (h *harness) metric(name string) float64 {
	h.t.Helper()
	all, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	sum := 0.0
	for _, family := range all {
		if family.GetName() == "torikumi_frontend_"+name {
			for _, m := range family.GetMetric() {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func check(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestReasonComesAndGoes(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	h.begin("q", "a")
	check(t, "at once", h.look("a"), "")
	h.step(time.Second)
	check(t, "young", h.look("a"), "")
	h.step(900 * time.Millisecond)
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("a ticket that has just come is asked for: %v", calls)
	}
	h.clock.pass(100 * time.Millisecond)
	h.look("a")
	h.step(0)
	if calls := f.taken(); len(calls) != 1 || !slices.Equal(calls[0], []string{"om-a"}) {
		t.Errorf("calls: %v", calls)
	}
	f.run(16, func(string) string { return "nobody else is waiting" })
	h.step(2 * time.Second)
	check(t, "after a run", h.look("a"), "nobody else is waiting")
	if got := h.metric("reason_matchfunctions_up"); got != 1 {
		t.Errorf("%v are up", got)
	}

	// Nobody looks: after 10 s it is asked for no more, and 30 s later it is
	// forgotten.
	for range 4 {
		h.step(2 * time.Second)
	}
	f.taken()
	h.step(2 * time.Second)
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("asked though nobody wants to know: %v", calls)
	}
	check(t, "a slow player", h.look("a"), "nobody else is waiting")
	for range 20 {
		h.step(2 * time.Second)
	}
	if len(h.entries) != 0 || len(h.line.queues) != 0 {
		t.Errorf("remembered: %v", h.entries)
	}
	check(t, "much later", h.look("a"), "")
}

// A ticket whose search has ended is not asked for again, and forgotten.
func TestEndedSearchesDropOut(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	for _, id := range []string{"cancelled", "assigned", "seen", "waiting"} {
		h.begin("q", id)
		follower := h.Follow()
		defer follower.Close()
		s, _ := h.store.Get(id)
		follower.Look(&s)
	}
	h.step(2 * time.Second)
	f.run(16, func(string) string { return "x" })
	h.step(2 * time.Second)
	f.taken()
	for _, id := range []string{"cancelled", "seen"} {
		h.store.End(id, search.Cancel)
	}
	h.store.Assign("om-assigned", search.Assignment{Connection: "c"})
	check(t, "after the end", h.look("seen"), "")
	if len(h.entries) != 3 {
		t.Errorf("the end was seen, but it is remembered: %v", h.entries)
	}
	h.step(2 * time.Second)
	if calls := f.taken(); len(calls) != 1 || !slices.Equal(calls[0], []string{"om-waiting"}) {
		t.Errorf("calls: %v", calls)
	}
	h.step(2 * time.Second)
	if len(h.entries) != 1 || len(h.line.queues["q"]) != 1 {
		t.Errorf("remembered: %v", h.entries)
	}
}

// A search whose ticket is made again has another id in Open Match: what was
// seen of the old one is not shown.
func TestTicketMadeAgain(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	h.begin("q", "a")
	f.say("om-a", "old")
	f.say("om-b", "new")
	h.clock.pass(2 * time.Second)
	h.look("a")
	h.step(0)
	check(t, "before", h.look("a"), "old")
	h.store.Lose("a", "om-a")
	check(t, "lost", h.look("a"), "")
	f.taken()
	h.step(2 * time.Second)
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("asked without a ticket: %v", calls)
	}
	if !h.store.Retry("a") {
		t.Fatal("no retry")
	}
	h.store.Bind("a", "om-b")
	check(t, "made again", h.look("a"), "")
	h.step(2 * time.Second)
	check(t, "asked again", h.look("a"), "new")
}

// TestThousandWait: the calls do not grow with the waiting players, each of them
// is told in turn, and those of a quiet queue do not wait for those of a crowd.
func TestThousandWait(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	const few = 40
	var ids []string
	var followers []*Follower
	for i := range 1000 + few {
		queue := "crowd"
		if i >= 1000 {
			queue = "few"
		}
		id := fmt.Sprint(queue, i)
		s := h.begin(queue, id)
		follower := h.Follow()
		follower.Look(&s)
		ids, followers = append(ids, id), append(followers, follower)
	}
	defer func() {
		for _, follower := range followers {
			follower.Close()
		}
	}()
	told := map[string]bool{}
	for round := 0; len(told) < len(ids); round++ {
		if round == 200 {
			t.Fatalf("%d of %d were told in %d rounds", len(told), len(ids), round)
		}
		if round == 4 {
			for _, id := range ids[1000:] {
				if !told[id] {
					t.Errorf("%s was not told in %d rounds", id, round)
				}
			}
		}
		h.step(2 * time.Second)
		calls := f.taken()
		if round == 0 && (len(calls) != 1 || len(calls[0]) != 100) || len(calls) > 1 {
			t.Fatalf("round %d: %d calls", round, len(calls))
		}
		for _, call := range calls {
			slices.Sort(call)
			if len(call) > 100 || len(slices.Compact(call)) != len(call) {
				t.Fatalf("%d ids, some twice", len(call))
			}
		}
		for i, id := range ids {
			if text := h.look(id); text != "" {
				told[id] = true
				if text != "of om-"+id {
					t.Fatalf("%s was told %q", id, text)
				}
				if i < 1000 { // later it is asked for anew
					f.say("om-"+id, "")
				}
			}
		}
		f.run(32, func(id string) string { return "of " + id })
	}
}

// A queue that is never explained leaves the others their turns.
func TestQueueWithoutAnswers(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	for i := range 300 {
		h.begin("silent", fmt.Sprint("silent", i))
		h.begin("spoken", fmt.Sprint("spoken", i))
	}
	h.clock.pass(2 * time.Second)
	told := 0
	for range 15 {
		told = 0
		for i := range 300 {
			h.look(fmt.Sprint("silent", i))
			if h.look(fmt.Sprint("spoken", i)) != "" {
				told++
			}
		}
		h.step(2 * time.Second)
		f.mu.Lock()
		for _, id := range f.noted {
			if strings.HasPrefix(id, "om-spoken") {
				f.known[id] = "x"
			}
		}
		f.noted = nil
		f.mu.Unlock()
	}
	if told != 300 {
		t.Errorf("%d of 300 are told", told)
	}
	seen := map[string]bool{}
	for _, call := range f.taken() {
		for _, id := range call {
			if strings.HasPrefix(id, "om-silent") {
				seen[id] = true
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d of the silent queue were asked for; those who wait in vain keep the others out", len(seen))
	}
}

func TestDownAndBack(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	f.down()
	h.begin("q", "a")
	f.say("om-a", "x")
	h.clock.pass(2 * time.Second)
	for range 5 {
		h.look("a")
		h.step(100 * time.Millisecond)
	}
	check(t, "while it is down", h.look("a"), "")
	const notSaid, said = "does not say why", "says why"
	if h.lines(notSaid) != 1 || h.lines(said) != 0 || h.metric("reason_matchfunctions_up") != 0 {
		t.Errorf("logged:\n%s", h.logs)
	}
	f.up(false)
	eventually(t, "it is back", func() bool { h.round(t.Context()); return h.look("a") == "x" })
	if h.lines(notSaid) != 1 || h.lines(said) != 1 || h.metric("reason_matchfunctions_up") != 1 {
		t.Errorf("logged:\n%s", h.logs)
	}
	f.down()
	for range 5 {
		h.look("a")
		h.step(2 * time.Second)
	}
	check(t, "just gone", h.look("a"), "x")
	for range 15 {
		h.look("a")
		h.step(2 * time.Second)
	}
	check(t, "long gone", h.look("a"), "")
	if h.lines(notSaid) != 2 || h.metric("reason_matchfunctions_up") != 0 || h.metric("reason_calls_total") < 20 {
		t.Errorf("logged:\n%s", h.logs)
	}
}

// An older match function does not know the call, and one in trouble needs rest.
func TestLeftAlone(t *testing.T) {
	for name, fail := range map[string]error{"old": nil, "exhausted": status.Error(codes.ResourceExhausted, "no")} {
		h := newHarness(t, addr)
		f := h.byAddr[addr]
		if fail == nil {
			f.down()
			f.up(true)
		}
		f.set(fail)
		h.begin("q", "a")
		h.clock.pass(2 * time.Second)
		for range 10 {
			h.look("a")
			h.step(2 * time.Second)
		}
		if got := h.metric("reason_calls_total"); got != 2 {
			t.Errorf("%s: %v calls in 20 s, want one in 10 s", name, got)
		}
		if h.lines("does not say why") != 1 || h.look("a") != "" {
			t.Errorf("%s: logged:\n%s", name, h.logs)
		}
	}
}

// A name stands for all its addresses: each replica knows what its own runs saw.
func TestReplicas(t *testing.T) {
	const one, two, three = "10.0.0.1:50502", "10.0.0.2:50502", "[fd00::3]:50502"
	h := newHarness(t, one, two, three)
	h.replicas.names = []*name{{text: "match.example:50502"}}
	var addrs []string
	var failure error
	h.replicas.lookUp = func(_ context.Context, _, host string) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		if host != "match.example" {
			t.Errorf("looked up %q", host)
		}
		return out, failure
	}
	h.begin("q", "a")
	h.begin("q", "b")
	h.byAddr[one].say("om-a", "by one")
	h.byAddr[two].say("om-b", "by two")
	h.byAddr[three].say("om-b", "by three")
	asked := func(want ...string) {
		t.Helper()
		h.clock.pass(lookUpEvery)
		h.look("a")
		h.look("b")
		h.step(0)
		for a, f := range h.byAddr {
			if n := len(f.taken()); n > 1 || (n == 1) != slices.Contains(want, a) {
				t.Errorf("%s: %d calls, want calls of %v", a, n, want)
			}
		}
	}
	h.clock.pass(2 * time.Second)
	// A name without addresses, and with none of them yet.
	asked()
	failure = errors.New("no such host")
	asked()
	asked()
	if h.lines("cannot be looked up") != 1 {
		t.Errorf("logged:\n%s", h.logs)
	}
	failure, addrs = nil, []string{"10.0.0.1", "fd00::3", "10.0.0.2", "::ffff:10.0.0.1"}
	asked(one, two)
	check(t, "a", h.look("a"), "by one")
	check(t, "b", h.look("b"), "by two")
	// What cannot be looked up stays as it was.
	failure = errors.New("no server")
	asked(one, two)
	failure, addrs = nil, []string{"10.0.0.2"}
	asked(two)
	if len(h.replicas.known) != 1 {
		t.Errorf("known: %v", h.replicas.known)
	}
	addrs = []string{"fd00::3"}
	asked(three)
	check(t, "b, of another replica", h.look("b"), "by three")
	if got := h.metric("reason_matchfunctions_up"); got != 1 {
		t.Errorf("%v are up", got)
	}
}

// Followers hear of changes, at most every 5 s, and of the end of an answer.
func TestFollowers(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	s := h.begin("q", "a")
	follower := h.Follow()
	defer follower.Close()
	told := func(what, want string) {
		t.Helper()
		reason, changed := follower.Look(&s)
		h.step(2 * time.Second)
		select {
		case <-changed:
		default:
			if want != reason {
				t.Errorf("%s: not told", what)
			}
			return
		}
		if got, _ := follower.Look(&s); got != want || got == reason {
			t.Errorf("%s: from %q to %q, want %q", what, reason, got, want)
		}
	}
	quiet := func(what string) {
		t.Helper()
		_, changed := follower.Look(&s)
		h.step(2 * time.Second)
		select {
		case <-changed:
			t.Errorf("%s: told", what)
		default:
		}
	}
	quiet("nothing is known")
	f.say("om-a", "x")
	told("the first reason", "x")
	quiet("the same")
	f.say("om-a", "y")
	_, changed := follower.Look(&s)
	h.step(2 * time.Second)
	select {
	case <-changed:
		t.Error("told 4 s after the last time")
	default:
	}
	check(t, "whoever looks", h.look("a"), "y")
	h.step(2 * time.Second)
	select {
	case <-changed:
	default:
		t.Error("not told 6 s after the last time")
	}
	f.say("om-a", "")
	for range 14 {
		quiet("nothing new")
	}
	told("it is too old", "")
	h.store.End("a", search.Cancel)
	s, _ = h.store.Get("a")
	if reason, changed := follower.Look(&s); reason != "" || changed != nil {
		t.Errorf("after the end: %q, %v", reason, changed)
	}
	if len(h.entries) != 0 {
		t.Errorf("remembered: %v", h.entries)
	}
}

// What is not for players, or of tickets that nobody asked for, is left out.
func TestStrangeAnswers(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	h.begin("q", "a")
	h.begin("q", "b")
	f.extra = []*torikumiv1.Explanation{nil, {TicketId: "om-b"}, {TicketId: "om-z", Summary: "z"}, {Summary: "nobody's"}}
	f.say("om-a", strings.Repeat("x", mostText+1))
	h.clock.pass(2 * time.Second)
	h.look("a")
	h.look("b")
	h.step(2 * time.Second)
	check(t, "too long", h.look("a"), "")
	check(t, "empty", h.look("b"), "")
}

func TestFull(t *testing.T) {
	h := newHarness(t, addr)
	for i := range mostTickets {
		h.entries[fmt.Sprint("other", i)] = new(entry)
	}
	s := h.begin("q", "a")
	h.clock.pass(2 * time.Second)
	follower := h.Follow()
	if reason, changed := follower.Look(&s); reason != "" || changed != nil {
		t.Errorf("no room, but %q, %v", reason, changed)
	}
	delete(h.entries, "other0")
	if _, changed := follower.Look(&s); changed == nil {
		t.Error("room, but it is not followed")
	}
	follower.Close()
}

func TestNobodyKnows(t *testing.T) {
	var k *Keeper
	s := search.Search{ID: "a", State: torikumiv1.TicketState_SEARCHING}
	check(t, "no match function", k.Look(&s), "")
	follower := k.Follow()
	if reason, changed := follower.Look(&s); reason != "" || changed != nil {
		t.Errorf("%q, %v", reason, changed)
	}
	follower.Close()
}

// TestConcurrentPlayers is for the race detector: players look, follow and
// leave, searches begin and end, while the loop asks.
func TestConcurrentPlayers(t *testing.T) {
	h := newHarness(t, addr, "10.0.0.2:50502")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	var players sync.WaitGroup
	for p := range 20 {
		players.Go(func() {
			for i := range 20 {
				id := fmt.Sprint("s", p, "-", i)
				if err := h.store.Begin(search.Search{ID: id, Queue: fmt.Sprint("q", p%3)}); err != nil {
					t.Error(err)
					return
				}
				s, _, _ := h.store.Bind(id, "om-"+id)
				for _, f := range h.byAddr {
					f.say("om-"+id, "x")
				}
				follower := h.Follow()
				_, changed := follower.Look(&s)
				h.clock.pass(2 * time.Second)
				if i%4 == 0 {
					<-changed
				}
				h.look(id)
				if i%3 == 0 {
					h.store.Lose(id, "om-"+id)
				} else {
					h.store.End(id, search.Cancel)
				}
				if s, ok := h.store.Get(id); ok {
					follower.Look(&s)
				}
				follower.Close()
			}
		})
	}
	players.Wait()
	eventually(t, "everybody is forgotten", func() bool {
		h.clock.pass(time.Second)
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.entries) == 0
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
