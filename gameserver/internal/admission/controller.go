package admission

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Server is the game server as the controller needs it.
type Server interface {
	// Refresh asks for the newest view, and has it observed before it returns.
	Refresh(ctx context.Context) (watch.View, error)
	// Shutdown asks Agones to end the server. It may be repeated.
	Shutdown(ctx context.Context) error
	// SetAdmitted writes on the server that somebody has come for a match. It may
	// be repeated; a view shows it.
	SetAdmitted(ctx context.Context, match string) error
	// Track tells Agones who is in the match. It may be repeated.
	Track(ctx context.Context, where *torikumiv1.Tracking, players []string) error
}

// Options are what a [Controller] needs.
type Options struct {
	// Verifier checks tokens. Required.
	Verifier *token.Verifier
	// Journal spends them and remembers who is here; from now on only the
	// controller uses it. Required.
	Journal *journal.Journal
	// Server is the game server. Required.
	Server Server
	// Director finds players for a running match; nil: nobody does.
	Director Director
	// Policy says when the server ends.
	Policy Policy
	// Capacity is the most players at a time; zero: as many as the roster has,
	// and any number without one.
	Capacity int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger must not be nil.
	Logger *slog.Logger
}

// Controller lets players in and out. It is safe for concurrent use.
type Controller struct {
	o        Options
	changed  chan struct{} // has room for one: the state has changed
	came     chan struct{} // the same, for Tell
	filling  chan struct{} // the same, for Backfill
	tracking chan struct{} // the same, for Track
	observed chan struct{} // closed, and made anew, with the next view; mu guards it
	recorded *rpc.Health   // of what is written to the journal beside admissions

	mu    sync.Mutex // guards the journal too
	state State
	fresh bool // no token can have been spent before this process
	// missing, by admission, is since when no report of the game server has named a stay.
	missing map[string]time.Time
}

// New makes a controller that lets nobody in before it has observed a server.
func New(o Options) *Controller {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Controller{o: o, changed: make(chan struct{}, 1), came: make(chan struct{}, 1), filling: make(chan struct{}, 1), tracking: make(chan struct{}, 1), observed: make(chan struct{}), recorded: rpc.NewHealth(o.Logger,
		"presence cannot be recorded, a new start of the gate would not know who is here", "presence can be recorded again")}
	c.o.Policy.Backfill = o.Director != nil
	c.state.Presence = o.Journal.Presence()
	if o.Journal.Damaged() {
		// Starting again and again would not repair it, and lets nobody in.
		o.Logger.Error("journal is damaged: going on with what can be read of it, tokens from before this start are refused")
	}
	return c
}

// Observe takes in a view of the game server, in the order of their making.
func (c *Controller) Observe(v watch.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	before, match := *s, s.Presence.Match
	s.Server = v
	close(c.observed)
	c.observed = make(chan struct{})
	c.observeMatch(before, v)
	c.markFresh(before, v)
	if before.Server.State != v.State || match != s.Presence.Match {
		c.o.Logger.Info("game server changed", "gameserver", v.Namespace+"/"+v.Name, "state", v.State, "match", s.Presence.Match)
	}
	c.wake()
}

// observeMatch begins anew when the server has come to another match, or is free
// again.
func (c *Controller) observeMatch(before State, v watch.View) {
	s := &c.state
	other := before.Server.UID != v.UID || before.Server.Name != v.Name
	switch {
	case v.State == agones.Allocated:
		if other || !s.Phase.allocated() || s.Presence.Match != v.Match {
			c.begin(EventAllocated, v, v.Match)
		}
	case v.Ending() || v.State == agones.Reserved:
		// Whoever is here is still here.
		if before.Phase == PhaseUnknown {
			s.Phase = s.Phase.Next(EventFree)
		} else if other {
			c.begin(EventFree, v, "")
		}
	case s.Phase.allocated() || v.State == agones.Ready:
		if s.Phase != PhaseWaiting {
			c.begin(EventFree, v, "")
		}
	default:
		s.Phase = s.Phase.Next(EventFree)
	}
	if match := s.Presence.Match; match != "" && match == v.Match && v.Roster != "" && (s.Roster == nil || before.Server.Roster != v.Roster) {
		roster, err := contract.DecodeRoster(v.Roster)
		if err != nil {
			c.o.Logger.Error("roster cannot be read, tokens alone decide", "match", match, "error", err)
			return
		}
		s.setRoster(roster, c.o.Now())
	}
}

