// Package fetch asks Open Match for matches, over and over, and sees each of them
// through: it claims the match's tickets and has it placed. It is where the
// director's part of a player's path begins.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// LoopOptions are what Loop needs.
type LoopOptions struct {
	Queue    string
	Backend  openmatch.BackendServiceClient
	Function *openmatch.FunctionConfig
	// Profile returns the queue's profile as it is now, for each fetch.
	Profile func() *openmatch.MatchProfile
	// Accept takes a match over; while it blocks, nothing is read. The match
	// left Open Match at the earliest at since. It reports whether it blocked.
	Accept func(m *openmatch.Match, since time.Time) (waited bool)
	// Failing reports whether matches of late have failed.
	Failing func() bool
	// IdleInterval is the least time between the starts of two fetches of
	// which the first found nothing.
	IdleInterval time.Duration
	// Silence is the longest time without a match or the end of a fetch.
	Silence time.Duration
	Metrics *Metrics
	Logger  *slog.Logger
}

// ErrSilent says that Open Match neither sent a match nor ended the fetch.
var ErrSilent = errors.New("no answer in time")

// Loop fetches matches of one queue until ctx ends, and returns when the last
// fetch has: a fetch under way is read to its end or until work ends, because the
// tickets of its matches are already pending.
func Loop(ctx, work context.Context, o LoopOptions) {
	log := o.Logger.With("queue", o.Queue)
	health := rpc.NewHealth(log, "fetching matches lost", "fetching matches recovered")
	var failed rpc.Backoff
	failing := rpc.Backoff{Max: 2 * time.Second}
	for ctx.Err() == nil {
		start := time.Now()
		found, err := o.fetch(work)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			o.Metrics.fetches.WithLabelValues(o.Queue, "error").Inc()
			health.Down(err)
			_ = failed.Wait(ctx) // the loop sees the end
			continue
		}
		o.Metrics.fetches.WithLabelValues(o.Queue, "ok").Inc()
		health.Up()
		failed.Reset()
		switch {
		case found == 0: // also after failures: the next match may be a good one
			_ = rpc.Sleep(ctx, o.IdleInterval-time.Since(start)) // the loop sees the end
		case o.Failing():
			_ = failing.Wait(ctx) // the loop sees the end
		default:
			failing.Reset()
		}
	}
}

// fetch reads one stream to its end and returns how many matches it had; they
// are real even if an error came after them.
func (o *LoopOptions) fetch(work context.Context) (found int, err error) {
	ctx, cancel := context.WithCancelCause(work)
	defer cancel(nil)
	silence := time.AfterFunc(o.Silence, func() { cancel(ErrSilent) })
	defer silence.Stop()
	fail := func(err error) error {
		if cause := context.Cause(ctx); errors.Is(cause, ErrSilent) {
			err = cause
		}
		return fmt.Errorf("fetch matches for %q: %w", o.Queue, err)
	}

	stream, err := o.Backend.FetchMatches(ctx, &openmatch.FetchMatchesRequest{Config: o.Function, Profile: o.Profile()})
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
		since := time.Now()
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
