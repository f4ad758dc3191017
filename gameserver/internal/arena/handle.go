package arena

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
func (a *Arena) handle(b []byte, from netip.AddrPort) {
	verb, arg, ok := wire.Parse(b)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return
	}
	s := a.sessions[from]
	if s != nil {
		s.heard = a.o.Now()
	}
	switch {
	case ok && verb == wire.Join:
		a.join(s, arg, len(b), from)
	case s != nil:
		a.play(s, verb, arg)
	default:
		a.stranger(verb, ok, from)
	}
}

// play answers a player who is here; mu is held.
func (a *Arena) play(s *session, verb, arg string) {
	switch verb {
	case wire.Ping:
		if len(arg) <= wire.MaxPing {
			a.send(s.addr, []byte(wire.Pong+" "+arg))
		}
	case wire.Roster:
		body := wire.RosterBody{MatchID: s.match}
		a.send(s.addr, wire.EncodeFitting(wire.Roster, &body, a.present(), func(some []wire.Player, omitted int) {
			body.Players, body.Omitted = some, omitted
		}))
	case wire.Leave:
		a.remove(s, []byte(wire.Bye))
	}
}

// stranger answers a datagram that opens nothing; mu is held.
func (a *Arena) stranger(verb string, ok bool, from netip.AddrPort) {
	switch verb {
	case wire.Welcome, wire.Refused, wire.Pong, wire.Bye, wire.Kick:
		return
	}
	if !a.rude.allow(from.Addr(), a.o.Now()) {
		return
	}
	if word, known := a.last.get(from); known && ok && len(word.word) <= smallest {
		a.send(from, word.word)
		return
	}
	if a.pending[from] == nil {
		a.send(from, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickNoToken}))
	}
}

// join answers a JOIN of size bytes; mu is held.
func (a *Arena) join(s *session, raw string, size int, from netip.AddrPort) {
	hash := digest(sha256.Sum256([]byte(raw)))
	if s != nil && s.token == hash {
		a.welcome(s)
		return
	}
	if a.pending[from] != nil || a.clearing || !a.newcome.allow(from.Addr(), a.o.Now()) {
		return // an answer is on its way, this is a bad moment, or it is too much
	}
	if word, known := a.last.get(from); known && word.token == hash && word.final {
		a.send(from, word.word)
		return
	}
	switch {
	case size > wire.MaxJoin:
		a.refuse(from, hash, size, wire.RefusedBody{Reason: token.ReasonTooLarge})
	case !wire.PlainToken(raw):
		a.refuse(from, hash, size, wire.RefusedBody{Reason: token.ReasonMalformed})
	case len(a.pending) >= a.o.MaxPending || a.perIP[from.Addr()] >= a.o.MaxPendingPerIP:
		a.refuse(from, hash, size, wire.RefusedBody{Reason: wire.ReasonBusy, Retryable: true})
	default:
		p := &pending{addr: from, raw: raw, token: hash, size: size, key: a.key(from, hash)}
		a.pending[from] = p
		a.perIP[from.Addr()]++
		a.joins <- p // has room for MaxPending
	}
}

// key names the request for admission of this token from this address: the same
// for each try, and for nobody else to guess.
func (a *Arena) key(from netip.AddrPort, hash digest) string {
	mac := hmac.New(sha256.New, a.secret[:])
	mac.Write(hash[:])
	mac.Write([]byte(from.String()))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// refuse sends a refusal that is no longer than what was sent, unless it is tiny;
// mu is held.
func (a *Arena) refuse(to netip.AddrPort, hash digest, size int, body wire.RefusedBody) {
	word := wire.Encode(wire.Refused, body)
	if len(word) > max(size, smallest) {
		body.Detail = ""
		word = wire.Encode(wire.Refused, body)
	}
	if !body.Retryable {
		a.last.add(farewellTo{addr: to, word: word, token: hash, final: true, until: a.o.Now().Add(farewell)})
	}
	a.send(to, word)
}

// welcome tells a player that they are in; mu is held.
func (a *Arena) welcome(s *session) {
	body := wire.WelcomeBody{Player: s.player.Player, Team: s.player.Team, MatchID: s.match}
	a.send(s.addr, wire.EncodeFitting(wire.Welcome, &body, a.present(), func(some []wire.Player, omitted int) {
		body.Roster, body.Omitted = some, omitted
	}))
}

// present returns who is here, by name; mu is held.
func (a *Arena) present() []wire.Player {
	all := make([]wire.Player, 0, len(a.players))
	for _, name := range slices.SortedFunc(maps.Keys(a.players), strings.Compare) {
		all = append(all, a.players[name].player)
	}
	return all
}
