package frontend_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestBrowsers: scripts of the pages that are named may call, events included, and no
// others; every answer says that it is data alone.
func TestBrowsers(t *testing.T) {
	const page = "https://play.example.com"
	for _, c := range []struct {
		origins []string
		origin  string
		allowed bool
	}{
		{nil, page, false},
		{[]string{page}, page, true},
		{[]string{"https://other.example", page}, page, true},
		{[]string{page}, "https://evil.example", false},
		{[]string{page}, page + ".evil.example", false},
		{[]string{page}, "http://play.example.com", false},
		{[]string{page}, "null", false},
		{[]string{page}, "", false},
		{[]string{"*"}, "https://any.example", true},
	} {
		s := start(t, func(cfg *settings) { cfg.CORSOrigins = c.origins })
		raw := s.token("alice")
		call := func(method, path, body string, headers ...string) *http.Response {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(headers); i += 2 {
				req.Header.Set(headers[i], headers[i+1])
			}
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { resp.Body.Close() })
			want := map[bool]string{true: c.origin}[c.allowed]
			if got := resp.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%v, %s %s from %q: allowed %q, want %q", c.origins, method, path, c.origin, got, want)
			}
			for _, name := range []string{"Retry-After", "Allow", "Date"} {
				if exposed := resp.Header.Get("Access-Control-Expose-Headers"); method != "OPTIONS" && strings.Contains(exposed, name) != c.allowed {
					t.Errorf("%v, %s %s from %q: exposed %q", c.origins, method, path, c.origin, exposed)
				}
			}
			if resp.Header.Get("Date") == "" {
				t.Errorf("%s %s: no Date", method, path)
			}
			for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy"} {
				if resp.Header.Get(name) == "" {
					t.Errorf("%s %s: no %s", method, path, name)
				}
			}
			if len(c.origins) > 0 && resp.Header.Get("Vary") == "" {
				t.Errorf("%s %s: caches may mix origins up", method, path)
			}
			return resp
		}
		made := s.create("alice")
		for _, path := range []string{"/v1/tickets", "/v1/tickets/" + made.ID, "/v1/parties/join", "/play/eu"} {
			resp := call("OPTIONS", path, "", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
			if want := map[bool]int{true: 204, false: 405}[c.allowed]; resp.StatusCode != want {
				t.Errorf("preflight of %s from %q: %d", path, c.origin, resp.StatusCode)
			}
			if c.allowed && !strings.Contains(resp.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("preflight: %v", resp.Header)
			}
		}
		if resp := call("OPTIONS", "/v1/tickets", ""); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("no preflight: %d", resp.StatusCode)
		}
		call("GET", "/v1/tickets/"+made.ID, "", "Authorization", "Bearer "+raw)
		call("GET", "/v1/tickets/"+made.ID+"/events", "", "Authorization", "Bearer "+raw)
		call("GET", "/v1/tickets/none", "", "Authorization", "Bearer "+raw)
		call("GET", "/.well-known/jwks.json", "")
		call("GET", "/nothing", "")
	}
}
