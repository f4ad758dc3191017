package token

import (
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// JWKSPath is where a frontend serves its key set.
const JWKSPath = "/.well-known/jwks.json"

// privateMembers are those of a JWK that no published key may have (RFC 7518
// section 6); "k" is a symmetric key.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseJWKS returns the keys of a set that can verify tokens of one of the
// algorithms. Keys for other purposes are left out; a set that shows private or
// symmetric keys, uses an id twice, or has a key without id or of little
// strength is refused as a whole, because its publisher cannot be trusted to
// know what it does. With noKeyIDs keys need no id.
func parseJWKS(data []byte, algorithms []Algorithm, noKeyIDs bool) (map[string]crypto.PublicKey, error) {
	set, err := parseObject(data)
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	list, ok := set["keys"].([]any)
	if !ok {
		return nil, errors.New(`key set: must have a list "keys"`)
	}
	keys := map[string]crypto.PublicKey{}
	for i, v := range list {
		jwk, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("key set: keys[%d]: must be an object", i)
		}
		kid, key, err := parseJWK(jwk, algorithms, noKeyIDs)
		if err != nil {
			return nil, fmt.Errorf("key set: keys[%d]: %w", i, err)
		}
		if key == nil {
			continue
		}
		if _, ok := keys[kid]; ok {
			return nil, fmt.Errorf("key set: keys[%d]: another key has the same kid", i)
		}
		keys[kid] = key
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("key set: must have a key for one of %v", algorithms)
	}
	return keys, nil
}

// parseJWK returns no key if it is for another purpose.
func parseJWK(jwk map[string]any, algorithms []Algorithm, noKeyID bool) (string, crypto.PublicKey, error) {
	for _, name := range privateMembers {
		if _, ok := jwk[name]; ok || jwk["kty"] == "oct" {
			return "", nil, errors.New("must not be private or symmetric")
		}
	}
	alg, ok := purpose(jwk, algorithms)
	if !ok {
		return "", nil, nil
	}
	given, named := jwk["kid"]
	kid, _ := given.(string)
	if !ForeignKeyID(kid) && (named || !noKeyID) {
		return "", nil, errors.New("must have a kid")
	}
	// Only these members matter; certificates in a JWK are none of ours.
	bare := map[string]any{}
	for _, name := range []string{"kty", "n", "e", "crv", "x", "y"} {
		if v, ok := jwk[name]; ok {
			bare[name] = v
		}
	}
	data, err := json.Marshal(bare)
	if err != nil {
		return "", nil, fmt.Errorf("marshal key: %w", err)
	}
	var parsed jose.JSONWebKey
	if err := parsed.UnmarshalJSON(data); err != nil {
		return "", nil, fmt.Errorf("parse key: %w", err)
	}
	if err := alg.CheckPublicKey(parsed.Key); err != nil {
		return "", nil, err
	}
	if kid == "" {
		sum, err := parsed.Thumbprint(crypto.SHA256)
		if err != nil {
			return "", nil, fmt.Errorf("key without a kid: %w", err)
		}
		kid = "#" + base64url.EncodeToString(sum) // as no token can name one
	}
	return kid, parsed.Key, nil
}

// purpose returns the algorithm that a JWK verifies, if it is one of the
// algorithms.
func purpose(jwk map[string]any, algorithms []Algorithm) (Algorithm, bool) {
	if use, ok := jwk["use"]; ok && use != "sig" {
		return "", false
	}
	if v, ok := jwk["key_ops"]; ok {
		ops, _ := v.([]any)
		if !slices.Contains(ops, any("verify")) {
			return "", false
		}
	}
	var alg Algorithm
	switch {
	case jwk["kty"] == "RSA":
		alg = RS256
	case jwk["kty"] == "EC" && jwk["crv"] == "P-256":
		alg = ES256
	case jwk["kty"] == "OKP" && jwk["crv"] == "Ed25519":
		alg = EdDSA
	}
	if name, ok := jwk["alg"]; ok && name != string(alg) {
		return "", false
	}
	return alg, slices.Contains(algorithms, alg)
}
