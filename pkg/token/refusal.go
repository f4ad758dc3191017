package token

import "fmt"

// Reason says in one word of snake_case why a token is refused. Reasons are part
// of the gate's API: their text never changes.
type Reason string

const (
	// ReasonTooLarge: longer than MaxSize.
	ReasonTooLarge Reason = "too_large"
	// ReasonMalformed: not three canonical base64url parts, or a header or
	// payload that is not one JSON object with unique member names.
	ReasonMalformed Reason = "malformed"
	// ReasonBadAlgorithm: "alg" is not an algorithm of the configuration, or
	// does not go with the key.
	ReasonBadAlgorithm Reason = "bad_algorithm"
	// ReasonBadHeader: "typ" is wrong, or a header member that is not allowed,
	// such as those that bring or point to a key.
	ReasonBadHeader Reason = "bad_header"
	// ReasonBadKeyID: "kid" is missing or cannot be the id of a key.
	ReasonBadKeyID Reason = "bad_key_id"
	// ReasonUnknownKey: the issuer publishes no key with this id, or has begun to
	// since it was last asked. Retryable: nobody can tell a new key from a forged id.
	ReasonUnknownKey Reason = "unknown_key"
	// ReasonKeysUnavailable: the issuer's keys could not be had, so nobody can
	// tell. Retryable.
	ReasonKeysUnavailable Reason = "keys_unavailable"
	// ReasonBadSignature: the key did not sign this.
	ReasonBadSignature Reason = "bad_signature"
	// ReasonWrongIssuer: "iss" is missing or someone else.
	ReasonWrongIssuer Reason = "wrong_issuer"
	// ReasonWrongAudience: "aud" is missing or another game server or service.
	ReasonWrongAudience Reason = "wrong_audience"
	// ReasonWrongUse: "use" says that the token is not of this kind.
	ReasonWrongUse Reason = "wrong_use"
	// ReasonWrongMatch: "mid" is missing or another match, or the server has
	// no match at all.
	ReasonWrongMatch Reason = "wrong_match"
	// ReasonMissingClaim: a claim that must be there is not.
	ReasonMissingClaim Reason = "missing_claim"
	// ReasonBadClaim: a claim has the wrong type or an impossible value.
	ReasonBadClaim Reason = "bad_claim"
	// ReasonExpired: "exp" has passed.
	ReasonExpired Reason = "expired"
	// ReasonNotYetValid: "nbf" has not come. Retryable.
	ReasonNotYetValid Reason = "not_yet_valid"
	// ReasonIssuedInFuture: "iat" lies in the future, so one of the clocks is
	// wrong. Retryable.
	ReasonIssuedInFuture Reason = "issued_in_future"
	// ReasonLifetimeTooLong: more time between "iat" and "exp" than allowed.
	ReasonLifetimeTooLong Reason = "lifetime_too_long"
	// ReasonReplayed: the token has been used.
	ReasonReplayed Reason = "replayed"
	// ReasonIssuedBeforeStart: the record of used tokens was lost, and this
	// token is old enough to have been in it.
	ReasonIssuedBeforeStart Reason = "issued_before_start"
	// ReasonJournalUnavailable: the use could not be recorded. Retryable.
	ReasonJournalUnavailable Reason = "journal_unavailable"
)

// Refusal is the error of every check of a token. It holds no part of the
// token that the sender could choose freely, so it can be logged.
type Refusal struct {
	Reason Reason
	// Detail is for people who operate the service.
	Detail string
	// Cause is what made the check impossible, or nil.
	Cause error
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("token refused: %s: %s", r.Reason, r.Detail)
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

// Retryable reports whether the same token may be accepted a little later.
func (r *Refusal) Retryable() bool {
	switch r.Reason {
	case ReasonUnknownKey, ReasonKeysUnavailable, ReasonJournalUnavailable, ReasonNotYetValid, ReasonIssuedInFuture:
		return true
	}
	return false
}

// Renewable reports whether an honest player gets in with a new token: the token
// was once good and time or use has spent it.
func (r *Refusal) Renewable() bool {
	switch r.Reason {
	case ReasonExpired, ReasonReplayed, ReasonIssuedBeforeStart:
		return true
	}
	return false
}

// Refuse makes a Refusal. The detail must hold nothing that the sender of a token
// could choose freely.
func Refuse(reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
