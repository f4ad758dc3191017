package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
)

// explainConfig holds the settings of "matchfunction explain".
type explainConfig struct {
	Rules   string  `flag:"rules" required:"the rule set that the ticket waits by" help:"File with the rule set."`
	Tickets string  `flag:"tickets" required:"the ticket and those who wait with it" help:"File with all tickets that wait, - for standard input: what \"aws gamelift describe-matchmaking\" prints, or one of its tickets a line."`
	Ticket  string  `flag:"ticket" required:"the ticket to explain" help:"Id of the ticket to explain."`
	Now     instant `flag:"now" help:"When the search runs, RFC 3339 or seconds since 1970; if it is empty, when the newest ticket came."`
	JSON    bool    `flag:"json" help:"Print one JSON object."`
}

func runExplain(ctx context.Context, proc service.Process, rules search.Options) int {
	cfg := new(explainConfig)
	if code, ok := load(proc, "explain", cfg); !ok {
		return code
	}
	s, ok := openSource(proc, cfg.Rules, rules)
	if !ok {
		return service.ExitFailed
	}
	tickets, err := readTickets(proc, "explain", cfg.Tickets, cfg.Now)
	if err != nil {
		return failed(proc, "explain", err)
	}
	at := slices.IndexFunc(tickets, func(t rule.Ticket) bool { return t.ID == cfg.Ticket })
	if at < 0 {
		return failed(proc, "explain", fmt.Errorf("%s has no ticket %q", cfg.Tickets, cfg.Ticket))
	}
	warnTickets(proc, "explain", cfg.Tickets, s.rules, tickets)
	x := s.engine.Explain(ctx, tickets, at, cfg.Now.of(tickets))
	if err := ctx.Err(); err != nil {
		return failed(proc, "explain", fmt.Errorf("interrupted: %w", err))
	}
	if cfg.JSON {
		err = json.NewEncoder(proc.Stdout).Encode(explained(x))
	} else {
		_, err = io.WriteString(proc.Stdout, explanation(x))
	}
	if err != nil {
		return failed(proc, "explain", err)
	}
	return 0
}

// explanation spells everything out, a thought a line.
func explanation(x search.Explanation) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	wait := x.Wait.Round(time.Millisecond)
	if x.Match != nil {
		line("%s has waited %v and is in a match:", x.Ticket, wait)
		for _, team := range x.Match.Teams {
			var ids []string
			for _, m := range team.Members {
				ids = append(ids, m.Player.ID)
			}
			line("  %s: %s", team.Name, strings.Join(ids, ", "))
		}
		return b.String()
	}
	line("%s has waited %v and is in no match.", x.Ticket, wait)
	if x.Reason != "" || x.Others == 0 {
		line("%s.", capital(explain.Summary(x)))
		for _, r := range x.Refusals {
			switch {
			case r.Asks != "":
				line("The rule %q asks for %s %s, the ticket has %s.", r.Rule, r.Attribute, r.Asks, figure(r.Has))
			case r.Needed > 0:
				most, needed := figures(r.Threshold)
				line("The rule %q allows %s ms, the ticket has %s in the nearest region%s.", r.Rule, most, needed, when(r.Threshold))
			}
		}
		if x.Reason == "" {
			line("The smallest match needs %s.", explain.Count(x.Needs, "player", "players"))
			writeLater(line, x)
		}
		return b.String()
	}
	line("%d other tickets wait.", x.Others)
	if x.Unfit > 0 {
		line("%6d fit no match at all", x.Unfit)
	}
	for _, a := range x.Apart {
		most, needed := figures(a.Threshold)
		switch {
		case a.Rule == search.RegionRule:
			line("%6d have no region in common with it", a.Tickets)
		case a.Needed > 0 && a.Kind == ruleset.Latency:
			line("%6d are kept apart by the rule %q (%s): it allows %s ms, with the nearest it takes %s%s", a.Tickets, a.Rule, a.Kind, most, needed, when(a.Threshold))
		case a.Needed > 0:
			line("%6d are kept apart by the rule %q (%s): it allows a difference of %s, the nearest is %s away%s", a.Tickets, a.Rule, a.Kind, most, needed, when(a.Threshold))
		default:
			line("%6d are kept apart by the rule %q (%s)", a.Tickets, a.Rule, a.Kind)
		}
	}
	line("%6d could play with it: %d players, and the smallest match needs %d", x.Candidates, x.Players, x.Needs)
	for i, name := range x.Broken {
		t := x.Thresholds[i]
		most, needed := figures(t)
		switch {
		case t.Needed > 0:
			line("Together with them it breaks the rule %q: it allows %s, %s would do%s.", name, most, needed, when(t))
		case t.Most > 0:
			line("Together with them it breaks the rule %q: it allows %s%s.", name, most, when(t))
		case t.Loosens:
			line("Together with them it breaks the rule %q%s.", name, when(t))
		default:
			line("Together with them it breaks the rule %q.", name)
		}
		if said := x.Said[name]; said != "" {
			line("  It says: %s", said)
		}
	}
	if x.Elsewhere {
		line("It could be in a match with some of them, who are in other matches now.")
	}
	if h := x.Held; h != nil {
		by := "preference"
		if h.Patience {
			by = "patience"
		}
		most, spread := figures(search.Threshold{Most: h.Most, Needed: h.Spread})
		line("With some of them it could be in a match now whose spread is %s. By the %s %s is close enough; in %v this match is, unless a closer one is there before.",
			spread, by, most, h.In.Round(time.Millisecond))
	}
	writeLater(line, x)
	return b.String()
}

