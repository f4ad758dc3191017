package queues_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"torikumi/pkg/contract"
	"torikumi/pkg/expression"
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const duel = `{
  "name": "duel", "ruleLanguageVersion": "1.0",
  "playerAttributes": [
    {"name": "rating", "type": "number"},
    {"name": "level", "type": "number", "default": 1},
    {"name": "mode", "type": "string"},
    {"name": "unread", "type": "string_list"}
  ],
  "teams": [{"name": "side", "minPlayers": 1, "maxPlayers": 2, "quantity": 2}],
  "rules": [
    {"name": "Close", "type": "batchDistance", "batchAttribute": "rating", "maxDistance": 80},
    {"name": "Level", "type": "batchDistance", "batchAttribute": "level", "maxDistance": 3},
    {"name": "Mode", "type": "batchDistance", "batchAttribute": "mode", "secondsUntilOptional": 5},
    {"name": "Fast", "type": "latency", "maxLatency": 100}
  ],
  "expansions": [{"target": "teams[side].maxPlayers", "steps": [{"waitTimeSeconds": 20, "value": 3}]}]
}`

func files(text string) fs.FS { return fstest.MapFS{"rules/duel.json": {Data: []byte(text)}} }

func TestRuleSet(t *testing.T) {
	s, err := queues.ParseFS([]byte(`queues: [{name: duel, regions: [eu], rule_set: ./rules/duel.json, allocation: {labels: {game: duel}}}]`), files(duel))
	if err != nil {
		t.Fatal(err)
	}
	q, _ := s.Get("duel")
	// Three are in a team after 20 s; a party may wait for that.
	if q.RuleSet == nil || q.MaxParty() != 3 || q.MinPlayers() != 2 || q.Regions[0] != "eu" || q.Allocation.Labels["game"] != "duel" {
		t.Errorf("got %+v", q)
	}
	// One is enough for a side after 30 s.
	s, err = queues.ParseFS([]byte(`queues: [{name: duel, rule_set: ./rules/duel.json}]`), files(strings.Replace(strings.Replace(duel,
		`"minPlayers": 1`, `"minPlayers": 2`, 1), `"expansions": [`, `"expansions": [{"target": "teams[side].minPlayers", "steps": [{"waitTimeSeconds": 30, "value": 1}]}, `, 1)))
	if err != nil || s.Queues[0].MinPlayers() != 2 {
		t.Errorf("smallest match: %v, %v", s.Queues[0].MinPlayers(), err)
	}
	needs := q.Needs()
	if len(needs.Attributes) != 2 || needs.Attributes[0].Name != "rating" || needs.Attributes[1].Name != "mode" || !needs.Region {
		t.Errorf("needs %+v", needs)
	}
	if len(q.Attributes()) != 4 {
		t.Errorf("attributes: %+v", q.Attributes())
	}
	p, err := q.Profile()
	if err != nil {
		t.Fatal(err)
	}
	d := new(torikumiv1.ProfileDetails)
	if err := contract.Get(p.Extensions, contract.ProfileExtension, d); err != nil || d.GetRuleSet() != duel || d.GetSkill() != nil || d.GetQueue() != "duel" {
		t.Errorf("details: %v, %v", d, err)
	}
	if got := p.Pools[0].TagPresentFilters[0].Tag; got != "mode.duel" {
		t.Errorf("pool: %q", got)
	}
}

// Checks of expressions are the director's; what they find stands beside all
// else.
func TestChecks(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("queues.yaml", "queues: [{name: duel, rule_set: duel.json}, {name: Bad, rule_set: duel.json}]")
	write("duel.json", `{"ruleLanguageVersion": "1.0", "teams": [{"name": "side", "minPlayers": 1, "maxPlayers": 2}],
"rules": [{"name": "Old", "type": "expression", "expression": "true &&\n players.all(p, p.age > 1.0)"}]}`)
	if _, err := queues.Load(filepath.Join(dir, "queues.yaml")); err == nil || strings.Contains(err.Error(), "age") {
		t.Error(err)
	}
	_, err := queues.LoadWith(filepath.Join(dir, "queues.yaml"), ruleset.Checks{Expression: expression.Check})
	for _, want := range []string{
		`queues[0].rule_set: duel.json: line 2, column 90: rules[0].expression (rule "Old"): undefined field 'age'`, "queues[1].name: must be",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("lacks %s: %v", want, err)
		}
	}
}

