package ticketfile

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// line and player are the shape of a file.
type line struct {
	TicketID  string    `json:"TicketId"`
	StartTime time.Time `json:"StartTime"`
	Players   []player  `json:"Players"`
}

type player struct {
	PlayerID         string                    `json:"PlayerId"`
	PlayerAttributes map[string]map[string]any `json:"PlayerAttributes,omitempty"`
	LatencyInMs      map[string]float64        `json:"LatencyInMs,omitempty"`
}

// Write writes one line for each ticket; Read reads the same tickets again.
// What the shape can't say (a region that is asked for, those who already
// play) and numbers that JSON lacks are errors.
func Write(w io.Writer, tickets []rule.Ticket) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range tickets {
		t := &tickets[i]
		if t.Region != "" || t.Teams != nil {
			return fmt.Errorf("ticket %q: a file can't hold its region or teams", t.ID)
		}
		l := line{TicketID: t.ID, StartTime: t.Created.UTC(), Players: make([]player, len(t.Players))}
		for j := range t.Players {
			l.Players[j] = shape(&t.Players[j])
		}
		if err := enc.Encode(l); err != nil {
			return fmt.Errorf("write ticket %q: %w", t.ID, err)
		}
	}
	return nil
}

func shape(p *rule.Player) player {
	out := player{p.ID, make(map[string]map[string]any, len(p.Attributes)), make(map[string]float64, len(p.Latencies))}
	for _, a := range p.Attributes {
		out.PlayerAttributes[a.Name] = tagged(a.Value)
	}
	for _, l := range p.Latencies {
		out.LatencyInMs[l.Region] = l.Milliseconds
	}
	return out
}

// tagged is a value with its type as FlexMatch names it.
func tagged(v ruleset.Value) map[string]any {
	switch v.Type {
	case ruleset.Number:
		return map[string]any{"N": v.Number}
	case ruleset.String:
		return map[string]any{"S": v.String}
	case ruleset.StringList:
		return map[string]any{"SL": append([]string{}, v.List...)}
	default:
		m := v.Map
		if m == nil {
			m = map[string]float64{}
		}
		return map[string]any{"SDM": m}
	}
}
