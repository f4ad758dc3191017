package api

import (
	"fmt"
	"slices"
	"strings"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Draft checks a request of a player and returns the ticket that it asks for. It
// fills in the caller's id and changes nothing else; the error is an *[Error]
// and names every field that is wrong.
func Draft(set *queues.Set, caller string, req *torikumiv1.CreateTicketRequest) (ticket.Ticket, error) {
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
	players := party(&v, caller, req.GetPlayers())
	fits := known && len(players) <= queue.MaxParty()
	if known && !fits {
		v.add("players", "must be at most %d in queue %q", queue.MaxParty(), queue.Name)
	}
	if fits { // it is as long as a party may be
		checkRules(&v, &queue, region, players)
	}
	if len(v) > 0 {
		return ticket.Ticket{}, errInvalid(v...)
	}
	return ticket.Ticket{Queue: queue.Name, Region: region, Players: players}, nil
}

// party returns the players with their ids filled in.
func party(v *violations, caller string, asked []*torikumiv1.Player) []*torikumiv1.Player {
	if len(asked) == 0 {
		return []*torikumiv1.Player{{Id: caller}}
	}
	seen := make(map[string]bool, len(asked))
	players := make([]*torikumiv1.Player, 0, len(asked))
	for i, p := range asked {
		id := p.GetId()
		if id == "" {
			id = caller
		}
		if seen[id] {
			v.add(fmt.Sprintf("players[%d].id", i), "must be unique; the caller's may be left empty once")
		}
		seen[id] = true
		players = append(players, &torikumiv1.Player{Id: id, Attributes: p.GetAttributes(), Latencies: p.GetLatencies()})
	}
	if !seen[caller] {
		v.add("players", "must include the caller")
	}
	return players
}
