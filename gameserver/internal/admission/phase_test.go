package admission

import (
	"testing"

	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/statediagram"
)

const doc = "../../../docs/gate.md"

func TestPhaseDiagram(t *testing.T) {
	drawn := []statediagram.Transition{{From: statediagram.Terminal, To: "Unknown"}}
	name := func(p Phase) string {
		if p == PhaseUnknown {
			return "Unknown"
		}
		return string(p)
	}
	for from, events := range phases {
		for e, to := range events {
			drawn = append(drawn, statediagram.Transition{From: name(from), To: name(to), Label: string(e)})
		}
	}
	statediagram.Check(t, doc, "States of the server", drawn)
}

// TestPlayerDiagram tries what can happen to a player in each state.
func TestPlayerDiagram(t *testing.T) {
	const name = "ann"
	state := func(p *journal.Presence) string {
		if _, ok := p.Present[name]; ok {
			return "Present"
		}
		if _, ok := p.Departed[name]; ok {
			return "Departed"
		}
		return "Expected"
	}
	drawn := []statediagram.Transition{{From: statediagram.Terminal, To: "Expected"}}
	for _, moves := range [][]string{{}, {"admit"}, {"admit", "depart"}} {
		for _, last := range []string{"admit", "depart"} {
			j, err := journal.Open("", nil)
			if err != nil {
				t.Fatal(err)
			}
			p := j.Presence()
			do := func(move string) error {
				if move == "admit" {
					p.Enter(journal.Player{Player: name})
					return nil
				}
				return j.Depart(name, t0)
			}
			for _, move := range moves {
				if err := do(move); err != nil {
					t.Fatal(err)
				}
			}
			from := state(p)
			if err := do(last); err != nil {
				t.Fatal(err)
			}
			if to := state(p); to != from || last == "admit" {
				drawn = append(drawn, statediagram.Transition{From: from, To: to, Label: last})
			}
		}
	}
	statediagram.Check(t, doc, "States of a player", drawn)
}
