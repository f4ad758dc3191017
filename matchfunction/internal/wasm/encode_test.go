package wasm

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"torikumi/matchfunction/rule"
	"torikumi/matchfunction/rule/module"
	"torikumi/pkg/ruleset"
)

var someValue = rapid.Custom(func(t *rapid.T) ruleset.Value {
	switch rapid.IntRange(0, 3).Draw(t, "type") {
	case 0:
		return ruleset.Value{Type: ruleset.Number, Number: rapid.Float64().Draw(t, "number")}
	case 1:
		return ruleset.Value{Type: ruleset.String, String: rapid.String().Draw(t, "string")}
	case 2:
		return ruleset.Value{Type: ruleset.StringList, List: rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "list")}
	default:
		return ruleset.Value{Type: ruleset.StringNumberMap, Map: rapid.MapOfN(rapid.String(), rapid.Float64(), 0, 4).Draw(t, "map")}
	}
})

// someMatch has tickets whose players are in one team each, as they are in the
// order of the teams.
var someMatch = rapid.Custom(func(t *rapid.T) *rule.Match {
	m := &rule.Match{Region: rapid.String().Draw(t, "region"), Wait: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "wait"))}
	for i := range rapid.IntRange(1, 4).Draw(t, "teams") {
		team := rule.Team{Name: fmt.Sprintf("team %d", i), Bots: rapid.IntRange(0, 3).Draw(t, "bots")}
		for range rapid.IntRange(0, 3).Draw(t, "tickets") {
			ticket := &rule.Ticket{ID: rapid.String().Draw(t, "id"), Region: rapid.String().Draw(t, "region"),
				Created: time.UnixMicro(rapid.Int64Range(-1e18, 1e18).Draw(t, "created"))}
			if rapid.Bool().Draw(t, "plays") {
				ticket.Teams = []int{}
			}
			for range rapid.IntRange(1, 3).Draw(t, "players") {
				p := rule.Player{ID: rapid.String().Draw(t, "player")}
				for range rapid.IntRange(0, 3).Draw(t, "attributes") {
					p.Attributes = append(p.Attributes, rule.Attribute{Name: rapid.String().Draw(t, "name"), Value: someValue.Draw(t, "value")})
				}
				for range rapid.IntRange(0, 2).Draw(t, "latencies") {
					p.Latencies = append(p.Latencies, rule.Latency{Region: rapid.String().Draw(t, "region"), Milliseconds: rapid.Float64().Draw(t, "ms")})
				}
				ticket.Players = append(ticket.Players, p)
				if ticket.Teams != nil {
					ticket.Teams = append(ticket.Teams, i)
				}
			}
			for j := range ticket.Players {
				team.Members = append(team.Members, rule.Member{Player: &ticket.Players[j], Ticket: ticket})
			}
			m.Tickets = append(m.Tickets, ticket)
		}
		m.Teams = append(m.Teams, team)
	}
	return m
})

// What a module in Go reads is what was written, whatever was written before.
func TestDecodeReadsWhatIsEncoded(t *testing.T) {
	var e encoder
	rapid.Check(t, func(t *rapid.T) {
		m := someMatch.Draw(t, "match")
		got, err := module.Decode(e.encode(m))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got, cmpopts.EquateEmpty(), cmpopts.EquateNaNs()); diff != "" {
			t.Fatal(diff)
		}
		for _, team := range got.Teams {
			for _, member := range team.Members {
				if !within(got.Tickets, member) {
					t.Fatal("a member is not the player of the ticket")
				}
			}
		}
	})
}

func within(tickets []*rule.Ticket, m rule.Member) bool {
	for _, t := range tickets {
		for i := range t.Players {
			if t == m.Ticket && &t.Players[i] == m.Player {
				return true
			}
		}
	}
	return false
}

func TestEncodeIsTheSame(t *testing.T) {
	m := match(1)
	m.Teams[0].Members[0].Player.Attributes = []rule.Attribute{{Name: "wins", Value: ruleset.Value{Type: ruleset.StringNumberMap,
		Map: map[string]float64{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}}}}
	var first, second encoder
	want := first.encode(m)
	for range 50 {
		if got := second.encode(m); string(got) != string(want) {
			t.Fatal("the same match has other bytes")
		}
	}
}

func FuzzDecode(f *testing.F) {
	var e encoder
	f.Add([]byte{})
	f.Add(e.encode(match(0)))
	f.Add(e.encode(match(3)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := module.Decode(data); (m == nil) == (err == nil) {
			t.Fatal(m, err)
		}
	})
}
