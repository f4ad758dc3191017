package server_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/gameserver/internal/admission"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/harness"
	"torikumi/pkg/contract"
	"torikumi/proto/agones/sdk"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestClosed: nobody new comes in, also after a new start of the gate; who was here comes
// back, and the server does not wait for the others.
func TestClosed(t *testing.T) {
	s := start(t)
	if err := s.api.SetClosed(limited(t), true); gateRefusal(err) != admission.ReasonNotAllocated {
		t.Errorf("without a match: %v", err)
	}
	s.give(match, "ann", "bob", "cy")
	ann := s.player()
	s.join(ann, s.token("ann"))
	if err := s.api.SetClosed(limited(t), true); err != nil {
		t.Fatal(err)
	}
	bobs := s.token("bob")
	for range 2 {
		if _, err := s.api.Admit(limited(t), bobs, ""); gateRefusal(err) != admission.ReasonClosed {
			t.Errorf("a newcomer: %v", err)
		}
		if err := s.stopGate(); err != nil {
			t.Fatal(err)
		}
		s.startGate()
	}
	if back, err := s.api.Admit(limited(t), s.token("ann"), "again"); err != nil || !back.Reconnect {
		t.Errorf("ann again: %+v, %v", back, err)
	}
	if !s.roster().Closed {
		t.Error("the roster does not say that the match is closed")
	}
	if err := s.api.SetClosed(limited(t), false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.api.Admit(limited(t), bobs, ""); err != nil { // the token was not spent
		t.Errorf("bob, once it is open: %v", err)
	}
	if err := s.api.SetClosed(limited(t), true); err != nil {
		t.Fatal(err)
	}
	for _, player := range []string{"ann", "bob"} {
		if err := s.api.Depart(limited(t), player, ""); err != nil {
			t.Fatal(err)
		}
	}
	s.until("the server ends without cy", func() bool { return s.sdk.State() == "Shutdown" })
}

// TestBanned: a banned player is out, and stays out under a new token, after a new start of
// the gate, and by the word of the game server; the next match knows nothing of it.
func TestBanned(t *testing.T) {
	s := start(t)
	s.give(match, "ann", "bob")
	if err := s.api.Ban(limited(t), "eve"); gateRefusal(err) != admission.ReasonNotOnRoster {
		t.Errorf("a stranger: %v", err)
	}
	first, err := s.api.Admit(limited(t), s.token("bob"), "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.api.Ban(limited(t), "bob"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.api.Admit(limited(t), s.token("bob"), "k"); gateRefusal(err) != admission.ReasonBanned {
			t.Errorf("bob again: %v", err)
		}
		refused, err := s.api.Report(limited(t), gateapi.Presence{MatchID: match, Players: []gateapi.Stay{{Player: "bob", Admission: first.Admission}}})
		if err != nil || len(refused) != 1 || refused[0].Reason != admission.ReasonBanned {
			t.Errorf("bob, who is reported: %v, %v", refused, err)
		}
		if err := s.stopGate(); err != nil {
			t.Fatal(err)
		}
		s.startGate()
	}
	if r := s.roster(); len(r.Present) != 0 || len(r.Banned) != 1 || r.Banned[0] != "bob" {
		t.Errorf("roster: %+v", r)
	}
	const next = "m-next"
	s.sdk.SetState("Ready")
	s.give(next, "bob")
	if _, err := s.api.Admit(limited(t), s.issuer.Mint("bob", "red", next), ""); err != nil {
		t.Errorf("bob in the next match: %v", err)
	}
}

// TestBannedPlace: the place of a banned player is offered to others at once, and nobody is
// searched for in a match that is closed.
func TestBannedPlace(t *testing.T) {
	h := startFill(t, func(r *torikumiv1.Roster) {
		r.Backfill = &torikumiv1.BackfillPolicy{Automatic: true, Reserve: durationpb.New(time.Hour)}
	})
	h.admitAll("ann", "bob")
	h.called("ann", "bob")
	if err := h.api.Ban(limited(t), "bob"); err != nil {
		t.Fatal(err)
	}
	if req := h.called("ann"); !slices.Equal(req.GetBanned(), []string{"bob"}) {
		t.Errorf("not to be found: %q", req.GetBanned())
	}
	if err := h.api.SetClosed(limited(t), true); err != nil {
		t.Fatal(err)
	}
	h.stopped()
}

// TestRosterData: the match's data, and who came together.
func TestRosterData(t *testing.T) {
	s := start(t)
	roster := harness.Roster("ann", "bob", "cy")
	roster.Teams[1].Members[0].TicketId = roster.Teams[0].Members[0].GetTicketId()
	s.sdk.Change(func(gs *sdk.GameServer) {
		gs.ObjectMeta.Annotations[contract.MatchDataAnnotation] = `{"match":"m","values":{"map":"arena"},"players":{"ann":{"character":"mage"}}}`
	})
	s.sdk.Give(match, roster)
	s.until("the gate knows the match", func() bool { return s.roster().MatchID == match })
	r := s.roster()
	if !strings.Contains(string(r.Data), `"map":"arena"`) {
		t.Errorf("data: %s", r.Data)
	}
	if e := r.Expected; len(e) != 3 || e[0].Party == "" || e[0].Party != e[1].Party || e[2].Party != "" {
		t.Errorf("parties: %+v", e)
	}
	s.sdk.Change(func(gs *sdk.GameServer) { gs.ObjectMeta.Annotations[contract.MatchDataAnnotation] = `{"rubbish` })
	s.until("rubbish is left out", func() bool { return s.roster().Data == nil })
}
