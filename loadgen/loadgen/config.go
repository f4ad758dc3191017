// Package loadgen is the load generator: it makes tickets at a fixed rate at the
// front of a matchmaker, waits for their assignments as game clients do, and
// reports how long they took, what was lost and which matches were wrong. It
// stands where the players stand, before Open Match's frontend or our own, and
// knows nothing of what is behind.
//
// The rate is an open loop: ticket i is due at i/rate after the start, whatever
// became of those before it, and its latency counts from when it was due. A
// target that stalls is thus charged for all the tickets that came meanwhile.
package loadgen

import (
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/pkg/config"
	"torikumi/proto/openmatch"
)

// Targets.
const (
	OpenMatch = "open-match"
	Frontend  = "frontend"
)

// Ways to wait for an assignment.
const (
	Watch    = "watch"
	Poll     = "poll"
	SSE      = "sse"
	LongPoll = "long-poll"
)

// Config holds the settings of a run.
type Config struct {
	Target       string `flag:"target" default:"open-match" rule:"open-match or frontend" help:"What to load: open-match (Open Match's frontend service) or frontend (ours, with player tokens)."`
	OpenMatch    string `flag:"open-match" default:"127.0.0.1:50504" rule:"host:port" help:"Open Match's frontend service (gRPC)."`
	Frontend     string `flag:"frontend" default:"http://127.0.0.1:8080" rule:"url" help:"Our frontend over HTTP, for --wait=poll, sse and long-poll."`
	FrontendCA   string `flag:"frontend-ca" help:"File with the authorities (PEM) of an https:// frontend's certificate; none: the system's."`
	FrontendGRPC string `flag:"frontend-grpc" default:"127.0.0.1:50600" rule:"host:port" help:"Our frontend over gRPC, for --wait=watch."`
	Issuer       string `flag:"issuer" default:"http://127.0.0.1:8081" rule:"url" help:"Development issuer that gives player tokens, for --target=frontend."`
	Up           string `flag:"up" help:"Start \"torikumi up\" with these settings on free ports, load it and stop it, as in --up=\"--fleet=virtual:20000\"; its CPU time and memory are reported. Replaces the addresses above."`

	Rate     float64       `flag:"rate" default:"100" help:"Tickets per second; 0 with --idle makes none but the idle ones."`
	Duration time.Duration `flag:"duration" default:"30s" rule:"positive" help:"How long tickets are made."`
	Warmup   time.Duration `flag:"warmup" default:"0s" help:"Tickets that are due in this first part of --duration are left out of the latencies, and of nothing else."`

	Wait         string        `flag:"wait" default:"watch" rule:"watch, poll, sse or long-poll" help:"How a ticket waits: watch (a gRPC stream each) or poll; for --target=frontend also sse or long-poll."`
	PollInterval time.Duration `flag:"poll-interval" default:"100ms" rule:"positive" help:"Pause between two readings of a ticket with --wait=poll."`
	Timeout      time.Duration `flag:"timeout" default:"30s" rule:"positive" help:"A ticket without an assignment this long after it was due is lost; with --stay, a player who gets no answer for so long has not joined."`
	Delete       bool          `flag:"delete" default:"true" help:"Delete each ticket after its assignment (--target=open-match; our frontend does so by itself)."`
	Connections  int           `flag:"connections" default:"8" rule:"from 1 to 1024" help:"gRPC connections to spread the tickets over."`

	Queue     string   `flag:"queue" default:"session" required:"tickets of no queue match nobody" help:"Queue of the tickets, as the tag mode.QUEUE."`
	Regions   []string `flag:"regions" default:"eu,us" help:"Regions that the tickets are dealt to in turn, as the string arg region; none with --regions=\"\"."`
	Skill     float64  `flag:"skill" default:"1500" help:"Mean of the players' skill, the double arg skill."`
	SkillDev  float64  `flag:"skill-deviation" default:"200" help:"Standard deviation of the skill."`
	Seed      int      `flag:"seed" default:"1" help:"Decides the skills; the same for the same number."`
	Ticket    string   `flag:"ticket" help:"File with an openmatch.Ticket as JSON that every ticket is a copy of, in place of --queue, --regions and --skill."`
	MatchSize int      `flag:"match-size" default:"2" rule:"from 0 to 1000" help:"Tickets in a right match; 0: any number is right."`
	// ReuseAfter separates a server that is used again from one that two matches
	// share.
	ReuseAfter time.Duration `flag:"reuse-after" default:"1s" rule:"not negative" help:"A connection that is given to another match sooner than this is shared by both, and both are malformed."`
	Stay       time.Duration `flag:"stay" default:"0s" rule:"not negative" help:"With --target=frontend: each player joins the game server, which has to be the reference server, stays this long and leaves; 0: nobody joins."`
	Players    int           `flag:"players" default:"0" rule:"not negative" help:"Players that take turns with --target=frontend, as each can search once at a time; 0: those of ten seconds and of the stay. Nobody is let search who plays still."`

	Idle     int           `flag:"idle" default:"0" rule:"from 0 to 1000000" help:"Tickets that match nobody and are watched all the time (--target=open-match)."`
	IdleTime time.Duration `flag:"idle-time" default:"10s" rule:"positive" help:"With --idle: how long the CPU time of the target is measured before the rate starts, without and then with the idle watchers."`

	JSON string `flag:"json" help:"File for the report as JSON; - is standard output, and progress then goes to standard error."`

	shape *openmatch.Ticket
	// authorities are the frontend's; nil: the system's.
	authorities *x509.CertPool
}

