package frontend_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/eventually"
	"torikumi/pkg/problem"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// matchAll makes the director match every ticket as soon as it stands.
func (s *harness) matchAll() {
	s.om.setBeforeReply(func(t *openmatch.Ticket) { s.director.announce(announcement(nil, t.GetId())) })
}

func (s *harness) play(raw, path string) reply {
	s.t.Helper()
	return s.send(context.Background(), raw, "GET", path, http.NoBody)
}

func TestPlayMatched(t *testing.T) {
	s := start(t, nil)
	var made *openmatch.Ticket
	s.om.setBeforeReply(func(t *openmatch.Ticket) {
		made = t
		s.director.announce(announcement(nil, t.GetId()))
	})
	r := s.play(playToken, "/play/eu?skill=1720.5&latency=31")
	var got map[string]any
	decode(t, r, http.StatusOK, &got)
	jwt, _ := got["jwt"].(string)
	player := jwtSubject(t, jwt)
	s.checkJoin(jwt, player, "")
	want := map[string]any{
		"status": "matched", "ticket_id": got["ticket_id"], "jwt": jwt,
		"server": map[string]any{"ip": "10.0.0.7", "port": 7001.0, "connection": "10.0.0.7:7001"},
		"player": map[string]any{"skill": 1720.5, "latency": 31.0, "region": "eu"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	fields := &openmatch.SearchFields{
		Tags: []string{"mode.session"}, DoubleArgs: map[string]float64{"skill": 1720.5, "latency": 31}, StringArgs: map[string]string{"region": "eu"},
	}
	if diff := cmp.Diff(fields, made.GetSearchFields(), protocmp.Transform()); diff != "" {
		t.Errorf("search fields (-want +got):\n%s", diff)
	}
	// Each call is somebody new; a player token is that player.
	var second, third struct{ JWT string }
	decode(t, s.play(playToken, "/play/eu"), http.StatusOK, &second)
	if jwtSubject(t, second.JWT) == player {
		t.Error("two calls, one player")
	}
	decode(t, s.play(s.token("alice"), "/play/eu"), http.StatusOK, &third)
	if sub := jwtSubject(t, third.JWT); sub != "alice" {
		t.Errorf("alice plays as %q", sub)
	}
	if d := made.GetSearchFields().GetDoubleArgs(); d["skill"] != 1500 || d["latency"] != 50 {
		t.Errorf("defaults: %v", d)
	}
}

// TestPlayWithoutJoinToken: who is matched and gets no join token is told why, if there would be
// one else; who gets one is told nothing.
func TestPlayWithoutJoinToken(t *testing.T) {
	s := start(t, nil)
	s.matchAll()
	raw := s.token("alice")
	type answer struct{ Status, JWT, Reason string }
	var last answer
	for i := range api.MintBurst + 1 {
		last = answer{}
		decode(t, s.play(raw, "/play/eu"), http.StatusOK, &last)
		if last.Status != "matched" || (last.JWT == "") != (last.Reason != "") {
			t.Fatalf("call %d: %+v", i, last)
		}
		if last.JWT == "" {
			break
		}
	}
	if !strings.Contains(last.Reason, "too many join tokens") {
		t.Errorf("the last: %+v", last)
	}
	// A foreign director's match has none.
	s.om.setBeforeReply(func(made *openmatch.Ticket) {
		s.director.announce(&torikumiv1.Announcement{TicketIds: []string{made.GetId()}, Connection: "10.0.0.7:7001"})
	})
	var foreign answer
	decode(t, s.play(s.token("bob"), "/play/eu"), http.StatusOK, &foreign)
	if foreign != (answer{Status: "matched"}) {
		t.Errorf("foreign: %+v", foreign)
	}
}

func jwtSubject(t *testing.T, raw string) string {
	t.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", raw)
	}
	var claims struct{ Sub string }
	if err := json.Unmarshal(unbase64(t, parts[1]), &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Sub
}

func TestPlayTimeout(t *testing.T) {
	s := start(t, func(c *settings) { c.PlayTimeout = 50 * time.Millisecond })
	r := s.play(playToken, "/play/eu?skill=1")
	var got map[string]any
	decode(t, r, http.StatusRequestTimeout, &got)
	want := map[string]any{
		"status": "timeout", "ticket_id": got["ticket_id"], "player": map[string]any{"skill": 1.0, "latency": 50.0, "region": "eu"},
	}
	if diff := cmp.Diff(want, got); diff != "" || got["ticket_id"] == "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	eventually.True(t, "the ticket is deleted", func() bool { return s.om.count() == 0 })
}

// TestPlayNumbers: numbers are read as in a body.
func TestPlayNumbers(t *testing.T) {
	s := start(t, func(c *settings) { c.PlayTimeout = time.Millisecond })
	for query, want := range map[string][2]float64{
		"skill=0&latency=0": {0, 0}, "skill=-12.5&latency=60000": {-12.5, 60_000}, "skill=1e3&latency=3e1": {1000, 30}, "skill=2.5E-1&latency=30.0": {0.25, 30},
	} {
		var got struct {
			Player struct{ Skill, Latency float64 }
		}
		decode(t, s.play(playToken, "/play/eu?"+query), http.StatusRequestTimeout, &got)
		if got.Player.Skill != want[0] || got.Player.Latency != want[1] {
			t.Errorf("%s: %+v", query, got)
		}
	}
}

func TestPlayGoneClient(t *testing.T) {
	s := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	raw := s.token("alice")
	go func() { _, err := s.try(ctx, raw, "GET", "/play/eu", http.NoBody); ended <- err }()
	eventually.True(t, "alice waits", func() bool { return s.om.count() == 1 })
	cancel()
	if err := <-ended; err == nil {
		t.Error("the request was not cancelled")
	}
	eventually.True(t, "the ticket is deleted", func() bool { return s.om.count() == 0 })
	s.create("alice")
}

func TestPlayRefuses(t *testing.T) {
	s := start(t, nil)
	wrong := func(field, rule string) problem.Problem {
		return problem.New(400, "the request breaks the rules of its parameters", problem.Field{Field: field, Rule: rule})
	}
	const latencyRule = "must be a whole number of milliseconds from 0 to 60000"
	for path, want := range map[string]problem.Problem{
		"/play/eu?skill=high":      wrong("skill", "must be a finite number, as JSON writes it"),
		"/play/eu?skill=":          wrong("skill", "must be a finite number, as JSON writes it"),
		"/play/eu?skill=NaN":       wrong("skill", "must be a finite number, as JSON writes it"),
		"/play/eu?skill=1e999":     wrong("skill", "must be a finite number, as JSON writes it"),
		"/play/eu?skill=1&skill=2": wrong("skill", "must be given once"),
		"/play/eu?latency=-1":      wrong("latency", latencyRule),
		"/play/eu?latency=1.5":     wrong("latency", latencyRule),
		"/play/eu?latency=60001":   wrong("latency", latencyRule),
		"/play/e%20u":              wrong("region", "must have 1 to 64 characters of [A-Za-z0-9_.-]"),
	} {
		t.Run(path, func(t *testing.T) { checkProblem(t, s.play(playToken, path), want) })
	}
	for _, text := range []string{
		"1_000", "null", "true", "[5]", "0x1p4", "0x1p-2", "0X10", "0b1", "Inf", "-Inf", "+Inf", "infinity", "nan", "+5", " 5", "5 ", "--5", "-", ".5", "5.", "05", "1e", "1e+", "1,5", "５", "5\n", "-1e999", "\"5\"",
	} {
		t.Run(text, func(t *testing.T) {
			checkProblem(t, s.play(playToken, "/play/eu?skill="+url.QueryEscape(text)), wrong("skill", "must be a finite number, as JSON writes it"))
			checkProblem(t, s.play(playToken, "/play/eu?latency="+url.QueryEscape(text)), wrong("latency", latencyRule))
		})
	}
	r := s.play(playToken+"x", "/play/eu")
	checkProblem(t, r, because(problem.New(401, "player token refused: malformed"), "malformed"))
	// The shared token opens nothing else.
	r = s.play(playToken, "/v1/tickets/x")
	checkProblem(t, r, because(problem.New(401, "player token refused: malformed"), "malformed"))
}

func TestPlayWithoutSharedToken(t *testing.T) {
	s := start(t, func(c *settings) { c.PlayToken = "" })
	checkProblem(t, s.play(playToken, "/play/eu"), because(problem.New(401, "player token refused: malformed"), "malformed"))
	s.matchAll()
	if r := s.play(s.token("alice"), "/play/eu"); r.code != http.StatusOK {
		t.Errorf("alice: %d %s", r.code, r.body)
	}
}

// TestPlayLastMoment lets assignments and time-outs meet: each answer is one or
// the other, and agrees with what became of the ticket.
func TestPlayLastMoment(t *testing.T) {
	s := start(t, func(c *settings) { c.PlayTimeout = 3 * time.Millisecond })
	s.om.setBeforeReply(func(made *openmatch.Ticket) {
		go s.director.announce(announcement(nil, made.GetId()))
	})
	for i := range 40 {
		player := "p" + string(rune('a'+i%26)) + string(rune('a'+i/26))
		r := s.play(s.token(player), "/play/eu")
		var got struct {
			Status, JWT string
			ID          string `json:"ticket_id"`
		}
		decode(t, r, r.code, &got)
		state := s.get(player, got.ID).State
		matched := r.code == 200 && got.Status == "matched" && got.JWT != "" && state == "ASSIGNED"
		timeout := r.code == 408 && got.Status == "timeout" && got.JWT == "" && state == "CANCELLED"
		if !matched && !timeout {
			t.Fatalf("status %d, state %s: %s", r.code, state, r.body)
		}
	}
}
