package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// DayOptions describe a simulated day. None has a default.
type DayOptions struct {
	Rules  *ruleset.RuleSet
	Engine *search.Engine
	Check  Checker
	// Rate is the mean number of players who come in a minute of a whole day,
	// above 0; see dayCurve.
	Rate float64
	// Cycle is the time between two searches.
	Cycle time.Duration
	// Length is how long players come and searches run; the day starts at
	// midnight.
	Length time.Duration
	// GiveUp is how long a player waits before he or she leaves.
	GiveUp time.Duration
	Seed   uint64
	// Parties are the sizes in which players come, Curve the factor on Rate at a
	// time of the day; the zero values are solos and DayCurve.
	Parties Parties
	Curve   Curve
	// Recorded, if not empty, are the tickets of the day in place of made up ones,
	// in any order. Their day starts with the first, and the last is at most MaxLength
	// later.
	Recorded []rule.Ticket
	// Others are rule sets that get the same players.
	Others []Other
}

// Other is a rule set to compare with.
type Other struct {
	Name   string
	Engine *search.Engine
	Check  Checker
}

// Day is what each strategy made of the same players.
type Day struct {
	// Attribute is the number that spreads are about, empty if rules read none.
	Attribute string
	// Tickets is how many came; a strategy may leave some out, see Result.Busy.
	Tickets int
	// Alone says why the simpler strategies could not play, or is empty.
	Alone   string
	Results []Result
}

// Result is what one strategy made of a day.
type Result struct {
	Name    string
	Matches int
	Matched int
	// Busy is how many tickets were left out, as a player of theirs waited already:
	// who still waits is up to the strategy.
	Busy int
	// Waits are those of the matched tickets, Spreads those of the matches, in
	// rising order.
	Waits   []time.Duration
	Spreads []float64
	// Left is how many gave up. Whys are why, of up to mostWhys of them through the
	// day, for a strategy of a search; the most frequent first.
	Left int
	Whys []Why
	// Elapsed is how long the strategy thought.
	Elapsed time.Duration
	// Refused is how many of its matches the Checker refused: their tickets
	// went on waiting. Violations are why, for the first few.
	Refused    int
	Violations []string
}

// Why is why so many tickets gave up.
type Why struct {
	Text    string
	Tickets int
}

// strategy finds matches among those who wait, in the order of their arrival,
// and never changes them. No ticket may be in two matches.
type strategy func(ctx context.Context, waiting []rule.Ticket, now time.Time) []found

type found struct {
	tickets []int32
	match   *rule.Match
}

// midnight is when a day starts.
var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// contestant is one who plays the day.
type contestant struct {
	name   string
	find   strategy
	check  Checker
	engine *search.Engine // says why tickets gave up, if it is not nil
}

// RunDay simulates a day, one strategy after the other. Where the rule set is not
// simple enough for those that the search is compared with, the search plays alone,
// and the day says why. The error is that ctx ended, or that what is recorded is too
// long.
func RunDay(ctx context.Context, o DayOptions) (*Day, error) {
	tickets, start := o.Recorded, midnight
	if len(tickets) == 0 {
		tickets = o.arrivals()
	} else {
		tickets = slices.Clone(tickets)
		slices.SortStableFunc(tickets, func(a, b rule.Ticket) int { return a.Created.Compare(b.Created) })
		start = tickets[0].Created
		length := tickets[len(tickets)-1].Created.Sub(start)
		if length > MaxLength {
			return nil, fmt.Errorf("the last ticket of a recording must come at most %v after the first, got %v", MaxLength, length)
		}
		o.Length = length + o.GiveUp + o.Cycle
	}
	day := &Day{Tickets: len(tickets), Attribute: o.Engine.SortedBy()}
	contestants := []contestant{{"torikumi", searchWith(o.Engine), o.Check, o.Engine}}
	for _, other := range o.Others {
		contestants = append(contestants, contestant{other.Name, searchWith(other.Engine), other.Check, other.Engine})
	}
	b, err := newBaseline(o.Rules)
	if err == nil && slices.ContainsFunc(tickets, func(t rule.Ticket) bool { return len(t.Players) > 1 }) {
		err = errors.New("the strategies that a day is compared with know only players who come alone")
	}
	if err != nil {
		day.Alone = err.Error()
	} else {
		day.Attribute = b.attribute()
		contestants = append(contestants, contestant{"arrival order", b.arrivalOrder, o.Check, nil}, contestant{"nearest first", b.nearestFirst, o.Check, nil})
	}
	for _, c := range contestants {
		r, err := o.play(ctx, tickets, start, c, measure(o.Rules, day.Attribute))
		if err != nil {
			return nil, err
		}
		r.Name = c.name
		day.Results = append(day.Results, *r)
	}
	return day, nil
}

// MatchedShare is how many percent a strategy matched of the tickets that it did
// not leave out, 0 of none.
func (d *Day) MatchedShare(r *Result) float64 {
	return share(r.Matched, d.Tickets-r.Busy)
}

