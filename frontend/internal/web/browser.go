package web

import (
	"net/http"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/cors"
)

// browsers says which pages may call. Any may be let: tokens are in a header that
// browsers do not send by themselves, so that a page needs the player's token all the
// same.
func browsers(origins []string) *cors.Policy {
	return &cors.Policy{
		Origins: origins,
		Methods: []string{http.MethodGet, http.MethodPost, http.MethodDelete},
		Headers: []string{"Authorization", "Content-Type", "Last-Event-ID", api.KeyHeader},
		Expose:  []string{"Retry-After", "Allow", "Date"},
	}
}

// forBrowsers tells browsers which pages may call, and that answers are data and
// nothing else.
func (s *server) forBrowsers(next http.Handler) http.Handler {
	next = s.browsers.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}
