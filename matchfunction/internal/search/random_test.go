package search_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// templates are rules of every kind; %d is a small number. All together they
// use every operation, function and aggregation.
var templates = []string{
	`{"name":"%s","type":"batchDistance","batchAttribute":"skill","maxDistance":%d00}`,
	`{"name":"%s","type":"batchDistance","batchAttribute":"mode","description":"%d"}`,
	`{"name":"%s","type":"batchDistance","batchAttribute":"level","maxDistance":%d,"partyAggregation":"max"}`,
	`{"name":"%s","type":"distance","measurements":["avg(teams[*].players.attributes[skill])"],"referenceValue":"avg(flatten(teams[*].players.attributes[skill]))","maxDistance":%d0}`,
	`{"name":"%s","type":"distance","measurements":["max(flatten(teams[*].players.attributes[level]))"],"referenceValue":"min(flatten(teams[*].players.attributes[level]))","maxDistance":%d,"partyAggregation":"min"}`,
	`{"name":"%s","type":"distance","measurements":["flatten(teams[*].players.attributes[skill])"],"referenceValue":"avg(flatten(teams[*].players.attributes[skill]))","maxDistance":%d00}`,
	`{"name":"%s","type":"distance","measurements":["stddev(flatten(teams[*].players.attributes[skill]))","median(flatten(teams[*].players.attributes[level]))"],"referenceValue":%d,"maxDistance":300}`,
	`{"name":"%s","type":"distance","measurements":["flatten(teams[*].players.attributes[level])"],"referenceValue":%d,"minDistance":1,"maxDistance":7}`,
	`{"name":"%s","type":"comparison","measurements":["flatten(teams[*].players.attributes[mode])"],"operation":"=","description":"%d"}`,
	`{"name":"%s","type":"comparison","measurements":["flatten(teams[*].players.attributes[char])"],"operation":"!=","description":"%d"}`,
	`{"name":"%s","type":"comparison","measurements":["teams[*].players.attributes[char]"],"operation":"!=","description":"%d"}`,
	`{"name":"%s","type":"comparison","measurements":["count(teams[*].players)"],"operation":"=","description":"%d"}`,
	`{"name":"%s","type":"comparison","measurements":["flatten(teams[*].players.attributes[level])"],"referenceValue":%d,"operation":">="}`,
	`{"name":"%s","type":"comparison","measurements":["teams[T0].players.attributes[level]"],"referenceValue":%d,"operation":"<=","partyAggregation":"max"}`,
	`{"name":"%s","type":"comparison","measurements":["sum(teams[*].players.attributes[level])"],"referenceValue":1%d,"operation":"<"}`,
	`{"name":"%s","type":"comparison","measurements":["teams[T0].players.attributes[mode]"],"referenceValue":"ctf","operation":"=","description":"%d"}`,
	`{"name":"%s","type":"collection","measurements":["flatten(teams[*].players.attributes[maps])"],"operation":"intersection","minCount":1,"description":"%d"}`,
	`{"name":"%s","type":"collection","measurements":["teams[*].players.attributes[maps]"],"operation":"intersection","minCount":1,"partyAggregation":"intersection","description":"%d"}`,
	`{"name":"%s","type":"collection","measurements":["flatten(teams[*].players.attributes[maps])"],"operation":"contains","referenceValue":"m1","minCount":1,"maxCount":%d}`,
	`{"name":"%s","type":"collection","measurements":["teams[*].players.attributes[char]"],"operation":"contains","referenceValue":"c1","maxCount":1,"description":"%d"}`,
	`{"name":"%s","type":"collection","measurements":["flatten(teams[*].players.attributes[block])"],"operation":"reference_intersection_count","referenceValue":"flatten(teams[*].players[playerId])","maxCount":0,"description":"%d"}`,
	`{"name":"%s","type":"collection","measurements":["flatten(teams[*].players.attributes[maps])"],"operation":"reference_intersection_count","referenceValue":["m1","m2","m3"],"minCount":1,"maxCount":%d}`,
	`{"name":"%s","type":"collection","measurements":["set_intersection(flatten(teams[*].players.attributes[maps]))"],"operation":"contains","referenceValue":"m2","maxCount":%d}`,
	`{"name":"%s","type":"latency","maxLatency":%d0}`,
	`{"name":"%s","type":"latency","maxLatency":150,"maxDistance":%d0,"distanceReference":"min","partyAggregation":"max"}`,
	`{"name":"%s","type":"latency","maxDistance":%d0,"distanceReference":"avg"}`,
	`{"name":"%s","type":"distanceSort","sortDirection":"ascending","sortAttribute":"level","description":"%d"}`,
	`{"name":"%s","type":"distanceSort","sortDirection":"descending","sortAttribute":"skill","description":"%d"}`,
	`{"name":"%s","type":"absoluteSort","sortDirection":"descending","sortAttribute":"likes","mapKey":"maxValue","description":"%d"}`,
	`{"name":"%s","type":"teamDifference","attribute":"skill","maxDifference":%d0}`,
	`{"name":"%s","type":"teamDifference","attribute":"level","aggregate":"sum","maxDifference":%d}`,
	`{"name":"%s","type":"teamSizeBalance","maxDifference":1,"description":"%d"}`,
	`{"name":"%s","type":"similarPartySizes","maxDifference":1,"description":"%d"}`,
	`{"name":"%s","type":"roleQuota","attribute":"maps","roles":[{"role":"m0","min":0,"max":%d},{"role":"m1","max":2},{"role":"m2","min":1,"max":4},{"role":"m3","max":3}]}`,
	`{"name":"%s","type":"batchDistance","batchAttribute":"skill","maxDistance":%d0,"secondsUntilOptional":8}`,
	`{"name":"%s","type":"expression","expression":"players.all(p, p.attributes.level < 8.0) && sum(players.map(p, p.attributes.level)) >= %d.0"}`,
	`{"name":"%s","type":"custom","rule":"odd","parameters":%d}`,
}

