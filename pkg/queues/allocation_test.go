package queues_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/pkg/queues"
)

// allocating is a queues.yaml with an allocation.
func allocating(allocation string) string {
	return "queues: [{name: a, teams: [{name: a, players: 4, min_players: 2}], skill: {attribute: s}, allocation: " + allocation + "}]"
}

func TestAllocation(t *testing.T) {
	set, err := queues.Parse([]byte(`
queues:
- name: raid
  teams: [{name: a, players: 4, min_players: 3}]
  skill: {attribute: s}
  smallest_match: 2
  time_limits: {search: 3m, no_show: 1m, longest_match: 20m}
  allocation:
    namespace: games
    labels: {game: raid}
    selectors:
    - labels: {site: on-prem}
      state: Allocated
      players: {min_available: $(players), max_available: 16}
      counters: {rooms: {min_available: 1, max_count: 7}}
      lists: {players: {contains_value: x, min_available: $(players)}}
    - labels: {site: cloud}
    scheduling: Distributed
    priorities: [{type: Counter, key: rooms}, {type: List, key: players, order: Descending}]
    counters: {rooms: {action: Increment, amount: 1}, players: {action: Decrement, amount: "$(players)", capacity: 100}}
    lists: {players: {add_values: [$(players), $(match)], delete_values: [x], capacity: 64}}
    metadata: {labels: {tier: "1"}, annotations: {studio.example.com/build: "12"}}
    match_data: {annotation: studio.example.com/match, max_bytes: 4096, values: {map: arena}, attributes: [character, Elo Rating]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := queues.Allocation{
		Namespace: "games", Labels: map[string]string{"game": "raid"},
		Selectors: []queues.Selector{
			{
				Labels: map[string]string{"site": "on-prem"}, State: queues.Allocated, Players: queues.PlayerSelector{MinAvailable: queues.Players, MaxAvailable: 16},
				Counters: map[string]queues.CounterSelector{"rooms": {MinAvailable: 1, MaxCount: 7}},
				Lists:    map[string]queues.ListSelector{"players": {ContainsValue: "x", MinAvailable: queues.Players}},
			},
			{Labels: map[string]string{"site": "cloud"}},
		},
		Scheduling: queues.Distributed,
		Priorities: []queues.Priority{{Type: queues.Counter, Key: "rooms"}, {Type: queues.List, Key: "players", Order: queues.Descending}},
		Counters: map[string]queues.CounterAction{
			"rooms": {Action: queues.Increment, Amount: 1}, "players": {Action: queues.Decrement, Amount: queues.Players, Capacity: 100},
		},
		Lists:    map[string]queues.ListAction{"players": {AddValues: []string{queues.PlayerIDs, queues.MatchID}, DeleteValues: []string{"x"}, Capacity: 64}},
		Metadata: queues.Metadata{Labels: map[string]string{"tier": "1"}, Annotations: map[string]string{"studio.example.com/build": "12"}},
		MatchData: queues.MatchData{
			Annotation: "studio.example.com/match", MaxBytes: 4096, Values: map[string]string{"map": "arena"}, Attributes: []string{"character", "Elo Rating"},
		},
	}
	q := set.Queues[0]
	if diff := cmp.Diff(want, q.Allocation); diff != "" || !q.Allocation.Shared() || q.SmallestMatch != 2 || q.MinPlayers() != 3 {
		t.Errorf("%+v, (-want +got):\n%s", q, diff)
	}
	if l := q.TimeLimits.Proto(); l.GetNoShow().AsDuration() != time.Minute || l.GetEmpty() != nil || l.GetLongestMatch().AsDuration() != 20*time.Minute ||
		(queues.TimeLimits{}).Proto() != nil || (queues.TimeLimits{Search: queues.Duration{Duration: time.Minute}}).Proto() != nil {
		t.Errorf("time limits: %v", l)
	}
	if got := set.SearchLimits(); !maps.Equal(got, map[string]time.Duration{"raid": 3 * time.Minute}) || len(queues.Default().SearchLimits()) != 0 {
		t.Errorf("limits of the search: %v", got)
	}
	if queues.Players.For(7) != 7 || queues.Quantity(3).For(7) != 3 {
		t.Error("quantities")
	}
	for _, d := range queues.Default().Queues {
		if a := d.Allocation; a.Shared() || a.MatchData.Annotation != "torikumi/match-data" || a.MatchData.MaxBytes != queues.DefaultMatchData {
			t.Errorf("default: %+v", a)
		}
	}
}

func TestTracking(t *testing.T) {
	set, err := queues.Parse([]byte(allocating(`{tracking: {counter: players, list: ids, players: true}}`)))
	if err != nil {
		t.Fatal(err)
	}
	got := set.Queues[0].Allocation.Tracking.Proto()
	if got.GetCounter() != "players" || got.GetList() != "ids" || !got.GetPlayers() || (queues.Tracking{}).Proto() != nil {
		t.Errorf("tracking: %v", got)
	}
}

func TestMistakesInAnAllocation(t *testing.T) {
	const shared = `selectors: [{state: Allocated, counters: {rooms: {min_available: 1}}}], counters: {rooms: {action: Increment, amount: 1}}`
	for allocation, want := range map[string]string{
		`{tracking: {counter: "a b"}}`: `tracking.counter: its name must be 1 to 63 characters`,
		`{tracking: {counter: seats}, counters: {seats: {action: Increment, amount: 1}}}`: `tracking.counter: must be another than those that allocation.counters change, got "seats"`,
		`{tracking: {list: seats}, lists: {seats: {add_values: [x]}}}`:                    `tracking.list: must be another than those that allocation.lists change, got "seats"`,
		`{tracking: {players: true}, ` + shared + `}`:                                     `tracking: must not be with state Allocated`,
		`{namespace: A}`:                                                                                       `namespace: must be the name of a Kubernetes namespace, got "A"`,
		`{labels: {"a..b/c": x}}`:                                                                              `labels: must be Kubernetes labels, got "a..b/c": "x"`,
		`{port: "a b"}`:                                                                                        `port: its name must be 1 to 63 characters of A-Z, a-z, 0-9 and -_., got "a b"`,
		`{scheduling: packed}`:                                                                                 `scheduling: must be Packed or Distributed, got "packed"`,
		`{selectors: [{labels: {a: "b c"}}]}`:                                                                  `selectors[0].labels: must be Kubernetes labels`,
		`{labels: {a: b}, selectors: [{}, {labels: {a: c}}]}`:                                                  `selectors[1].labels: must not contradict allocation.labels, which want a=b for all, got "c"`,
		`{selectors: [{state: Reserved}]}`:                                                                     `selectors[0].state: must be Ready or Allocated, got "Reserved"`,
		`{selectors: [{state: Allocated}]}`:                                                                    `selectors[0]: with state Allocated there must be a counter or list with a min_available`,
		`{selectors: [{players: {min_available: 2}}]}`:                                                         `selectors[0].players.max_available: required beside min_available`,
		`{selectors: [{players: {min_available: 3, max_available: 2}}]}`:                                       `selectors[0].players.max_available: must be 0, for no bound, or at least min_available, got 2`,
		`{selectors: [{counters: {rooms: {min_count: 3, max_count: 2}}}]}`:                                     `selectors[0].counters.rooms.max_count: must be 0`,
		`{selectors: [{counters: {rooms: {min_available: 3, max_available: 2}}}]}`:                             `selectors[0].counters.rooms.max_available: must be 0`,
		`{selectors: [{lists: {ids: {min_available: 3, max_available: 2}}}]}`:                                  `selectors[0].lists.ids.max_available: must be 0`,
		`{selectors: [{counters: {"a b": {min_available: 3}}}]}`:                                               `selectors[0].counters.a b: its name must be 1 to 63 characters`,
		`{selectors: [{counters: {rooms: {min_available: -3}}}]}`:                                              `allocation.selectors[0].counters.rooms.min_available (queue "a"): must be a whole number from 0 to 9223372036854775807, or "$(players)"`,
		`{selectors: [{counters: {rooms: {min_available: $(teams)}}}]}`:                                        `min_available (queue "a"): must be a whole number`,
		`{selectors: [{counters: {rooms: {min_available: 1.5}}}]}`:                                             `min_available (queue "a"): must be a whole number`,
		`{selectors: [{label: {a: b}}]}`:                                                                       `there is no such field, there are labels, state, players, counters, lists`,
		`{priorities: [{type: counter, key: rooms}]}`:                                                          `priorities[0].type: must be Counter or List, got "counter"`,
		`{priorities: [{type: Counter}]}`:                                                                      `priorities[0].key: its name must be`,
		`{priorities: [{type: List, key: a, order: Up}]}`:                                                      `priorities[0].order: must be Ascending or Descending, got "Up"`,
		`{counters: {rooms: {}}}`:                                                                              `counters.rooms: must have an action with an amount, or a capacity`,
		`{counters: {rooms: {amount: 1}}}`:                                                                     `counters.rooms.action: required beside amount`,
		`{counters: {rooms: {action: increment, amount: 1}}}`:                                                  `counters.rooms.action: must be Increment or Decrement, got "increment"`,
		`{counters: {rooms: {action: Increment}}}`:                                                             `counters.rooms.amount: required beside action`,
		`{lists: {ids: {}}}`:                                                                                   `lists.ids: must have add_values, delete_values or a capacity`,
		`{lists: {ids: {add_values: [""]}}}`:                                                                   `lists.ids.add_values[0]: must be a value, $(match) or $(players), got ""`,
		`{lists: {ids: {delete_values: [a, $(matches)]}}}`:                                                     `lists.ids.delete_values[1]: must be a value`,
		`{lists: {ids: {capacity: 1001}}}`:                                                                     `lists.ids.capacity: must be at most 1000, got 1001`,
		`{metadata: {labels: {a: "b c"}}}`:                                                                     `metadata.labels: must be Kubernetes labels`,
		`{metadata: {labels: {torikumi/match: b}}}`:                                                            `metadata.labels: must not begin with torikumi/ or agones.dev/`,
		`{metadata: {annotations: {torikumi/roster: b}}}`:                                                      `metadata.annotations: must not begin with torikumi/`,
		`{metadata: {annotations: {agones.dev/last-allocated: b}}}`:                                            `metadata.annotations: must not begin with torikumi/`,
		`{metadata: {annotations: {"a b": b}}}`:                                                                `metadata.annotations: must have keys as Kubernetes takes them, got "a b"`,
		`{metadata: {annotations: {a: ` + strings.Repeat("x", 33<<10) + `}}}`:                                  `metadata.annotations: must have at most 32768 bytes together`,
		`{match_data: {annotation: torikumi/roster, values: {a: b}}}`:                                          `match_data.annotation: must be the key of a Kubernetes annotation`,
		`{match_data: {annotation: x, values: {a: b}}, metadata: {annotations: {x: y}}}`:                       `match_data.annotation: must not be one of metadata.annotations`,
		`{` + shared + `, match_data: {annotation: a-name-that-is-long-enough-for-one-match, values: {a: b}}}`: `match_data.annotation: must be short enough`,
		`{match_data: {max_bytes: 100}}`:                                                                       `match_data.max_bytes: must be from 512 to 131072, got 100`,
		`{` + shared + `, match_data: {max_bytes: 65537}}`:                                                     `match_data.max_bytes: must be at most 65536 with state Allocated in a selector, as the annotations of all matches of a server, 256 KiB together, stay until it ends, got 65537`,
		`{match_data: {max_bytes: 512, values: {a: ` + strings.Repeat("x", 300) + `}}}`:                        `match_data.values: must have at most half of max_bytes`,
		`{match_data: {attributes: [a, a]}}`:                                                                   `match_data.attributes[1]: must be unique`,
		`{match_data: {attributes: [a/b]}}`:                                                                    `match_data.attributes[0]: must be unique, and must have 1 to 64`,
	} {
		_, err := queues.Parse([]byte(allocating(allocation)))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "queues[0].allocation") {
			t.Errorf("%.100s: %v\nlacks %s", allocation, err, want)
		}
	}
	for limits, want := range map[string]string{
		"search: 1ms":                    `time_limits.search: must be from 1s to 168h0m0s, got 1ms`,
		"search: 200h":                   `time_limits.search: must be from 1s to 168h0m0s, got 200h0m0s`,
		"no_show: 1s":                    `time_limits.no_show: must be from 10s to 168h0m0s, got 1s`,
		"empty: 1ms":                     `time_limits.empty: must be from 1s`,
		"longest_match: 200h":            `time_limits.longest_match: must be from 10s to 168h0m0s, got 200h`,
		"longest_match: -1m":             `time_limits.longest_match: must be from`,
		"no_show: 5m, longest_match: 1m": `time_limits.longest_match: must be at least no_show (5m0s), got 1m0s`,
		"no_show: soon":                  `time_limits.no_show (queue "a"): must be a duration such as "8s", got "soon"`,
	} {
		text := strings.Replace(allocating("{}"), "name: a,", "name: a, time_limits: {"+limits+"},", 1)
		if _, err := queues.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "queues[0]."+want) {
			t.Errorf("%s: %v", limits, err)
		}
	}
	for bots, want := range map[string]string{"-1": "from 0 to 2", "3": "from 0 to 2, by which", "many": "must be a whole number"} {
		text := strings.Replace(allocating("{}"), "name: a,", "name: a, bots: "+bots+",", 1)
		if _, err := queues.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "queues[0].bots") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s bots: %v", bots, err)
		}
	}
	for _, smallest := range []string{"-1", "3", "many"} {
		text := strings.Replace(allocating("{}"), "name: a,", "name: a, smallest_match: "+smallest+",", 1)
		if _, err := queues.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "queues[0].smallest_match") {
			t.Errorf("smallest match %s: %v", smallest, err)
		}
	}
}

// A server that further matches may get has to get fuller with each, and never more
// than it has room for.
func TestSharedServersFillUp(t *testing.T) {
	for _, c := range []struct {
		selector, actions string
		ok                bool
	}{
		{`counters: {rooms: {min_available: 1}}`, `counters: {rooms: {action: Increment, amount: 1}}`, true},
		{`counters: {rooms: {min_available: 2}}`, `counters: {rooms: {action: Increment, amount: 1}}`, true},
		{`counters: {rooms: {min_available: 1}}`, `counters: {rooms: {action: Increment, amount: 2}}`, false},
		{`counters: {rooms: {min_available: 1}}`, `counters: {rooms: {action: Decrement, amount: 1}}`, false},
		{`counters: {rooms: {min_available: 1}}`, `counters: {other: {action: Increment, amount: 1}}`, false},
		{`counters: {rooms: {max_count: 1}}`, `counters: {rooms: {action: Increment, amount: 1}}`, false},
		{`counters: {players: {min_available: $(players)}}`, `counters: {players: {action: Increment, amount: $(players)}}`, true},
		{`counters: {players: {min_available: $(players)}}`, `counters: {players: {action: Increment, amount: 1}}`, true},
		{`counters: {players: {min_available: $(players)}}`, `counters: {players: {action: Increment, amount: 2}}`, false},
		{`counters: {players: {min_available: 100}}`, `counters: {players: {action: Increment, amount: $(players)}}`, false},
		{`counters: {players: {min_available: 200}}`, `counters: {players: {action: Increment, amount: $(players)}}`, true},
		{`lists: {ids: {min_available: 1}}`, `lists: {ids: {add_values: [$(match)]}}`, true},
		{`lists: {ids: {min_available: 1}}`, `lists: {ids: {add_values: [$(match), x]}}`, false},
		{`lists: {ids: {min_available: 201}}`, `lists: {ids: {add_values: [$(match), $(players)]}}`, true},
		{`lists: {ids: {min_available: 1}}`, `lists: {ids: {add_values: [always-the-same]}}`, false},
		{`lists: {ids: {min_available: 1}}`, `lists: {ids: {add_values: [$(players)]}}`, false},
		{`lists: {ids: {min_available: $(players)}}`, `lists: {ids: {add_values: [$(players)]}}`, true},
		{`lists: {ids: {min_available: 1}}`, `lists: {ids: {delete_values: [$(match)]}}`, false},
	} {
		_, err := queues.Parse([]byte(allocating(fmt.Sprintf("{selectors: [{state: Allocated, %s}], %s}", c.selector, c.actions))))
		if (err == nil) != c.ok {
			t.Errorf("%s with %s: %v", c.selector, c.actions, err)
		}
	}
}

// Every field that can be written is in the documentation.
func TestFieldsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "queues.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[reflect.Type]bool)
	var look func(reflect.Type)
	look = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Slice, reflect.Map:
			look(of.Elem())
		case reflect.Struct:
			if seen[of] {
				return
			}
			seen[of] = true
			for _, f := range reflect.VisibleFields(of) {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if name == "" || name == "-" {
					continue
				}
				if !strings.Contains(string(text), name+":") && !strings.Contains(string(text), "`"+name+"`") && !strings.Contains(string(text), "."+name+"`") {
					t.Errorf("docs/queues.md does not say what %s of %s is", name, of.Name())
				}
				look(f.Type)
			}
		}
	}
	look(reflect.TypeFor[queues.Set]())
}
