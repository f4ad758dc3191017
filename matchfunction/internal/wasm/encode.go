package wasm

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Sizes of what a match consists of, in bytes. docs/custom-rules.md has the
// layout; torikumi/matchfunction/rule/module reads it.
const (
	matchSize     = 40
	teamSize      = 24
	playerSize    = 32
	ticketSize    = 32
	attributeSize = 32
	valueSize     = 16
)

// encoder writes matches as modules read them. It keeps its memory from match
// to match.
type encoder struct {
	out []byte
	// Where the next of each kind goes.
	team, player, ticket, attribute, value int
	keys                                   []string
}

// encode returns the match, until the next call.
func (e *encoder) encode(m *rule.Match) []byte {
	players, attributes, values := 0, 0, 0
	for i := range m.Teams {
		for _, member := range m.Teams[i].Members {
			players++
			attributes += len(member.Player.Attributes)
			values += len(member.Player.Latencies)
			for j := range member.Player.Attributes {
				values += valuesOf(&member.Player.Attributes[j].Value)
			}
		}
	}
	e.team = matchSize
	e.player = e.team + teamSize*len(m.Teams)
	e.ticket = e.player + playerSize*players
	e.attribute = e.ticket + ticketSize*len(m.Tickets)
	e.value = e.attribute + attributeSize*attributes
	e.out = slices.Grow(e.out[:0], e.value+valueSize*values)[:e.value+valueSize*values]
	clear(e.out)

	e.float(0, m.Wait.Seconds())
	e.text(8, m.Region)
	e.list(16, e.team, len(m.Teams))
	e.list(24, e.player, players)
	e.list(32, e.ticket, len(m.Tickets))
	e.teams(m)
	for _, t := range m.Tickets {
		e.text(e.ticket, t.ID)
		e.text(e.ticket+8, t.Region)
		binary.LittleEndian.PutUint64(e.out[e.ticket+16:], uint64(t.Created.UnixMicro()))
		e.number(e.ticket+24, len(t.Players))
		if t.Teams != nil {
			e.number(e.ticket+28, 1)
		}
		e.ticket += ticketSize
	}
	return e.out
}

func (e *encoder) teams(m *rule.Match) {
	first, ticket := 0, 0
	for i := range m.Teams {
		team := &m.Teams[i]
		e.text(e.team, team.Name)
		e.number(e.team+8, first)
		e.number(e.team+12, len(team.Members))
		e.number(e.team+16, team.Bots)
		e.team += teamSize
		first += len(team.Members)
		for _, member := range team.Members {
			// Players of a ticket stand together.
			if ticket >= len(m.Tickets) || m.Tickets[ticket] != member.Ticket {
				ticket = slices.Index(m.Tickets, member.Ticket)
			}
			e.oneOf(member.Player, i, ticket)
		}
	}
}

func (e *encoder) oneOf(p *rule.Player, team, ticket int) {
	e.text(e.player, p.ID)
	e.number(e.player+8, team)
	e.number(e.player+12, ticket)
	e.list(e.player+16, e.attribute, len(p.Attributes))
	for i := range p.Attributes {
		e.attributeOf(&p.Attributes[i])
	}
	e.list(e.player+24, e.value, len(p.Latencies))
	for _, l := range p.Latencies {
		e.valueOf(l.Region, l.Milliseconds)
	}
	e.player += playerSize
}

// types are the numbers of the attributes' types.
var types = map[ruleset.AttributeType]int{ruleset.Number: 1, ruleset.String: 2, ruleset.StringList: 3, ruleset.StringNumberMap: 4}

func valuesOf(v *ruleset.Value) int {
	switch v.Type {
	case ruleset.String:
		return 1
	case ruleset.StringList:
		return len(v.List)
	case ruleset.StringNumberMap:
		return len(v.Map)
	default:
		return 0
	}
}

func (e *encoder) attributeOf(a *rule.Attribute) {
	e.text(e.attribute, a.Name)
	e.number(e.attribute+8, types[a.Value.Type])
	e.list(e.attribute+12, e.value, valuesOf(&a.Value))
	switch a.Value.Type {
	case ruleset.Number:
		e.float(e.attribute+24, a.Value.Number)
	case ruleset.String:
		e.valueOf(a.Value.String, 0)
	case ruleset.StringList:
		for _, text := range a.Value.List {
			e.valueOf(text, 0)
		}
	case ruleset.StringNumberMap: // sorted: the same match is the same bytes
		e.keys = slices.AppendSeq(e.keys[:0], maps.Keys(a.Value.Map))
		slices.Sort(e.keys)
		for _, key := range e.keys {
			e.valueOf(key, a.Value.Map[key])
		}
	}
	e.attribute += attributeSize
}

func (e *encoder) valueOf(text string, number float64) {
	e.text(e.value, text)
	e.float(e.value+8, number)
	e.value += valueSize
}

func (e *encoder) number(at, n int) { binary.LittleEndian.PutUint32(e.out[at:], uint32(n)) }

func (e *encoder) float(at int, x float64) {
	binary.LittleEndian.PutUint64(e.out[at:], math.Float64bits(x))
}

// list writes where the elements begin and how many there are.
func (e *encoder) list(at, first, count int) {
	e.number(at, first)
	e.number(at+4, count)
}

// text writes where a text begins and its length, and the text behind all else.
func (e *encoder) text(at int, text string) {
	e.list(at, len(e.out), len(text))
	e.out = append(e.out, text...)
}
