// Package signing holds the frontend's private keys: it reads them from a
// directory that all frontends share, signs join tokens with them ([Minter]) and
// publishes the public ones ([JWKSHandler]). The development issuer of one machine
// signs its player tokens with it too ([PlayerMinter]).
//
// # Rotating keys
//
// [LoadKeys] reads a directory that all frontends share. To rotate, add a key
// file, named after the time at which it is added ("20260131T120000Z.pem"): it
// is published at once and signs after [KeyOptions.PublishBefore]. Take the old
// file away no earlier than PublishBefore + the tokens' lifetime + the refresh
// interval of verifiers + [token.MaxLeeway] later. Taking a file away revokes the key
// as soon as the verifiers refresh, so a stolen key is simply deleted.
package signing
