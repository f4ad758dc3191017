package signing

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

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
