package synchronizer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"

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
	health health
}

// NewRemote returns an evaluator that is called through client. Its failures
// are logged when they begin and when they end.
func NewRemote(client openmatch.EvaluatorClient, logger *slog.Logger) *Remote {
	return &Remote{client: client, health: health{logger: logger}}
}

// Evaluate implements Evaluator.
func (r *Remote) Evaluate(ctx context.Context, source Source, accept func(string) error) error {
	parent := ctx
	group, ctx := errgroup.WithContext(ctx)
	stream, err := r.client.Evaluate(ctx)
	if err != nil {
		return r.health.outcome(parent, remoteError(err))
	}
	received := make(chan struct{})
	var receiveErr error
	group.Go(func() error {
		defer close(received)
		receiveErr = receive(stream, accept)
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
	return r.health.outcome(parent, group.Wait())
}

// send passes proposals on until there are no more. It returns io.EOF when the
// evaluator has ended the stream before.
func send(ctx context.Context, stream openmatch.Evaluator_EvaluateClient, source Source) error {
	for {
		batch, err := source.Take(ctx)
		if errors.Is(err, io.EOF) {
			if err := stream.CloseSend(); err != nil {
				return remoteError(err)
			}
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range batch {
			if err := stream.Send(&openmatch.EvaluateRequest{Match: m}); err != nil {
				if errors.Is(err, io.EOF) {
					return io.EOF
				}
				return remoteError(err)
			}
		}
	}
}

func receive(stream openmatch.Evaluator_EvaluateClient, accept func(string) error) error {
	for {
		resp, err := stream.Recv()
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

// health knows whether the evaluator works.
type health struct {
	logger  *slog.Logger
	failing atomic.Bool
}

// outcome logs a change from working to failing or back.
func (r *health) outcome(ctx context.Context, err error) error {
	switch {
	case err != nil && ctx.Err() != nil:
		// The cycle was ended from outside, which says nothing of the evaluator.
	case err != nil && !r.failing.Swap(true):
		r.logger.Error("evaluator fails", "error", err, "cause", errors.Unwrap(err))
	case err == nil && r.failing.Swap(false):
		r.logger.Info("evaluator works again")
	}
	return err
}

// evaluatorError says to callers that the evaluator failed, and how, but not
// where it is.
type evaluatorError struct{ cause error }

func remoteError(err error) error { return &evaluatorError{cause: err} }

func (e *evaluatorError) Error() string {
	if _, ok := status.FromError(e.cause); !ok {
		return "the evaluator failed"
	}
	return fmt.Sprintf("the evaluator failed with code %v", status.Code(e.cause))
}

func (e *evaluatorError) Unwrap() error { return e.cause }
