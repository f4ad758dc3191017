package cli

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/simulate"
	"torikumi/matchfunction/internal/ticketfile"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// simulateConfig holds the settings of "matchfunction simulate".
type simulateConfig struct {
	config.Given

	Rules    string  `flag:"rules" required:"the rule set to try" help:"File with the rule set."`
	Tickets  string  `flag:"tickets" help:"File with tickets, - for standard input: what \"aws gamelift describe-matchmaking\" prints, or one of its tickets a line."`
	Generate int     `flag:"generate" help:"Make up so many tickets that fit the rule set, up to 1000000, in place of --tickets."`
	Parties  string  `flag:"parties" help:"With --generate, or --day without --tickets: sizes of parties and how often they come, such as \"1:0.6,2:0.4\"; everybody comes alone if it is empty."`
	Save     string  `flag:"save" help:"With --generate: file to write the tickets to."`
	Now      instant `flag:"now" help:"When the search runs, RFC 3339 or seconds since 1970; if it is empty, when the newest ticket came."`
	Seed     int     `flag:"seed" default:"1" help:"With --generate, or --day without --tickets: decides what is made up; the same for the same number."`
	JSON     bool    `flag:"json" help:"Print one JSON object."`
	// RunTimeout is a bound for a pass; a day has none.
	RunTimeout time.Duration `flag:"run-timeout" rule:"not negative" help:"Longest time for the search, as the match function's setting of that name; 0s is as long as it takes."`

	Day    bool          `flag:"day" help:"Simulate a day of players who come and go, made up or those of --tickets, and compare the search with simpler ones."`
	Rate   float64       `flag:"rate" default:"60" rule:"above 0 and at most 100000" help:"With --day without --tickets: players who come in a minute, in the mean of a day."`
	Cycle  time.Duration `flag:"cycle" default:"1s" rule:"from 10ms to 168h" help:"With --day: time between two searches."`
	Length time.Duration `flag:"length" default:"24h" help:"With --day without --tickets: how much of the day, from midnight on."`
	GiveUp time.Duration `flag:"give-up" default:"5m" rule:"above 0 and at most 168h" help:"With --day: how long a player waits before he or she leaves."`
	SVG    string        `flag:"svg" help:"With --day: file to draw spreads and waits to."`

	Curve  string `flag:"curve" help:"With --day without --tickets: factors on --rate at hours of the day, such as \"0:0.5,8:0.2,20:2\"; a quarter at 08:00 and seven quarters at 20:00 if it is empty."`
	Versus string `flag:"versus" help:"With --day: file with another rule set, which gets the same players."`

	parties simulate.Parties
	curve   simulate.Curve
}

// instant is a point in time, zero if it was not given.
type instant struct{ time.Time }

// UnmarshalText reads RFC 3339, or seconds since 1970.
func (i *instant) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		seconds, numberErr := strconv.ParseFloat(string(text), 64)
		if numberErr != nil || !(math.Abs(seconds) < 1e11) {
			return errors.New("must be a time as RFC 3339, or seconds since 1970")
		}
		whole, fraction := math.Modf(seconds)
		t = time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1000)
	}
	i.Time = t.UTC()
	return nil
}

