// Package token is what issuers and checkers of tokens share.
//
// The player token says who a player is. An OpenID Connect issuer signs it, and the
// frontend checks it. The join token opens one game server for one player and one
// match, once. The frontend signs it when it delivers an assignment; the gate beside
// the game server checks it with a [Verifier]. Both fetch the issuer's keys with
// [RemoteKeys].
//
// Both kinds are JWTs (RFC 7519) and are read more strictly than the RFC asks,
// after the advice of RFC 8725: the algorithm comes from configuration and never
// from the token, no header may bring or point to a key, every member name is
// unique (letter case aside), and each token has exactly one encoding. Whatever
// is wrong, the error is a [*Refusal] with a reason that a machine can read.
package token
