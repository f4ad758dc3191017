package admission

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"time"

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

// viewWait is how long an admission waits for a view of the server that the token goes
// with: players can be faster than what tells the gate of the allocation.
const viewWait = 500 * time.Millisecond

// Admit lets the owner of a token in, once. The checks, in this order: those of
// [token.Verifier], the place on the roster, capacity, and last that the token was not used. Only a
// token that lets somebody in is spent: who hears "full" can come again with it.
// Key, unless empty, names the request: asked again with the same token and the same
// key, the answer is the same until the player's departure is reported, whatever has
// become of the token and of the gate meanwhile. The error is a [*Refusal].
func (c *Controller) Admit(ctx context.Context, raw, key string) (Admission, error) {
	if err := c.Await(ctx); err != nil {
		return Admission{}, err
	}
	attempt := attemptOf(raw, key)
	c.mu.Lock()
	again, repeated := c.repeat(attempt)
	c.mu.Unlock()
	if repeated {
		return again, nil
	}
	claims, refusal := c.verify(ctx, raw)
	if refusal != nil {
		return Admission{}, refusal
	}
	c.awaitPlace(ctx, claims)
	return c.enter(claims, attempt)
}

// enter lets the owner of a good token in, if there is a place.
func (c *Controller) enter(claims token.JoinClaims, attempt string) (Admission, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if again, repeated := c.repeat(attempt); repeated {
		return again, nil // it was answered meanwhile
	}
	place, refusal := c.placeFor(claims)
	if refusal != nil {
		return Admission{}, refusal
	}
	team, match := place.Team, c.state.Presence.Match
	player := journal.Player{
		Player: claims.Subject, Team: team, Since: c.o.Now(), Admission: claims.ID, Attempt: attempt, Joined: place.Joined,
	}
	reconnect, err := c.o.Journal.Admit(player, claims.Expiry, claims.IssuedAt)
	if err != nil {
		return Admission{}, refusalOf(err)
	}
	c.wake()
	c.o.Logger.Info("player admitted", "player", player.Player, "match", match, "reconnect", reconnect)
	return Admission{Player: player.Player, Team: team, Match: match, ID: player.Admission, Reconnect: reconnect}, nil
}

