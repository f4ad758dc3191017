package admission

import (
	"testing"

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
	drawn := []statediagram.Transition{{From: statediagram.Terminal, To: "Expected"}}
	events := []string{"admit", "depart", "lapse", "return"}
	for _, moves := range [][]string{{}, {"admit"}, {"admit", "depart"}, {"admit", "lapse"}} {
		for _, last := range events {
			h := newPresenceHarness(t, "ann")
			for _, move := range moves {
				h.do(move)
			}
			from := h.state()
			h.do(last)
			if to := h.state(); to != from || last == "admit" {
				drawn = append(drawn, statediagram.Transition{From: from, To: to, Label: last})
			}
		}
	}
	statediagram.Check(t, doc, "States of a player", drawn)
}
