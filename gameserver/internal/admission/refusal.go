package admission

import (
	"errors"
	"fmt"

	"torikumi/pkg/token"
)

// Reasons for refusing a player that are not the token's; those of
// [token.Refusal] come beside them. Their text never changes.
const (
	// ReasonNotAllocated: the server is not allocated for any match, or about
	// to end. Retryable: what tells the gate of an allocation may lag.
	ReasonNotAllocated token.Reason = "not_allocated"
	// ReasonNotOnRoster: the match does not expect the player. Retryable while players are
	// searched for: who was found can be faster than the roster.
	ReasonNotOnRoster token.Reason = "not_on_roster"
	// ReasonPlaceGiven: the player had left, or did not come, and the place was given to
	// somebody else.
	ReasonPlaceGiven token.Reason = "place_given"
	// ReasonClosed: the game server has closed the match to newcomers.
	ReasonClosed token.Reason = "closed"
	// ReasonBanned: the game server has banned the player from the match.
	ReasonBanned token.Reason = "banned"
	// ReasonFull: no place is free. Retryable: the token is not spent.
	ReasonFull token.Reason = "full"
	// ReasonSDKUnavailable: the gate cannot ask which match this is.
	// Retryable.
	ReasonSDKUnavailable token.Reason = "sdk_unavailable"
)

// ReasonTooManyBans: the game server has banned very many players, and this one has never been
// here.
const ReasonTooManyBans token.Reason = "too_many_bans"

// ReasonNotPresent: the player whose departure is reported is not here.
const ReasonNotPresent token.Reason = "not_present"

// Reasons for not searching for players. Their text never changes.
const (
	// ReasonNoDirector: the gate has nobody to ask.
	ReasonNoDirector token.Reason = "no_director"
	// ReasonNoBackfill: the match's queue does not fill its matches up.
	ReasonNoBackfill token.Reason = "no_backfill"
)

// Traits are what a caller needs to know of a reason beside its name.
type Traits struct {
	// Retryable: the same token may be accepted a little later.
	Retryable bool
	// Renewable: an honest player gets in with a new token.
	Renewable bool
	// Fault: the player has done nothing wrong; something of ours is missing.
	Fault bool
}

// TraitsOf returns the traits of any reason for refusing a player.
func TraitsOf(reason token.Reason) Traits {
	t := token.Refusal{Reason: reason}
	traits := Traits{Retryable: t.Retryable(), Renewable: t.Renewable()}
	switch reason {
	case ReasonNotAllocated, ReasonFull:
		traits.Retryable = true
	case ReasonSDKUnavailable:
		traits.Retryable, traits.Fault = true, true
	case token.ReasonKeysUnavailable, token.ReasonJournalUnavailable:
		traits.Fault = true
	}
	return traits
}

// Refusal says why a player is not let in. It holds nothing of the token that
// the sender could choose freely.
type Refusal struct {
	Reason token.Reason
	// Detail is for people who operate the service.
	Detail string
	Traits

	cause error
}

func refuse(reason token.Reason, detail string, cause error) *Refusal {
	return &Refusal{Reason: reason, Detail: detail, Traits: TraitsOf(reason), cause: cause}
}

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s: %s", r.Reason, r.Detail) }

// Unwrap returns what made the decision impossible, or nil.
func (r *Refusal) Unwrap() error { return r.cause }

// ErrNotPresent says that the player who has left was not here.
var ErrNotPresent = errors.New("the player is not present")

func refusalOf(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	var t *token.Refusal
	if !errors.As(err, &t) {
		return refuse(token.ReasonMalformed, "not a token", err)
	}
	return refuse(t.Reason, t.Detail, t)
}
