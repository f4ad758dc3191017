package token

import (
	"context"
	"crypto"
	"errors"
	"fmt"
)

// KeySource finds the public key that a token names. Implementations are safe
// for concurrent use; [*RemoteKeys] has those that an issuer publishes.
type KeySource interface {
	// Key returns an *rsa.PublicKey or an *ecdsa.PublicKey. The error is
	// ErrUnknownKey if there is certainly no such key; every other error,
	// ErrKeysUnavailable and that of ctx among them, means that nobody can
	// tell now.
	Key(ctx context.Context, kid string) (crypto.PublicKey, error)
}

var (
	// ErrUnknownKey means that the issuer has no key with this id.
	ErrUnknownKey = errors.New("unknown key")
	// ErrKeyNotAsked is an ErrUnknownKey that is not certain: the issuer was asked
	// for other keys just before, and is not asked again within UnknownKeyInterval.
	ErrKeyNotAsked = fmt.Errorf("%w, and the issuer is not asked again yet", ErrUnknownKey)
	// ErrKeysUnavailable means that the issuer's keys could not be had, or are
	// older than the outage that is bridged.
	ErrKeysUnavailable = errors.New("keys unavailable")
)

// KeyLister is a KeySource for tokens that name no key.
type KeyLister interface {
	// Keys returns all keys of the issuer, of which few are to be tried. With again
	// the issuer is asked first; the error is ErrKeyNotAsked if it was just before.
	Keys(ctx context.Context, again bool) ([]crypto.PublicKey, error)
}