// attemptOf names a request for admission; empty without a key. What is stored of it
// tells nobody the key or the token.
func attemptOf(raw, key string) string {
	if key == "" {
		return ""
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(raw))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// repeat returns the answer that a request has had, if it has let somebody in; mu is
// held. A player who has lapsed meanwhile is here again: the game server still waits
// for the answer.
func (c *Controller) repeat(attempt string) (Admission, bool) {
	s := &c.state
	p, ok := s.Presence.Attempted(attempt)
	if !ok || !s.open() {
		return Admission{}, false
	}
	if s.given(p.Player) || s.Presence.Banned[p.Player] {
		return Admission{}, false
	}
	if p.Lapsed {
		p.Since, p.Lapsed = c.o.Now(), false
		c.bringBack(p)
		c.wake()
	}
	return Admission{Player: p.Player, Team: p.Team, Match: s.Presence.Match, ID: p.Admission, Reconnect: p.Reconnect}, true
}

// placeFor returns the place of a player who may come in; mu is held.
func (c *Controller) placeFor(claims token.JoinClaims) (Place, *Refusal) {
	s := &c.state
	if !s.open() {
		return Place{}, notAllocated()
	}
	if s.Presence.Match != claims.MatchID {
		return Place{}, refuse(token.ReasonWrongMatch, "the server has come to another match", nil)
	}
	place, expected := s.Expected[claims.Subject]
	switch {
	case s.Presence.Banned[claims.Subject]:
		return Place{}, refuse(ReasonBanned, "the game server has banned the player from this match", nil)
	case s.Presence.Closed && !s.Presence.Knows(claims.Subject):
		return Place{}, refuse(ReasonClosed, "the game server takes nobody new into this match", nil)
	case s.given(claims.Subject):
		return Place{}, refuse(ReasonPlaceGiven, "the player's place was given to somebody else", nil)
	case len(s.Expected) > 0 && !expected:
		r := refuse(ReasonNotOnRoster, "the match does not expect this player", nil)
		r.Retryable = s.searching(c.o.Policy)
		return Place{}, r
	case !expected:
		place.Team = claims.Team
	}
	_, present := s.Presence.Present[claims.Subject]
	if limit := cmp.Or(c.o.Capacity, len(s.Expected)); !present && limit > 0 && len(s.Presence.Present) >= limit {
		return Place{}, refuse(ReasonFull, "no place is free", nil)
	}
	return place, nil
}

// awaitPlace waits for up to viewWait for a view in which the player has a place, while
// players are searched for: who was found can be faster than the roster that says so.
func (c *Controller) awaitPlace(ctx context.Context, claims token.JoinClaims) {
	ctx, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	for {
		c.mu.Lock()
		_, refusal := c.placeFor(claims)
		next, searching := c.observed, c.state.searching(c.o.Policy)
		c.mu.Unlock()
		if !searching || refusal == nil || (refusal.Reason != ReasonNotOnRoster && refusal.Reason != ReasonPlaceGiven) {
			return
		}
		if c.awaitView(ctx, next) == nil {
			continue
		}
		select { // the question has failed, the watch may still tell
		case <-next:
		case <-ctx.Done():
			return
		}
	}
}

// verify checks the token by what is known of the server. If only the match is wrong,
// it asks once more which match it is, and waits for up to viewWait. Strangers cannot
// cause that question, because the signature comes first.
func (c *Controller) verify(ctx context.Context, raw string) (token.JoinClaims, *Refusal) {
	next, _ := c.nextView()
	claims, refusal := c.check(ctx, raw)
	if !early(refusal) {
		return claims, refusal
	}
	wait, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	if err := c.awaitView(ctx, next); err != nil {
		return token.JoinClaims{}, sdkUnavailable(err)
	}
	for {
		next, over := c.nextView()
		claims, refusal = c.check(ctx, raw)
		if !early(refusal) || over {
			return claims, refusal
		}
		if c.awaitView(wait, next) == nil {
			continue
		}
		select { // the question has failed, the watch may still tell
		case <-next:
		case <-wait.Done():
			return claims, refusal
		}
	}
}

// nextView returns what is closed with the next view, and whether the last one shows a
// server that ends.
func (c *Controller) nextView() (next <-chan struct{}, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.observed, c.state.Server.Ending()
}

// early reports whether a refusal may be due to a view that lags.
func early(r *Refusal) bool {
	return r != nil && (r.Reason == token.ReasonWrongMatch || r.Reason == ReasonNotAllocated)
}

// check verifies the token against the last view.
func (c *Controller) check(ctx context.Context, raw string) (token.JoinClaims, *Refusal) {
	want := c.expectation()
	claims, err := c.o.Verifier.Verify(ctx, raw, want)
	var t *token.Refusal
	switch {
	case err == nil:
		return claims, nil
	case errors.As(err, &t) && t.Reason == token.ReasonWrongMatch && want.MatchID == "":
		return token.JoinClaims{}, notAllocated()
	}
	return token.JoinClaims{}, refusalOf(err)
}

// awaitView returns when there is a new view: next is closed, or the server has answered
// a question. The error is that of the question.
func (c *Controller) awaitView(ctx context.Context, next <-chan struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	asked := make(chan struct{})
	var err error
	go func() { defer close(asked); _, err = c.o.Server.Refresh(ctx) }()
	select {
	case <-next:
		cancel()
		<-asked
		return nil
	case <-asked:
		return err
	}
}

func notAllocated() *Refusal {
	return refuse(ReasonNotAllocated, "the server is not allocated for a match", nil)
}

func sdkUnavailable(err error) *Refusal {
	return refuse(ReasonSDKUnavailable, watch.ErrUnavailable.Error(), err)
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
// return. One who has lapsed is here in so far as they may be brought back, which ends
// too. The error is ErrNotPresent if the player is not here, or a [*Refusal]
// if that cannot be said yet.
func (c *Controller) Depart(ctx context.Context, player, admission string) error {
	if err := c.Await(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	here, present := c.state.Presence.Present[player]
	if !present {
		here = c.state.Presence.Departed[player]
	}
	if !present && !here.Lapsed {
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
