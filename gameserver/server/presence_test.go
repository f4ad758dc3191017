package server_test

import (
	"testing"
	"time"

	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/contract"
)

// quick makes reports quick enough to wait for.
func quick(s *gameHarness) { s.server.PresenceInterval = 20 * time.Millisecond }

// TestUnreportedDeparture: cid was admitted and dropped before the server took note,
// as between Unreal's PreLogin and Login. Nobody reports that, and the server ends all
// the same.
func TestUnreportedDeparture(t *testing.T) {
	// The server has to name ann within it, on a busy machine too.
	s := start(t, quick, func(s *gameHarness) { s.gate.PresenceTimeout = 2 * time.Second })
	s.give(match, "ann", "cid")
	if _, err := s.api.Admit(limited(t), s.token("cid"), "key"); err != nil {
		t.Fatal(err)
	}
	ann := s.player()
	s.join(ann, s.token("ann"))
	s.until("cid has lapsed", func() bool { r := s.roster(); return len(r.Departed) == 1 && r.Departed[0].Lapsed })
	if r := s.roster(); len(r.Present) != 1 || r.Present[0].Player != "ann" {
		t.Errorf("present: %+v", r.Present)
	}
	s.until("the server shows that players have come", func() bool { return s.sdk.Annotation(contract.AdmittedAnnotation) == match })
	if err := ann.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.until("the server ends", func() bool { return s.sdk.State() == "Shutdown" })
}

// TestServerThatReportsNothing: its players keep it until the longest match is over.
func TestServerThatReportsNothing(t *testing.T) {
	const longest = 7 * time.Second
	s := start(t, func(s *gameHarness) {
		s.server.PresenceInterval, s.server.GateLostTimeout = time.Hour, 2*time.Hour
		// Ann has to come within it, on a busy machine too.
		s.gate.NoShowTimeout, s.gate.LongestMatch, s.gate.PresenceTimeout = 5*time.Second, longest, time.Millisecond
	})
	begin := time.Now()
	s.give(match, "ann")
	if _, err := s.api.Admit(limited(t), s.token("ann"), "key"); err != nil {
		t.Fatal(err)
	}
	s.until("the server ends", func() bool { return s.sdk.State() == "Shutdown" })
	if took := time.Since(begin); took < longest {
		t.Errorf("it ended after %v although ann was there", took)
	}
}

// TestRefusedByReport: the server drops whom the gate no longer takes for present.
func TestRefusedByReport(t *testing.T) {
	s := start(t, quick)
	s.give(match, "ann", "bob")
	ann, bob := s.player(), s.player()
	s.join(ann, s.token("ann"))
	s.join(bob, s.token("bob"))
	if err := s.api.Depart(limited(t), "bob", ""); err != nil {
		t.Fatal(err)
	}
	if err := bob.Wait(limited(t)); kick(err) != wire.KickNotAdmitted {
		t.Errorf("bob: %v", err)
	}
	if _, err := s.api.Admit(limited(t), s.token("ann"), "elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := ann.Wait(limited(t)); kick(err) != wire.KickReplaced {
		t.Errorf("ann: %v", err)
	}
}

// TestGateStaysAway: players who are there play on; then the server ends by itself.
func TestGateStaysAway(t *testing.T) {
	// The gate has to keep within it while it is there, on a busy machine too.
	const lost = 2 * time.Second
	var interval time.Duration // of signs of life, which are never early
	s := start(t, quick, func(s *gameHarness) {
		s.server.GateLostTimeout, interval = lost, s.server.HealthInterval
	})
	s.give(match, "ann")
	ann := s.player()
	s.join(ann, s.token("ann"))
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	_, signs, _, _ := s.sdk.Calls()
	s.until("the gate has been away for long", func() bool { _, n, _, _ := s.sdk.Calls(); return n > signs+int(lost/interval)+30 })
	if _, err := ann.Ping(limited(t)); err != nil || s.sdk.State() != "Allocated" {
		t.Errorf("with ann on it: %s, %v", s.sdk.State(), err)
	}
	if err := ann.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.until("the server ends", func() bool { return s.sdk.State() == "Shutdown" })
}

// TestLostJournalUnderPlayers: the gate comes back without its journal; the server
// tells it who is there.
func TestLostJournalUnderPlayers(t *testing.T) {
	s := start(t, quick, func(s *gameHarness) { s.gate.Journal = "" })
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	s.startGate()
	s.until("the gate knows again that ann is there", func() bool { return len(s.roster().Present) == 1 })
	if _, err := ann.Ping(limited(t)); err != nil {
		t.Error(err)
	}
}
