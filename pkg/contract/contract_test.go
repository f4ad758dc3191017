package contract_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestForeignTicketIsOnePlayer(t *testing.T) {
	d, err := contract.TicketDetails(&openmatch.Ticket{Id: "t1", SearchFields: &openmatch.SearchFields{
		DoubleArgs: map[string]float64{"skill": 1200, "latency": 40},
		StringArgs: map[string]string{"region": "eu"},
		Tags:       []string{"mode.session"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Players) != 1 || d.Players[0].Id != "t1" || d.Region != "eu" || d.Players[0].Attributes["skill"].GetNumber() != 1200 {
		t.Errorf("got %v", d)
	}
}

func TestBrokenTicketExtension(t *testing.T) {
	broken := &openmatch.Ticket{Id: "t1", Extensions: map[string]*anypb.Any{contract.TicketExtension: {TypeUrl: "x/y", Value: []byte{1}}}}
	if _, err := contract.TicketDetails(broken); err == nil {
		t.Error("an extension of a foreign type was accepted")
	}
	empty := &openmatch.Ticket{Id: "t1"}
	if err := contract.Put(&empty.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{}); err != nil {
		t.Fatal(err)
	}
	if _, err := contract.TicketDetails(empty); err == nil {
		t.Error("a ticket without players was accepted")
	}
}

func TestSearchTime(t *testing.T) {
	at := func(second int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: second} }
	never := &timestamppb.Timestamp{Seconds: math.MaxInt64}
	for name, c := range map[string]struct {
		created, says *timestamppb.Timestamp
		want          int64 // 0: none
	}{
		"neither":                      {nil, nil, 0},
		"created":                      {at(100), nil, 100},
		"in the place of another":      {at(100), at(40), 40},
		"later than it was created":    {at(100), at(101), 100},
		"no time at all":               {at(100), never, 100},
		"said alone":                   {nil, at(40), 40},
		"created when nobody can tell": {never, at(40), 40},
		"both are none":                {never, never, 0},
	} {
		ticket := &openmatch.Ticket{CreateTime: c.created}
		if c.says != nil {
			if err := contract.Put(&ticket.Extensions, contract.SearchTimeExtension, c.says); err != nil {
				t.Fatal(err)
			}
		}
		got, ok := contract.SearchTime(ticket)
		if ok != (c.want != 0) || ok && got.Unix() != c.want {
			t.Errorf("%s: got %v, %v; want %d", name, got, ok, c.want)
		}
	}
	other := &openmatch.Ticket{CreateTime: at(100), Extensions: map[string]*anypb.Any{contract.SearchTimeExtension: {TypeUrl: "x/y", Value: []byte{1}}}}
	if got, ok := contract.SearchTime(other); !ok || got.Unix() != 100 {
		t.Errorf("what is no time: got %v, %v", got, ok)
	}
}

func TestRosterRoundTrip(t *testing.T) {
	want := &torikumiv1.Roster{OpenMatchId: "a:b", Teams: []*torikumiv1.Team{{Name: "red", Members: []*torikumiv1.TeamMember{{PlayerId: "p", TicketId: "t"}}}}}
	s, err := contract.EncodeRoster(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := contract.DecodeRoster(s)
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := contract.DecodeRoster("{"); err == nil {
		t.Error("broken JSON was accepted")
	}
	if _, err := contract.DecodeRoster(`{"later":1}`); err != nil {
		t.Errorf("an unknown field was refused: %v", err)
	}
}

func FuzzMatchLabelValue(f *testing.F) {
	f.Add("profile-2026-01-01T00:00:00Z:17")
	f.Add("")
	f.Fuzz(func(t *testing.T, id string) {
		v := contract.MatchLabelValue(id)
		if !contract.ValidLabelValue(v) || v != contract.MatchLabelValue(id) || v == contract.MatchLabelValue(id+"x") {
			t.Errorf("%q -> %q", id, v)
		}
	})
}

func TestValidLabelValue(t *testing.T) {
	for v, want := range map[string]bool{"a": true, "a-b_c.d": true, "": false, "-a": false, "a-": false, "a:b": false,
		strings.Repeat("a", 63): true, strings.Repeat("a", 64): false} {
		if got := contract.ValidLabelValue(v); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
}
