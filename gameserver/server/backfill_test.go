package server_test

import (
	"crypto/tls"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/gameserver/gate"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/harness"
	"torikumi/pkg/contract"
	"torikumi/pkg/problem"
	"torikumi/pkg/service"
	"torikumi/pkg/tlstest"
	"torikumi/proto/agones/sdk"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const podToken = "secret-of-the-pod"

// fillHarness is a gameHarness whose gate has a director.
type fillHarness struct {
	*gameHarness
	director *harness.Director
	tokens   string // the file
	rostered *torikumiv1.Roster
}

// startFill allocates the server for ann and bob; change changes the roster before.
func startFill(t *testing.T, change func(*torikumiv1.Roster), options ...func(*gameHarness)) *fillHarness {
	t.Helper()
	h := &fillHarness{director: harness.StartDirector(t, podToken), tokens: filepath.Join(t.TempDir(), "token")}
	tlstest.Write(t, h.tokens, []byte(podToken+"\n"))
	h.gameHarness = start(t, append([]func(*gameHarness){func(s *gameHarness) {
		s.gate.Director, s.gate.DirectorInsecure, s.gate.DirectorTokenFile = h.director.Address(), true, h.tokens
	}}, options...)...)
	h.rostered = harness.Roster("ann", "bob")
	h.rostered.Backfill = &torikumiv1.BackfillPolicy{Reserve: durationpb.New(time.Second)}
	if change != nil {
		change(h.rostered)
	}
	h.sdk.Give(match, h.rostered)
	h.until("the gate knows the match", func() bool { return h.roster().MatchID == match })
	return h
}

// found adds a player to the roster, as a director does.
func (h *fillHarness) found(player string) {
	h.t.Helper()
	h.rostered.Teams = append(h.rostered.Teams, &torikumiv1.Team{Name: "team-" + player, Members: []*torikumiv1.TeamMember{
		{PlayerId: player, JoinTime: timestamppb.Now()},
	}})
	text, err := contract.EncodeRoster(h.rostered)
	if err != nil {
		h.t.Fatal(err)
	}
	h.sdk.Change(func(gs *sdk.GameServer) { gs.ObjectMeta.Annotations[contract.RosterAnnotation] = text })
}

// keep has the places of those who are found from now on kept: how long a busy machine takes
// to bring them in is not what a test is about.
func (h *fillHarness) keep() { h.rostered.Backfill.Reserve = durationpb.New(time.Hour) }

// known waits until the gate has seen the place of who was found.
func (h *fillHarness) known(player string) {
	h.t.Helper()
	h.until("the gate expects "+player, func() bool {
		return slices.ContainsFunc(h.roster().Expected, func(p gateapi.Expected) bool { return p.Player == player })
	})
}

func (h *fillHarness) ask() gateapi.Backfill {
	h.t.Helper()
	b, err := h.api.Backfill(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

func (h *fillHarness) state() gateapi.Backfill {
	h.t.Helper()
	b, err := h.api.Backfilling(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// called waits for a call that names exactly these players.
func (h *fillHarness) called(players ...string) *torikumiv1.FillRequest {
	h.t.Helper()
	h.until("a call that names "+strings.Join(players, ", "), func() bool {
		last := h.director.Last()
		return last != nil && !last.GetStop() && slices.Equal(last.GetPlayers(), players)
	})
	return h.director.Last()
}

func (h *fillHarness) stopped() {
	h.t.Helper()
	h.until("the director is told to stop", func() bool { return h.director.Last().GetStop() })
}

// admit lets a player in through the gate alone.
func (h *fillHarness) admit(player string) (gateapi.Admission, error) {
	return h.api.Admit(h.t.Context(), h.token(player), "")
}

func (h *fillHarness) admitAll(players ...string) (all []gateapi.Admission) {
	h.t.Helper()
	for _, p := range players {
		a, err := h.admit(p)
		if err != nil {
			h.t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

func (h *fillHarness) depart(player string) {
	h.t.Helper()
	if err := h.api.Depart(h.t.Context(), player, ""); err != nil {
		h.t.Fatal(err)
	}
}

// refused waits until a player is refused for a reason.
func (h *fillHarness) refused(player, reason string) {
	h.t.Helper()
	_, err := h.admit(player)
	if got := reasonAt(err); got != reason {
		h.t.Errorf("%s: %v, want %s", player, err, reason)
	}
}

func reasonAt(err error) string {
	if r, ok := err.(*gateapi.Refusal); ok {
		return string(r.Reason)
	}
	return ""
}

// TestBackfill: somebody leaves, the place is given away after the reserve, somebody is
// found and comes in.
func TestBackfill(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann", "bob")
	if b := h.state(); b.State != gateapi.BackfillOff || b.MatchID != match {
		t.Errorf("before: %+v", b)
	}
	h.depart("bob")
	h.refused("cy", "not_on_roster")
	if b := h.ask(); b.State != gateapi.BackfillWaiting {
		t.Errorf("asked: %+v", b)
	}
	req := h.called("ann")
	if req.GetMatchId() != match || req.GetRosterJoinTime() != nil {
		t.Errorf("call: %v", req)
	}
	h.until("searching", func() bool { b := h.state(); return b.State == gateapi.BackfillSearching && b.OpenPlaces == 1 })
	h.refused("bob", "place_given")
	if r := h.roster(); len(r.Expected) != 1 || r.Expected[0].Player != "ann" {
		t.Errorf("expected: %+v", r.Expected)
	}
	h.keep()
	h.found("cy")
	h.known("cy")
	a := h.admitAll("cy")[0]
	if a.Team != "team-cy" || a.Reconnect {
		t.Errorf("%+v", a)
	}
	if req := h.called("ann", "cy"); !req.GetRosterJoinTime().AsTime().Equal(h.rostered.Teams[2].Members[0].JoinTime.AsTime()) {
		t.Errorf("seen up to %v", req.GetRosterJoinTime().AsTime())
	}
	h.refused("dan", "not_on_roster")
	h.depart("cy")
	h.depart("ann")
	h.stopped()
	h.until("the server ends", func() bool { return h.sdk.State() == "Shutdown" })
}

// TestPlaceIsKept: who returns within the reserve has the place, and everybody's place is
// named until then.
func TestPlaceIsKept(t *testing.T) {
	h := startFill(t, func(r *torikumiv1.Roster) { r.Backfill.Reserve = durationpb.New(time.Hour) })
	h.admitAll("ann", "bob")
	h.ask()
	h.called("ann", "bob")
	h.depart("bob")
	if a := h.admitAll("bob")[0]; !a.Reconnect {
		t.Errorf("%+v", a)
	}
	for _, call := range h.director.Calls() {
		if !slices.Equal(call.GetPlayers(), []string{"ann", "bob"}) {
			t.Errorf("a call left somebody out: %v", call)
		}
	}
}

// TestFasterThanTheRoster: who was found comes in although the gate has not been told of the
// new roster.
func TestFasterThanTheRoster(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann")
	h.ask()
	h.called("ann", "bob")
	h.sdk.Blind(true)
	h.keep()
	h.found("cy")
	// The gate waits for half a second at a time, in which a busy SDK may not answer.
	_, err := h.admit("cy")
	for tries := 0; reasonAt(err) == "not_on_roster" && tries < 5; tries++ {
		_, err = h.admit("cy")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.admit("dan")
	if r, ok := err.(*gateapi.Refusal); !ok || r.Reason != "not_on_roster" || !r.Retryable || r.Renewable {
		t.Errorf("while players are searched for: %+v", err)
	}
	if _, err := h.api.StopBackfill(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.stopped()
	h.until("refused for good", func() bool {
		_, err := h.admit("dan")
		r, ok := err.(*gateapi.Refusal)
		return ok && r.Reason == "not_on_roster" && !r.Retryable
	})
}

// TestGateRestartsWhileAsking: a gate that was killed goes on asking, and remembers whose
// place is given away.
func TestGateRestartsWhileAsking(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann", "bob")
	h.depart("bob")
	h.ask()
	h.called("ann")
	if err := h.stopGate(); err != nil {
		t.Fatal(err)
	}
	before := len(h.director.Calls())
	h.startGate()
	h.refused("bob", "place_given")
	h.until("it asks again", func() bool { return len(h.director.Calls()) > before })
	h.called("ann")

	if _, err := h.api.StopBackfill(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.stopped()
	if err := h.stopGate(); err != nil {
		t.Fatal(err)
	}
	h.startGate()
	if b := h.state(); b.State != gateapi.BackfillOff {
		t.Errorf("after a stop and a new start: %+v", b)
	}
}

// TestStopBeforeGateRestart: the stop that a killed gate could not pass on is passed on.
func TestStopBeforeGateRestart(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann", "bob")
	h.ask()
	h.called("ann", "bob")
	h.director.Stop()
	if _, err := h.api.StopBackfill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.stopGate(); err != nil {
		t.Fatal(err)
	}
	h.director.Restart()
	h.startGate()
	h.stopped()
}

// TestDirectorAwayAndBack: the gate goes on, and says what is wrong.
func TestDirectorAwayAndBack(t *testing.T) {
	h := startFill(t, func(r *torikumiv1.Roster) { r.Backfill.Automatic = true })
	h.director.Stop()
	h.admitAll("ann", "bob")
	h.until("it says that no director answers", func() bool { b := h.state(); return b.Failure == "Unavailable" && b.State == gateapi.BackfillWaiting })
	h.director.Restart()
	h.called("ann", "bob")
	h.until("it searches", func() bool { b := h.state(); return b.Failure == "" && b.State == gateapi.BackfillSearching })
	h.director.Answer(func(*torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
		return nil, status.Error(codes.FailedPrecondition, "no")
	})
	h.until("it says why nobody is found", func() bool { return h.state().Failure == "FailedPrecondition" })
}

// TestTokenIsReadAnew: the kubelet replaces the token while the gate runs.
func TestTokenIsReadAnew(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann", "bob")
	h.ask()
	h.called("ann", "bob")
	h.director.SetToken("another-secret")
	h.until("the old one is refused", func() bool { return h.state().Failure == "Unauthenticated" })
	tlstest.Write(t, h.tokens, []byte("another-secret"))
	before := len(h.director.Calls())
	h.until("the new one is shown", func() bool { return len(h.director.Calls()) > before })
	if err := os.Remove(h.tokens); err != nil {
		t.Fatal(err)
	}
	h.until("a token that is gone is said", func() bool { return h.state().Failure == "Unauthenticated" })
}

// TestHammering: a game server that asks and stops all the time causes a call a second.
func TestHammering(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann", "bob")
	begin, rounds := time.Now(), 0
	for ; time.Since(begin) < 3*time.Second || rounds < 50; rounds++ {
		h.ask()
		if _, err := h.api.StopBackfill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if calls, most := len(h.director.Calls()), int(time.Since(begin)/time.Second)+2; calls > most {
		t.Errorf("%d calls for %d rounds in %v, want at most %d", calls, rounds, time.Since(begin), most)
	}
}

// TestTwoLeaveAtOnce, and one comes back in time.
func TestTwoLeaveAtOnce(t *testing.T) {
	h := startFill(t, func(r *torikumiv1.Roster) {
		r.Teams = append(r.Teams, harness.Roster("cy").Teams...)
		r.Backfill.Reserve = durationpb.New(5 * time.Second)
		r.Backfill.Automatic = true
	})
	h.admitAll("ann", "bob", "cy")
	h.called("ann", "bob", "cy")
	h.depart("bob")
	h.depart("cy")
	h.admitAll("cy")
	h.called("ann", "cy")
	h.refused("bob", "place_given")
}

// TestJoinerDoesNotCome: the place is free again, and it is too late then.
func TestJoinerDoesNotCome(t *testing.T) {
	h := startFill(t, nil)
	h.admitAll("ann", "bob")
	h.ask()
	h.called("ann", "bob")
	h.found("cy")
	h.until("the gate has seen the place, and gives it away", func() bool {
		last := h.director.Last()
		return last.GetRosterJoinTime() != nil && slices.Equal(last.GetPlayers(), []string{"ann", "bob"})
	})
	if r := h.roster(); len(r.Expected) != 2 {
		t.Errorf("expected: %v", r.Expected)
	}
	h.refused("cy", "place_given")
	h.keep()
	h.found("dan")
	h.known("dan")
	h.admitAll("dan")
}

// TestServerWaitsForJoiner: all have left while somebody is on the way.
func TestServerWaitsForJoiner(t *testing.T) {
	h := startFill(t, func(r *torikumiv1.Roster) { r.Backfill.Reserve = durationpb.New(time.Hour) })
	h.admitAll("ann", "bob")
	h.ask()
	h.called("ann", "bob")
	h.found("cy")
	h.called("ann", "bob", "cy")
	h.depart("ann")
	h.depart("bob")
	h.stopped() // nobody else is searched for meanwhile
	h.admitAll("cy")
	if state := h.sdk.State(); state != "Allocated" {
		t.Errorf("the server is %s", state)
	}
	h.depart("cy")
	h.until("the server ends", func() bool { return h.sdk.State() == "Shutdown" })
}

// TestBackfillRefused: what the game server hears when nobody can be searched for.
func TestBackfillRefused(t *testing.T) {
	expect := func(t *testing.T, s *gameHarness, reason string, retryable bool) {
		t.Helper()
		for _, method := range []string{"POST", "DELETE"} {
			status, media, body := s.call(method, "/v1/backfill", "application/json", "{}")
			var p struct {
				problem.Problem
				Retryable bool
			}
			if err := json.Unmarshal(body, &p); err != nil || status != 409 || p.Reason != reason || p.Retryable != retryable || media != problem.ContentType {
				t.Errorf("%s: %d %s %s, want 409 %s", method, status, media, body, reason)
			}
		}
		b, err := s.api.Backfilling(t.Context())
		if err != nil || b.State != gateapi.BackfillUnavailable || string(b.Reason) != reason {
			t.Errorf("%+v, %v", b, err)
		}
	}
	t.Run("no director", func(t *testing.T) {
		s := start(t)
		s.give(match, "ann")
		expect(t, s, "no_director", false)
	})
	t.Run("no backfill", func(t *testing.T) {
		h := startFill(t, func(r *torikumiv1.Roster) { r.Backfill = nil })
		expect(t, h.gameHarness, "no_backfill", false)
		h.sdk.SetState("Ready")
		h.until("the gate knows that the server is free", func() bool { return h.roster().MatchID == "" })
		expect(t, h.gameHarness, "not_allocated", true)
		if calls := h.director.Calls(); len(calls) != 0 {
			t.Errorf("calls: %v", calls)
		}
	})
	t.Run("bad requests", func(t *testing.T) {
		h := startFill(t, nil)
		for body, want := range map[string]int{
			"": 400, "[]": 400, `{"places":2}`: 400, `{"a":1,"a":2}`: 400, "{}{}": 400, strings.Repeat(" ", 20000): 413, "{}": 200, " {} ": 200,
		} {
			if status, _, answer := h.call("POST", "/v1/backfill", "application/json", body); status != want {
				t.Errorf("%.20q: %d %s", body, status, answer)
			}
		}
		if status, _, _ := h.call("POST", "/v1/backfill", "text/plain", "{}"); status != 415 {
			t.Errorf("from a web page: %d", status)
		}
		if status, _, _ := h.call("PUT", "/v1/backfill", "application/json", "{}"); status != 405 {
			t.Errorf("PUT: %d", status)
		}
	})
}

// TestBackfillTLS: the director proves who it is before it gets the token.
func TestBackfillTLS(t *testing.T) {
	authority, foreign := tlstest.NewAuthority(t), tlstest.NewAuthority(t)
	settings := authority.Server(t, "localhost")
	settings.ClientAuth = tls.NoClientCert
	director := harness.StartDirector(t, podToken, grpc.Creds(credentials.NewTLS(settings)))
	tokens := filepath.Join(t.TempDir(), "token")
	tlstest.Write(t, tokens, []byte(podToken))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	tlstest.Copy(t, foreign.File, ca)
	roster := harness.Roster("ann")
	roster.Backfill = &torikumiv1.BackfillPolicy{Automatic: true}
	s := start(t, func(s *gameHarness) {
		s.gate.Director, s.gate.DirectorCA, s.gate.DirectorTokenFile = "localhost:"+director.Port(), ca, tokens
	})
	s.sdk.Give(match, roster)
	s.until("the gate knows the match", func() bool { return s.roster().MatchID == match })
	if _, err := s.api.Admit(t.Context(), s.token("ann"), ""); err != nil {
		t.Fatal(err)
	}
	s.until("a director of somebody else is not called", func() bool {
		b, err := s.api.Backfilling(t.Context())
		return err == nil && b.Failure == "Unavailable"
	})
	if calls := director.Calls(); len(calls) != 0 {
		t.Fatalf("calls: %v", calls)
	}
	tlstest.Copy(t, authority.File, ca)
	s.until("the director is called", func() bool { return len(director.Calls()) > 0 })
}

// A gate without its token does not start, and says nothing of what a wrong file holds.
func TestGateNeedsItsToken(t *testing.T) {
	s := start(t)
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg := s.gate
	cfg.Director, cfg.DirectorInsecure = "127.0.0.1:1", true
	run := func(file string) error {
		c := cfg
		c.DirectorTokenFile = file
		return gate.Run(t.Context(), &c, func(service.Addrs) { t.Error("started") })
	}
	if err := run(filepath.Join(dir, "none")); err == nil {
		t.Error("without a file")
	}
	for _, text := range []string{"", " \n", "two words", "two\nlines", "\x00", strings.Repeat("x", 65<<10)} {
		file := filepath.Join(dir, "token")
		tlstest.Write(t, file, []byte(text))
		if err := run(file); err == nil || strings.Contains(err.Error(), "words") {
			t.Errorf("%.10q: %v", text, err)
		}
	}
	s.startGate()
}

// TestServerAsksForPlayers: the reference server has somebody found in place of who has
// left, but not for an empty server.
func TestServerAsksForPlayers(t *testing.T) {
	h := startFill(t, nil, func(s *gameHarness) { s.server.Backfill = true })
	ann, bob := h.player(), h.player()
	h.join(ann, h.token("ann"))
	h.join(bob, h.token("bob"))
	if b := h.state(); b.State != gateapi.BackfillOff {
		t.Errorf("before: %+v", b)
	}
	if err := bob.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	h.called("ann")
	h.keep()
	h.found("cy")
	h.known("cy")
	h.join(h.player(), h.token("cy"))
	h.called("ann", "cy")
}

// TestServerKeepsQuiet without the setting.
func TestServerKeepsQuiet(t *testing.T) {
	h := startFill(t, nil)
	ann, bob := h.player(), h.player()
	h.join(ann, h.token("ann"))
	h.join(bob, h.token("bob"))
	if err := bob.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	h.until("the departure is known", func() bool { return len(h.roster().Departed) == 1 })
	if b := h.state(); b.State != gateapi.BackfillOff || len(h.director.Calls()) > 0 {
		t.Errorf("%+v", b)
	}
}
