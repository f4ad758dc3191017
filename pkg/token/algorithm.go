package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
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
)

// RSA moduli outside these bounds are refused: shorter ones are weak, longer
// ones let whoever publishes a key make every check slow.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Validate returns an error unless a is one of the algorithms above.
func (a Algorithm) Validate() error {
	switch a {
	case RS256, ES256:
		return nil
	}
	return fmt.Errorf("algorithm %q: must be %s or %s", string(a), RS256, ES256)
}

func (a Algorithm) method() jwt.SigningMethod {
	if a == ES256 {
		return jwt.SigningMethodES256
	}
	return jwt.SigningMethodRS256
}

// fits says whether the type of key is the one that a signs with.
func (a Algorithm) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *rsa.PublicKey:
		return a == RS256
	case *ecdsa.PublicKey:
		return a == ES256 && key.Curve == elliptic.P256()
	}
	return false
}

// checkPublicKey returns an error unless key has the type and the strength
// that a asks for.
func (a Algorithm) checkPublicKey(key crypto.PublicKey) error {
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

// sign returns the compact form of a token with exactly the header members
// alg, typ and kid.
func (a Algorithm) sign(key signingKey, claims jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(a.method(), claims)
	t.Header["kid"] = key.kid
	return t.SignedString(key.private)
}

// thumbprint returns the RFC 7638 thumbprint (SHA-256, base64url) of key.
func thumbprint(key crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint of key: %w", err)
	}
	return base64url.EncodeToString(sum), nil
}
