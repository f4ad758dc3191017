package placement

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"torikumi/director/internal/call"
	"torikumi/director/internal/servers"
	"torikumi/pkg/contract"
)

// find returns the servers that this match has, the oldest first: of several
// replicas or tries, each then takes the same.
func (t *task) find(ctx context.Context) ([]servers.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := t.opts.GameServers.List(ctx, t.job.Servers.Namespace, map[string]string{contract.MatchLabel: t.job.Match.Label})
	if err != nil {
		t.gameServers.Down(err)
		return nil, err
	}
	t.gameServers.Up()
	// A server that has made itself Ready again keeps the label: it is not ours.
	list = slices.DeleteFunc(list, func(s servers.Server) bool {
		return s.State != servers.StateAllocated || s.Labels[contract.MatchLabel] != t.job.Match.Label ||
			!t.job.Match.Owns(s.Annotations[contract.RosterAnnotation])
	})
	slices.SortFunc(list, func(a, b servers.Server) int {
		return cmp.Or(a.CreateTime.Compare(b.CreateTime), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// adopt takes the server that an earlier try has allocated: one whose answer
// was lost, or of a director that has died. The first look is for the latter
// and only saves a server; a look in doubt has to succeed.
func (t *task) adopt() {
	t.state.SoughtServer = true
	list, err := t.find(t.work)
	switch {
	case err != nil:
		if t.state.AllocUnknown {
			t.pause()
		}
	case len(list) == 0:
		if t.state.AllocUnknown {
			t.state.AllocUnknown = false
			t.pause()
		}
	default:
		t.metrics.adopted.Inc()
		t.state.Extra = t.state.Extra || len(list) > 1
		t.use(list[0])
	}
}

func (t *task) use(s servers.Server) {
	t.server = s
	t.state.Server, t.state.AllocUnknown = true, false
	t.backoff.Reset()
	if !s.Reachable() {
		t.state.Unreachable = true
		t.log.Warn("allocated game server has no address or port", "gameserver", s.ID())
	}
}

// allocate tries once. The director's stop does not interrupt it, so that it
// is known whether there is a server.
func (t *task) allocate() {
	ctx, cancel := context.WithTimeout(t.work, allocateTimeout)
	defer cancel()
	start := time.Now()
	s, effect, err := t.opts.Allocator.Allocate(ctx, t.job.Match, t.job.Servers)
	t.metrics.allocations.WithLabelValues(effect.String()).Inc()
	t.metrics.allocationSeconds.Observe(time.Now().Sub(start).Seconds())
	t.state.allocated(effect)
	switch effect {
	case call.Done:
		t.allocator.Up()
		t.supply.Up()
		t.use(s)
	case call.Busy:
		t.allocator.Up()
		t.supply.Down(err)
		t.pause()
	case call.Refused:
		t.allocator.Down(err)
	case call.NotSent, call.Unknown:
		if t.work.Err() == nil { // else it is the match's time that is over
			t.allocator.Down(err)
		}
		if effect == call.NotSent {
			t.pause()
		}
	}
}

// deleteExtra deletes what a lost allocation has left beside the match's server.
func (t *task) deleteExtra() {
	t.state.ExtraDeleted = true
	ctx, cancel := context.WithTimeout(t.cleanup, cleanupTimeout)
	defer cancel()
	list, err := t.find(ctx)
	if err != nil {
		return // it is reported, and the no-show time-out ends what is left
	}
	for _, s := range list {
		if s.Name != t.server.Name {
			_ = t.remove(ctx, s) // reported there; the no-show time-out ends it
		}
	}
}

// deallocate ends all servers of the match, known or not.
func (t *task) deallocate() {
	ctx, cancel := context.WithTimeout(t.cleanup, cleanupTimeout)
	defer cancel()
	t.state.Deallocated = true
	t.backoff.Reset()
	for {
		list, err := t.find(ctx)
		for i := 0; err == nil && i < len(list); i++ {
			if err = t.remove(ctx, list[i]); err != nil {
				t.state.DeallocateUnknown = true
			}
		}
		if err == nil {
			t.state.DeallocateUnknown = false
			return
		}
		if t.backoff.Wait(ctx) != nil {
			t.log.Warn("game server not deallocated; left to its no-show time-out", "gameserver", t.server.ID(), "error", err)
			return
		}
	}
}

// remove ends one server; one that has ended is no error.
func (t *task) remove(ctx context.Context, s servers.Server) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := t.opts.GameServers.Delete(ctx, s)
	switch {
	case err == nil:
		t.metrics.deallocated.Inc()
		t.log.Info("game server deallocated", "gameserver", s.ID())
	case !errors.Is(err, servers.ErrGone):
		t.gameServers.Down(err)
		return err
	}
	return nil
}
