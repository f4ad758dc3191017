package server_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/gameserver/client"
	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/wire"
	"torikumi/gameserver/server"
	"torikumi/pkg/token"
	"torikumi/pkg/token/corpus"
	"torikumi/pkg/token/tokentest"
)

func TestMatch(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	ann, bob := s.player(), s.player()
	if w := s.join(ann, s.token("ann")); w.Player != "ann" || w.Team != "team-ann" || w.MatchID != match || len(w.Roster) != 1 {
		t.Errorf("welcome = %+v", w)
	}
	s.join(bob, s.token("bob"))
	id, present, err := ann.Roster(limited(t))
	if err != nil || id != match || len(present) != 2 || present[0].Player != "ann" || present[1].Player != "bob" {
		t.Errorf("roster = %q %v, %v", id, present, err)
	}
	if _, err := bob.Ping(limited(t)); err != nil {
		t.Error(err)
	}
	r := s.roster()
	if r.Queue != "session" || r.Region != "eu" || len(r.Expected) != 2 || len(r.Present) != 2 || r.State != "Allocated" {
		t.Errorf("gate's roster = %+v", r)
	}
	for _, c := range []*client.Client{ann, bob} {
		if err := c.Leave(limited(t)); err != nil {
			t.Error(err)
		}
	}
	s.until("the empty server is shut down", func() bool { return s.sdk.State() == "Shutdown" })
	s.until("the server process ends by itself", func() bool { return portFree(s) })
	if err := s.stopServer(); err != nil {
		t.Errorf("server ended with %v", err)
	}
	readies, healths, _, _ := s.sdk.Calls()
	if readies != 1 || healths == 0 {
		t.Errorf("Ready %d times, Health %d times", readies, healths)
	}
}

// portFree reports whether the UDP port is free again.
func portFree(s *gameHarness) bool {
	l, err := listenUDP(s.udp)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// TestCorpus: the gate refuses the whole corpus, and the server what it lets through to it.
func TestCorpus(t *testing.T) {
	m, err := corpus.NewMaker(corpus.Expected{Issuer: harness.IssuerName, Audience: tokentest.Server, Match: match, Player: "ann", Team: "red"})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := m.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	jwks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys) }))
	defer jwks.Close()
	s := start(t, func(s *gameHarness) { s.gate.JWKSURL = jwks.URL })
	s.give(match, "ann")

	cases, err := corpus.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		tok, err := m.Make(c, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(tok) > wire.MaxJoin-len(wire.Join)-1 || strings.TrimSpace(tok) != tok || strings.Contains(tok, "\n") {
			continue // too large for a datagram, with the space that one may end with, or of more lines than count
		}
		if got := reasonOf(t, exchange(t, raw(t, s.udp), wire.Join+" "+tok, wire.Refused)); got != c.Reason {
			t.Errorf("%s, over UDP: reason %q, want %q", c.Name, got, c.Reason)
		}
	}
	if r := s.roster(); len(r.Present) != 0 {
		t.Errorf("present = %v", r.Present)
	}

	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	results, err := corpus.Run(limited(t), m, corpus.Verifier{URL: s.server.Gate + "/v1/admissions", Member: "token", Client: &http.Client{Transport: transport}})
	if err != nil || len(results) != len(cases) {
		t.Errorf("%d results, %v", len(results), err)
	}
	for _, r := range results {
		if wrong := r.Wrong(true); wrong != "" {
			t.Errorf("%s: %s, want %s", r.Case.Name, wrong, r.Case.Reason)
		}
	}
}

// TestNotOnRoster: a good token of somebody whom the match does not expect.
func TestNotOnRoster(t *testing.T) {
	s := start(t)
	s.give(match, "ann")
	if got := reasonOf(t, exchange(t, raw(t, s.udp), wire.Join+" "+s.token("mallory"), wire.Refused)); got != "not_on_roster" {
		t.Errorf("mallory: reason %q", got)
	}
}

func TestReplay(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	tok := s.token("ann")
	first := s.player()
	s.join(first, tok)
	s.join(first, tok) // the same socket: as if WELCOME was lost
	for range 3 {
		if _, err := s.player().Join(limited(t), tok); refusal(err) != token.ReasonReplayed {
			t.Errorf("replay: %v", err)
		}
	}
	if _, err := first.Ping(limited(t)); err != nil {
		t.Errorf("the replay has disturbed the player: %v", err)
	}
}

func TestRaceForOneToken(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	for range 5 {
		tok := s.token("ann")
		var wg sync.WaitGroup
		results := make([]error, 6)
		for i := range results {
			c := s.player()
			wg.Go(func() { _, results[i] = c.Join(limited(t), tok) })
		}
		wg.Wait()
		in := 0
		for _, err := range results {
			switch {
			case err == nil:
				in++
			case refusal(err) != token.ReasonReplayed:
				t.Errorf("refused with %v", err)
			}
		}
		if in != 1 {
			t.Errorf("%d sockets were let in with one token", in)
		}
	}
}

