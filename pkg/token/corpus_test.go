package token_test

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
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
)

// attack is a token that has to be refused, and why.
type attack struct {
	name string
	raw  string
	want token.Reason
}

// forger makes tokens with the issuer's real key, or with others.
type forger struct {
	t       testing.TB
	key     crypto.Signer
	header  object
	payload object
}

func newForger(t testing.TB) *forger {
	sec := begin.Unix()
	return &forger{
		t: t, key: rsaKey(),
		header: object{"alg": "RS256", "typ": "JWT", "kid": rsaThumbprint()},
		payload: object{
			"iss": issuer, "aud": audience, "sub": "player@one", "jti": strings.Repeat("A", 22), "use": "join", "mid": match,
			"team": "red", "iat": sec, "nbf": sec - 30, "exp": sec + 120,
		},
	}
}

func (f *forger) headers(changes object) string {
	return seal(f.t, f.key, f.header.with(changes).json(f.t), f.payload.json(f.t))
}

func (f *forger) claims(changes object) string {
	return seal(f.t, f.key, f.header.json(f.t), f.payload.with(changes).json(f.t))
}

// rawHeader and rawPayload add text where the object ends.
func (f *forger) rawHeader(more string) string {
	return seal(f.t, f.key, strings.TrimSuffix(f.header.json(f.t), "}")+more, f.payload.json(f.t))
}

func (f *forger) rawPayload(more string) string {
	return seal(f.t, f.key, f.header.json(f.t), strings.TrimSuffix(f.payload.json(f.t), "}")+more)
}

// hmacWith signs with a MAC that is keyed with something public.
func (f *forger) hmacWith(secret []byte) string {
	signed := b64([]byte(f.header.with(object{"alg": "HS256"}).json(f.t))) + "." + b64([]byte(f.payload.json(f.t)))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(signed))
	return signed + "." + b64(mac.Sum(nil))
}

