package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	idle       = 10 * time.Second // a silent player is gone after it
	stepTime   = 40 * time.Millisecond
	maxPending = 64 // newcomers about whom the gate is asked at a time
	maxOpen    = 256
	// reportTime is between two signs of life, presenceTurns of them between two reports of who is there.
	reportTime    = time.Second
	presenceTurns = 5
)

// maxToken is the longest token in bytes.
const maxToken = 8 << 10

var plainToken = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// session is an admitted player.
type session struct {
	stay
	team, match string
	token       [sha256.Size]byte
	moved       time.Time
}

// visitor is a connection. Who has not been admitted has no session.
type visitor struct {
	session *session
	pending bool // the gate is asked
	heard   time.Time
}

// game is who is there and where. docs/udp.md has the messages that all examples have.
type game struct {
	log *slog.Logger

	mu         sync.Mutex
	visitors   map[*connection]*visitor
	board      *board
	match      string
	departures []stay
	departed   chan struct{}
	ended      bool
}

func newGame(log *slog.Logger) *game {
	return &game{log: log, visitors: map[*connection]*visitor{}, board: newBoard(), departed: make(chan struct{}, 1)}
}

// come reports whether there is room for a connection.
func (g *game) come(c *connection) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended || len(g.visitors) >= maxOpen {
		return false
	}
	g.visitors[c] = &visitor{heard: time.Now()}
	return true
}

// gone notes that a connection is closed.
func (g *game) gone(c *connection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remove(c)
	delete(g.visitors, c)
}

func (g *game) message(ctx context.Context, c *connection, text string) {
	line, _, _ := strings.Cut(text, "\n")
	verb, argument, _ := strings.Cut(line, " ")
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.visitors[c]
	if v == nil {
		return
	}
	if v.session != nil {
		v.heard = time.Now()
	}
	switch {
	case verb == "JOIN":
		g.join(ctx, c, v, argument)
	case v.session == nil && !v.pending:
		say(c, "KICK", map[string]string{"reason": "no_token"})
	case v.session == nil:
	case verb == "PING" && len(argument) <= 64:
		c.send("PONG " + argument)
	case verb == "ROSTER":
		say(c, "ROSTER", map[string]any{"match_id": v.session.match, "players": g.players()})
	case verb == "MOVE":
		g.move(v.session, argument)
	case verb == "LEAVE":
		c.send("BYE")
		g.remove(c)
		c.close()
	}
}

// kick sends a player away.
func (g *game) kick(c *connection, reason string) {
	say(c, "KICK", map[string]string{"reason": reason})
	g.remove(c)
	c.close()
}

// end sends everybody away and lets nobody in any more.
func (g *game) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	for c := range g.visitors {
		g.kick(c, "shutdown")
	}
}

// report gives signs of life, and tells the gate of departures, and now and then of who is there.
func (g *game) report(ctx context.Context) {
	ticker := time.NewTicker(reportTime)
	defer ticker.Stop()
	for turn := 0; ; {
		g.tellDepartures(ctx)
		select {
		case <-ctx.Done():
			return
		case <-g.departed:
			continue
		case <-ticker.C:
		}
		sdk(ctx, "/health")
		g.dropIdle()
		if turn++; turn%presenceTurns == 0 {
			g.tellPresence(ctx)
		}
	}
}

// tellDepartures stops at the first that is not taken: the signs of life have to go on.
func (g *game) tellDepartures(ctx context.Context) {
	g.mu.Lock()
	left := slices.Clone(g.departures)
	g.mu.Unlock()
	for _, s := range left {
		if !depart(ctx, s) {
			return
		}
		g.mu.Lock()
		g.departures = slices.DeleteFunc(g.departures, func(d stay) bool { return d == s })
		g.mu.Unlock()
	}
}

func (g *game) dropIdle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, v := range g.visitors {
		if !v.pending && time.Since(v.heard) > idle {
			g.kick(c, "timeout")
		}
	}
}

func (g *game) tellPresence(ctx context.Context) {
	g.mu.Lock()
	match := g.match
	there := []stay{}
	for _, v := range g.visitors {
		if v.session != nil {
			there = append(there, v.session.stay)
		}
	}
	g.mu.Unlock()
	if match == "" {
		return
	}
	refused := presence(ctx, match, there)
	g.mu.Lock()
	defer g.mu.Unlock()
	for c, v := range g.visitors {
		if v.session != nil && slices.Contains(refused, v.session.stay) {
			g.kick(c, "not_admitted")
		}
	}
}

