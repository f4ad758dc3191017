package api

import (
	"fmt"
	"slices"
	"strings"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Draft checks a request and returns the ticket that it asks for. It fills in the
// caller's id and changes nothing else; the error is an *[Error] and names every
// field that is wrong. A ticket whose party is set is to wait for others.
func Draft(set *queues.Set, caller Caller, req *torikumiv1.CreateTicketRequest) (ticket.Ticket, error) {
	var v violations
	queue, known := set.Get(req.GetQueue())
	switch {
	case req.GetQueue() == "":
		v.add("queue", "required: one of %s", strings.Join(set.Names(), ", "))
	case !known:
		v.add("queue", "must be one of %s", strings.Join(set.Names(), ", "))
	}
	v.message("", req.ProtoReflect())
	region := req.GetRegion()
	if known && region != "" && CheckRegion(region) == "" && len(queue.Regions) > 0 && !slices.Contains(queue.Regions, region) {
		v.add("region", "must be one of %s", strings.Join(queue.Regions, ", "))
	}
	players := draftPlayers(&v, caller, req)
	party := draftParty(&v, caller, req.GetParty())
	fits := known && len(players) <= queue.MaxParty()
	if known && !fits {
		v.add("players", "must be at most %d in queue %q", queue.MaxParty(), queue.Name)
	}
	if known && party != nil && party.Size > queue.MaxParty() {
		v.add("party.size", "must be at most %d in queue %q", queue.MaxParty(), queue.Name)
	}
	if fits { // it is as long as a party may be
		for i, p := range players {
			players[i] = trust(&v, fmt.Sprintf("players[%d]", i), &queue, caller, p)
		}
		checkRules(&v, &queue, region, players)
	}
	if len(v) > 0 {
		return ticket.Ticket{}, errInvalid(v...)
	}
	return ticket.Ticket{Queue: queue.Name, Group: queue.TicketGroup, Region: region, Players: players, Party: party}, nil
}

// draftPlayers returns the players with their ids filled in. Nobody but a backend
// speaks for others than themselves.
func draftPlayers(v *violations, caller Caller, req *torikumiv1.CreateTicketRequest) []*torikumiv1.Player {
	asked := req.GetPlayers()
	if !caller.Service {
		if len(asked) > 1 {
			v.add("players", "must be the caller alone; others join the party with their own tokens")
			asked = asked[:1]
		}
		var own *torikumiv1.Player
		if len(asked) == 1 {
			own = asked[0]
		}
		return []*torikumiv1.Player{ownPlayer(v, "players[0]", caller, own)}
	}
	if len(asked) == 0 {
		v.add("players", "required with a service token")
	}
	seen := make(map[string]bool, len(asked))
	for i, p := range asked {
		switch id := p.GetId(); {
		case id == "":
			v.add(fmt.Sprintf("players[%d].id", i), "required with a service token")
		case seen[id]:
			v.add(fmt.Sprintf("players[%d].id", i), "must be unique")
		}
		seen[p.GetId()] = true
	}
	return slices.Clone(asked)
}

// ownPlayer returns what a player says of themselves, with their id.
func ownPlayer(v *violations, path string, caller Caller, asked *torikumiv1.Player) *torikumiv1.Player {
	if id := asked.GetId(); id != "" && id != caller.Player {
		v.add(path+".id", "must be the caller's, or left out")
	}
	return &torikumiv1.Player{Id: caller.Player, Attributes: asked.GetAttributes(), Latencies: asked.GetLatencies()}
}

// draftParty returns the party that a player asks for, nil for none.
func draftParty(v *violations, caller Caller, asked *torikumiv1.PartyRequest) *ticket.Party {
	if asked == nil {
		return nil
	}
	if caller.Service {
		v.add("party", "must not be there with a service token: players are all there are")
		return nil
	}
	seen := map[string]bool{caller.Player: true}
	for i, id := range asked.GetInvited() {
		if seen[id] {
			v.add(fmt.Sprintf("party.invited[%d]", i), "must be unique, and not the caller")
		}
		seen[id] = true
	}
	least, size := leastSize(asked), int(asked.GetSize())
	switch {
	case size == 0 && least == 1:
		v.add("party", "must have invited, size or both")
	case size == 0:
		size = least
	case size < least:
		v.add("party.size", "must be at least %d, as so many are invited with the caller", least)
	}
	return &ticket.Party{Leader: caller.Player, Size: size, Invited: asked.GetInvited(), Code: newCode()}
}

// leastSize is how many players a party has at least, and has if it does not say: the
// caller and those who are invited.
func leastSize(p *torikumiv1.PartyRequest) int { return 1 + len(p.GetInvited()) }
