package frontend_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/problem"
)

// FuzzCreateTicket sends bodies to the real handler: each is a ticket or a
// problem of the client's, and a problem leaves nothing behind.
func FuzzCreateTicket(f *testing.F) {
	f.Add(`{"queue":"session"}`)
	f.Add(partyBody)
	f.Add(`{"queue":"squad","party":{"size":2,"invited":["bob"]}}`)
	f.Add(`{"queue":"session","players":[{"attributes":{"a":{"string_number_map":{"values":{"x":1}}}}}]}`)
	f.Add(`{"queue":"session","players":[{"attributes":{"a":{"string_list":{"values":["x"]}},"b":{}}}]}`)
	f.Add(`{"queue":"session","region":"\u0000"}`)
	f.Add(`{"queue":"session","players":[{"latencies":{"eu":2147483648}}]}`)
	f.Add("\xff{")
	f.Add(`[[[[`)
	s := start(f, nil)
	f.Fuzz(func(t *testing.T, body string) {
		s := s.with(t)
		r := s.do("alice", "POST", "/v1/tickets", body)
		switch r.code {
		case http.StatusOK:
			made := r.ticket(t)
			if len(made.Players) != 1 || made.State != "SEARCHING" && made.State != "GATHERING" {
				t.Fatalf("%q made %s", body, r.body)
			}
			if end := s.do("alice", "DELETE", "/v1/tickets/"+made.ID, "").ticket(t); end.State != "CANCELLED" {
				t.Fatalf("cancelled: %+v", end)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
			checkClientFault(t, r)
		default:
			t.Fatalf("%q: status %d %s", body, r.code, r.body)
		}
	})
}

// FuzzPlay sends regions and queries to the real handler.
func FuzzPlay(f *testing.F) {
	f.Add("eu", "skill=1&latency=2")
	f.Add("eu", "skill=-0&latency=+7")
	f.Add("e/u", "skill=0x1p-2")
	f.Add("..", "skill=%zz")
	f.Add("", "latency=9999999999999999999")
	f.Add("\x00", ";")
	s := start(f, func(c *settings) { c.PlayTimeout = time.Millisecond })
	f.Fuzz(func(t *testing.T, region, query string) {
		s := s.with(t)
		u := url.URL{Path: "/play/" + region, RawQuery: query}
		if _, err := url.ParseRequestURI(u.RequestURI()); err != nil {
			t.Skip("no URL")
		}
		r, err := s.try(t.Context(), playToken, "GET", u.RequestURI(), http.NoBody)
		if err != nil {
			t.Skip("not sent")
		}
		switch r.code {
		case http.StatusRequestTimeout:
			var got struct{ Status string }
			decode(t, r, r.code, &got)
			if got.Status != "timeout" {
				t.Fatalf("%s", r.body)
			}
		case http.StatusBadRequest:
			// The HTTP server itself refuses some in plain text.
			if r.header.Get("Content-Type") == problem.ContentType {
				checkClientFault(t, r)
			}
		case http.StatusNotFound, http.StatusUnauthorized: // another path, after cleaning
		default:
			t.Fatalf("%q: status %d %s", u.String(), r.code, r.body)
		}
	})
}

// FuzzRequest sends any method to any path: the answer is never a fault of ours.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/v1/tickets/%ff", "")
	f.Add("PUT", "/v1/tickets/x/events", "{}")
	f.Add("HEAD", "/play/eu?skill=1", "")
	f.Add("DELETE", "/v1/tickets/..%2f/wait?timeout=9999999999h&=", "x")
	f.Add("POST", "//v1/tickets/x/join-token?;", "\x00")
	f.Add("OPTIONS", "/openapi.json", "")
	f.Add("POST", "/v1/parties/join", `{"code":"x","player":{"attributes":{"a":{"number":1}}}}`)
	f.Add("DELETE", "/v1/tickets/x/players/%00", "")
	f.Add("POST", "/v1/tickets/x/start", "{}")
	s := start(f, func(c *settings) { c.PlayTimeout = time.Millisecond })
	f.Fuzz(func(t *testing.T, method, target, body string) {
		if _, err := url.ParseRequestURI(target); err != nil || !strings.HasPrefix(target, "/") {
			t.Skip("no URL")
		}
		s := s.with(t)
		r, err := s.try(t.Context(), s.token("alice"), method, target, strings.NewReader(body))
		if err != nil {
			t.Skip("not sent")
		}
		if r.code >= 500 {
			t.Fatalf("%s %q: status %d %s", method, target, r.code, r.body)
		}
	})
}

func checkClientFault(t *testing.T, r reply) {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || p.Status != r.code || p.Detail == "" {
		t.Fatalf("status %d: %s (%v)", r.code, r.body, err)
	}
	if r.code == http.StatusBadRequest && (len(p.Errors) == 0 || strings.TrimSpace(p.Errors[0].Rule) == "") {
		t.Fatalf("names no field: %s", r.body)
	}
}
