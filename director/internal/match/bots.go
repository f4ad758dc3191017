package match

import (
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// AddBots lets bots fill up teams that have fewer members than they may, up to most in
// all: one after the other to the team that lacks the largest share, so that teams stay
// even. It is part of reading a match: nobody else has it yet.
func (m *Match) AddBots(teams []queues.Team, most int) {
	for ; most > 0; most-- {
		var shortest *torikumiv1.Team
		var lacking, size int32
		for _, t := range m.Teams {
			of := sizeOf(teams, t.GetName())
			lacks := of - int32(len(t.GetMembers())) - t.GetBots()
			if lacks > 0 && (shortest == nil || int64(lacks)*int64(size) > int64(lacking)*int64(of)) {
				shortest, lacking, size = t, lacks, of
			}
		}
		if shortest == nil {
			return
		}
		shortest.Bots++
	}
}

func sizeOf(teams []queues.Team, name string) int32 {
	for _, t := range teams {
		if t.Name == name {
			return t.MaxPlayers
		}
	}
	return 0
}
