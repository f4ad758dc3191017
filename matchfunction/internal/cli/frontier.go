package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/simulate"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// frontierConfig holds the settings of "matchfunction frontier".
type frontierConfig struct {
	Worlds  string        `flag:"worlds" help:"Worlds to play, such as \"duel,parties\"; all if it is empty."`
	Seeds   int           `flag:"seeds" default:"3" rule:"positive" help:"Days of each world."`
	Samples string        `flag:"samples" help:"File of what has been played, a line each: days in it are not played again, new ones are added. Without one nothing is kept."`
	Length  time.Duration `flag:"length" default:"24h" help:"How much of each day, from midnight on."`
	Cycle   time.Duration `flag:"cycle" default:"5s" rule:"at least 10ms" help:"Time between two searches."`
	GiveUp  time.Duration `flag:"give-up" default:"10m" rule:"positive" help:"How long a player waits before he or she leaves."`
	Check   bool          `flag:"check" help:"Judge all matches by the rules, which takes longer."`
	SVG     string        `flag:"svg" help:"Folder to draw each world into, as frontier-WORLD.svg."`

	worlds []simulate.World
}

// Validate tells which settings are wrong.
func (c *frontierConfig) Validate() error {
	var errs []error
	c.worlds = simulate.Worlds()
	if c.Worlds != "" {
		var names []string
		for i := range c.worlds {
			names = append(names, c.worlds[i].Name)
		}
		wanted := strings.Split(c.Worlds, ",")
		for _, name := range wanted {
			if !slices.Contains(names, name) {
				errs = append(errs, config.Invalid("worlds", "must be some of "+strings.Join(names, ","), c.Worlds))
			}
		}
		c.worlds = slices.DeleteFunc(c.worlds, func(w simulate.World) bool { return !slices.Contains(wanted, w.Name) })
	}
	if c.Length < c.GiveUp+c.Cycle || c.Length > 7*24*time.Hour {
		errs = append(errs, config.Invalid("length", "must be more than --give-up and at most 168h", c.Length))
	}
	return errors.Join(errs...)
}

func runFrontier(ctx context.Context, proc service.Process, _ search.Options) int {
	cfg := new(frontierConfig)
	if code, ok := load(proc, "frontier", cfg); !ok {
		return code
	}
	if err := cfg.run(ctx, proc.Stdout); err != nil {
		return failed(proc, "frontier", err)
	}
	return 0
}

func (c *frontierConfig) run(ctx context.Context, out io.Writer) error {
	samples, err := readSamples(c.Samples)
	if err != nil {
		return err
	}
	options := simulate.FrontierOptions{Cycle: c.Cycle, Length: c.Length, GiveUp: c.GiveUp}
	if c.Check {
		options.Check = checkWorld
	}
	for seed := uint64(1); seed <= uint64(c.Seeds); seed++ {
		for i := range c.worlds {
			w := &c.worlds[i]
			if slices.ContainsFunc(samples, func(s simulate.Sample) bool { return s.World == w.Name && s.Seed == seed }) {
				continue
			}
			day, err := options.Sample(ctx, w, seed)
			if err != nil {
				return fmt.Errorf("world %s, day %d: %w", w.Name, seed, err)
			}
			if err := appendSamples(c.Samples, day); err != nil {
				return err
			}
			samples = append(samples, day...)
		}
	}
	for i := range c.worlds {
		w := &c.worlds[i]
		reportWorld(out, w, samples)
		if w.Teams == 2 && w.Size == 1 && c.Length >= 14*time.Hour {
			if err := reportHindsight(out, &options, w, samples); err != nil {
				return err
			}
		}
		if c.SVG == "" {
			continue
		}
		path := filepath.Join(c.SVG, "frontier-"+w.Name+".svg")
		if err := writeFile("svg", path, func(f io.Writer) error { return simulate.WriteTradeOff(f, w, samples) }); err != nil {
			return err
		}
	}
	return nil
}

// checkWorld makes what judges the matches of a world.
func checkWorld(w *simulate.World) (simulate.Checker, error) {
	rs, err := w.Rules(0)
	if err != nil {
		return nil, err
	}
	judge, err := newChecker(rs, search.Options{})
	if err != nil {
		return nil, err
	}
	return func(matches []*rule.Match, now time.Time) []string { return judge(matches, now) }, nil
}

