package backfill

import (
	"context"
	"errors"
	"strings"

	"torikumi/director/internal/servers"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Join takes a match that was fetched and that players join by a backfill: they get to
// play without waiting for the gate's next call. A backfill that no director has made is
// left to whoever has. If the game server is no longer there for the match, the backfill ends
// and those who were found search on.
func (f *Filler) Join(ctx context.Context, m *openmatch.Match) {
	d := new(torikumiv1.BackfillDetails)
	if contract.Get(m.GetBackfill().GetExtensions(), contract.BackfillExtension, d) != nil {
		return
	}
	namespace, name, ok := strings.Cut(d.GetGameServer(), "/")
	id := m.GetBackfill().GetId()
	if !ok || d.GetMatchId() == "" || id == "" {
		return
	}
	log := f.o.Logger.With("match", d.GetMatchId(), "gameserver", d.GetGameServer(), "backfill", id)
	err := f.joinMatch(ctx, namespace, name, d.GetMatchId(), id)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		if failed := f.remove(ctx, id); failed != nil {
			log.Warn("backfill not deleted; it expires", "error", failed)
			return
		}
		log.Info("players were found for a match that is not filled up any more; they search on", "reason", refused.reason)
	case err != nil:
		log.Warn("players who were found wait for the gate's next call", "error", err)
	}
}

func (f *Filler) joinMatch(ctx context.Context, namespace, name, match, id string) error {
	own := func(s servers.Server) bool { return s.Name == name }
	var err error
	for try := range tries {
		var t *task
		if t, err = f.load(ctx, namespace, match, try > 0, own); err != nil {
			return err
		}
		if err = t.found(ctx, id); !errors.Is(err, servers.ErrChanged) {
			break
		}
	}
	if errors.Is(err, servers.ErrGone) {
		return &refusal{"the game server has ended"}
	}
	return err
}

// found is the step for a match that was fetched. A backfill that is not in the
// annotation, as its director has died before that, takes that place if it is empty.
func (t *task) found(ctx context.Context, id string) error {
	if of := t.backfill(); of != "" && of != id {
		return &refusal{"players are searched for by another backfill"}
	}
	d, err := t.read(ctx, id)
	if err != nil || d == nil {
		return err
	}
	joined, err := t.join(ctx, id, d)
	if err == nil && !joined {
		return t.write(ctx, "") // who was let in for nothing goes
	}
	return err
}
