//go:build chaos && linux

package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
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

// fault is one thing that happens once, at a point of whichever director that has it
// comes there first.
type fault struct {
	taken         atomic.Bool
	kind          kind
	method, phase string
	// prelude brings the director there; it happens again and again once this is the first
	// that is left.
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
		all = append(all, &fault{kind: kill, method: method, phase: before, prelude: prelude}, &fault{kind: kill, method: method, phase: after, prelude: prelude})
	}
	return append(all,
		&fault{kind: late, method: "Allocate", phase: before}, &fault{kind: late, method: "AssignTickets", phase: before})
}

// backfillPoints are the calls of a director that fills a match up, before and after
// their effect.
func backfillPoints() []*fault {
	var all []*fault
	for _, method := range []string{
		"ReviewToken", "CreateBackfill", "GetBackfill", "AcquireJoiner", "AnnotateGameServer", "ConfirmJoiner", "AcknowledgeBackfill",
		"MarkJoinerAssigned", "UpdateBackfill", "DeleteBackfill",
	} {
		all = append(all, &fault{kind: kill, method: method, phase: before}, &fault{kind: kill, method: method, phase: after})
	}
	return append(all, &fault{kind: late, method: "AcknowledgeBackfill", phase: before})
}

// pausePoints are where a director is stopped for longer than it holds its tickets.
func pausePoints() []*fault {
	return []*fault{
		{kind: pause, method: "AssignTickets", phase: before}, {kind: pause, method: "Allocate", phase: after},
		{kind: pause, method: "Acquire", phase: after}, {kind: pause, method: "Confirm", phase: after},
	}
}

// backfillPauses are the same of filling a match up.
func backfillPauses() []*fault {
	return []*fault{
		{kind: pause, method: "AcknowledgeBackfill", phase: before}, {kind: pause, method: "AnnotateGameServer", phase: after},
	}
}

// odds are those of a call to fail by chance, in 1000.
var odds = map[string][]struct {
	kind kind
	of   int
}{
	before + " Allocate":        {{unallocated, 60}, {contention, 60}, {slow, 40}, {silent, 15}},
	after + " Allocate":         {{lose, 40}, {silent, 15}, {slow, 20}},
	before + " ListGameServers": {{lose, 30}},
	after + " AssignTickets":    {{lose, 40}, {slow, 20}},
	after + " ReleaseTickets":   {{lose, 100}},
	after + " DeleteGameServer": {{lose, 100}},
	after + " Acquire":          {{lose, 20}},
	after + " Confirm":          {{lose, 20}},
	after + " MarkAssigned":     {{lose, 50}},

	after + " AcquireJoiner":       {{lose, 20}},
	after + " ConfirmJoiner":       {{lose, 20}},
	after + " CreateBackfill":      {{lose, 50}},
	after + " UpdateBackfill":      {{lose, 50}},
	after + " DeleteBackfill":      {{lose, 50}},
	after + " AcknowledgeBackfill": {{lose, 50}, {slow, 20}},
	after + " AnnotateGameServer":  {{lose, 50}, {slow, 20}},
	before + " GetBackfill":        {{lose, 20}},
	before + " ReviewToken":        {{lose, 20}},
}

// round is a time of faults.
type round struct {
	number int
	// points are those of each director.
	points [][]*fault
	// killAt kills a director by chance; redisAt, redisFor and wipe are when Redis is
	// killed, for how long, and whether it has lost all then.
	killAt            time.Duration
	killed            int
	redisAt, redisFor time.Duration
	wipe              bool
	// frontends are when which frontend is killed.
	frontends []killing
}

// killing is when one of several is killed.
type killing struct {
	at time.Duration
	n  int
}

func (k killing) String() string { return fmt.Sprintf("%d at %v", k.n, k.at) }

func (r round) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "round %d: kill director %d at %v; kill Redis at %v for %v", r.number, r.killed, r.killAt, r.redisAt, r.redisFor)
	if r.wipe {
		b.WriteString(", it comes back empty")
	}
	fmt.Fprintf(&b, "; kill frontends %v", r.frontends)
	for i, points := range r.points {
		fmt.Fprintf(&b, "; director %d: %v", i, points)
	}
	return b.String()
}