// writeLater says what changes as the rules loosen.
func writeLater(line func(format string, args ...any), x search.Explanation) {
	last := search.Later{Candidates: x.Candidates, Players: x.Players, Needs: x.Needs}
	for _, l := range x.Later {
		in, needs := l.In.Round(time.Millisecond), ""
		if l.Needs != last.Needs {
			needs = fmt.Sprintf("the smallest match needs %d", l.Needs)
		}
		switch {
		case l.Candidates == last.Candidates && l.Players == last.Players:
			line("In %v, as the rules loosen, %s.", in, needs)
		case needs != "":
			needs = ", and " + needs
			fallthrough
		default:
			line("In %v, as the rules loosen, up to %d of them could play with it: %d players%s.", in, l.Candidates, l.Players, needs)
		}
		last = l
	}
}

// figures are what a rule allows and what is needed, with so many digits that they differ
// where the numbers do.
func figures(t search.Threshold) (most, needed string) {
	most, needed = figure(t.Most), figure(t.Needed)
	for digits := 5; most == needed && t.Most != t.Needed && digits <= 17; digits++ {
		most, needed = strconv.FormatFloat(t.Most, 'g', digits, 64), strconv.FormatFloat(t.Needed, 'g', digits, 64)
	}
	return most, needed
}

// when says when a rule comes to allow what is needed.
func when(t search.Threshold) string {
	in := t.In.Round(time.Millisecond)
	switch {
	case t.Loosens && math.IsInf(t.Then, 1):
		return fmt.Sprintf("; in %v it demands nothing any more", in)
	case t.Loosens:
		return fmt.Sprintf("; in %v it allows %s", in, figure(t.Then))
	case t.Needed > 0:
		return "; it never allows that"
	}
	return ""
}

