package arena

import (
	"context"
	"errors"
	"maps"
	"time"

	"torikumi/gameserver/internal/gateapi"
	"torikumi/pkg/rpc"
)

// report tells the gate who has left, until it has understood.
func (a *Arena) report(ctx context.Context) {
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.rubble:
		}
		for !a.tell(ctx) {
			if backoff.Wait(ctx) != nil {
				return
			}
		}
		backoff.Reset()
	}
}

// tell reports the departures there are, and clears up after an admission whose
// answer was lost. It returns false if the gate has to be told again.
func (a *Arena) tell(ctx context.Context) bool {
	a.mu.Lock()
	leavers, suspect := maps.Clone(a.leavers), a.suspect
	a.mu.Unlock()
	done := true
	for admission, player := range leavers {
		err := a.o.Gate.Depart(ctx, player, admission)
		if err != nil && !errors.Is(err, gateapi.ErrNotPresent) {
			done = false
			continue
		}
		a.mu.Lock()
		delete(a.leavers, admission)
		a.mu.Unlock()
	}
	if suspect {
		done = a.clearUp(ctx) && done
	}
	return done
}

// clearUp ends the stays that the gate believes in and nobody here has. No
// newcomer may be on the way meanwhile, because theirs belong to nobody yet.
func (a *Arena) clearUp(ctx context.Context) bool {
	a.mu.Lock()
	if len(a.pending) > 0 {
		a.mu.Unlock()
		return false
	}
	a.clearing = true
	a.mu.Unlock()
	err := a.departGhosts(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.clearing, a.suspect = false, err != nil
	return err == nil
}

func (a *Arena) departGhosts(ctx context.Context) error {
	roster, err := a.o.Gate.Roster(ctx)
	if err != nil {
		return err
	}
	for _, g := range roster.Present {
		a.mu.Lock()
		s := a.players[g.Player]
		a.mu.Unlock()
		if s != nil && s.admission == g.Admission {
			continue
		}
		if err := a.o.Gate.Depart(ctx, g.Player, g.Admission); err != nil && !errors.Is(err, gateapi.ErrNotPresent) {
			return err
		}
	}
	return nil
}
