package frontend_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// propose asks the players of tickets in Open Match, for a time.
func (d *director) propose(id string, limit time.Duration, omIDs ...string) {
	now := time.Now()
	d.announce(&torikumiv1.Announcement{Proposal: &torikumiv1.Proposal{
		Id: id, TicketIds: omIDs, Players: 4, ExpireTime: timestamppb.New(now.Add(limit)), ReleaseTime: timestamppb.New(now.Add(time.Minute)),
	}})
}

func (d *director) forgetAnswers() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.answers)
}

func (d *director) recall(id string, omIDs ...string) {
	d.announce(&torikumiv1.Announcement{Proposal: &torikumiv1.Proposal{Id: id, TicketIds: omIDs, Recalled: true}})
}

// TestAcceptanceIsFollowed: every change of an acceptance is in streams, at whichever
// frontend, and a long poll answers to who has to do something.
func TestAcceptanceIsFollowed(t *testing.T) {
	a, b, _ := replicas(t)
	made := a.create("alice")
	om := a.om.one(t, made.ID).GetId()
	events := b.events(t.Context(), "alice", made.ID)
	expect := func(state string, accepted ...string) ticket {
		t.Helper()
		got := events.ticket()
		if got.State != state || (got.Acceptance != nil) != (state == "ACCEPTING") || got.Acceptance != nil && (!slices.Equal(got.Acceptance.Accepted, accepted) || got.Acceptance.Players != 4) {
			t.Fatalf("followed: %+v, %+v; want %s, %q", got, got.Acceptance, state, accepted)
		}
		return got
	}
	expect("SEARCHING")
	polled := make(chan ticket, 1)
	go func() { polled <- b.do("alice", "GET", "/v1/tickets/"+made.ID+"/wait?timeout=60s", "").ticket(t) }()
	a.director.propose("p1", time.Minute, "om-other", om)
	if got := expect("ACCEPTING"); got.Acceptance.ProposalID != "p1" || got.Reason == "" || got.Acceptance.ExpireTime == "" {
		t.Errorf("asked: %+v, %+v", got, got.Acceptance)
	}
	if got := <-polled; got.State != "ACCEPTING" {
		t.Errorf("the long poll answers: %+v", got)
	}
	if got := b.do("alice", "POST", "/v1/tickets/"+made.ID+"/accept?proposal_id=p1", "").ticket(t); got.State != "ACCEPTING" {
		t.Errorf("accepted: %+v", got)
	}
	expect("ACCEPTING", "alice")
	a.director.hears(t, "p1", om, true)
	go func() { polled <- b.do("alice", "GET", "/v1/tickets/"+made.ID+"/wait?timeout=60s", "").ticket(t) }()
	a.director.recall("p1", om)
	if got := expect("SEARCHING"); got.Reason != "" {
		t.Errorf("recalled: %+v", got)
	}
	a.director.announce(announcement(nil, om))
	expect("ASSIGNED")
	if got := <-polled; got.State != "ASSIGNED" {
		t.Errorf("who has accepted waits for the end: %+v", got)
	}
}

// TestOutIsToldAfterItIsGone: the director hears that a ticket is out when Open Match does
// not have it any more: it releases the others then.
func TestOutIsToldAfterItIsGone(t *testing.T) {
	s := start(t, nil)
	eventually.True(t, "the director is heard", func() bool { return s.director.count() == 1 })
	s.director.onAnswer = func(a *torikumiv1.ProposalAnswer) {
		s.om.mu.Lock()
		defer s.om.mu.Unlock()
		if _, there := s.om.tickets[a.GetTicketId()]; there && !a.GetAccepted() {
			t.Errorf("%s is out, and still there", a.GetTicketId())
		}
	}
	for _, how := range []string{"decline", "cancel", "lapse"} {
		made := s.create(how)
		om := s.om.one(t, made.ID).GetId()
		limit := time.Minute
		if how == "lapse" {
			limit = time.Second
		}
		// Again and again, as a proposal that is heard too late asks nobody; one that lapses may
		// have, before it is seen.
		eventually.True(t, "it is asked", func() bool {
			s.director.propose(how, limit, om)
			return s.get(how, made.ID).State != "SEARCHING"
		})
		switch how {
		case "decline":
			s.do(how, "POST", "/v1/tickets/"+made.ID+"/decline", "").ticket(t)
		case "cancel":
			s.do(how, "DELETE", "/v1/tickets/"+made.ID, "").ticket(t)
		}
		s.director.hears(t, how, om, false)
		if got := s.get(how, made.ID); got.State != "CANCELLED" || (got.Reason == "") != (how == "cancel") {
			t.Errorf("%s: %+v", how, got)
		}
	}
}

// TestAnswersThatAreWrong: strangers see nothing, and an answer is to what is asked now.
func TestAnswersThatAreWrong(t *testing.T) {
	s := start(t, nil)
	eventually.True(t, "the director is heard", func() bool { return s.director.count() == 1 })
	made := s.create("alice")
	om := s.om.one(t, made.ID).GetId()
	refused := func(player, answer string, code int, reason string) {
		t.Helper()
		if r := s.do(player, "POST", "/v1/tickets/"+made.ID+"/"+answer, ""); r.code != code || !strings.Contains(r.body, reason) {
			t.Errorf("%s: %s: %d %s, want %d %s", player, answer, r.code, r.body, code, reason)
		}
	}
	for _, answer := range []string{"accept", "decline"} {
		refused("alice", answer, http.StatusConflict, "not_accepting") // nothing is asked
	}
	s.director.propose("p1", time.Minute, om)
	eventually.True(t, "alice is asked", func() bool { return s.get("alice", made.ID).State == "ACCEPTING" })
	for _, answer := range []string{"accept", "decline"} {
		refused("bob", answer, http.StatusNotFound, "")
		refused("alice", answer+"?proposal_id=p0", http.StatusConflict, "not_accepting")
		refused("alice", answer+"?proposal=p1", http.StatusBadRequest, "unknown parameter")
		refused("", answer, http.StatusUnauthorized, "missing_token")
	}
	if got := s.get("alice", made.ID); got.State != "ACCEPTING" || len(got.Acceptance.Accepted) != 0 {
		t.Errorf("nobody has answered: %+v", got)
	}
	s.do("alice", "POST", "/v1/tickets/"+made.ID+"/accept", "").ticket(t)
	s.director.recall("p1", om)
	eventually.True(t, "alice searches on", func() bool { return s.get("alice", made.ID).State == "SEARCHING" })
	refused("alice", "accept?proposal_id=p1", http.StatusConflict, "not_accepting")
}

