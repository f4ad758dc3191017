package signing_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"torikumi/frontend/signing"
	"torikumi/pkg/token"
	"torikumi/pkg/token/tokentest"
)

func TestJWKS(t *testing.T) {
	for alg, key := range signers() {
		var set struct{ Keys []map[string]any }
		keys := loaded(t, alg, key)
		if err := json.Unmarshal(keys.JWKS(), &set); err != nil {
			t.Fatal(err)
		}
		if len(set.Keys) != 1 {
			t.Fatalf("%d keys, want 1", len(set.Keys))
		}
		members := map[token.Algorithm][]string{
			token.RS256: {"alg", "e", "kid", "kty", "n", "use"},
			token.ES256: {"alg", "crv", "kid", "kty", "use", "x", "y"},
		}[alg]
		got := set.Keys[0]
		for _, name := range members {
			if _, ok := got[name]; !ok {
				t.Errorf("%s: no %q", alg, name)
			}
		}
		if len(got) != len(members) {
			t.Errorf("%s: members %v, want exactly %v", alg, got, members)
		}
		if got["use"] != "sig" || got["alg"] != string(alg) || got["kid"] != keys.SigningKeyID() {
			t.Errorf("%s: %v", alg, got)
		}
	}
}

func TestJWKSOrder(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	for i := range 8 {
		key := tokentest.EC()
		writePEM(t, filepath.Join(dir, fmt.Sprintf("%d.pem", i)), key)
		writePEM(t, filepath.Join(other, fmt.Sprintf("%d.pem", 8-i)), key)
	}
	opts := signing.KeyOptions{Algorithm: token.ES256}
	if one, two := load(t, dir, opts).JWKS(), load(t, other, opts).JWKS(); string(one) != string(two) {
		t.Errorf("the same keys give different sets:\n%s\n%s", one, two)
	}
}

func TestJWKSHandler(t *testing.T) {
	dir := t.TempDir()
	generate(t, dir, begin)
	keys := load(t, dir, signing.KeyOptions{Algorithm: token.ES256})
	h := signing.JWKSHandler(keys)
	do := func(method, ifNoneMatch string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), method, token.JWKSPath, nil)
		if ifNoneMatch != "" {
			r.Header.Set("If-None-Match", ifNoneMatch)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	body := func(r *http.Response) string {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	get := do("GET", "")
	etag := get.Header.Get("ETag")
	if get.StatusCode != 200 || body(get) != string(keys.JWKS()) {
		t.Errorf("GET: status %d", get.StatusCode)
	}
	for name, value := range map[string]string{
		"Content-Type":  "application/jwk-set+json",
		"Cache-Control": "public, max-age=300, stale-if-error=86400",
	} {
		if got := get.Header.Get(name); got != value {
			t.Errorf("%s %q, want %q", name, got, value)
		}
	}
	if len(etag) < 10 || etag[0] != '"' {
		t.Errorf("ETag %q is not a strong one", etag)
	}
	if r := do("HEAD", ""); r.StatusCode != 200 || body(r) != "" || r.Header.Get("ETag") != etag {
		t.Errorf("HEAD: status %d, ETag %q", r.StatusCode, r.Header.Get("ETag"))
	}
	for _, match := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		r := do("GET", match)
		if r.StatusCode != 304 || body(r) != "" || r.Header.Get("ETag") != etag || r.Header.Get("Cache-Control") == "" {
			t.Errorf("If-None-Match %s: status %d, header %v", match, r.StatusCode, r.Header)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		r := do(method, "")
		if r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, header %v", method, r.StatusCode, r.Header)
		}
	}
	generate(t, dir, begin)
	if err := keys.Reload(); err != nil {
		t.Fatal(err)
	}
	if r := do("GET", etag); r.StatusCode != 200 || r.Header.Get("ETag") == etag {
		t.Errorf("after rotation: status %d, ETag %q", r.StatusCode, r.Header.Get("ETag"))
	}
}
