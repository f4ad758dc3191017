package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

// Env is what a run needs besides its settings.
type Env struct {
	// Progress gets a line each second; nil: nobody looks.
	Progress io.Writer
	// UpCommand is the command line that starts "torikumi up"; needed with
	// Config.Up alone.
	UpCommand []string
	// UpOutput gets what the child has to say on its standard error.
	UpOutput io.Writer
}

// pingTimeout is how long a target may take to answer at all.
const pingTimeout = 10 * time.Second

// Run loads the target as cfg, which has to be valid, says. The error says why
// there is no report. When ctx ends no more tickets are made, and those that
// wait are given up. Nothing that Run has started is left when it returns.
func Run(ctx context.Context, cfg Config, env Env) (*Report, error) {
	if env.Progress == nil {
		env.Progress = io.Discard
	}
	if cfg.Up == "" {
		return run(ctx, &cfg, env, nil)
	}
	c, err := startChild(ctx, env, cfg.Up)
	if err != nil {
		return nil, fmt.Errorf("start torikumi up: %w", err)
	}
	cfg.OpenMatch, cfg.Frontend, cfg.FrontendGRPC, cfg.Issuer = c.openMatch, c.frontend, c.frontendGRPC, c.issuer
	r, err := run(ctx, &cfg, env, c)
	var upErr error
	if c.ended() {
		upErr = errors.New("torikumi up ended by itself")
	}
	if stopErr := c.stop(); stopErr != nil {
		upErr = errors.Join(upErr, fmt.Errorf("stop torikumi up: %w", stopErr))
	}
	if upErr == nil {
		return r, err
	}
	if r == nil {
		return nil, errors.Join(err, upErr)
	}
	r.OK = false
	r.Errors = append(r.Errors, upErr.Error())
	return r, err
}

type runner struct {
	cfg    *Config
	target target
	stats  *stats
	plan   schedule
	// measured is the first moment whose tickets count for the latencies.
	measured time.Time
	waiting  sync.WaitGroup
}

func run(ctx context.Context, cfg *Config, env Env, c *child) (*Report, error) {
	r := &runner{cfg: cfg, stats: newStats(newMatches(cfg.MatchSize, cfg.ReuseAfter, cfg.Timeout+linger))}
	r.plan = newSchedule(cfg.Rate, cfg.Duration, cfg.regions(), cfg.MatchSize)
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	defer r.target.close()
	report := &Report{
		Target: cfg.Target, Wait: cfg.Wait, Rate: cfg.Rate, DurationSeconds: cfg.Duration.Seconds(), WarmupSeconds: cfg.Warmup.Seconds(),
		Scheduled: r.plan.total,
	}
	idle, err := r.startIdle(ctx, report, env, c)
	if err != nil {
		return nil, err
	}
	if r.plan.total > 0 {
		r.measure(ctx, env, report, c)
	}
	idle.stop(ctx)
	report.fill(r.stats, cfg.Stay)
	return report, nil
}

// measure loads the target and reports what that took of the machine.
func (r *runner) measure(ctx context.Context, env Env, report *Report, c *child) {
	own, theirs, machine := newMeter(os.Getpid()), newMeter(c.pid()), newMachineMeter()
	r.load(ctx, env, func() {
		report.Machine = machine.read()
		report.Generator, _ = own.read() // zero where it cannot be known
		if u, ok := theirs.read(); ok {
			report.Process = &u
		}
	})
	report.Generator.PeakBytes = peakMemory(os.Getpid())
	if report.Process != nil {
		report.Process.PeakBytes = max(report.Process.PeakBytes, peakMemory(c.pid()))
	}
}

func (r *runner) open(ctx context.Context) error {
	var err error
	if r.cfg.Target == Frontend {
		r.target, err = newFrontend(ctx, r.cfg, r.plan.total)
	} else {
		r.target, err = newOpenMatch(r.cfg, r.stats.undelete)
	}
	if err != nil {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := r.target.ping(limit); err != nil {
		r.target.close()
		return err
	}
	return nil
}

// load makes all tickets, calls made after the last one, and returns when each
// has found its end.
func (r *runner) load(ctx context.Context, env Env, made func()) {
	r.plan.start = time.Now()
	r.measured = r.plan.start.Add(r.cfg.Warmup)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.plan.run(ctx, func(i int) {
			r.waiting.Add(1)
			go r.ticket(ctx, i)
		})
		r.stats.do(func() { r.stats.inTime = r.stats.assigned })
		made()
		r.waiting.Wait()
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			fmt.Fprintln(env.Progress, r.stats.line(now, now.Sub(r.plan.start)))
		case <-done:
			return
		}
	}
}

func (r *runner) ticket(ctx context.Context, i int) {
	defer r.waiting.Done()
	due := r.plan.at(i)
	measured := !due.Before(r.measured)
	r.stats.start(time.Since(due))
	limit, cancel := context.WithDeadline(ctx, due.Add(r.cfg.Timeout))
	defer cancel()
	t, err := r.target.create(limit, i)
	if err != nil {
		if ctx.Err() != nil {
			r.stats.notCreated("Interrupted", err)
			return
		}
		r.stats.notCreated(status.Code(err).String(), err)
		return
	}
	r.stats.createdAfter(time.Since(due), measured)
	var at place
	assigned := false
	err = r.target.await(limit, t, func(p place) {
		now := time.Now()
		switch {
		case !assigned:
			at, assigned = p, true
			r.stats.assignedAfter(now.Sub(due), measured, p, t.region, now)
		case !p.same(at):
			r.stats.do(func() { r.stats.matches.change(at, p, t.region, now) })
			at = p
		}
	})
	switch {
	case assigned:
		r.target.play(ctx, t, at, r.stats)
		return
	case ctx.Err() != nil:
		r.stats.do(func() { r.stats.interrupted++ })
	default:
		r.stats.lose(reason(limit, err), err)
	}
	r.target.abandon(ctx, t)
}