func TestReconnect(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	old, fresh := s.player(), s.player()
	s.join(old, s.token("ann"))
	s.join(fresh, s.token("ann"))
	if err := old.Wait(limited(t)); kick(err) != wire.KickReplaced {
		t.Errorf("old connection: %v", err)
	}
	if _, err := fresh.Ping(limited(t)); err != nil {
		t.Error(err)
	}
	if r := s.roster(); len(r.Present) != 1 || len(r.Departed) != 0 {
		t.Errorf("gate's roster = %+v", r)
	}
	// And after leaving, with a fresh token.
	if err := fresh.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.join(fresh, s.token("ann"))
	s.until("ann is back", func() bool { r := s.roster(); return len(r.Present) == 1 && len(r.Departed) == 0 })
}

func TestEarlyDeparture(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	if err := ann.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.until("the gate knows that ann has left", func() bool { return len(s.roster().Departed) == 1 })
	bob := s.player()
	s.join(bob, s.token("bob"))
	if state := s.sdk.State(); state != "Allocated" {
		t.Fatalf("the server is %s under bob", state)
	}
	if err := bob.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.until("the server ends after the last", func() bool { return s.sdk.State() == "Shutdown" })
}

func TestNoShow(t *testing.T) {
	s := start(t, func(s *gameHarness) { s.gate.NoShowTimeout = 50 * time.Millisecond })
	s.sdk.LoseShutdowns(2)
	s.sdk.Give(match, nil)
	s.until("the server nobody came to ends", func() bool { return s.sdk.State() == "Shutdown" })
	if _, _, shutdowns, _ := s.sdk.Calls(); shutdowns < 3 {
		t.Errorf("Shutdown was called %d times", shutdowns)
	}
}

func TestJoinBeforeAllocation(t *testing.T) {
	s := start(t)
	if _, err := s.player().Join(limited(t), s.token("ann")); refusal(err) != "not_allocated" {
		t.Errorf("join: %v", err)
	}
	tok := s.token("ann")
	s.give(match, "ann")
	s.join(s.player(), tok)
}

func TestLateWatch(t *testing.T) {
	s := start(t)
	s.sdk.Blind(true)
	s.sdk.Give(match, nil)
	s.join(s.player(), s.token("ann"))
}

func TestReusedServer(t *testing.T) {
	s := start(t)
	s.until("gate and server are told of changes", func() bool { return s.sdk.Watchers() == 2 })
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	spare := s.token("bob")

	s.sdk.SetState("Ready")
	if err := ann.Wait(limited(t)); kick(err) != wire.KickMatchOver {
		t.Errorf("ann of the old match: %v", err)
	}
	s.until("presence is reset", func() bool { r := s.roster(); return r.MatchID == "" && len(r.Present)+len(r.Departed) == 0 })
	if _, err := s.player().Join(limited(t), spare); refusal(err) != "not_allocated" {
		t.Errorf("while Ready: %v", err)
	}

	s.give("m-next", "carl")
	if _, err := s.player().Join(limited(t), spare); refusal(err) != token.ReasonWrongMatch {
		t.Errorf("old token in the next match: %v", err)
	}
	carl := s.player()
	s.join(carl, s.issuer.Mint("carl", "", "m-next"))
	s.sdk.Give("m-third", nil)
	if err := carl.Wait(limited(t)); kick(err) != wire.KickMatchOver {
		t.Errorf("carl in the third match: %v", err)
	}
}

func TestFullServer(t *testing.T) {
	s := start(t, func(s *gameHarness) { s.gate.Capacity = 1 })
	s.give(match, "ann", "bob")
	ann, bob := s.player(), s.player()
	s.join(ann, s.token("ann"))
	tok := s.token("bob")
	if _, err := bob.Join(limited(t), tok); refusal(err) != "full" {
		t.Fatalf("join: %v", err)
	}
	if err := ann.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.until("ann's place is free", func() bool { return len(s.roster().Present) == 0 })
	s.join(bob, tok)
}

func TestIdlePlayer(t *testing.T) {
	s := start(t, func(s *gameHarness) { s.server.IdleTimeout = 100 * time.Millisecond })
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	if err := ann.Wait(limited(t)); kick(err) != wire.KickTimeout {
		t.Errorf("silent player: %v", err)
	}
	s.until("the gate knows", func() bool { return len(s.roster().Departed) == 1 })
}

func TestStop(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	if err := s.stopServer(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := ann.Wait(limited(t)); kick(err) != wire.KickShutdown {
		t.Errorf("player: %v", err)
	}
	s.until("the gate knows that ann has gone", func() bool { r := s.roster(); return len(r.Present) == 0 && len(r.Departed) == 1 })
}

func TestLostSDK(t *testing.T) {
	// The server has to find its SDK within it, on a busy machine too.
	s := start(t, func(s *gameHarness) { s.server.SDKLostTimeout = 3 * time.Second })
	s.sdk.Stop()
	s.until("the server ends", func() bool { return portFree(s) })
	if err := s.stopServer(); !errors.Is(err, server.ErrSDKLost) {
		t.Errorf("server ended with %v", err)
	}
}