func algorithmAttacks(t testing.TB, f *forger) []attack {
	good := f.claims(nil)
	unsigned := good[:strings.LastIndexByte(good, '.')+1]
	der, err := x509.MarshalPKIXPublicKey(f.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	none := func(alg string) string {
		return b64([]byte(f.header.with(object{"alg": alg}).json(t))) + "." + b64([]byte(f.payload.json(t))) + "."
	}
	ec := &forger{t: t, key: newEC(t), header: f.header.with(object{"alg": "ES256"}), payload: f.payload}
	return []attack{
		{"none", none("none"), token.ReasonBadAlgorithm},
		{"None", none("None"), token.ReasonBadAlgorithm},
		{"nOnE with signature", f.headers(object{"alg": "nOnE"}), token.ReasonBadAlgorithm},
		{"no signature", unsigned, token.ReasonBadSignature},
		{"no alg", f.headers(object{"alg": nil}), token.ReasonBadAlgorithm},
		{"null alg", f.rawHeaderAlg("null"), token.ReasonBadAlgorithm},
		{"list alg", f.rawHeaderAlg(`["RS256"]`), token.ReasonBadAlgorithm},
		{"empty alg", f.headers(object{"alg": ""}), token.ReasonBadAlgorithm},
		{"lower-case alg", f.headers(object{"alg": "rs256"}), token.ReasonBadAlgorithm},
		{"HS256 keyed with the public key, PEM", f.hmacWith(public), token.ReasonBadAlgorithm},
		{"HS256 keyed with the public key, DER", f.hmacWith(der), token.ReasonBadAlgorithm},
		{"HS256 keyed with nothing", f.hmacWith(nil), token.ReasonBadAlgorithm},
		{"RS512", f.headers(object{"alg": "RS512"}), token.ReasonBadAlgorithm},
		{"PS256", f.headers(object{"alg": "PS256"}), token.ReasonBadAlgorithm},
		{"ES256 with the RSA kid", ec.claims(nil), token.ReasonBadAlgorithm},
		{"SHA-512 signature called RS256", sha512Signature(t, f), token.ReasonBadSignature},
		{"other key", (&forger{t: t, key: otherRSAKey(), header: f.header, payload: f.payload}).claims(nil), token.ReasonBadSignature},
	}
}

func (f *forger) rawHeaderAlg(value string) string {
	return seal(f.t, f.key, fmt.Sprintf(`{"alg":%s,"typ":"JWT","kid":%q}`, value, rsaThumbprint()), f.payload.json(f.t))
}

func sha512Signature(t testing.TB, f *forger) string {
	signed := b64([]byte(f.header.json(t))) + "." + b64([]byte(f.payload.json(t)))
	sum := sha512.Sum512([]byte(signed))
	sig, err := rsaKey().Sign(nil, sum[:], crypto.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(sig)
}

func headerAttacks(t testing.TB, f *forger) []attack {
	kid := rsaThumbprint()
	jwk := object{"kty": "RSA", "n": b64(otherRSAKey().N.Bytes()), "e": "AQAB"}
	mine := &forger{t: t, key: otherRSAKey(), header: f.header, payload: f.payload}
	return []attack{
		{"no kid", f.headers(object{"kid": nil}), token.ReasonBadKeyID},
		{"empty kid", f.headers(object{"kid": ""}), token.ReasonBadKeyID},
		{"number kid", f.headers(object{"kid": 1}), token.ReasonBadKeyID},
		{"wrong kid", f.headers(object{"kid": otherKid(kid)}), token.ReasonUnknownKey},
		{"path in kid", f.headers(object{"kid": "../../../../../../../../../../../../dev/null"}), token.ReasonBadKeyID},
		{"path of a thumbprint's length", f.headers(object{"kid": "/" + kid[1:]}), token.ReasonBadKeyID},
		{"SQL in kid", f.headers(object{"kid": "x' UNION SELECT 'key';--"}), token.ReasonBadKeyID},
		{"NUL in kid", f.headers(object{"kid": kid[:42] + "\x00"}), token.ReasonBadKeyID},
		{"long kid", f.headers(object{"kid": strings.Repeat("k", 4000)}), token.ReasonBadKeyID},
		{"jku", mine.headers(object{"jku": "https://evil.example/jwks.json"}), token.ReasonBadHeader},
		{"x5u", mine.headers(object{"x5u": "https://evil.example/cert"}), token.ReasonBadHeader},
		{"jwk", mine.headers(object{"jwk": jwk}), token.ReasonBadHeader},
		{"x5c", mine.headers(object{"x5c": []string{"AAAA"}}), token.ReasonBadHeader},
		{"jku, rightly signed", f.headers(object{"jku": "https://evil.example/jwks.json"}), token.ReasonBadHeader},
		{"JKU", f.headers(object{"JKU": "https://evil.example/jwks.json"}), token.ReasonBadHeader},
		{"crit", f.headers(object{"crit": []string{"exp"}}), token.ReasonBadHeader},
		{"b64", f.headers(object{"b64": false, "crit": []string{"b64"}}), token.ReasonBadHeader},
		{"unknown member", f.headers(object{"cty": "JWT"}), token.ReasonBadHeader},
		{"no typ", f.headers(object{"typ": nil}), token.ReasonBadHeader},
		{"lower-case typ", f.headers(object{"typ": "jwt"}), token.ReasonBadHeader},
		{"at+jwt", f.headers(object{"typ": "at+jwt"}), token.ReasonBadHeader},
		{"number typ", f.headers(object{"typ": 1}), token.ReasonBadHeader},
		{"alg twice", f.rawHeader(`,"alg":"RS256"}`), token.ReasonMalformed},
		{"alg twice in other case", f.rawHeader(`,"ALG":"none"}`), token.ReasonMalformed},
		{"alg twice by escape", f.rawHeader(`,"\u0061lg":"none"}`), token.ReasonMalformed},
		{"kid twice by Kelvin sign", f.rawHeader(`,"` + "\u212a" + `id":"x"}`), token.ReasonMalformed},
		{"header with tail", f.rawHeader(`} {}`), token.ReasonMalformed},
		{"header not ended", f.rawHeader(``), token.ReasonMalformed},
		{"header not UTF-8", f.rawHeader(",\"\xff\":1}"), token.ReasonMalformed},
		{"header is a list", seal(t, f.key, `[]`, f.payload.json(t)), token.ReasonMalformed},
		{"header is null", seal(t, f.key, `null`, f.payload.json(t)), token.ReasonMalformed},
		{"header is empty", seal(t, f.key, ``, f.payload.json(t)), token.ReasonMalformed},
	}
}

func claimAttacks(t testing.TB, f *forger) []attack {
	sec := begin.Unix()
	deep := strings.Repeat("[", 100) + strings.Repeat("]", 100)
	return []attack{
		{"no iss", f.claims(object{"iss": nil}), token.ReasonWrongIssuer},
		{"wrong iss", f.claims(object{"iss": "https://evil.example"}), token.ReasonWrongIssuer},
		{"iss with slash", f.claims(object{"iss": issuer + "/"}), token.ReasonWrongIssuer},
		{"iss list", f.claims(object{"iss": []string{issuer}}), token.ReasonWrongIssuer},
		{"no aud", f.claims(object{"aud": nil}), token.ReasonWrongAudience},
		{"other server", f.claims(object{"aud": "gs:games/arena-8"}), token.ReasonWrongAudience},
		{"other namespace", f.claims(object{"aud": "gs:game/arena-7"}), token.ReasonWrongAudience},
		{"aud list", f.claims(object{"aud": []string{audience}}), token.ReasonWrongAudience},
		{"aud list of two", f.claims(object{"aud": []string{"x", audience}}), token.ReasonWrongAudience},
		{"empty aud", f.claims(object{"aud": ""}), token.ReasonWrongAudience},
		{"no use", f.claims(object{"use": nil}), token.ReasonWrongUse},
		{"wrong use", f.claims(object{"use": "spectate"}), token.ReasonWrongUse},
		{"upper-case use", f.claims(object{"use": "JOIN"}), token.ReasonWrongUse},
		{"no mid", f.claims(object{"mid": nil}), token.ReasonWrongMatch},
		{"other match", f.claims(object{"mid": "m-ffffffffffffffff"}), token.ReasonWrongMatch},
		{"mid with space", f.claims(object{"mid": match + " "}), token.ReasonWrongMatch},
		{"no exp", f.claims(object{"exp": nil}), token.ReasonMissingClaim},
		{"no iat", f.claims(object{"iat": nil}), token.ReasonMissingClaim},
		{"no nbf", f.claims(object{"nbf": nil}), token.ReasonMissingClaim},
		{"no sub", f.claims(object{"sub": nil}), token.ReasonMissingClaim},
		{"no jti", f.claims(object{"jti": nil}), token.ReasonMissingClaim},
		{"null exp", f.rawPayloadExp("null"), token.ReasonBadClaim},
		{"text exp", f.rawPayloadExp(`"9999999999"`), token.ReasonBadClaim},
		{"huge exp", f.rawPayloadExp("1e400"), token.ReasonBadClaim},
		{"exp beyond the year 9999", f.rawPayloadExp("253402300800"), token.ReasonBadClaim},
		{"exp that overflows", f.rawPayloadExp("9223372036854775808"), token.ReasonBadClaim},
		{"negative exp", f.rawPayloadExp("-1"), token.ReasonBadClaim},
		{"fractional exp", f.rawPayloadExp(fmt.Sprintf("%d.5", sec+100)), token.ReasonBadClaim},
		{"expired", f.claims(object{"iat": sec - 300, "nbf": sec - 330, "exp": sec - 180}), token.ReasonExpired},
		{"future iat", f.claims(object{"iat": sec + 31, "exp": sec + 100}), token.ReasonIssuedInFuture},
		{"future nbf", f.claims(object{"nbf": sec + 31}), token.ReasonNotYetValid},
		{"too long-lived", f.claims(object{"exp": sec + 301}), token.ReasonLifetimeTooLong},
		{"for ever", f.claims(object{"exp": int64(253402300799)}), token.ReasonLifetimeTooLong},
		{"exp before iat", f.claims(object{"exp": sec - 10}), token.ReasonBadClaim},
		{"sub with newline", f.claims(object{"sub": "a\nb"}), token.ReasonBadClaim},
		{"empty sub", f.claims(object{"sub": ""}), token.ReasonBadClaim},
		{"number sub", f.claims(object{"sub": 7}), token.ReasonBadClaim},
		{"short jti", f.claims(object{"jti": "AAAA"}), token.ReasonBadClaim},
		{"jti with newline", f.claims(object{"jti": strings.Repeat("A", 21) + "\n"}), token.ReasonBadClaim},
		{"number team", f.claims(object{"team": 1}), token.ReasonBadClaim},
		{"team with newline", f.claims(object{"team": "a\n"}), token.ReasonBadClaim},
		{"aud twice", f.rawPayload(`,"aud":"gs:games/arena-8"}`), token.ReasonMalformed},
		{"aud twice in other case", f.rawPayload(`,"Aud":"gs:games/arena-8"}`), token.ReasonMalformed},
		{"mid twice, the same", f.rawPayload(`,"mid":"` + match + `"}`), token.ReasonMalformed},
		{"duplicate deep inside", f.rawPayload(`,"x":[{"a":{"b":1,"b":2}}]}`), token.ReasonMalformed},
		{"nested deeply", f.rawPayload(`,"x":` + deep + `}`), token.ReasonMalformed},
		{"payload with tail", f.rawPayload(`}x`), token.ReasonMalformed},
		{"payload not UTF-8", f.rawPayload(",\"x\":\"\xc3\x28\"}"), token.ReasonMalformed},
		{"payload is text", seal(t, f.key, f.header.json(t), `"join"`), token.ReasonMalformed},
	}
}

func (f *forger) rawPayloadExp(value string) string {
	return seal(f.t, f.key, f.header.json(f.t),
		strings.TrimSuffix(f.payload.with(object{"exp": nil}).json(f.t), "}")+`,"exp":`+value+`}`)
}

func encodingAttacks(t testing.TB, f *forger) []attack {
	good := f.claims(nil)
	parts := strings.Split(good, ".")
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte{}, sig...)
	flipped[0] ^= 1
	longer := new(big.Int).Add(new(big.Int).SetBytes(sig), rsaKey().N).Bytes()
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
		{"signature cut to a whole byte", body + b64(sig[:255]), token.ReasonBadSignature},
		{"signature with a byte more", body + b64(append([]byte{0}, sig...)), token.ReasonBadSignature},
		{"signature plus the modulus", body + b64(longer), token.ReasonBadSignature},
		{"flipped bit", body + b64(flipped), token.ReasonBadSignature},
		{"left-over bits", good[:len(good)-1] + alphabet[last^1:last^1+1], token.ReasonMalformed},
		{"padded signature", body + base64.URLEncoding.EncodeToString(sig), token.ReasonMalformed},
		{"standard alphabet", body + "+" + parts[2][1:], token.ReasonMalformed},
		{"line break in signature", body + parts[2][:10] + "\n" + parts[2][10:], token.ReasonMalformed},
		{"carriage return at the end", good + "\r", token.ReasonMalformed},
		{"leading space", " " + good, token.ReasonMalformed},
		{"Bearer in front", "Bearer " + good, token.ReasonMalformed},
		{"payload of another", parts[0] + "." + b64([]byte(f.payload.with(object{"sub": "admin"}).json(t))) + "." + parts[2], token.ReasonBadSignature},
		{"JSON serialization", `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`, token.ReasonMalformed},
	}
}

