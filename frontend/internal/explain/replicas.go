package explain

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/endpoints"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// callTimeout bounds a call: a match function answers from memory.
	callTimeout = time.Second
	// lookUpEvery is the time between two look-ups of the names.
	lookUpEvery = 10 * time.Second
	// leaveAlone is how long a replica is not asked that is too old to know the
	// call, or too slow.
	leaveAlone = 10 * time.Second
)

// replicas are the processes of the match functions. Each knows only what its
// own runs saw, so each is asked by itself. It belongs to the loop.
type replicas struct {
	logger  *slog.Logger
	metrics *Metrics
	now     func() time.Time
	timeout time.Duration
	dial    func(addr, host string) (*grpc.ClientConn, error)

	names    *endpoints.Names
	lookedUp time.Time
	known    map[string]*replica // by address
}

// replica is one process.
type replica struct {
	addr   string
	conn   *grpc.ClientConn
	health *rpc.Health
	// up means that its last call has succeeded.
	up      bool
	resumes time.Time
}

// reply is what a replica says: summaries by Open Match's ticket id, or the
// error.
type reply struct {
	from      string
	summaries map[string]string
	err       error
}

func newReplicas(o *Options) *replicas {
	return &replicas{
		logger: o.Logger, metrics: o.Metrics, now: o.Now, timeout: cmp.Or(o.CallTimeout, callTimeout), known: make(map[string]*replica),
		names: newNames(o.MatchFunctions, nil, o.Logger),
		dial:  func(addr, host string) (*grpc.ClientConn, error) { return endpoints.Dial(o.TLS, addr, host) },
	}
}

func newNames(targets []string, lookUp endpoints.LookUp, logger *slog.Logger) *endpoints.Names {
	return endpoints.NewNames(targets, lookUp, logger.With("setting", "--matchfunctions"), "the match function's name cannot be looked up: players are not told why they wait")
}

// ask asks every replica once, at the same time.
func (r *replicas) ask(ctx context.Context, ids []string) []reply {
	r.find(ctx)
	now := r.now()
	var asked []*replica
	for _, addr := range slices.Sorted(maps.Keys(r.known)) {
		if p := r.known[addr]; !now.Before(p.resumes) {
			asked = append(asked, p)
		}
	}
	replies := make([]reply, len(asked))
	var calls sync.WaitGroup
	for i, p := range asked {
		calls.Go(func() { replies[i] = p.explain(ctx, ids, r.timeout) })
	}
	calls.Wait()
	if ctx.Err() != nil {
		return nil // we stop, which is no fault of theirs
	}
	for i, p := range asked {
		r.note(p, replies[i].err)
	}
	r.count()
	return replies
}

func (p *replica) explain(ctx context.Context, ids []string, timeout time.Duration) reply {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out := reply{from: p.addr}
	resp, err := torikumiv1.NewExplainServiceClient(p.conn).Explain(ctx, &torikumiv1.ExplainRequest{TicketIds: ids})
	if err != nil {
		out.err = err
		return out
	}
	out.summaries = make(map[string]string, len(resp.GetExplanations()))
	for _, x := range resp.GetExplanations() {
		if text := x.GetSummary(); text != "" && len(text) <= mostText {
			out.summaries[x.GetTicketId()] = text
		}
	}
	return out
}

// note remembers how a call went.
func (r *replicas) note(p *replica, err error) {
	code := status.Code(err)
	r.metrics.calls.WithLabelValues(code.String()).Inc()
	p.health.Record(err)
	p.up = err == nil
	// One that cannot be reached has no trouble with our trying.
	if err != nil && code != codes.Unavailable {
		p.resumes = r.now().Add(leaveAlone)
	}
}

// count shows how many replicas answer.
func (r *replicas) count() {
	n := 0
	for _, p := range r.known {
		if p.up {
			n++
		}
	}
	r.metrics.up.Set(float64(n))
}

// find looks the names up, if it is time, connects to new replicas and leaves
// those that are gone.
func (r *replicas) find(ctx context.Context) {
	now := r.now()
	if !r.lookedUp.IsZero() && now.Sub(r.lookedUp) < lookUpEvery {
		return
	}
	r.lookedUp = now
	current := r.names.Addresses(ctx)
	for addr, p := range r.known {
		if _, ok := current[addr]; !ok {
			_ = p.conn.Close() // nothing is under way
			delete(r.known, addr)
		}
	}
	for addr, host := range current {
		if r.known[addr] != nil {
			continue
		}
		conn, err := r.dial(addr, host)
		if err != nil {
			r.logger.ErrorContext(ctx, "no connection to the match function can be set up", "matchfunction", addr, "error", err)
			continue
		}
		health := rpc.NewHealth(r.logger.With("matchfunction", addr), "the match function does not say why tickets wait", "the match function says why tickets wait")
		r.known[addr] = &replica{addr: addr, conn: conn, health: health}
	}
}

func (r *replicas) close() {
	for _, p := range r.known {
		_ = p.conn.Close() // nothing is under way
	}
	clear(r.known)
	r.count()
}
