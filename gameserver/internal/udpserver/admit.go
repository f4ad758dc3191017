package udpserver

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
func (u *Server) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-u.joins:
			admission, err := u.ask(ctx, p)
			u.finish(p, admission, err)
		}
	}
}

// ask tries for GateTimeout if the gate is out of reach.
func (u *Server) ask(ctx context.Context, p *pending) (gateapi.Admission, error) {
	ctx, cancel := context.WithTimeout(ctx, u.o.GateTimeout)
	defer cancel()
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond}
	for {
		admission, err := u.o.Gate.Admit(ctx, p.raw, p.key)
		var refusal *gateapi.Refusal
		if err == nil || errors.As(err, &refusal) {
			return admission, err
		}
		if backoff.Wait(ctx) != nil {
			return gateapi.Admission{}, err
		}
	}
}

// finish answers the newcomer.
func (u *Server) finish(p *pending, admission gateapi.Admission, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.pending, p.addr)
	if u.perIP[p.addr.Addr()]--; u.perIP[p.addr.Addr()] <= 0 {
		delete(u.perIP, p.addr.Addr())
	}
	if err == nil {
		u.match = admission.MatchID
	}
	var refusal *gateapi.Refusal
	switch {
	case err == nil && (u.over(admission.MatchID) || u.closed):
		u.leavers[admission.Admission] = admission.Player
		u.wake()
	case err == nil:
		u.enter(p, admission)
	case errors.As(err, &refusal):
		u.o.Logger.Info("player refused", "reason", refusal.Reason)
		u.refuse(p.addr, p.token, p.size, wire.RefusedBody{Reason: refusal.Reason, Retryable: refusal.Retryable, Detail: detail(refusal)})
	default:
		u.o.Logger.Warn("gate gives no answer", "error", err)
		// Perhaps it let the player in, and only its answer was lost.
		u.suspect = true
		u.wake()
		u.refuse(p.addr, p.token, p.size, wire.RefusedBody{Reason: wire.ReasonGateUnavailable, Retryable: true, Detail: "try again"})
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
func (u *Server) enter(p *pending, admission gateapi.Admission) {
	now := u.o.Now()
	next := &session{
		addr: p.addr, player: wire.Player{Player: admission.Player, Team: admission.Team},
		match: admission.MatchID, admission: admission.Admission, token: p.token, heard: now,
	}
	if old := u.players[admission.Player]; old != nil && old.addr != p.addr {
		// The gate has replaced the stay already: nothing is told to it.
		u.remove(old, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickReplaced}))
		delete(u.leavers, old.admission)
	}
	if old := u.sessions[p.addr]; old != nil && old.player.Player != admission.Player {
		delete(u.players, old.player.Player)
		u.leavers[old.admission] = old.player.Player
		u.wake()
	}
	u.sessions[p.addr], u.players[admission.Player] = next, next
	delete(u.last.by, p.addr)
	u.o.Logger.Info("player joined", "player", admission.Player, "match", admission.MatchID)
	u.welcome(next)
}
