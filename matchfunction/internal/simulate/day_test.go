package simulate_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/matchfunction/internal/simulate"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

var update = flag.Bool("update", false, "write the golden files anew")

func options(t testing.TB, rules string) simulate.DayOptions {
	rs := load(t, rules)
	return simulate.DayOptions{Rules: rs, Engine: compile(t, rs), Check: checker(t, rs),
		Rate: 120, Cycle: 5 * time.Second, Length: 4 * time.Minute, GiveUp: time.Minute, Seed: 1}
}

func day(t testing.TB, o simulate.DayOptions) *simulate.Day {
	t.Helper()
	d, err := simulate.RunDay(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for i := range d.Results {
		d.Results[i].Elapsed = 0
	}
	return d
}

func TestDay(t *testing.T) {
	o := options(t, arena)
	d := day(t, o)
	if again := day(t, o); !reflect.DeepEqual(d, again) {
		t.Error("the same seed made another day")
	}
	if len(d.Results) != 3 || d.Attribute != "skill" {
		t.Fatalf("%d results of %q", len(d.Results), d.Attribute)
	}
	for _, r := range d.Results {
		if r.Err() != nil || r.Matches == 0 || r.Matched != 10*r.Matches || len(r.Waits) != r.Matched || len(r.Spreads) != r.Matches || r.Matched > d.Tickets {
			t.Errorf("%s: %d matches, %d matched, %v", r.Name, r.Matches, r.Matched, r.Err())
		}
		if longest := r.Waits[len(r.Waits)-1]; longest > o.GiveUp {
			t.Errorf("%s: somebody waited for %v", r.Name, longest)
		}
		if widest := r.Spreads[len(r.Spreads)-1]; widest > 400 {
			t.Errorf("%s: a spread of %g", r.Name, widest)
		}
	}
}

// A match that breaks the rules is counted, and its players go on waiting.
func TestDayRefusesMatches(t *testing.T) {
	o := options(t, arena)
	o.Check = func(ms []*rule.Match, _ time.Time) []string {
		if len(ms) > 0 {
			return []string{"I don't like it"}
		}
		return nil
	}
	d := day(t, o)
	for _, r := range d.Results {
		if r.Matched != 0 || r.Refused == 0 || len(r.Violations) != 10 || r.Err() == nil || !strings.Contains(r.Err().Error(), "don't like") {
			t.Errorf("%s: %d matched, %d refused, %v", r.Name, r.Matched, r.Refused, r.Err())
		}
	}
}

func TestDayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := simulate.RunDay(ctx, options(t, arena)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDayOfRulesThatAreTooRich(t *testing.T) {
	set := func(teams, rules string) string {
		return `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"x","type":"number"},{"name":"s","type":"string"}],
			"teams":[` + teams + `],"rules":[` + rules + `]}`
	}
	const fixed, window = `{"name":"a","minPlayers":2,"maxPlayers":2,"quantity":2}`, `{"name":"w","type":"batchDistance","batchAttribute":"x","maxDistance":5}`
	rows := []struct{ text, want string }{
		{set(`{"name":"a","minPlayers":1,"maxPlayers":2}`, window), `teams[0] (team "a"): the strategies that a day is compared with know only teams whose minPlayers is maxPlayers`},
		{set(`{"name":"a","minPlayers":2,"maxPlayers":2,"botsAfterSeconds":5}`, window), "no bots"},
		{set(fixed, `{"name":"s","type":"batchDistance","batchAttribute":"s"}`), "needs a rule that a number"},
		{set(fixed, `{"name":"l","type":"latency","maxLatency":50}`), `rules[0] (rule "l"): the strategies`},
		{set(fixed, `{"name":"c","type":"comparison","operation":"!=","measurements":["flatten(teams[*].players.attributes[s])"]}`), `(rule "c")`},
		{set(fixed, `{"name":"c","type":"comparison","operation":"=","measurements":["teams[*].players.attributes[s]"]}`), `(rule "c")`},
		{set(fixed, `{"name":"d","type":"distance","maxDistance":5,"measurements":["avg(flatten(teams[*].players.attributes[x]))"],"referenceValue":3}`), `(rule "d")`},
		{set(fixed, `{"name":"d","type":"distance","maxDistance":5,"measurements":["max(flatten(teams[*].players.attributes[x]))"],"referenceValue":3}`), `(rule "d")`},
	}
	for _, row := range rows {
		o := options(t, arena)
		o.Rules, o.Length = parse(t, row.text), 30*time.Second
		o.Engine, o.Check = compile(t, o.Rules), checker(t, o.Rules)
		if d := day(t, o); !strings.Contains(d.Alone, row.want) || len(d.Results) != 1 || d.Results[0].Err() != nil || (d.Results[0].Matches == 0) != strings.Contains(row.text, `"referenceValue":3`) {
			t.Errorf("%s: got %q, %d results, want %q", row.text, d.Alone, len(d.Results), row.want)
		}
	}
	// The same said in other words is known.
	o := options(t, arena)
	o.Rules = parse(t, set(fixed, `{"name":"d","type":"distance","maxDistance":100,"measurements":["max(flatten(teams[*].players.attributes[x]))"],"referenceValue":"min(flatten(teams[*].players.attributes[x]))"},
		{"name":"c","type":"comparison","operation":"=","measurements":["flatten(teams[*].players.attributes[s])"]}`))
	o.Engine, o.Check = compile(t, o.Rules), checker(t, o.Rules)
	for _, r := range day(t, o).Results {
		if r.Matches == 0 || r.Err() != nil {
			t.Errorf("%s: %d matches, %v", r.Name, r.Matches, r.Err())
		}
	}
}

// Each rule set of the documentation gets a day, and every match keeps its rules.
func TestDayOfAnyRules(t *testing.T) {
	files, err := filepath.Glob("../../../docs/rulesets/*.json")
	if err != nil || len(files) < 9 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			length := 2 * time.Minute
			if testing.Short() {
				length = time.Minute
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rs := parse(t, string(text))
			o := simulate.DayOptions{Rules: rs, Engine: compile(t, rs), Check: checker(t, rs), Rate: 400, Cycle: 10 * time.Second, Length: length, GiveUp: time.Minute, Seed: 1}
			if o.Parties, err = simulate.ParseParties("1:0.8,2:0.2"); err != nil {
				t.Fatal(err)
			}
			if rs.Stages[0].MaxParty() < 2 {
				o.Parties = simulate.Parties{}
			}
			d := day(t, o)
			ours := d.Results[0]
			if ours.Err() != nil || ours.Matches == 0 || (d.Alone == "") != (len(d.Results) == 3) {
				t.Errorf("%d matches, %v, %q, %d results", ours.Matches, ours.Err(), d.Alone, len(d.Results))
			}
		})
	}
}

