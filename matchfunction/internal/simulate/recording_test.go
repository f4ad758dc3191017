package simulate_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/internal/simulate"
	"torikumi/matchfunction/rule"
)

// pairs are rules under which any two play.
const pairs = `{"name":"pairs","ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":1,"maxPlayers":1,"quantity":2}]}`

func pairOptions(t *testing.T) simulate.DayOptions {
	rs := parse(t, pairs)
	return simulate.DayOptions{Rules: rs, Engine: compile(t, rs), Check: checker(t, rs), Cycle: 10 * time.Second, GiveUp: time.Minute}
}

func comeAt(id string, at time.Time) rule.Ticket {
	return rule.Ticket{ID: id, Created: at, Players: []rule.Player{{ID: id}}}
}

func TestBusiest(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	never, epoch, far := time.Time{}, time.Unix(0, 0), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	for name, row := range map[string]struct {
		times []time.Time
		want  []int
	}{
		"nobody":       {nil, nil},
		"no time":      {[]time.Time{never}, []int{0}},
		"year 1":       {[]time.Time{never, at(0), at(1)}, []int{1, 2}},
		"1970":         {[]time.Time{at(time.Hour), epoch, at(0)}, []int{0, 2}},
		"year 9999":    {[]time.Time{at(time.Hour), at(0), far}, []int{0, 1}},
		"one and one":  {[]time.Time{at(0), never}, []int{0}},
		"exactly":      {[]time.Time{at(simulate.MaxLength), at(0)}, []int{0, 1}},
		"more":         {[]time.Time{at(simulate.MaxLength + 1), at(0)}, []int{0}},
		"most of them": {[]time.Time{at(simulate.MaxLength + 2), at(0), at(1)}, []int{1, 2}},
	} {
		var tickets []rule.Ticket
		for _, at := range row.times {
			tickets = append(tickets, rule.Ticket{Created: at})
		}
		var want []rule.Ticket
		for _, i := range row.want {
			want = append(want, tickets[i])
		}
		if got := simulate.Busiest(tickets); !slices.EqualFunc(got, want, func(a, b rule.Ticket) bool { return a.Created.Equal(b.Created) }) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// A recording that is too long is refused, however far its ends are apart.
func TestRecordedDayTooLong(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, first := range []time.Time{{}, time.Unix(0, 0), start.Add(-simulate.MaxLength)} {
		o := pairOptions(t)
		o.Recorded = []rule.Ticket{comeAt("a", first), comeAt("b", start), comeAt("c", start.Add(time.Second))}
		if d, err := simulate.RunDay(t.Context(), o); err == nil {
			t.Errorf("%v: %+v", first, d)
		}
	}
}

// counted counts how often somebody asks whether it has ended: once a cycle at least.
type counted struct {
	context.Context
	asked int
}

func (c *counted) Err() error {
	c.asked++
	return c.Context.Err()
}

// Cycles in which nobody waits are passed over, and those after them are when they
// were.
func TestRecordedDayWithGaps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	o := pairOptions(t)
	o.Recorded = []rule.Ticket{
		comeAt("a", at(0)), comeAt("b", at(25*time.Second)), // they play at 30 s
		comeAt("c", at(50*time.Hour+1)), comeAt("d", at(100*time.Hour)), // alone
		comeAt("e", at(simulate.MaxLength-1)), comeAt("f", at(simulate.MaxLength)),
	}
	ctx := &counted{Context: t.Context()}
	d, err := simulate.RunDay(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	ours := d.Results[0]
	if want := []time.Duration{0, 1, 5 * time.Second, 30 * time.Second}; ours.Matches != 2 || ours.Left != 2 || !slices.Equal(ours.Waits, want) {
		t.Errorf("%+v", ours)
	}
	if ctx.asked > 1000 {
		t.Errorf("asked %d times, of %d cycles", ctx.asked, simulate.MaxLength/o.Cycle)
	}
}
