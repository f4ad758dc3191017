// Package ruleset reads the rules of a match: FlexMatch rule sets
// (ruleLanguageVersion "1.0", JSON), and what this project adds to them. On
// the player's path it stands before the match function: the director reads a
// queue's rule set at its start and sends its text with the profile, the match
// function reads it again, and lint tells a designer what is wrong with it.
//
// What this package holds is the meaning of a rule set, in one place, for
// those who search by it and for those who check what was found. A rule set is
// a list of stages: expansions, secondsUntilOptional and bots change a
// definition as a match waits, and each stage is the whole definition that
// holds from some wait on. Nobody else has to know of expansions.
package ruleset

import (
	"encoding/json"
	"strconv"
	"time"

	"torikumi/pkg/ruleset/attribute"
)

// The limits of a rule set.
const (
	// MaxCharacters is the longest text, as in FlexMatch.
	MaxCharacters = 65535
	// MaxPlayers is the largest match.
	MaxPlayers = 200
	// MaxSmallPlayers is the largest match of the strategy exhaustiveSearch.
	MaxSmallPlayers = 40
	// MaxStages bounds the different waits at which something changes.
	MaxStages = 64
	// MaxAttributes is how many a player brings: the frontend takes no more.
	MaxAttributes = 64
)

// RuleSet is a checked rule set. It is immutable once made.
type RuleSet struct {
	Name string
	// Text is what was read, without a byte order mark.
	Text string
	// Stages are ordered by After; the first has After 0.
	Stages []Stage
}

// Stage is what holds from a wait on.
type Stage struct {
	// After is the wait in whole seconds.
	After time.Duration
	Definition
}

// At returns the position of the stage that holds after a wait: the last one
// whose After is not longer. A negative wait is none.
func (rs *RuleSet) At(wait time.Duration) int {
	i := len(rs.Stages) - 1
	for i > 0 && rs.Stages[i].After > wait {
		i--
	}
	return i
}

// ByOldest tells whose wait decides on the stage of a match: that of its
// oldest ticket, or (expansionAgeSelection "newest", the default) that of its
// newest one.
func (rs *RuleSet) ByOldest() bool { return rs.Stages[0].Algorithm.ExpansionAge == Oldest }

// Definition is a rule set as it stands at one wait.
type Definition struct {
	Attributes []Attribute
	Algorithm  Algorithm
	// Teams as written: one of quantity 3 stands once. See TeamSlots.
	Teams []Team
	// Rules in the order of the text, those that compound rules name included.
	Rules []Rule
}

// TeamSlot is one team of a match. A team "aliens" of quantity 2 makes the slots
// aliens_1 and aliens_2; one of quantity 1 keeps its name.
type TeamSlot struct {
	Name string
	// Team is the position in Definition.Teams.
	Team int
	Min  int
	Max  int
	// Bots reports whether places up to Min may stay empty, for bots to fill, in a
	// match that has at least one player.
	Bots bool
}

// TeamSlots lists the teams of a match, in the order of the text.
func (d *Definition) TeamSlots() []TeamSlot {
	var out []TeamSlot
	for i, t := range d.Teams {
		for n := range t.Quantity {
			slot := TeamSlot{Name: t.Name, Team: i, Min: t.MinPlayers, Max: t.MaxPlayers, Bots: t.Bots}
			if t.Quantity > 1 {
				slot.Name = slotName(t.Name, n+1)
			}
			out = append(out, slot)
		}
	}
	return out
}

// Attribute finds a declared attribute.
func (d *Definition) Attribute(name string) (Attribute, bool) {
	for _, a := range d.Attributes {
		if a.Name == name {
			return a, true
		}
	}
	return Attribute{}, false
}

// AttributeType is the type of a player attribute.
type AttributeType = attribute.Type

// The types.
const (
	String          = attribute.String
	Number          = attribute.Number
	StringList      = attribute.StringList
	StringNumberMap = attribute.StringNumberMap
)

// Attribute declares what players bring. A ticket with a player who lacks an
// attribute that a rule needs fits no match, unless there is a default. An
// attribute of another type than declared counts as lacking.
type Attribute struct {
	Name    string
	Type    AttributeType
	Default *Value
}

// Value is the value of an attribute; Type tells which field holds it.
type Value = attribute.Value

// Strategy is how matches are made.
type Strategy string