// A recording is played as it is: a player comes again after a match, and one who
// waits already is left out.
func TestRecordedDay(t *testing.T) {
	start := time.Date(2020, 5, 1, 17, 0, 0, 0, time.UTC)
	come := func(id, player string, after time.Duration, skill float64) rule.Ticket {
		return rule.Ticket{ID: id, Created: start.Add(after), Players: []rule.Player{{ID: player, Attributes: []rule.Attribute{{Name: "x", Value: ruleset.Value{Type: ruleset.Number, Number: skill}}}}}}
	}
	rs := parse(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"x","type":"number"}],"teams":[{"name":"a","minPlayers":1,"maxPlayers":1,"quantity":2}],
		"rules":[{"name":"w","type":"batchDistance","batchAttribute":"x","maxDistance":5}]}`)
	wide := parse(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"x","type":"number"}],"teams":[{"name":"a","minPlayers":1,"maxPlayers":1,"quantity":2}],
		"rules":[{"name":"w","type":"batchDistance","batchAttribute":"x","maxDistance":5000}]}`)
	o := simulate.DayOptions{Rules: rs, Engine: compile(t, rs), Check: checker(t, rs), Cycle: time.Second, GiveUp: time.Minute,
		Others: []simulate.Other{{Name: "wide", Engine: compile(t, wide), Check: checker(t, wide)}},
		Recorded: []rule.Ticket{
			come("3", "ann", 100*time.Second, 1), come("1", "ann", 0, 1), come("2", "bob", time.Second, 2), // they play
			come("4", "ann", 101*time.Second, 1),                                          // waits already
			come("5", "eve", 102*time.Second, 1000), come("6", "kim", 200*time.Second, 1), // nobody is near
			come("7", "eve", 103*time.Second, 1000), // waits already, unless she was matched
		}}
	d := day(t, o)
	if d.Tickets != 7 || d.Alone != "" || d.Attribute != "x" || len(d.Results) != 4 {
		t.Fatalf("%+v", d)
	}
	narrow, other := d.Results[0], d.Results[1]
	if narrow.Busy != 2 || other.Busy != 1 || d.MatchedShare(&narrow) != 40 || math.Round(d.MatchedShare(&other)) != 67 {
		t.Errorf("left out: %d and %d, matched %g %% and %g %%", narrow.Busy, other.Busy, d.MatchedShare(&narrow), d.MatchedShare(&other))
	}
	if narrow.Matches != 1 || narrow.Matched != 2 || narrow.Left != 3 || narrow.Spreads[0] != 1 {
		t.Errorf("%+v", narrow)
	}
	if want := []simulate.Why{{Text: "nobody else waited", Tickets: 2}, {Text: `the rule "w" kept most of the others apart`, Tickets: 1}}; !slices.Equal(narrow.Whys, want) {
		t.Errorf("why: %+v", narrow.Whys)
	}
	if other.Name != "wide" || other.Matches != 2 || other.Err() != nil || !slices.Equal(other.Spreads, []float64{1, 999}) {
		t.Errorf("%+v", other)
	}
}

