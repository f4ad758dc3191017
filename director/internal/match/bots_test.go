package match_test

import (
	"testing"

	"torikumi/director/internal/match"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestAddBots(t *testing.T) {
	red, blue := queues.Team{Name: "red", MinPlayers: 1, MaxPlayers: 4}, queues.Team{Name: "blue", MinPlayers: 1, MaxPlayers: 4}
	boss := queues.Team{Name: "boss", MinPlayers: 1, MaxPlayers: 1}
	for _, c := range []struct {
		name              string
		teams             []queues.Team
		red, blue, has    int // members, and bots that red has already
		most              int
		wantRed, wantBlue int32
	}{
		{"none wanted", []queues.Team{red, blue}, 1, 1, 0, 0, 0, 0},
		{"all", []queues.Team{red, blue}, 3, 2, 0, 9, 1, 2},
		{"to be even", []queues.Team{red, blue}, 3, 2, 0, 1, 0, 1},
		{"in turn", []queues.Team{red, blue}, 2, 2, 0, 2, 1, 1},
		{"full", []queues.Team{red, blue}, 4, 4, 0, 3, 0, 0},
		{"more than full", []queues.Team{red, blue}, 6, 4, 0, 3, 0, 0},
		{"bots of the match function count", []queues.Team{red, blue}, 2, 3, 2, 3, 2, 1},
		{"a team that the queue does not have", []queues.Team{red, boss}, 1, 1, 0, 9, 3, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &match.Match{Teams: []*torikumiv1.Team{
				{Name: "red", Members: make([]*torikumiv1.TeamMember, c.red), Bots: int32(c.has)}, {Name: "blue", Members: make([]*torikumiv1.TeamMember, c.blue)},
			}}
			m.AddBots(c.teams, c.most)
			if got := m.Teams; got[0].GetBots() != c.wantRed || got[1].GetBots() != c.wantBlue {
				t.Errorf("%d and %d bots, want %d and %d", got[0].GetBots(), got[1].GetBots(), c.wantRed, c.wantBlue)
			}
		})
	}
}
