package token_test

import (
	"context"
	"crypto"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

// attack is a token that has to be refused, and why.
type attack struct {
	name string
	raw  string
	want token.Reason
}

var frontend = tokentest.NewIssuer(tokentest.RSA())

// newForger makes tokens of always the same id.
func newForger() *tokentest.Forger {
	f := frontend.Forge(begin)
	f.Payload["jti"] = strings.Repeat("A", 22)
	return f
}

func algorithmAttacks(t testing.TB, f *tokentest.Forger) []attack {
	good := f.Claims(nil)
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	der, err := x509.MarshalPKIXPublicKey(f.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	ec := &tokentest.Forger{Key: tokentest.EC(), Header: f.Header.With(tokentest.Object{"alg": "ES256"}), Payload: f.Payload}
	return []attack{
		{"none", f.Unsigned("none"), token.ReasonBadAlgorithm},
		{"None", f.Unsigned("None"), token.ReasonBadAlgorithm},
		{"nOnE with signature", f.Headers(tokentest.Object{"alg": "nOnE"}), token.ReasonBadAlgorithm},
		{"no signature", unsigned, token.ReasonBadSignature},
		{"no alg", f.Headers(tokentest.Object{"alg": nil}), token.ReasonBadAlgorithm},
		{"null alg", rawHeaderAlg(f, "null"), token.ReasonBadAlgorithm},
		{"list alg", rawHeaderAlg(f, `["RS256"]`), token.ReasonBadAlgorithm},
		{"empty alg", f.Headers(tokentest.Object{"alg": ""}), token.ReasonBadAlgorithm},
		{"lower-case alg", f.Headers(tokentest.Object{"alg": "rs256"}), token.ReasonBadAlgorithm},
		{"HS256 keyed with the public key, PEM", f.HMAC(public), token.ReasonBadAlgorithm},
		{"HS256 keyed with the public key, DER", f.HMAC(der), token.ReasonBadAlgorithm},
		{"HS256 keyed with nothing", f.HMAC(nil), token.ReasonBadAlgorithm},
		{"RS512", f.Headers(tokentest.Object{"alg": "RS512"}), token.ReasonBadAlgorithm},
		{"PS256", f.Headers(tokentest.Object{"alg": "PS256"}), token.ReasonBadAlgorithm},
		{"ES256 with the RSA kid", ec.Claims(nil), token.ReasonBadAlgorithm},
		{"SHA-512 signature called RS256", sha512Signature(t, f), token.ReasonBadSignature},
		{"other key", (&tokentest.Forger{Key: tokentest.OtherRSA(), Header: f.Header, Payload: f.Payload}).Claims(nil), token.ReasonBadSignature},
	}
}

func rawHeaderAlg(f *tokentest.Forger, value string) string {
	return tokentest.Seal(f.Key, fmt.Sprintf(`{"alg":%s,"typ":"JWT","kid":%q}`, value, frontend.KeyID), f.Payload.JSON())
}

func sha512Signature(t testing.TB, f *tokentest.Forger) string {
	signed := tokentest.B64([]byte(f.Header.JSON())) + "." + tokentest.B64([]byte(f.Payload.JSON()))
	sum := sha512.Sum512([]byte(signed))
	sig, err := tokentest.RSA().Sign(nil, sum[:], crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + tokentest.B64(sig)
}

func headerAttacks(t testing.TB, f *tokentest.Forger) []attack {
	kid := frontend.KeyID
	jwk := tokentest.Object{"kty": "RSA", "n": tokentest.B64(tokentest.OtherRSA().N.Bytes()), "e": "AQAB"}
	mine := &tokentest.Forger{Key: tokentest.OtherRSA(), Header: f.Header, Payload: f.Payload}
	return []attack{
		{"no kid", f.Headers(tokentest.Object{"kid": nil}), token.ReasonBadKeyID},
		{"empty kid", f.Headers(tokentest.Object{"kid": ""}), token.ReasonBadKeyID},
		{"number kid", f.Headers(tokentest.Object{"kid": 1}), token.ReasonBadKeyID},
		{"wrong kid", f.Headers(tokentest.Object{"kid": tokentest.OtherKeyID(kid)}), token.ReasonUnknownKey},
		{"path in kid", f.Headers(tokentest.Object{"kid": "../../../../../../../../../../../../dev/null"}), token.ReasonBadKeyID},
		{"path of a thumbprint's length", f.Headers(tokentest.Object{"kid": "/" + kid[1:]}), token.ReasonBadKeyID},
		{"SQL in kid", f.Headers(tokentest.Object{"kid": "x' UNION SELECT 'key';--"}), token.ReasonBadKeyID},
		{"NUL in kid", f.Headers(tokentest.Object{"kid": kid[:42] + "\x00"}), token.ReasonBadKeyID},
		{"long kid", f.Headers(tokentest.Object{"kid": strings.Repeat("k", 4000)}), token.ReasonBadKeyID},
		{"jku", mine.Headers(tokentest.Object{"jku": "https://evil.example/jwks.json"}), token.ReasonBadHeader},
		{"x5u", mine.Headers(tokentest.Object{"x5u": "https://evil.example/cert"}), token.ReasonBadHeader},
		{"jwk", mine.Headers(tokentest.Object{"jwk": jwk}), token.ReasonBadHeader},
		{"x5c", mine.Headers(tokentest.Object{"x5c": []string{"AAAA"}}), token.ReasonBadHeader},
		{"jku, rightly signed", f.Headers(tokentest.Object{"jku": "https://evil.example/jwks.json"}), token.ReasonBadHeader},
		{"JKU", f.Headers(tokentest.Object{"JKU": "https://evil.example/jwks.json"}), token.ReasonBadHeader},
		{"crit", f.Headers(tokentest.Object{"crit": []string{"exp"}}), token.ReasonBadHeader},
		{"b64", f.Headers(tokentest.Object{"b64": false, "crit": []string{"b64"}}), token.ReasonBadHeader},
		{"unknown member", f.Headers(tokentest.Object{"cty": "JWT"}), token.ReasonBadHeader},
		{"no typ", f.Headers(tokentest.Object{"typ": nil}), token.ReasonBadHeader},
		{"lower-case typ", f.Headers(tokentest.Object{"typ": "jwt"}), token.ReasonBadHeader},
		{"at+jwt", f.Headers(tokentest.Object{"typ": "at+jwt"}), token.ReasonBadHeader},
		{"number typ", f.Headers(tokentest.Object{"typ": 1}), token.ReasonBadHeader},
		{"alg twice", f.RawHeader(`,"alg":"RS256"}`), token.ReasonMalformed},
		{"alg twice in other case", f.RawHeader(`,"ALG":"none"}`), token.ReasonMalformed},
		{"alg twice by escape", f.RawHeader(`,"\u0061lg":"none"}`), token.ReasonMalformed},
		{"kid twice by Kelvin sign", f.RawHeader(`,"` + "\u212a" + `id":"x"}`), token.ReasonMalformed},
		{"header with tail", f.RawHeader(`} {}`), token.ReasonMalformed},
		{"header not ended", f.RawHeader(``), token.ReasonMalformed},
		{"header not UTF-8", f.RawHeader(",\"\xff\":1}"), token.ReasonMalformed},
		{"header is a list", tokentest.Seal(f.Key, `[]`, f.Payload.JSON()), token.ReasonMalformed},
		{"header is null", tokentest.Seal(f.Key, `null`, f.Payload.JSON()), token.ReasonMalformed},
		{"header is empty", tokentest.Seal(f.Key, ``, f.Payload.JSON()), token.ReasonMalformed},
	}
}

func claimAttacks(t testing.TB, f *tokentest.Forger) []attack {
	sec := begin.Unix()
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	return []attack{
		{"no iss", f.Claims(tokentest.Object{"iss": nil}), token.ReasonWrongIssuer},
		{"wrong iss", f.Claims(tokentest.Object{"iss": "https://evil.example"}), token.ReasonWrongIssuer},
		{"iss with slash", f.Claims(tokentest.Object{"iss": issuer + "/"}), token.ReasonWrongIssuer},
		{"iss list", f.Claims(tokentest.Object{"iss": []string{issuer}}), token.ReasonWrongIssuer},
		{"no aud", f.Claims(tokentest.Object{"aud": nil}), token.ReasonWrongAudience},
		{"other server", f.Claims(tokentest.Object{"aud": "gs:games/arena-8"}), token.ReasonWrongAudience},
		{"other namespace", f.Claims(tokentest.Object{"aud": "gs:game/arena-7"}), token.ReasonWrongAudience},
		{"aud list", f.Claims(tokentest.Object{"aud": []string{audience}}), token.ReasonWrongAudience},
		{"aud list of two", f.Claims(tokentest.Object{"aud": []string{"x", audience}}), token.ReasonWrongAudience},
		{"empty aud", f.Claims(tokentest.Object{"aud": ""}), token.ReasonWrongAudience},
		{"no use", f.Claims(tokentest.Object{"use": nil}), token.ReasonWrongUse},
		{"wrong use", f.Claims(tokentest.Object{"use": "spectate"}), token.ReasonWrongUse},
		{"upper-case use", f.Claims(tokentest.Object{"use": "JOIN"}), token.ReasonWrongUse},
		{"no mid", f.Claims(tokentest.Object{"mid": nil}), token.ReasonWrongMatch},
		{"other match", f.Claims(tokentest.Object{"mid": "m-ffffffffffffffff"}), token.ReasonWrongMatch},
		{"mid with space", f.Claims(tokentest.Object{"mid": match + " "}), token.ReasonWrongMatch},
		{"no exp", f.Claims(tokentest.Object{"exp": nil}), token.ReasonMissingClaim},
		{"no iat", f.Claims(tokentest.Object{"iat": nil}), token.ReasonMissingClaim},
		{"no nbf", f.Claims(tokentest.Object{"nbf": nil}), token.ReasonMissingClaim},
		{"no sub", f.Claims(tokentest.Object{"sub": nil}), token.ReasonMissingClaim},
		{"no jti", f.Claims(tokentest.Object{"jti": nil}), token.ReasonMissingClaim},
		{"null exp", rawPayloadExp(f, "null"), token.ReasonBadClaim},
		{"text exp", rawPayloadExp(f, `"9999999999"`), token.ReasonBadClaim},
		{"huge exp", rawPayloadExp(f, "1e400"), token.ReasonBadClaim},
		{"exp beyond the year 9999", rawPayloadExp(f, "253402300800"), token.ReasonBadClaim},
		{"exp that overflows", rawPayloadExp(f, "9223372036854775808"), token.ReasonBadClaim},
		{"negative exp", rawPayloadExp(f, "-1"), token.ReasonBadClaim},
		{"fractional exp", rawPayloadExp(f, fmt.Sprintf("%d.5", sec+100)), token.ReasonBadClaim},
		{"expired", f.Claims(tokentest.Object{"iat": sec - 300, "nbf": sec - 330, "exp": sec - 180}), token.ReasonExpired},
		{"future iat", f.Claims(tokentest.Object{"iat": sec + 31, "exp": sec + 100}), token.ReasonIssuedInFuture},
		{"future nbf", f.Claims(tokentest.Object{"nbf": sec + 31}), token.ReasonNotYetValid},
		{"too long-lived", f.Claims(tokentest.Object{"exp": sec + 301}), token.ReasonLifetimeTooLong},
		{"for ever", f.Claims(tokentest.Object{"exp": int64(253402300799)}), token.ReasonLifetimeTooLong},
		{"exp before iat", f.Claims(tokentest.Object{"exp": sec - 10}), token.ReasonBadClaim},
		{"sub with newline", f.Claims(tokentest.Object{"sub": "a\nb"}), token.ReasonBadClaim},
		{"empty sub", f.Claims(tokentest.Object{"sub": ""}), token.ReasonBadClaim},
		{"number sub", f.Claims(tokentest.Object{"sub": 7}), token.ReasonBadClaim},
		{"short jti", f.Claims(tokentest.Object{"jti": "AAAA"}), token.ReasonBadClaim},
		{"jti with newline", f.Claims(tokentest.Object{"jti": strings.Repeat("A", 21) + "\n"}), token.ReasonBadClaim},
		{"number team", f.Claims(tokentest.Object{"team": 1}), token.ReasonBadClaim},
		{"team with newline", f.Claims(tokentest.Object{"team": "a\n"}), token.ReasonBadClaim},
		{"aud twice", f.RawPayload(`,"aud":"gs:games/arena-8"}`), token.ReasonMalformed},
		{"aud twice in other case", f.RawPayload(`,"Aud":"gs:games/arena-8"}`), token.ReasonMalformed},
		{"mid twice, the same", f.RawPayload(`,"mid":"` + match + `"}`), token.ReasonMalformed},
		{"duplicate deep inside", f.RawPayload(`,"x":[{"a":{"b":1,"b":2}}]}`), token.ReasonMalformed},
		{"nested deeply", f.RawPayload(`,"x":` + deep + `}`), token.ReasonMalformed},
		{"payload with tail", f.RawPayload(`}x`), token.ReasonMalformed},
		{"payload not UTF-8", f.RawPayload(",\"x\":\"\xc3\x28\"}"), token.ReasonMalformed},
		{"payload is text", tokentest.Seal(f.Key, f.Header.JSON(), `"join"`), token.ReasonMalformed},
	}
}

func rawPayloadExp(f *tokentest.Forger, value string) string {
	return tokentest.Seal(f.Key, f.Header.JSON(),
		strings.TrimSuffix(f.Payload.With(tokentest.Object{"exp": nil}).JSON(), "}")+`,"exp":`+value+`}`)
}

func encodingAttacks(t testing.TB, f *tokentest.Forger) []attack {
	good := f.Claims(nil)
	parts := strings.Split(good, ".")
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, sig...)
	flipped[0] ^= 1
	longer := new(big.Int).Add(new(big.Int).SetBytes(sig), tokentest.RSA().N).Bytes()
	body := parts[0] + "." + parts[1] + "."
	// Another last letter whose upper bits are the same: the decoder of most
	// libraries sees the same signature.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	return []attack{
		{"empty", "", token.ReasonMalformed},
		{"oversized", good + strings.Repeat("A", token.MaxSize), token.ReasonTooLarge},
		{"10,000 dots", strings.Repeat(".", 10000), token.ReasonTooLarge},
		{"8,000 dots", strings.Repeat(".", 8000), token.ReasonMalformed},
		{"two dots", "..", token.ReasonMalformed},
		{"one part", parts[0], token.ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], token.ReasonMalformed},
		{"four parts", good + ".", token.ReasonMalformed},
		{"cut by one letter", good[:len(good)-1], token.ReasonMalformed},
		{"signature cut to a whole byte", body + tokentest.B64(sig[:255]), token.ReasonBadSignature},
		{"signature with a byte more", body + tokentest.B64(append([]byte{0}, sig...)), token.ReasonBadSignature},
		{"signature plus the modulus", body + tokentest.B64(longer), token.ReasonBadSignature},
		{"flipped bit", body + tokentest.B64(flipped), token.ReasonBadSignature},
		{"left-over bits", good[:len(good)-1] + alphabet[last^1:last^1+1], token.ReasonMalformed},
		{"padded signature", body + base64.URLEncoding.EncodeToString(sig), token.ReasonMalformed},
		{"standard alphabet", body + "+" + parts[2][1:], token.ReasonMalformed},
		{"line break in signature", body + parts[2][:10] + "\n" + parts[2][10:], token.ReasonMalformed},
		{"carriage return at the end", good + "\r", token.ReasonMalformed},
		{"leading space", " " + good, token.ReasonMalformed},
		{"Bearer in front", "Bearer " + good, token.ReasonMalformed},
		{"payload of another", parts[0] + "." + tokentest.B64([]byte(f.Payload.With(tokentest.Object{"sub": "admin"}).JSON())) + "." + parts[2], token.ReasonBadSignature},
		{"JSON serialization", `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, token.ReasonMalformed},
	}
}

func corpus(t testing.TB) []attack {
	f := newForger()
	var all []attack
	for _, part := range [][]attack{algorithmAttacks(t, f), headerAttacks(t, f), claimAttacks(t, f), encodingAttacks(t, f)} {
		all = append(all, part...)
	}
	return all
}

func TestCorpus(t *testing.T) {
	v := newVerifier(t, frontend, token.RS256, at(begin))
	// The forger's own token is good: what follows fails for its own reason.
	if _, err := v.Verify(t.Context(), newForger().Claims(nil), want); err != nil {
		t.Fatalf("the unchanged token is refused: %v", err)
	}
	for _, a := range corpus(t) {
		t.Run(a.name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), a.raw, want)
			if got := tokentest.Reason(t, err); got != a.want {
				t.Errorf("reason %q (%v), want %q", got, err, a.want)
			}
			if claims != (token.JoinClaims{}) {
				t.Errorf("claims with a refusal: %+v", claims)
			}
		})
	}
}

// TestEmptyExpectation: a server that does not know its match, or
// its name, must not take "absent" for "equal".
func TestEmptyExpectation(t *testing.T) {
	f := newForger()
	v := newVerifier(t, frontend, token.RS256, at(begin))
	for _, test := range []struct {
		raw  string
		want token.Expectation
		why  token.Reason
	}{
		{f.Claims(nil), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.Claims(tokentest.Object{"mid": ""}), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.Claims(tokentest.Object{"mid": nil}), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.Claims(tokentest.Object{"aud": ""}), token.Expectation{MatchID: match}, token.ReasonWrongAudience},
		{f.Claims(tokentest.Object{"aud": nil}), token.Expectation{MatchID: match}, token.ReasonWrongAudience},
	} {
		if _, err := v.Verify(t.Context(), test.raw, test.want); tokentest.Reason(t, err) != test.why {
			t.Errorf("%+v: %v, want %s", test.want, err, test.why)
		}
	}
}

// TestCheckOrder: of two faults the one that is cheaper to find is reported.
func TestCheckOrder(t *testing.T) {
	f := newForger()
	stranger := &tokentest.Forger{Key: tokentest.OtherRSA(), Header: f.Header, Payload: f.Payload}
	v := newVerifier(t, frontend, token.RS256, at(begin.Add(time.Hour)))
	unknown := "x" + frontend.KeyID[1:]
	for _, a := range []attack{
		{"algorithm before kid", f.Headers(tokentest.Object{"alg": "none", "kid": unknown}), token.ReasonBadAlgorithm},
		{"kid before signature", stranger.Headers(tokentest.Object{"kid": unknown}), token.ReasonUnknownKey},
		{"signature before claims", stranger.Claims(tokentest.Object{"iss": "x"}), token.ReasonBadSignature},
		{"iss before aud", f.Claims(tokentest.Object{"iss": "x", "aud": "x"}), token.ReasonWrongIssuer},
		{"aud before use", f.Claims(tokentest.Object{"aud": "x", "use": "x"}), token.ReasonWrongAudience},
		{"use before mid", f.Claims(tokentest.Object{"use": "x", "mid": "x"}), token.ReasonWrongUse},
		{"mid before times", f.Claims(tokentest.Object{"mid": "x"}), token.ReasonWrongMatch},
		{"times before names", f.Claims(tokentest.Object{"sub": "\n"}), token.ReasonExpired},
	} {
		if _, err := v.Verify(t.Context(), a.raw, want); tokentest.Reason(t, err) != a.want {
			t.Errorf("%s: %v, want %s", a.name, err, a.want)
		}
	}
}

func TestRefusalAdvice(t *testing.T) {
	retry := []token.Reason{token.ReasonKeysUnavailable, token.ReasonJournalUnavailable, token.ReasonNotYetValid, token.ReasonIssuedInFuture}
	renew := []token.Reason{token.ReasonExpired, token.ReasonReplayed, token.ReasonIssuedBeforeStart}
	for _, r := range retry {
		if e := (&token.Refusal{Reason: r}); !e.Retryable() || e.Renewable() {
			t.Errorf("%s: must be retryable only", r)
		}
	}
	for _, r := range renew {
		if e := (&token.Refusal{Reason: r}); e.Retryable() || !e.Renewable() {
			t.Errorf("%s: must be renewable only", r)
		}
	}
	for _, a := range corpus(t) {
		if a.want == token.ReasonBadSignature || a.want == token.ReasonMalformed {
			if e := (&token.Refusal{Reason: a.want}); e.Retryable() || e.Renewable() {
				t.Errorf("%s: must be final", a.want)
			}
		}
	}
}

type brokenSource struct{ err error }

func (b brokenSource) Key(context.Context, string) (crypto.PublicKey, error) { return nil, b.err }

func TestSourceErrors(t *testing.T) {
	raw := newForger().Claims(nil)
	for _, test := range []struct {
		err  error
		want token.Reason
	}{
		{token.ErrUnknownKey, token.ReasonUnknownKey},
		{fmt.Errorf("wrapped: %w", token.ErrUnknownKey), token.ReasonUnknownKey},
		{token.ErrKeysUnavailable, token.ReasonKeysUnavailable},
		{context.DeadlineExceeded, token.ReasonKeysUnavailable},
		{errors.New("anything else"), token.ReasonKeysUnavailable},
		{nil, token.ReasonBadAlgorithm}, // a nil key without an error
	} {
		_, err := newVerifier(t, brokenSource{test.err}, token.RS256, at(begin)).Verify(t.Context(), raw, want)
		if tokentest.Reason(t, err) != test.want {
			t.Errorf("source error %v: %v, want %s", test.err, err, test.want)
		}
		if test.err != nil && !errors.Is(err, test.err) {
			t.Errorf("%v does not wrap %v", err, test.err)
		}
	}
}
