package contract_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

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