// readSamples reads what was played before; there is nothing yet without a file.
func readSamples(path string) ([]simulate.Sample, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--samples: %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	var out []simulate.Sample
	decoder := json.NewDecoder(bufio.NewReader(f))
	for {
		var s simulate.Sample
		switch err := decoder.Decode(&s); {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, fmt.Errorf("--samples: %s, sample %d: %w", path, len(out)+1, err)
		}
		out = append(out, s)
	}
}

func appendSamples(path string, samples []simulate.Sample) error {
	if path == "" {
		return nil
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("--samples: %w", err)
	}
	b := bufio.NewWriter(f)
	encoder := json.NewEncoder(b)
	for i := range samples {
		if err := encoder.Encode(&samples[i]); err != nil {
			return errors.Join(fmt.Errorf("--samples: %w", err), f.Close())
		}
	}
	if err := errors.Join(b.Flush(), f.Close()); err != nil {
		return fmt.Errorf("--samples: %w", err)
	}
	return nil
}

// reportWorld says how ours fares beside each point of the others that waits as long.
func reportWorld(out io.Writer, w *simulate.World, samples []simulate.Sample) {
	fmt.Fprintf(out, "world %s: %s, %g tickets a minute\n", w.Name, w.About, w.Rate)
	fmt.Fprintf(out, "%-14s %7s %8s %8s %14s %14s %14s   %8s %14s\n", "policy", "knob", "wait", "spread", "mean spread", "p95 spread", "p99 wait", "dense", "mean spread")
	day := simulate.Compare(samples, w.Name, func(s *simulate.Sample) *simulate.Figures { return &s.Day })
	dense := simulate.Compare(samples, w.Name, func(s *simulate.Sample) *simulate.Figures { return &s.Dense })
	for i := range day {
		d, e := &day[i], &dense[i]
		fmt.Fprintf(out, "%-14s %7g %6.1f s %8.1f %14s %14s %14s   %6.1f s %14s\n", d.Policy, d.Knob, d.Wait, d.Spread, show(d.Mean, d.Seeds), show(d.P95, d.Seeds), show(d.P99, d.Seeds), e.Wait, show(e.Mean, e.Seeds))
	}
	fmt.Fprintf(out, "%-14s %7s %8s %8s %10s %10s %9s\n", simulate.Ours, "knob", "wait", "spread", "p95 spread", "p99 wait", "gave up")
	for _, p := range simulate.Means(samples, w.Name) {
		fmt.Fprintf(out, "%-14s %7g %6.1f s %8.1f %10.1f %8.1f s %8.2f%%\n", p.Policy, p.Knob, p.Day.WaitMean, p.Day.SpreadMean, p.Day.SpreadP95, p.Day.WaitP99, 100*float64(p.Day.Left)/float64(max(1, p.Day.Tickets)))
	}
	fmt.Fprintln(out)
}

// show is a ratio and below what it is for certain.
func show(r simulate.Ratio, days int) string {
	if days == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f (<%.3f)", r.Mean, r.Below)
}

// reportHindsight compares ours to the optimum, from 12:00 to 14:00 of the first day.
func reportHindsight(out io.Writer, o *simulate.FrontierOptions, w *simulate.World, samples []simulate.Sample) error {
	curve, err := o.Hindsight(w, 1, 12*time.Hour, 14*time.Hour)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "hindsight, 12:00 to 14:00 of day 1\n%-14s %7s %8s %8s %10s\n", "policy", "knob", "wait", "spread", "above it")
	first := slices.DeleteFunc(slices.Clone(samples), func(s simulate.Sample) bool {
		return s.World != w.Name || s.Seed != 1
	})
	for _, c := range simulate.Above(first, []int{12, 13}, curve) {
		fmt.Fprintf(out, "%-14s %7g %6.1f s %8.1f %9.0f%%\n", c.Policy, c.Knob, c.Wait, c.Spread, 100*(c.Mean.Mean-1))
	}
	fmt.Fprintln(out)
	return nil
}
