package crowd_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"torikumi/local/crowd"
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// queue is one whose rule set has these teams, attributes and rules.
func queue(t testing.TB, attributes, teams, rules string) queues.Queue {
	t.Helper()
	text := fmt.Sprintf(`{"ruleLanguageVersion": "1.0", "playerAttributes": [%s], "teams": [%s], "rules": [%s]}`, attributes, teams, rules)
	set, err := queues.ParseFS([]byte("queues: [{name: q, rule_set: q.json}]"), fstest.MapFS{"q.json": {Data: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return set.Queues[0]
}

func match(q queues.Queue, seed uint64) []*torikumiv1.Player {
	n := 0
	var all []*torikumiv1.Player
	for _, party := range crowd.Match(q, "eu", rand.New(rand.NewPCG(seed, 1)), func() string { n++; return fmt.Sprint(n) }) {
		all = append(all, party...)
	}
	return all
}

const two = `{"name": "a", "minPlayers": 2, "maxPlayers": 3}, {"name": "b", "minPlayers": 2, "maxPlayers": 3}`

func TestNumbers(t *testing.T) {
	q := queue(t, `{"name": "skill", "type": "number"}, {"name": "level", "type": "number", "default": 5}, {"name": "seat", "type": "number"}, {"name": "boss", "type": "number", "default": 0}`, two, `
		{"name": "Near", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 30},
		{"name": "High", "type": "comparison", "measurements": ["teams[*].players.attributes[level]"], "operation": ">=", "referenceValue": 10},
		{"name": "Other", "type": "comparison", "measurements": ["flatten(teams[*].players.attributes[seat])"], "operation": "!="},
		{"name": "Boss", "type": "comparison", "measurements": ["teams[a].players.attributes[boss]"], "operation": "=", "referenceValue": 7},
		{"name": "Rest", "type": "comparison", "measurements": ["teams[b].players.attributes[boss]"], "operation": "!=", "referenceValue": 0}`)
	for seed := range uint64(50) {
		players := match(q, seed)
		if len(players) != 4 {
			t.Fatalf("%d players", len(players))
		}
		seats := make(map[float64]bool)
		for i, p := range players {
			number := func(name string) float64 { return p.GetAttributes()[name].GetNumber() }
			if d := number("skill") - players[0].GetAttributes()["skill"].GetNumber(); d > 30 || d < -30 {
				t.Errorf("skills are %v apart", d)
			}
			if number("level") < 10 || seats[number("seat")] || (i < 2 && number("boss") != 7) || (i >= 2 && number("boss") == 0) {
				t.Errorf("player %d: %v", i, p)
			}
			seats[number("seat")] = true
		}
	}
}

func TestWords(t *testing.T) {
	q := queue(t, `{"name": "mode", "type": "string"}, {"name": "maps", "type": "string_list"}, {"name": "badge", "type": "string_list"}, {"name": "wins", "type": "string_number_map"}`, two, `
		{"name": "Mode", "type": "comparison", "measurements": ["teams[*].players.attributes[mode]"], "operation": "=", "referenceValue": "ctf"},
		{"name": "Maps", "type": "collection", "operation": "intersection", "measurements": ["flatten(teams[*].players.attributes[maps])"], "minCount": 2},
		{"name": "Badge", "type": "collection", "operation": "contains", "measurements": ["flatten(teams[*].players.attributes[badge])"], "referenceValue": "gold", "maxCount": 1}`)
	for seed := range uint64(50) {
		gold := 0
		players := match(q, seed)
		for _, p := range players {
			a := p.GetAttributes()
			maps := a["maps"].GetStringList().GetValues()
			if a["mode"].GetString_() != "ctf" || len(maps) != 2 || fmt.Sprint(maps) != fmt.Sprint(players[0].GetAttributes()["maps"].GetStringList().GetValues()) || len(a["wins"].GetStringNumberMap().GetValues()) == 0 {
				t.Errorf("player: %v", p)
			}
			for _, b := range a["badge"].GetStringList().GetValues() {
				if b == "gold" {
					gold++
				}
			}
		}
		if gold != 1 {
			t.Errorf("%d have gold", gold)
		}
	}
}

func TestRoles(t *testing.T) {
	q := queue(t, `{"name": "role", "type": "string"}`, two, `
		{"name": "Roles", "type": "roleQuota", "attribute": "role", "roles": [{"role": "tank", "min": 1, "max": 1}, {"role": "healer", "min": 1, "max": 1}, {"role": "fighter", "min": 1, "max": 3}]}`)
	players := match(q, 1)
	if len(players) != 6 { // three have to be in a team, whatever its minimum
		t.Fatalf("%d players", len(players))
	}
	for team := range 2 {
		roles := make(map[string]int)
		for _, p := range players[3*team : 3*team+3] {
			roles[p.GetAttributes()["role"].GetString_()]++
		}
		if roles["tank"] != 1 || roles["healer"] != 1 || roles["fighter"] != 1 {
			t.Errorf("team %d: %v", team, roles)
		}
	}
}

func TestRolesOfTeams(t *testing.T) {
	q := queue(t, `{"name": "role", "type": "string"}`, two, `
		{"name": "A", "type": "roleQuota", "attribute": "role", "teams": ["a"], "roles": [{"role": "monster", "min": 2}]},
		{"name": "B", "type": "roleQuota", "attribute": "role", "teams": ["b"], "roles": [{"role": "hunter", "min": 3}]}`)
	var roles []string
	for _, p := range match(q, 1) {
		roles = append(roles, p.GetAttributes()["role"].GetString_())
	}
	if got := strings.Join(roles, " "); got != "monster monster hunter hunter hunter" {
		t.Errorf("roles: %s", got)
	}
}

func TestLatencies(t *testing.T) {
	q := queue(t, "", two, `{"name": "Fast", "type": "latency", "maxLatency": 20}, {"name": "Alike", "type": "latency", "maxDistance": 0, "distanceReference": "avg"}`)
	players := match(q, 3)
	for _, p := range players {
		if ms := p.GetLatencies()["eu"]; ms < 1 || ms > 20 || ms != players[0].GetLatencies()["eu"] {
			t.Errorf("latencies %v", p.GetLatencies())
		}
	}
}

func TestPartyAllowed(t *testing.T) {
	q := queue(t, "", two, `{"name": "Alike", "type": "similarPartySizes", "maxDifference": 0}`)
	for seed := range uint64(20) {
		for _, party := range crowd.Match(q, "", rand.New(rand.NewPCG(seed, 1)), func() string { return "x" }) {
			if len(party) != 1 {
				t.Fatalf("a party of %d", len(party))
			}
		}
	}
}

func TestTeamsWithBots(t *testing.T) {
	q := queue(t, "", `{"name": "a", "minPlayers": 3, "maxPlayers": 3, "botsAfterSeconds": 0}`, "")
	if n := crowd.Size(q); n != 1 {
		t.Errorf("%d players", n)
	}
}

// Players of any queue are such as the frontend takes: all that is needed is
// there, of the declared type.
func TestPlayerAttributes(t *testing.T) {
	for _, file := range []string{"", filepath.Join("..", "..", "docs", "examples", "queues.yaml")} {
		set, err := queues.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			q := rapid.SampledFrom(set.Queues).Draw(t, "queue")
			players := match(q, rapid.Uint64().Draw(t, "seed"))
			if len(players) != crowd.Size(q) {
				t.Fatalf("%d players in %s, want %d", len(players), q.Name, crowd.Size(q))
			}
			players = append(players, crowd.Player(q, "eu", rand.New(rand.NewPCG(1, 2)), "one"))
			for _, p := range players {
				for _, a := range q.Needs().Attributes {
					if p.GetAttributes()[a.Name] == nil {
						t.Errorf("%s: %s lacks %s", q.Name, p.GetId(), a.Name)
					}
				}
				for _, a := range q.Attributes() {
					if v := p.GetAttributes()[a.Name]; v != nil && !isA(v, a.Type) {
						t.Errorf("%s: %s is %v", q.Name, a.Name, v)
					}
				}
			}
		})
	}
}

func isA(v *torikumiv1.Attribute, want ruleset.AttributeType) bool {
	switch v.GetValue().(type) {
	case *torikumiv1.Attribute_Number:
		return want == ruleset.Number
	case *torikumiv1.Attribute_String_:
		return want == ruleset.String
	case *torikumiv1.Attribute_StringList_:
		return want == ruleset.StringList
	default:
		return want == ruleset.StringNumberMap
	}
}
