package server_test

import (
	"testing"

	"torikumi/gameserver/internal/harness"
	"torikumi/pkg/contract"
	"torikumi/proto/agones/sdk"
)

// TestAdmittedIsTold: the game server shows for which match somebody has come, also
// if the SDK loses that, and after a new start of the gate.
func TestAdmittedIsTold(t *testing.T) {
	s := start(t)
	admitted := func() string { return s.sdk.Annotation(contract.AdmittedAnnotation) }
	s.give(match, "ann", "bob")
	if got := admitted(); got != "" {
		t.Errorf("nobody has come, and it shows %q", got)
	}
	s.sdk.LoseAnnotations(2)
	s.join(s.player(), s.token("ann"))
	s.until("it shows that ann has come", func() bool { return admitted() == match })

	s.sdk.Change(func(gs *sdk.GameServer) { delete(gs.ObjectMeta.Annotations, contract.AdmittedAnnotation) })
	if err := s.stopGate(); err != nil {
		t.Fatal(err)
	}
	s.startGate()
	s.until("it shows so after a new start of the gate", func() bool { return admitted() == match })

	s.sdk.SetState("Ready")
	s.sdk.Give("m-another", harness.Roster("cid"))
	s.until("the gate knows the other match", func() bool { return s.roster().MatchID == "m-another" })
	if got := admitted(); got != match {
		t.Errorf("nobody has come for the other match, and it shows %q", got)
	}
}
