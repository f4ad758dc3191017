package door

import (
	"context"
	"errors"

	"torikumi/gameserver/internal/agones"
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
// token that opens the door is spent: who hears "full" can come again with it.
// Attempt, unless empty, names the request: asked again with the same token and
// the same attempt, the answer is the same as long as the player has not left.
// The error is a [*Refusal].
func (d *Door) Admit(ctx context.Context, raw, attempt string) (Admission, error) {
	claims, refusal := d.verify(ctx, raw)
	if refusal != nil {
		return Admission{}, refusal
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	if !s.allocated() {
		return Admission{}, notAllocated()
	}
	if s.Match != claims.MatchID {
		return Admission{}, &Refusal{Reason: token.ReasonWrongMatch, Detail: "the server has come to another match"}
	}
	team, expected := s.Expected[claims.Subject]
	if len(s.Expected) > 0 && !expected {
		return Admission{}, &Refusal{Reason: ReasonNotOnRoster, Detail: "the match does not expect this player"}
	}
	if !expected {
		team = claims.Team
	}
	here, present := s.Present[claims.Subject]
	if present && attempt != "" && here.Attempt == attempt && here.Admission == claims.ID {
		return Admission{Player: here.Player, Team: here.Team, Match: s.Match, ID: here.Admission}, nil
	}
	if limit := d.capacity(); !present && limit > 0 && len(s.Present) >= limit {
		return Admission{}, &Refusal{Reason: ReasonFull, Detail: "no place is free", Retryable: true}
	}
	if err := d.o.Replay.Use(claims.ID, claims.Expiry, claims.IssuedAt); err != nil {
		return Admission{}, refusalOf(err)
	}
	guest := Guest{Player: claims.Subject, Team: team, Since: d.o.Now(), Admission: claims.ID, Attempt: attempt}
	reconnect := s.enter(guest)
	d.save()
	d.wake()
	d.o.Logger.Info("player admitted", "player", guest.Player, "match", s.Match, "reconnect", reconnect)
	return Admission{Player: guest.Player, Team: team, Match: s.Match, ID: guest.Admission, Reconnect: reconnect}, nil
}

// verify checks the token by what is known of the server. If only the match is
// wrong, it asks once more which match it is: players can be faster than the
// watch. Strangers cannot cause that question, because the signature comes first.
func (d *Door) verify(ctx context.Context, raw string) (token.JoinClaims, *Refusal) {
	if err := d.Await(ctx); err != nil {
		return token.JoinClaims{}, refusalOf(err)
	}
	want := d.expectation()
	claims, err := d.o.Verifier.Verify(ctx, raw, want)
	var t *token.Refusal
	if errors.As(err, &t) && t.Reason == token.ReasonWrongMatch {
		if _, err := d.o.Server.Fresh(ctx); err != nil {
			return token.JoinClaims{}, sdkUnavailable(err)
		}
		if want = d.expectation(); want.MatchID == "" {
			return token.JoinClaims{}, notAllocated()
		}
		claims, err = d.o.Verifier.Verify(ctx, raw, want)
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
	return &Refusal{Reason: ReasonSDKUnavailable, Detail: agones.ErrUnavailable.Error(), Retryable: true, Fault: true, cause: err}
}

// expectation has no match unless the server is allocated.
func (d *Door) expectation() token.Expectation {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &d.state
	want := token.Expectation{Audience: token.Audience(s.Server.Namespace, s.Server.Name)}
	if s.allocated() {
		want.MatchID = s.Match
	}
	return want
}

// Await returns when the server has been observed. Before that, what an earlier
// gate knew is not yet taken over: a departure would come to nothing, and the
// roster would be empty. The error is a [*Refusal].
func (d *Door) Await(ctx context.Context) error {
	d.mu.Lock()
	seen := d.state.Seen
	d.mu.Unlock()
	if seen {
		return nil
	}
	if _, err := d.o.Server.Fresh(ctx); err != nil {
		return sdkUnavailable(err)
	}
	return nil
}

// capacity returns the most players at a time, 0 for any number; mu is held.
func (d *Door) capacity() int {
	if d.o.Capacity > 0 {
		return d.o.Capacity
	}
	return len(d.state.Expected)
}

// Depart takes note that a player has left. With an admission, only the stay
// that it began is ended: the report may have been overtaken by the player's
// return. The error is ErrNotPresent if the player is not here, or a [*Refusal]
// if that cannot be said yet.
func (d *Door) Depart(ctx context.Context, player, admission string) error {
	if err := d.Await(ctx); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	here, ok := d.state.Present[player]
	if !ok {
		return ErrNotPresent
	}
	if admission != "" && here.Admission != admission {
		return nil
	}
	d.state.leave(player, d.o.Now())
	d.save()
	d.wake()
	d.o.Logger.Info("player left", "player", player, "match", d.state.Match)
	return nil
}
