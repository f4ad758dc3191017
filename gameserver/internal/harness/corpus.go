package harness

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// Attack is a token that has to be refused, and why.
type Attack struct {
	Name, Raw string
	Want      token.Reason
}

// Corpus returns attacks on the match, all in the name of a player whom it
// expects.
func (i *Issuer) Corpus(tb testing.TB, player, match string) []Attack {
	f := i.Forge(time.Now())
	f.Payload["sub"], f.Payload["mid"] = player, match
	return slices.Concat(headerAttacks(tb, i, f), claimAttacks(f), encodingAttacks(f.Claims(nil)))
}

func headerAttacks(tb testing.TB, i *Issuer, f *tokentest.Forger) []Attack {
	other := tokentest.OtherRSA()
	der, err := x509.MarshalPKIXPublicKey(i.Private.Public())
	if err != nil {
		tb.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	foreign := tokentest.Forger{Key: other, Header: f.Header, Payload: f.Payload}
	return []Attack{
		{"none", f.Unsigned("none"), token.ReasonBadAlgorithm},
		{"HS256 keyed with the public key", f.HMAC(public), token.ReasonBadAlgorithm},
		{"PS256", f.Headers(tokentest.Object{"alg": "PS256"}), token.ReasonBadAlgorithm},
		{"no alg", f.Headers(tokentest.Object{"alg": nil}), token.ReasonBadAlgorithm},
		{"other key", foreign.Headers(nil), token.ReasonBadSignature},
		{"no kid", f.Headers(tokentest.Object{"kid": nil}), token.ReasonBadKeyID},
		{"unknown kid", foreign.Headers(tokentest.Object{"kid": tokentest.OtherKeyID(i.KeyID)}), token.ReasonUnknownKey},
		{"path in kid", f.Headers(tokentest.Object{"kid": "../../../../dev/null"}), token.ReasonBadKeyID},
		{"jku", foreign.Headers(tokentest.Object{"jku": "https://evil.example/k"}), token.ReasonBadHeader},
		{"x5u", foreign.Headers(tokentest.Object{"x5u": "https://evil.example/c"}), token.ReasonBadHeader},
		{"jwk", foreign.Headers(tokentest.Object{"jwk": tokentest.Object{"kty": "RSA", "e": "AQAB", "n": tokentest.B64(other.N.Bytes()[:64])}}), token.ReasonBadHeader},
		{"crit", f.Headers(tokentest.Object{"crit": []string{"exp"}}), token.ReasonBadHeader},
		{"no typ", f.Headers(tokentest.Object{"typ": nil}), token.ReasonBadHeader},
		{"alg twice", f.RawHeader(`,"alg":"RS256"}`), token.ReasonMalformed},
		{"mid twice", f.RawPayload(`,"mid":"` + f.Payload["mid"].(string) + `"}`), token.ReasonMalformed},
	}
}

func claimAttacks(f *tokentest.Forger) []Attack {
	now := time.Now().Unix()
	return []Attack{
		{"wrong iss", f.Claims(tokentest.Object{"iss": "https://evil.example"}), token.ReasonWrongIssuer},
		{"other server", f.Claims(tokentest.Object{"aud": "gs:games/arena-8"}), token.ReasonWrongAudience},
		{"list of audiences", f.Claims(tokentest.Object{"aud": []string{"gs:games/arena-7"}}), token.ReasonWrongAudience},
		{"wrong use", f.Claims(tokentest.Object{"use": "spectate"}), token.ReasonWrongUse},
		{"no mid", f.Claims(tokentest.Object{"mid": nil}), token.ReasonWrongMatch},
		{"foreign match", f.Claims(tokentest.Object{"mid": "m-ffff"}), token.ReasonWrongMatch},
		{"no exp", f.Claims(tokentest.Object{"exp": nil}), token.ReasonMissingClaim},
		{"no sub", f.Claims(tokentest.Object{"sub": nil}), token.ReasonMissingClaim},
		{"no jti", f.Claims(tokentest.Object{"jti": nil}), token.ReasonMissingClaim},
		{"text exp", f.Claims(tokentest.Object{"exp": "9999999999"}), token.ReasonBadClaim},
		{"sub with newline", f.Claims(tokentest.Object{"sub": "a\nb"}), token.ReasonBadClaim},
		{"expired", f.Claims(tokentest.Object{"iat": now - 300, "nbf": now - 330, "exp": now - 180}), token.ReasonExpired},
		{"future iat", f.Claims(tokentest.Object{"iat": now + 90, "exp": now + 100}), token.ReasonIssuedInFuture},
		{"future nbf", f.Claims(tokentest.Object{"nbf": now + 90}), token.ReasonNotYetValid},
		// Far above the limit, as iat may be of a later second than now.
		{"too long-lived", f.Claims(tokentest.Object{"exp": now + 330}), token.ReasonLifetimeTooLong},
		{"not on the roster", f.Claims(tokentest.Object{"sub": "mallory"}), "not_on_roster"},
	}
}

func encodingAttacks(good string) []Attack {
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
