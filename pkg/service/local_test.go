package service_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"torikumi/pkg/problem"
	"torikumi/pkg/service"
)

func TestLocalOnly(t *testing.T) {
	h := service.LocalOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, tt := range []struct {
		method, host, origin, site string
		want                       int
	}{
		{"GET", "127.0.0.1:8085", "", "", 204},
		{"POST", "localhost:8085", "", "", 204},
		{"POST", "localhost", "", "", 204},
		{"POST", "Localhost:8085", "", "", 204},
		{"POST", "LOCALHOST", "", "", 204},
		{"POST", "localhost.:8085", "", "", 204},
		{"POST", "localhost..", "", "", 421},
		{"POST", "[::1]:8085", "", "", 204},
		{"POST", "[::1]", "", "", 204},
		{"POST", "127.0.0.1:8085", "http://127.0.0.1:8085", "", 204},
		{"GET", "evil.example", "", "", 421},
		{"POST", "evil.example:8085", "http://evil.example:8085", "same-origin", 421},
		{"GET", "192.0.2.1:8085", "", "", 421},
		{"GET", "", "", "", 421},
		{"GET", "localhost.evil.example", "", "", 421},
		// Any machine of a network can answer for these.
		{"GET", "printer", "", "", 421},
		{"GET", "printer.local:8085", "", "", 421},
		{"GET", "vm.internal", "", "", 421},
		{"GET", "gate.test", "", "", 421},
		{"GET", "gate.localhost", "", "", 421},
		{"POST", "127.0.0.1:8085", "http://evil.example", "", 403},
		{"POST", "127.0.0.1:8085", "http://evil.example", "cross-site", 403},
	} {
		r := httptest.NewRequest(tt.method, "/v1/departures", nil)
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want || w.Code >= 400 && w.Header().Get("Content-Type") != problem.ContentType {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Header())
		}
	}
}

func TestLocalWithPages(t *testing.T) {
	h := service.LocalWithPages(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), []string{"http://127.0.0.1:8090"})
	for origin, want := range map[string]int{"http://127.0.0.1:8090": 204, "http://127.0.0.1:8091": 403, "http://evil.example": 403} {
		for host, want := range map[string]int{"127.0.0.1:8085": want, "evil.example": 421} {
			r := httptest.NewRequest("POST", "/", nil)
			r.Host = host
			r.Header.Set("Origin", origin)
			r.Header.Set("Sec-Fetch-Site", "same-site")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("page of %s at %s: %d, want %d", origin, host, w.Code, want)
			}
		}
	}
}

func TestLocalOrigin(t *testing.T) {
	for origin, want := range map[string]bool{
		"": true, "http://127.0.0.1": true, "http://127.0.0.1:8085": true, "http://localhost:3": true, "http://[::1]:8085": true,
		"null": false, "http://evil.example": false, "http://localhost.evil.example": false, "http://127.0.0.1@evil.example": false, "://": false, "file://": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/watch/gameserver", nil)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if got := service.LocalOrigin(r); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
}
