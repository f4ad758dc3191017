package admission

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Director finds players for a running match.
type Director interface {
	// Fill asks for players, with the errors of torikumi.v1.BackfillService.
	Fill(context.Context, *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error)
}

// fillTimeout bounds a call to a director.
const fillTimeout = 5 * time.Second

// Backfill asks directors for players while they are wanted, until ctx ends; then it
// returns nil. Without an answer it asks again after growing waits.
func (c *Controller) Backfill(ctx context.Context) error {
	backoff := rpc.Backoff{Min: fillSpacing, Max: fillSlow}
	works := rpc.NewHealth(c.o.Logger, "no director finds players for the match, trying again", "a director finds players for the match")
	for {
		plan, match := c.nextFill()
		if !plan.Call {
			if !c.wait(ctx, c.filling, plan.At) {
				return nil
			}
			continue
		}
		answer, err := c.fill(ctx, plan, match)
		if ctx.Err() != nil {
			return nil
		}
		works.Record(err)
		if err == nil {
			backoff.Reset()
		}
		c.filled(plan, match, answer, err, backoff.Next)
	}
}

func (c *Controller) fill(ctx context.Context, plan FillPlan, match string) (*torikumiv1.FillResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, fillTimeout)
	defer cancel()
	req := &torikumiv1.FillRequest{MatchId: match, Players: plan.Players, Banned: plan.Banned, Stop: plan.Stop}
	if !plan.Seen.IsZero() {
		req.RosterJoinTime = timestamppb.New(plan.Seen)
	}
	return c.o.Director.Fill(ctx, req)
}

// nextFill returns what to ask, and gives away the places that the call leaves out: nobody
// comes back into a place that is offered to others.
func (c *Controller) nextFill() (FillPlan, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	if c.o.Director == nil {
		return FillPlan{}, ""
	}
	plan := DecideFill(s, c.o.Policy, c.o.Now())
	if !plan.Call {
		return plan, ""
	}
	for _, player := range plan.Give {
		if err := c.o.Journal.Give(player, s.Expected[player].Joined); err != nil {
			c.recorded.Record(err)
			s.Fill.NotBefore = c.o.Now().Add(fillSpacing)
			return FillPlan{At: s.Fill.NotBefore}, ""
		}
		c.o.Logger.Info("a player's place is given to somebody else", "player", player, "match", s.Presence.Match)
	}
	s.Fill.Open = true
	return plan, s.Presence.Match
}

// filled takes in how a call has ended.
func (c *Controller) filled(plan FillPlan, match string, answer *torikumiv1.FillResponse, err error, backoff func() time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, now := &c.state.Fill, c.o.Now()
	if c.state.Presence.Match != match {
		return
	}
	defer c.wake()
	if err == nil {
		f.answered(plan, answer, now, rand.Float64())
		return
	}
	f.Failure = status.Code(err).String()
	f.NotBefore = now.Add(backoff())
	if plan.Stop && !again(status.Code(err)) {
		*f = Fill{NotBefore: f.NotBefore}
	}
}

// again reports whether a call that has failed with a code may succeed later.
func again(code codes.Code) bool {
	switch code {
	case codes.FailedPrecondition, codes.PermissionDenied, codes.NotFound, codes.InvalidArgument, codes.Unimplemented:
		return false
	}
	return true
}

// Backfilling is what becomes of the request for players.
type Backfilling struct {
	Match string
	// Asked: players are wanted, by the game server or its queue.
	Asked bool
	// Unavailable says why nobody can be searched for; empty if somebody can.
	Unavailable token.Reason
	// Answer is the last one of a director; nil if there is none, or nobody is wanted.
	Answer *torikumiv1.FillResponse
	// Failure names the gRPC code of the last call; empty if it was answered.
	Failure string
}

// Want says whether the game server wants more players. The error is a [*Refusal].
func (c *Controller) Want(ctx context.Context, more bool) (Backfilling, error) {
	if err := c.Await(ctx); err != nil {
		return Backfilling{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	if !s.open() {
		return Backfilling{}, notAllocated()
	}
	if why := c.unavailable(); why != nil {
		return Backfilling{}, why
	}
	want := journal.BackfillStopped
	if more {
		want = journal.BackfillAsked
	}
	if before := s.Presence.Backfill; before != want {
		if err := c.o.Journal.Want(want); err != nil {
			return Backfilling{}, refuse(token.ReasonJournalUnavailable, "the wish cannot be recorded", err)
		}
		c.o.Logger.Info("backfill", "wanted", more, "match", s.Presence.Match)
		c.wake()
	}
	return c.backfilling(), nil
}

// unavailable returns why the match cannot be filled up; mu is held.
func (c *Controller) unavailable() *Refusal {
	switch {
	case c.o.Director == nil:
		return refuse(ReasonNoDirector, "the gate has no --director to ask for players", nil)
	case !c.state.mayFill(c.o.Policy):
		return refuse(ReasonNoBackfill, "the match's queue has no backfill", nil)
	}
	return nil
}

// Backfilling returns the state of the request for players. The error is a [*Refusal].
func (c *Controller) Backfilling(ctx context.Context) (Backfilling, error) {
	if err := c.Await(ctx); err != nil {
		return Backfilling{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backfilling(), nil
}

func (c *Controller) backfilling() Backfilling {
	s := &c.state
	b := Backfilling{Match: s.Presence.Match, Asked: s.asked(c.o.Policy)}
	if !s.open() {
		b.Unavailable = ReasonNotAllocated
	} else if why := c.unavailable(); why != nil {
		b.Unavailable = why.Reason
	}
	if s.wanted(c.o.Policy) {
		b.Answer, b.Failure = s.Fill.Answer, s.Fill.Failure
	}
	return b
}