// Validate tells which settings are wrong.
func (c *simulateConfig) Validate() error {
	var errs []error
	sources := 0
	for _, given := range []bool{c.Tickets != "", c.Generate != 0, c.Day && c.Tickets == ""} {
		if given {
			sources++
		}
	}
	if sources != 1 {
		errs = append(errs, &config.Error{Setting: "--generate", Others: []string{"--day"},
			Rule: "exactly one of --tickets, --generate and --day has to be given: where tickets come from"})
	}
	if c.Generate < 0 || c.Generate > 1_000_000 {
		errs = append(errs, config.Invalid("generate", "must be from 1 to 1000000", c.Generate))
	}
	parties, err := simulate.ParseParties(cmp.Or(c.Parties, "1:1"))
	if err != nil {
		errs = append(errs, config.Invalid("parties", err.Error(), c.Parties))
	}
	c.parties = parties
	if c.Curve != "" {
		if c.curve, err = simulate.ParseCurve(c.Curve); err != nil {
			errs = append(errs, config.Invalid("curve", err.Error(), c.Curve))
		}
	}
	madeDay := c.Day && c.Tickets == ""
	for _, only := range []struct {
		flags, with string
		ok          bool
	}{
		{"parties seed", "--generate, or with --day without --tickets", c.Generate != 0 || madeDay},
		{"curve rate length", "--day without --tickets", madeDay},
		{"versus svg cycle give-up", "--day", c.Day},
		{"save", "--generate", c.Generate != 0},
	} {
		for flag := range strings.FieldsSeq(only.flags) {
			if c.IsGiven(flag) && !only.ok {
				errs = append(errs, &config.Error{Setting: "--" + flag, Rule: "goes only with " + only.with, Others: []string{"--day", "--generate"}})
			}
		}
	}
	if c.Day && c.RunTimeout > 0 {
		errs = append(errs, config.Invalid("run-timeout", "goes with --tickets and --generate alone", c.RunTimeout))
	}
	if c.Day && !c.Now.IsZero() {
		errs = append(errs, config.Invalid("now", "a day has many searches, not one", c.Now.Format(time.RFC3339Nano)))
	}
	if madeDay && (c.Length < c.Cycle || c.Length > simulate.MaxLength) {
		errs = append(errs, config.Invalid("length", "must be from one cycle to 168h", c.Length))
	}
	return errors.Join(errs...)
}

func runSimulate(ctx context.Context, proc service.Process, rules search.Options) int {
	cfg := new(simulateConfig)
	if code, ok := load(proc, "simulate", cfg); !ok {
		return code
	}
	s, ok := openSource(proc, cfg.Rules, rules)
	if !ok {
		return service.ExitFailed
	}
	checker, err := newChecker(s.rules, s.options)
	if err != nil {
		return failed(proc, "simulate", err)
	}
	if cfg.Day {
		return cfg.runDay(ctx, proc, s, checker, rules)
	}
	tickets, err := cfg.tickets(proc, s)
	if err != nil {
		return failed(proc, "simulate", err)
	}
	if cfg.Tickets != "" {
		warnTickets(proc, "simulate", cfg.Tickets, s.rules, tickets)
	}
	now := cfg.Now.of(tickets)
	out := simulate.Pass(ctx, s.engine, checker, tickets, now, cfg.RunTimeout)
	if err := ctx.Err(); err != nil {
		return failed(proc, "simulate", fmt.Errorf("interrupted: %w", err))
	}
	why := flaws(ctx, s.engine, out, tickets, now)
	if cfg.JSON {
		err = writePass(proc.Stdout, out, tickets, why)
	} else {
		printPass(proc.Stdout, cmp.Or(s.rules.Name, cfg.Rules), out, tickets, now, why)
	}
	if err != nil {
		return failed(proc, "simulate", err)
	}
	for _, v := range out.Violations {
		fmt.Fprintf(proc.Stderr, "matchfunction simulate: breaks a rule: %s\n", v)
	}
	if len(out.Violations) > 0 {
		return service.ExitFailed
	}
	return 0
}

func (c *simulateConfig) tickets(proc service.Process, s *source) ([]rule.Ticket, error) {
	if c.Generate == 0 {
		return readTickets(proc, "simulate", c.Tickets, c.Now)
	}
	if err := c.fitParties(s.rules); err != nil {
		return nil, err
	}
	// Not the time of day: the same command makes the same tickets.
	until := c.Now.Time
	if until.IsZero() {
		until = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	tickets := simulate.NewGenerator(s.rules, c.parties, uint64(c.Seed)).Tickets(c.Generate, until)
	if c.Save == "" {
		return tickets, nil
	}
	return tickets, writeFile("save", c.Save, func(w io.Writer) error { return ticketfile.Write(w, tickets) })
}

func writeFile(setting, path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--%s: %w", setting, err)
	}
	b := bufio.NewWriter(f)
	if err := cmp.Or(write(b), b.Flush(), f.Close()); err != nil {
		return fmt.Errorf("--%s: write %s: %w", setting, path, err)
	}
	return nil
}

// readTickets returns the tickets of a file that wait at a time, all of them if
// that is not given. Like production it takes of several tickets of a player the
// youngest.
func readTickets(proc service.Process, command, file string, at instant) ([]rule.Ticket, error) {
	return readRecording(proc, command, file, func(r *ticketfile.Recording, leftOut map[string]int) []rule.Ticket {
		return waitingAt(r, at, leftOut)
	})
}

