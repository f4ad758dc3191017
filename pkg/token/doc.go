// Package token makes and checks the two tokens of a player's path.
//
// The player token says who a player is. An OpenID Connect issuer signs it (on
// one machine the development issuer, through [PlayerMinter]); the frontend
// checks it with a [PlayerVerifier].
//
// The join token opens one game server for one player and one match, once. The
// frontend signs it with a [Minter] when it delivers an assignment, and
// publishes the verification keys with [JWKSHandler]. The gate beside the game
// server fetches them with [RemoteKeys], checks the token with a [Verifier], and
// spends it with a [Replay].
//
// Both kinds are JWTs (RFC 7519) and are read more strictly than the RFC asks,
// after the advice of RFC 8725: the algorithm comes from configuration and never
// from the token, no header may bring or point to a key, every member name is
// unique (letter case aside), and each token has exactly one encoding. Whatever
// is wrong, the error is a [*Refusal] with a reason that a machine can read.
//
// # Rotating keys
//
// [LoadKeys] reads a directory that all frontends share. To rotate, add a key
// file, named after the time at which it is added ("20260131T120000Z.pem"): it
// is published at once and signs after [KeyOptions.PublishBefore]. Take the old
// file away no earlier than PublishBefore + the tokens' lifetime + the refresh
// interval of verifiers + [MaxLeeway] later. Taking a file away revokes the key
// as soon as the verifiers refresh, so a stolen key is simply deleted.
package token
