package door

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"torikumi/gameserver/internal/agones"
	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
)

// Server is the game server as the door needs it.
type Server interface {
	// Fresh asks for the newest view, and has it observed before it returns.
	Fresh(ctx context.Context) (agones.View, error)
	// Shutdown asks Agones to end the server. It may be repeated.
	Shutdown(ctx context.Context) error
}

// Options are what a [Door] needs.
type Options struct {
	// Verifier checks tokens, Replay spends them. Required.
	Verifier *token.Verifier
	Replay   *journal.Replay
	// Server is the game server. Required.
	Server Server
	// Policy says when the server ends.
	Policy Policy
	// Capacity is the most players at a time; zero: as many as the roster has,
	// and any number without one.
	Capacity int
	// PresenceFile keeps who is present for a gate that starts anew; empty: in
	// memory only.
	PresenceFile string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger must not be nil.
	Logger *slog.Logger
}

// Door lets players in and out. It is safe for concurrent use.
type Door struct {
	o       Options
	changed chan struct{} // has room for one: the state has changed

	mu       sync.Mutex
	state    State
	stored   *record // what an earlier process has left, until it is used
	fresh    bool    // no token can have been spent before this process
	saveFail bool
}

// New makes a door that nobody passes before it has observed a server. The error
// is that of a presence file that cannot be read.
func New(o Options) (*Door, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	d := &Door{o: o, changed: make(chan struct{}, 1)}
	d.state.reset("", time.Time{})
	var err error
	d.stored, err = loadRecord(o.PresenceFile)
	if errors.Is(err, errRecord) {
		// Starting again and again would not mend it, and lets nobody in.
		o.Logger.Error("going on without what an earlier gate knew", "error", err)
		return d, nil
	}
	return d, err
}

// Observe takes in a view of the game server, in the order of their making.
func (d *Door) Observe(v agones.View) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	before := *s
	s.Seen, s.Server = true, v
	d.observeMatch(before, v)
	d.markFresh(before, v)
	if before.Server.State != v.State || before.Match != s.Match {
		d.o.Logger.Info("game server changed", "gameserver", v.Namespace+"/"+v.Name, "state", v.State, "match", s.Match)
	}
	d.wake()
}

// observeMatch begins anew when the server has come to another match, or is free
// again.
func (d *Door) observeMatch(before State, v agones.View) {
	s := &d.state
	other := before.Server.UID != v.UID || before.Server.Name != v.Name
	switch {
	case v.State == agones.StateAllocated:
		if !before.Seen || other || s.Since.IsZero() || s.Match != v.Match {
			s.reset(v.Match, d.o.Now())
			d.restore(v)
			d.save()
		}
	case v.Ending() || v.State == agones.StateReserved:
		// Whoever is here is still here.
		if other {
			s.reset("", time.Time{})
		}
	default:
		if before.Match != "" || !before.Since.IsZero() || !before.Seen {
			s.reset("", time.Time{})
			if v.State == agones.StateReady {
				d.stored = nil
				d.save()
			}
		}
	}
	if s.Match != "" && s.Match == v.Match && v.Roster != "" && (s.Roster == nil || before.Server.Roster != v.Roster) {
		roster, err := contract.DecodeRoster(v.Roster)
		if err != nil {
			d.o.Logger.Error("roster cannot be read, tokens alone decide", "match", s.Match, "error", err)
			return
		}
		s.setRoster(roster)
	}
}

// markFresh lets the first players of a new match in although there is no record
// of used tokens from before this process: they cannot have been used, as none
// was good for this server yet. A label that was there from the start says
// nothing: it stays on a server that is Ready again.
func (d *Door) markFresh(before State, v agones.View) {
	if d.fresh || (v.Match != "" && (!before.Seen || before.Server.Match == v.Match)) {
		return
	}
	if err := d.o.Replay.MarkFresh(); err != nil {
		d.o.Logger.Error("record of used tokens cannot be written", "error", err)
		return
	}
	d.fresh = true
}

// Snapshot returns the state as it is now, for reading.
func (d *Door) Snapshot() (s State, present, departed []Guest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s = d.state
	s.Present, s.Departed = nil, nil
	return s, sorted(d.state.Present), sorted(d.state.Departed)
}

func (d *Door) wake() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// Run ends the server when it is time to, until ctx ends; then it returns nil.
func (d *Door) Run(ctx context.Context) error {
	backoff := rpc.Backoff{Min: 200 * time.Millisecond, Max: 10 * time.Second}
	var retry time.Time
	for {
		plan, now := d.decide()
		if plan.End == "" {
			retry = time.Time{}
			backoff.Reset()
		} else if !now.Before(retry) {
			d.shutdown(ctx, plan.End)
			// Until the state is seen: calls have been known to get lost.
			retry = d.o.Now().Add(backoff.Next())
			plan.At = retry
		} else {
			plan.At = retry
		}
		if !d.wait(ctx, plan.At) {
			return nil
		}
	}
}

// decide closes the door in the same moment in which the end is decided, so that
// nobody comes in to a server that is about to end. It opens again if the server's
// newest view calls the end off before Agones has been asked.
func (d *Door) decide() (Plan, time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.o.Now()
	plan := Decide(&d.state, d.o.Policy, now)
	if plan.End != "" && !d.state.Closing {
		d.state.Closing = true
		d.o.Logger.Info("shutting the game server down", "reason", plan.End, "match", d.state.Match)
	}
	if plan.End == "" && !d.state.Asked {
		d.state.Closing = false
	}
	return plan, now
}

// shutdown looks once more before it acts: the watch may lag.
func (d *Door) shutdown(ctx context.Context, why string) {
	_, err := d.o.Server.Fresh(ctx)
	if err == nil {
		if plan, _ := d.decide(); plan.End == "" {
			return
		}
		d.mu.Lock()
		d.state.Asked = true
		d.mu.Unlock()
		err = d.o.Server.Shutdown(ctx)
	}
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		d.o.Logger.Warn("the game server could not be shut down, trying again", "reason", why, "error", err)
	}
}

// wait returns false if ctx has ended.
func (d *Door) wait(ctx context.Context, at time.Time) bool {
	var due <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(at.Sub(d.o.Now()))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-d.changed:
	case <-due:
	}
	return true
}
