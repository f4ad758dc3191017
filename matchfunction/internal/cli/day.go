package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/simulate"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
)

func (c *simulateConfig) runDay(ctx context.Context, proc service.Process, s *source, check simulate.Checker, rules search.Options) int {
	name := cmp.Or(s.rules.Name, c.Rules)
	options := simulate.DayOptions{
		Rules: s.rules, Engine: s.engine, Check: check, Parties: c.parties, Curve: c.curve,
		Rate: c.Rate, Cycle: c.Cycle, Length: c.Length, GiveUp: c.GiveUp, Seed: uint64(c.Seed),
	}
	if c.Versus != "" {
		other, ok := openSource(proc, c.Versus, rules)
		if !ok {
			return service.ExitFailed
		}
		checker, err := newChecker(other.rules, other.options)
		if err != nil {
			return failed(proc, "simulate", err)
		}
		options.Others = []simulate.Other{{Name: cmp.Or(other.rules.Name, c.Versus), Engine: other.engine, Check: checker}}
	}
	if c.Tickets != "" {
		recorded, err := readDay(proc, "simulate", c.Tickets)
		if err != nil {
			return failed(proc, "simulate", err)
		}
		if len(recorded) == 0 {
			return failed(proc, "simulate", errors.New("--tickets: there is nobody"))
		}
		warnTickets(proc, "simulate", c.Tickets, s.rules, recorded)
		options.Recorded = recorded
	} else if err := c.fitParties(s.rules); err != nil {
		return failed(proc, "simulate", err)
	}
	started := time.Now()
	day, err := simulate.RunDay(ctx, options)
	if err != nil {
		return failed(proc, "simulate", err)
	}
	if c.SVG != "" {
		title := fmt.Sprintf("Rule set %s: %s, a search each %s", name, c.crowd(day), short(c.Cycle))
		if err := writeFile("svg", c.SVG, func(w io.Writer) error { return day.WritePlot(w, title) }); err != nil {
			return failed(proc, "simulate", err)
		}
	}
	if c.JSON {
		err = c.writeDay(proc.Stdout, day)
	} else {
		c.printDay(proc.Stdout, name, day)
		fmt.Fprintf(proc.Stdout, "took %.1f s\n", time.Since(started).Seconds())
	}
	if err != nil {
		return failed(proc, "simulate", err)
	}
	code := 0
	for i := range day.Results {
		if err := day.Results[i].Err(); err != nil {
			code = failed(proc, "simulate", err)
		}
	}
	return code
}

// fitParties refuses parties that fit into no team, whatever an expansion makes of the
// teams.
func (c *simulateConfig) fitParties(rs *ruleset.RuleSet) error {
	most := 0
	for i := range rs.Stages {
		most = max(most, rs.Stages[i].MaxParty())
	}
	if n := c.parties.Largest(); n > most {
		return fmt.Errorf("--parties: the largest team has %d players, a party of %d fits into none", most, n)
	}
	return nil
}

// short is a duration without the parts that are zero.
func short(d time.Duration) string {
	s := d.String()
	if d >= time.Minute && d%time.Minute == 0 {
		s = s[:len(s)-len("0s")]
	}
	if d >= time.Hour && d%time.Hour == 0 {
		s = s[:len(s)-len("0m")]
	}
	return s
}

