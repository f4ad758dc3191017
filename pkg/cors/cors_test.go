package cors_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"torikumi/pkg/cors"
)

func TestCheck(t *testing.T) {
	for origin, ok := range map[string]bool{
		"*": true, "https://play.example.com": true, "http://127.0.0.1:8090": true, "": false, "play.example.com": false, "null": false,
		"https://play.example.com/": false, "https://play.example.com/path": false, "ftp://a": false, "https://": false, "https://*.example.com/": false,
	} {
		if err := cors.Check([]string{"https://a.example", origin}); (err == nil) != ok {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

func TestHandler(t *testing.T) {
	const page = "https://play.example.com"
	p := &cors.Policy{Origins: []string{page}, Methods: []string{"POST"}, Headers: []string{"Content-Type", "Authorization"}, Expose: []string{"Retry-After"}}
	h := p.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		method, origin, asks string
		code                 int
		allowed              string
	}{
		{"OPTIONS", page, "POST", 204, page},
		{"OPTIONS", page, "", 418, page},
		{"POST", page, "", 418, page},
		{"POST", "", "", 418, ""},
		{"OPTIONS", "https://evil.example", "POST", 418, ""},
		{"POST", "null", "", 418, ""},
	} {
		r := httptest.NewRequest(c.method, "/", http.NoBody)
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.asks != "" {
			r.Header.Set("Access-Control-Request-Method", c.asks)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.code || w.Header().Get("Access-Control-Allow-Origin") != c.allowed || w.Header().Get("Vary") != "Origin" {
			t.Errorf("%+v: %d %v", c, w.Code, w.Header())
		}
		if preflight := w.Header().Get("Access-Control-Allow-Headers"); (w.Code == 204) != (preflight == "Content-Type, Authorization") {
			t.Errorf("%+v: allows %q", c, preflight)
		}
	}
	w := httptest.NewRecorder()
	none := new(cors.Policy).Handler(http.NotFoundHandler())
	none.ServeHTTP(w, httptest.NewRequest("GET", "/", http.NoBody))
	if w.Header().Get("Vary") != "" || new(cors.Policy).Allows("") || p.Allows("") {
		t.Error("no policy says something")
	}
}
