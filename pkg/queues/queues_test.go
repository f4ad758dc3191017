package queues_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestDefault(t *testing.T) {
	s := queues.Default()
	q, ok := s.Get("session")
	if !ok || q.MaxParty() != 1 || q.Tag() != "mode.session" || q.Teams[0].MinPlayers != 1 || q.MinPlayers() != 2 {
		t.Fatalf("session: %+v, %v", q, ok)
	}
	if q.Skill.AnySkillAfter.Duration <= 0 || q.Skill.AnySkillAfter.Duration >= 10*time.Second {
		t.Errorf("any two have to be matched within 10 s, got any_skill_after %v", q.Skill.AnySkillAfter)
	}
	p, err := q.Profile()
	if err != nil {
		t.Fatal(err)
	}
	d := new(torikumiv1.ProfileDetails)
	if err := contract.Get(p.Extensions, contract.ProfileExtension, d); err != nil || len(d.GetSkill().GetTeams()) != 2 {
		t.Errorf("details: %v, %v", d, err)
	}
	if got := p.Pools[0].TagPresentFilters[0].Tag; got != "mode.session" {
		t.Errorf("pool: %q", got)
	}
	if _, ok := s.Get("nonsense"); ok {
		t.Error("an unknown queue was found")
	}
}

func TestEachMistakeIsNamed(t *testing.T) {
	_, err := queues.Parse([]byte(`
queues:
  - name: Bad Name
    regions: [eu, eu]
    teams: [{name: a, players: 0}, {name: a, players: 3, min_players: 4}]
    skill: {attribute: "", window: -1, widen_per_second: -2, any_skill_after: -1s}
    max_latency_ms: -5
    allocation: {namespace: "A B", labels: {"x y": "z"}}
  - name: twin
    teams: [{name: a, players: 150}, {name: b, players: 51}]
    skill: {attribute: s}
  - name: twin
    skill: {attribute: s}
`))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"queues[0].name", "queues[0].regions[1]", "queues[0].teams[0].players", "queues[0].teams[1].name", "queues[0].teams[1].min_players",
		"queues[0].skill.attribute", "queues[0].skill.window", "queues[0].skill.widen_per_second", "queues[0].skill.any_skill_after",
		"queues[0].max_latency_ms", "queues[0].allocation.namespace", "queues[0].allocation.labels",
		"queues[1].teams: a match has at most 200", "queues[2].name: must be unique", "queues[2].teams: at least one",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestUnknownFieldAndBadDuration(t *testing.T) {
	for _, text := range []string{"queues: []", "nonsense: 1", "queues: [{name: a, tems: []}]", "queues: [{name: a, skill: {any_skill_after: soon}}]", "]"} {
		if _, err := queues.Parse([]byte(text)); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

// Fields that do not exist, or have the wrong type, are all told, each with its
// line and its queue.
func TestWrongFieldsAreNamed(t *testing.T) {
	_, err := queues.Parse([]byte(`
nonsense: 1
queues:
  - name: duel
    rule_sets: duel.json
    teams:
      - &team {name: a, player: 2}
      - *team
      - {name: b, players: many}
      - {name: c, players: 1.5}
    skill: {attribute: s, window: wide, any_skill_after: soon}
  - teams: {name: a}
    regions: eu
    name: raid
    allocation: {labels: {game: [raid]}, labls: {}}
  - just text
`))
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		"line 2: nonsense: there is no such field, there are queues",
		`line 5: queues[0].rule_sets (queue "duel"): there is no such field, there are name, regions, rule_set, teams, skill, max_latency_ms, bots, smallest_match, time_limits, allocation, backfill, acceptance, while_playing, ticket_group, attributes`,
		`line 7: queues[0].teams[0].player (queue "duel"): there is no such field, there are name, players, min_players`,
		`line 7: queues[0].teams[1].player (queue "duel"): there is no such field, there are name, players, min_players`,
		`line 9: queues[0].teams[2].players (queue "duel"): must be a whole number, got "many"`,
		`line 10: queues[0].teams[3].players (queue "duel"): must be a whole number, got "1.5"`,
		`line 11: queues[0].skill.window (queue "duel"): must be a number, got "wide"`,
		`line 11: queues[0].skill.any_skill_after (queue "duel"): must be a duration such as "8s", got "soon"`,
		`line 12: queues[1].teams (queue "raid"): must be a list`,
		`line 13: queues[1].regions (queue "raid"): must be a list`,
		`line 15: queues[1].allocation.labels.game (queue "raid"): must be one value`,
		`line 15: queues[1].allocation.labls (queue "raid"): there is no such field, there are namespace, labels, selectors, port, scheduling, priorities, counters, lists, metadata, match_data, tracking`,
		`line 16: queues[2]: must have fields, written as "name: value"`,
	}
	if got := strings.Split(err.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.yaml")
	if _, err := queues.Load(path); err == nil {
		t.Error("a missing file was accepted")
	}
	if err := os.WriteFile(path, []byte("queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: s}}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := queues.Load(path)
	if err != nil || len(s.Names()) != 1 || s.Names()[0] != "duel" {
		t.Errorf("got %v, %v", s, err)
	}
	if s, err := queues.Load(""); err != nil || len(s.Queues) < 2 {
		t.Errorf("built-in queues: %v, %v", s, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: s}}]")
	f.Add(allocating(`{selectors: [{state: Allocated, counters: {rooms: {min_available: 1}}, lists: {ids: {min_available: $(players)}}}], counters: {rooms: {action: Increment, amount: 1}}, lists: {ids: {add_values: [$(players)]}}, match_data: {values: {a: b}, attributes: [c]}}`))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := queues.Parse([]byte(text))
		if err != nil {
			return
		}
		for _, q := range s.Queues {
			if _, err := q.Profile(); err != nil || q.MaxParty() < 1 {
				t.Errorf("accepted %q but %v", text, err)
			}
		}
	})
}

// A second document would not be read: neither its queues nor its mistakes.
func TestSecondDocument(t *testing.T) {
	const one = "queues:\n  - name: one\n    teams: [{name: a, players: 1}, {name: b, players: 1}]\n    skill: {attribute: s, window: 9}\n"
	for _, separator := range []string{"---\n", "...\n", "--- # second\n"} {
		if _, err := queues.Parse([]byte(one + separator + strings.ReplaceAll(one, "one", "two"))); err == nil || !strings.Contains(err.Error(), "one YAML document") {
			t.Errorf("%q: %v", separator, err)
		}
		if _, err := queues.Parse([]byte("---\n" + one + "...\n")); err != nil {
			t.Error(err)
		}
	}
}
