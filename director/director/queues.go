package director

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"torikumi/director/internal/fetch"
	"torikumi/director/internal/servers"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
)

// loops are the loops that fetch matches, one for each queue. A queue that is no
// longer in the file keeps its loop and its last rules as long as tickets may wait in
// it.
type loops struct {
	cfg *Config
	log *slog.Logger
	// start runs the loop of a queue until ctx ends.
	start   func(ctx context.Context, l *loop)
	running map[string]*loop
	wg      sync.WaitGroup
}

// loop is that of one queue.
type loop struct {
	name    string
	current atomic.Pointer[terms]
	stop    context.CancelFunc
	// until is when the loop of a queue that was removed ends; zero if it is there.
	until time.Time
}

// terms are what a queue says at a time.
type terms struct {
	profile *openmatch.MatchProfile
	queue   fetch.Queue
}

// follow has the loops do what the queues say until ctx ends, and returns when the
// last has ended.
func (l *loops) follow(ctx context.Context, source queues.Source) {
	defer l.wg.Wait()
	for {
		changed := source.Changed()
		l.update(ctx, source.Current(), time.Now())
		next := l.expire(time.Now())
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// update starts the loops of new queues, tells the others what has changed, and
// gives those of queues that are gone their time.
func (l *loops) update(ctx context.Context, set *queues.Set, now time.Time) {
	for _, q := range set.Queues {
		t, err := l.terms(q)
		if err != nil { // only if it cannot be encoded
			l.log.Error("queue not taken over", "queue", q.Name, "error", err)
			continue
		}
		r := l.running[q.Name]
		if r != nil {
			r.current.Store(t)
			r.until = time.Time{}
			continue
		}
		r = &loop{name: q.Name}
		r.current.Store(t)
		var own context.Context
		own, r.stop = context.WithCancel(ctx)
		l.running[q.Name] = r
		l.wg.Go(func() { l.start(own, r) })
	}
	for name, r := range l.running {
		if _, ok := set.Get(name); !ok && r.until.IsZero() {
			r.until = now.Add(l.cfg.RemovedQueueTimeout)
			l.log.Warn("queue was removed: matches are still made of the tickets that wait in it", "queue", name, "until", r.until)
		}
	}
}

// expire ends the loops whose time is over, and returns how long the others have.
func (l *loops) expire(now time.Time) (next time.Duration) {
	next = time.Hour
	for name, r := range l.running {
		switch {
		case r.until.IsZero():
		case r.until.After(now):
			next = min(next, r.until.Sub(now))
		default:
			r.stop()
			delete(l.running, name)
			l.log.Info("no more matches are made of a removed queue", "queue", name)
		}
	}
	return next
}

func (l *loops) terms(q queues.Queue) (*terms, error) {
	profile, err := q.Profile()
	if err != nil {
		return nil, fmt.Errorf("profile of queue %q: %w", q.Name, err)
	}
	sel := servers.Selector{
		Namespace: cmp.Or(q.Allocation.Namespace, l.cfg.Namespace), Allocation: q.Allocation, TimeLimits: q.TimeLimits,
		Backfill: q.Policy(), Attributes: q.AttributeNames(), Placing: l.cfg.MatchTimeout,
	}
	return &terms{profile, fetch.Queue{Name: q.Name, Servers: sel, Smallest: int(q.SmallestMatch), MinPlayers: q.MinPlayers(), AcceptTime: q.AcceptTime(), Bots: int(q.Bots), Teams: q.Teams}}, nil
}

// acceptance refuses queues that a running director cannot work with.
type acceptance struct {
	cfg *Config
	// namespaces are those whose game servers are followed; nil: they are not.
	namespaces []string
}

// only refuses namespaces of which no queue has been at the start, if game servers
// are followed: an informer that its rights do not allow would be in everybody's way.
func (a *acceptance) only(cfg *Config, set *queues.Set) {
	a.cfg = cfg
	if cfg.GameServers == inKubernetes {
		a.namespaces = cfg.namespaces(set)
	}
}

func (a *acceptance) check(set *queues.Set) error {
	if a.cfg == nil {
		return nil // at the start, when Validate has looked
	}
	if err := errors.Join(a.cfg.checkBackfill(set), a.cfg.checkAcceptance(set)); err != nil || a.namespaces == nil {
		return err
	}
	for i, q := range set.Queues {
		if ns := cmp.Or(q.Allocation.Namespace, a.cfg.Namespace); !slices.Contains(a.namespaces, ns) {
			return fmt.Errorf("queues[%d].allocation.namespace: must be one whose game servers are followed since the start, which are %s; another takes a restart, got %q",
				i, strings.Join(slices.Sorted(slices.Values(a.namespaces)), ", "), ns)
		}
	}
	return nil
}
