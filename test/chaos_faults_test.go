//go:build chaos && linux

package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// kind is what happens at a point.
type kind string

const (
	// kill ends the director (SIGKILL), and with it what it has asked.
	kill kind = "kill"
	// late is kill, but the call was on its way: it has its effect when the
	// pendingReleaseTimeout is over.
	late kind = "kill, with a late effect"
	// pause stops the director (SIGSTOP) and its call until the pendingReleaseTimeout is
	// over.
	pause kind = "pause"
	// hold holds all calls of the director that come there until the pendingReleaseTimeout
	// is over: they have their effect at once then.
	hold kind = "hold"
	// refuse, unallocated and contention answer without an effect.
	refuse      kind = "refuse"
	unallocated kind = "UnAllocated"
	contention  kind = "Contention"
	// slow answers late, silent does not answer, lose ends the call without an answer.
	slow   kind = "slow"
	silent kind = "never"
	lose   kind = "lose"
)

// fault is one thing that happens once, at a point of one director.
type fault struct {
	kind          kind
	method, phase string
	// prelude brings the director there; it happens again and again until then.
	prelude *fault
}

func (f *fault) String() string {
	text := fmt.Sprintf("%s %s %s", f.kind, f.phase, f.method)
	if f.prelude != nil {
		text += " (after " + f.prelude.String() + ")"
	}
	return text
}

// crashPoints are all calls of a director, before and after their effect.
func crashPoints() []*fault {
	refused := &fault{kind: refuse, method: "AssignTickets", phase: before}
	unknown := &fault{kind: lose, method: "AssignTickets", phase: after}
	var all []*fault
	for _, method := range []string{
		"FetchMatches", "Acquire", "ListGameServers", "Allocate", "Confirm", "AssignTickets", "MarkAssigned",
		"DeleteGameServer", "Drop", "ReleaseTickets", "GetTicket",
	} {
		var prelude *fault
		switch method {
		case "DeleteGameServer", "Drop", "ReleaseTickets":
			prelude = refused
		case "GetTicket":
			prelude = unknown
		}
		all = append(all, &fault{kill, method, before, prelude}, &fault{kill, method, after, prelude})
	}
	return append(all,
		&fault{kind: late, method: "Allocate", phase: before}, &fault{kind: late, method: "AssignTickets", phase: before})
}

// pausePoints are where a director is stopped for longer than it holds its tickets.
func pausePoints() []*fault {
	return []*fault{
		{kind: pause, method: "AssignTickets", phase: before}, {kind: pause, method: "Allocate", phase: after},
		{kind: pause, method: "Acquire", phase: after}, {kind: pause, method: "Confirm", phase: after},
	}
}

// odds are those of a call to fail by chance, in 1000.
var odds = map[string][]struct {
	kind kind
	of   int
}{
	"Allocate " + before:        {{unallocated, 60}, {contention, 60}, {slow, 40}, {silent, 15}},
	"Allocate " + after:         {{lose, 40}, {silent, 15}, {slow, 20}},
	"ListGameServers " + before: {{lose, 30}},
	"AssignTickets " + after:    {{lose, 40}, {slow, 20}},
	"ReleaseTickets " + after:   {{lose, 100}},
	"DeleteGameServer " + after: {{lose, 100}},
	"Acquire " + after:          {{lose, 20}},
	"Confirm " + after:          {{lose, 20}},
	"MarkAssigned " + after:     {{lose, 50}},
}

// round is a time of faults.
type round struct {
	number int
	// points are those of each director, one after the other.
	points [][]*fault
	// killAt kills a director by chance; redisAt, redisFor and wipe are when Redis is
	// killed, for how long, and whether it has lost all then.
	killAt            time.Duration
	killed            int
	redisAt, redisFor time.Duration
	wipe              bool
}

func (r round) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "round %d: kill director %d at %v; kill Redis at %v for %v", r.number, r.killed, r.killAt, r.redisAt, r.redisFor)
	if r.wipe {
		b.WriteString(", it comes back empty")
	}
	for i, points := range r.points {
		fmt.Fprintf(&b, "; director %d: %v", i, points)
	}
	return b.String()
}

// plan makes the rounds of a run. All points of all rounds are used up.
func plan(dice *rand.Rand, points, pauses []*fault, rounds int, wipe bool) []round {
	ms := func(from, to int) time.Duration { return time.Duration(from+dice.IntN(to-from)) * time.Millisecond }
	plan := make([]round, rounds)
	for i := range plan {
		r := round{number: i + 1, points: make([][]*fault, directors), killAt: ms(500, 6000), redisAt: ms(500, 5000), redisFor: ms(100, 1500), wipe: wipe}
		paused := dice.IntN(directors)
		held := (paused + 1) % directors
		r.points[held] = []*fault{{kind: hold, method: "AssignTickets", phase: before}}
		r.killed = (paused + 1 + dice.IntN(directors-1)) % directors
		r.points[paused] = []*fault{pauses[i%len(pauses)]}
		for j := i; j < len(points); j += rounds {
			at := (paused + 1 + j/rounds%(directors-1)) % directors
			r.points[at] = append(r.points[at], points[j])
		}
		plan[i] = r
	}
	return plan
}