// The strategies. More than MaxSmallPlayers players need Balanced; fewer may
// have it, with any rules.
const (
	ExhaustiveSearch Strategy = "exhaustiveSearch"
	Balanced         Strategy = "balanced"
)

// Batching is the order in which tickets are considered.
type Batching string

// The orders. The first two are for exhaustiveSearch, the others for balanced.
const (
	Random            Batching = "random"
	Sorted            Batching = "sorted"
	LargestPopulation Batching = "largestPopulation"
	FastestRegion     Batching = "fastestRegion"
)

// Age is whose wait counts for expansions.
type Age string

// The ages.
const (
	Newest Age = "newest"
	Oldest Age = "oldest"
)

// Priority is when backfills are filled: before matches are made of tickets
// alone, after that, or by age as if they were tickets.
type Priority string

// The priorities.
const (
	Normal Priority = "normal"
	Low    Priority = "low"
	High   Priority = "high"
)

// Algorithm is the section "algorithm", with defaults filled in.
type Algorithm struct {
	Strategy           Strategy
	BatchingPreference Batching
	// SortByAttributes: numbers or strings; for Sorted.
	SortByAttributes []string
	// BalancedAttribute: a number; for Balanced. Teams get about the same sum.
	BalancedAttribute string
	ExpansionAge      Age
	BackfillPriority  Priority
	// Patience is how long the search holds out for closer matches than the
	// rules ask for, 0 for not at all. It comes from "patienceSeconds", an
	// addition. As long as the longest waiting ticket of a match has waited
	// for w less than that, its tickets differ by no more than (1 + w /
	// Patience) / 2 of what bounds on differences of numbers allow. It is a
	// preference of the search, and no rule.
	Patience time.Duration
	// Preference is how much closeness counts against waiting, from 0 (fast: a
	// match stands as soon as the rules allow it) to 1 (best). It comes from
	// "preference", an addition. Like Patience, which can't be there beside it, it
	// is no rule.
	Preference float64
}

// Team is an entry of "teams".
type Team struct {
	Name       string
	MinPlayers int
	MaxPlayers int
	// Quantity is at least 1.
	Quantity int
	// Bots: see TeamSlot. It comes from "botsAfterSeconds", an addition.
	Bots bool
}

// Aggregation makes one value of those of a party. Each player of the party
// then counts with it.
type Aggregation string

// The aggregations: the first three for numbers, the others for string lists.
// Strings are never aggregated.
const (
	Avg          Aggregation = "avg"
	Min          Aggregation = "min"
	Max          Aggregation = "max"
	Union        Aggregation = "union"
	Intersection Aggregation = "intersection"
)

// Kind is the type of a rule.
type Kind string

// The types of FlexMatch, then ours.
const (
	Comparison    Kind = "comparison"
	Distance      Kind = "distance"
	BatchDistance Kind = "batchDistance"
	Collection    Kind = "collection"
	Latency       Kind = "latency"
	DistanceSort  Kind = "distanceSort"
	AbsoluteSort  Kind = "absoluteSort"
	Compound      Kind = "compound"

	Expression      Kind = "expression"
	Custom          Kind = "custom"
	TeamDifference  Kind = "teamDifference"
	TeamSizeBalance Kind = "teamSizeBalance"
	PartySizes      Kind = "similarPartySizes"
	RoleQuota       Kind = "roleQuota"
)

// Operation is the operation of a comparison or of a collection rule.
type Operation string

// The operations.
const (
	Equal          Operation = "="
	NotEqual       Operation = "!="
	Less           Operation = "<"
	LessOrEqual    Operation = "<="
	Greater        Operation = ">"
	GreaterOrEqual Operation = ">="

	Contains                   Operation = "contains"
	CollectionIntersection     Operation = "intersection"
	ReferenceIntersectionCount Operation = "reference_intersection_count"
)