// All below is called with the lock held.

func (g *game) join(ctx context.Context, c *connection, v *visitor, token string) {
	hash := sha256.Sum256([]byte(token))
	switch {
	case v.session != nil && v.session.token == hash:
		g.welcome(c, v.session, false) // the answer was lost
	case v.pending: // an answer is on its way; asking twice would look like a replay
	case len(token) > maxToken || !plainToken.MatchString(token):
		say(c, "REFUSED", refusal{Reason: "malformed"})
	case g.pending() >= maxPending:
		say(c, "REFUSED", refusal{Reason: "busy", Retryable: true})
	default:
		v.pending = true
		go g.admit(ctx, c, token, hash)
	}
}

func (g *game) pending() (n int) {
	for _, v := range g.visitors {
		if v.pending {
			n++
		}
	}
	return n
}

// admit asks the gate; it is called without the lock.
func (g *game) admit(ctx context.Context, c *connection, token string, hash [sha256.Size]byte) {
	// Who hangs up meanwhile may be admitted all the same, and has to be reported as gone.
	a, admitted := admit(context.WithoutCancel(ctx), token, newKey())
	g.mu.Lock()
	defer g.mu.Unlock()
	v := g.visitors[c]
	if v != nil {
		v.pending, v.heard = false, time.Now()
	}
	switch {
	case !admitted:
		g.log.Info("refused: " + a.Reason) // never the token
		say(c, "REFUSED", a.refusal)
	case v == nil || g.ended:
		g.departures = append(g.departures, a.stay)
		g.wake()
	default:
		g.enter(c, v, a, hash)
	}
}

func (g *game) enter(c *connection, v *visitor, a answer, hash [sha256.Size]byte) {
	for older, w := range g.visitors {
		if w.session == nil || older == c {
			continue
		}
		if w.session.Player == a.Player {
			g.kick(older, "replaced")
		} else if w.session.match != a.MatchID {
			g.kick(older, "match_over")
		}
	}
	g.remove(c) // if it has come with another token
	if g.match != a.MatchID {
		g.match, g.board = a.MatchID, newBoard()
	}
	v.session = &session{stay: a.stay, team: a.Team, match: a.MatchID, token: hash}
	g.board.enter(a.Player)
	g.log.Info("joined: " + a.Player)
	g.welcome(c, v.session, a.Reconnect)
	g.show()
}

// remove ends a player's session.
func (g *game) remove(c *connection) {
	v := g.visitors[c]
	if v == nil || v.session == nil {
		return
	}
	s := v.session
	v.session = nil
	g.board.leave(s.Player)
	g.log.Info("left: " + s.Player)
	g.departures = append(g.departures, s.stay)
	g.wake()
	g.show()
}

// wake has departures told at once.
func (g *game) wake() {
	select {
	case g.departed <- struct{}{}:
	default:
	}
}

func (g *game) move(s *session, argument string) {
	var by struct{ X, Y int }
	now := time.Now()
	if json.Unmarshal([]byte(argument), &by) != nil || now.Sub(s.moved) < stepTime {
		return
	}
	if g.board.step(s.Player, by.X, by.Y) {
		s.moved = now
		g.show()
	}
}

type player struct {
	Player string `json:"player"`
	Team   string `json:"team"`
	X      int    `json:"x"`
	Y      int    `json:"y"`
}

func (g *game) players() []player {
	all := map[string]player{}
	for _, v := range g.visitors {
		if s := v.session; s != nil {
			f := g.board.at[s.Player]
			all[s.Player] = player{Player: s.Player, Team: s.team, X: f.x, Y: f.y}
		}
	}
	there := []player{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		there = append(there, all[name])
	}
	return there
}

func (g *game) welcome(c *connection, s *session, reconnect bool) {
	say(c, "WELCOME", map[string]any{
		"player": s.Player, "team": s.team, "match_id": s.match, "reconnect": reconnect, "roster": g.players(),
	})
}

// show tells everybody where everybody is.
func (g *game) show() {
	text := encode("BOARD", map[string]any{"width": boardWidth, "height": boardHeight, "players": g.players()})
	for c, v := range g.visitors {
		if v.session != nil {
			c.show(text)
		}
	}
}

func say(c *connection, verb string, body any) { c.send(encode(verb, body)) }

func encode(verb string, body any) string {
	data, err := json.Marshal(body)
	if err != nil { // of strings and numbers: never
		data = []byte("{}")
	}
	return verb + " " + string(data)
}