// chaosDirector is one director, with all that it talks through.
type chaosDirector struct {
	c    *chaos
	n    int
	args []string

	mu sync.Mutex
	p  *process // nil while it is down
	// all are those that ever ran.
	all []*process
	// points are what is still to happen.
	points []*fault
	// held is closed when calls are not held any more; nil if they are not.
	held chan struct{}
}

// start starts it, again after it was killed.
func (d *chaosDirector) start() {
	ctx, cancel := context.WithTimeout(d.c.ctx, patience)
	defer cancel()
	p, err := run(ctx, "director", d.args)
	if err != nil {
		if d.c.ctx.Err() == nil {
			d.c.violated("process", "director %d does not start: %v", d.n, err)
		}
		return
	}
	d.mu.Lock()
	d.p, d.all = p, append(d.all, p)
	d.mu.Unlock()
	d.c.work.Go(func() {
		<-p.done
		if p.err != nil {
			d.c.violated("process", "director %d: %v", d.n, p.err)
		}
	})
}

// kill ends it without a warning; it is started again in a moment.
func (d *chaosDirector) kill() {
	d.mu.Lock()
	p := d.p
	d.p = nil
	d.mu.Unlock()
	if p == nil {
		return
	}
	p.kill()
	d.c.work.Go(func() {
		d.c.wait(d.c.some(100, 1500))
		d.start()
	})
}

// pause stops it for longer than Open Match's pendingReleaseTimeout.
func (d *chaosDirector) pause() {
	d.mu.Lock()
	p := d.p
	d.mu.Unlock()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGSTOP) // it may be killed meanwhile
	d.c.wait(pending + pending/4)
	_ = p.cmd.Process.Signal(syscall.SIGCONT)
}

// hold holds what comes to a point from now on.
func (d *chaosDirector) hold() <-chan struct{} {
	held := make(chan struct{})
	d.mu.Lock()
	d.held = held
	d.mu.Unlock()
	d.c.work.Go(func() {
		d.c.wait(pending + pending/4)
		d.mu.Lock()
		d.held = nil
		d.mu.Unlock()
		close(held)
	})
	return held
}

// isHeld returns what a call has to wait for, nil for nothing.
func (d *chaosDirector) isHeld(method, phase string) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if method == "AssignTickets" && phase == before {
		return d.held
	}
	return nil
}

// up reports whether it runs.
func (d *chaosDirector) up() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.p != nil
}

func (d *chaosDirector) arm(points []*fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.points = append(d.points, slices.Clone(points)...)
}

// left are the points that it has not come to.
func (d *chaosDirector) left() []*fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.points)
}

func (d *chaosDirector) disarm() (left []*fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left, d.points = d.points, nil
	return left
}

// next takes the fault of a point, if there is one: the first that is left, or its
// prelude. Another fault is not taken, so that points come one after the other.
func (d *chaosDirector) next(method, phase string) kind {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.p == nil || len(d.points) == 0 {
		return ""
	}
	f := d.points[0]
	if f.method == method && f.phase == phase {
		d.points = d.points[1:]
		d.c.t.Logf("director %d: %v", d.n, f)
		return f.kind
	}
	if p := f.prelude; p != nil && p.method == method && p.phase == phase {
		return p.kind
	}
	return ""
}

// meet has happen what is to happen at a point. An error ends the call; else the call
// goes on, with the context that is returned.
func (d *chaosDirector) meet(ctx context.Context, method, phase string) (context.Context, error) {
	d.c.ongoing.Add(1)
	defer d.c.ongoing.Add(-1)
	if held := d.isHeld(method, phase); held != nil {
		<-held
		return d.c.ctx, nil
	}
	k := d.next(method, phase)
	if k == "" {
		k = d.c.chance(method + " " + phase)
	}
	switch k {
	case kill:
		d.kill()
		return ctx, errLost
	case late:
		d.kill()
		d.c.wait(pending + pending/4)
		return d.c.ctx, nil
	case pause:
		d.pause()
		return d.c.ctx, nil
	case hold:
		<-d.hold()
		return d.c.ctx, nil
	case refuse:
		return ctx, status.Error(codes.PermissionDenied, "not now")
	case unallocated:
		return ctx, status.Error(codes.ResourceExhausted, "there is no available GameServer to allocate")
	case contention:
		return ctx, status.Error(codes.Aborted, "Contention")
	case lose:
		return ctx, errLost
	case slow:
		d.c.wait(d.c.some(200, 2000))
	case silent:
		<-ctx.Done()
		return ctx, errLost
	}
	return ctx, nil
}
