package udpserver

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/token"
)

// digest stands for a token, which is not kept.
type digest [sha256.Size]byte

// handle answers one datagram. It never answers a verb of the server, or two
// servers could be made to talk to each other for ever.
func (u *Server) handle(b []byte, from netip.AddrPort) {
	verb, arg, ok := wire.Parse(b)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return
	}
	s := u.sessions[from]
	if s != nil {
		s.heard = u.o.Now()
	}
	switch {
	case ok && verb == wire.Join:
		u.join(s, arg, len(b), from)
	case s != nil:
		u.play(s, verb, arg)
	default:
		u.stranger(verb, ok, from)
	}
}

// play answers a player who is here; mu is held.
func (u *Server) play(s *session, verb, arg string) {
	switch verb {
	case wire.Ping:
		if len(arg) <= wire.MaxPing {
			u.send(s.addr, []byte(wire.Pong+" "+arg))
		}
	case wire.Roster:
		body := wire.RosterBody{MatchID: s.match}
		u.send(s.addr, wire.EncodeFitting(wire.Roster, &body, u.present(), func(some []wire.Player, omitted int) {
			body.Players, body.Omitted = some, omitted
		}))
	case wire.Leave:
		u.remove(s, []byte(wire.Bye))
	}
}

// stranger answers a datagram that opens nothing; mu is held.
func (u *Server) stranger(verb string, ok bool, from netip.AddrPort) {
	switch verb {
	case wire.Welcome, wire.Refused, wire.Pong, wire.Bye, wire.Kick:
		return
	}
	if !u.strangers.allow(from.Addr(), u.o.Now()) {
		return
	}
	if word := u.last.by[from]; word != nil && ok && len(word.word) <= smallest {
		u.send(from, word.word)
		return
	}
	if u.pending[from] == nil {
		u.send(from, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickNoToken}))
	}
}

// join answers a JOIN of size bytes; mu is held.
func (u *Server) join(s *session, raw string, size int, from netip.AddrPort) {
	hash := digest(sha256.Sum256([]byte(raw)))
	if s != nil && s.token == hash {
		u.welcome(s)
		return
	}
	if u.pending[from] != nil || u.clearing || !u.joinRate.allow(from.Addr(), u.o.Now()) {
		return // an answer is on its way, this is a bad moment, or it is too much
	}
	if word := u.last.by[from]; word != nil && word.token == hash && word.final {
		u.send(from, word.word)
		return
	}
	switch {
	case size > wire.MaxJoin:
		u.refuse(from, hash, size, wire.RefusedBody{Reason: token.ReasonTooLarge})
	case !wire.PlainToken(raw):
		u.refuse(from, hash, size, wire.RefusedBody{Reason: token.ReasonMalformed})
	case len(u.pending) >= u.o.MaxPending || u.perIP[from.Addr()] >= u.o.MaxPendingPerIP:
		u.refuse(from, hash, size, wire.RefusedBody{Reason: wire.ReasonBusy, Retryable: true})
	default:
		p := &pending{addr: from, raw: raw, token: hash, size: size, key: u.key(from, hash)}
		u.pending[from] = p
		u.perIP[from.Addr()]++
		u.joins <- p // has room for MaxPending
	}
}

// key names the request for admission of this token from this address: the same
// for each try, and for nobody else to guess.
func (u *Server) key(from netip.AddrPort, hash digest) string {
	mac := hmac.New(sha256.New, u.secret)
	mac.Write(hash[:])
	mac.Write([]byte(from.String()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// refuse sends a refusal that is no longer than what was sent, unless it is tiny;
// mu is held.
func (u *Server) refuse(to netip.AddrPort, hash digest, size int, body wire.RefusedBody) {
	word := wire.Encode(wire.Refused, body)
	if len(word) > max(size, smallest) {
		body.Detail = ""
		word = wire.Encode(wire.Refused, body)
	}
	if !body.Retryable {
		u.last.add(goodbye{addr: to, word: word, token: hash, final: true, until: u.o.Now().Add(goodbyeTime)})
	}
	u.send(to, word)
}

// welcome tells a player that they are in; mu is held.
func (u *Server) welcome(s *session) {
	body := wire.WelcomeBody{Player: s.player.Player, Team: s.player.Team, MatchID: s.match}
	u.send(s.addr, wire.EncodeFitting(wire.Welcome, &body, u.present(), func(some []wire.Player, omitted int) {
		body.Roster, body.Omitted = some, omitted
	}))
}

// present returns who is here, by name; mu is held.
func (u *Server) present() []wire.Player {
	all := make([]wire.Player, 0, len(u.players))
	for _, name := range slices.SortedFunc(maps.Keys(u.players), strings.Compare) {
		all = append(all, u.players[name].player)
	}
	return all
}
