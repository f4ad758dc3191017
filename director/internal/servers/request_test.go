package servers_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/proto/agones/allocation"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// party is a match of one ticket for two players.
func party(t *testing.T) *match.Match {
	t.Helper()
	ticket := &openmatch.Ticket{Id: "t"}
	text := func(s string) *torikumiv1.Attribute {
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_String_{String_: s}}
	}
	if err := contract.Put(&ticket.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{Region: "eu", Players: []*torikumiv1.Player{
		{Id: "ann", Attributes: map[string]*torikumiv1.Attribute{"character": text("mage"), "secret": text("x")}}, {Id: "bob"},
	}}); err != nil {
		t.Fatal(err)
	}
	m, err := match.Parse("raid", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{ticket}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRequest(t *testing.T) {
	m := party(t)
	sel := servers.Selector{Namespace: "games", Placing: time.Minute, Allocation: queues.Allocation{
		Labels: map[string]string{"game": "raid"},
		Selectors: []queues.Selector{
			{
				Labels: map[string]string{"site": "on-prem"}, State: queues.Allocated,
				Players:  queues.PlayerSelector{MinAvailable: queues.Players, MaxAvailable: 16},
				Counters: map[string]queues.CounterSelector{"rooms": {MinCount: 1, MaxCount: 7, MinAvailable: 1, MaxAvailable: 3}},
				Lists:    map[string]queues.ListSelector{"players": {ContainsValue: "x", MinAvailable: queues.Players, MaxAvailable: 9}},
			},
			{Labels: map[string]string{"site": "cloud"}},
		},
		Scheduling: queues.Distributed,
		Priorities: []queues.Priority{{Type: queues.List, Key: "players", Order: queues.Descending}, {Type: queues.Counter, Key: "rooms"}},
		Counters: map[string]queues.CounterAction{
			"rooms": {Action: queues.Increment, Amount: 1}, "players": {Action: queues.Decrement, Amount: queues.Players, Capacity: 100}, "sized": {Capacity: queues.Players},
		},
		Lists:    map[string]queues.ListAction{"players": {AddValues: []string{queues.PlayerIDs, queues.MatchID, "x"}, DeleteValues: []string{"y"}, Capacity: 64}},
		Metadata: queues.Metadata{Labels: map[string]string{"tier": "1"}, Annotations: map[string]string{"build": "12"}},
	}}
	got, err := sel.Request(m)
	if err != nil {
		t.Fatal(err)
	}
	roster := contract.OfMatch(contract.RosterAnnotation, m.Label)
	if !m.Owns(got.GetMetadata().GetAnnotations()[roster]) {
		t.Errorf("annotations: %v", got.GetMetadata().GetAnnotations())
	}
	delete(got.GetMetadata().GetAnnotations(), roster)
	want := &allocation.AllocationRequest{
		Namespace: "games", Scheduling: allocation.AllocationRequest_Distributed,
		GameServerSelectors: []*allocation.GameServerSelector{
			{
				MatchLabels:     map[string]string{contract.AllocatableLabel: "true", contract.SharedLabel: "true", "game": "raid", "site": "on-prem"},
				GameServerState: allocation.GameServerSelector_ALLOCATED, Players: &allocation.PlayerSelector{MinAvailable: 2, MaxAvailable: 16},
				Counters: map[string]*allocation.CounterSelector{"rooms": {MinCount: 1, MaxCount: 7, MinAvailable: 1, MaxAvailable: 3}},
				Lists:    map[string]*allocation.ListSelector{"players": {ContainsValue: "x", MinAvailable: 2, MaxAvailable: 9}},
			},
			{MatchLabels: map[string]string{contract.AllocatableLabel: "true", "game": "raid", "site": "cloud"}},
		},
		Priorities: []*allocation.Priority{
			{Type: allocation.Priority_List, Key: "players", Order: allocation.Priority_Descending}, {Type: allocation.Priority_Counter, Key: "rooms"},
		},
		Counters: map[string]*allocation.CounterAction{
			"rooms":   {Action: wrapperspb.String("Increment"), Amount: wrapperspb.Int64(1)},
			"players": {Action: wrapperspb.String("Decrement"), Amount: wrapperspb.Int64(2), Capacity: wrapperspb.Int64(100)},
			"sized":   {Capacity: wrapperspb.Int64(2)},
		},
		Lists:    map[string]*allocation.ListAction{"players": {AddValues: []string{"ann", "bob", m.Label, "x"}, DeleteValues: []string{"y"}, Capacity: wrapperspb.Int64(64)}},
		Metadata: &allocation.MetaPatch{Labels: map[string]string{contract.QueueLabel: "raid", contract.MatchLabel: "", contract.SharedLabel: "true", "tier": "1"}, Annotations: map[string]string{"build": "12"}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What a queue says cannot take the place of what finds the server again.
func TestStampOfOneMatch(t *testing.T) {
	m := party(t)
	sel := servers.Selector{Namespace: "games", Placing: time.Minute, Allocation: queues.Allocation{
		Metadata: queues.Metadata{
			Labels:      map[string]string{contract.MatchLabel: "x", contract.QueueLabel: "x"},
			Annotations: map[string]string{contract.RosterAnnotation: "x", contract.PlacingAnnotation: "x", "kept": "y"},
		},
	}}
	got, err := sel.Request(m)
	if err != nil {
		t.Fatal(err)
	}
	meta := got.GetMetadata()
	if meta.GetLabels()[contract.MatchLabel] != m.Label || meta.GetLabels()[contract.QueueLabel] != "raid" ||
		!m.Owns(meta.GetAnnotations()[contract.RosterAnnotation]) || !strings.HasPrefix(meta.GetAnnotations()[contract.PlacingAnnotation], "1m0s ") ||
		meta.GetAnnotations()["kept"] != "y" || len(got.GetGameServerSelectors()) != 1 {
		t.Errorf("%v", got)
	}
}

func TestMatchData(t *testing.T) {
	m := party(t)
	spec := queues.MatchData{Annotation: "studio/match", MaxBytes: 512, Values: map[string]string{"map": "arena"}, Attributes: []string{"character", "none"}}
	for _, shared := range []bool{false, true} {
		sel := servers.Selector{Allocation: queues.Allocation{MatchData: spec}}
		key := spec.Annotation
		if shared {
			sel.Allocation.Selectors = []queues.Selector{{State: queues.Allocated}}
			key += "." + m.Label
		}
		got, err := sel.Request(m)
		if err != nil {
			t.Fatal(err)
		}
		var data contract.MatchData
		if err := json.Unmarshal([]byte(got.GetMetadata().GetAnnotations()[key]), &data); err != nil {
			t.Fatal(err)
		}
		want := contract.MatchData{
			Match: m.Label, Queue: "raid", Region: "eu", Values: spec.Values, Players: map[string]map[string]any{"ann": {"character": "mage"}},
		}
		if diff := cmp.Diff(want, data); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if data, _, err := m.Data(queues.MatchData{Annotation: "x", MaxBytes: 512}); err != nil || data != "" {
		t.Errorf("nothing to tell: %q, %v", data, err)
	}
}

// Match data never grows beyond its bound: attributes are the players' own, and can be
// of any size.
func TestMatchDataIsBounded(t *testing.T) {
	ticket := &openmatch.Ticket{Id: "t", SearchFields: &openmatch.SearchFields{StringArgs: map[string]string{"bio": strings.Repeat("x", 600)}}}
	m, err := match.Parse("raid", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{ticket}})
	if err != nil {
		t.Fatal(err)
	}
	spec := queues.MatchData{MaxBytes: 512, Values: map[string]string{"map": strings.Repeat("m", 240)}, Attributes: []string{"bio"}}
	text, leftOut, err := m.Data(spec)
	var data contract.MatchData
	if err := json.Unmarshal([]byte(text), &data); err != nil {
		t.Fatal(err)
	}
	if err != nil || !leftOut || !data.LeftOut || data.Players != nil || len(text) > 512 || data.Values["map"] != spec.Values["map"] {
		t.Errorf("%d bytes: %s, %v, %v", len(text), text, leftOut, err)
	}
	spec.MaxBytes = 1024
	if text, leftOut, err := m.Data(spec); err != nil || leftOut || !strings.Contains(text, "xxx") {
		t.Errorf("with room: %s, %v, %v", text, leftOut, err)
	}
}

// Attributes of each type, and numbers that JSON does not have.
func TestMatchDataTypes(t *testing.T) {
	ticket := &openmatch.Ticket{Id: "t"}
	inf := 1e308
	inf *= 10
	attributes := map[string]*torikumiv1.Attribute{
		"n": {Value: &torikumiv1.Attribute_Number{Number: 1.5}}, "inf": {Value: &torikumiv1.Attribute_Number{Number: inf}},
		"l": {Value: &torikumiv1.Attribute_StringList_{StringList: &torikumiv1.Attribute_StringList{Values: []string{"a", "b"}}}},
		"m": {Value: &torikumiv1.Attribute_StringNumberMap_{StringNumberMap: &torikumiv1.Attribute_StringNumberMap{Values: map[string]float64{"x": 2, "inf": inf}}}},
		"e": {},
	}
	if err := contract.Put(&ticket.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{Players: []*torikumiv1.Player{{Id: "ann", Attributes: attributes}}}); err != nil {
		t.Fatal(err)
	}
	m, err := match.Parse("raid", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{ticket}})
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := m.Data(queues.MatchData{MaxBytes: 512, Attributes: []string{"n", "inf", "l", "m", "e"}})
	if err != nil || !strings.Contains(text, `"players":{"ann":{"l":["a","b"],"m":{"x":2},"n":1.5}}`) {
		t.Errorf("%s, %v", text, err)
	}
}

// A match that may be filled up says so, and what its players are like as far as rules
// can ask; one whose players are too large does not, and is placed all the same.
func TestStampOfBackfill(t *testing.T) {
	sel := servers.Selector{Namespace: "games", Backfill: &torikumiv1.BackfillPolicy{Automatic: true}, Attributes: []string{"character", "none"}}
	got, err := sel.Request(party(t))
	if err != nil {
		t.Fatal(err)
	}
	roster, players := readStamp(t, got)
	want := &torikumiv1.RosterPlayers{Players: []*torikumiv1.Player{
		{Id: "ann", Attributes: map[string]*torikumiv1.Attribute{"character": {Value: &torikumiv1.Attribute_String_{String_: "mage"}}}}, {Id: "bob"},
	}}
	if diff := cmp.Diff(want, players, protocmp.Transform()); diff != "" || !roster.GetBackfill().GetAutomatic() || sel.CannotFill(party(t)) {
		t.Errorf("%v, (-want +got):\n%s", roster, diff)
	}

	large := &openmatch.Ticket{Id: "t", SearchFields: &openmatch.SearchFields{StringArgs: map[string]string{"character": strings.Repeat("x", contract.MaxPlayersBytes)}}}
	m, err := match.Parse("raid", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{large}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err = sel.Request(m); err != nil {
		t.Fatal(err)
	}
	if roster, players = readStamp(t, got); roster.GetBackfill() != nil || players != nil || !sel.CannotFill(m) {
		t.Errorf("%v, %v", roster, players)
	}
	sel.Backfill = nil
	if got, err = sel.Request(party(t)); err != nil {
		t.Fatal(err)
	}
	if roster, players = readStamp(t, got); roster.GetBackfill() != nil || players != nil || sel.CannotFill(party(t)) {
		t.Errorf("a queue that fills no matches up: %v, %v", roster, players)
	}
}

// readStamp reads roster and players; the players are nil if they are not there.
func readStamp(t *testing.T, r *allocation.AllocationRequest) (*torikumiv1.Roster, *torikumiv1.RosterPlayers) {
	t.Helper()
	annotations := r.GetMetadata().GetAnnotations()
	roster, err := contract.DecodeRoster(annotations[contract.RosterAnnotation])
	if err != nil {
		t.Fatal(err)
	}
	text, ok := annotations[contract.PlayersAnnotation]
	if !ok {
		return roster, nil
	}
	players, err := contract.DecodePlayers(text)
	if err != nil {
		t.Fatal(err)
	}
	return roster, players
}
