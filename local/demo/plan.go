package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"torikumi/local/crowd"
	"torikumi/local/suite"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

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

// ticket is one ticket's worth of players: one, or a party.
type ticket struct {
	players []*torikumiv1.Player
	queue   string
	region  string
	method  method
	// after is when they press Play.
	after time.Duration
	// group is the match that they are to come into. Those of a lane, if it has
	// a name, begin when the group before in that lane has its match.
	lane  string
	group int
	// size is how many players their match has.
	size int
	// intruders try to get into their match.
	intruders []kind
}

// Between one match's worth of players and the next.
const arrivalGap = 50 * time.Millisecond

// plan lays out who plays what in the built-in queues, the same for the same
// seed: mostly one against one, some two against two with a party among them,
// and three of each other's enemies if the number is odd. Everybody in a region
// can be matched with everybody else: who has nobody to play with has nothing
// to show.
func plan(players int, seed uint64) []ticket {
	rng := rand.New(rand.NewPCG(seed, 0x746f72696b756d69))
	var all []ticket
	next, group := 0, 0
	name := func() string { next++; return fmt.Sprintf("player-%03d", next) }
	add := func(queue string, size int, parties ...int) {
		region := []string{"eu", "us"}[group%2]
		for _, n := range parties {
			skill := 1400 + 200*rng.Float64()
			s := ticket{
				queue: queue, region: region, size: size, group: group,
				after: time.Duration(group) * arrivalGap, method: method(rng.IntN(int(methods))),
			}
			if n > 1 || queue != "session" {
				s.method = method(rng.IntN(int(byPlay))) // the old route knows one queue, and no parties
			}
			for range n {
				s.players = append(s.players, &torikumiv1.Player{Id: name(), Attributes: map[string]*torikumiv1.Attribute{
					contract.SkillArg: {Value: &torikumiv1.Attribute_Number{Number: skill}},
				}})
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
	for range left / 10 {
		add("squad", 4, 2, 1, 1)
		left -= 4
	}
	for ; left > 0; left -= 2 {
		add("session", 2, 1, 1)
	}
	sendIntruders(all, players)
	return all
}

// sendIntruders deals intruders out, one for five players, each kind at least
// once.
func sendIntruders(all []ticket, players int) {
	for i := range max(int(kinds), players/5) {
		s := &all[i%len(all)]
		s.intruders = append(s.intruders, kind(i%int(kinds)))
	}
}

// planQueues lays out who plays what in any queues: matches of each in turn.
// What else could be matched with whom is not known here, so that one match's
// players are alone with each other, those of a lane one after the other. The
// error says which numbers of players can all play.
func planQueues(set *queues.Set, players int, seed uint64) ([]ticket, error) {
	sizes := make([]int, len(set.Queues))
	for i, q := range set.Queues {
		sizes[i] = crowd.Size(q)
	}
	can := sums(sizes, players)
	if !can[players] {
		return nil, wrongNumber(sizes, players, can)
	}
	rng := rand.New(rand.NewPCG(seed, 0x746f72696b756d69))
	next := 0
	name := func() string { next++; return fmt.Sprintf("player-%03d", next) }
	var all []ticket
	turns := make([]int, len(sizes))
	at := 0
	for group, left := 0, players; left > 0; group++ {
		for left < sizes[at] || !can[left-sizes[at]] {
			at = (at + 1) % len(sizes)
		}
		q := set.Queues[at]
		regions := suite.RegionsOf(q)
		region := regions[turns[at]%len(regions)]
		turns[at]++
		for _, party := range crowd.Match(q, region, rng, name) {
			all = append(all, ticket{
				players: party, queue: q.Name, region: region, size: sizes[at],
				lane: q.Name + "/" + region, group: group,
				method: method(rng.IntN(int(byPlay))), // the old route knows one queue, and no attributes but skill
			})
		}
		left -= sizes[at]
		at = (at + 1) % len(sizes)
	}
	sendIntruders(all, players)
	return all, nil
}

// sums reports which numbers up to most are sums of the sizes.
func sums(sizes []int, most int) []bool {
	can := make([]bool, most+1)
	can[0] = true
	for n := range can {
		for _, size := range sizes {
			can[n] = can[n] || (n >= size && can[n-size])
		}
	}
	return can
}

// wrongNumber names the next numbers that would do.
func wrongNumber(sizes []int, players int, can []bool) error {
	distinct := slices.Compact(slices.Sorted(slices.Values(sizes)))
	var near []string
	for n := players; n >= distinct[0]; n-- {
		if can[n] {
			near = append(near, fmt.Sprint(n))
			break
		}
	}
	for n, ok := range sums(sizes, players+distinct[0]) {
		if ok && n > players && n <= MaxPlayers {
			near = append(near, fmt.Sprint(n))
			break
		}
	}
	var names []string
	for _, n := range distinct {
		names = append(names, fmt.Sprint(n))
	}
	rule := fmt.Sprintf("must fill matches of %s players, as %s does", strings.Join(names, " or "), strings.Join(near, " or "))
	return config.Invalid("players", rule, players)
}

// lanes are the tickets of each lane, group by group; those who need nobody's
// turn are each their own.
func lanes(all []ticket) [][][]ticket {
	var out [][][]ticket
	of := make(map[string]int)
	for _, s := range all {
		at, known := of[s.lane]
		if s.lane == "" || !known {
			of[s.lane] = len(out)
			out = append(out, [][]ticket{{s}})
			continue
		}
		lane := out[at]
		if last := len(lane) - 1; lane[last][0].group == s.group {
			lane[last] = append(lane[last], s)
		} else {
			out[at] = append(lane, []ticket{s})
		}
	}
	return out
}
