package frontend_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"torikumi/pkg/eventually"
	"torikumi/pkg/problem"
)

// examples are the bodies that /openapi.json shows as right, by method and path.
func (s *harness) examples() map[string]string {
	s.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody *struct {
				Content map[string]struct{ Example json.RawMessage }
			}
		}
	}
	decode(s.t, s.do("", "GET", "/openapi.json", ""), http.StatusOK, &doc)
	out := map[string]string{}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			if o.RequestBody != nil {
				out[strings.ToUpper(method)+" "+path] = string(o.RequestBody.Content["application/json"].Example)
			}
		}
	}
	return out
}

// checkExamples: each route takes the body that it shows as a right one, in its
// document and in the answer to a wrong one.
func checkExamples(t *testing.T, s *harness) {
	t.Helper()
	const prefix = "the body cannot be read; a right one is "
	examples := s.examples()
	if len(examples) < 2 {
		t.Errorf("%d routes with a body", len(examples))
	}
	for route, example := range examples {
		method, path, _ := strings.Cut(route, " ")
		path = regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "x")
		var p problem.Problem
		decode(t, s.do("alice", method, path, `{"code":5}`), http.StatusBadRequest, &p)
		if p.Detail != prefix+example {
			t.Errorf("%s: the document shows %s, the answer to a wrong body: %s", route, example, p.Detail)
		}
		// No party has the code of an example.
		if r := s.do("alice", method, path, example); r.code != http.StatusOK && r.code != http.StatusNotFound {
			t.Errorf("%s refuses its own example: %d %s", route, r.code, r.body)
		}
	}
}

func TestExamples(t *testing.T) {
	t.Run("default queues", func(t *testing.T) { checkExamples(t, start(t, nil)) })
	for name, queues := range map[string]string{
		"a queue with regions": `queues: [{name: duel, regions: [asia], teams: [{name: a, players: 2}], skill: {attribute: elo}}]`,
		"skill from the token": `queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: skill}, attributes: {skill: {from: claim}}}]`,
		"a rule set":           `queues: [{name: duel, regions: [us, eu], rule_set: arena.json, attributes: {wins: {from: claim}}}]`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"queues.yaml": queues, "arena.json": needy} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s := prepare(t, func(c *settings) { c.Queues, c.PlayQueue = filepath.Join(dir, "queues.yaml"), "duel" })
			s.claims = map[string]any{"wins": map[string]any{"a": 1}}
			s.run()
			checkExamples(t, s)
		})
	}
}

// needy is a rule set that reads attributes of each type, and latencies.
const needy = `{"ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}],
	"playerAttributes": [{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"},
		{"name": "maps", "type": "string_list"}, {"name": "wins", "type": "string_number_map"}],
	"rules": [{"name": "Skill", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 10},
		{"name": "Mode", "type": "batchDistance", "batchAttribute": "mode"},
		{"name": "Maps", "type": "collection", "operation": "intersection", "measurements": "flatten(teams[*].players.attributes[maps])", "minCount": 1},
		{"name": "Wins", "type": "distanceSort", "sortDirection": "ascending", "sortAttribute": "wins", "mapKey": "maxValue"},
		{"name": "Fast", "type": "latency", "maxLatency": 100}]}`

// TestExamplesAreReloaded: what is shown as right is so for the queues of now.
func TestExamplesAreReloaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	write := func(text string) { t.Helper(); writeQueues(t, file, text) }
	write(duels)
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue = file, "duel" })
	write(strings.ReplaceAll(duels, "duel", "melee"))
	eventually.True(t, "the new queue is shown", func() bool { return strings.Contains(s.examples()["POST /v1/tickets"], `"melee"`) })
	checkExamples(t, s)
}