// begin begins with an allocation, or with none; mu is held. What an earlier gate has
// recorded of the same allocation is taken over.
func (c *Controller) begin(e Event, v watch.View, match string) {
	s := &c.state
	restored, err := c.o.Journal.Allocate(v.UID, v.Namespace+"/"+v.Name, match, c.o.Now())
	c.recorded.Record(err)
	s.Phase = s.Phase.Next(e)
	s.Presence, s.Roster, s.Expected, s.Fill = c.o.Journal.Presence(), nil, nil, Fill{}
	c.missing = nil
	if restored {
		// An earlier gate may have asked a director for players.
		s.Fill.Open = c.o.Director != nil
		c.o.Logger.Info("presence restored", "match", match, "present", len(s.Presence.Present), "departed", len(s.Presence.Departed))
	}
}

// markFresh lets the first players of a new match in although there is no record
// of used tokens from before this process: they cannot have been used, as none
// was good for this server yet. A label that was there from the start says
// nothing: it stays on a server that is Ready again.
func (c *Controller) markFresh(before State, v watch.View) {
	if c.fresh || (v.Match != "" && (before.Phase == PhaseUnknown || before.Server.Match == v.Match)) {
		return
	}
	if err := c.o.Journal.MarkFresh(); err != nil {
		c.o.Logger.Error("record of used tokens cannot be written", "error", err)
		return
	}
	c.fresh = true
}

// Snapshot is the state at one moment.
type Snapshot struct {
	Match, State string
	// Roster is nil if the match has none.
	Roster *torikumiv1.Roster
	// Given are those of the roster whose places are given to somebody else.
	Given map[string]bool
	// Closed: nobody new comes in. Banned, in order, do not come back.
	Closed bool
	Banned []string
	// Data is the annotation with the match's data.
	Data string
	// Present and Departed are sorted by player.
	Present, Departed []journal.Player
}

// Snapshot returns the state as it is now.
func (c *Controller) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, given := c.state.Presence, make(map[string]bool)
	for player := range p.Given {
		given[player] = c.state.given(player)
	}
	return Snapshot{
		Match: p.Match, State: c.state.Server.State, Roster: c.state.Roster, Given: given,
		Closed: p.Closed, Banned: slices.Sorted(maps.Keys(p.Banned)), Data: c.state.Server.Data,
		Present: journal.Sorted(p.Present), Departed: journal.Sorted(p.Departed),
	}
}

func (c *Controller) wake() {
	for _, ch := range []chan struct{}{c.changed, c.came, c.filling, c.tracking} {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Run ends the server when it is time to, until ctx ends; then it returns nil.
func (c *Controller) Run(ctx context.Context) error {
	backoff := rpc.Backoff{Min: 200 * time.Millisecond, Max: 10 * time.Second}
	var retry time.Time
	for {
		plan, now := c.decide()
		if plan.End == "" {
			retry = time.Time{}
			backoff.Reset()
		} else if !now.Before(retry) {
			c.shutdown(ctx, plan.End)
			// Until the state is seen: calls have been known to get lost.
			retry = c.o.Now().Add(backoff.Next())
			plan.At = retry
		} else {
			plan.At = retry
		}
		if !c.wait(ctx, c.changed, plan.At) {
			return nil
		}
	}
}

// decide lets nobody in any more in the same moment in which the end is decided, so
// that nobody comes in to a server that is about to end. Players may come in again if
// the server's newest view calls the end off before Agones has been asked.
func (c *Controller) decide() (Plan, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, now := &c.state, c.o.Now()
	plan := Decide(s, c.o.Policy, now)
	if plan.End == "" {
		s.Phase = s.Phase.Next(EventStay)
		return plan, now
	}
	if s.Phase == PhaseOpen {
		c.o.Logger.Info("shutting the game server down", "reason", plan.End, "match", s.Presence.Match)
	}
	s.Phase = s.Phase.Next(EventEnd)
	return plan, now
}

// shutdown looks once more before it acts: the watch may lag.
func (c *Controller) shutdown(ctx context.Context, why string) {
	_, err := c.o.Server.Refresh(ctx)
	if err == nil {
		if plan, _ := c.decide(); plan.End == "" {
			return
		}
		c.mu.Lock()
		c.state.Phase = c.state.Phase.Next(EventAsk)
		c.mu.Unlock()
		err = c.o.Server.Shutdown(ctx)
	}
	if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
		c.o.Logger.Warn("the game server could not be shut down, trying again", "reason", why, "error", err)
	}
}

// wait returns false if ctx has ended.
func (c *Controller) wait(ctx context.Context, changed <-chan struct{}, at time.Time) bool {
	var due <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(at.Sub(c.o.Now()))
		defer t.Stop()
		due = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-due:
	}
	return true
}
