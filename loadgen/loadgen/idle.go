package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// idlers are the watchers of tickets that match nobody.
type idlers struct {
	target   *openMatch
	tickets  []ticket
	cancel   context.CancelFunc
	watching sync.WaitGroup
	broken   atomic.Int64
	report   *Idle
}

// makers is how many idle tickets are made, or deleted, at a time.
const makers = 64

// startIdle lets the idle watchers come, and measures the target before and
// after that.
func (r *runner) startIdle(ctx context.Context, report *Report, env Env, c *child) (*idlers, error) {
	if r.cfg.Idle == 0 {
		return nil, nil
	}
	om, ok := r.target.(*openMatch)
	if !ok {
		return nil, errors.New("idle watchers need Open Match's frontend service")
	}
	report.Idle = &Idle{Watchers: r.cfg.Idle, Seconds: r.cfg.IdleTime.Seconds()}
	if c != nil {
		fmt.Fprintf(env.Progress, "measuring for %s without idle watchers\n", r.cfg.IdleTime)
		report.Idle.CPUBefore = cpuDuring(ctx, c, r.cfg.IdleTime)
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	i := &idlers{target: om, cancel: cancel, tickets: make([]ticket, r.cfg.Idle), report: report.Idle}
	if err := i.create(ctx); err != nil {
		i.stop(ctx)
		return nil, fmt.Errorf("make idle tickets: %w", err)
	}
	for _, t := range i.tickets {
		i.watching.Add(1)
		go i.watch(watch, t)
	}
	fmt.Fprintf(env.Progress, "waiting for %s with %d idle watchers\n", r.cfg.IdleTime, r.cfg.Idle)
	report.Idle.CPUWith = cpuDuring(ctx, c, r.cfg.IdleTime)
	return i, nil
}

func (i *idlers) create(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(makers)
	for n := range i.tickets {
		g.Go(func() (err error) {
			i.tickets[n], err = i.target.createIdle(ctx, n)
			return err
		})
	}
	return g.Wait()
}

// watch ends with ctx; any other end is one too early.
func (i *idlers) watch(ctx context.Context, t ticket) {
	defer i.watching.Done()
	err := i.target.watch(ctx, t, func(place) {})
	if err == nil || ctx.Err() == nil {
		i.broken.Add(1)
	}
}

// stop ends the watchers and deletes their tickets.
func (i *idlers) stop(ctx context.Context) {
	if i == nil {
		return
	}
	i.cancel()
	i.watching.Wait()
	i.report.Broken = int(i.broken.Load())
	var g errgroup.Group
	g.SetLimit(makers)
	for _, t := range i.tickets {
		if t.id != "" {
			g.Go(func() error { i.target.abandon(ctx, t); return nil })
		}
	}
	_ = g.Wait() // abandon reports failures itself
}

// cpuDuring waits for a while and measures the child meanwhile, in CPUs; nil if
// there is none.
func cpuDuring(ctx context.Context, c *child, d time.Duration) *float64 {
	m := newMeter(c.pid())
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-limit.Done()
	u, ok := m.read()
	if !ok {
		return nil
	}
	return &u.Share
}
