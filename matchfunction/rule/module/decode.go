package module

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset/attribute"
)

// Sizes of what a match consists of, in bytes: docs/custom-rules.md.
const (
	matchSize     = 40
	teamSize      = 24
	playerSize    = 32
	ticketSize    = 32
	attributeSize = 32
	valueSize     = 16
)

var errBad = errors.New("the match is not as this module knows matches")

// Decode reads a match as the match function writes it. Texts of the result are
// part of data, as one string.
func Decode(data []byte) (m *rule.Match, err error) {
	defer func() {
		if recover() != nil {
			m, err = nil, errBad
		}
	}()
	d := decoder{data: data, text: string(data)}
	return d.match(), nil
}

// decoder reads a match; whatever is outside of it panics.
type decoder struct {
	data []byte
	text string
}

func (d *decoder) number(at int) int { return int(binary.LittleEndian.Uint32(d.data[at:])) }
func (d *decoder) bits(at int) uint64 {
	return binary.LittleEndian.Uint64(d.data[at:])
}
func (d *decoder) float(at int) float64 { return math.Float64frombits(d.bits(at)) }

func (d *decoder) string(at int) string {
	from, length := d.number(at), d.number(at+4)
	return d.text[from : from+length]
}

// list returns where the elements begin and how many there are.
func (d *decoder) list(at, size int) (first, count int) {
	first, count = d.number(at), d.number(at+4)
	_ = d.data[first : first+count*size]
	return first, count
}

func (d *decoder) match() *rule.Match {
	m := &rule.Match{Wait: time.Duration(math.Round(d.float(0) * 1e9)), Region: d.string(8)}
	at, count := d.list(32, ticketSize)
	tickets := make([]rule.Ticket, count)
	m.Tickets = make([]*rule.Ticket, count)
	for i := range tickets {
		t := &tickets[i]
		t.ID, t.Region, t.Created = d.string(at), d.string(at+8), time.UnixMicro(int64(d.bits(at+16)))
		if d.number(at+28) != 0 {
			t.Teams = []int{}
		}
		m.Tickets[i] = t
		at += ticketSize
	}
	d.players(m, tickets)
	return m
}

// players reads the teams and who is in them: first the players of each ticket,
// as members point at these.
func (d *decoder) players(m *rule.Match, tickets []rule.Ticket) {
	first, count := d.list(24, playerSize)
	for i := range count {
		at := first + i*playerSize
		t := &tickets[d.number(at+12)]
		t.Players = append(t.Players, d.player(at))
		if t.Teams != nil {
			t.Teams = append(t.Teams, d.number(at+8))
		}
	}
	at, n := d.list(16, teamSize)
	m.Teams = make([]rule.Team, n)
	members, read := make([]rule.Member, 0, count), make([]int, len(tickets))
	for i := range m.Teams {
		from := len(members)
		for player := range d.number(at + 12) {
			ticket := d.number(first + (d.number(at+8)+player)*playerSize + 12)
			members = append(members, rule.Member{Player: &tickets[ticket].Players[read[ticket]], Ticket: &tickets[ticket]})
			read[ticket]++
		}
		m.Teams[i] = rule.Team{Name: d.string(at), Members: members[from:len(members):len(members)], Bots: d.number(at + 16)}
		at += teamSize
	}
}

func (d *decoder) player(at int) rule.Player {
	p := rule.Player{ID: d.string(at)}
	first, count := d.list(at+16, attributeSize)
	if count > 0 {
		p.Attributes = make([]rule.Attribute, count)
	}
	for i := range p.Attributes {
		p.Attributes[i] = rule.Attribute{Name: d.string(first), Value: d.value(first)}
		first += attributeSize
	}
	first, count = d.list(at+24, valueSize)
	if count > 0 {
		p.Latencies = make([]rule.Latency, count)
	}
	for i := range p.Latencies {
		p.Latencies[i] = rule.Latency{Region: d.string(first), Milliseconds: d.float(first + 8)}
		first += valueSize
	}
	return p
}

// value reads that of an attribute.
func (d *decoder) value(at int) attribute.Value {
	first, count := d.list(at+12, valueSize)
	switch d.number(at + 8) {
	case 1:
		return attribute.Value{Type: attribute.Number, Number: d.float(at + 24)}
	case 2:
		return attribute.Value{Type: attribute.String, String: d.string(first)}
	case 3:
		list := make([]string, count)
		for i := range list {
			list[i] = d.string(first + i*valueSize)
		}
		return attribute.Value{Type: attribute.StringList, List: list}
	case 4:
		numbers := make(map[string]float64, count)
		for range count {
			numbers[d.string(first)] = d.float(first + 8)
			first += valueSize
		}
		return attribute.Value{Type: attribute.StringNumberMap, Map: numbers}
	default:
		panic(errBad)
	}
}
