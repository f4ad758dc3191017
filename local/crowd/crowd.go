// Package crowd invents players who can play together in a queue. The demo
// lets them play the whole path, and `torikumi up` shows one as an example.
//
// It reads the rules of the queue as a designer would: numbers lie as near to
// each other as the narrowest rule wants, texts are the words that rules name,
// roles are there for the quotas. It does not solve rule sets: rules that
// contradict each other, expressions and custom rules may still let nobody
// play.
package crowd

import (
	"math/rand/v2"
	"slices"

	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// What numbers are like of which no rule says more.
const (
	usualNumber    = 1500
	usualDeviation = 200
	// usualSpread is how far apart the players of one match are at most.
	usualSpread = 50
	// usualLatency is the most, in milliseconds.
	usualLatency = 80
)

// Teams are the sizes of the teams of the smallest match that can be made in
// the queue of players who have just come: bots left out, and teams large
// enough for their roles.
func Teams(q queues.Queue) []int {
	if q.RuleSet == nil {
		sizes := make([]int, len(q.Teams))
		for i, t := range q.Teams {
			sizes[i] = int(t.MinPlayers)
		}
		return sizes
	}
	d := &q.RuleSet.Stages[0].Definition
	places := d.TeamSlots()
	sizes, all := make([]int, len(places)), 0
	for i, p := range places {
		if !p.Bots {
			sizes[i] = p.Min
		}
	}
	for i := range d.Rules {
		if r := &d.Rules[i]; r.Kind == ruleset.RoleQuota && !r.Optional {
			for _, at := range d.RoleSlots(r) {
				sizes[at] = min(max(sizes[at], needed(r)), places[at].Max)
			}
		}
	}
	for _, n := range sizes {
		all += n
	}
	if all == 0 {
		sizes[0] = 1 // no match is of bots alone
	}
	return sizes
}

// Size is how many players such a match has.
func Size(q queues.Queue) int {
	n := 0
	for _, size := range Teams(q) {
		n += size
	}
	return n
}

// Match invents the players of such a match, in the region, as parties. name
// gives each of them another name.
func Match(q queues.Queue, region string, rng *rand.Rand, name func() string) [][]*torikumiv1.Player {
	players := invent(q, region, Size(q), rng, name)
	if !partyAllowed(q) || rng.IntN(2) == 0 {
		return alone(players)
	}
	at := 0
	for _, size := range Teams(q) {
		if size > 1 { // two of this team are friends
			return slices.Concat(alone(players[:at]), [][]*torikumiv1.Player{players[at : at+2]}, alone(players[at+2:]))
		}
		at += size
	}
	return alone(players)
}

// Player invents one player of the queue.
func Player(q queues.Queue, region string, rng *rand.Rand, name string) *torikumiv1.Player {
	return invent(q, region, 1, rng, func() string { return name })[0]
}

func alone(players []*torikumiv1.Player) [][]*torikumiv1.Player {
	var parties [][]*torikumiv1.Player
	for _, p := range players {
		parties = append(parties, []*torikumiv1.Player{p})
	}
	return parties
}

// partyAllowed reports whether a party in one team leaves the match possible.
func partyAllowed(q queues.Queue) bool {
	return q.RuleSet == nil || !slices.ContainsFunc(q.RuleSet.Stages[0].Rules, func(r ruleset.Rule) bool {
		return r.Kind == ruleset.PartySizes && !r.Optional
	})
}

func invent(q queues.Queue, region string, n int, rng *rand.Rand, name func() string) []*torikumiv1.Player {
	players := make([]*torikumiv1.Player, n)
	for i := range players {
		players[i] = &torikumiv1.Player{Id: name(), Attributes: make(map[string]*torikumiv1.Attribute)}
	}
	give := func(attribute string, values []*torikumiv1.Attribute) {
		for i, v := range values {
			players[i].Attributes[attribute] = v
		}
	}
	common := 1 + rng.IntN(3)
	most, apart := float64(usualLatency), true
	if q.RuleSet == nil {
		w := newConstraint(n)
		w.near(q.Skill.Window)
		give(q.Skill.Attribute, w.values(ruleset.Attribute{Type: ruleset.Number}, common, rng))
		if q.MaxLatencyMS > 0 {
			most = min(most, float64(q.MaxLatencyMS))
		}
	} else {
		d := &q.RuleSet.Stages[0].Definition
		constraints := read(d, Teams(q), n)
		for _, a := range d.Attributes {
			w := constraints.of(a.Name)
			if a.Default != nil && w.free() && rng.IntN(2) == 0 {
				continue // all of them are taken for the default
			}
			give(a.Name, w.values(a, common, rng))
		}
		most, apart = min(most, constraints.latency), !constraints.sameLatency
	}
	if region == "" {
		return players
	}
	base := most/4 + most/4*rng.Float64()
	for _, p := range players {
		ms := base
		if apart {
			ms += most / 4 * rng.Float64()
		}
		p.Latencies = map[string]int32{region: int32(ms)}
	}
	return players
}
