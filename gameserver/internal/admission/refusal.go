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
	// ReasonNotOnRoster: the match does not expect the player.
	ReasonNotOnRoster token.Reason = "not_on_roster"
	// ReasonFull: no place is free. Retryable: the token is not spent.
	ReasonFull token.Reason = "full"
	// ReasonSDKUnavailable: the gate cannot ask which match this is.
	// Retryable.
	ReasonSDKUnavailable token.Reason = "sdk_unavailable"
)

// Refusal says why a player is not let in. It holds nothing of the token that
// the sender could choose freely.
type Refusal struct {
	Reason token.Reason
	// Detail is for people who operate the service.
	Detail string
	// Retryable: the same token may be accepted a little later.
	Retryable bool
	// Renewable: an honest player gets in with a new token.
	Renewable bool
	// Fault: the player has done nothing wrong; something of ours is missing.
	Fault bool

	cause error
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
		return &Refusal{Reason: token.ReasonMalformed, Detail: "not a token", cause: err}
	}
	fault := t.Reason == token.ReasonKeysUnavailable || t.Reason == token.ReasonJournalUnavailable
	return &Refusal{Reason: t.Reason, Detail: t.Detail, Retryable: t.Retryable(), Renewable: t.Renewable(), Fault: fault, cause: t}
}
