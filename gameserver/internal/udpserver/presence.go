package udpserver

import (
	"context"
	"errors"
	"time"

	"torikumi/gameserver/internal/admission"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/rpc"
)

// keepReporting tells the gate again and again who is here, so that nobody whose
// departure got lost keeps the server, and finds out whether the gate is there at all.
func (u *Server) keepReporting(ctx context.Context) {
	gate := rpc.NewHealth(u.o.Logger, "the gate gives no answer: nobody new can come in", "the gate answers again")
	for range rpc.Ticks(ctx, u.o.PresenceInterval) {
		asked, cancel := context.WithTimeout(ctx, u.o.GateTimeout)
		err := u.reportPresence(asked)
		cancel()
		if ctx.Err() != nil {
			return
		}
		var refusal *gateapi.Refusal
		if errors.As(err, &refusal) { // it answers, and will know more soon
			err = nil
		}
		gate.Record(err)
		u.mu.Lock()
		switch {
		case err == nil:
			u.gateAway = time.Time{}
		case u.gateAway.IsZero():
			u.gateAway = u.o.Now()
		}
		u.mu.Unlock()
	}
}

// reportPresence reports who is here for the match of the last admission. Before the
// first there is nobody to report, and the gate is only asked for a sign of life.
func (u *Server) reportPresence(ctx context.Context) error {
	u.mu.Lock()
	list := gateapi.Presence{MatchID: u.match}
	for _, s := range u.sessions {
		if s.match == u.match {
			list.Players = append(list.Players, gateapi.Stay{Player: s.player.Player, Admission: s.admission})
		}
	}
	u.mu.Unlock()
	if list.MatchID == "" {
		_, err := u.o.Gate.Roster(ctx)
		return err
	}
	refused, err := u.o.Gate.Report(ctx, list)
	if errors.Is(err, gateapi.ErrOtherMatch) {
		return nil // the gate is ahead; Change will tell
	}
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range refused {
		// Whoever has come in anew meanwhile has another admission.
		if s := u.players[r.Player]; s != nil && s.admission == r.Admission {
			u.o.Logger.Warn("player is not to be here, says the gate", "player", r.Player, "reason", r.Reason)
			word := wire.KickNotAdmitted
			if r.Reason == admission.ReasonSuperseded {
				word = wire.KickReplaced
			}
			u.remove(s, wire.Encode(wire.Kick, wire.KickBody{Reason: word}))
		}
	}
	return nil
}

// GateLost returns for how long reports have got no answer from the gate; 0 while it
// answers. That no report was made, as the machine stood still, says nothing of the gate.
func (u *Server) GateLost() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gateAway.IsZero() {
		return 0
	}
	return u.o.Now().Sub(u.gateAway)
}

// Empty reports whether nobody is here.
func (u *Server) Empty() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.sessions) == 0
}
