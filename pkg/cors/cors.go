// Package cors lets scripts of web pages call an API: CORS, of the Fetch standard. On
// the player's path it stands before the frontend, and before the development issuer.
package cors

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Any lets pages of any site call. That is safe where browsers send nothing by
// themselves that tells who calls, as cookies would.
const Any = "*"

// Check returns an error unless each is the origin of a page, or [Any].
func Check(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != Any && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || o != u.Scheme+"://"+u.Host) {
			return fmt.Errorf("must be * or origins such as https://play.example.com, got %q", o)
		}
	}
	return nil
}

// Policy says which pages may call, and how. The zero value lets none.
type Policy struct {
	// Origins are those of the pages, or Any.
	Origins []string
	// Methods and Headers are what they may send, Expose the headers of answers that
	// they may read.
	Methods, Headers, Expose []string
}

// Allows reports whether pages of an origin may call.
func (p *Policy) Allows(origin string) bool {
	return origin != "" && (slices.Contains(p.Origins, Any) || slices.Contains(p.Origins, origin))
}

// Handler tells browsers what the policy says, and answers their preflights. Requests
// of other origins pass: their pages cannot read the answers.
func (p *Policy) Handler(next http.Handler) http.Handler {
	if len(p.Origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, origin := w.Header(), r.Header.Get("Origin")
		h.Add("Vary", "Origin") // for caches
		if !p.Allows(origin) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		if len(p.Expose) > 0 {
			h.Set("Access-Control-Expose-Headers", strings.Join(p.Expose, ", "))
		}
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", strings.Join(p.Methods, ", "))
		h.Set("Access-Control-Allow-Headers", strings.Join(p.Headers, ", "))
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	})
}
