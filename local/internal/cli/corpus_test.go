package cli

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"torikumi/pkg/porttest"
	"torikumi/pkg/token"
)

// TestCorpus points the command at verifiers: ours, one that checks nothing but the
// signature, and one that fails.
func TestCorpus(t *testing.T) {
	for _, test := range []struct {
		name     string
		verify   func(keys *token.RemoteKeys) func(r *http.Request, raw string) (int, token.Reason)
		code     int
		out, err string
	}{
		{"ours", ours(t), 0, "153 of 153 tokens were refused", ""},
		{"a credulous one", credulous(t), exitFailed, "another match's: admitted, want wrong_match", ""},
		{"it fails", func(*token.RemoteKeys) func(*http.Request, string) (int, token.Reason) {
			return func(*http.Request, string) (int, token.Reason) { return http.StatusInternalServerError, "" }
		}, exitFailed, "", "a good token is not admitted: status 500"},
	} {
		t.Run(test.name, func(t *testing.T) {
			addr := porttest.Hold(t).String()
			keys, err := token.NewRemoteKeys(token.RemoteOptions{URL: "http://" + addr + token.JWKSPath, Algorithms: []token.Algorithm{token.RS256}})
			if err != nil {
				t.Fatal(err)
			}
			verify := test.verify(keys)
			verifier := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var in struct {
					Raw string `json:"jwt"`
				}
				_ = json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&in)
				status, reason := verify(r, in.Raw)
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]any{"reason": reason})
			}))
			defer verifier.Close()
			code, out, errs := call(t.Context(), "corpus", "--verifier="+verifier.URL, "--member=jwt", "--listen="+addr)
			if code != test.code || !strings.Contains(out, test.out) || !strings.Contains(errs, test.err) {
				t.Errorf("code %d\n%s\n%s", code, out, errs)
			}
		})
	}
}

func ours(t *testing.T) func(*token.RemoteKeys) func(*http.Request, string) (int, token.Reason) {
	return func(keys *token.RemoteKeys) func(*http.Request, string) (int, token.Reason) {
		return verifier(t, keys, func(string) token.Expectation {
			return token.Expectation{Audience: "gs:games/arena-7", MatchID: "m-0123456789abcdef"}
		})
	}
}

func verifier(t *testing.T, keys *token.RemoteKeys, want func(raw string) token.Expectation) func(*http.Request, string) (int, token.Reason) {
	v, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: token.RS256, Issuer: "https://frontend.example/torikumi"})
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request, raw string) (int, token.Reason) {
		var refusal *token.Refusal
		if _, err := v.Verify(r.Context(), raw, want(raw)); errors.As(err, &refusal) {
			return http.StatusForbidden, refusal.Reason
		}
		return http.StatusOK, ""
	}
}

// credulous takes a token's own word for the server and the match.
func credulous(t *testing.T) func(*token.RemoteKeys) func(*http.Request, string) (int, token.Reason) {
	return func(keys *token.RemoteKeys) func(*http.Request, string) (int, token.Reason) {
		return verifier(t, keys, func(raw string) token.Expectation {
			var said struct {
				Audience string `json:"aud"`
				Match    string `json:"mid"`
			}
			if parts := strings.Split(raw, "."); len(parts) == 3 {
				data, _ := base64.RawURLEncoding.DecodeString(parts[1])
				_ = json.Unmarshal(data, &said)
			}
			return token.Expectation{Audience: said.Audience, MatchID: said.Match}
		})
	}
}
