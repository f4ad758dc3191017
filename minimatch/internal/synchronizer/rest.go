package synchronizer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/minimatch/internal/anyjson"
	"torikumi/minimatch/internal/jsonstream"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// restTimeout is how long an evaluator over REST may take from the last proposal
// on.
const restTimeout = 3 * time.Second

var errRESTTimeout = errors.New("the evaluator took longer than 3 s")

// REST is an evaluator behind the HTTP mapping of Open Match's API. Unlike over
// gRPC it has a time limit, and wrong ids in its answer are logged and dropped.
// Create it with NewREST; it is safe for concurrent use.
type REST struct {
	url    string
	client *http.Client
	health *rpc.Health
	logger *slog.Logger
}

// NewREST returns an evaluator at the address HOST:PORT.
func NewREST(address string, logger *slog.Logger) *REST {
	return &REST{
		url: "http://" + address + "/v1/evaluator/matches:evaluate",
		client: &http.Client{
			Transport: &http.Transport{
				DialContext: (&net.Dialer{Timeout: restTimeout}).DialContext,
				// A connection that has come to a wrong place is not used for the next cycle.
				DisableKeepAlives: true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		health: newHealth(logger),
		logger: logger,
	}
}

// Close does nothing: a connection ends with its call.
func (r *REST) Close() error { return nil }

// Evaluate implements Evaluator.
func (r *REST) Evaluate(ctx context.Context, source Source, accept func(string) error) error {
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, proposals := io.Pipe()
	var limit *time.Timer
	answered := make(chan struct{})
	var answerErr error
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := write(groupCtx, proposals, source)
		if errors.Is(err, io.ErrClosedPipe) {
			// The evaluator takes no more; why, only the answer tells.
			<-answered
			if err = answerErr; err == nil {
				err = errEarlyEnd
			}
		}
		// The reader of the pipe hears of a failure, and so the request fails.
		_ = proposals.CloseWithError(err) // never fails
		if err == nil {
			limit = time.AfterFunc(restTimeout, func() { cancel(errRESTTimeout) })
		}
		return err
	})
	group.Go(func() error {
		defer close(answered)
		answerErr = r.call(groupCtx, body, accept)
		// What has not been sent by now is not wanted.
		_ = body.Close() // never fails
		return answerErr
	})
	err := group.Wait()
	if limit != nil {
		limit.Stop()
	}
	if err != nil && parent.Err() == nil && context.Cause(ctx) != nil {
		err = context.Cause(ctx)
	}
	return outcome(parent, r.health, err)
}

// write sends proposals, one JSON object after another, until there are no more.
func write(ctx context.Context, w io.Writer, source Source) error {
	return each(ctx, source, func(m *openmatch.EvaluateRequest) error {
		text, err := anyjson.Marshal(m)
		if err != nil {
			return fmt.Errorf("the match %q cannot be written as JSON: %w", m.GetMatch().GetMatchId(), err)
		}
		_, err = w.Write(append(text, '\n'))
		return err
	})
}

func (r *REST) call(ctx context.Context, body io.Reader, accept func(string) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, body)
	if err != nil {
		return remoteError(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return remoteError(err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	stream := jsonstream.NewReader(resp, rpc.MaxMessage)
	return receive(func() (*openmatch.EvaluateResponse, error) {
		answer := new(openmatch.EvaluateResponse)
		return answer, stream.Next(answer)
	}, func(id string) error {
		err := accept(id)
		if _, wrong := errors.AsType[*wrongID](err); wrong {
			r.logger.Warn("evaluator's answer passed over", "error", err)
			return nil
		}
		return err
	})
}