// measure returns the difference of the highest and the lowest of a number in a
// match, of its players one by one.
func measure(rules *ruleset.RuleSet, attribute string) func(*rule.Match) float64 {
	declared, _ := rules.Stages[0].Attribute(attribute)
	return func(m *rule.Match) float64 {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, t := range m.Tickets {
			for i := range t.Players {
				v, ok := t.Players[i].Attribute(attribute)
				if !ok && declared.Default != nil {
					v, ok = *declared.Default, true
				}
				if ok {
					lo, hi = min(lo, v.Number), max(hi, v.Number)
				}
			}
		}
		return max(0, hi-lo)
	}
}

// searchWith is the strategy of the match function.
func searchWith(e *search.Engine) strategy {
	return func(ctx context.Context, waiting []rule.Ticket, now time.Time) []found {
		var out []found
		for p := range e.Search(ctx, waiting, now, nil) {
			out = append(out, found{p.Tickets, p.Match(waiting)})
		}
		return out
	}
}

// Curve is a factor on the mean rate by the time of the day, at most Highest.
type Curve struct {
	At      func(sinceMidnight time.Duration) float64
	Highest float64
}

// DayCurve is the usual one.
var DayCurve = Curve{dayCurve, 1.75}

// ParseCurve reads factors at hours of the day, such as "0:0.5,8:0.2,20:2". In
// between they change evenly, over midnight too.
func ParseCurve(text string) (Curve, error) {
	const rule = "must be factors at hours from 0 to 24, in rising order, such as 0:0.5,8:0.2,20:2"
	var hours, factors []float64
	highest := 0.0
	for part := range strings.SplitSeq(text, ",") {
		h, f, ok := strings.Cut(part, ":")
		hour, err := strconv.ParseFloat(strings.TrimSpace(h), 64)
		factor, err2 := strconv.ParseFloat(strings.TrimSpace(f), 64)
		if !ok || err != nil || err2 != nil || !(hour >= 0 && hour < 24) || !(factor >= 0 && factor <= 1000) || len(hours) > 0 && hour <= hours[len(hours)-1] {
			return Curve{}, errors.New(rule)
		}
		hours, factors, highest = append(hours, hour), append(factors, factor), max(highest, factor)
	}
	if highest == 0 {
		return Curve{}, errors.New("must be above 0 at some hour")
	}
	n := len(hours)
	return Curve{Highest: highest, At: func(since time.Duration) float64 {
		hour := math.Mod(since.Hours(), 24)
		next, _ := slices.BinarySearch(hours, math.Nextafter(hour, 25))
		before, after := (next+n-1)%n, next%n
		length := math.Mod(hours[after]-hours[before]+24, 24)
		if length == 0 { // one point
			return factors[before]
		}
		part := math.Mod(hour-hours[before]+24, 24) / length
		return factors[before] + part*(factors[after]-factors[before])
	}}, nil
}

// dayCurve is how many players come at a time of the day, as a factor on the
// mean: it swings between a quarter at 08:00 and seven quarters at 20:00.
func dayCurve(sinceMidnight time.Duration) float64 {
	return 1 + 0.75*math.Cos(2*math.Pi*(sinceMidnight.Hours()-20)/24)
}

// arrivals are the tickets of the day in the order of their arrival: a Poisson
// process whose rate follows the curve, made by thinning one of the highest
// rate.
func (o *DayOptions) arrivals() []rule.Ticket {
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	curve, parties := o.Curve, o.Parties
	if curve.At == nil {
		curve = DayCurve
	}
	if parties.Largest() == 0 {
		parties = Parties{[]int{1}, []float64{1}}
	}
	g := NewGenerator(o.Rules, parties, o.Seed)
	var out []rule.Ticket
	at := 0.0 // seconds
	for {
		at += rng.ExpFloat64() * 60 / (o.Rate * curve.Highest)
		if at >= o.Length.Seconds() {
			return out
		}
		since := time.Duration(at * float64(time.Second))
		if rng.Float64()*curve.Highest < curve.At(since) {
			out = append(out, g.Ticket(midnight.Add(since)))
		}
	}
}

// mostViolations is how many of a strategy are kept.
const mostViolations = 10

// mostWhys is how many of those who gave up are looked into.
const mostWhys = 200

