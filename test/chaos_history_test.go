//go:build chaos && linux

package test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// seatCall is a call of a player about a match: to be sent there, to come in, or to leave.
type seatCall struct{ match, call, player, team, at string }

// seats is a match as players see it: where it is, and who is in which team.
type seats struct{ at, present string }

// seatModel is one match: it is at one place, and a team never has more players than it
// has places. Who joins while it runs takes the place of somebody who has left.
func seatModel(sizes map[string]map[string]int) porcupine.Model {
	return porcupine.Model{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			byMatch := make(map[string][]porcupine.Operation)
			for _, o := range all {
				id := o.Input.(seatCall).match
				byMatch[id] = append(byMatch[id], o)
			}
			return slices.Collect(maps.Values(byMatch))
		},
		Init: func() any { return seats{} },
		Step: func(state, input, output any) (bool, any) {
			was, call, queue := state.(seats), input.(seatCall), output.(string)
			seat := call.team + "/" + call.player + " "
			switch call.call {
			case "sent":
				return was.at == "" || was.at == call.at, seats{call.at, was.present}
			case "comes":
				free := strings.Count(was.present, call.team+"/") < sizes[queue][call.team]
				return free, seats{was.at, sorted(was.present + seat)}
			}
			return strings.Contains(was.present, seat), seats{was.at, strings.Replace(was.present, seat, "", 1)}
		},
		DescribeOperation: func(input, _ any) string { return fmt.Sprint(input) },
	}
}

// sorted sorts words, so that the same seats are the same text.
func sorted(words string) string {
	all := strings.Fields(words)
	slices.Sort(all)
	return strings.Join(all, " ") + " "
}

// playedMatch is a match that somebody was sent to.
type playedMatch struct {
	since     time.Time // of the first who was sent there
	queue, at string
	players   map[string]string // tickets by player
	full      chan struct{}     // closed when the first two are there
	refill    refill
}

// seenServer is a game server that was allocated.
type seenServer struct {
	name, match, at string
	// roster is the first that was seen.
	roster *torikumiv1.Roster
	first  time.Time
	// joined are those who have joined since, with when that was first seen.
	joined map[string]time.Time
}

// history is all that was seen from outside.
type history struct {
	begin time.Time

	mu         sync.Mutex
	operations []porcupine.Operation
	seatings   []porcupine.Operation
	kinds      map[string]kindOfPlayer
	asking     map[string]bool          // players who ask for a ticket just now
	waiting    map[string]string        // tickets by player
	since      map[string]time.Duration // of waiting, from begin
	// shaken is when a frontend died while a player waited.
	shaken  map[string]time.Time
	played  map[string]*playedMatch
	matchOf map[string]string // by player
	servers map[string]*seenServer
	// rostered are the tickets of Open Match that were ever on a roster.
	rostered map[string]bool
	// blind are times in which a game server may have come and gone, as this process was too
	// slow to look.
	blind []period
	// unknown are tickets of Open Match that were made by a frontend that died then: a
	// frontend need not know them.
	unknown    map[string]bool
	cancelled  map[string]bool // players, and who has lost a ticket
	violations []string
	broken     chan struct{} // closed at the first
}

// period is a time with its ends.
type period struct{ from, to time.Time }

func newHistory() *history {
	return &history{
		begin: time.Now(), waiting: make(map[string]string), since: make(map[string]time.Duration), played: make(map[string]*playedMatch),
		matchOf: make(map[string]string), servers: make(map[string]*seenServer), cancelled: make(map[string]bool),
		kinds: make(map[string]kindOfPlayer), asking: make(map[string]bool), shaken: make(map[string]time.Time),
		rostered: make(map[string]bool), unknown: make(map[string]bool), broken: make(chan struct{}),
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

// seat keeps what a player did in a match, and ends now.
func (h *history) seat(queue string, called int64, call seatCall) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seatings = append(h.seatings, porcupine.Operation{Input: call, Call: called, Output: queue, Return: h.now()})
}

// seeKind notes what a player searches for.
func (h *history) seeKind(player string, kind kindOfPlayer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kinds[player] = kind
}

func (h *history) kindOf(player string) kindOfPlayer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kinds[player]
}

