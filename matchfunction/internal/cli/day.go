package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"torikumi/matchfunction/internal/simulate"
	"torikumi/pkg/service"
)

func (c *simulateConfig) runDay(ctx context.Context, proc service.Process, s *source, check simulate.Checker) int {
	name := cmp.Or(s.rules.Name, c.Rules)
	started := time.Now()
	day, err := simulate.RunDay(ctx, simulate.DayOptions{
		Rules: s.rules, Engine: s.engine, Check: check,
		Rate: c.Rate, Cycle: c.Cycle, Length: c.Length, GiveUp: c.GiveUp, Seed: uint64(c.Seed),
	})
	if err != nil {
		return failed(proc, "simulate", err)
	}
	if c.SVG != "" {
		title := fmt.Sprintf("Rule set %s: %d players in %s, a search each %s", name, day.Tickets, short(c.Length), short(c.Cycle))
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
	fmt.Fprintf(w, "rule set %s: %d players in %s (%g a minute in the mean of a day, seed %d), a search each %s;\nwho has waited for %s leaves\n\n",
		name, day.Tickets, short(c.Length), c.Rate, c.Seed, short(c.Cycle), short(c.GiveUp))
	fmt.Fprintf(w, "%-14s %8s %8s %10s %10s %11s %11s\n", "strategy", "matches", "matched", "wait p50", "wait p95", "spread p50", "spread p95")
	for i := range day.Results {
		r := &day.Results[i]
		fmt.Fprintf(w, "%-14s %8d %7.1f%% %8.1f s %8.1f s %11.1f %11.1f\n", r.Name, r.Matches,
			100*float64(r.Matched)/float64(max(day.Tickets, 1)),
			simulate.Percentile(r.Waits, 50).Seconds(), simulate.Percentile(r.Waits, 95).Seconds(),
			simulate.Percentile(r.Spreads, 50), simulate.Percentile(r.Spreads, 95))
	}
	fmt.Fprintf(w, "\nspread: highest less lowest %s of a match; wait: of those who were matched\n", day.Attribute)
}

// dayJSON is what --json prints of a day.
type dayJSON struct {
	Tickets    int            `json:"tickets"`
	Attribute  string         `json:"attribute"`
	Strategies []strategyJSON `json:"strategies"`
}

type strategyJSON struct {
	Name      string  `json:"name"`
	Matches   int     `json:"matches"`
	Matched   int     `json:"matched"`
	Refused   int     `json:"refused"`
	WaitP50   float64 `json:"wait_p50_s"`
	WaitP95   float64 `json:"wait_p95_s"`
	SpreadP50 float64 `json:"spread_p50"`
	SpreadP95 float64 `json:"spread_p95"`
	ElapsedMs float64 `json:"elapsed_ms"`
}

func (c *simulateConfig) writeDay(w io.Writer, day *simulate.Day) error {
	out := dayJSON{Tickets: day.Tickets, Attribute: day.Attribute}
	for i := range day.Results {
		r := &day.Results[i]
		out.Strategies = append(out.Strategies, strategyJSON{
			Name: r.Name, Matches: r.Matches, Matched: r.Matched, Refused: r.Refused,
			WaitP50: simulate.Percentile(r.Waits, 50).Seconds(), WaitP95: simulate.Percentile(r.Waits, 95).Seconds(),
			SpreadP50: simulate.Percentile(r.Spreads, 50), SpreadP95: simulate.Percentile(r.Spreads, 95),
			ElapsedMs: float64(r.Elapsed.Microseconds()) / 1000,
		})
	}
	return json.NewEncoder(w).Encode(out)
}
