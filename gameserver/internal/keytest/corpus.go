package keytest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"torikumi/pkg/token"
)

// Attack is a token that has to be refused, and why.
type Attack struct {
	Name, Raw string
	Want      token.Reason
}

// Corpus returns attacks on the match, all in the name of a player whom it
// expects.
func (i *Issuer) Corpus(player, match string) []Attack {
	i.tb.Helper()
	return append(i.headerAttacks(player, match), append(i.claimAttacks(player, match), i.encodingAttacks(player, match)...)...)
}

func (i *Issuer) headerAttacks(player, match string) []Attack {
	header := func(m Members) string { return i.Seal(player, match, m, nil) }
	h, c := i.parts(player, match)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(i.tb, err)
	der, err := x509.MarshalPKIXPublicKey(i.private.Public())
	must(i.tb, err)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	signed := b64([]byte(encode(i.tb, h.with(Members{"alg": "HS256"})))) + "." + b64([]byte(encode(i.tb, c)))
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(signed))
	none := b64([]byte(encode(i.tb, h.with(Members{"alg": "none"})))) + "." + b64([]byte(encode(i.tb, c))) + "."
	foreign := func(m Members) string { return sign(i.tb, other, encode(i.tb, h.with(m)), encode(i.tb, c)) }
	kid := i.keys.SigningKeyID()
	return []Attack{
		{"none", none, token.ReasonBadAlgorithm},
		{"HS256 keyed with the public key", signed + "." + b64(mac.Sum(nil)), token.ReasonBadAlgorithm},
		{"PS256", header(Members{"alg": "PS256"}), token.ReasonBadAlgorithm},
		{"no alg", header(Members{"alg": nil}), token.ReasonBadAlgorithm},
		{"other key", foreign(nil), token.ReasonBadSignature},
		{"no kid", header(Members{"kid": nil}), token.ReasonBadKeyID},
		{"unknown kid", foreign(Members{"kid": another(kid)}), token.ReasonUnknownKey},
		{"path in kid", header(Members{"kid": "../../../../dev/null"}), token.ReasonBadKeyID},
		{"jku", foreign(Members{"jku": "https://evil.example/k"}), token.ReasonBadHeader},
		{"x5u", foreign(Members{"x5u": "https://evil.example/c"}), token.ReasonBadHeader},
		{"jwk", foreign(Members{"jwk": Members{"kty": "RSA", "e": "AQAB", "n": b64(other.N.Bytes()[:64])}}), token.ReasonBadHeader},
		{"crit", header(Members{"crit": []string{"exp"}}), token.ReasonBadHeader},
		{"no typ", header(Members{"typ": nil}), token.ReasonBadHeader},
		{"alg twice", sign(i.tb, i.private, strings.TrimSuffix(encode(i.tb, h), "}")+`,"alg":"RS256"}`, encode(i.tb, c)), token.ReasonMalformed},
		{"mid twice", sign(i.tb, i.private, encode(i.tb, h), strings.TrimSuffix(encode(i.tb, c), "}")+`,"mid":"`+match+`"}`), token.ReasonMalformed},
	}
}

func (i *Issuer) claimAttacks(player, match string) []Attack {
	claims := func(m Members) string { return i.Seal(player, match, nil, m) }
	now := time.Now().Unix()
	return []Attack{
		{"wrong iss", claims(Members{"iss": "https://evil.example"}), token.ReasonWrongIssuer},
		{"other server", claims(Members{"aud": "gs:games/arena-8"}), token.ReasonWrongAudience},
		{"list of audiences", claims(Members{"aud": []string{"gs:games/arena-7"}}), token.ReasonWrongAudience},
		{"wrong use", claims(Members{"use": "spectate"}), token.ReasonWrongUse},
		{"no mid", claims(Members{"mid": nil}), token.ReasonWrongMatch},
		{"foreign match", claims(Members{"mid": "m-ffff"}), token.ReasonWrongMatch},
		{"no exp", claims(Members{"exp": nil}), token.ReasonMissingClaim},
		{"no sub", claims(Members{"sub": nil}), token.ReasonMissingClaim},
		{"no jti", claims(Members{"jti": nil}), token.ReasonMissingClaim},
		{"text exp", claims(Members{"exp": "9999999999"}), token.ReasonBadClaim},
		{"sub with newline", claims(Members{"sub": "a\nb"}), token.ReasonBadClaim},
		{"expired", claims(Members{"iat": now - 300, "nbf": now - 330, "exp": now - 180}), token.ReasonExpired},
		{"future iat", claims(Members{"iat": now + 90, "exp": now + 100}), token.ReasonIssuedInFuture},
		{"future nbf", claims(Members{"nbf": now + 90}), token.ReasonNotYetValid},
		// Far above the limit, as iat may be of a later second than now.
		{"too long-lived", claims(Members{"exp": now + 330}), token.ReasonLifetimeTooLong},
		{"not on the roster", i.Seal("mallory", match, nil, nil), "not_on_roster"},
	}
}

func (i *Issuer) encodingAttacks(player, match string) []Attack {
	good := i.Seal(player, match, nil, nil)
	parts := strings.Split(good, ".")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	return []Attack{
		{"10,000 dots", strings.Repeat(".", 10000), token.ReasonTooLarge},
		{"oversized", good + strings.Repeat("A", token.MaxSize), token.ReasonTooLarge},
		{"1,000 dots", strings.Repeat(".", 1000), token.ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], token.ReasonMalformed},
		{"truncated", good[:len(good)-1], token.ReasonMalformed},
		{"no signature", parts[0] + "." + parts[1] + ".", token.ReasonBadSignature},
		{"signature re-encoded", good[:len(good)-1] + alphabet[last^1:last^1+1], token.ReasonMalformed},
		{"signature padded", good + "==", token.ReasonMalformed},
		{"line break", good[:len(good)-5] + "\n" + good[len(good)-5:], token.ReasonMalformed},
		{"Bearer", "Bearer " + good, token.ReasonMalformed},
	}
}

// another returns a key id of the same shape that is not this one.
func another(kid string) string {
	first := "x"
	if kid[:1] == first {
		first = "y"
	}
	return first + kid[1:]
}