func corpus(t testing.TB) []attack {
	f := newForger(t)
	var all []attack
	for _, part := range [][]attack{algorithmAttacks(t, f), headerAttacks(t, f), claimAttacks(t, f), encodingAttacks(t, f)} {
		all = append(all, part...)
	}
	return all
}

func TestCorpusIsRefused(t *testing.T) {
	v := newVerifier(t, loaded(t, token.RS256, rsaKey()), token.RS256, at(begin))
	// The forger's own token is good: what follows fails for its own reason.
	if _, err := v.Verify(t.Context(), newForger(t).claims(nil), want); err != nil {
		t.Fatalf("the unchanged token is refused: %v", err)
	}
	for _, a := range corpus(t) {
		t.Run(a.name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), a.raw, want)
			if got := reason(t, err); got != a.want {
				t.Errorf("reason %q (%v), want %q", got, err, a.want)
			}
			if claims != (token.JoinClaims{}) {
				t.Errorf("claims with a refusal: %+v", claims)
			}
		})
	}
}

// TestEmptyExpectationAdmitsNobody: a server that does not know its match, or
// its name, must not take "absent" for "equal".
func TestEmptyExpectationAdmitsNobody(t *testing.T) {
	f := newForger(t)
	v := newVerifier(t, loaded(t, token.RS256, rsaKey()), token.RS256, at(begin))
	for _, test := range []struct {
		raw  string
		want token.Expectation
		why  token.Reason
	}{
		{f.claims(nil), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.claims(object{"mid": ""}), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.claims(object{"mid": nil}), token.Expectation{Audience: audience}, token.ReasonWrongMatch},
		{f.claims(object{"aud": ""}), token.Expectation{MatchID: match}, token.ReasonWrongAudience},
		{f.claims(object{"aud": nil}), token.Expectation{MatchID: match}, token.ReasonWrongAudience},
	} {
		if _, err := v.Verify(t.Context(), test.raw, test.want); reason(t, err) != test.why {
			t.Errorf("%+v: %v, want %s", test.want, err, test.why)
		}
	}
}