// plan makes the rounds of a run. All points of all rounds are used up; those of
// backfills, which take a while to come about, after the first round.
func plan(dice *rand.Rand, points, backfills, pauses []*fault, rounds int, wipe bool) []round {
	ms := func(from, to int) time.Duration { return time.Duration(from+dice.IntN(to-from)) * time.Millisecond }
	plan := make([]round, rounds)
	for i := range plan {
		r := round{number: i + 1, points: make([][]*fault, directors), killAt: ms(500, 6000), redisAt: ms(500, 5000), redisFor: ms(100, 1500), wipe: wipe}
		for range frontends {
			r.frontends = append(r.frontends, killing{ms(500, 6500), dice.IntN(frontends)})
		}
		paused := dice.IntN(directors)
		other := func(n int) int { return (paused + 1 + n%(directors-1)) % directors }
		r.killed = other(dice.IntN(directors - 1))
		r.points[paused] = []*fault{pauses[i%len(pauses)]}
		r.points[other(0)] = []*fault{{kind: hold, method: "AssignTickets", phase: before}}
		r.points[other(1)] = []*fault{{kind: hold, method: "FetchMatches", phase: each}}
		own := share(points, i, rounds)
		if late := max(rounds-1, 1); i > 0 || rounds == 1 {
			own = append(own, share(backfills, max(i-1, 0), late)...)
		}
		for j, f := range own {
			at := (paused + 1 + j) % directors
			r.points[at] = append(r.points[at], f)
		}
		plan[i] = r
	}
	return plan
}

// share is the i-th of n shares of points.
func share(points []*fault, i, n int) (own []*fault) {
	for ; i < len(points); i += n {
		own = append(own, points[i])
	}
	return own
}

// chaosDirector is one director, with all that it talks through.
type chaosDirector struct {
	mortal
	// points are what is still to happen. They and held have mortal's mu.
	points []*fault
	// held are the points at which calls are held, each closed when they go on.
	held map[string]chan struct{}
	// confirmed are matches, with the address of each, whose place it has confirmed in
	// Redis, or has begun to.
	confirmed map[string]bool
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
func (d *chaosDirector) hold(point string) <-chan struct{} {
	held := make(chan struct{})
	d.mu.Lock()
	d.held[point] = held
	d.mu.Unlock()
	d.c.work.Go(func() {
		d.c.wait(pending + pending/4)
		d.mu.Lock()
		delete(d.held, point)
		d.mu.Unlock()
		close(held)
	})
	return held
}

// isHeld returns what a call at a point has to wait for, nil for nothing.
func (d *chaosDirector) isHeld(point string) <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[point]
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
	return d.untaken()
}

// untaken are the points that no director has come to; mu is held.
func (d *chaosDirector) untaken() []*fault {
	d.points = slices.DeleteFunc(d.points, func(f *fault) bool { return f.taken.Load() })
	return slices.Clone(d.points)
}

func (d *chaosDirector) disarm() (left []*fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left = d.untaken()
	d.points = nil
	return left
}

// next takes the fault of a point, if there is one, in whatever order the director comes
// to them, or the prelude of the first that is left.
func (d *chaosDirector) next(method, phase string) kind {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.p == nil || len(d.untaken()) == 0 {
		return ""
	}
	for i, f := range d.points {
		if f.method == method && f.phase == phase && f.taken.CompareAndSwap(false, true) {
			d.points = slices.Delete(d.points, i, i+1)
			d.c.t.Logf("%s %d: %v", d.service, d.n, f)
			return f.kind
		}
	}
	if p := d.points[0].prelude; p != nil && p.method == method && p.phase == phase {
		return p.kind
	}
	return ""
}

// meet has happen what is to happen at a point. An error ends the call; else the call
// goes on, with the context that is returned.
func (d *chaosDirector) meet(ctx context.Context, method, phase string) (context.Context, error) {
	d.c.ongoing.Add(1)
	defer d.c.ongoing.Add(-1)
	point := phase + " " + method
	if held := d.isHeld(point); held != nil {
		<-held
		return d.c.ctx, nil
	}
	k := d.next(method, phase)
	if k == "" {
		k = d.c.chance(point)
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
		<-d.hold(point)
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