func (o *DayOptions) play(ctx context.Context, tickets []rule.Ticket, start time.Time, c contestant, spread func(*rule.Match) float64) (*Result, error) {
	r := &Result{}
	var waiting []rule.Ticket
	next, looked := 0, 0
	playing, whys := make(map[string]bool), make(map[string]int)
	leave := func(t *rule.Ticket) {
		for i := range t.Players {
			delete(playing, t.Players[i].ID)
		}
	}
	for since := o.Cycle; since <= o.Length; since += o.Cycle {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := start.Add(since)
		gaveUp := func(t rule.Ticket) bool { return now.Sub(t.Created) > o.GiveUp }
		// As many by any time as of the day is over, to hear of all of it.
		looked += o.lookInto(ctx, c.engine, waiting, gaveUp, now, 1+int(mostWhys*since/o.Length)-looked, whys)
		for i := range waiting {
			if gaveUp(waiting[i]) {
				r.Left++
				leave(&waiting[i])
			}
		}
		waiting = slices.DeleteFunc(waiting, gaveUp)
		for ; next < len(tickets) && !tickets[next].Created.After(now); next++ {
			t := &tickets[next]
			if slices.ContainsFunc(t.Players, func(p rule.Player) bool { return playing[p.ID] }) {
				r.Busy++ // as the frontend refuses a second search
				continue
			}
			for i := range t.Players {
				playing[t.Players[i].ID] = true
			}
			if gaveUp(*t) { // before this search
				r.Left++
				leave(t)
				continue
			}
			waiting = append(waiting, *t)
		}
		if len(waiting) == 0 {
			if next == len(tickets) {
				break
			}
			// On to the cycle in which the next one is there, one less as the loop adds it.
			gap := tickets[next].Created.Sub(start) - 1
			since = gap - gap%o.Cycle
			continue
		}
		started := time.Now()
		matches := c.find(ctx, waiting, now)
		r.Elapsed += time.Since(started)
		if len(matches) > 0 {
			waiting = r.countMatches(accept(r, matches, c.check, now), waiting, now, spread, leave)
		}
	}
	slices.Sort(r.Waits)
	slices.Sort(r.Spreads)
	for text, n := range whys {
		r.Whys = append(r.Whys, Why{text, n})
	}
	slices.SortFunc(r.Whys, func(a, b Why) int { return cmp.Or(cmp.Compare(b.Tickets, a.Tickets), cmp.Compare(a.Text, b.Text)) })
	return r, nil
}

// lookInto counts why those who give up now were in no match, of so many at most.
// It returns how many it looked into.
func (o *DayOptions) lookInto(ctx context.Context, e *search.Engine, waiting []rule.Ticket, gaveUp func(rule.Ticket) bool, now time.Time, most int, whys map[string]int) int {
	if e == nil {
		return 0
	}
	var positions []int
	for i := range waiting {
		if len(positions) < most && gaveUp(waiting[i]) {
			positions = append(positions, i)
		}
	}
	if len(positions) == 0 {
		return 0
	}
	for _, x := range e.Why(ctx, waiting, positions, now) {
		whys[whyOf(x)]++
	}
	return len(positions)
}

// whyOf is the first cause of an explanation.
func whyOf(x search.Explanation) string {
	switch {
	case x.Reason != "":
		return explain.Flaw(x)
	case x.Others == 0:
		return "nobody else waited"
	case x.Players < x.Needs && len(x.Apart) > 0 && x.Apart[0].Rule == search.RegionRule:
		return "most of the others had no region in common with it"
	case x.Players < x.Needs && len(x.Apart) > 0:
		return fmt.Sprintf("the rule %q kept most of the others apart", x.Apart[0].Rule)
	case x.Players < x.Needs:
		return "too few others waited"
	case len(x.Broken) > 0:
		return fmt.Sprintf("no match with it kept the rule %q", x.Broken[0])
	case x.Held != nil:
		return "a closer match was waited for"
	}
	return "others were matched before"
}

// accept returns the matches that the Checker lets pass. They are judged
// together, and one by one if anything is wrong.
func accept(r *Result, matches []found, check Checker, now time.Time) []found {
	all := make([]*rule.Match, len(matches))
	for i := range matches {
		all[i] = matches[i].match
	}
	wrong := check(all, now)
	if len(wrong) == 0 {
		return matches
	}
	if room := mostViolations - len(r.Violations); room > 0 {
		r.Violations = append(r.Violations, wrong[:min(room, len(wrong))]...)
	}
	var good []found
	all = all[:0]
	for _, m := range matches {
		if len(check(append(all, m.match), now)) > 0 {
			r.Refused++
			continue
		}
		all = append(all, m.match)
		good = append(good, m)
	}
	return good
}

// countMatches counts matches and returns those who still wait.
func (r *Result) countMatches(matches []found, waiting []rule.Ticket, now time.Time, spread func(*rule.Match) float64, leave func(*rule.Ticket)) []rule.Ticket {
	gone := make([]bool, len(waiting))
	for _, m := range matches {
		r.Matches++
		r.Spreads = append(r.Spreads, spread(m.match))
		for _, t := range m.tickets {
			gone[t] = true
			leave(&waiting[t])
			r.Matched++
			r.Waits = append(r.Waits, now.Sub(waiting[t].Created))
		}
	}
	rest := waiting[:0]
	for i := range gone {
		if !gone[i] {
			rest = append(rest, waiting[i])
		}
	}
	return rest
}

// Err tells what a strategy did wrong, or nil.
func (r *Result) Err() error {
	if r.Refused == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d matches break the rules, such as: %s", r.Name, r.Refused, r.Violations[0])
}
