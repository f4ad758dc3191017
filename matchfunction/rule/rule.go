// Package rule is what a studio needs to write a rule of its own in Go: what a
// match looks like, and the interface that a rule fulfils. A rule set names it
// in a rule of type "custom"; docs/custom-rules.md shows the whole way.
package rule

import (
	"encoding/json"
	"time"

	"torikumi/pkg/ruleset"
)

// Rule judges matches in the making. It is called by many goroutines at once
// and very often: it must be quick, must not block, must give the same answer
// for the same match, and must not keep or change what it is given.
type Rule interface {
	// Allows returns nil if the match may stand, or says in a few words why
	// not; that text is shown to designers, and in its short form to players.
	// Matches that are still being filled are never shown to it.
	Allows(m *Match) error
}

// Pairwise may be implemented by a Rule that can tell of two tickets alone
// that they must never meet. It spares the search from trying them together.
type Pairwise interface {
	Rule
	// Apart tells that no match may hold both tickets, in whichever teams. It
	// is symmetric.
	Apart(a, b *Ticket) bool
}

// Factory makes a rule from the "parameters" of its entry in the rule set,
// which are nil if there are none. The error says which parameter is wrong.
type Factory func(parameters json.RawMessage) (Rule, error)

// Registry holds the custom rules of a match function by the name that rule
// sets use.
type Registry map[string]Factory

// Match is a complete match, as it would be proposed.
type Match struct {
	// Region is empty where tickets say nothing of regions.
	Region string
	// Teams in the order of the rule set, empty ones too.
	Teams []Team
	// Tickets are all that the teams come from, in no order.
	Tickets []*Ticket
	// Wait is that of the ticket that decides on expansions.
	Wait time.Duration
}

// Team is one team of a match.
type Team struct {
	Name    string
	Members []Member
	// Bots is how many bots fill it up to its smallest size.
	Bots int
}

// Member is a player and the ticket that brought him or her.
type Member struct {
	Player *Player
	Ticket *Ticket
}

// Ticket is a party that searches together, or those who already play in a
// match that is filled up again.
type Ticket struct {
	ID      string
	Created time.Time
	Players []Player
	// Region is the only one to play in, or empty.
	Region string
	// Teams, for those who already play, is the team of each player by
	// position in Match.Teams; nil for all others.
	Teams []int
}

// Player is one person.
type Player struct {
	ID string
	// Attributes in any order, no name twice.
	Attributes []Attribute
	// Latencies in any order, no region twice.
	Latencies []Latency
}

// Attribute is something that is known of a player.
type Attribute struct {
	Name  string
	Value ruleset.Value
}

// Latency is the round-trip time to a region in milliseconds.
type Latency struct {
	Region       string
	Milliseconds float64
}

// Attribute returns an attribute of the player's. Defaults of the rule set are
// not looked at.
func (p *Player) Attribute(name string) (ruleset.Value, bool) {
	for i := range p.Attributes {
		if p.Attributes[i].Name == name {
			return p.Attributes[i].Value, true
		}
	}
	return ruleset.Value{}, false
}

// Latency returns the player's latency to a region in milliseconds.
func (p *Player) Latency(region string) (float64, bool) {
	for _, l := range p.Latencies {
		if l.Region == region {
			return l.Milliseconds, true
		}
	}
	return 0, false
}
