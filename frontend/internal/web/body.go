package web

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"torikumi/pkg/problem"
)

// limited reads the whole body before anything else happens, so that one that is
// too large gets its own answer, and a slow one holds nothing but its
// connection.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > MaxBody {
			tooLarge(w)
			return
		}
		if r.ContentLength != 0 {
			body, ok := readBody(w, r)
			if !ok {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			r.ContentLength = int64(len(body))
		}
		next.ServeHTTP(w, r)
	})
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	conn := http.NewResponseController(w)
	// Not every writer can: recorders in tests have no connection.
	_ = conn.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		tooLarge(w)
		return nil, false
	case errors.Is(err, os.ErrDeadlineExceeded):
		w.Header().Set("Connection", "close")
		problem.Write(w, http.StatusRequestTimeout, "the body came too slowly")
		return nil, false
	case err != nil:
		w.Header().Set("Connection", "close")
		problem.Write(w, http.StatusBadRequest, "the body could not be read")
		return nil, false
	}
	_ = conn.SetReadDeadline(time.Time{})
	return body, true
}

func tooLarge(w http.ResponseWriter) {
	// What is left of the body is not read.
	w.Header().Set("Connection", "close")
	problem.Write(w, http.StatusRequestEntityTooLarge, "the body must have at most 16384 bytes")
}
