package udpserver

import (
	"context"
	"errors"
	"maps"
	"time"

	"torikumi/gameserver/internal/admission"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/pkg/rpc"
)

// report tells the gate who has left, until it has understood, and has others found.
func (u *Server) report(ctx context.Context) {
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.departing:
		}
		for !u.notify(ctx) {
			if backoff.Wait(ctx) != nil {
				return
			}
		}
		backoff.Reset()
	}
}

// notify reports the departures there are, and clears up after an admission whose
// answer was lost. It returns false if the gate has to be told again.
func (u *Server) notify(ctx context.Context) bool {
	u.mu.Lock()
	leavers, suspect := maps.Clone(u.leavers), u.suspect
	u.mu.Unlock()
	done := true
	for admission, player := range leavers {
		err := u.o.Gate.Depart(ctx, player, admission)
		if err != nil && !errors.Is(err, gateapi.ErrNotPresent) {
			done = false
			continue
		}
		u.mu.Lock()
		delete(u.leavers, admission)
		u.short = u.o.Backfill
		u.mu.Unlock()
	}
	if suspect {
		done = u.clearUp(ctx) && done
	}
	return u.askForPlayers(ctx) && done
}

// askForPlayers has somebody else found in place of who has left, if others are here. It
// returns false if the gate has to be asked again.
func (u *Server) askForPlayers(ctx context.Context) bool {
	u.mu.Lock()
	short, alone := u.short, len(u.sessions) == 0
	u.short = short && !alone
	u.mu.Unlock()
	if !short || alone {
		return true
	}
	_, err := u.o.Gate.Backfill(ctx)
	var refusal *gateapi.Refusal
	if errors.As(err, &refusal) && !admission.TraitsOf(refusal.Reason).Fault {
		u.o.Logger.Info("nobody is found in place of who has left", "reason", refusal.Reason)
		err = nil
	}
	if err != nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.short = false
	return true
}

// clearUp ends the stays that the gate believes in and nobody here has. No
// newcomer may be on the way meanwhile, because theirs belong to nobody yet.
func (u *Server) clearUp(ctx context.Context) bool {
	u.mu.Lock()
	if len(u.pending) > 0 {
		u.mu.Unlock()
		return false
	}
	u.clearing = true
	u.mu.Unlock()
	err := u.departAbsent(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.clearing, u.suspect = false, err != nil
	return err == nil
}

func (u *Server) departAbsent(ctx context.Context) error {
	roster, err := u.o.Gate.Roster(ctx)
	if err != nil {
		return err
	}
	for _, g := range roster.Present {
		u.mu.Lock()
		s := u.players[g.Player]
		u.mu.Unlock()
		if s != nil && s.admission == g.Admission {
			continue
		}
		if err := u.o.Gate.Depart(ctx, g.Player, g.Admission); err != nil && !errors.Is(err, gateapi.ErrNotPresent) {
			return err
		}
	}
	return nil
}