// TestAcceptanceOverGRPC: the same over gRPC, for a party of a backend, which answers for
// all.
func TestAcceptanceOverGRPC(t *testing.T) {
	s := start(t, nil)
	eventually.True(t, "the director is heard", func() bool { return s.director.count() == 1 })
	conn, err := rpc.Dial(s.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := torikumiv1.NewFrontendServiceClient(conn)
	as := func(token string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
	}
	backend := as(s.serviceToken())
	made, err := client.CreateTicket(backend, &torikumiv1.CreateTicketRequest{Queue: "squad", Players: []*torikumiv1.Player{{Id: "alice"}, {Id: "bob"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		answer string
		as     context.Context
		want   []string
	}{{"alice alone", as(s.token("alice")), []string{"alice"}}, {"the backend", backend, []string{"alice", "bob"}}} {
		id := fmt.Sprint("p", i)
		om := s.om.one(t, made.GetId()).GetId()
		s.director.propose(id, time.Minute, om)
		eventually.True(t, "they are asked", func() bool { return s.get("alice", made.GetId()).State == "ACCEPTING" })
		got, err := client.AcceptTicket(c.as, &torikumiv1.AcceptTicketRequest{TicketId: made.GetId(), ProposalId: id})
		if err != nil || !slices.Equal(got.GetAcceptance().GetAccepted(), c.want) {
			t.Errorf("%s: %v, %v", c.answer, got, err)
		}
		s.director.recall(id, om)
		eventually.True(t, "they search on", func() bool { return s.get("alice", made.GetId()).State == "SEARCHING" })
	}
	_, err = client.DeclineTicket(backend, &torikumiv1.DeclineTicketRequest{TicketId: made.GetId()})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("nothing is asked: %v", err)
	}
	s.director.propose("p9", time.Minute, s.om.one(t, made.GetId()).GetId())
	eventually.True(t, "they are asked", func() bool { return s.get("alice", made.GetId()).State == "ACCEPTING" })
	got, err := client.DeclineTicket(as(s.token("bob")), &torikumiv1.DeclineTicketRequest{TicketId: made.GetId(), ProposalId: "p9"})
	if err != nil || got.GetState() != torikumiv1.TicketState_CANCELLED {
		t.Errorf("bob declines for both: %v, %v", got, err)
	}
}

// TestFrontendKilledWhilePlayersAreAsked: a frontend, a process of its own, is killed while
// players answer. What it has confirmed the director hears from the other one; who got no
// answer says it again there, and everybody searches on when the match is not played.
func TestFrontendKilledWhilePlayersAreAsked(t *testing.T) {
	store := miniredis.RunT(t)
	s := prepare(t, func(c *settings) { c.Redis = "redis://" + store.Addr() })
	doomed, other := spawn(t, s.cfg), spawn(t, s.cfg)
	eventually.True(t, "both hear the director", func() bool { return s.director.count() == 2 })
	s.url = other.url
	const players = 40
	ids, oms := make([]string, players), make([]string, players)
	for i := range players {
		ids[i] = s.create(fmt.Sprint("p", i)).ID
		oms[i] = s.om.one(t, ids[i]).GetId()
	}
	events := s.events(t.Context(), "p0", ids[0])
	s.director.propose("m", time.Minute, oms...)
	for i := range players {
		eventually.True(t, "all are asked", func() bool { return s.get(fmt.Sprint("p", i), ids[i]).State == "ACCEPTING" })
	}
	var answered atomic.Int64
	var work sync.WaitGroup
	for worker := range 4 {
		at := *s
		at.url = doomed.url
		work.Go(func() {
			for i := worker; i < players; i += 4 {
				raw := s.token(fmt.Sprint("p", i))
				r, err := at.try(t.Context(), raw, "POST", "/v1/tickets/"+ids[i]+"/accept?proposal_id=m", http.NoBody)
				if answered.Add(1) == players/2 {
					doomed.kill()
				}
				if err == nil && r.code == http.StatusOK {
					continue
				}
				at.url = other.url
				if r, err := at.try(t.Context(), raw, "POST", "/v1/tickets/"+ids[i]+"/accept?proposal_id=m", http.NoBody); err != nil || r.code != http.StatusOK {
					t.Errorf("p%d accepts at the other one: %d %s %v", i, r.code, r.body, err)
				}
			}
		})
	}
	work.Wait()
	// Another director, or this one after a crash, knows nothing of what the dead one told.
	s.director.forgetAnswers()
	for i := range players {
		s.director.hears(t, "m", oms[i], true)
	}
	s.director.recall("m", oms...)
	for i := range players {
		eventually.True(t, "all search on", func() bool { return s.get(fmt.Sprint("p", i), ids[i]).State == "SEARCHING" })
	}
	s.director.announce(announcement(nil, oms[0]))
	for state := ""; state != "ASSIGNED"; {
		state = events.ticket().State
	}
}
