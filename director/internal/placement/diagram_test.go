package placement

import (
	"testing"

	"torikumi/pkg/statediagram"
)

func (s Stage) String() string {
	return [...]string{"Unclaimed", "Unasked", "Fetched", "NoServer", "AllocUnknown", "Allocated", "AssignUnknown", "AssignUnverified", "AssignUnresolved",
		"Assigned", "Announced", "TooFew", "Withdrawn", "Superseded", "NoTickets", "GivenUp", "Deallocated", "Abandoned", "Released", "Pending"}[s]
}

func (s Step) String() string {
	return [...]string{"Claim", "Ask", "Adopt", "Allocate", "Assign", "Verify", "Announce", "Withdraw", "DeleteExtra", "GiveUp", "Deallocate", "Release", "End"}[s]
}

func (r Result) String() string {
	return [...]string{"Done", "DoneSeveral", "DoneUnreachable", "DoneTooFew", "None", "NotDone", "Refused", "Revoked", "Unknown"}[r]
}

// TestDiagram: docs/director.md draws what Decide and Apply do.
func TestDiagram(t *testing.T) {
	drawn := []statediagram.Transition{
		{From: statediagram.Terminal, To: Start(true, true, true, true).Stage.String()},
		{From: statediagram.Terminal, To: Start(false, true, true, true).Stage.String()},
		{From: statediagram.Terminal, To: Start(false, false, true, true).Stage.String()},
		{From: statediagram.Terminal, To: Start(false, false, false, true).Stage.String()},
	}
	for n := range explore(func(from node, step Step, _ Result, to node) {
		drawn = append(drawn, statediagram.Transition{From: from.Stage.String(), To: to.Stage.String(), Label: step.String()})
	}) {
		if Decide(n.State, n.now) == End {
			drawn = append(drawn, statediagram.Transition{From: n.Stage.String(), To: statediagram.Terminal})
		}
	}
	statediagram.Check(t, "../../../docs/director.md", "The states of a match", drawn)
}
