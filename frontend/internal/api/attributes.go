package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// trust returns a player with the attributes that the queue takes from their token.
// What a client says of attributes that it is not trusted with is refused: were it
// dropped, honest clients would not find out that they are not heard. A backend is
// trusted with all of them.
func trust(v *violations, path string, q *queues.Queue, caller Caller, p *torikumiv1.Player) *torikumiv1.Player {
	if caller.Service || len(q.Sources) == 0 {
		return p
	}
	out := &torikumiv1.Player{Id: p.GetId(), Attributes: maps.Clone(p.GetAttributes()), Latencies: p.GetLatencies()}
	for _, name := range slices.Sorted(maps.Keys(q.Sources)) {
		source := q.SourceOf(name)
		if source.From == queues.FromClient {
			continue
		}
		field := path + ".attributes." + name
		if _, given := p.GetAttributes()[name]; given {
			v.add(field, "must not be given in queue %q: it comes from %s", q.Name, says(source))
			continue
		}
		claim, ok := caller.Claims[source.Claim]
		if source.From != queues.FromClaim || !ok || claim == nil {
			continue
		}
		value, ok := attributeOf(claim)
		if !ok {
			v.add(field, "comes from %s, which must be a number, a text, a list of texts or an object of numbers", says(source))
			continue
		}
		v.message(field, value.ProtoReflect())
		if out.Attributes == nil {
			out.Attributes = make(map[string]*torikumiv1.Attribute)
		}
		out.Attributes[name] = value
	}
	return out
}

// says names a source that is not the client.
func says(s queues.AttributeSource) string {
	if s.From == queues.FromClaim {
		return fmt.Sprintf("the claim %q of the player token", s.Claim)
	}
	return "the game's own backend"
}

// from ends a rule about an attribute that is not the client's to give.
func from(q *queues.Queue, name string) string {
	if s := q.SourceOf(name); s.From != queues.FromClient {
		return ", from " + says(s)
	}
	return ""
}

// attributeOf makes an attribute of a claim, as JSON has it.
func attributeOf(claim any) (*torikumiv1.Attribute, bool) {
	switch claim := claim.(type) {
	case json.Number:
		n, ok := number(claim)
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_Number{Number: n}}, ok
	case string:
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_String_{String_: claim}}, true
	case []any:
		list := new(torikumiv1.Attribute_StringList)
		for _, item := range claim {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			list.Values = append(list.Values, text)
		}
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_StringList_{StringList: list}}, true
	case map[string]any:
		numbers := &torikumiv1.Attribute_StringNumberMap{Values: make(map[string]float64, len(claim))}
		for name, item := range claim {
			n, ok := number(item)
			if !ok {
				return nil, false
			}
			numbers.Values[name] = n
		}
		return &torikumiv1.Attribute{Value: &torikumiv1.Attribute_StringNumberMap_{StringNumberMap: numbers}}, true
	}
	return nil, false
}

func number(claim any) (float64, bool) {
	text, ok := claim.(json.Number)
	if !ok {
		return 0, false
	}
	n, err := text.Float64()
	return n, err == nil && !math.IsInf(n, 0)
}

// FromClient reports whether clients are trusted with an attribute in a queue.
func (s *Service) FromClient(queue, attribute string) bool {
	q, ok := s.o.Queues.Current().Get(queue)
	return !ok || q.SourceOf(attribute).From == queues.FromClient
}
