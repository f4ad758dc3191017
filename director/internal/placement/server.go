package placement

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"torikumi/director/internal/call"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/claims"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
)

// find returns the servers that this match has, the oldest first: of several
// replicas or tries, each then takes the same. Without anew, they may be those of a
// moment ago. With an error the list may lack some.
func (t *task) find(ctx context.Context, anew bool) ([]servers.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var list []servers.Server
	var err error
	if anew {
		list, err = t.opts.GameServers.List(ctx, t.job.Servers.Namespace, map[string]string{contract.MatchLabel: t.job.Match.Label})
	} else {
		list, err = t.opts.GameServers.Find(ctx, t.job.Servers.Namespace, t.job.Match.Label)
	}
	t.gameServers.Record(err)
	// A server that has made itself Ready again keeps the label: it is not ours.
	list = slices.DeleteFunc(list, func(s servers.Server) bool {
		return s.State != agones.Allocated || s.Labels[contract.MatchLabel] != t.job.Match.Label ||
			!t.job.Match.Owns(s.Annotations[contract.RosterAnnotation])
	})
	slices.SortFunc(list, func(a, b servers.Server) int {
		return cmp.Or(a.CreateTime.Compare(b.CreateTime), cmp.Compare(a.Name, b.Name))
	})
	return list, err
}

// adopt uses the server that an earlier try has allocated: one whose answer was
// lost, or of a director that has died.
func (t *task) adopt(ctx context.Context) Result {
	list, err := t.find(ctx, t.allocating)
	switch {
	case len(list) > 0:
	case err != nil:
		return Unknown
	default:
		return None
	}
	if err := t.hold(ctx, list[0]); err != nil {
		return Unknown
	}
	t.metrics.adopted.Inc()
	r := t.use(ctx, list[0])
	if r == Done && len(list) > 1 {
		return DoneSeveral
	}
	return r
}

// hold keeps others from giving a server back that an earlier director has left.
func (t *task) hold(ctx context.Context, s servers.Server) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := t.opts.GameServers.Hold(ctx, s, t.job.Servers)
	if err != nil && !errors.Is(err, servers.ErrGone) && !errors.Is(err, servers.ErrChanged) {
		t.gameServers.Down(err)
	}
	return err
}

func (t *task) use(ctx context.Context, s servers.Server) Result {
	if t.job.Allocated != nil {
		t.job.Allocated()
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	t.server = s
	t.backoff.Reset()
	var err error
	if t.endpoint, err = t.opts.Addresses.Endpoint(ctx, s, t.job.Servers.Allocation.Port); err != nil {
		t.why = fmt.Errorf("players cannot be sent to the game server: %w", err)
		return DoneUnreachable
	}
	return Done
}

// allocate tries once. The director's stop does not interrupt it, so that it
// is known whether there is a server.
func (t *task) allocate(work context.Context) Result {
	ctx, cancel := context.WithTimeout(work, allocateTimeout)
	defer cancel()
	t.allocating = true
	s, effect, err := t.opts.Allocator.Allocate(ctx, t.job.Match, t.job.Servers)
	switch effect {
	case call.Done:
		t.allocator.Up()
		t.supply.Up()
		if _, leftOut, _ := t.job.Match.Data(t.job.Servers.Allocation.MatchData); leftOut {
			t.log.Warn("match data is larger than the queue allows: it has no attributes of players", "gameserver", s.ID())
		}
		if t.job.Servers.CannotFill(t.job.Match) {
			t.log.Warn("what the players are like is too large to be kept: the match is not filled up", "gameserver", s.ID(), "limit", contract.MaxPlayersBytes)
		}
		return t.use(work, s)
	case call.Busy:
		t.allocator.Up()
		t.supply.Down(err)
		return NotDone
	case call.Refused:
		t.allocator.Down(err)
		t.why = err
		return Refused
	}
	if work.Err() == nil { // else it is the match's time that is over
		t.allocator.Down(err)
	}
	return unanswered(effect)
}

// unanswered is the result of a call without an answer.
func unanswered(e call.Effect) Result {
	if e == call.NotSent {
		return NotDone
	}
	return Unknown
}

// deleteExtra deletes what a lost allocation has left beside the match's server.
// What fails is logged, and the no-show time-out ends what is left.
func (t *task) deleteExtra(ctx context.Context) Result {
	list, _ := t.find(ctx, true)
	for _, s := range list {
		if !s.Is(t.server) {
			_ = t.remove(ctx, s)
		}
	}
	return Done
}

// deallocate deletes all servers of the match, known or not, when nobody can be sent there
// any more.
func (t *task) deallocate(ctx context.Context) Result {
	var backoff rpc.Backoff
	result := Done
	for {
		err := t.abandon(ctx)
		switch {
		case errors.Is(err, claims.ErrAssigned):
			t.why = errors.Join(t.why, errors.New("game server not deallocated: a frontend has sent players there"))
			return Unknown
		case err != nil:
			result = Unknown
		default:
			var failed bool
			if failed, err = t.removeAll(ctx); failed {
				result = Unknown
			}
		}
		if err == nil {
			return Done
		}
		if backoff.Wait(ctx) != nil {
			t.why = errors.Join(t.why, fmt.Errorf("game server perhaps not deallocated; then its no-show time-out ends it: %w", err))
			return result
		}
	}
}

// removeAll deletes all servers of the match. Failed says that one could not be deleted; an
// error alone, that none may have been found.
func (t *task) removeAll(ctx context.Context) (failed bool, err error) {
	list, err := t.find(ctx, true)
	for _, s := range list {
		if e := t.remove(ctx, s); e != nil {
			failed, err = true, e
		}
	}
	return failed, err
}

// remove deletes one server; one that has ended is no error.
func (t *task) remove(ctx context.Context, s servers.Server) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := t.opts.GameServers.Delete(ctx, s)
	switch {
	case err == nil:
		t.metrics.deallocated.Inc()
		t.log.Info("game server deallocated", "gameserver", s.ID())
	case errors.Is(err, servers.ErrGone):
	case errors.Is(err, servers.ErrChanged):
		return err
	default:
		t.gameServers.Down(err)
		return err
	}
	return nil
}
