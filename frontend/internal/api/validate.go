package api

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Limits of what a player may send.
const (
	maxAttributes = 64
	maxText       = 256
	maxValues     = 64
	maxLatencies  = 64
	maxLatencyMS  = 60_000
	// maxViolations bounds the answer to rubbish.
	maxViolations = 20
)

var (
	playerPattern = regexp.MustCompile(`^[A-Za-z0-9._:@|-]{1,128}$`)
	namePattern   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)
)

const (
	playerRule = "must have 1 to 128 characters of [A-Za-z0-9._:@|-]"
	nameRule   = "must have 1 to 64 characters of [A-Za-z0-9_.-]"
)

// violations collects what is wrong with a request.
type violations []problem.Field

func (v *violations) add(field, rule string, args ...any) {
	if len(*v) < maxViolations {
		*v = append(*v, problem.Field{Field: field, Rule: fmt.Sprintf(rule, args...)})
	}
}

func (v violations) err() error {
	if len(v) == 0 {
		return nil
	}
	return problem.InvalidArgument("the request breaks the rules of its fields", v...)
}

// Draft checks a request of a player and returns the ticket that it asks for. It
// fills in the caller's id and changes nothing else; the error names every field
// that is wrong.
func Draft(set *queues.Set, caller string, req *torikumiv1.CreateTicketRequest) (ticket.Ticket, error) {
	var v violations
	queue, known := set.Get(req.GetQueue())
	switch {
	case req.GetQueue() == "":
		v.add("queue", "required: one of %s", strings.Join(set.Names(), ", "))
	case !known:
		v.add("queue", "must be one of %s", strings.Join(set.Names(), ", "))
	}
	if region := req.GetRegion(); region != "" {
		switch {
		case !namePattern.MatchString(region):
			v.add("region", nameRule)
		case known && len(queue.Regions) > 0 && !slices.Contains(queue.Regions, region):
			v.add("region", "must be one of %s", strings.Join(queue.Regions, ", "))
		}
	}
	players := party(&v, caller, req.GetPlayers())
	fits := known && len(players) <= queue.MaxParty()
	if known && !fits {
		v.add("players", "must be at most %d in queue %q", queue.MaxParty(), queue.Name)
	}
	for i, p := range players {
		checkPlayer(&v, fmt.Sprintf("players[%d]", i), p)
	}
	if fits { // it is as long as a party may be
		checkRules(&v, &queue, req.GetRegion(), players)
	}
	if err := v.err(); err != nil {
		return ticket.Ticket{}, err
	}
	return ticket.Ticket{Queue: queue.Name, Region: req.GetRegion(), Players: players}, nil
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
		field := fmt.Sprintf("players[%d].id", i)
		switch {
		case !playerPattern.MatchString(id):
			v.add(field, playerRule)
		case seen[id]:
			v.add(field, "must be unique; the caller's may be left empty once")
		}
		seen[id] = true
		players = append(players, &torikumiv1.Player{Id: id, Attributes: p.GetAttributes(), Latencies: p.GetLatencies()})
	}
	if !seen[caller] {
		v.add("players", "must include the caller")
	}
	return players
}

func checkPlayer(v *violations, path string, p *torikumiv1.Player) {
	if len(p.GetAttributes()) > maxAttributes {
		v.add(path+".attributes", "must have at most %d entries", maxAttributes)
	}
	for _, name := range slices.Sorted(maps.Keys(p.GetAttributes())) {
		if !namePattern.MatchString(name) {
			v.add(path+".attributes", "names "+nameRule)
			continue
		}
		checkAttribute(v, path+".attributes."+name, p.GetAttributes()[name])
	}
	if len(p.GetLatencies()) > maxLatencies {
		v.add(path+".latencies", "must have at most %d entries", maxLatencies)
	}
	for _, region := range slices.Sorted(maps.Keys(p.GetLatencies())) {
		if !namePattern.MatchString(region) {
			v.add(path+".latencies", "regions "+nameRule)
			continue
		}
		if ms := p.GetLatencies()[region]; ms < 0 || ms > maxLatencyMS {
			v.add(path+".latencies."+region, "must be 0 to %d milliseconds", maxLatencyMS)
		}
	}
}

func checkAttribute(v *violations, path string, a *torikumiv1.Attribute) {
	switch value := a.GetValue().(type) {
	case *torikumiv1.Attribute_Number:
		checkNumber(v, path+".number", value.Number)
	case *torikumiv1.Attribute_String_:
		checkText(v, path+".string", value.String_)
	case *torikumiv1.Attribute_StringList_:
		list := value.StringList.GetValues()
		if len(list) > maxValues {
			v.add(path+".string_list.values", "must have at most %d entries", maxValues)
		}
		for i, text := range list {
			checkText(v, fmt.Sprintf("%s.string_list.values[%d]", path, i), text)
		}
	case *torikumiv1.Attribute_StringNumberMap_:
		m := value.StringNumberMap.GetValues()
		if len(m) > maxValues {
			v.add(path+".string_number_map.values", "must have at most %d entries", maxValues)
		}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if !namePattern.MatchString(name) {
				v.add(path+".string_number_map.values", "names "+nameRule)
				continue
			}
			checkNumber(v, path+".string_number_map.values."+name, m[name])
		}
	default:
		v.add(path, "must have one of number, string, string_list, string_number_map")
	}
}

func checkNumber(v *violations, path string, n float64) {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		v.add(path, "must be finite")
	}
}

func checkText(v *violations, path, text string) {
	if utf8.RuneCountInString(text) > maxText {
		v.add(path, "must have at most %d characters", maxText)
	}
}

// ValidName tells whether s may name an attribute or a region.
func ValidName(s string) bool { return namePattern.MatchString(s) }
