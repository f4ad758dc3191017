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

// stages are those of the queue's rules; one without a rule set has rules for its
// skill and its latency.
func stages(q queues.Queue) []ruleset.Stage {
	if q.RuleSet != nil {
		return q.RuleSet.Stages[:1]
	}
	most := float64(q.MaxLatencyMS)
	d := ruleset.Definition{
		Attributes: []ruleset.Attribute{{Name: q.Skill.Attribute, Type: ruleset.Number}},
		Rules:      []ruleset.Rule{{Kind: ruleset.BatchDistance, BatchAttribute: q.Skill.Attribute, MaxDistance: &q.Skill.Window}},
	}
	if most > 0 {
		d.Rules = append(d.Rules, ruleset.Rule{Kind: ruleset.Latency, MaxLatency: &most})
	}
	for _, t := range q.Teams {
		d.Teams = append(d.Teams, ruleset.Team{Name: t.Name, MinPlayers: int(t.MinPlayers), MaxPlayers: int(t.MaxPlayers), Quantity: 1})
	}
	return []ruleset.Stage{{Definition: d}}
}

// Size is how many players the smallest match has that can be made in the queue
// of players who have just come.
func Size(q queues.Queue) int {
	n := 0
	for _, size := range ruleset.NewWants(stages(q)).Sizes {
		n += size
	}
	return n
}

// Match invents the players of such a match, in the region, as parties. name
// gives each of them another name.
func Match(q queues.Queue, region string, rng *rand.Rand, name func() string) [][]*torikumiv1.Player {
	players := invent(q, region, Size(q), rng, name)
	wants := ruleset.NewWants(stages(q))
	if wants.NoParties || rng.IntN(2) == 0 {
		return alone(players)
	}
	at := 0
	for _, size := range wants.Sizes {
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
	return slices.Collect(slices.Chunk(players, 1))
}

func invent(q queues.Queue, region string, n int, rng *rand.Rand, name func() string) []*torikumiv1.Player {
	players := make([]*torikumiv1.Player, n)
	for i := range players {
		players[i] = &torikumiv1.Player{Id: name(), Attributes: make(map[string]*torikumiv1.Attribute)}
	}
	common := 1 + rng.IntN(3)
	rules := stages(q)
	wants := ruleset.NewWants(rules)
	for _, a := range rules[0].Attributes {
		w := wants.Of(a.Name)
		if a.Default != nil && w.Free() && rng.IntN(2) == 0 {
			continue // all of them are taken for the default
		}
		for i, v := range newGroup(w, wants.Sizes, n).values(a, common, rng) {
			players[i].Attributes[a.Name] = v
		}
	}
	if region == "" {
		return players
	}
	most := min(usualLatency, wants.MaxLatency)
	base := most/4 + most/4*rng.Float64()
	for _, p := range players {
		ms := base
		if !wants.SameLatency {
			ms += most / 4 * rng.Float64()
		}
		p.Latencies = map[string]int32{region: int32(ms)}
	}
	return players
}
