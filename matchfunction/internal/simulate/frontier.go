package simulate

import (
	"context"
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/rule"
)

// FrontierOptions say how worlds are played.
type FrontierOptions struct {
	// Cycle is the time between two searches, Length that in which players come,
	// from midnight on, GiveUp how long they wait.
	Cycle, Length, GiveUp time.Duration
	// Check, if not nil, makes what judges the matches of a world.
	Check func(*World) (Checker, error)
}

// Sample is what a policy made of one day of a world.
type Sample struct {
	World  string  `json:"world"`
	Policy string  `json:"policy"`
	Knob   float64 `json:"knob"`
	Seed   uint64  `json:"seed"`
	// Day is of all, Dense of the hours when most come.
	Day   Figures `json:"day"`
	Dense Figures `json:"dense"`
	// Hours are waits by the hour when players came, spreads by that of the match.
	Hours []Figures `json:"hours"`
	// CPUMs is how long the policy thought.
	CPUMs float64 `json:"cpu_ms"`
}

// Figures sum waits and spreads up. Waits are of all who came, those who gave up
// included: as long as they waited.
type Figures struct {
	Tickets    int     `json:"tickets"`
	Left       int     `json:"left"`
	Matches    int     `json:"matches"`
	WaitMean   float64 `json:"wait_mean_s"`
	WaitP50    float64 `json:"wait_p50_s"`
	WaitP95    float64 `json:"wait_p95_s"`
	WaitP99    float64 `json:"wait_p99_s"`
	SpreadMean float64 `json:"spread_mean"`
	SpreadP50  float64 `json:"spread_p50"`
	SpreadP95  float64 `json:"spread_p95"`
}

// Sample plays one day of a world with all policies.
func (o *FrontierOptions) Sample(ctx context.Context, w *World, seed uint64) ([]Sample, error) {
	rs, err := w.Rules(0)
	if err != nil {
		return nil, err
	}
	tickets, err := w.arrivals(rs, o.Length, seed)
	if err != nil {
		return nil, err
	}
	policies, err := w.policies()
	if err != nil {
		return nil, err
	}
	check := func([]*rule.Match, time.Time) []string { return nil }
	if o.Check != nil {
		if check, err = o.Check(w); err != nil {
			return nil, err
		}
	}
	var out []Sample
	for _, p := range policies {
		log, err := o.follow(ctx, tickets, p, check)
		if err != nil {
			return nil, err
		}
		s := Sample{World: w.Name, Policy: p.name, Knob: p.knob, Seed: seed, CPUMs: float64(log.thought.Microseconds()) / 1000}
		s.Day = log.figures(func(time.Duration) bool { return true })
		curve := w.curve()
		s.Dense = log.figures(func(at time.Duration) bool { return curve.At(at) >= w.Dense })
		for hour := range int(math.Ceil(o.Length.Hours())) {
			s.Hours = append(s.Hours, log.figures(func(at time.Duration) bool { return int(at.Hours()) == hour }))
		}
		out = append(out, s)
	}
	return out, nil
}

// diary is what happened to whom.
type diary struct {
	came    []time.Duration
	waited  []time.Duration
	left    []bool
	at      []time.Duration
	spread  []float64
	thought time.Duration
}

// follow plays a day. Who comes so late that the day may end before they give up
// is there, and not counted.
func (o *FrontierOptions) follow(ctx context.Context, tickets []rule.Ticket, p policy, check Checker) (*diary, error) {
	d := &diary{}
	last := o.Length - o.GiveUp
	count := func(t *rule.Ticket, waited time.Duration, left bool) {
		if came := t.Created.Sub(midnight); came <= last {
			d.came, d.waited, d.left = append(d.came, came), append(d.waited, waited), append(d.left, left)
		}
	}
	var waiting []rule.Ticket
	next := 0
	for n := 1; time.Duration(n)*o.Cycle <= o.Length; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		since := time.Duration(n) * o.Cycle
		now := midnight.Add(since)
		waiting = slices.DeleteFunc(waiting, func(t rule.Ticket) bool {
			gone := now.Sub(t.Created) > o.GiveUp
			if gone {
				count(&t, o.GiveUp, true)
			}
			return gone
		})
		for ; next < len(tickets) && !tickets[next].Created.After(now); next++ {
			waiting = append(waiting, tickets[next])
		}
		if n%p.cycles != 0 || len(waiting) == 0 {
			continue
		}
		started := time.Now()
		matches := p.find(ctx, waiting, now)
		d.thought += time.Since(started)
		if len(matches) == 0 {
			continue
		}
		all := make([]*rule.Match, len(matches))
		for i := range matches {
			all[i] = matches[i].match
		}
		if wrong := check(all, now); len(wrong) > 0 {
			return nil, &BrokenError{Policy: p.name, Wrong: wrong}
		}
		taken := make([]bool, len(waiting))
		for _, m := range matches {
			d.at, d.spread = append(d.at, since), append(d.spread, spreadOf(m.match))
			for _, t := range m.tickets {
				taken[t] = true
				count(&waiting[t], now.Sub(waiting[t].Created), false)
			}
		}
		rest := waiting[:0]
		for i := range taken {
			if !taken[i] {
				rest = append(rest, waiting[i])
			}
		}
		waiting = rest
	}
	return d, nil
}

// BrokenError is a match that breaks the rules of its world.
type BrokenError struct {
	Policy string
	Wrong  []string
}

func (e *BrokenError) Error() string { return e.Policy + ": " + e.Wrong[0] }

// spreadOf is the difference of the tickets' skills, which is that of their
// players' mean.
func spreadOf(m *rule.Match) float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, t := range m.Tickets {
		x := 0.0
		for i := range t.Players {
			v, _ := t.Players[i].Attribute("skill")
			x += v.Number / float64(len(t.Players))
		}
		lo, hi = min(lo, x), max(hi, x)
	}
	return hi - lo
}

// figures are those of the times that are in.
func (d *diary) figures(in func(time.Duration) bool) Figures {
	var f Figures
	var waits, spreads []float64
	for i, at := range d.came {
		if in(at) {
			waits = append(waits, d.waited[i].Seconds())
			if d.left[i] {
				f.Left++
			}
		}
	}
	for i, at := range d.at {
		if in(at) {
			spreads = append(spreads, d.spread[i])
		}
	}
	slices.Sort(waits)
	slices.Sort(spreads)
	f.Tickets, f.Matches = len(waits), len(spreads)
	f.WaitMean, f.SpreadMean = meanOf(waits), meanOf(spreads)
	f.WaitP50, f.WaitP95, f.WaitP99 = Percentile(waits, 50), Percentile(waits, 95), Percentile(waits, 99)
	f.SpreadP50, f.SpreadP95 = Percentile(spreads, 50), Percentile(spreads, 95)
	return f
}

func meanOf(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}
