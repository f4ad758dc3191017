package explain

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// harness is a cache with a store and replicas.
type harness struct {
	*Cache
	t        testing.TB
	clock    *clock
	store    *ticket.Memory
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
	h.store = ticket.NewMemory(ticket.Limits{
		Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 1 << 20, Now: h.clock.Now,
	})
	for _, a := range addrs {
		f := &matchFunction{t: t, known: map[string]string{}}
		f.up(false)
		t.Cleanup(f.down)
		h.byAddr[a] = f
	}
	h.Cache = New(Options{
		Store: h.store, MatchFunctions: addrs, Interval: time.Millisecond, CallTimeout: time.Minute, Now: h.clock.Now,
		Logger: slog.New(slog.NewTextHandler(h.logs, nil)), Metrics: NewMetrics(h.registry),
	})
	h.replicas.dial = func(addr, _ string) (*grpc.ClientConn, error) {
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

// begin creates a ticket whose Open Match ticket is "om-" and its id.
func (h *harness) begin(queue, id string) ticket.Ticket {
	h.t.Helper()
	if _, err := h.store.Create(h.t.Context(), ticket.Ticket{ID: id, Queue: queue, Players: []*torikumiv1.Player{{Id: id}}}); err != nil {
		h.t.Error(err)
	}
	return h.event(id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id})
}

// event applies an event to a ticket and returns what comes of it.
func (h *harness) event(id string, e ticket.Event) ticket.Ticket {
	h.t.Helper()
	c, err := h.store.Update(h.t.Context(), id, e)
	if err != nil || !c.Changed() {
		h.t.Errorf("%v of %s: %+v, %v", e.Kind, id, c, err)
	}
	return c.Ticket
}

// get returns a ticket.
func (h *harness) get(id string) ticket.Ticket {
	h.t.Helper()
	s, err := h.store.Get(h.t.Context(), id)
	if err != nil {
		h.t.Error(err)
	}
	return s
}

// look is what a player reads.
func (h *harness) look(id string) string {
	s := h.get(id)
	return h.Reason(&s)
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
