package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/pkg/rpc"
)

// Named is an Allocator with a name for the log.
type Named struct {
	Name string
	Allocator
	// Ready checks that it can be reached.
	Ready func(context.Context) error
}

// Preferred is an Allocator over several that hand out the same game servers, such
// as Agones's allocator service and the Kubernetes API. One that fails rests, so that
// it costs one call now and then, and not one for each match.
type Preferred struct {
	members []*member
	// clusters: each has game servers of its own.
	clusters bool
}

// member is one of several allocators.
type member struct {
	Named
	health *rpc.Health

	mu      sync.Mutex
	failing bool
	backoff rpc.Backoff
	rested  time.Time // when it may be tried again, if it is failing
}

// NewPreferred makes a Preferred of allocators, the most preferred first.
func NewPreferred(log *slog.Logger, list ...Named) *Preferred {
	p := new(Preferred)
	for _, n := range list {
		log := log.With("allocator", n.Name)
		p.members = append(p.members, &member{
			Named: n, backoff: rpc.Backoff{Min: time.Second, Max: 30 * time.Second},
			health: rpc.NewHealth(log, "allocator rests, others are asked", "allocator works again"),
		})
	}
	return p
}

// NewNearest makes a Preferred of the allocators of several clusters, by their names:
// one that has no server ready is passed over.
func NewNearest(log *slog.Logger, list ...Named) *Preferred {
	p := NewPreferred(log, list...)
	p.clusters = true
	return p
}

// Allocate implements Allocator. It asks the next allocator only after an answer that
// says that the one before has done nothing. An answer that was lost is the end of a
// try, and so is having no server ready, unless the next has others.
func (p *Preferred) Allocate(ctx context.Context, m *match.Match, sel Selector) (Server, call.Effect, error) {
	var errs []error
	var refusing []*member
	busy := false
	for i, a := range p.members {
		if !a.awake() {
			errs = append(errs, fmt.Errorf("%s: rests after a failure", a.Name))
			continue
		}
		s, e, err := a.try(ctx, m, sel, len(p.members)-i)
		switch e {
		case call.Done, call.Busy:
			a.up()
			for _, r := range refusing { // it is not the match that is wrong
				r.down(errors.Join(errs...))
			}
			refusing = nil
			if p.clusters {
				s.Cluster = a.Name
			}
			if busy = e == call.Busy; !busy || !p.clusters {
				return s, e, err
			}
		case call.Unknown:
			a.down(err)
			return s, e, err
		case call.Refused:
			refusing = append(refusing, a)
		case call.NotSent:
			a.down(err)
		}
		errs = append(errs, fmt.Errorf("%s: %w", a.Name, err))
	}
	switch {
	case busy:
		return Server{}, call.Busy, errors.Join(errs...)
	case len(refusing) == len(p.members):
		return Server{}, call.Refused, errors.Join(errs...)
	}
	return Server{}, call.NotSent, errors.Join(errs...)
}

// Ready checks that one of them can be reached.
func (p *Preferred) Ready(ctx context.Context) error {
	var errs []error
	for i, a := range p.members {
		try, cancel := share(ctx, len(p.members)-i)
		err := a.Ready(try)
		cancel()
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", a.Name, err))
	}
	return errors.Join(errs...)
}

func (a *member) try(ctx context.Context, m *match.Match, sel Selector, left int) (Server, call.Effect, error) {
	ctx, cancel := share(ctx, left)
	defer cancel()
	return a.Allocate(ctx, m, sel)
}

// share gives the first of some an equal part of the time that is left for all.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || left == 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/time.Duration(left))
}

// awake reports whether to try an allocator. Of those who could try one that has
// rested, one does.
func (a *member) awake() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.failing && now.Before(a.rested) {
		return false
	}
	if a.failing {
		a.rested = now.Add(a.backoff.Next())
	}
	return true
}

func (a *member) up() {
	a.mu.Lock()
	a.failing = false
	a.backoff.Reset()
	a.mu.Unlock()
	a.health.Up()
}

// down lets an allocator rest. Of calls that failed at the same time one counts.
func (a *member) down(err error) {
	a.mu.Lock()
	if now := time.Now(); !a.failing || !now.Before(a.rested) {
		a.failing, a.rested = true, now.Add(a.backoff.Next())
	}
	a.mu.Unlock()
	a.health.Down(err)
}
