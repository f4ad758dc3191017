//go:build proof && linux

package frontend_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"torikumi/frontend/frontend"
	"torikumi/pkg/redistest"
)

// TestProofNotFound: somebody else's ticket is answered as one that does not exist: with the
// same status and body, and after the same time.
func TestProofNotFound(t *testing.T) {
	redis := redistest.Start(t)
	s := start(t, func(c *frontend.Config) { c.Redis = "redis://" + redis.Address })
	made := s.create("alice")
	l := lines(t, s.addrs.HTTP, 1)[0]
	raw := s.token("bob")
	const none = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, call := range []struct{ method, path string }{
		{"GET", "/v1/tickets/%s"}, {"DELETE", "/v1/tickets/%s"}, {"GET", "/v1/tickets/%s/events"}, {"POST", "/v1/tickets/%s/join-token"},
		{"POST", "/v1/tickets/%s/accept"}, {"DELETE", "/v1/tickets/%s/players/bob"},
	} {
		var took [2]latencies
		var bodies [2]string
		for i := range 4000 {
			id := []string{none, made.ID}[i%2]
			begin := time.Now()
			code, body, err := l.ask(request(call.method, fmt.Sprintf(call.path, id), raw, ""))
			took[i%2].add(time.Since(begin))
			bodies[i%2] = body
			if err != nil || code != http.StatusNotFound {
				t.Fatalf("%s %s: %d %s %v", call.method, call.path, code, body, err)
			}
		}
		if bodies[0] != bodies[1] {
			t.Errorf("%s %s: %s, and for none %s", call.method, call.path, bodies[1], bodies[0])
		}
		theirs, nobodys := took[1].at(0.5), took[0].at(0.5)
		target(t, (theirs-nobodys).Abs() < nobodys/10, "%s %s: somebody else's after %v, none after %v (p50), within a tenth", call.method, call.path, theirs, nobodys)
	}
}
