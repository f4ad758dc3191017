package admission

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// sign is one place where Agones shows who is in a match.
type sign struct {
	counter, list string
	players       bool
}

// signsOf are those that a roster names.
func signsOf(r *torikumiv1.Roster) (all []sign) {
	where := r.GetTracking()
	if name := where.GetCounter(); name != "" {
		all = append(all, sign{counter: name})
	}
	if name := where.GetList(); name != "" {
		all = append(all, sign{list: name})
	}
	if where.GetPlayers() {
		all = append(all, sign{players: true})
	}
	return all
}

func (s sign) where() *torikumiv1.Tracking {
	return &torikumiv1.Tracking{Counter: s.counter, List: s.list, Players: s.players}
}

// tracked is what there is to show.
type tracked struct {
	match   string
	players []string // in order
}

func (t tracked) same(as tracked) bool {
	return t.match == as.match && slices.Equal(t.players, as.players)
}

// told is what Agones has been told of a sign.
type told struct {
	tracked
	known   bool  // Agones has answered
	failed  error // of the last try
	retry   time.Time
	backoff rpc.Backoff
}

// Track keeps up what the match's queue wants Agones to know of its players, until ctx ends;
// then it returns nil. It is not on a player's way. Where a match is over, or another one
// names something else, it says that nobody is there. What fails is tried again by itself
// and does not keep the others up.
func (c *Controller) Track(ctx context.Context) error {
	works := rpc.NewHealth(c.o.Logger, "Agones cannot be told who is in the match, trying again", "Agones knows who is in the match")
	signs := make(map[sign]*told)
	for {
		var retry time.Time
		if now, shown, seen := c.toTrack(signs); seen {
			var failed []error
			for s, t := range signs {
				c.show(ctx, s, t, now, slices.Contains(shown, s))
				if failed = append(failed, t.failed); t.failed != nil && (retry.IsZero() || t.retry.Before(retry)) {
					retry = t.retry
				}
			}
			if ctx.Err() != nil {
				return nil
			}
			works.Record(errors.Join(failed...))
		}
		if !c.wait(ctx, c.tracking, retry) {
			return nil
		}
	}
}

// show tells Agones of one sign, if it does not know: what there is, or that there is nobody.
func (c *Controller) show(ctx context.Context, s sign, t *told, now tracked, shown bool) {
	if !shown {
		now = tracked{}
	}
	if (t.known && t.same(now)) || c.o.Now().Before(t.retry) {
		return
	}
	// Who gets no answer does not know what Agones knows.
	t.failed, t.known = c.o.Server.Track(ctx, s.where(), now.players), false
	if t.failed != nil {
		t.retry = c.o.Now().Add(t.backoff.Next())
		return
	}
	t.tracked, t.known, t.retry = now, true, time.Time{}
	t.backoff.Reset()
}

// toTrack returns what there is to show, and in which signs; it adds those to the known. What
// a free server has left of a match is shown nowhere, also if an earlier gate has told it.
// Nothing is told of a server that has not been seen, or that ends.
func (c *Controller) toTrack(known map[sign]*told) (now tracked, shown []sign, seen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	if s.Phase == PhaseUnknown || s.Server.Ending() {
		return tracked{}, nil, false
	}
	add := func(all []sign) {
		for _, of := range all {
			if known[of] == nil {
				known[of] = &told{backoff: rpc.Backoff{Min: 200 * time.Millisecond, Max: 10 * time.Second}}
			}
		}
	}
	if !s.Phase.allocated() {
		if left, err := contract.DecodeRoster(s.Server.Roster); s.Server.Roster != "" && err == nil {
			add(signsOf(left))
		}
		return tracked{}, nil, true
	}
	shown = signsOf(s.Roster)
	add(shown)
	return tracked{match: s.Presence.Match, players: slices.Sorted(maps.Keys(s.Presence.Present))}, shown, true
}
