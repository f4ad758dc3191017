package ticket

import (
	"strings"
	"testing"
	"time"

	"torikumi/pkg/statediagram"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// table is what every event does in every state: the new state if there is one,
// and + or - if a ticket has to be created or deleted in Open Match.
const table = `
            Create     Attach     AttachAssigned AbortCreate MarkLost BeginRetry   AbortRetry Assign   Cancel      Expire    Gather    Join      Remove    Complete  Propose   Accept    Decline    Lapse      Recall
NONE        CREATING+  -          -              .           .        .            .          .        .           .         GATHERING .         .         .         .         .         .          .          .
CREATING    .          WAITING    ASSIGNED       NONE        .        .            .          .        CANCELLED   EXPIRED   .         .         .         .         .         .         .          .          .
WAITING     .          -          -              .           LOST     .            .          ASSIGNED CANCELLED-  EXPIRED-  .         .         LOST-     .         ACCEPTING .         .          .          .
LOST        .          -          -              .           .        RECREATING+  .          .        CANCELLED   EXPIRED   .         .         LOST      .         .         .         .          .          .
RECREATING  .          WAITING    ASSIGNED       .           .        .            LOST       .        CANCELLED   EXPIRED   .         .         .         .         .         .         .          .          .
ASSIGNED    .          -          -              .           .        .            .          .        .           .         .         .         .         .         .         .         .          .          .
CANCELLED   .          -          -              .           .        .            .          .        .           .         .         .         .         .         .         .         .          .          .
EXPIRED     .          -          -              .           .        .            .          .        .           .         .         .         .         .         .         .         .          .          .
GATHERING   .          -          -              .           .        .            .          .        CANCELLED   EXPIRED   .         GATHERING GATHERING GATHERED+ .         .         .          .          .
GATHERED    .          WAITING    ASSIGNED       .           .        .            LOST       .        CANCELLED   EXPIRED   .         .         .         .         .         .         .          .          .
ACCEPTING   .          -          -              .           LOST     .            .          ASSIGNED CANCELLED-  EXPIRED-  .         .         LOST-     .         .         ACCEPTING CANCELLED- CANCELLED- WAITING
`

func TestTransition(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	kinds := strings.Fields(lines[0])
	if len(kinds) != len(kindNames)-1 || len(lines)-1 != len(stateNames) {
		t.Fatalf("%d events and %d states, want %d and %d", len(kinds), len(lines)-1, len(kindNames)-1, len(stateNames))
	}
	for from, line := range lines[1:] {
		cells := strings.Fields(line)
		for i, want := range cells[1:] {
			s, k := State(from), Kind(i+1)
			if cells[0] != s.String() || kinds[i] != k.String() {
				t.Fatalf("%s and %s are out of order", cells[0], kinds[i])
			}
			to, effect, ok := Transition(s, k)
			got := [...]string{"", "+", "-"}[effect]
			if ok {
				got = to.String() + got
			} else if to != s {
				t.Errorf("%v, %v: %v, but nothing changed", s, k, to)
			}
			if got == "" {
				got = "."
			}
			if got != want {
				t.Errorf("%v, %v: %s, want %s", s, k, got, want)
			}
		}
	}
	if to, effect, ok := Transition(Waiting, 0); to != Waiting || effect != Nothing || ok {
		t.Errorf("no event: %v, %v, %v", to, effect, ok)
	}
}

// TestDiagram compares the picture in the docs with the code.
func TestDiagram(t *testing.T) {
	var drawn []statediagram.Transition
	word := func(s State) string {
		if s == None {
			return statediagram.Terminal
		}
		return s.String()
	}
	for s := None; s.Valid(); s++ {
		for k := Create; k < kinds; k++ {
			if to, _, ok := Transition(s, k); ok {
				drawn = append(drawn, statediagram.Transition{From: word(s), To: word(to), Label: k.String()})
			}
		}
		if s.Ended() {
			drawn = append(drawn, statediagram.Transition{From: word(s), To: statediagram.Terminal})
		}
	}
	statediagram.Check(t, "../../../docs/frontend.md", "States of a ticket", drawn)
}

// TestLife explores all lives of a ticket: what players see changes only from
// SEARCHING to one end, with ACCEPTING on the way, and whatever is created in Open Match is deleted, assigned
// or lost.
func TestLife(t *testing.T) {
	type place struct {
		state State
		// creations are under way in Open Match; attached is a ticket there.
		creations int
		attached  bool
		again     bool // it is not the first creation
	}
	seen := map[place]bool{}
	var visit func(p place)
	visit = func(p place) {
		if seen[p] {
			return
		}
		seen[p] = true
		if p.state.creating() && p.creations != 1 || p.creations > 1 {
			t.Errorf("%+v: one creation is under way while it is being created", p)
		}
		if p.attached != (p.state.attached() || p.state == Assigned) {
			t.Errorf("%+v: it has an Open Match ticket exactly while it waits or is asked, or is assigned", p)
		}
		for k := Create; k < kinds; k++ {
			answers := k == Attach || k == AttachAssigned || k == AbortCreate || k == AbortRetry
			if (k == Create || k == Gather) && p.state != None || answers && p.creations == 0 || k == AbortCreate && p.again || k == AbortRetry && !p.again {
				continue // cannot happen
			}
			to, effect, ok := Transition(p.state, k)
			if from := p.state.Proto(); ok && p.state != None && from != torikumiv1.TicketState_SEARCHING && from != torikumiv1.TicketState_GATHERING && from != torikumiv1.TicketState_ACCEPTING ||
				to == Gathering && p.state != Gathering && p.state != None {
				t.Errorf("%v after %v in %v", to, k, p.state)
			}
			next := place{to, p.creations, p.attached, p.again || ok && (k == BeginRetry || k == Complete)}
			if answers {
				next.creations--
			}
			switch {
			case effect == CreateOpenMatch:
				next.creations++
			case k == Attach || k == AttachAssigned:
				next.attached = p.attached || effect != DeleteOpenMatch
			case effect == DeleteOpenMatch || ok && k == MarkLost:
				next.attached = false
			}
			if to == None { // AbortCreate: nothing is left
				if next.creations != 0 || next.attached {
					t.Errorf("aborted with %+v", next)
				}
				continue
			}
			visit(next)
		}
	}
	visit(place{state: None})
	if len(seen) < 11 {
		t.Errorf("only %d places seen", len(seen))
	}
}

// TestApply: what goes along with the state.
func TestApply(t *testing.T) {
	begin, later := time.Unix(1000, 0), time.Unix(2000, 0)
	a := &Assignment{Connection: "x:1"}
	waiting := Ticket{State: Waiting, OpenMatchID: "om", Updated: begin}
	lost := Ticket{State: Lost, Updated: begin, Reason: Lost.Reason()}
	for name, c := range map[string]struct {
		from    Ticket
		event   Event
		want    Ticket
		visible bool
	}{
		"attach":          {Ticket{State: Creating, Updated: begin}, Event{Kind: Attach, OpenMatchID: "om"}, waiting, false},
		"attach assigned": {Ticket{State: Creating}, Event{Kind: AttachAssigned, OpenMatchID: "om", Assignment: a}, Ticket{State: Assigned, OpenMatchID: "om", Assignment: a, Updated: later}, true},
		"attach late":     {Ticket{State: Cancelled}, Event{Kind: Attach, OpenMatchID: "om"}, Ticket{State: Cancelled}, false},
		"assign":          {waiting, Event{Kind: Assign, OpenMatchID: "om", Assignment: a}, Ticket{State: Assigned, OpenMatchID: "om", Assignment: a, Updated: later}, true},
		"assign another":  {waiting, Event{Kind: Assign, OpenMatchID: "other", Assignment: a}, waiting, false},
		"lose":            {waiting, Event{Kind: MarkLost, OpenMatchID: "om"}, lost, true},
		"lose another":    {waiting, Event{Kind: MarkLost, OpenMatchID: "other"}, waiting, false},
		"retry":           {lost, Event{Kind: BeginRetry}, Ticket{State: Recreating, Updated: begin, Reason: Lost.Reason()}, false},
		"again":           {Ticket{State: Recreating, Updated: begin, Reason: Lost.Reason()}, Event{Kind: Attach, OpenMatchID: "om"}, waiting, true},
		"cancel":          {waiting, Event{Kind: Cancel}, Ticket{State: Cancelled, OpenMatchID: "om", Updated: later}, true},
		"expire":          {lost, Event{Kind: Expire}, Ticket{State: Expired, Updated: later, Reason: Expired.Reason()}, true},
	} {
		got := c.from.Apply(c.event, later)
		g, w := got.Ticket, c.want
		if g.State != w.State || g.OpenMatchID != w.OpenMatchID || g.Assignment != w.Assignment || !g.Updated.Equal(w.Updated) || g.Reason != w.Reason ||
			got.From != c.from.State || got.Visible() != c.visible || got.Changed() != (c.from.State != w.State) {
			t.Errorf("%s: %+v, visible %v; want %+v, visible %v", name, got, got.Visible(), w, c.visible)
		}
	}
}
