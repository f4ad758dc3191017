package token

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// JWKSPath is where a frontend serves its key set.
const JWKSPath = "/.well-known/jwks.json"

// privateMembers are those of a JWK that no published key may have (RFC 7518
// section 6); "k" is a symmetric key.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// JWKS returns the public keys as a JWK Set (RFC 7517). The caller must not
// change it.
func (k *Keys) JWKS() []byte { return k.set.Load().jwks }

// JWKSHandler serves the public keys. Caches may keep them for five minutes, and
// for a day while the frontend is out of reach.
func JWKSHandler(keys *Keys) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			h.Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusMethodNotAllowed)
			// A client that has gone needs no answer.
			_, _ = io.WriteString(w, `{"type":"about:blank","title":"Method Not Allowed","status":405,"detail":"use GET or HEAD"}`)
			return
		}
		set := keys.set.Load()
		h.Set("Content-Type", "application/jwk-set+json")
		h.Set("Cache-Control", "public, max-age=300, stale-if-error=86400")
		h.Set("ETag", set.etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(set.jwks))
	})
}

// marshalJWKS writes the keys in the order of their ids, so that all replicas
// answer with the same bytes.
func marshalJWKS(keys map[string]crypto.PublicKey, alg Algorithm) ([]byte, error) {
	set := jose.JSONWebKeySet{}
	for _, kid := range slices.Sorted(maps.Keys(keys)) {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: keys[kid], KeyID: kid, Algorithm: string(alg), Use: "sig"})
	}
	data, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("marshal key set: %w", err)
	}
	return data, nil
}

func entityTag(data []byte) string {
	sum := sha256.Sum256(data)
	return `"` + base64url.EncodeToString(sum[:16]) + `"`
}

// parseJWKS returns the keys of a set that can verify tokens of one of the
// algorithms. Keys for other purposes are left out; a set that shows private or
// symmetric keys, uses an id twice, or has a key without id or of little
// strength is refused as a whole, because its publisher cannot be trusted to
// know what it does.
func parseJWKS(data []byte, algorithms []Algorithm) (map[string]crypto.PublicKey, error) {
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
		kid, key, err := parseJWK(jwk, algorithms)
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
func parseJWK(jwk map[string]any, algorithms []Algorithm) (string, crypto.PublicKey, error) {
	for _, name := range privateMembers {
		if _, ok := jwk[name]; ok || jwk["kty"] == "oct" {
			return "", nil, errors.New("must not be private or symmetric")
		}
	}
	alg, ok := purpose(jwk, algorithms)
	if !ok {
		return "", nil, nil
	}
	kid, _ := jwk["kid"].(string)
	if !foreignKeyID(kid) {
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
	if err := alg.checkPublicKey(parsed.Key); err != nil {
		return "", nil, err
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
	}
	if name, ok := jwk["alg"]; ok && name != string(alg) {
		return "", false
	}
	return alg, slices.Contains(algorithms, alg)
}

// foreignKeyID says whether kid can be the id of a key of some other issuer.
// Ids are only ever looked up in memory.
func foreignKeyID(kid string) bool { return matchesAll(kid, "._:@+/=~|-", 256) }
