package signing

// JWKS returns the public keys as a JWK Set (RFC 7517).
func (k *Keys) JWKS() []byte { return k.set.Load().jwks }