// Bounds of the settings: beyond them this machine's memory decides.
const (
	maxRate    = 100_000
	maxTickets = 100_000_000
)

// Validate reports which settings are wrong, all at once.
func (c *Config) Validate() error {
	var errs []error
	bad := func(flag, rule string, value any) { errs = append(errs, config.Invalid(flag, rule, value)) }
	// The comparisons also catch NaN.
	if !(c.Rate > 0 && c.Rate <= maxRate) && !(c.Rate == 0 && c.Idle > 0) {
		bad("rate", fmt.Sprintf("must be above 0 and at most %d; 0 only with --idle", maxRate), c.Rate)
	} else if c.Rate*c.Duration.Seconds() > maxTickets {
		bad("rate", fmt.Sprintf("times --duration must be at most %d tickets", maxTickets), c.Rate)
	}
	if c.Warmup < 0 || (c.Duration > 0 && c.Warmup >= c.Duration) {
		bad("warmup", "must be less than --duration and not negative", c.Warmup)
	}
	if c.Idle > 0 && c.Target == Frontend {
		bad("idle", "works with --target=open-match alone", c.Idle)
	}
	if c.Target == OpenMatch && (c.Wait == SSE || c.Wait == LongPoll) {
		bad("wait", "must be watch or poll with --target=open-match", c.Wait)
	}
	if c.Stay > 0 && c.Target == OpenMatch {
		bad("stay", "works with --target=frontend alone, which gives join tokens", c.Stay)
	}
	for _, r := range c.Regions {
		if r == "" {
			bad("regions", "must not name an empty region", fmt.Sprint(c.Regions))
		}
	}
	if math.IsNaN(c.Skill) || math.IsInf(c.Skill, 0) {
		bad("skill", "must be finite", c.Skill)
	}
	if !(c.SkillDev >= 0) || math.IsInf(c.SkillDev, 0) {
		bad("skill-deviation", "must be finite and not negative", c.SkillDev)
	}
	if c.Ticket != "" {
		errs = append(errs, c.readTicket())
	}
	if c.FrontendCA != "" {
		errs = append(errs, c.readFrontendCA())
	}
	return errors.Join(errs...)
}

func (c *Config) readTicket() error {
	if c.Target == Frontend {
		return config.Invalid("ticket", "works with --target=open-match alone", c.Ticket)
	}
	raw, err := os.ReadFile(c.Ticket)
	if err != nil {
		return fmt.Errorf("--ticket: %w", err)
	}
	shape, err := parseTicket(raw)
	if err != nil {
		return fmt.Errorf("--ticket: %s: %w", c.Ticket, err)
	}
	c.shape = shape
	return nil
}

func (c *Config) readFrontendCA() error {
	raw, err := os.ReadFile(c.FrontendCA)
	if err != nil {
		return fmt.Errorf("--frontend-ca: %w", err)
	}
	c.authorities = x509.NewCertPool()
	if !c.authorities.AppendCertsFromPEM(raw) {
		return config.Invalid("frontend-ca", "must hold certificates as PEM", c.FrontendCA)
	}
	return nil
}

// parseTicket reads a ticket that Open Match would take.
func parseTicket(raw []byte) (*openmatch.Ticket, error) {
	t := new(openmatch.Ticket)
	if err := protojson.Unmarshal(raw, t); err != nil {
		return nil, fmt.Errorf("must hold an openmatch.Ticket as JSON: %w", err)
	}
	switch {
	case t.GetId() != "":
		return nil, errors.New("id: must not be set, Open Match chooses it")
	case t.GetAssignment() != nil:
		return nil, errors.New("assignment: must not be set")
	case t.GetCreateTime() != nil:
		return nil, errors.New("create_time: must not be set")
	}
	return t, nil
}
