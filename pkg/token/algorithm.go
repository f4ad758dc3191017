package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a signature algorithm of RFC 7518. The zero value is invalid.
type Algorithm string

const (
	// RS256 is RSASSA-PKCS1-v1_5 with SHA-256: the default, because the JWT
	// plugin of Unreal Engine can check no other.
	RS256 Algorithm = "RS256"
	// ES256 is ECDSA on P-256 with SHA-256: some thirty times cheaper to sign.
	ES256 Algorithm = "ES256"
	// EdDSA is Ed25519, which some issuers sign player tokens with. Join tokens are
	// never signed so.
	EdDSA Algorithm = "EdDSA"
)

// RSA moduli outside these bounds are refused: shorter ones are weak, longer
// ones let whoever publishes a key make every check slow.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Validate returns an error unless a is an algorithm of join tokens.
func (a Algorithm) Validate() error {
	switch a {
	case RS256, ES256:
		return nil
	}
	return fmt.Errorf("algorithm %q: must be %s or %s", string(a), RS256, ES256)
}

// Method returns what signs and verifies with a.
func (a Algorithm) Method() jwt.SigningMethod {
	switch a {
	case ES256:
		return jwt.SigningMethodES256
	case EdDSA:
		return jwt.SigningMethodEdDSA
	}
	return jwt.SigningMethodRS256
}

// fits reports whether the type of key is the one that a signs with.
func (a Algorithm) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return a == RS256
	case *ecdsa.PublicKey:
		return a == ES256 && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return a == EdDSA
	}
	return false
}

// CheckPublicKey returns an error unless key has the type and the strength
// that a asks for.
func (a Algorithm) CheckPublicKey(key crypto.PublicKey) error {
	if !a.fits(key) {
		return fmt.Errorf("key of type %T (or its curve) does not fit algorithm %s", key, a)
	}
	if k, ok := key.(*rsa.PublicKey); ok {
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("RSA key of %d bits: must have %d to %d", bits, minRSABits, maxRSABits)
		}
		if k.E < 3 || k.E%2 == 0 {
			return errors.New("RSA key with an exponent that is even or less than 3")
		}
	}
	return nil
}
