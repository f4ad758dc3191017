package frontend_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTrustedAttributes: the issuer says how good a player is, and nobody else.
func TestTrustedAttributes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte(`queues:
- name: squad
  teams: [{name: east, players: 2}, {name: west, players: 2}]
  skill: {attribute: skill}
  attributes: {skill: {from: claim, claim: mmr}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue, c.PlayTimeout = file, "squad", 50*time.Millisecond })
	s.claims = map[string]any{"mmr": 1700}
	made := s.do("alice", "POST", "/v1/tickets", `{"queue":"squad","party":{"size":2}}`).ticket(t)
	for _, p := range []string{"bob", "carol"} {
		r := s.do(p, "POST", "/v1/parties/join", `{"code":"`+made.Party.Code+`","player":{"attributes":{"skill":{"number":9000}}}}`)
		if r.code != http.StatusBadRequest || !strings.Contains(r.body, `"player.attributes.skill"`) || !strings.Contains(r.body, `claim \"mmr\"`) {
			t.Errorf("%s joins as they like: %d %s", p, r.code, r.body)
		}
	}
	s.claims = map[string]any{"mmr": 1500}
	s.do("bob", "POST", "/v1/parties/join", `{"code":"`+made.Party.Code+`"}`).ticket(t)
	if got := s.om.one(t, made.ID).GetSearchFields().GetDoubleArgs()["skill"]; got != 1600 {
		t.Errorf("the skill in Open Match is %v", got)
	}
	if r := s.do("eve", "POST", "/v1/tickets", `{"queue":"squad","players":[{"attributes":{"skill":{"number":1}}}]}`); r.code != http.StatusBadRequest {
		t.Errorf("eve says how good she is: %d %s", r.code, r.body)
	}
	if r := s.do("eve", "GET", "/play/eu?skill=1", ""); r.code != http.StatusBadRequest || !strings.Contains(r.body, "players[0].attributes.skill") {
		t.Errorf("and by the route in one call: %d %s", r.code, r.body)
	}
	if r := s.do("eve", "GET", "/play/eu", ""); r.code != http.StatusRequestTimeout || !strings.Contains(r.body, `"skill":1500,`) {
		t.Errorf("with what her token says: %d %s", r.code, r.body)
	}
	posted := s.backend("POST", "/v1/tickets", `{"queue":"squad","players":[{"id":"dave","attributes":{"skill":{"number":1234}}}]}`).ticket(t)
	if got := s.om.one(t, posted.ID).GetSearchFields().GetDoubleArgs()["skill"]; got != 1234 {
		t.Errorf("a backend's word: %v", got)
	}
}
