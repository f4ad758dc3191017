// Package rule is what a studio needs to write a rule of its own in Go: what a
// match looks like, and the interface that a rule fulfils. A rule set names it
// in a rule of type "custom"; docs/custom-rules.md shows the whole way. The
// rules of a match function are given to matchfunction.With.
package rule

import (
	"encoding/json"
	"time"

	"torikumi/pkg/ruleset/attribute"
)

// Rule judges matches in the making. It is called by many goroutines at once
// and very often, on the way of every player: it must be quick, must not block
// (no I/O; nothing ends a call that takes too long), must give the same answer
// for the same match, and must not keep or change what it is given. What it
// panics with is logged and counted, and the rule then counts as broken, as if
// Allows had refused the match or Apart were true.
type Rule interface {
	// Allows returns nil if the match may stand, or says in a few words why
	// not, for developers: the search only asks whether. Matches that are still
	// being filled are never shown to it. It is asked after the rules of other
	// types, about matches that keep these (within a compound rule, and to
	// explain why somebody waits, about others too). Where it refuses nearly all
	// of them, players wait longer than they would have to.
	Allows(m *Match) error
}

// Failure is an error of Allows that says that the rule itself failed and could
// not judge. It is logged and counted as a panic is, and the rule counts as
// broken.
type Failure struct{ Err error }

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns what went wrong.
func (f *Failure) Unwrap() error { return f.Err }

// Pairwise may be implemented by a Rule that can tell of two tickets alone
// that they must never meet. It spares the search from trying them together,
// and is called far more often than Allows. It is no part of Allows, which has
// to refuse such matches too: within a compound rule only Allows is asked.
type Pairwise interface {
	Rule
	// Apart reports whether no match may hold both tickets, in whichever teams. It
	// is symmetric. One of them may be of those who already play.
	Apart(a, b *Ticket) bool
}

// Factory makes a rule from the "parameters" of its entry in the rule set,
// which are nil if there are none. It is called each time that a rule set is
// readied, once for every stage of its expansions, with the parameters of that
// stage. The error says which parameter is wrong; the rule set is then refused.
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
	// Wait is that of the ticket that decides on expansions: the newest, unless
	// the rule set says otherwise.
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

// Ticket is a party that searches together, or, with Teams, those who already
// play in a match that is filled up again.
type Ticket struct {
	ID      string
	Created time.Time
	Players []Player
	// Region is the only one to play in, or empty.
	Region string
	// Teams, for those who already play, is the team of each player by
	// position in Match.Teams; nil for all others.
	Teams []int
	// Banned are players, in order of id, who may not join those who already play.
	Banned []string
}

// Player is one person.
type Player struct {
	ID string
	// Attributes that the rule set declares, in any order, no name twice. Where
	// a player brings none there is the default of the rule set, if it has one.
	// What the rule set doesn't declare is not here, whatever the ticket says.
	Attributes []Attribute
	// Latencies in any order, no region twice.
	Latencies []Latency
}

// Attribute is something that is known of a player.
type Attribute struct {
	Name  string
	Value attribute.Value
}

// Latency is the round-trip time to a region in milliseconds.
type Latency struct {
	Region       string
	Milliseconds float64
}

// Attribute returns an attribute of the player's, or false if there is none.
// Number, Text, List and Map spare one the look at its type.
func (p *Player) Attribute(name string) (attribute.Value, bool) {
	for i := range p.Attributes {
		if p.Attributes[i].Name == name {
			return p.Attributes[i].Value, true
		}
	}
	return attribute.Value{}, false
}

func (p *Player) of(name string, t attribute.Type) (attribute.Value, bool) {
	v, ok := p.Attribute(name)
	if !ok || v.Type != t {
		return attribute.Value{}, false
	}
	return v, true
}

// Number returns an attribute of type number; false if the player has none.
func (p *Player) Number(name string) (float64, bool) {
	v, ok := p.of(name, attribute.Number)
	return v.Number, ok
}

// Text returns an attribute of type string; false if the player has none.
func (p *Player) Text(name string) (string, bool) {
	v, ok := p.of(name, attribute.String)
	return v.String, ok
}

// List returns an attribute of type string_list, which must not be changed;
// false if the player has none.
func (p *Player) List(name string) ([]string, bool) {
	v, ok := p.of(name, attribute.StringList)
	return v.List, ok
}

// Map returns an attribute of type string_number_map, which must not be
// changed; false if the player has none.
func (p *Player) Map(name string) (map[string]float64, bool) {
	v, ok := p.of(name, attribute.StringNumberMap)
	return v.Map, ok
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