func (c *simulateConfig) printDay(w io.Writer, name string, day *simulate.Day) {
	source := ""
	if c.Tickets == "" {
		source = fmt.Sprintf(" (%g a minute in the mean of a day, seed %d)", c.Rate, c.Seed)
	}
	fmt.Fprintf(w, "rule set %s: %s%s, a search each %s;\nwho has waited for %s leaves\n\n", name, c.crowd(day), source, short(c.Cycle), short(c.GiveUp))
	width := 14
	for i := range day.Results {
		width = max(width, len(day.Results[i].Name))
	}
	fmt.Fprintf(w, "%-*s %8s %8s %10s %10s %10s %11s %11s\n", width, "strategy", "matches", "matched", "wait p50", "wait p95", "wait p99", "spread p50", "spread p95")
	for i := range day.Results {
		r := &day.Results[i]
		fmt.Fprintf(w, "%-*s %8d %7.1f%% %8.1f s %8.1f s %8.1f s %11.1f %11.1f\n", width, r.Name, r.Matches,
			day.MatchedShare(r),
			simulate.Percentile(r.Waits, 50).Seconds(), simulate.Percentile(r.Waits, 95).Seconds(), simulate.Percentile(r.Waits, 99).Seconds(),
			simulate.Percentile(r.Spreads, 50), simulate.Percentile(r.Spreads, 95))
	}
	about := "no rule reads a number that spreads could be of"
	if day.Attribute != "" {
		about = "spread: highest less lowest " + day.Attribute + " of a match"
	}
	fmt.Fprintf(w, "\n%s; wait: of those who were matched\n", about)
	for i := range day.Results {
		r := &day.Results[i]
		if r.Busy > 0 {
			fmt.Fprintf(w, "%s: %s left out of players who waited already\n", r.Name, explain.Count(r.Busy, "ticket", "tickets"))
		}
		for j, why := range r.Whys {
			if j == 0 {
				fmt.Fprintf(w, "%s: %d gave up, as far as was looked into because\n", r.Name, r.Left)
			}
			fmt.Fprintf(w, "%8d %s\n", why.Tickets, why.Text)
		}
	}
	if day.Alone != "" {
		fmt.Fprintf(w, "no simpler strategy beside it: %s\n", day.Alone)
	}
}

// crowd says how many come, and in what time.
func (c *simulateConfig) crowd(day *simulate.Day) string {
	if c.Tickets != "" {
		return fmt.Sprintf("%d recorded tickets", day.Tickets)
	}
	who := "players"
	if c.parties.Largest() > 1 {
		who = "parties"
	}
	return fmt.Sprintf("%d %s in %s", day.Tickets, who, short(c.Length))
}

// dayJSON is what --json prints of a day.
type dayJSON struct {
	Tickets    int            `json:"tickets"`
	Attribute  string         `json:"attribute"`
	Alone      string         `json:"alone,omitempty"`
	Strategies []strategyJSON `json:"strategies"`
}

type strategyJSON struct {
	Name      string  `json:"name"`
	Matches   int     `json:"matches"`
	Matched   int     `json:"matched"`
	Busy      int     `json:"busy,omitempty"`
	Refused   int     `json:"refused"`
	WaitP50   float64 `json:"wait_p50_s"`
	WaitP95   float64 `json:"wait_p95_s"`
	WaitP99   float64 `json:"wait_p99_s"`
	SpreadP50 float64 `json:"spread_p50"`
	SpreadP95 float64 `json:"spread_p95"`
	ElapsedMs float64 `json:"elapsed_ms"`
	Left      int     `json:"gave_up"`
	Whys      []flaw  `json:"gave_up_because,omitempty"`
}

func (c *simulateConfig) writeDay(w io.Writer, day *simulate.Day) error {
	out := dayJSON{Tickets: day.Tickets, Attribute: day.Attribute, Alone: day.Alone}
	for i := range day.Results {
		r := &day.Results[i]
		out.Strategies = append(out.Strategies, strategyJSON{
			Name: r.Name, Matches: r.Matches, Matched: r.Matched, Busy: r.Busy, Refused: r.Refused,
			WaitP50: simulate.Percentile(r.Waits, 50).Seconds(), WaitP95: simulate.Percentile(r.Waits, 95).Seconds(),
			SpreadP50: simulate.Percentile(r.Spreads, 50), SpreadP95: simulate.Percentile(r.Spreads, 95),
			WaitP99: simulate.Percentile(r.Waits, 99).Seconds(), Left: r.Left,
			ElapsedMs: float64(r.Elapsed.Microseconds()) / 1000,
		})
		for _, why := range r.Whys {
			of := &out.Strategies[i]
			of.Whys = append(of.Whys, flaw{why.Text, why.Tickets})
		}
	}
	return json.NewEncoder(w).Encode(out)
}
