package server_test

import (
	"fmt"
	"testing"

	"torikumi/gameserver/internal/harness"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestTracking: Agones is told who is in the match, where its queue wants that, also after a
// call that failed and a new start of the gate; and that nobody is when the server is free.
func TestTracking(t *testing.T) {
	s := start(t)
	roster := harness.Roster("ann", "bob")
	roster.Tracking = &torikumiv1.Tracking{Counter: "players", List: "ids", Players: true}
	s.sdk.Tracking.Fail(2)
	s.sdk.Give(match, roster)
	s.until("the gate knows the match", func() bool { return s.roster().MatchID == match })
	told := func(want string) {
		t.Helper()
		s.until("Agones is told "+want, func() bool {
			count, list, players := s.sdk.Tracking.Told()
			return fmt.Sprint(count, list, players) == want
		})
	}
	for _, p := range []string{"bob", "ann"} {
		if _, err := s.api.Admit(limited(t), s.token(p), ""); err != nil {
			t.Fatal(err)
		}
	}
	told("2 [ann bob] [ann bob]")
	if err := s.api.Depart(limited(t), "bob", ""); err != nil {
		t.Fatal(err)
	}
	told("1 [ann] [ann]")
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	s.sdk.Tracking.Forget()
	s.startGate()
	told("1 [ann] [ann]")
	s.sdk.SetState("Ready")
	told("0 [] []")
}
