package match

import (
	"encoding/json"

	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Data is what the queue wants the match's game server to be told: the value of an
// annotation, empty if it is nothing. If it is larger than the queue allows, the
// players are left out, and it says so, as leftOut does.
func (m *Match) Data(spec queues.MatchData) (data string, leftOut bool, err error) {
	if !spec.Wanted() {
		return "", false, nil
	}
	d := contract.MatchData{Match: m.Label, Queue: m.Queue, Region: m.Region, Values: spec.Values, Players: m.attributes(spec.Attributes)}
	text, err := json.Marshal(d)
	if err == nil && len(text) > int(spec.MaxBytes) && d.Players != nil {
		d.Players, d.LeftOut = nil, true
		text, err = json.Marshal(d)
	}
	return string(text), d.LeftOut, err
}

// RosterPlayers is what the players are like, in attributes of these names and latencies,
// as the match's game server has it: those whose tickets do not say it have an id alone.
func (m *Match) RosterPlayers(attributes []string) *torikumiv1.RosterPlayers {
	all := new(torikumiv1.RosterPlayers)
	for _, t := range m.tickets {
		details, err := contract.TicketDetails(t)
		if err != nil {
			details = &torikumiv1.TicketDetails{Players: []*torikumiv1.Player{{Id: t.GetId()}}}
		}
		for _, p := range details.GetPlayers() {
			all.Players = append(all.Players, Reduce(p, attributes))
		}
	}
	return all
}

// Reduce is a player with attributes of these names only.
func Reduce(p *torikumiv1.Player, attributes []string) *torikumiv1.Player {
	out := &torikumiv1.Player{Id: p.GetId(), Latencies: p.GetLatencies()}
	for _, name := range attributes {
		if v := p.GetAttributes()[name]; v != nil {
			if out.Attributes == nil {
				out.Attributes = make(map[string]*torikumiv1.Attribute)
			}
			out.Attributes[name] = v
		}
	}
	return out
}

// attributes are those of the players who have some of them.
func (m *Match) attributes(names []string) map[string]map[string]any {
	var all map[string]map[string]any
	for _, t := range m.tickets {
		details, err := contract.TicketDetails(t)
		if err != nil {
			continue // its player is known by the ticket's id alone
		}
		for _, p := range details.GetPlayers() {
			own := make(map[string]any)
			for _, name := range names {
				if v := value(p.GetAttributes()[name]); v != nil {
					own[name] = v
				}
			}
			if len(own) == 0 {
				continue
			}
			if all == nil {
				all = make(map[string]map[string]any)
			}
			all[p.GetId()] = own
		}
	}
	return all
}

// value is an attribute as JSON has it; nil if it is not there.
func value(a *torikumiv1.Attribute) any {
	switch v := a.GetValue().(type) {
	case *torikumiv1.Attribute_Number:
		return number(v.Number)
	case *torikumiv1.Attribute_String_:
		return v.String_
	case *torikumiv1.Attribute_StringList_:
		return v.StringList.GetValues()
	case *torikumiv1.Attribute_StringNumberMap_:
		of := make(map[string]any, len(v.StringNumberMap.GetValues()))
		for k, n := range v.StringNumberMap.GetValues() {
			if n := number(n); n != nil {
				of[k] = n
			}
		}
		return of
	}
	return nil
}

// number is nil for what JSON has no number for.
func number(n float64) any {
	if n-n != 0 {
		return nil
	}
	return n
}
