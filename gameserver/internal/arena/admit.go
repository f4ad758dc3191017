package arena

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/rpc"
)

// pending is a newcomer whom the gate is asked about.
type pending struct {
	addr  netip.AddrPort
	raw   string
	token digest
	size  int
	key   string
}

// work asks the gate about one newcomer after the other.
func (a *Arena) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-a.joins:
			admission, err := a.ask(ctx, p)
			a.settle(p, admission, err)
		}
	}
}

// ask tries for GateTimeout if the gate is out of reach.
func (a *Arena) ask(ctx context.Context, p *pending) (gateapi.Admission, error) {
	ctx, cancel := context.WithTimeout(ctx, a.o.GateTimeout)
	defer cancel()
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}
	for {
		admission, err := a.o.Gate.Admit(ctx, p.raw, p.key)
		var refusal *gateapi.Refusal
		if err == nil || errors.As(err, &refusal) {
			return admission, err
		}
		if backoff.Wait(ctx) != nil {
			return gateapi.Admission{}, err
		}
	}
}

// settle answers the newcomer.
func (a *Arena) settle(p *pending, admission gateapi.Admission, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.pending, p.addr)
	if a.perIP[p.addr.Addr()]--; a.perIP[p.addr.Addr()] <= 0 {
		delete(a.perIP, p.addr.Addr())
	}
	var refusal *gateapi.Refusal
	switch {
	case err == nil && (a.over(admission.MatchID) || a.closed):
		a.leavers[admission.Admission] = admission.Player
		a.poke()
	case err == nil:
		a.enter(p, admission)
	case errors.As(err, &refusal):
		a.o.Logger.Info("player refused", "reason", refusal.Reason)
		a.refuse(p.addr, p.token, p.size, wire.RefusedBody{Reason: refusal.Reason, Retryable: refusal.Retryable, Detail: detail(refusal)})
	default:
		a.o.Logger.Warn("gate gives no answer", "error", err)
		// Perhaps it let the player in, and only its answer was lost.
		a.suspect = true
		a.poke()
		a.refuse(p.addr, p.token, p.size, wire.RefusedBody{Reason: wire.ReasonGateUnavailable, Retryable: true, Detail: "try again"})
	}
}

func detail(r *gateapi.Refusal) string {
	switch {
	case r.Retryable:
		return "try again"
	case r.Renewable:
		return "ask for a new token"
	}
	return ""
}

// enter begins a session; mu is held.
func (a *Arena) enter(p *pending, admission gateapi.Admission) {
	now := a.o.Now()
	next := &session{
		addr: p.addr, player: wire.Player{Player: admission.Player, Team: admission.Team},
		match: admission.MatchID, admission: admission.Admission, token: p.token, heard: now,
	}
	if old := a.players[admission.Player]; old != nil && old.addr != p.addr {
		// The gate has replaced the stay already: nothing is told to it.
		a.remove(old, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickReplaced}))
		delete(a.leavers, old.admission)
	}
	if old := a.sessions[p.addr]; old != nil && old.player.Player != admission.Player {
		delete(a.players, old.player.Player)
		a.leavers[old.admission] = old.player.Player
		a.poke()
	}
	a.sessions[p.addr], a.players[admission.Player] = next, next
	a.last.forget(p.addr)
	a.o.Logger.Info("player joined", "player", admission.Player, "match", admission.MatchID)
	a.welcome(next)
}