func TestQueueWithoutRuleSetNeedsNothing(t *testing.T) {
	for _, q := range queues.Default().Queues {
		if n := q.Needs(); len(n.Attributes) > 0 || n.Region || q.RuleSet != nil || q.Attributes() != nil {
			t.Errorf("%s needs %+v", q.Name, n)
		}
	}
}

func TestNeedsOfRulesThatACompoundOneNames(t *testing.T) {
	text := `{"ruleLanguageVersion": "1.0", "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 2}], "rules": [
		{"name": "Fast", "type": "latency", "maxLatency": 100}, {"name": "Near", "type": "latency", "maxLatency": 50},
		{"name": "Either", "type": "compound", "statement": "or(Fast, Near)"}]}`
	s, err := queues.ParseFS([]byte(`queues: [{name: a, rule_set: rules/duel.json}]`), files(text))
	if err != nil {
		t.Fatal(err)
	}
	if !s.Queues[0].Needs().Region {
		t.Error("whoever says nothing of regions fits no match of a queue with latency rules, if only compound ones name them")
	}
}

func TestEachMistakeOfARuleSetIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		yaml string
		want []string
	}{
		"both kinds of rules": {
			`queues: [{name: a, rule_set: rules/duel.json, teams: [], skill: {window: 1}, max_latency_ms: 3, bots: 2}]`,
			[]string{"queues[0].bots: must not be there beside rule_set", "queues[0].teams: must not be there beside rule_set", "queues[0].skill: must not be there", "queues[0].max_latency_ms: must not be there"},
		},
		"neither": {
			`queues: [{name: a}]`, []string{"queues[0].teams: at least one is required, unless the queue has a rule_set", "queues[0].skill.attribute"},
		},
		"no such file":       {`queues: [{name: a, rule_set: rules/none.json}]`, []string{"queues[0].rule_set: rules/none.json cannot be read: "}},
		"a folder":           {`queues: [{name: a, rule_set: rules}]`, []string{"queues[0].rule_set: rules cannot be read: "}},
		"above the folder":   {`queues: [{name: a, rule_set: ../duel.json}]`, []string{`queues[0].rule_set: must be a file in the folder of the queues`, `"../duel.json"`}},
		"by a detour":        {`queues: [{name: a, rule_set: rules/../../duel.json}]`, []string{`queues[0].rule_set: must be a file in the folder`}},
		"an absolute path":   {`queues: [{name: a, rule_set: /etc/passwd}]`, []string{`queues[0].rule_set: must be a file in the folder`}},
		"other fields wrong": {`queues: [{name: A, regions: [""], rule_set: rules/none.json, allocation: {namespace: "A B"}}]`, []string{"queues[0].name", "queues[0].regions[0]", "queues[0].rule_set", "queues[0].allocation.namespace"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := queues.ParseFS([]byte(c.yaml), files(duel))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q:\n%v", want, err)
				}
			}
		})
	}
	if _, err := queues.Parse([]byte(`queues: [{name: a, rule_set: duel.json}]`)); err == nil || !strings.Contains(err.Error(), "queues[0].rule_set: there is no folder") {
		t.Errorf("without files: %v", err)
	}
}

