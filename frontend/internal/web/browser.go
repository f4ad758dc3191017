package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"torikumi/frontend/internal/api"
)

// anyOrigin lets pages of any site call the API. Tokens are in a header that browsers
// do not send by themselves, so that a page needs the player's token all the same.
const anyOrigin = "*"

// CheckOrigins returns an error unless each is the origin of a page, or any.
func CheckOrigins(origins []string) error {
	for _, o := range origins {
		u, err := url.Parse(o)
		if o != anyOrigin && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || o != u.Scheme+"://"+u.Host) {
			return fmt.Errorf("must be * or origins such as https://play.example.com, got %q", o)
		}
	}
	return nil
}

// mayCall reports whether the operator lets scripts of an origin call.
func (s *server) mayCall(origin string) bool {
	return slices.Contains(s.o.Origins, anyOrigin) || slices.Contains(s.o.Origins, origin)
}

// forBrowsers tells browsers which pages may call (CORS, from the Fetch standard), and
// that answers are data and nothing else.
func (s *server) forBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		if len(s.o.Origins) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		h.Add("Vary", "Origin") // for caches
		origin := r.Header.Get("Origin")
		if origin == "" || !s.mayCall(origin) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After, Allow")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, "+api.KeyHeader)
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	})
}