// Rule is an entry of "rules". Kind tells which fields are set.
//
// What each kind demands of a match:
//
// Comparison with a Reference: each scalar anywhere in each measurement
// compares to each scalar anywhere in the reference. Without one, Operation is
// Equal or NotEqual: in each innermost list of each measurement all values are
// equal, or no two are.
//
// Distance: |m - r| is at least MinDistance and at most MaxDistance for each
// scalar m anywhere in each measurement and each scalar r in the reference.
//
// BatchDistance: of a number, the values of the tickets (each the aggregate of
// its players) differ by at most MaxDistance; of a string, all players have
// the same.
//
// Collection: a measurement is a list of collections (lists of strings), or
// one collection, or lists of lists of collections, each of which counts for
// itself. A count has to be from MinCount to MaxCount: for
// CollectionIntersection that of the distinct values that are in all
// collections of a list (of those in it, for one collection); for Contains
// that of the collections of a list that hold all values of the reference (for
// one collection: of its elements that are one of them); for
// ReferenceIntersectionCount, for each collection, that of its distinct values
// that are anywhere in the reference.
//
// Latency: in the match's region the latency of each ticket (the aggregate of
// its players) is at most MaxLatency, and from the reference (the lowest, or
// the mean, of those of the tickets' players) at most MaxDistance away. A
// ticket without latencies that asks for a region has 0 ms there.
//
// DistanceSort, AbsoluteSort: nothing; they say who is considered first.
//
// Compound: its statement holds. The rules it names demand nothing by
// themselves.
//
// Expression: the CEL expression is true. Custom: the Go rule or module of that name
// says yes.
//
// TeamDifference: the teams' aggregates (TeamAggregate over the players) of
// the number Attribute differ by at most MaxDistance. TeamSizeBalance: the
// teams' numbers of players differ by at most MaxDistance. PartySizes: the
// largest party of each team, in players, differs by at most MaxDistance. Of
// these three, TeamSizeBalance alone counts teams without players.
//
// RoleQuota: in each of the teams each player can be given one role, of those
// that he or she has in the string or string_list Attribute, so that each
// role has from its Min to its Max players.
//
// In all kinds: a list without elements has no avg, min, max, median or
// stddev, and what has no value demands nothing.
type Rule struct {
	Name        string
	Description string
	Kind        Kind
	// Path is the JSON path of the rule, such as "rules[2]".
	Path string
	// Optional reports whether the wait "secondsUntilOptional" is over: the rule
	// demands nothing any more. It is our addition, and any rule has it.
	Optional bool

	Measurements     []Expr
	Reference        *Expr // nil if there is none
	Operation        Operation
	MinDistance      *float64
	MaxDistance      *float64
	MinCount         *int
	MaxCount         *int
	PartyAggregation Aggregation

	// Attribute is what the property "attribute" or "sortAttribute" names,
	// BatchAttribute what "batchAttribute" names.
	Attribute      string
	BatchAttribute string

	MaxLatency        *float64    // milliseconds
	DistanceReference Aggregation // Min or Avg

	SortAscending bool
	MapKey        MapKey

	Statement *Statement

	// Expression is the CEL source.
	Expression string
	// CustomRule names the Go rule, Parameters are its own.
	CustomRule string
	Parameters json.RawMessage

	// TeamAggregate is one of avg, sum, min, max, median.
	TeamAggregate string
	Roles         []Role
	// RoleTeams are the names, in Definition.Teams, of the teams that the quota
	// is for; all when empty. See RoleSlots.
	RoleTeams []string
}

// MapKey tells which key of a string_number_map a sort looks at: the one with
// the lowest or the highest value in the anchor ticket.
type MapKey string

// The keys.
const (
	MinValue MapKey = "minValue"
	MaxValue MapKey = "maxValue"
)

// Role is a role of a RoleQuota.
type Role struct {
	Name string
	Min  int
	Max  int
}

// Connective joins the parts of a statement.
type Connective string

// The connectives. Not has one part, Xor is true if exactly one part is.
const (
	And Connective = "and"
	Or  Connective = "or"
	Not Connective = "not"
	Xor Connective = "xor"
)

// Statement is that of a compound rule: a rule's name, or a connective.
type Statement struct {
	// Rule is the position in Definition.Rules, where Connective is empty.
	Rule       int
	Connective Connective
	Parts      []*Statement
}

// Named tells which rules compound rules name: those demand nothing by
// themselves. It is indexed like Definition.Rules.
func (d *Definition) Named() []bool {
	named := make([]bool, len(d.Rules))
	for i := range d.Rules {
		d.Rules[i].Statement.mark(named)
	}
	return named
}

// mark sets the rules that a statement names; nil names none.
func (s *Statement) mark(named []bool) {
	if s == nil {
		return
	}
	if s.Connective == "" {
		named[s.Rule] = true
	}
	for _, p := range s.Parts {
		p.mark(named)
	}
}

// slotName is the name of the n-th team, from 1, of a quantity.
func slotName(team string, n int) string { return team + "_" + strconv.Itoa(n) }