// searches reports whether a player asks for a ticket, or waits for its end.
func (h *history) searches(player string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asking[player] || h.waiting[player] != ""
}

// asks has a player ask for a ticket, until it began or failed.
func (h *history) asks(player string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asking[player] = true
}

// began has a player wait for a ticket's end, which ended tells, or sent.
func (h *history) began(player, ticket string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asking, player)
	h.waiting[player], h.since[player] = ticket, time.Since(h.begin)
}

// shake notes whom the death of a frontend may have left in the middle of something, and
// which tickets of Open Match nobody may know of.
func (h *history) shake(tickets []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for player := range h.asking {
		h.shaken[player] = now
	}
	for player := range h.waiting {
		h.shaken[player] = now
	}
	for _, t := range tickets {
		h.unknown[t] = true
	}
}

// isOverdue reports whether a player has waited for too long, some time after the last
// fault: whose frontend has died is looked after when others are sure of that, and who
// joins a match has to wait for a place.
func (h *history) isOverdue(player string, waited time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit := stranded
	if h.kinds[player] == joiner {
		limit += reserve + slowestGate
	}
	if at, ok := h.shaken[player]; ok && time.Since(at) < orphaned+limit {
		return false
	}
	return waited > limit
}

// mayWait reports whether all of some players may wait on after the other faults: joiners,
// and those who waited when a frontend died and may not have been looked after since.
func (h *history) mayWait(players map[string]string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for player := range players {
		if at, ok := h.shaken[player]; h.kinds[player] != joiner && (!ok || time.Since(at) > orphaned+stranded) {
			return false
		}
	}
	return true
}

// whoWaitsAs counts those who wait, or ask, by kind.
func (h *history) whoWaitsAs() map[kindOfPlayer]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := make(map[kindOfPlayer]int)
	for player := range h.waiting {
		n[h.kinds[player]]++
	}
	for player := range h.asking {
		n[h.kinds[player]]++
	}
	return n
}

// isRostered reports whether a ticket of Open Match was ever on a roster.
func (c *chaos) isRostered(ticket string) bool {
	known := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.rostered[ticket]
	}
	if known() {
		return true
	}
	_, err := c.look(c.ctx)
	return err != nil || known()
}

// wasKept reports whether the place of a player in a match has been kept for as long as it
// is to be, since it was first seen.
func (h *history) wasKept(match, player string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		if s.match != match {
			continue
		}
		if at, joined := s.joined[player]; joined {
			return time.Since(at) >= reserve
		}
		return time.Since(s.first) >= noShow
	}
	return false
}

// joins is how many were sent to a match that they joined while it ran.
func (h *history) joins() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.servers {
		for player := range s.joined {
			if h.matchOf[player] == s.match {
				n++
			}
		}
	}
	return n
}

func (h *history) ended(player string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asking, player)
	delete(h.waiting, player)
	h.cancelled[player] = true
}

// describe says of each player what for, and since when.
func (h *history) describe(tickets map[string]string) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for player, ticket := range tickets {
		all = append(all, fmt.Sprintf("%s (%v, ticket %s, since %v)", player, h.kinds[player], ticket, h.since[player].Round(time.Millisecond)))
	}
	slices.Sort(all)
	return all
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
func (h *history) sent(player, queue, ticket, match, at string) *playedMatch {
	called := h.now()
	h.seat(queue, called, seatCall{match: match, call: "sent", player: player, at: at})
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiting, player)
	m := h.played[match]
	if m == nil {
		m = &playedMatch{since: time.Now(), queue: queue, at: at, players: make(map[string]string), full: make(chan struct{}), refill: newRefill()}
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
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
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
		roster, err := contract.DecodeRoster(s.GetAnnotations()[contract.RosterAnnotation])
		if err != nil {
			return 0, err
		}
		if seen == nil {
			seen = &seenServer{
				name: s.GetName(), match: match, at: fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPorts()["default"]), first: time.Now(),
				roster: roster, joined: make(map[string]time.Time),
			}
			c.servers[s.GetUid()] = seen
		}
		c.seeRoster(seen, roster)
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

