package token

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
)

// MaxSize is the longest token, in bytes, that is looked at.
const MaxSize = 8 << 10

var base64url = base64.RawURLEncoding

// compact is a token split into its parts; nothing in it can be trusted yet.
type compact struct {
	// signed are the bytes that the signature is over.
	signed    string
	header    map[string]any
	payload   []byte
	signature []byte
}

// headerRules say what a kind of token may have in its header.
type headerRules struct {
	algorithms []Algorithm
	// only, unless nil, are the only members allowed.
	only []string
	// types are the allowed values of typ in lower case; "" means that it
	// may be absent. exactType asks for the spelling "JWT" itself.
	types     []string
	exactType bool
	keyID     func(string) bool
}

// forbiddenMembers bring a key, point to one, or change what a header means.
var forbiddenMembers = []string{"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"}

func splitCompact(raw string) (compact, error) {
	if len(raw) > MaxSize {
		return compact{}, refuse(ReasonTooLarge, "longer than %d bytes", MaxSize)
	}
	// One part more than is legal shows that there are too many.
	parts := strings.SplitN(raw, ".", 4)
	if len(parts) != 3 {
		return compact{}, refuse(ReasonMalformed, "not three parts")
	}
	var decoded [3][]byte
	for i, name := range []string{"header", "payload", "signature"} {
		data, err := base64url.DecodeString(parts[i])
		// Encoding again is what catches line breaks, which the decoder
		// skips, and left-over bits.
		if err != nil || base64url.EncodeToString(data) != parts[i] {
			return compact{}, refuse(ReasonMalformed, "%s is not canonical base64url", name)
		}
		decoded[i] = data
	}
	header, err := parseObject(decoded[0])
	if err != nil {
		return compact{}, refuse(ReasonMalformed, "header: %v", err)
	}
	return compact{
		signed:    raw[:len(parts[0])+1+len(parts[1])],
		header:    header,
		payload:   decoded[1],
		signature: decoded[2],
	}, nil
}

// open checks size, form, algorithm, key id and signature, in this order, and
// only then reads the payload.
func open(ctx context.Context, raw string, rules *headerRules, keys KeySource) (claimSet, error) {
	c, err := splitCompact(raw)
	if err != nil {
		return nil, err
	}
	alg, kid, err := rules.check(c.header)
	if err != nil {
		return nil, err
	}
	key, err := keys.Key(ctx, kid)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return nil, &Refusal{Reason: ReasonUnknownKey, Detail: "the issuer publishes no key with this id", cause: err}
	case err != nil:
		return nil, &Refusal{Reason: ReasonKeysUnavailable, Detail: "the issuer's keys could not be had", cause: err}
	}
	if !alg.fits(key) {
		return nil, refuse(ReasonBadAlgorithm, "alg is not the one of the key")
	}
	if alg.method().Verify(c.signed, c.signature, key) != nil {
		return nil, refuse(ReasonBadSignature, "not signed by the key that it names")
	}
	claims, err := parseObject(c.payload)
	if err != nil {
		return nil, refuse(ReasonMalformed, "payload: %v", err)
	}
	return claims, nil
}

// check returns the algorithm and the key id once the header obeys the rules.
func (h *headerRules) check(header map[string]any) (Algorithm, string, error) {
	name, _ := header["alg"].(string)
	alg := Algorithm(name)
	if !slices.Contains(h.algorithms, alg) {
		return "", "", refuse(ReasonBadAlgorithm, "alg is not one of %v", h.algorithms)
	}
	for member := range header {
		if slices.Contains(forbiddenMembers, strings.ToLower(member)) {
			return "", "", refuse(ReasonBadHeader, "a header member that is never allowed")
		}
		if h.only != nil && !slices.Contains(h.only, member) {
			return "", "", refuse(ReasonBadHeader, "a header member other than %v", h.only)
		}
	}
	if err := h.checkType(header); err != nil {
		return "", "", err
	}
	kid, _ := header["kid"].(string)
	if !h.keyID(kid) {
		return "", "", refuse(ReasonBadKeyID, "kid is missing or cannot be the id of a key")
	}
	return alg, kid, nil
}

func (h *headerRules) checkType(header map[string]any) error {
	value, present := header["typ"]
	typ, isString := value.(string)
	ok := slices.Contains(h.types, strings.ToLower(typ)) && isString == present
	if h.exactType {
		ok = typ == "JWT"
	}
	if !ok {
		return refuse(ReasonBadHeader, "typ is not the one of this kind of token")
	}
	return nil
}

// matchesAll says whether s has 1 to limit bytes, all of them ASCII letters or
// digits or in extra.
func matchesAll(s, extra string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return true
}
