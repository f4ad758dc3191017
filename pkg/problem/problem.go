// Package problem writes errors over HTTP as RFC 9457 problem details. Frontend,
// gate and the local tools answer with it.
package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// ContentType is the media type of RFC 9457.
const ContentType = "application/problem+json"

// Field is one thing that is wrong with a request.
type Field struct {
	// Field is the path of the field, such as "players[1].latencies.eu".
	Field string `json:"field"`
	// Rule is what the value has to satisfy.
	Rule string `json:"rule"`
}

// Problem is the body of an error response. The type is always "about:blank",
// so the title is that of the HTTP status.
type Problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail,omitempty"`
	Errors []Field `json:"errors,omitempty"`
	// Reason is for machines: a constant in snake_case.
	Reason string `json:"reason,omitempty"`
	// TicketID is the search that a new one is in conflict with.
	TicketID string `json:"ticket_id,omitempty"`
	// RetryAfter is when to try again, which an answer 429 or 503 says in whole
	// seconds; zero: in one second.
	RetryAfter time.Duration `json:"-"`
}

// New makes the problem for an HTTP status.
func New(httpStatus int, detail string, fields ...Field) Problem {
	return Problem{Type: "about:blank", Title: http.StatusText(httpStatus), Status: httpStatus, Detail: detail, Errors: fields}
}

// Write sends the problem.
func (p Problem) Write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil { // strings and an int: cannot happen
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	h.Set("Cache-Control", "no-store")
	if p.Status == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if (p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests) && h.Get("Retry-After") == "" {
		// Of what is away, which is looked for all the time, nobody knows how long.
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(p.RetryAfter.Seconds())))))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client is gone if this fails
}

// Write sends a problem without fields.
func Write(w http.ResponseWriter, httpStatus int, detail string) {
	New(httpStatus, detail).Write(w)
}