// readDay returns the tickets of a file that a day can hold.
func readDay(proc service.Process, command, file string) ([]rule.Ticket, error) {
	return readRecording(proc, command, file, func(r *ticketfile.Recording, leftOut map[string]int) []rule.Ticket {
		tickets := simulate.Busiest(r.Tickets)
		if n := len(r.Tickets) - len(tickets); n > 0 {
			leftOut[fmt.Sprintf("its StartTime is not in the %s in which most come, from %s on", short(simulate.MaxLength), earliest(tickets).Format(time.RFC3339Nano))] = n
		}
		return tickets
	})
}

// earliest is when the first of some tickets came.
func earliest(tickets []rule.Ticket) time.Time {
	return slices.MinFunc(tickets, func(a, b rule.Ticket) int { return a.Created.Compare(b.Created) }).Created
}

// readRecording reads a file, "-" for standard input, and says what is left out.
func readRecording(proc service.Process, command, file string, choose func(*ticketfile.Recording, map[string]int) []rule.Ticket) ([]rule.Ticket, error) {
	in := cmp.Or(proc.Stdin, io.Reader(strings.NewReader("")))
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("--tickets: %w", err)
		}
		defer f.Close() //nolint:errcheck // it is only read
		in = f
	}
	recording, err := ticketfile.Read(in)
	if err != nil {
		return nil, fmt.Errorf("--tickets: %s:\n%w", file, err)
	}
	count := make(map[string]int)
	for _, l := range recording.LeftOut {
		count[l.Why]++
	}
	tickets := choose(recording, count)
	for _, why := range slices.Sorted(maps.Keys(count)) {
		fmt.Fprintf(proc.Stderr, "matchfunction %s: %s: warning: %s left out: %s\n", command, file, explain.Count(count[why], "ticket", "tickets"), why)
	}
	return tickets, nil
}

// waitingAt are the tickets that wait at a time. It counts the others by why they
// do not.
func waitingAt(r *ticketfile.Recording, at instant, leftOut map[string]int) []rule.Ticket {
	var tickets []rule.Ticket
	for i, t := range r.Tickets {
		switch ended := r.Ended[i]; {
		case !at.IsZero() && t.Created.After(at.Time):
			leftOut["it comes after --now"]++
		case !at.IsZero() && !ended.IsZero() && !ended.After(at.Time):
			leftOut["it has ended before --now"]++
		default:
			tickets = append(tickets, t)
		}
	}
	byAge := make([]int, len(tickets))
	for i := range byAge {
		byAge[i] = i
	}
	slices.SortFunc(byAge, func(a, b int) int {
		return cmp.Or(tickets[b].Created.Compare(tickets[a].Created), cmp.Compare(tickets[a].ID, tickets[b].ID))
	})
	playing, out := make(map[string]bool), make(map[string]bool)
	for _, i := range byAge {
		t := &tickets[i]
		if slices.ContainsFunc(t.Players, func(p rule.Player) bool { return playing[p.ID] }) {
			leftOut["a player has a younger one"]++
			out[t.ID] = true
			continue
		}
		for _, p := range t.Players {
			playing[p.ID] = true
		}
	}
	return slices.DeleteFunc(tickets, func(t rule.Ticket) bool { return out[t.ID] })
}

// of is the instant, or when the newest ticket came if none was given.
func (i instant) of(tickets []rule.Ticket) time.Time {
	now := i.Time
	if !now.IsZero() {
		return now
	}
	for i := range tickets {
		if i == 0 || tickets[i].Created.After(now) {
			now = tickets[i].Created
		}
	}
	return now
}

// passJSON is what --json prints of a pass.
type passJSON struct {
	Matches   []matchJSON `json:"matches"`
	Unmatched []string    `json:"unmatched"`
	LeftOut   []flaw      `json:"left_out,omitempty"`
	WaitP50   float64     `json:"wait_p50_s"`
	WaitP95   float64     `json:"wait_p95_s"`
	SpreadP50 float64     `json:"spread_p50"`
	ElapsedMs float64     `json:"elapsed_ms"`
	TimeOver  bool        `json:"time_over,omitempty"`
}