// Who would have given up before the next search plays in none, and who was held back is
// counted as that.
func TestGivingUp(t *testing.T) {
	start := time.Date(2020, 5, 1, 17, 0, 0, 0, time.UTC)
	come := func(id string, after time.Duration, skill float64) rule.Ticket {
		return rule.Ticket{ID: id, Created: start.Add(after), Players: []rule.Player{{ID: "p" + id, Attributes: []rule.Attribute{{Name: "x", Value: ruleset.Value{Type: ruleset.Number, Number: skill}}}}}}
	}
	rs := parse(t, `{"ruleLanguageVersion":"1.0","algorithm":{"patienceSeconds":100},"playerAttributes":[{"name":"x","type":"number"}],"teams":[{"name":"a","minPlayers":1,"maxPlayers":1,"quantity":2}],
		"rules":[{"name":"w","type":"batchDistance","batchAttribute":"x","maxDistance":100}]}`)
	for name, c := range map[string]struct {
		cycle, giveUp time.Duration
		tickets       []rule.Ticket
		matched, left int
		why           string
	}{
		"between two searches": {10 * time.Minute, 5 * time.Minute, []rule.Ticket{come("1", 0, 1), come("2", time.Second, 1), come("3", 6*time.Minute, 1), come("4", 7*time.Minute, 1)}, 2, 2, ""},
		"held back":            {time.Second, 30 * time.Second, []rule.Ticket{come("1", 0, 0), come("2", 0, 80)}, 0, 2, "a closer match was waited for"},
	} {
		d := day(t, simulate.DayOptions{Rules: rs, Engine: compile(t, rs), Check: checker(t, rs), Cycle: c.cycle, GiveUp: c.giveUp, Recorded: c.tickets})
		r := d.Results[0]
		if r.Matched != c.matched || r.Left != c.left || c.why != "" && (len(r.Whys) != 1 || r.Whys[0].Text != c.why) {
			t.Errorf("%s: %d matched, %d gave up because %v", name, r.Matched, r.Left, r.Whys)
		}
		for _, wait := range r.Waits {
			if wait > c.giveUp {
				t.Errorf("%s: somebody waited for %v", name, wait)
			}
		}
	}
}

