// Package fetch asks Open Match for matches of one profile, over and over. It
// is where the director's part of a player's path begins.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"torikumi/director/internal/call"
	"torikumi/director/internal/metrics"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// Options are what a Loop needs.
type Options struct {
	Queue    string
	Backend  openmatch.BackendServiceClient
	Function *openmatch.FunctionConfig
	Profile  *openmatch.MatchProfile
	// Accept takes a match over; while it blocks, nothing is read. The match
	// left Open Match at the earliest at since. It tells whether it blocked.
	Accept func(m *openmatch.Match, since time.Time) (waited bool)
	// Troubled tells whether matches of late have failed.
	Troubled func() bool
	// IdleInterval is the least time between the starts of two fetches of
	// which the first found nothing.
	IdleInterval time.Duration
	// Silence is the longest time without a match or the end of a fetch.
	Silence time.Duration
	// Work outlives the loop's own context: a fetch under way is read to its
	// end, because the tickets of its matches are already pending.
	Work    context.Context
	Metrics *metrics.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// ErrSilent says that Open Match neither sent a match nor ended the fetch.
var ErrSilent = errors.New("no answer in time")

// Run fetches until ctx ends, and returns when the last fetch has.
func Run(ctx context.Context, o Options) {
	log := o.Logger.With("queue", o.Queue)
	link := call.NewLink(log, "fetching matches lost", "fetching matches recovered")
	var failed rpc.Backoff
	troubled := rpc.Backoff{Max: 2 * time.Second}
	for ctx.Err() == nil {
		start := o.Now()
		found, err := o.fetch()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			o.Metrics.Fetches.WithLabelValues(o.Queue, "error").Inc()
			link.Down(err)
			_ = failed.Wait(ctx) // the loop sees the end
			continue
		}
		o.Metrics.Fetches.WithLabelValues(o.Queue, "ok").Inc()
		link.Up()
		failed.Reset()
		switch {
		case found == 0: // also after trouble: the next match may be a good one
			sleep(ctx, o.IdleInterval-o.Now().Sub(start))
		case o.Troubled():
			_ = troubled.Wait(ctx) // the loop sees the end
		default:
			troubled.Reset()
		}
	}
}

// fetch reads one stream to its end and returns how many matches it had; they
// are real even if an error came after them.
func (o *Options) fetch() (found int, err error) {
	ctx, cancel := context.WithCancelCause(o.Work)
	defer cancel(nil)
	silence := time.AfterFunc(o.Silence, func() { cancel(ErrSilent) })
	defer silence.Stop()
	fail := func(err error) error {
		if cause := context.Cause(ctx); errors.Is(cause, ErrSilent) {
			err = cause
		}
		return fmt.Errorf("fetch matches for %q: %w", o.Queue, err)
	}

	stream, err := o.Backend.FetchMatches(ctx, &openmatch.FetchMatchesRequest{Config: o.Function, Profile: o.Profile})
	if err != nil {
		return 0, fail(err)
	}
	var first time.Time
	waited := false
	for {
		silence.Reset(o.Silence)
		resp, err := stream.Recv()
		silence.Stop()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, fail(err)
		}
		// What is read after a pause may have been lying in buffers since the
		// pause began; the stream's first match is a safe lower bound.
		since := o.Now()
		if found == 0 {
			first = since
		}
		if waited {
			since = first
		}
		found++
		if o.Accept(resp.GetMatch(), since) {
			waited = true
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
