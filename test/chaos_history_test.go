//go:build chaos && linux

package test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// outcome is what a player reads of a ticket.
type outcome struct{ state, match, at string }

// gone is what a player reads of a ticket that Redis has lost.
var gone = outcome{state: "GONE"}

func stateOf(t *torikumiv1.Ticket) outcome {
	return outcome{t.GetState().String(), t.GetServer().GetMatchId(), t.GetServer().GetConnection()}
}

// operation is a call about one ticket, and what it answered.
type operation struct{ ticket, call string }

// ticketModel is one ticket as its players may see it: it searches, until it is
// cancelled by a call or assigned, once and for good, or lost with Redis's data.
var ticketModel = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byTicket := make(map[string][]porcupine.Operation)
		for _, o := range all {
			id := o.Input.(operation).ticket
			byTicket[id] = append(byTicket[id], o)
		}
		return slices.Collect(maps.Values(byTicket))
	},
	Init: func() any { return outcome{state: "SEARCHING"} },
	Step: func(state, input, output any) (bool, any) {
		was, is := state.(outcome), output.(outcome)
		switch {
		case was == is, is == gone:
			return true, is
		case was.state != "SEARCHING":
			return false, was
		case is.state == "ASSIGNED":
			return is.match != "" && is.at != "", is
		}
		return is.state == "CANCELLED" && input.(operation).call == "cancel", is
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprint(input, output) },
}

// playedMatch is a match that somebody was sent to.
type playedMatch struct {
	at      string
	players map[string]string // tickets by player
	full    chan struct{}
}

// seenServer is a game server that was allocated.
type seenServer struct {
	name, match, at string
	roster          *torikumiv1.Roster
	first           time.Time
}

// history is all that was seen from outside.
type history struct {
	begin time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	waiting    map[string]string // tickets by player
	played     map[string]*playedMatch
	matchOf    map[string]string // by player
	servers    map[string]*seenServer
	cancelled  map[string]bool // players, and who has lost a ticket
	violations []string
	broken     chan struct{} // closed at the first
}

func newHistory() *history {
	return &history{
		begin: time.Now(), waiting: make(map[string]string), played: make(map[string]*playedMatch),
		matchOf: make(map[string]string), servers: make(map[string]*seenServer), cancelled: make(map[string]bool),
		broken: make(chan struct{}),
	}
}

func (h *history) now() int64 { return int64(time.Since(h.begin)) }

// note keeps an operation that ends now.
func (h *history) note(ticket, call string, called int64, is outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{
		Input: operation{ticket, call}, Call: called, Output: is, Return: h.now(),
	})
}

// began has a player wait for a ticket's end, which ended tells, or sent.
func (h *history) began(player, ticket string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waiting[player] = ticket
}

func (h *history) ended(player string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, player)
	h.cancelled[player] = true
}

// whoWaits is a copy.
func (h *history) whoWaits() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.waiting)
}

// matches is how many somebody was sent to.
func (h *history) matches() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.played)
}

// violated keeps what must not be.
func (h *history) violated(check, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violate(check, format, args...)
}

// violate needs the lock.
func (h *history) violate(check, format string, args ...any) {
	if len(h.violations) == 0 {
		close(h.broken)
	}
	h.violations = append(h.violations, fmt.Sprintf("%v: %s: %s", time.Since(h.begin).Round(time.Millisecond), check, fmt.Sprintf(format, args...)))
}

// sent notes where a player was sent to.
func (h *history) sent(player, ticket, match, at string) *playedMatch {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, player)
	m := h.played[match]
	if m == nil {
		m = &playedMatch{at: at, players: make(map[string]string), full: make(chan struct{})}
		h.played[match] = m
	}
	if m.at != at {
		h.violate("two servers", "players of match %s were sent to %s, and %s to %s", match, m.at, player, at)
	}
	if other := h.matchOf[player]; other != "" && other != match {
		h.violate("two matches", "%s was sent to match %s, and to %s", player, other, match)
	}
	h.matchOf[player], m.players[player] = match, ticket
	if len(m.players) == 2 {
		close(m.full)
	}
	return m
}