// figure is a number with as many digits as people read.
func figure(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.4g", x)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// explainedJSON is what --json prints.
type explainedJSON struct {
	Ticket     string              `json:"ticket"`
	WaitS      float64             `json:"wait_s"`
	Match      map[string][]string `json:"match,omitempty"`
	Reason     string              `json:"reason,omitempty"`
	Summary    string              `json:"summary"`
	Others     int                 `json:"others"`
	Unfit      int                 `json:"unfit"`
	Apart      []apartJSON         `json:"apart"`
	Candidates int                 `json:"candidates"`
	Players    int                 `json:"candidate_players"`
	Needs      int                 `json:"needs"`
	Broken     []string            `json:"broken_rules"`
	Breaches   []breachJSON        `json:"thresholds,omitempty"`
	Refused    []refusalJSON       `json:"refused_by,omitempty"`
	Elsewhere  bool                `json:"in_other_matches,omitempty"`
	Held       *heldJSON           `json:"held,omitempty"`
	Later      []laterJSON         `json:"later"`
}

type apartJSON struct {
	Rule    string  `json:"rule"`
	Type    string  `json:"type"`
	Tickets int     `json:"tickets"`
	Most    float64 `json:"allowed,omitempty"`
	Nearest float64 `json:"nearest,omitempty"`
	// AllowedInS is when the rule allows it, in seconds, or, without "nearest", more than
	// now; none: never.
	AllowedInS *float64 `json:"allowed_in_s,omitempty"`
}

// breachJSON is a rule that matches broke, or that refuses the ticket.
type breachJSON struct {
	Rule       string   `json:"rule"`
	Most       float64  `json:"allowed,omitempty"`
	Needed     float64  `json:"needed,omitempty"`
	AllowedInS *float64 `json:"allowed_in_s,omitempty"`
	// Said is what a custom rule said of the first match that it refused.
	Said string `json:"said,omitempty"`
}

// allowedIn is nil if it never is, or not known to be.
func allowedIn(t search.Threshold) *float64 {
	if !t.Loosens {
		return nil
	}
	s := t.In.Seconds()
	return &s
}

// refusalJSON is a rule that refuses the ticket, or an attribute that is missing
// or has the wrong type.
type refusalJSON struct {
	Rule      string `json:"rule,omitempty"`
	Attribute string `json:"attribute,omitempty"`
	Type      string `json:"type,omitempty"`
	MustBe    string `json:"must_be,omitempty"`
}

// heldJSON is a match that is not close enough yet.
type heldJSON struct {
	Spread float64 `json:"spread"`
	Most   float64 `json:"allowed"`
	InS    float64 `json:"in_s"`
	// Patience reports whether it is patienceSeconds that holds out.
	Patience bool `json:"patience,omitempty"`
}

type laterJSON struct {
	InS        float64 `json:"in_s"`
	Candidates int     `json:"candidates"`
	Players    int     `json:"candidate_players"`
	Needs      int     `json:"needs"`
}

func explained(x search.Explanation) explainedJSON {
	out := explainedJSON{Ticket: x.Ticket, WaitS: x.Wait.Seconds(), Reason: string(x.Reason), Summary: explain.Summary(x), Others: x.Others,
		Unfit: x.Unfit, Candidates: x.Candidates, Players: x.Players, Needs: x.Needs, Broken: x.Broken, Elsewhere: x.Elsewhere, Apart: []apartJSON{}, Later: []laterJSON{}}
	if out.Broken == nil {
		out.Broken = []string{}
	}
	for _, a := range x.Apart {
		out.Apart = append(out.Apart, apartJSON{a.Rule, string(a.Kind), a.Tickets, a.Most, a.Needed, allowedIn(a.Threshold)})
	}
	for i, t := range x.Thresholds {
		out.Breaches = append(out.Breaches, breachJSON{x.Broken[i], t.Most, t.Needed, allowedIn(t), x.Said[x.Broken[i]]})
	}
	for _, r := range x.Refusals {
		if r.Needed > 0 {
			out.Breaches = append(out.Breaches, breachJSON{Rule: r.Rule, Most: r.Most, Needed: r.Needed, AllowedInS: allowedIn(r.Threshold)})
		}
	}
	for _, r := range x.Refusals {
		out.Refused = append(out.Refused, refusalJSON{r.Rule, r.Attribute, string(r.Got), string(r.Want)})
	}
	if h := x.Held; h != nil {
		out.Held = &heldJSON{h.Spread, h.Most, h.In.Seconds(), h.Patience}
	}
	for _, l := range x.Later {
		out.Later = append(out.Later, laterJSON{l.In.Seconds(), l.Candidates, l.Players, l.Needs})
	}
	if x.Match != nil {
		out.Match = playersByTeam(x.Match)
	}
	return out
}