// One search and a day measure the same match alike, by its players one by one.
func TestSpreadOfParties(t *testing.T) {
	rs := parse(t, `{"ruleLanguageVersion":"1.0","playerAttributes":[{"name":"x","type":"number","default":7}],"teams":[{"name":"a","minPlayers":2,"maxPlayers":2,"quantity":2}],
		"rules":[{"name":"w","type":"batchDistance","batchAttribute":"x","maxDistance":100}]}`)
	start := time.Date(2020, 5, 1, 17, 0, 0, 0, time.UTC)
	party := func(id string, skills ...float64) rule.Ticket {
		k := rule.Ticket{ID: id, Created: start}
		for i, s := range skills {
			k.Players = append(k.Players, rule.Player{ID: fmt.Sprint(id, i), Attributes: []rule.Attribute{{Name: "x", Value: ruleset.Value{Type: ruleset.Number, Number: s}}}})
		}
		return k
	}
	tickets := []rule.Ticket{party("a", 0, 1000), party("b", 500, 520)}
	once := simulate.Pass(t.Context(), compile(t, rs), checker(t, rs), tickets, start, 0)
	d := day(t, simulate.DayOptions{Rules: rs, Engine: compile(t, rs), Check: checker(t, rs), Cycle: time.Second, GiveUp: time.Minute, Recorded: tickets})
	if !slices.Equal(once.Spreads, []float64{1000}) || !slices.Equal(d.Results[0].Spreads, once.Spreads) || once.Matches[0].Spread != 1000 {
		t.Errorf("once %v, in a day %v", once.Spreads, d.Results[0].Spreads)
	}
}

func TestCurve(t *testing.T) {
	c, err := simulate.ParseCurve("2:1, 8:0,20:3")
	if err != nil || c.Highest != 3 {
		t.Fatal(c, err)
	}
	for hour, want := range map[float64]float64{2: 1, 5: 0.5, 8: 0, 14: 1.5, 20: 3, 23: 2, 0: 5.0 / 3, 26: 1} {
		if got := c.At(time.Duration(hour * float64(time.Hour))); math.Abs(got-want) > 1e-9 {
			t.Errorf("at %g: %g, want %g", hour, got, want)
		}
	}
	if c, err = simulate.ParseCurve("12:2"); err != nil || c.At(3*time.Hour) != 2 {
		t.Error("one point", err)
	}
	for _, text := range []string{"", "1", "1:x", "24:1", "-1:1", "3:1,2:1", "1:1,1:2", "1:-1", "1:NaN", "1:0", "1:1,"} {
		if _, err := simulate.ParseCurve(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	// Nobody comes where the curve is 0.
	o := options(t, arena)
	o.Curve, o.Length = c, 10*time.Minute
	if o.Curve, err = simulate.ParseCurve("0:0,1:0,12:5"); err != nil {
		t.Fatal(err)
	}
	if d := day(t, o); d.Tickets != 0 || d.Results[0].Matches != 0 {
		t.Errorf("%+v", d)
	}
}

// made is a day of results that no strategy found.
func made() *simulate.Day {
	d := &simulate.Day{Attribute: "skill", Tickets: 1000}
	for i, name := range []string{"ours", "theirs", "nobody's"} {
		r := simulate.Result{Name: name, Matches: 90, Matched: 900 + i}
		for j := range 90 {
			r.Spreads = append(r.Spreads, float64(j*(i+1)))
			r.Waits = append(r.Waits, time.Duration(j*j/(i+1))*10*time.Millisecond)
		}
		d.Results = append(d.Results, r)
	}
	return d
}

func TestPlot(t *testing.T) {
	var b bytes.Buffer
	if err := made().WritePlot(&b, "a <day> & more"); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join("testdata", "day.svg")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("run with -update if this is meant:\n%s", diff)
	}
}

// There is something to see even when nobody comes.
func TestPlotOfNothing(t *testing.T) {
	var b bytes.Buffer
	d := &simulate.Day{Attribute: "skill", Results: []simulate.Result{{Name: "a"}, {Name: "b", Spreads: []float64{0}, Waits: []time.Duration{0}}}}
	if err := d.WritePlot(&b, "nobody"); err != nil || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("%v %s", err, &b)
	}
}