// compounds join the rules before them.
var compounds = []string{"or(%[1]s,%[2]s)", "and(%[1]s,not(%[2]s))", "xor(%[1]s,%[2]s)", "not(and(%[1]s,%[2]s))"}

// randomRules writes a rule set.
func randomRules(rng *rand.Rand) string {
	var b strings.Builder
	b.WriteString(`{"name":"random","ruleLanguageVersion":"1.0","playerAttributes":[
		{"name":"skill","type":"number","default":1500},{"name":"level","type":"number"},{"name":"mode","type":"string","default":"ctf"},
		{"name":"char","type":"string","default":"c0"},{"name":"maps","type":"string_list","default":["m0"]},
		{"name":"block","type":"string_list","default":[]},{"name":"likes","type":"string_number_map","default":{"a":1}}],`)
	fmt.Fprintf(&b, `"algorithm":{"strategy":"exhaustiveSearch","expansionAgeSelection":"%s","backfillPriority":"%s"%s},"teams":[`,
		[]string{"newest", "oldest"}[rng.IntN(2)], []string{"normal", "low", "high"}[rng.IntN(3)],
		[]string{"", `,"batchingPreference":"sorted","sortByAttributes":["mode","level"]`}[rng.IntN(2)])
	teams := 1 + rng.IntN(3)
	for i := range teams {
		least := rng.IntN(3)
		bots := []string{"", `,"botsAfterSeconds":5`}[rng.IntN(4)/3]
		fmt.Fprintf(&b, `%s{"name":"T%d","minPlayers":%d,"maxPlayers":%d,"quantity":%d%s}`,
			[]string{"", ","}[min(i, 1)], i, least, max(1, least+rng.IntN(3)), 1+rng.IntN(5)/4, bots)
	}
	b.WriteString(`],"rules":[`)
	var names []string
	put := func(text string) {
		if len(names) > 0 {
			b.WriteString(",\n")
		}
		b.WriteString(text)
		names = append(names, fmt.Sprintf("r%d", len(names)))
	}
	var expandable []string
	compoundable := []string{}
	for range rng.IntN(5) {
		t := templates[rng.IntN(len(templates))]
		name := fmt.Sprintf("r%d", len(names))
		if strings.Contains(t, `"maxDistance":%d`) && !strings.Contains(t, "latency") {
			expandable = append(expandable, name)
		}
		if !strings.Contains(t, "batchDistance") && !strings.Contains(t, "Sort") {
			compoundable = append(compoundable, name)
		}
		put(fmt.Sprintf(t, name, 1+rng.IntN(6)))
	}
	if len(compoundable) > 1 && rng.IntN(2) == 0 {
		put(fmt.Sprintf(`{"name":"r%d","type":"compound","statement":"%s"}`, len(names),
			fmt.Sprintf(compounds[rng.IntN(len(compounds))], compoundable[0], compoundable[1])))
	}
	b.WriteString(`]`)
	if len(expandable) > 0 && rng.IntN(2) == 0 {
		fmt.Fprintf(&b, `,"expansions":[{"target":"rules[%s].maxDistance","steps":[{"waitTimeSeconds":4,"value":%d},{"waitTimeSeconds":9,"value":%d}]}]`,
			expandable[0], rng.IntN(400), rng.IntN(800))
	}
	b.WriteString(`}`)
	return b.String()
}