// limit is how long a game server may be allocated without a match.
const limit = time.Minute

// look notes which game servers are allocated, and returns how many.
func (c *chaos) look(ctx context.Context) (int, error) {
	resp, err := c.fleet.ListGameServers(ctx, &torikumiv1.ListGameServersRequest{Namespace: "default"})
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	allocated, ready := 0, int64(0)
	for _, s := range resp.GetGameServers() {
		match := s.GetLabels()[contract.MatchLabel]
		if s.GetState() == agones.Ready {
			ready++
		}
		if match == "" {
			continue
		}
		seen := c.servers[s.GetUid()]
		if seen == nil {
			seen = &seenServer{name: s.GetName(), match: match, at: fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPorts()["default"]), first: time.Now()}
			if seen.roster, err = contract.DecodeRoster(s.GetAnnotations()[contract.RosterAnnotation]); err != nil {
				return 0, err
			}
			c.servers[s.GetUid()] = seen
		}
		if seen.match != match {
			c.violate("two matches", "%s was allocated for match %s, and then for %s", seen.name, seen.match, match)
		}
		if s.GetState() != agones.Allocated {
			continue // it ends
		}
		allocated++
		if m := c.played[match]; time.Since(seen.first) > limit && (m == nil || m.at != seen.at) {
			c.violate("leaked server", "%s is allocated for match %s for %v, and nobody was sent there", seen.name, match, limit)
		}
	}
	c.ready.Store(ready)
	return allocated, nil
}

// watchFleet looks again and again.
func (c *chaos) watchFleet() {
	for c.wait(250 * time.Millisecond) {
		if _, err := c.look(c.ctx); err != nil && c.ctx.Err() == nil {
			c.violated("process", "game servers cannot be listed: %v", err)
		}
	}
}

// audit compares where players were sent to with whom the servers expected, when
// nobody waits any more.
func (c *chaos) audit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := make(map[string]string) // matches by Open Match ticket
	known := make(map[string]bool)
	for _, s := range c.servers {
		m := c.played[s.match]
		if m == nil || m.at != s.at {
			continue
		}
		known[s.match] = true
		for _, team := range s.roster.GetTeams() {
			for _, member := range team.GetMembers() {
				if other := of[member.GetTicketId()]; other != "" && other != s.match {
					c.violate("ticket twice", "Open Match's ticket %s of %s is in the matches %s and %s, which are both played", member.GetTicketId(), member.GetPlayerId(), other, s.match)
				}
				of[member.GetTicketId()] = s.match
				if c.matchOf[member.GetPlayerId()] != s.match && !c.cancelled[member.GetPlayerId()] {
					c.violate("split match", "match %s at %s expects %s, who was sent to %q; sent there were %v", s.match, s.at, member.GetPlayerId(), c.matchOf[member.GetPlayerId()], m.players)
				}
			}
		}
	}
	for match, m := range c.played {
		if !known[match] {
			c.violate("dead server", "players were sent to match %s at %s, where no server has it", match, m.at)
		}
	}
	c.checkModel()
}

// checkModel needs the lock.
func (c *chaos) checkModel() {
	for _, ticket := range ticketModel.Partition(c.operations) {
		if porcupine.CheckOperationsTimeout(ticketModel, ticket, time.Minute) != porcupine.Ok {
			slices.SortFunc(ticket, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
			text := ""
			for _, o := range ticket {
				text += fmt.Sprintf("\n  %v to %v: %v", time.Duration(o.Call), time.Duration(o.Return), ticketModel.DescribeOperation(o.Input, o.Output))
			}
			c.violate("ticket model", "no order of these calls explains what they answered:%s", text)
		}
	}
}
