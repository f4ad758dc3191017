package simulate

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// pairs is one against one in one mode within 10, after 30 s within 100.
const pairs = `{"ruleLanguageVersion":"1.0",
	"playerAttributes":[{"name":"x","type":"number"},{"name":"mode","type":"string","default":"a"}],
	"teams":[{"name":"a","minPlayers":1,"maxPlayers":1},{"name":"b","minPlayers":1,"maxPlayers":1}],
	"rules":[{"name":"w","type":"batchDistance","batchAttribute":"x","maxDistance":10},{"name":"m","type":"batchDistance","batchAttribute":"mode"}],
	"expansions":[{"target":"rules[w].maxDistance","steps":[{"waitTimeSeconds":30,"value":100}]}]}`

var instant = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func solo(wait time.Duration, x float64, mode string) rule.Ticket {
	t := rule.Ticket{ID: fmt.Sprint(wait, x), Created: instant.Add(-wait), Players: []rule.Player{{ID: fmt.Sprint(wait, x)}}}
	p := &t.Players[0]
	if x >= 0 {
		p.Attributes = append(p.Attributes, rule.Attribute{Name: "x", Value: ruleset.Value{Type: ruleset.Number, Number: x}})
	}
	if mode != "" {
		p.Attributes = append(p.Attributes, rule.Attribute{Name: "mode", Value: ruleset.Value{Type: ruleset.String, String: mode}})
	}
	return t
}

func TestBaselines(t *testing.T) {
	rs, err := ruleset.Parse([]byte(pairs))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBaseline(rs)
	if err != nil {
		t.Fatal(err)
	}
	s := time.Second
	rows := []struct {
		name             string
		waiting          []rule.Ticket
		arrival, nearest [][]int32
	}{
		{"the first who fits, or the nearest", []rule.Ticket{solo(9*s, 50, "a"), solo(8*s, 59, "a"), solo(7*s, 49, "a"), solo(6*s, 60, "a")},
			[][]int32{{0, 1}}, [][]int32{{0, 2}, {1, 3}}},
		{"another mode", []rule.Ticket{solo(9*s, 50, "a"), solo(8*s, 50, "b"), solo(7*s, 51, "")}, [][]int32{{0, 2}}, [][]int32{{0, 2}}},
		{"the newest decides on the window", []rule.Ticket{solo(40*s, 50, "a"), solo(29*s, 70, "a")}, nil, nil},
		{"both have waited", []rule.Ticket{solo(40*s, 50, "a"), solo(30*s, 70, "a")}, [][]int32{{0, 1}}, [][]int32{{0, 1}}},
		{"who lacks the number meets nobody", []rule.Ticket{solo(40*s, -1, "a"), solo(39*s, 0, "a"), solo(38*s, 1, "a")}, [][]int32{{1, 2}}, [][]int32{{1, 2}}},
		{"nobody", nil, nil, nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, s := range []struct {
				name string
				find strategy
				want [][]int32
			}{{"arrival order", b.arrivalOrder, row.arrival}, {"nearest first", b.nearestFirst, row.nearest}} {
				var got [][]int32
				for _, f := range s.find(t.Context(), row.waiting, instant) {
					got = append(got, f.tickets)
					if len(f.match.Teams[0].Members) != 1 || len(f.match.Teams[1].Members) != 1 {
						t.Errorf("%s: teams %v", s.name, f.match.Teams)
					}
				}
				if !slices.EqualFunc(got, s.want, slices.Equal) {
					t.Errorf("%s: got %v, want %v", s.name, got, s.want)
				}
			}
		})
	}
}

// Players come as the curve says: in the mean the rate, few in the morning and
// many in the evening.
func TestArrivals(t *testing.T) {
	rs, err := ruleset.Parse([]byte(pairs))
	if err != nil {
		t.Fatal(err)
	}
	o := DayOptions{Rules: rs, Rate: 10, Length: 24 * time.Hour, Seed: 1}
	byHour := make([]int, 24)
	last := midnight
	all := o.arrivals()
	for i := range all {
		if all[i].Created.Before(last) {
			t.Fatal("out of order")
		}
		last = all[i].Created
		byHour[int(last.Sub(midnight).Hours())]++
	}
	if mean := 14400; len(all) < mean-600 || len(all) > mean+600 { // five deviations
		t.Errorf("%d came, %d in the mean", len(all), mean)
	}
	if evening, morning := byHour[19]+byHour[20], byHour[7]+byHour[8]; evening < 5*morning {
		t.Errorf("%d came in the evening, %d in the morning", evening, morning)
	}
}

func TestNiceStep(t *testing.T) {
	for least, want := range map[float64]float64{0: 1, 1: 1, 1.1: 2, 2: 2, 3: 5, 5.1: 10, 17: 20, 0.03: 0.05, 1000: 1000} {
		if got := niceStep(least); got < want*0.999 || got > want*1.001 {
			t.Errorf("at least %g: got %g, want %g", least, got, want)
		}
	}
}
