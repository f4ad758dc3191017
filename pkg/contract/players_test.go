package contract_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestPlayers(t *testing.T) {
	want := &torikumiv1.RosterPlayers{Players: []*torikumiv1.Player{
		{Id: "ann", Latencies: map[string]int32{"eu": 20, "us": 110}, Attributes: map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: 7}}}},
		{Id: "bob"},
	}}
	text, fits, err := contract.EncodePlayers(want)
	if err != nil || !fits {
		t.Fatal(fits, err)
	}
	if got, err := contract.DecodePlayers(text); err != nil || !proto.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	want.Players[1].Id = strings.Repeat("x", contract.MaxPlayersBytes)
	if _, fits, err := contract.EncodePlayers(want); fits || err != nil {
		t.Errorf("fits: %v, %v", fits, err)
	}
	for _, text := range []string{"?", "AA", "////"} {
		if got, err := contract.DecodePlayers(text); err == nil || !strings.Contains(err.Error(), contract.PlayersAnnotation) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
