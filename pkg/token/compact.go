package token

import (
	"context"
	"crypto"
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

// HeaderRules say what a kind of token may have in its header.
type HeaderRules struct {
	// Algorithms are those accepted.
	Algorithms []Algorithm
	// Only, unless nil, are the only members allowed.
	Only []string
	// Type reports whether typ may be this; "" means that it is absent.
	Type func(typ string) bool
	// KeyID reports whether kid can be the id of a key; "" means that it is
	// absent.
	KeyID func(kid string) bool
	// NoKeyID allows kid to be absent; the keys have to be a [KeyLister] then.
	NoKeyID bool
}

// maxTried is how many keys are tried for a token that names none.
const maxTried = 8

// forbiddenMembers bring a key, point to one, or change what a header means.
var forbiddenMembers = []string{"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"}

func splitCompact(raw string) (compact, error) {
	if len(raw) > MaxSize {
		return compact{}, Refuse(ReasonTooLarge, "longer than %d bytes", MaxSize)
	}
	// One part more than is legal shows that there are too many.
	parts := strings.SplitN(raw, ".", 4)
	if len(parts) != 3 {
		return compact{}, Refuse(ReasonMalformed, "not three parts")
	}
	var decoded [3][]byte
	for i, name := range []string{"header", "payload", "signature"} {
		data, err := base64url.DecodeString(parts[i])
		// Encoding again is what catches line breaks, which the decoder
		// skips, and left-over bits.
		if err != nil || base64url.EncodeToString(data) != parts[i] {
			return compact{}, Refuse(ReasonMalformed, "%s is not canonical base64url", name)
		}
		decoded[i] = data
	}
	header, err := parseObject(decoded[0])
	if err != nil {
		return compact{}, Refuse(ReasonMalformed, "header: %v", err)
	}
	return compact{
		signed:    raw[:len(parts[0])+1+len(parts[1])],
		header:    header,
		payload:   decoded[1],
		signature: decoded[2],
	}, nil
}

// Open checks size, form, algorithm, key id and signature, in this order, and
// only then reads the payload. An error is always a [*Refusal]. Open may wait for
// a fetch of keys, as long as ctx lets it.
func Open(ctx context.Context, raw string, rules *HeaderRules, keys KeySource) (Claims, error) {
	c, err := splitCompact(raw)
	if err != nil {
		return nil, err
	}
	alg, kid, err := rules.check(c.header)
	if err != nil {
		return nil, err
	}
	if kid == "" {
		err = c.verifyByAny(ctx, alg, keys)
	} else {
		err = c.verify(ctx, alg, kid, keys)
	}
	if err != nil {
		return nil, err
	}
	claims, err := parseObject(c.payload)
	if err != nil {
		return nil, Refuse(ReasonMalformed, "payload: %v", err)
	}
	return claims, nil
}

// verify checks the signature by the key that the token names.
func (c *compact) verify(ctx context.Context, alg Algorithm, kid string, keys KeySource) error {
	key, err := keys.Key(ctx, kid)
	switch {
	case errors.Is(err, ErrUnknownKey):
		return &Refusal{Reason: ReasonUnknownKey, Detail: "the issuer publishes no key with this id", Cause: err}
	case err != nil:
		return keysUnavailable(err)
	case !alg.fits(key):
		return Refuse(ReasonBadAlgorithm, "alg is not the one of the key")
	case alg.Method().Verify(c.signed, c.signature, key) != nil:
		return Refuse(ReasonBadSignature, "not signed by the key that it names")
	}
	return nil
}

// verifyByAny checks the signature of a token that names no key: by those that are
// known, and then by those that the issuer publishes now.
func (c *compact) verifyByAny(ctx context.Context, alg Algorithm, keys KeySource) error {
	list, ok := keys.(KeyLister)
	if !ok {
		return Refuse(ReasonBadKeyID, "kid is missing")
	}
	for _, again := range []bool{false, true} {
		all, err := list.Keys(ctx, again)
		switch {
		case errors.Is(err, ErrUnknownKey):
			return &Refusal{Reason: ReasonUnknownKey, Detail: "not signed by any key of the issuer that is known", Cause: err}
		case err != nil:
			return keysUnavailable(err)
		}
		all = slices.DeleteFunc(all, func(key crypto.PublicKey) bool { return !alg.fits(key) })
		if len(all) > maxTried {
			return Refuse(ReasonBadKeyID, "kid is missing, and the issuer has more than %d keys", maxTried)
		}
		for _, key := range all {
			if alg.Method().Verify(c.signed, c.signature, key) == nil {
				return nil
			}
		}
	}
	return Refuse(ReasonBadSignature, "not signed by any key of the issuer")
}

func keysUnavailable(err error) error {
	return &Refusal{Reason: ReasonKeysUnavailable, Detail: "the issuer's keys could not be had", Cause: err}
}

// Issuer returns who a token says has made it, whom nobody has checked yet: it
// decides by whose keys the token is to be checked. An error is always a
// [*Refusal].
func Issuer(raw string) (string, error) {
	c, err := splitCompact(raw)
	if err != nil {
		return "", err
	}
	claims, err := parseObject(c.payload)
	if err != nil {
		return "", Refuse(ReasonMalformed, "payload: %v", err)
	}
	return Claims(claims).Text("iss"), nil
}

// check returns the algorithm and the key id once the header obeys the rules.
func (h *HeaderRules) check(header map[string]any) (Algorithm, string, error) {
	name, _ := header["alg"].(string)
	alg := Algorithm(name)
	if !slices.Contains(h.Algorithms, alg) {
		return "", "", Refuse(ReasonBadAlgorithm, "alg is not one of %v", h.Algorithms)
	}
	for member := range header {
		if slices.Contains(forbiddenMembers, strings.ToLower(member)) {
			return "", "", Refuse(ReasonBadHeader, "a header member that is never allowed")
		}
		if h.Only != nil && !slices.Contains(h.Only, member) {
			return "", "", Refuse(ReasonBadHeader, "a header member other than %v", h.Only)
		}
	}
	value, present := header["typ"]
	if typ, isString := value.(string); isString != present || !h.Type(typ) {
		return "", "", Refuse(ReasonBadHeader, "typ is not the one of this kind of token")
	}
	given, named := header["kid"]
	kid, _ := given.(string)
	if !named && h.NoKeyID {
		return alg, "", nil
	}
	if !h.KeyID(kid) {
		return "", "", Refuse(ReasonBadKeyID, "kid is missing or cannot be the id of a key")
	}
	return alg, kid, nil
}

// Matches reports whether s has 1 to limit bytes, all of them ASCII letters or
// digits or in extra.
func Matches(s, extra string, limit int) bool {
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
