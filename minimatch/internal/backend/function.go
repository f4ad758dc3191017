package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/synchronizer"
	"torikumi/pkg/config"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// Functions calls match functions at whatever addresses the directors name, and
// keeps one connection for each. Create it with NewFunctions; it is safe for
// concurrent use.
type Functions struct {
	dial   func(target string) (*grpc.ClientConn, error)
	rest   *http.Client
	logger *slog.Logger
	mu     sync.Mutex
	conns  map[string]*grpc.ClientConn
	health map[string]*rpc.Health
	closed bool
}

var errClosed = errors.New("the service is stopping")

// NewFunctions returns a caller that connects with dial, which must not wait for
// the server. It logs when a match function begins to fail and when it works again.
func NewFunctions(dial func(target string) (*grpc.ClientConn, error), logger *slog.Logger) *Functions {
	return &Functions{dial: dial, rest: newRESTClient(), logger: logger, conns: map[string]*grpc.ClientConn{}, health: map[string]*rpc.Health{}}
}

// Close closes the connections; calls under way fail.
func (f *Functions) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.rest.CloseIdleConnections()
	var errs []error
	for target, conn := range f.conns {
		errs = append(errs, conn.Close())
		delete(f.conns, target)
	}
	return errors.Join(errs...)
}

func (f *Functions) connection(target string) (*grpc.ClientConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errClosed
	}
	if conn, ok := f.conns[target]; ok {
		return conn, nil
	}
	conn, err := f.dial(target)
	if err != nil {
		return nil, fmt.Errorf("the match function's address cannot be used: %w", err)
	}
	f.conns[target] = conn
	return conn, nil
}

// checkConfig refuses what can be no match function.
func checkConfig(cfg *openmatch.FunctionConfig) error {
	switch {
	case cfg.GetHost() == "":
		return errors.New("config.host is required")
	case !config.IsHost(cfg.GetHost()):
		return fmt.Errorf("config.host must be a name or an IP address without a zone, got %.100q", cfg.GetHost())
	case cfg.GetPort() < 1 || cfg.GetPort() > 65535:
		return fmt.Errorf("config.port must be from 1 to 65535, not %d", cfg.GetPort())
	case cfg.GetType() != openmatch.FunctionConfig_GRPC && cfg.GetType() != openmatch.FunctionConfig_REST:
		return fmt.Errorf("config.type must be GRPC or REST, not %d", cfg.GetType())
	}
	return nil
}

// run calls the match function and hands over each proposal until it ends. The
// error is ctx's cause if that is what ended it.
func (f *Functions) run(ctx context.Context, cfg *openmatch.FunctionConfig, profile *openmatch.MatchProfile, propose func(*openmatch.Match) error) error {
	call := f.runGRPC
	if cfg.GetType() == openmatch.FunctionConfig_REST {
		call = f.runREST
	}
	err := call(ctx, cfg, profile, propose)
	left := ctx.Err() != nil && !errors.Is(context.Cause(ctx), synchronizer.ErrWindowClosed)
	if !left && !errors.Is(err, synchronizer.ErrCycleFull) { // else it was not its fault
		f.healthOf(cfg).Record(err)
	}
	return err
}

// healthOf is what the log knows of a match function.
func (f *Functions) healthOf(cfg *openmatch.FunctionConfig) *rpc.Health {
	target := address(cfg)
	f.mu.Lock()
	defer f.mu.Unlock()
	h, ok := f.health[target]
	if !ok {
		h = rpc.NewHealth(f.logger.With("match_function", target), "match function fails", "match function works again")
		f.health[target] = h
	}
	return h
}

func address(cfg *openmatch.FunctionConfig) string {
	return net.JoinHostPort(cfg.GetHost(), strconv.Itoa(int(cfg.GetPort())))
}

func (f *Functions) runGRPC(ctx context.Context, cfg *openmatch.FunctionConfig, profile *openmatch.MatchProfile, propose func(*openmatch.Match) error) error {
	conn, err := f.connection(address(cfg))
	if err != nil {
		return err
	}
	stream, err := openmatch.NewMatchFunctionClient(conn).Run(ctx, &openmatch.RunRequest{Profile: profile})
	if err != nil {
		return functionError(ctx, err)
	}
	return proposals(ctx, stream.Recv, propose)
}

// maxProposal is the largest message with a match, in bytes. What is larger would be taken
// by no evaluator and no caller that has gRPC's default limit, and fail all others of the cycle.
const maxProposal = 4 << 20

// growth is more than a new backfill's id, time and generation add to its match, in bytes.
const growth = 1 << 10

// proposals hands over what next brings until it ends with io.EOF.
func proposals(ctx context.Context, next func() (*openmatch.RunResponse, error), propose func(*openmatch.Match) error) error {
	for {
		run, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return functionError(ctx, err)
		}
		if err := bounded(run); err != nil {
			return functionError(ctx, err)
		}
		if err := propose(run.GetProposal()); err != nil {
			return err
		}
	}
}

// bounded is the error of a proposal that is too large, or will be when its backfill is made.
func bounded(run *openmatch.RunResponse) error {
	size, most, what := proto.Size(run), maxProposal, "a match"
	if b := run.GetProposal().GetBackfill(); b != nil && b.GetId() == "" {
		most, what = maxProposal-growth, "a match with a new backfill"
	}
	if size > most {
		return fmt.Errorf("%s of %d bytes, at most %d can be taken", what, size, most)
	}
	return nil
}

// functionError says what the match function said. A context that has ended is
// the better reason, which gRPC would hide.
func functionError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if s, ok := status.FromError(err); ok {
		return fmt.Errorf("the match function failed with code %v: %s", s.Code(), s.Message())
	}
	return fmt.Errorf("the match function failed: %w", err)
}
