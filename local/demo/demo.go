// Package demo plays the whole path of players on one machine: it starts the
// suite, lets players press Play in every way there is, sends intruders after
// them, and checks from both sides that everybody came where they belong and
// nobody else did.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"torikumi/local/suite"
	"torikumi/pkg/config"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
)

// Options of Run.
type Options struct {
	// Players is how many honest players there are, at least 2; Seed decides
	// who plays what.
	Players int
	Seed    uint64
	// Suite says how to run the suite; Run sets what the demo needs. The players
	// are spread over all of its queues.
	Suite suite.Options
	// Refill plays another match, in a queue of its own beside the built-in ones, that
	// loses a player and gets a new one. Not with Suite.Queues.
	Refill bool
	// Progress gets a line a second.
	Progress io.Writer
}

// MaxPlayers bounds a demo to what one machine can show.
const MaxPlayers = 5000

// Validate reports which options are wrong.
func (o *Options) Validate() error {
	set, err := queues.Load(o.Suite.Queues)
	if err != nil {
		err = config.Within("--queues", err)
	}
	if o.Refill && o.Suite.Queues != "" {
		err = errors.Join(err, errors.New("Refill: must not be set with Suite.Queues"))
	}
	if o.Players < 2 || o.Players > MaxPlayers {
		return errors.Join(err, config.Invalid("players", fmt.Sprintf("must be from 2 to %d", MaxPlayers), o.Players))
	}
	if err == nil {
		_, err = o.tickets(set)
	}
	return err
}

func (o *Options) tickets(set *queues.Set) ([]ticket, error) {
	if o.Suite.Queues == "" {
		return plan(o.Players, o.Seed), nil
	}
	return planQueues(set, o.Players, o.Seed)
}

// Result is what came out.
type Result struct {
	OK bool `json:"ok"`
	// Players are the honest ones, Admitted those of them who got into the
	// server of their match.
	Players  int `json:"players"`
	Admitted int `json:"admitted"`
	// Measured are those who have measured their latency to every region.
	Measured int `json:"measured"`
	// Intruders tried to get in, Refused were refused for the right reason.
	Intruders       int `json:"intruders"`
	Refused         int `json:"refused"`
	Matches         int `json:"matches"`
	ServersRecycled int `json:"servers_recycled"`
	// RefillSeconds is how long a match that a player had left was without another; zero
	// without Options.Refill.
	RefillSeconds float64 `json:"refill_s"`
	WaitP50       float64 `json:"wait_p50_ms"`
	WaitP95       float64 `json:"wait_p95_ms"`

	// Elapsed is the time from the first player to the last recycled server,
	// Started that which the suite took to be ready.
	Elapsed time.Duration `json:"-"`
	Started time.Duration `json:"-"`
	// Err joins everything that is wrong; nil exactly if OK.
	Err error `json:"-"`
}

type demo struct {
	refilled time.Duration // after the leaving
	access   *access
	audit    *audit
	forger   *forger
}

// How many servers wait for a match, and how many there may be.
const (
	readyServers = 12
	maxServers   = 96
)