// TestKindsAreTried: what the search and the checker are compared by has rules of each type.
func TestKindsAreTried(t *testing.T) {
	patterns := make(map[string]*regexp.Regexp)
	for _, template := range templates {
		pattern := strings.Replace(regexp.QuoteMeta(template), `"name":"%s"`, `"name":"\w+"`, 1)
		patterns[template] = regexp.MustCompile(strings.Replace(pattern, "%d", `\d+`, 1))
	}
	tried, kinds := make(map[string]bool), make(map[ruleset.Kind]bool)
	for seed := range uint64(2000) {
		text := randomRules(rand.New(rand.NewPCG(seed, 1)))
		rs, err := ruleset.Parse([]byte(text))
		if err != nil {
			continue
		}
		for i := range rs.Stages[0].Rules {
			kinds[rs.Stages[0].Rules[i].Kind] = true
		}
		for template, pattern := range patterns {
			tried[template] = tried[template] || pattern.MatchString(text)
		}
	}
	for _, kind := range ruleset.Kinds() {
		if !kinds[kind] {
			t.Errorf("no rule set has a %s rule", kind)
		}
	}
	for _, template := range templates {
		if !tried[template] || strings.Count(template, "%d") != 1 {
			t.Errorf("no rule set that can be read has %s", template)
		}
	}
}

// randomTickets makes parties that say more or less of themselves, and now and
// then a match that is running.
func randomTickets(rng *rand.Rand, rs *ruleset.RuleSet, n int) []rule.Ticket {
	tickets := make([]rule.Ticket, n)
	regions := []string{"eu", "us", "ap"}
	words := func(prefix string, most int) ruleset.Value {
		v := ruleset.Value{Type: ruleset.StringList}
		for range rng.IntN(most + 1) {
			v.List = append(v.List, fmt.Sprintf("%s%d", prefix, rng.IntN(4)))
		}
		return v
	}
	style := rng.IntN(3) // of regions: none, latencies, anything
	player := func(id string) rule.Player {
		p := rule.Player{ID: id}
		add := func(name string, v ruleset.Value) {
			if rng.IntN(12) > 0 {
				p.Attributes = append(p.Attributes, rule.Attribute{Name: name, Value: v})
			}
		}
		add("skill", number(1500+200*rng.NormFloat64()))
		add("level", number(float64(rng.IntN(8))))
		add("mode", word([]string{"ctf", "dm"}[rng.IntN(2)]))
		add("char", word(fmt.Sprintf("c%d", rng.IntN(6))))
		add("maps", words("m", 4))
		add("block", ruleset.Value{Type: ruleset.StringList, List: []string{fmt.Sprintf("p%d-0", rng.IntN(n))}})
		add("likes", ruleset.Value{Type: ruleset.StringNumberMap, Map: map[string]float64{"a": float64(rng.IntN(5)), "b": float64(rng.IntN(5))}})
		return p
	}
	for i := range tickets {
		t := &tickets[i]
		t.ID, t.Created = fmt.Sprintf("t%d", i), now.Add(time.Second-time.Duration(rng.IntN(15_000))*time.Millisecond)
		for j := range []int{1, 1, 1, 2, 2, 3}[rng.IntN(6)] {
			t.Players = append(t.Players, player(fmt.Sprintf("p%d-%d", i, j)))
		}
		if style == 2 && rng.IntN(3) == 0 {
			t.Region = regions[rng.IntN(3)]
		}
		for j := range t.Players {
			if style == 0 || (style == 2 && rng.IntN(2) == 0) {
				continue
			}
			for _, r := range regions {
				if rng.IntN(8) > 0 {
					t.Players[j].Latencies = append(t.Players[j].Latencies, rule.Latency{Region: r, Milliseconds: float64(rng.IntN(120))})
				}
			}
		}
		if rng.IntN(10) == 0 {
			t.Teams = []int{}
			slots := rs.Stages[0].TeamSlots()
			for range t.Players {
				t.Teams = append(t.Teams, rng.IntN(len(slots)))
			}
			for j := range n {
				if rng.IntN(4) == 0 && j != i {
					t.Banned = append(t.Banned, fmt.Sprintf("p%d-%d", j, rng.IntN(2)))
				}
			}
			slices.Sort(t.Banned)
		}
	}
	return tickets
}

