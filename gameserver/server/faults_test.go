package server_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"torikumi/gameserver/client"
	"torikumi/gameserver/internal/admission"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/token"
)

func listenUDP(addr string) (net.PacketConn, error) { return net.ListenPacket("udp", addr) }

func TestKilledGate(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	tok := s.token("ann")
	ann, bob := s.player(), s.player()
	s.join(ann, tok)
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	// While it is away: nobody new, and a departure that has to wait.
	bobs := s.token("bob")
	done := make(chan error, 1)
	go func() { _, err := bob.Join(limited(t), bobs); done <- err }()
	s.startGate()
	if err := <-done; err != nil && refusal(err) != wire.ReasonGateUnavailable {
		t.Errorf("bob: %v", err)
	}
	s.join(bob, bobs)
	if _, err := s.player().Join(limited(t), tok); refusal(err) != token.ReasonReplayed {
		t.Errorf("replay after the gate's restart: %v", err)
	}
	if r := s.roster(); len(r.Present) != 2 || r.MatchID != match {
		t.Errorf("the gate has forgotten who is here: %+v", r)
	}
}

// TestDamagedJournal: the gate starts, knows what can be read, refuses tokens from
// before its start, and admits new ones.
func TestDamagedJournal(t *testing.T) {
	s, _ := withoutGate(t)
	old := s.token("ann")
	data, err := os.ReadFile(s.gate.Journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.gate.Journal, append(data, "{rubbish\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.startGate()
	if r := s.roster(); len(r.Present) != 1 {
		t.Errorf("present = %v", r.Present)
	}
	if _, err := s.player().Join(limited(t), old); refusal(err) != token.ReasonIssuedBeforeStart {
		t.Errorf("a token from before: %v", err)
	}
	s.until("a new token is admitted", func() bool { // from the next second on
		_, err := s.player().Join(limited(t), s.token("ann"))
		return err == nil
	})
}

// withoutGate is a match with one player whose gate has been stopped.
func withoutGate(t *testing.T) (s *gameHarness, ann *client.Client) {
	t.Helper()
	s = start(t)
	s.give(match, "ann")
	ann = s.player()
	s.join(ann, s.token("ann"))
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	return s, ann
}

func TestDepartureWithoutGate(t *testing.T) {
	s, ann := withoutGate(t)
	if err := ann.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.startGate()
	s.until("the server ends", func() bool { return s.sdk.State() == "Shutdown" })
}

// TestDepartureBeforeTheSDK: a gate that does not know its server yet says so,
// and does not take the departed for strangers.
func TestDepartureBeforeTheSDK(t *testing.T) {
	s, ann := withoutGate(t)
	s.sdk.Stop()
	s.startBlindGate()
	api := s.api
	if err := api.Depart(limited(t), "ann", ""); gateRefusal(err) != admission.ReasonSDKUnavailable {
		t.Errorf("departure: %v", err)
	}
	if r, err := api.Roster(limited(t)); gateRefusal(err) != admission.ReasonSDKUnavailable {
		t.Errorf("roster: %+v, %v", r, err)
	}
	if err := ann.Leave(limited(t)); err != nil {
		t.Fatal(err)
	}
	s.sdk.Restart()
	s.until("the server ends", func() bool { return s.sdk.State() == "Shutdown" })
}

func gateRefusal(err error) token.Reason {
	var r *gateapi.Refusal
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func TestGateOutOfReach(t *testing.T) {
	// The gate that is back has to answer within it, on a busy machine too.
	s := start(t, func(s *gameHarness) { s.server.GateTimeout = 3 * time.Second })
	s.give(match, "ann")
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	tok, ann := s.token("ann"), s.player()
	if _, err := ann.Join(limited(t), tok); refusal(err) != wire.ReasonGateUnavailable {
		t.Fatalf("join: %v", err)
	}
	s.startGate()
	s.until("ann is let in", func() bool { // once the gate has its keys
		_, err := ann.Join(limited(t), tok)
		if err != nil && refusal(err) != wire.ReasonGateUnavailable {
			t.Fatal(err)
		}
		return err == nil
	})
}

// TestServerBehindItsGate: the gate has let in a player of the next match when
// the server hears that the one before is over.
func TestServerBehindItsGate(t *testing.T) {
	behind := harness.StartSDK(t)
	s := start(t, func(s *gameHarness) {
		s.server.SDKPort = behind.Port()
		s.sdk.SetState("Ready")
	})
	s.until("the server is Ready", func() bool { return behind.State() == "Ready" && behind.Watchers() == 1 })
	const next = "m-next"
	behind.Give(match, nil)
	s.give(match, "ann")
	ann := s.player()
	s.join(ann, s.token("ann"))
	s.sdk.SetState("Ready")
	s.give(next, "bob", "carl")
	bob := s.player()
	s.join(bob, s.issuer.Mint("bob", "red", next))
	behind.SetState("Ready")
	if err := ann.Wait(limited(t)); kick(err) != wire.KickMatchOver {
		t.Errorf("ann: %v", err)
	}
	behind.Give(next, nil)
	s.join(s.player(), s.issuer.Mint("carl", "red", next))
	if _, err := bob.Ping(limited(t)); err != nil || len(s.roster().Present) != 2 {
		t.Errorf("bob: %v; present: %v", err, s.roster().Present)
	}
}

func TestWithoutJournal(t *testing.T) {
	s := start(t, func(s *gameHarness) { s.gate.Journal = "" })
	s.give(match, "ann")
	tok := s.token("ann")
	s.join(s.player(), tok)
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	s.startGate()
	if _, err := s.player().Join(limited(t), tok); refusal(err) != token.ReasonIssuedBeforeStart {
		t.Errorf("join: %v", err)
	}
}

func TestSDKRestart(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	s.sdk.Stop()
	bob := s.player()
	s.join(bob, s.token("bob")) // by what the SDK said last
	s.sdk.Restart()
	if _, err := ann.Ping(limited(t)); err != nil {
		t.Error(err)
	}
	for _, leave := range []func() error{func() error { return ann.Leave(limited(t)) }, func() error { return bob.Leave(limited(t)) }} {
		if err := leave(); err != nil {
			t.Fatal(err)
		}
	}
	s.until("the restarted SDK hears Shutdown", func() bool { return s.sdk.State() == "Shutdown" })
	if readies, _, _, _ := s.sdk.Calls(); readies != 1 {
		t.Errorf("Ready was called %d times: it would take the server from its match", readies)
	}
}

func TestKeysOutOfReach(t *testing.T) {
	s := start(t, func(s *gameHarness) { s.issuer.Close() })
	s.give(match, "ann")
	if _, err := s.player().Join(limited(t), s.token("ann")); refusal(err) != token.ReasonKeysUnavailable {
		t.Errorf("join: %v", err)
	}
}

func TestFloodOfRubbish(t *testing.T) {
	s := start(t, func(s *gameHarness) { s.server.StrangerRate, s.server.MaxPending, s.server.MaxPendingIP = 500, 16, 8 })
	s.give(match, "ann", "bob")
	ann := s.player()
	s.join(ann, s.token("ann"))
	var wg sync.WaitGroup
	for i := range 4 {
		c := raw(t, s.udp)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(i)))
			for range 5000 {
				b := make([]byte, 1+rnd.IntN(200))
				for j := range b {
					b[j] = byte(rnd.Uint32())
				}
				if rnd.IntN(2) == 0 {
					b = append([]byte("JOIN "), b...)
				}
				_, _ = c.Write(b)
			}
		})
	}
	for range 10 {
		if _, err := ann.Ping(limited(t)); err != nil {
			t.Fatalf("ann during the flood: %v", err)
		}
	}
	wg.Wait()
	s.join(s.player(), s.token("bob"))
	if r := s.roster(); len(r.Present) != 2 {
		t.Errorf("present = %v", r.Present)
	}
}