// Run plays and returns the result. Its error says that it could not even
// start or stop the suite; that something was wrong is in the result.
func Run(ctx context.Context, o Options) (_ Result, err error) {
	set, err := queues.Load(o.Suite.Queues)
	if err != nil {
		return Result{}, err
	}
	tickets, err := o.tickets(set)
	if err != nil {
		return Result{}, err
	}
	if o.Refill {
		var dir string
		if dir, err = os.MkdirTemp("", "torikumi-demo-"); err != nil {
			return Result{}, fmt.Errorf("make a directory for queues: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		if o.Suite.Queues, err = writeQueues(dir); err != nil {
			return Result{}, fmt.Errorf("write the queues: %w", err)
		}
	}
	begin := time.Now()
	o.Suite.Ready, o.Suite.Max = readyServers, maxServers
	o.Suite.PlayToken = rand.Text()
	s, err := suite.Start(ctx, o.Suite)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	started := time.Since(begin)
	fmt.Fprintf(o.Progress, "The suite is up after %.1f s: player API %s, game servers on 127.0.0.1.\n", started.Seconds(), s.URL())

	conn, err := rpc.Dial(s.Addr(suite.Frontend).GRPC)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close()
	forger, err := newForger(s.KeysDir())
	if err != nil {
		return Result{}, fmt.Errorf("prepare the intruders: %w", err)
	}
	d := &demo{access: newAccess(s.URL(), s.IssuerURL(), conn, o.Suite.PlayToken), audit: newAudit(), forger: forger}
	defer d.access.http.CloseIdleConnections()
	r := d.run(ctx, o, s, tickets)
	r.Started = started
	return r, nil
}

// run lets everybody play and waits until the last server is recycled.
func (d *demo) run(ctx context.Context, o Options, s *suite.Suite, tickets []ticket) Result {
	limit := 90*time.Second + time.Duration(len(tickets))*2*arrivalGap
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	sub := s.Fleet().Subscribe()
	var side sync.WaitGroup
	follow, stopFollow := context.WithCancel(context.WithoutCancel(ctx))
	side.Go(func() { d.audit.follow(follow, sub) })
	side.Go(func() { d.progress(follow, o.Progress, o.Players) })
	side.Go(func() {
		select {
		case err := <-s.Failed():
			d.audit.failf("a service failed: %w", err)
			cancel()
		case <-follow.Done():
		}
	})

	begin := time.Now()
	var players sync.WaitGroup
	for _, lane := range lanes(tickets) {
		players.Go(func() { d.playLane(ctx, lane, &players) })
	}
	if o.Refill {
		players.Go(func() {
			var err error
			if d.refilled, err = d.refill(ctx); err != nil {
				d.audit.failf("the match that is filled up: %w", err)
				return
			}
			fmt.Fprintf(o.Progress, "A player has left a match, and another has come in their place after %.1f s.\n", d.refilled.Seconds())
		})
	}
	players.Wait()
	if err := d.audit.waitRecycled(ctx); err != nil {
		d.audit.failf("waiting for the servers to be recycled: %w", err)
	}
	elapsed := time.Since(begin)
	stopFollow()
	sub.Close()
	side.Wait()
	return d.result(o, tickets, elapsed)
}

func (d *demo) result(o Options, tickets []ticket, elapsed time.Duration) Result {
	r := Result{Players: o.Players, Elapsed: elapsed}
	for _, s := range tickets {
		r.Intruders += len(s.intruders)
	}
	r.Err = d.audit.verify()
	r.ServersRecycled, r.Matches = d.audit.recycled()
	r.Admitted, r.Refused = d.audit.admitted, d.audit.refused
	if r.Admitted != r.Players {
		r.Err = errors.Join(r.Err, fmt.Errorf("%d of %d players were admitted", r.Admitted, r.Players))
	}
	if r.Measured = d.audit.measured; r.Measured != r.Players {
		r.Err = errors.Join(r.Err, fmt.Errorf("%d of %d players have measured their latencies", r.Measured, r.Players))
	}
	if r.Refused != r.Intruders {
		r.Err = errors.Join(r.Err, fmt.Errorf("%d of %d intruders were refused", r.Refused, r.Intruders))
	}
	if r.Matches == 0 {
		r.Err = errors.Join(r.Err, errors.New("there was no match"))
	}
	if r.RefillSeconds = d.refilled.Seconds(); o.Refill && d.refilled == 0 {
		r.Err = errors.Join(r.Err, errors.New("no match was filled up"))
	}
	r.OK = r.Err == nil
	ms := func(w time.Duration) float64 { return float64(w.Microseconds()) / 1000 }
	r.WaitP50, r.WaitP95 = ms(percentile(d.audit.waits, 0.50)), ms(percentile(d.audit.waits, 0.95))
	return r
}

// progress writes a line a second, if anything has changed.
func (d *demo) progress(ctx context.Context, w io.Writer, players int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	last := ""
	for {
		gone, all := d.audit.recycled()
		d.audit.mu.Lock()
		line := fmt.Sprintf("players: %3d searching, %3d playing, %3d of %d done · matches: %d · servers recycled: %d · intruders refused: %d",
			d.audit.searching, d.audit.playing, d.audit.left, players, all, gone, d.audit.refused)
		d.audit.mu.Unlock()
		if line != last && all > 0 {
			fmt.Fprintln(w, line)
			last = line
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Summary writes the result for people.
func (r Result) Summary(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-18s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(w)
	row("players", "%d of %d admitted to the server of their match", r.Admitted, r.Players)
	row("latencies", "measured by %d of %d players", r.Measured, r.Players)
	row("intruders", "%d of %d refused", r.Refused, r.Intruders)
	row("matches", "%d", r.Matches)
	if r.RefillSeconds > 0 {
		row("filled up", "a match that a player has left, after %.1f s; the place is kept for 10 s", r.RefillSeconds)
	}
	row("servers recycled", "%d of %d", r.ServersRecycled, r.Matches)
	row("Play to playing", "%.0f ms (p50), %.0f ms (p95)", r.WaitP50, r.WaitP95)
	row("time", "%.1f s, and %.1f s to start", r.Elapsed.Seconds(), r.Started.Seconds())
	if r.OK {
		fmt.Fprintln(w, "\nEverybody came where they belong, and nobody else did.")
		return
	}
	fmt.Fprintf(w, "\nNOT as it should be:\n%v\n", r.Err)
}
