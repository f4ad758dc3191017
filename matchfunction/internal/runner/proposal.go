package runner

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"torikumi/matchfunction/internal/engine"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func newProposal(run, function string, p *engine.Profile, m engine.Match) (*openmatch.Match, error) {
	details := &torikumiv1.MatchDetails{Queue: p.Queue, Region: m.Region, Score: m.Score, MinPlayers: int32(m.MinPlayers)}
	for _, t := range m.Teams {
		team := &torikumiv1.Team{Name: t.Name, Bots: int32(t.Bots)}
		for _, member := range t.Members {
			team.Members = append(team.Members, &torikumiv1.TeamMember{PlayerId: member.Player, TicketId: member.Ticket})
		}
		details.Teams = append(details.Teams, team)
	}
	out := &openmatch.Match{
		MatchId:       MatchID(run, function, p.Name, m.Tickets),
		MatchProfile:  p.Name,
		MatchFunction: function,
		Tickets:       m.Tickets,
		// Those who join a running match need no other server.
		AllocateGameserver: m.Backfill == nil,
		Backfill:           m.Backfill,
	}
	if err := contract.Put(&out.Extensions, contract.MatchExtension, details); err != nil {
		return nil, err
	}
	if err := contract.Put(&out.Extensions, contract.EvaluationExtension, &openmatch.DefaultEvaluationCriteria{Score: m.Score}); err != nil {
		return nil, err
	}
	return out, nil
}

// MatchID derives the id of a match from the run that proposes it and what it
// is. The run is part of it, because two directors may fetch the same profile
// in the same cycle: both runs then propose the same matches, the evaluator
// lets one of each stand, and Open Match fails the whole cycle if any two
// proposals in it share an id.
func MatchID(run, function, profile string, tickets []*openmatch.Ticket) string {
	ids := make([]string, len(tickets))
	for i, t := range tickets {
		ids[i] = t.GetId()
	}
	slices.Sort(ids)
	h := sha256.New()
	for _, part := range append([]string{run, function, profile}, ids...) {
		// The length keeps parts apart that hold any byte.
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
