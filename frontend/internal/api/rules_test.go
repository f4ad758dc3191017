package api

import (
	"cmp"
	"strings"
	"testing"
	"testing/fstest"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const arena = `{
  "ruleLanguageVersion": "1.0",
  "playerAttributes": [
    {"name": "skill", "type": "number"},
    {"name": "level", "type": "number", "default": 1},
    {"name": "mode", "type": "string"},
    {"name": "maps", "type": "string_list"},
    {"name": "wins", "type": "string_number_map"},
    {"name": "unread", "type": "string"}
  ],
  "teams": [{"name": "east", "minPlayers": 1, "maxPlayers": 2}, {"name": "west", "minPlayers": 1, "maxPlayers": 2}],
  "rules": [
    {"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 80},
    {"name": "Level", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 3},
    {"name": "Mode", "type": "batchDistance", "batchAttribute": "mode"},
    {"name": "Maps", "type": "collection", "operation": "intersection", "measurements": "flatten(teams[*].players.attributes[maps])", "minCount": 1},
    {"name": "Wins", "type": "distanceSort", "sortDirection": "ascending", "sortAttribute": "wins", "mapKey": "maxValue"},
    {"name": "Fast", "type": "latency", "maxLatency": 100}
  ]
}`

// ruled has a queue with the rule set, and one like it without latencies.
func ruled(t *testing.T) *queues.Set {
	t.Helper()
	set, err := queues.ParseFS([]byte(`queues: [{name: arena, regions: [eu, us], rule_set: arena.json}, {name: anywhere, rule_set: anywhere.json},
		{name: session, teams: [{name: a, players: 2}], skill: {attribute: skill}}]`), fstest.MapFS{
		"arena.json":    {Data: []byte(arena)},
		"anywhere.json": {Data: []byte(`{"ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 4}]}`)},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// A player of the queue arena, all attributes there.
const whole = `"skill":{"number":1500},"mode":{"string":"ctf"},"maps":{"string_list":{"values":["a"]}},"wins":{"string_number_map":{"values":{"a":1}}}`

func TestDraftOfARuleSet(t *testing.T) {
	without := func(attribute string) string {
		var kept []string
		for _, a := range strings.Split(whole, `,"`) {
			if a = strings.TrimPrefix(a, `"`); !strings.HasPrefix(a, attribute) {
				kept = append(kept, `"`+a)
			}
		}
		return strings.Join(kept, ",")
	}
	alone := func(attributes string) string {
		return `{"queue":"arena","region":"eu","players":[{"attributes":{` + attributes + `}}]}`
	}
	for name, c := range map[string]struct {
		request string
		want    []problem.Field
	}{
		"all is there":       {alone(whole), nil},
		"one more attribute": {alone(whole + `,"elsewhere":{"string":"x"}`), nil},
		"latencies alone":    {`{"queue":"arena","players":[{"attributes":{` + whole + `},"latencies":{"eu":20}}]}`, nil},
		"all have latencies": {`{"queue":"arena","players":[{"attributes":{` + whole + `},"latencies":{"eu":9,"us":30}},{"id":"b","attributes":{` + whole + `},"latencies":{"eu":20}}]}`, nil},
		"one has no latencies": {`{"queue":"arena","players":[{"attributes":{` + whole + `}},{"id":"b","attributes":{` + whole + `},"latencies":{"eu":20}}]}`,
			[]problem.Field{{Field: "players[0].latencies", Rule: `required in queue "arena", as others of the party have latencies or a region is asked for`}}},
		"none to the region": {`{"queue":"arena","region":"us","players":[{"attributes":{` + whole + `},"latencies":{"eu":20}}]}`,
			[]problem.Field{{Field: "players[0].latencies.us", Rule: `required in queue "arena", as others of the party have latencies or a region is asked for`}}},
		"none that all share": {`{"queue":"arena","players":[{"attributes":{` + whole + `},"latencies":{"us":9}},{"id":"b","attributes":{` + whole + `},"latencies":{"eu":20}}]}`,
			[]problem.Field{{Field: "players", Rule: `must have latencies to a region that all share, in queue "arena"`}}},
		"another default":         {alone(whole + `,"level":{"number":7}`), nil},
		"unread and right":        {alone(whole + `,"unread":{"string":""}`), nil},
		"nothing is read":         {`{"queue":"anywhere"}`, nil},
		"another kind of queue":   {`{"queue":"session","players":[{"attributes":{"skill":{"string":"much"}}}]}`, nil},
		"a text for a number":     {alone(without("skill") + `,"skill":{"string":"1500"}`), []problem.Field{{Field: "players[0].attributes.skill", Rule: `must be a number in queue "arena"`}}},
		"a text for a default":    {alone(whole + `,"level":{"string":"7"}`), []problem.Field{{Field: "players[0].attributes.level", Rule: `must be a number in queue "arena"`}}},
		"a number for a text":     {alone(without("mode") + `,"mode":{"number":1}`), []problem.Field{{Field: "players[0].attributes.mode", Rule: `must be a string in queue "arena"`}}},
		"a text for a list":       {alone(without("maps") + `,"maps":{"string":"a"}`), []problem.Field{{Field: "players[0].attributes.maps", Rule: `must be a string_list in queue "arena"`}}},
		"a list for a map":        {alone(without("wins") + `,"wins":{"string_list":{}}`), []problem.Field{{Field: "players[0].attributes.wins", Rule: `must be a string_number_map in queue "arena"`}}},
		"unread, and wrong":       {alone(whole + `,"unread":{"number":1}`), []problem.Field{{Field: "players[0].attributes.unread", Rule: `must be a string in queue "arena"`}}},
		"an attribute of no type": {alone(without("skill") + `,"skill":{}`), []problem.Field{{Field: "players[0].attributes.skill", Rule: "must have one of number, string, string_list, string_number_map"}}},
		"no skill":                {alone(without("skill")), []problem.Field{{Field: "players[0].attributes.skill", Rule: `required in queue "arena": a number`}}},
		"a friend without skill": {`{"queue":"arena","region":"eu","players":[{"attributes":{` + whole + `}},{"id":"b","attributes":{` + without("skill") + `}}]}`,
			[]problem.Field{{Field: "players[1].attributes.skill", Rule: `required in queue "arena": a number`}}},
		"the caller alone": {`{"queue":"arena","region":"us"}`, []problem.Field{
			{Field: "players[0].attributes.skill", Rule: `required in queue "arena": a number`},
			{Field: "players[0].attributes.mode", Rule: `required in queue "arena": a string`},
			{Field: "players[0].attributes.maps", Rule: `required in queue "arena": a string_list`},
			{Field: "players[0].attributes.wins", Rule: `required in queue "arena": a string_number_map`},
		}},
		"nowhere":           {`{"queue":"arena","players":[{"attributes":{` + whole + `}}]}`, []problem.Field{{Field: "region", Rule: `required in queue "arena", unless there are latencies`}}},
		"another region":    {`{"queue":"arena","region":"asia","players":[{"attributes":{` + whole + `}}]}`, []problem.Field{{Field: "region", Rule: "must be one of eu, us"}}},
		"too large a party": {`{"queue":"arena","region":"eu","players":[{},{"id":"b"},{"id":"c"}]}`, []problem.Field{{Field: "players", Rule: `must be at most 2 in queue "arena"`}}},
	} {
		t.Run(name, func(t *testing.T) {
			req := new(torikumiv1.CreateTicketRequest)
			if err := protojson.Unmarshal([]byte(c.request), req); err != nil {
				t.Fatal(err)
			}
			for _, p := range req.GetPlayers() {
				p.Id = cmp.Or(p.GetId(), "a")
			}
			caller := Caller{Service: true}
			if len(req.GetPlayers()) == 0 {
				caller = Caller{Player: "a"}
			}
			_, err := Draft(ruled(t), caller, req)
			if len(c.want) == 0 {
				if err != nil {
					t.Errorf("refused: %v", asError(err).Errors)
				}
				return
			}
			got := asError(err)
			if got.Status != 400 || len(got.Errors) != len(c.want) {
				t.Fatalf("got %v, want %v", got.Errors, c.want)
			}
			for i := range c.want {
				if got.Errors[i] != c.want[i] {
					t.Errorf("got %v, want %v", got.Errors[i], c.want[i])
				}
			}
		})
	}
}
