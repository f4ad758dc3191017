package loadgen

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a run found. Durations are in milliseconds unless their names
// say otherwise.
type Report struct {
	// OK: nothing was lost, refused or malformed, and the run came to its end.
	OK     bool   `json:"ok"`
	Target string `json:"target"`
	Wait   string `json:"wait"`

	Rate            float64 `json:"rate"`
	DurationSeconds float64 `json:"duration_seconds"`
	WarmupSeconds   float64 `json:"warmup_seconds"`
	// Scheduled tickets were due; those that were not started were still to
	// come when the run was interrupted.
	Scheduled    int            `json:"scheduled"`
	Started      int            `json:"started"`
	Created      int            `json:"created"`
	CreateErrors map[string]int `json:"create_errors"`
	Assigned     int            `json:"assigned"`
	// AssignedPerSecond is while tickets were made: who is assigned after that
	// is not in it.
	AssignedPerSecond float64        `json:"assigned_per_second"`
	Lost              int            `json:"lost"`
	LostBy            map[string]int `json:"lost_by"`
	Interrupted       int            `json:"interrupted"`
	DeleteErrors      int            `json:"delete_errors"`

	Matches     int            `json:"matches"`
	Malformed   int            `json:"malformed"`
	MalformedBy map[string]int `json:"malformed_by"`

	// Latency is from when a ticket was due to its assignment, CreateLatency to
	// the answer to its creation, Lag to when the generator began with it.
	Latency       Quantiles `json:"latency_ms"`
	CreateLatency Quantiles `json:"create_latency_ms"`
	Lag           Quantiles `json:"generator_lag_ms"`
	// GeneratorLimited: the generator fell so far behind its schedule that the
	// figures are about it, or about a machine without CPU time left, rather
	// than about the target.
	GeneratorLimited bool `json:"generator_limited"`

	// Play is about the players who joined, with Config.Stay alone.
	Play *Play `json:"play,omitempty"`

	Generator Usage    `json:"generator"`
	Process   *Usage   `json:"target_process,omitempty"`
	Machine   *Machine `json:"machine,omitempty"`
	Idle      *Idle    `json:"idle,omitempty"`

	Errors []string `json:"errors,omitempty"`
}

// Quantiles of durations, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (q Quantiles) String() string {
	return fmt.Sprintf("p50 %.1f  p95 %.1f  p99 %.1f  max %.1f ms", q.P50, q.P95, q.P99, q.Max)
}

// Play is what became of the players who were assigned.
type Play struct {
	// Joined came in, Left left when their time was over.
	Joined int `json:"joined"`
	Left   int `json:"left"`
	// FailedBy counts the others by why they did not get in, or had to go.
	FailedBy map[string]int `json:"failed_by"`
	// Latency is from the assignment until the server let the player in.
	Latency Quantiles `json:"latency_ms"`
}

// Idle is what the watchers that wait for nothing cost.
type Idle struct {
	Watchers int     `json:"watchers"`
	Seconds  float64 `json:"seconds"`
	// CPU of the target without and with them, in CPUs; absent if it is not
	// our child.
	CPUBefore *float64 `json:"cpu_before,omitempty"`
	CPUWith   *float64 `json:"cpu_with,omitempty"`
	// Broken watchers got an answer, or an error, before the end.
	Broken int `json:"broken"`
}

// lagBound is how far behind its schedule, at the 99th percentile, the generator
// may be before its figures are worth nothing.
const lagBound = 50 * time.Millisecond

// fullMachine is the share of its CPUs from which on a machine has none left
// for those who have to be in time.
const fullMachine = 0.9

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (h *histogram) quantiles() Quantiles {
	return Quantiles{P50: ms(h.quantile(0.5)), P95: ms(h.quantile(0.95)), P99: ms(h.quantile(0.99)), Max: ms(h.max)}
}

