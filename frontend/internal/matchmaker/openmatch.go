package matchmaker

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// OpenMatchTicket makes the message that creates a ticket in Open Match. Our own
// match function reads the extension; the search fields are for the pools and for
// match functions of others: numbers as the mean of those players who have them,
// the latency to the asked region as that of the farthest player, and the texts
// of a player without a party. From expire on our match function passes over it.
func OpenMatchTicket(t *ticket.Ticket, tag string, expire time.Time) (*openmatch.Ticket, error) {
	fields := &openmatch.SearchFields{DoubleArgs: means(t.Players), StringArgs: map[string]string{}, Tags: []string{tag}}
	if len(t.Players) == 1 {
		for name, a := range t.Players[0].GetAttributes() {
			if text, ok := a.GetValue().(*torikumiv1.Attribute_String_); ok {
				fields.StringArgs[name] = text.String_
			}
		}
	}
	// The region is what was asked for and nothing else: foreign match
	// functions keep to it.
	delete(fields.StringArgs, contract.RegionArg)
	if t.Region != "" {
		fields.StringArgs[contract.RegionArg] = t.Region
		if ms, ok := farthest(t.Players, t.Region); ok {
			fields.DoubleArgs[contract.LatencyArg] = ms
		}
	}
	out := &openmatch.Ticket{SearchFields: fields}
	return out, contract.Put(&out.Extensions, contract.TicketExtension, &torikumiv1.TicketDetails{
		Queue: t.Queue, Players: t.Players, Region: t.Region, FrontendTicketId: t.ID,
		ExpireTime: timestamppb.New(expire),
	})
}

func means(players []*torikumiv1.Player) map[string]float64 {
	counts, mean := map[string]float64{}, map[string]float64{}
	for _, p := range players {
		for name, a := range p.GetAttributes() {
			n, ok := a.GetValue().(*torikumiv1.Attribute_Number)
			if !ok {
				continue
			}
			counts[name]++
			// Divided before it is added, so that large numbers stay finite.
			c := counts[name]
			mean[name] = mean[name]*((c-1)/c) + n.Number/c
		}
	}
	return mean
}

func farthest(players []*torikumiv1.Player, region string) (ms float64, known bool) {
	for _, p := range players {
		if v, ok := p.GetLatencies()[region]; ok {
			ms, known = max(ms, float64(v)), true
		}
	}
	return ms, known
}