// TestCheckOrder: of two faults the one that is cheaper to find is reported.
func TestCheckOrder(t *testing.T) {
	f := newForger(t)
	stranger := &forger{t: t, key: otherRSAKey(), header: f.header, payload: f.payload}
	v := newVerifier(t, loaded(t, token.RS256, rsaKey()), token.RS256, at(begin.Add(time.Hour)))
	unknown := "x" + rsaThumbprint()[1:]
	for _, a := range []attack{
		{"algorithm before kid", f.headers(object{"alg": "none", "kid": unknown}), token.ReasonBadAlgorithm},
		{"kid before signature", stranger.headers(object{"kid": unknown}), token.ReasonUnknownKey},
		{"signature before claims", stranger.claims(object{"iss": "x"}), token.ReasonBadSignature},
		{"iss before aud", f.claims(object{"iss": "x", "aud": "x"}), token.ReasonWrongIssuer},
		{"aud before use", f.claims(object{"aud": "x", "use": "x"}), token.ReasonWrongAudience},
		{"use before mid", f.claims(object{"use": "x", "mid": "x"}), token.ReasonWrongUse},
		{"mid before times", f.claims(object{"mid": "x"}), token.ReasonWrongMatch},
		{"times before names", f.claims(object{"sub": "\n"}), token.ReasonExpired},
	} {
		if _, err := v.Verify(t.Context(), a.raw, want); reason(t, err) != a.want {
			t.Errorf("%s: %v, want %s", a.name, err, a.want)
		}
	}
}

func TestRefusalsSayWhatHelps(t *testing.T) {
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
	raw := newForger(t).claims(nil)
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
		if reason(t, err) != test.want {
			t.Errorf("source error %v: %v, want %s", test.err, err, test.want)
		}
		if test.err != nil && !errors.Is(err, test.err) {
			t.Errorf("%v does not wrap %v", err, test.err)
		}
	}
}

// otherKid returns a key id of the same shape that is not this one.
func otherKid(kid string) string {
	first := "x"
	if kid[:1] == first {
		first = "y"
	}
	return first + kid[1:]
}
