package admission

import (
	"cmp"
	"context"
	"errors"

	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/token"
)

// Admission is what the dedicated server learns of a player who is let in.
type Admission struct {
	Player, Team, Match string
	// ID is that of the token. A departure that names it cannot end a later
	// admission of the same player.
	ID string
	// Reconnect: the player was here before, and may still be connected.
	Reconnect bool
}

// Admit lets the owner of a token in, once. The checks, in this order: those of
// [token.Verifier], roster, capacity, and last that the token was not used. Only a
// token that lets somebody in is spent: who hears "full" can come again with it.
// Attempt, unless empty, names the request: asked again with the same token and
// the same attempt, the answer is the same as long as the player has not left.
// The error is a [*Refusal].
func (c *Controller) Admit(ctx context.Context, raw, attempt string) (Admission, error) {
	claims, refusal := c.verify(ctx, raw)
	if refusal != nil {
		return Admission{}, refusal
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	if !s.open() {
		return Admission{}, notAllocated()
	}
	match := s.Presence.Match
	if match != claims.MatchID {
		return Admission{}, &Refusal{Reason: token.ReasonWrongMatch, Detail: "the server has come to another match"}
	}
	team, expected := s.Expected[claims.Subject]
	if len(s.Expected) > 0 && !expected {
		return Admission{}, &Refusal{Reason: ReasonNotOnRoster, Detail: "the match does not expect this player"}
	}
	if !expected {
		team = claims.Team
	}
	here, present := s.Presence.Present[claims.Subject]
	if present && attempt != "" && here.Attempt == attempt && here.Admission == claims.ID {
		return Admission{Player: here.Player, Team: here.Team, Match: match, ID: here.Admission}, nil
	}
	if limit := cmp.Or(c.o.Capacity, len(s.Expected)); !present && limit > 0 && len(s.Presence.Present) >= limit {
		return Admission{}, &Refusal{Reason: ReasonFull, Detail: "no place is free", Retryable: true}
	}
	player := journal.Player{Player: claims.Subject, Team: team, Since: c.o.Now(), Admission: claims.ID, Attempt: attempt}
	reconnect, err := c.o.Journal.Admit(player, claims.Expiry, claims.IssuedAt)
	if err != nil {
		return Admission{}, refusalOf(err)
	}
	c.wake()
	c.o.Logger.Info("player admitted", "player", player.Player, "match", match, "reconnect", reconnect)
	return Admission{Player: player.Player, Team: team, Match: match, ID: player.Admission, Reconnect: reconnect}, nil
}

// verify checks the token by what is known of the server. If only the match is
// wrong, it asks once more which match it is: players can be faster than the
// watch. Strangers cannot cause that question, because the signature comes first.
func (c *Controller) verify(ctx context.Context, raw string) (token.JoinClaims, *Refusal) {
	if err := c.Await(ctx); err != nil {
		return token.JoinClaims{}, refusalOf(err)
	}
	want := c.expectation()
	claims, err := c.o.Verifier.Verify(ctx, raw, want)
	var t *token.Refusal
	if errors.As(err, &t) && t.Reason == token.ReasonWrongMatch {
		if _, err := c.o.Server.Refresh(ctx); err != nil {
			return token.JoinClaims{}, sdkUnavailable(err)
		}
		if want = c.expectation(); want.MatchID == "" {
			return token.JoinClaims{}, notAllocated()
		}
		claims, err = c.o.Verifier.Verify(ctx, raw, want)
	}
	if err != nil {
		return token.JoinClaims{}, refusalOf(err)
	}
	return claims, nil
}

func notAllocated() *Refusal {
	return &Refusal{Reason: ReasonNotAllocated, Detail: "the server is not allocated for a match", Retryable: true}
}

func sdkUnavailable(err error) *Refusal {
	return &Refusal{Reason: ReasonSDKUnavailable, Detail: watch.ErrUnavailable.Error(), Retryable: true, Fault: true, cause: err}
}

// expectation has no match unless the server is allocated.
func (c *Controller) expectation() token.Expectation {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	want := token.Expectation{Audience: token.Audience(s.Server.Namespace, s.Server.Name)}
	if s.open() {
		want.MatchID = s.Presence.Match
	}
	return want
}

// Await returns when the server has been observed. Before that, what an earlier
// gate knew is not yet taken over: a departure would come to nothing, and the
// roster would be empty. The error is a [*Refusal].
func (c *Controller) Await(ctx context.Context) error {
	c.mu.Lock()
	phase := c.state.Phase
	c.mu.Unlock()
	if phase != PhaseUnknown {
		return nil
	}
	if _, err := c.o.Server.Refresh(ctx); err != nil {
		return sdkUnavailable(err)
	}
	return nil
}

// Depart takes note that a player has left. With an admission, only the stay
// that it began is ended: the report may have been overtaken by the player's
// return. The error is ErrNotPresent if the player is not here, or a [*Refusal]
// if that cannot be said yet.
func (c *Controller) Depart(ctx context.Context, player, admission string) error {
	if err := c.Await(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	here, ok := c.state.Presence.Present[player]
	if !ok {
		return ErrNotPresent
	}
	if admission != "" && here.Admission != admission {
		return nil
	}
	c.recorded.Record(c.o.Journal.Depart(player, c.o.Now(), false))
	c.wake()
	c.o.Logger.Info("player left", "player", player, "match", c.state.Presence.Match)
	return nil
}
