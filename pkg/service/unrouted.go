package service

import (
	"net/http"

	"torikumi/pkg/problem"
)

// withProblems serves a mux, and answers what no route of it takes with a problem,
// where the mux itself would send text.
func withProblems(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		said := unsent{header: http.Header{}, status: http.StatusOK}
		h.ServeHTTP(&said, r)
		switch {
		case said.status == http.StatusMethodNotAllowed:
			allowed := said.header.Get("Allow")
			w.Header().Set("Allow", allowed)
			problem.Write(w, said.status, "use "+allowed)
		case said.status == http.StatusNotFound:
			problem.Write(w, said.status, "there is nothing at this path")
		default: // a path that is not clean
			mux.ServeHTTP(w, r)
		}
	})
}

// unsent is an answer of which only status and header are wanted.
type unsent struct {
	header http.Header
	status int
}

func (u *unsent) Header() http.Header         { return u.header }
func (u *unsent) WriteHeader(status int)      { u.status = status }
func (u *unsent) Write(b []byte) (int, error) { return len(b), nil }