// fill takes the counts over; no ticket is under way any more.
func (r *Report) fill(s *stats, stay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Started, r.Created, r.Assigned, r.Lost, r.Interrupted = s.started, s.created, s.assigned, s.lost, s.interrupted
	r.CreateErrors, r.LostBy, r.DeleteErrors, r.Errors = s.createErrors, s.lostBy, s.undeleted, s.messages
	r.Matches, r.Malformed, r.MalformedBy = s.matches.finish(s.lost + s.interrupted)
	r.Latency, r.CreateLatency, r.Lag = s.latency.quantiles(), s.create.quantiles(), s.lag.quantiles()
	if stay > 0 {
		r.Play = &Play{Joined: int(s.join.n), Left: s.left, FailedBy: s.failedBy, Latency: s.join.quantiles()}
	}
	r.GeneratorLimited = s.lag.quantile(0.99) > lagBound
	r.AssignedPerSecond = float64(s.inTime) / r.DurationSeconds
	r.OK = r.Assigned == r.Scheduled && r.Malformed == 0 && (r.Idle == nil || r.Idle.Broken == 0) &&
		(r.Play == nil || r.Play.Left == r.Assigned)
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteText writes the report for people.
func (r *Report) WriteText(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	if r.Scheduled > 0 {
		fmt.Fprintf(w, "%s by %s, %g tickets/s for %gs\n\n", r.Target, r.Wait, r.Rate, r.DurationSeconds)
		r.writeTickets(row)
		r.writeMachine(row)
	}
	if r.Idle != nil {
		row("idle watchers", "%s", r.Idle)
	}
	for _, e := range r.Errors {
		row("error", "%s", e)
	}
	if r.GeneratorLimited {
		limit := "generator"
		if m := r.Machine; m != nil && m.Busy > fullMachine*float64(m.CPUs) {
			limit = "machine, and so the generator,"
		}
		fmt.Fprintf(w, "\nThe %s is the limit: it was more than %s behind its schedule for one ticket in a hundred.\n", limit, lagBound)
	}
}

func (r *Report) writeTickets(row func(name, format string, args ...any)) {
	row("created", "%d of %d%s", r.Created, r.Scheduled, counts(r.CreateErrors))
	row("assigned", "%d (%.0f/s)", r.Assigned, r.AssignedPerSecond)
	row("lost", "%d%s", r.Lost, counts(r.LostBy))
	if r.Interrupted > 0 {
		row("interrupted", "%d", r.Interrupted)
	}
	if r.DeleteErrors > 0 {
		row("delete errors", "%d", r.DeleteErrors)
	}
	row("matches", "%d", r.Matches)
	row("malformed", "%d%s", r.Malformed, counts(r.MalformedBy))
	if p := r.Play; p != nil {
		failed := 0
		for n := range maps.Values(p.FailedBy) {
			failed += n
		}
		row("joined", "%d, %d left in the end, %d failed%s", p.Joined, p.Left, failed, counts(p.FailedBy))
		row("assigned to joined", "%s", p.Latency)
	}
	for _, q := range []struct {
		name string
		Quantiles
	}{{"due to assigned", r.Latency}, {"due to created", r.CreateLatency}, {"generator's lag", r.Lag}} {
		row(q.name, "%s", q.Quantiles)
	}
}

func (r *Report) writeMachine(row func(name, format string, args ...any)) {
	row("generator", "%s", r.Generator)
	if r.Process != nil {
		row("target", "%s", *r.Process)
	}
	if m := r.Machine; m != nil {
		row("machine", "%.2f of %d CPUs busy", m.Busy, m.CPUs)
	}
}

func (i *Idle) String() string {
	text := fmt.Sprintf("%d, %d broken", i.Watchers, i.Broken)
	if i.CPUBefore != nil && i.CPUWith != nil {
		text += fmt.Sprintf("; target used %.3f CPUs without them, %.3f with them", *i.CPUBefore, *i.CPUWith)
	}
	return text
}

func counts(by map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, by[k]))
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
