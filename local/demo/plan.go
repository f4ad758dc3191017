package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// method is how a player reaches the frontend.
type method int

// The ways in: the player API over HTTP with server-sent events or a long
// poll, over gRPC, and the route of clients that share one token.
const (
	byEvents method = iota
	byWait
	byGRPC
	byPlay
	methods
)

// seeker is one ticket's worth of players: one, or a party.
type seeker struct {
	players []string
	queue   string
	region  string
	skill   float64
	method  method
	// after is when they press Play.
	after time.Duration
	// size is how many players their match has.
	size int
	// intruders try to get into their match.
	intruders []kind
}

// Between one match's worth of players and the next.
const arrivalGap = 50 * time.Millisecond

// plan lays out who plays what, the same for the same seed: mostly one
// against one, some two against two with a party among them, and three of
// each other's enemies if the number is odd. Everybody in a region can be
// matched with everybody else: who has nobody to play with has nothing to
// show.
func plan(players int, seed uint64) []seeker {
	rng := rand.New(rand.NewPCG(seed, 0x746f72696b756d69))
	var all []seeker
	next, group := 0, 0
	name := func() string { next++; return fmt.Sprintf("player-%03d", next) }
	add := func(queue string, size int, parties ...int) {
		region := []string{"eu", "us"}[group%2]
		for _, n := range parties {
			s := seeker{
				queue: queue, region: region, size: size, skill: 1400 + 200*rng.Float64(),
				after: time.Duration(group) * arrivalGap, method: method(rng.IntN(int(methods))),
			}
			if n > 1 || queue != "session" {
				s.method = method(rng.IntN(int(byPlay))) // the old route knows one queue, and no parties
			}
			for range n {
				s.players = append(s.players, name())
			}
			all = append(all, s)
		}
		group++
	}
	left := players
	if left%2 == 1 {
		add("trio", 3, 1, 1, 1)
		left -= 3
	}
	squads := left / 10
	if left < 10 {
		squads = 0
	}
	for range squads {
		add("squad", 4, 2, 1, 1)
		left -= 4
	}
	for ; left > 0; left -= 2 {
		add("session", 2, 1, 1)
	}
	for i := range max(int(kinds), players/5) {
		s := &all[i%len(all)]
		s.intruders = append(s.intruders, kind(i%int(kinds)))
	}
	return all
}