// odd is a custom rule: a match has an odd number of players, or as many as
// its parameter says; and tickets whose ids end in the same digit stay apart.
type odd struct{ or int }

func (o odd) Allows(m *rule.Match) error {
	n := 0
	for _, t := range m.Teams {
		n += len(t.Members)
	}
	if n%2 == 0 && n != o.or {
		return fmt.Errorf("%d players", n)
	}
	for i, a := range m.Tickets {
		for _, b := range m.Tickets[:i] {
			if o.Apart(a, b) {
				return fmt.Errorf("%s meets %s", a.ID, b.ID)
			}
		}
	}
	return nil
}

func (odd) Apart(a, b *rule.Ticket) bool { return a.ID[len(a.ID)-1] == b.ID[len(b.ID)-1] }

var options = search.Options{Expression: expression.Compile, Custom: rule.Registry{"odd": func(parameters json.RawMessage) (rule.Rule, error) {
	var o odd
	err := json.Unmarshal(parameters, &o.or)
	return o, err
}}}

// judged makes expressions callable for the checker.
func judged(rs *ruleset.RuleSet) func(int, *ruleset.Rule) (func(*rule.Match) (bool, error), error) {
	return func(stage int, r *ruleset.Rule) (func(*rule.Match) (bool, error), error) {
		return expression.Compile(stage, &rs.Stages[stage].Definition, r)
	}
}

// verify plays one random rule set and pool, and has the checker judge.
func verify(t *testing.T, rng *rand.Rand, n int) (matched int) {
	text := randomRules(rng)
	rs, err := ruleset.Parse([]byte(text))
	if err != nil {
		return 0 // such as one that has no places for anybody
	}
	e, err := search.Compile(rs, options)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	judge, err := check.New(rs, options.Custom, judged(rs))
	if err != nil {
		t.Fatal(err)
	}
	tickets := randomTickets(rng, rs, n)
	var found []*rule.Match
	skipped := make(map[int]search.Reason)
	for p := range e.Search(t.Context(), tickets, now, func(i int, r search.Reason) { skipped[i] = r }) {
		found = append(found, p.Match(tickets))
		for _, k := range p.Tickets {
			matched++
			if r := skipped[int(k)]; r != "" {
				t.Errorf("ticket %d was skipped (%s) and matched", k, r)
			}
		}
		if !(p.Score > 0) || p.Score > 1e9 {
			t.Errorf("score %v", p.Score)
		}
	}
	if v := judge.Proposals(found, now); len(v) > 0 {
		t.Errorf("%v\n%s", v[:min(len(v), 5)], text)
	}
	return matched
}

// Every match of every random rule set keeps all rules, as the checker reads
// them.
func TestMatchesKeepTheRules(t *testing.T) {
	matched, sets := 0, 0
	seeds := 3000
	if testing.Short() {
		seeds = 300
	}
	for seed := range uint64(seeds) {
		if n := verify(t, rand.New(rand.NewPCG(seed, 1)), 40); n > 0 {
			matched += n
			sets++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d tickets in matches of %d rule sets", matched, sets)
	if sets < seeds/3 {
		t.Errorf("only %d rule sets made matches", sets)
	}
}

func FuzzMatchesKeepTheRules(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(30))
	f.Fuzz(func(t *testing.T, a, b uint64, n uint8) { verify(t, rand.New(rand.NewPCG(a, b)), 1+int(n)) })
}