func TestMistakesInsideARuleSet(t *testing.T) {
	text := strings.NewReplacer(`"maxDistance": 80`, `"maxDistance": -80`, `"maxPlayers": 2`, `"maxPlayers": "two"`).Replace(duel)
	_, err := queues.ParseFS([]byte(`queues: [{name: ok, teams: [{name: a, players: 2}], skill: {attribute: s}}, {name: a, rule_set: rules/duel.json}, {name: b, rule_set: ""}]`), files(text))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`queues[1].rule_set: rules/duel.json: line 9, column 61: teams[0].maxPlayers: `,
		`queues[1].rule_set: rules/duel.json: line 11, column `, `(rule "Close"): `, "queues[2].teams: at least one",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
	var e ruleset.Error
	if !errors.As(err, &e) || e.Line != 9 {
		t.Errorf("the place is lost: %+v", e)
	}
}

// What cannot stand in a ticket or a join token would let every player wait
// for ever, or be sent away at the door.
func TestNamesThatCannotBeSent(t *testing.T) {
	text := strings.NewReplacer(`"side"`, `"the/side"`, `teams[side]`, `teams[the/side]`, `"level"`, `"level of a player!"`).Replace(duel)
	_, err := queues.ParseFS([]byte(`queues: [{name: a, rule_set: rules/duel.json}]`), files(text))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`playerAttributes[1].name: must have 1 to 64 characters of [A-Za-z0-9_.-], with spaces between them, got "level of a player!"`,
		`teams[0].name: must have 1 to 64 characters of [A-Za-z0-9_.-], with spaces between them, got "the/side"`,
	} {
		if n := strings.Count(err.Error(), want); n != 1 {
			t.Errorf("error has %q %d times:\n%v", want, n, err)
		}
	}
}

// FlexMatch's names may have spaces.
func TestNamesWithSpaces(t *testing.T) {
	text := strings.NewReplacer(`"side"`, `"Team 1"`, `teams[side]`, `teams[Team 1]`, `"level"`, `"Elo Rating"`, `[level]`, `[Elo Rating]`).Replace(duel)
	set, err := queues.ParseFS([]byte(`queues: [{name: a, rule_set: rules/duel.json}]`), files(text))
	if err != nil {
		t.Fatal(err)
	}
	q, _ := set.Get("a")
	if q.RuleSet.Stages[0].TeamSlots()[1].Name != "Team 1_2" || q.Attributes()[1].Name != "Elo Rating" {
		t.Errorf("got %+v", q.RuleSet.Stages[0])
	}
}

func TestLoadReadsRuleSetsBesideTheFile(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "here")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret.json"), duel)
	// As Kubernetes shows a ConfigMap.
	write(filepath.Join(dir, "..2026", "duel.json"), duel)
	for link, to := range map[string]string{"..data": "..2026", "duel.json": "..data/duel.json", "out.json": "../secret.json"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	path := filepath.Join(dir, "queues.yaml")
	write(path, `queues: [{name: duel, rule_set: duel.json}]`)
	if s, err := queues.Load(path); err != nil || s.Queues[0].RuleSet == nil {
		t.Errorf("got %v, %v", s, err)
	}
	write(path, `queues: [{name: duel, rule_set: out.json}]`)
	if _, err := queues.Load(path); err == nil || !strings.Contains(err.Error(), "queues[0].rule_set: out.json cannot be read") {
		t.Errorf("a link that leads out: %v", err)
	}
	write(path, `queues: [{name: duel, rule_set: none.json}]`)
	if _, err := queues.Load(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
}

func FuzzRuleSet(f *testing.F) {
	f.Add("queues: [{name: duel, rule_set: rules/duel.json}]", duel)
	f.Fuzz(func(t *testing.T, text, rules string) {
		s, err := queues.ParseFS([]byte(text), files(rules))
		if err != nil {
			return
		}
		for _, q := range s.Queues {
			if _, err := q.Profile(); err != nil || q.MaxParty() < 1 {
				t.Errorf("accepted %q with %q but %v", text, rules, err)
			}
			if (q.RuleSet != nil) != (q.RuleSetFile != "") || (q.RuleSet != nil && len(q.Teams) > 0) {
				t.Errorf("two kinds of rules: %q", text)
			}
		}
	})
}
