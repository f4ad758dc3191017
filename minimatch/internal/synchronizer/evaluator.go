package synchronizer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/minimatch/internal/jsonstream"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// errEarlyEnd is an evaluator that ended its stream while proposals still came.
var errEarlyEnd = errors.New("the evaluator ended before it had all proposals")

// Remote is an evaluator behind Open Match's gRPC API: one stream per cycle,
// proposals in, accepted match ids out. There is no timeout around it: an
// evaluator that hangs holds the cycle until every caller has left. Create it
// with NewRemote; it is safe for concurrent use.
type Remote struct {
	client openmatch.EvaluatorClient
	health *rpc.Health
}

// NewRemote returns an evaluator that is called through client. Its failures
// are logged when they begin and when they end.
func NewRemote(client openmatch.EvaluatorClient, logger *slog.Logger) *Remote {
	return &Remote{client: client, health: newHealth(logger)}
}

// Evaluate implements Evaluator.
func (r *Remote) Evaluate(ctx context.Context, source Source, accept func(string) error) error {
	parent := ctx
	group, ctx := errgroup.WithContext(ctx)
	stream, err := r.client.Evaluate(ctx)
	if err != nil {
		return outcome(parent, r.health, remoteError(err))
	}
	received := make(chan struct{})
	var receiveErr error
	group.Go(func() error {
		defer close(received)
		receiveErr = receive(stream.Recv, accept)
		return receiveErr
	})
	group.Go(func() error {
		err := send(ctx, stream, source)
		if errors.Is(err, io.EOF) {
			// The evaluator has ended the stream; why, only receive gets to know.
			<-received
			err = errEarlyEnd
			if receiveErr != nil {
				err = receiveErr
			}
		}
		return err
	})
	return outcome(parent, r.health, group.Wait())
}

// send passes proposals on until there are no more. It returns io.EOF when the
// evaluator has ended the stream before.
func send(ctx context.Context, stream openmatch.Evaluator_EvaluateClient, source Source) error {
	err := each(ctx, source, func(m *openmatch.EvaluateRequest) error {
		err := stream.Send(m)
		if err != nil && !errors.Is(err, io.EOF) {
			return remoteError(err)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return remoteError(err)
	}
	return nil
}

// each calls f with each proposal until there are no more.
func each(ctx context.Context, source Source, f func(*openmatch.EvaluateRequest) error) error {
	for {
		batch, err := source.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range batch {
			if err := f(&openmatch.EvaluateRequest{Match: m}); err != nil {
				return err
			}
		}
	}
}

// receive passes on the ids that next brings until it ends with io.EOF.
func receive(next func() (*openmatch.EvaluateResponse, error), accept func(string) error) error {
	for {
		resp, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return remoteError(err)
		}
		if err := accept(resp.GetMatchId()); err != nil {
			return err
		}
	}
}

func newHealth(logger *slog.Logger) *rpc.Health {
	return rpc.NewHealth(logger, "evaluator fails", "evaluator works again")
}

// outcome records how an evaluation ended, with the cause that callers are not
// told. An end from outside says nothing of the evaluator.
func outcome(ctx context.Context, health *rpc.Health, err error) error {
	var failed *evaluatorError
	switch {
	case err != nil && ctx.Err() != nil:
	case errors.As(err, &failed):
		if _, said := errors.AsType[*jsonstream.Failure](failed.cause); said {
			health.Down(err) // which has all of it
		} else {
			health.Down(fmt.Errorf("%w: %w", err, failed.cause))
		}
	default:
		health.Record(err)
	}
	return err
}

// evaluatorError says to callers that the evaluator failed, and what it said
// itself, but not where it is.
type evaluatorError struct{ cause error }

func remoteError(err error) error { return &evaluatorError{cause: err} }

func (e *evaluatorError) Error() string {
	if failure, ok := errors.AsType[*jsonstream.Failure](e.cause); ok {
		return "the evaluator failed: " + failure.Error()
	}
	s, ok := status.FromError(e.cause)
	op, network := errors.AsType[*net.OpError](e.cause)
	switch {
	case errors.Is(e.cause, jsonstream.ErrMalformed), errors.Is(e.cause, jsonstream.ErrTooLarge):
		return "the evaluator failed: " + e.cause.Error()
	case !ok && network && op.Op == "dial":
		return "the evaluator cannot be reached"
	case !ok:
		return "the evaluator failed"
	case s.Code() == codes.Unavailable && fromTransport(s.Message()):
		return "the evaluator cannot be reached"
	}
	return fmt.Sprintf("the evaluator failed with code %v: %s", s.Code(), s.Message())
}

// fromTransport reports whether a message is gRPC's own, which may name an
// address, and not the server's: gRPC does not tell them apart otherwise. Its own begin so.
func fromTransport(message string) bool {
	for _, own := range []string{"connection error: desc = ", "last connection error: ", "last resolver error: ", "name resolver error: ", "error reading from server: ", "error reading server preface: ", "transport: ", "transport is closing", "closing transport due to: ", "produced zero addresses"} {
		if strings.HasPrefix(message, own) {
			return true
		}
	}
	return false
}

func (e *evaluatorError) Unwrap() error { return e.cause }
