package service

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"torikumi/pkg/problem"
)

func TestUnrouted(t *testing.T) {
	mux := http.NewServeMux()
	none := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	mux.HandleFunc("POST /a", none)
	mux.HandleFunc("PUT /a", none)
	mux.HandleFunc("GET /tree/", none)
	mux.HandleFunc("GET /own", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "mine", http.StatusNotFound) })
	h := withProblems(mux)
	for _, tt := range []struct {
		method, path string
		status       int
		allow, media string
	}{
		{"POST", "/a", 204, "", ""},
		{"GET", "/a", 405, "POST, PUT", problem.ContentType},
		{"BREW", "/a", 405, "POST, PUT", problem.ContentType},
		{"GET", "/b", 404, "", problem.ContentType},
		{"GET", "/tree", 307, "", "text/html; charset=utf-8"},
		{"GET", "/tree//x", 307, "", "text/html; charset=utf-8"},
		{"GET", "/own", 404, "", "text/plain; charset=utf-8"},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status || w.Header().Get("Allow") != tt.allow || w.Header().Get("Content-Type") != tt.media {
			t.Errorf("%s %s: %d %v", tt.method, tt.path, w.Code, w.Header())
		}
	}
}