func TestStrangersGetLittle(t *testing.T) {
	s := start(t)
	s.give(match, "ann")
	for _, datagram := range []string{"PING 1", "LEAVE", "ROSTER", "x", "\x00\xff", "JOI"} {
		if got := exchange(t, raw(t, s.udp), datagram, wire.Kick); len(got) > 64 {
			t.Errorf("%q is answered with %d bytes", datagram, len(got))
		}
	}
	c := raw(t, s.udp)
	for _, datagram := range []string{"KICK {}", "WELCOME {}", "BYE", "PONG 1", "REFUSED {}"} {
		if _, err := c.Write([]byte(datagram)); err != nil {
			t.Fatal(err)
		}
	}
	// The first answer is for the question that comes after.
	if _, err := c.Write([]byte("JOIN x y")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(buf)
	if err != nil || reasonOf(t, string(buf[:n])) != token.ReasonMalformed || n > 64 {
		t.Errorf("answer %q, %v", buf[:n], err)
	}
}

func TestLossyNetwork(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	relay := newRelay(t, s.udp)
	ann := dial(t, relay)
	for range 3 {
		s.join(ann, s.token("ann"))
		for range 3 {
			if _, err := ann.Ping(limited(t)); err != nil {
				t.Fatal(err)
			}
		}
		if _, present, err := ann.Roster(limited(t)); err != nil || len(present) != 1 {
			t.Fatalf("roster = %v, %v", present, err)
		}
		if err := ann.Leave(limited(t)); err != nil {
			t.Fatal(err)
		}
		s.until("the gate knows that ann has left", func() bool { return len(s.roster().Present) == 0 })
	}
}

// newRelay passes datagrams of one client on, and loses or doubles many of them.
func newRelay(t *testing.T, to string) string {
	t.Helper()
	near, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("udp", to)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var who net.Addr
	rnd := rand.New(rand.NewPCG(7, 7))
	copies := func() int { mu.Lock(); defer mu.Unlock(); return []int{0, 1, 1, 2}[rnd.IntN(4)] }
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := near.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			who = from
			mu.Unlock()
			for range copies() {
				_, _ = far.Write(buf[:n])
			}
		}
	})
	wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			to := who
			mu.Unlock()
			for range copies() {
				_, _ = near.WriteTo(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() { _ = near.Close(); _ = far.Close(); wg.Wait() })
	return near.LocalAddr().String()
}