// seeRoster notes who is on a roster, which never has more players than places. It needs
// the lock.
func (c *chaos) seeRoster(seen *seenServer, roster *torikumiv1.Roster) {
	for _, team := range roster.GetTeams() {
		if n := len(team.GetMembers()); n > teamSizes[roster.GetQueue()][team.GetName()] {
			c.violate("place twice", "%d players are on the roster of team %s of match %s: %v", n, team.GetName(), seen.match, team.GetMembers())
		}
		for _, m := range team.GetMembers() {
			c.rostered[m.GetTicketId()] = true
			if _, known := seen.joined[m.GetPlayerId()]; m.GetJoinTime() != nil && !known {
				seen.joined[m.GetPlayerId()] = time.Now()
			}
		}
	}
}

// watchFleet looks again and again.
func (c *chaos) watchFleet() {
	last := time.Now() // when the look before this one began
	for c.wait(250 * time.Millisecond) {
		began := time.Now()
		if _, err := c.look(c.ctx); err != nil && c.ctx.Err() == nil {
			c.violated("process", "game servers cannot be listed: %v", err)
		}
		if now := time.Now(); now.Sub(last) >= emptied {
			c.mu.Lock()
			c.blind = append(c.blind, period{last, now})
			c.mu.Unlock()
		}
		last = began
	}
}

// mayBeUnseen reports whether nobody need have seen the game server of a match, which is
// there from before players are sent to it until they have left it for a while. It needs
// the lock.
func (h *history) mayBeUnseen(m *playedMatch) bool {
	return slices.ContainsFunc(h.blind, func(p period) bool { return p.from.Before(m.since.Add(emptied)) && m.since.Before(p.to) })
}

// audit compares where players were sent to with whom the servers expected, but for those
// who still wait.
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
				if member.GetJoinTime() != nil {
					continue // the place is given to others if the ticket does not come to be assigned
				}
				if other := of[member.GetTicketId()]; other != "" && other != s.match {
					c.violate("ticket twice", "Open Match's ticket %s of %s is in the matches %s and %s, which are both played", member.GetTicketId(), member.GetPlayerId(), other, s.match)
				}
				of[member.GetTicketId()] = s.match
				if c.waiting[member.GetPlayerId()] != "" || c.asking[member.GetPlayerId()] {
					continue // until the next audit
				}
				if c.matchOf[member.GetPlayerId()] != s.match && !c.cancelled[member.GetPlayerId()] && !c.unknown[member.GetTicketId()] {
					c.violate("split match", "match %s at %s expects %s with Open Match's ticket %s, who was sent to %q; sent there were %v", s.match, s.at, member.GetPlayerId(), member.GetTicketId(), c.matchOf[member.GetPlayerId()], m.players)
				}
			}
		}
	}
	for match, m := range c.played {
		if !known[match] && !c.mayBeUnseen(m) {
			c.violate("dead server", "players were sent to match %s at %s, where no server has it", match, m.at)
		}
	}
	c.checkModel()
}

// checkModel needs the lock.
func (c *chaos) checkModel() {
	c.checkHistory("ticket model", ticketModel, c.operations)
	c.checkHistory("match model", seatModel(teamSizes), c.seatings)
}

// checkHistory needs the lock.
func (c *chaos) checkHistory(check string, model porcupine.Model, all []porcupine.Operation) {
	for _, part := range model.Partition(all) {
		if porcupine.CheckOperationsTimeout(model, part, time.Minute) != porcupine.Ok {
			slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
			text := ""
			for _, o := range part {
				text += fmt.Sprintf("\n  %v to %v: %v", time.Duration(o.Call), time.Duration(o.Return), model.DescribeOperation(o.Input, o.Output))
			}
			c.violate(check, "no order of these calls explains what they answered:%s", text)
		}
	}
}
