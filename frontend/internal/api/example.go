package api

import (
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// ExampleTicket is a request that is right now: a ticket in the first queue.
func (s *Service) ExampleTicket() *torikumiv1.CreateTicketRequest {
	q := s.firstQueue()
	return &torikumiv1.CreateTicketRequest{Queue: q.Name, Region: exampleRegion(&q), Players: []*torikumiv1.Player{examplePlayer(&q)}}
}

// ExampleJoin is a request to join a party in the first queue, which is right but for its
// code: real ones are secret.
func (s *Service) ExampleJoin() *torikumiv1.JoinPartyRequest {
	q := s.firstQueue()
	return &torikumiv1.JoinPartyRequest{Code: "K7QW2MZX4TPA", Player: examplePlayer(&q)}
}

func (s *Service) firstQueue() (q queues.Queue) {
	if all := s.o.Queues.Current().Queues; len(all) > 0 {
		q = all[0]
	}
	return q
}

func exampleRegion(q *queues.Queue) string {
	if len(q.Regions) > 0 {
		return q.Regions[0]
	}
	return "eu"
}

// examplePlayer brings what the queue needs, as far as it takes that from clients.
func examplePlayer(q *queues.Queue) *torikumiv1.Player {
	needed := q.Needs().Attributes
	if q.RuleSet == nil && q.Skill.Attribute != "" {
		needed = []ruleset.Attribute{{Name: q.Skill.Attribute, Type: ruleset.Number}}
	}
	p := &torikumiv1.Player{Attributes: map[string]*torikumiv1.Attribute{}, Latencies: map[string]int32{exampleRegion(q): 30}}
	for _, a := range needed {
		if q.SourceOf(a.Name).From == queues.FromClient {
			p.Attributes[a.Name] = exampleAttribute(a.Type)
		}
	}
	return p
}

func exampleAttribute(t ruleset.AttributeType) *torikumiv1.Attribute {
	switch t {
	case ruleset.String:
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_String_{String_: "ranked"}}
	case ruleset.StringList:
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_StringList_{StringList: &torikumiv1.Attribute_StringList{Values: []string{"ranked"}}}}
	case ruleset.StringNumberMap:
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_StringNumberMap_{StringNumberMap: &torikumiv1.Attribute_StringNumberMap{Values: map[string]float64{"ranked": 1}}}}
	default:
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_Number{Number: 1500}}
	}
}