type matchJSON struct {
	ID      string              `json:"id"`
	Teams   map[string][]string `json:"teams"`
	Tickets []string            `json:"tickets"`
	Score   float64             `json:"score"`
	Region  string              `json:"region"`
}

func writePass(w io.Writer, o *simulate.Outcome, tickets []rule.Ticket, flaws []flaw) error {
	out := passJSON{
		Matches: make([]matchJSON, len(o.Matches)), Unmatched: make([]string, len(o.Unmatched)),
		WaitP50: simulate.Percentile(o.Waits, 50).Seconds(), WaitP95: simulate.Percentile(o.Waits, 95).Seconds(),
		// JSON has no infinity, which is how far the ends of the numbers are apart.
		SpreadP50: min(simulate.Percentile(o.Spreads, 50), math.MaxFloat64),
		ElapsedMs: float64(o.Elapsed.Microseconds()) / 1000,
		TimeOver:  o.TimeOver,
		LeftOut:   flaws,
	}
	for i, t := range o.Unmatched {
		out.Unmatched[i] = tickets[t].ID
	}
	for i, m := range o.Matches {
		j := matchJSON{ID: fmt.Sprintf("match-%d", i+1), Teams: playersByTeam(m.Match), Tickets: []string{}, Score: m.Score, Region: m.Region}
		for _, t := range m.Tickets {
			j.Tickets = append(j.Tickets, t.ID)
		}
		out.Matches[i] = j
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

func playersByTeam(m *rule.Match) map[string][]string {
	out := make(map[string][]string, len(m.Teams))
	for _, team := range m.Teams {
		out[team.Name] = []string{}
		for _, member := range team.Members {
			out[team.Name] = append(out[team.Name], member.Player.ID)
		}
	}
	return out
}

func printPass(w io.Writer, name string, o *simulate.Outcome, tickets []rule.Ticket, now time.Time, flaws []flaw) {
	row := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", label, fmt.Sprintf(format, args...))
	}
	matched := len(tickets) - len(o.Unmatched)
	row("rule set", "%s", name)
	at := ""
	if !now.IsZero() { // nobody, and no --now
		at = " at " + now.Format(time.RFC3339Nano)
	}
	row("tickets", "%d%s", len(tickets), at)
	row("matches", "%d of %s (%.1f%%)", len(o.Matches), explain.Count(matched, "ticket", "tickets"), 100*float64(matched)/float64(max(len(tickets), 1)))
	alone := ""
	if n := len(o.LeftOut); n > 0 {
		alone = fmt.Sprintf(", of which %d would not be matched whoever else waits:", n)
	}
	row("unmatched", "%s%s", explain.Count(len(o.Unmatched), "ticket", "tickets"), alone)
	for _, f := range flaws {
		row("", "%6d %s", f.Tickets, f.Why)
	}
	row("wait", "p50 %.1f s, p95 %.1f s", simulate.Percentile(o.Waits, 50).Seconds(), simulate.Percentile(o.Waits, 95).Seconds())
	row("spread", "p50 %.1f, p95 %.1f", simulate.Percentile(o.Spreads, 50), simulate.Percentile(o.Spreads, 95))
	over := ""
	if o.TimeOver {
		over = ", and its time was over"
	}
	row("took", "%.1f ms%s", float64(o.Elapsed.Microseconds())/1000, over)
	switch {
	case len(o.Violations) > 0:
		row("checked", "NOT ALL MATCHES KEEP THE RULES")
	case len(o.Matches) > 0:
		row("checked", "every match keeps every rule")
	}
}

// flaw is why some tickets fit no match, whoever else waits.
type flaw struct {
	Why     string `json:"why"`
	Tickets int    `json:"tickets"`
}

// flaws are why tickets were left out, the most frequent first.
func flaws(ctx context.Context, engine *search.Engine, o *simulate.Outcome, tickets []rule.Ticket, now time.Time) []flaw {
	count := make(map[string]int)
	for _, x := range engine.Why(ctx, tickets, o.LeftOut, now) {
		count[explain.Flaw(x)]++
	}
	out := make([]flaw, 0, len(count))
	for why, n := range count {
		out = append(out, flaw{why, n})
	}
	slices.SortFunc(out, func(a, b flaw) int { return cmp.Or(cmp.Compare(b.Tickets, a.Tickets), cmp.Compare(a.Why, b.Why)) })
	return out
}
