package frontend_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConcurrentCreates(t *testing.T) {
	s := start(t, nil)
	raw := s.token("alice")
	for range 10 {
		replies := make(chan reply, 8)
		for range cap(replies) {
			go func() {
				r, err := s.try(t.Context(), raw, "POST", "/v1/tickets", strings.NewReader(`{"queue":"session"}`))
				if err != nil {
					r.body = err.Error()
				}
				replies <- r
			}()
		}
		count, id := map[int]int{}, ""
		for range cap(replies) {
			r := <-replies
			count[r.code]++
			if r.code == http.StatusOK {
				id = r.ticket(t).ID
			}
		}
		if count[200] != 1 || count[409] != cap(replies)-1 {
			t.Fatalf("answers by status: %v", count)
		}
		if got := s.do("alice", "DELETE", "/v1/tickets/"+id, "").ticket(t); got.State != "CANCELLED" {
			t.Fatalf("cancelled: %+v", got)
		}
	}
	eventually.True(t, "no ticket is left", func() bool { return s.om.count() == 0 })
}

// TestAssignmentBeforeReply announces tickets whose maker does not know their
// name yet.
func TestAssignmentBeforeReply(t *testing.T) {
	s := start(t, nil)
	s.om.setBeforeReply(func(made *openmatch.Ticket) {
		before := s.metric("torikumi_frontend_announcements_total")
		s.director.announce(announcement(nil, made.GetId()))
		eventually.True(t, "the announcement was heard", func() bool {
			return s.metric("torikumi_frontend_announcements_total") != before
		})
	})
	if got := s.create("alice"); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("ticket: %+v", got)
	}
}

// TestCancelMeetsAssignment lets both come at once, many times: one of them wins,
// for everyone and for good.
func TestCancelMeetsAssignment(t *testing.T) {
	s := start(t, nil)
	const n = 60
	var work sync.WaitGroup
	ids, answers, replies := make([]string, n), make([]string, n), make([]reply, n)
	for i := range n {
		player := fmt.Sprint("p", i)
		ids[i] = s.create(player).ID
		om, raw := s.om.one(t, ids[i]).GetId(), s.token(player)
		work.Go(func() { s.director.announce(announcement(nil, om)) })
		work.Go(func() {
			// A failure shows in the reply.
			replies[i], _ = s.try(t.Context(), raw, "DELETE", "/v1/tickets/"+ids[i], http.NoBody)
		})
	}
	work.Wait()
	eventually.True(t, "all announcements were heard", func() bool {
		return s.metric("torikumi_frontend_announcements_total") == strconv.Itoa(n)
	})
	won := map[string]int{}
	for i, id := range ids {
		answers[i] = replies[i].ticket(t).State
		won[answers[i]]++
		if got := s.get(fmt.Sprint("p", i), id).State; got != answers[i] {
			t.Errorf("%s: answered %q, now %q", id, answers[i], got)
		}
	}
	if won["ASSIGNED"]+won["CANCELLED"] != n {
		t.Errorf("states: %v", won)
	}
	total := 0
	for _, state := range []string{"ASSIGNED", "CANCELLED"} {
		v, _ := strconv.Atoi(s.metric(`torikumi_frontend_tickets_total{queue="session",state="` + state + `"}`))
		total += v
	}
	if total != n {
		t.Errorf("%d ends counted, want %d", total, n)
	}
}

// TestOpenMatchRestart: Open Match loses all tickets; it gets new ones, one for
// each that waits, and all end well.
func TestOpenMatchRestart(t *testing.T) {
	s := start(t, func(c *settings) { c.ReconcileRate = 1000 })
	ids := map[string]string{}
	for i := range 20 {
		player := fmt.Sprint("p", i)
		ids[player] = s.create(player).ID
	}
	stream := s.events(t.Context(), "p0", ids["p0"])
	stream.ticket()
	old := s.om.one(t, ids["p0"]).GetId()
	s.om.down()
	s.om.lose()
	// Nothing is made again before the watcher, p0, has heard: it is the first.
	s.om.setRefuse(status.Error(codes.Unavailable, "not yet"))
	s.om.up()
	if got := stream.ticket(); got.State != "SEARCHING" || got.Reason == "" {
		t.Errorf("the watcher heard %+v", got)
	}
	s.om.setRefuse(nil)
	eventually.True(t, "all tickets are back", func() bool { return s.om.count() == len(ids) })
	// A director that announces what was before the restart changes nothing.
	s.director.announce(announcement(nil, old+"-stale", old))
	for player, id := range ids {
		om := s.om.one(t, id).GetId()
		s.director.announce(announcement(nil, om))
		if got := s.await(player, id, "ASSIGNED"); got.JoinToken == nil {
			t.Errorf("%s: %+v", player, got)
		}
	}
	s.om.mu.Lock()
	defer s.om.mu.Unlock()
	for _, id := range ids {
		if s.om.created[id] != 2 {
			t.Errorf("%s: %d tickets made, want 2", id, s.om.created[id])
		}
	}
}

// TestWithdrawn: the match is not played, as too few were left. Tickets that were not
// told of it yet are made again in Open Match, which does not match the old ones any
// more, whether the frontend hears of it or reads it.
func TestWithdrawn(t *testing.T) {
	s := start(t, nil)
	again := func(player, id, old string) {
		t.Helper()
		var now []*openmatch.Ticket
		eventually.True(t, player+"'s ticket is made again", func() bool {
			now = slices.DeleteFunc(s.om.find(id), func(o *openmatch.Ticket) bool { return o.GetId() == old })
			return len(now) == 1
		})
		s.director.announce(announcement(nil, now[0].GetId()))
		s.await(player, id, "ASSIGNED")
	}
	withdrawn := func(ids ...string) *torikumiv1.Announcement {
		return &torikumiv1.Announcement{TicketIds: ids, Details: &torikumiv1.AssignmentDetails{MatchId: "m-0"}}
	}
	heard, told := s.create("alice"), s.create("bob")
	old := s.om.one(t, heard.ID).GetId()
	s.director.announce(announcement(nil, s.om.one(t, told.ID).GetId()))
	s.await("bob", told.ID, "ASSIGNED")
	s.director.announce(withdrawn(old, s.om.one(t, told.ID).GetId(), "another-frontend's"))
	again("alice", heard.ID, old)
	if got := s.get("bob", told.ID); got.State != "ASSIGNED" {
		t.Errorf("bob, who was told where to go: %+v", got)
	}

	read, other := s.create("carol"), s.create("dave")
	old = s.om.one(t, read.ID).GetId()
	s.om.assign(old, assignment(t, withdrawn()))
	s.om.assign(s.om.one(t, other.ID).GetId(), &openmatch.Assignment{}) // another director's, which has more to say
	s.director.down()
	s.director.up() // everything is read
	eventually.True(t, "the director is heard again", func() bool { return s.director.count() > 0 })
	again("carol", read.ID, old)
	if n := len(s.om.find(other.ID)); n != 1 {
		t.Errorf("dave has %d tickets", n)
	}
}

// TestRecreateRefused: Open Match is back but takes nothing; the tickets wait, and
// a cancel ends them all the same.
func TestRecreateRefused(t *testing.T) {
	s := start(t, func(c *settings) { c.ReconcileRate = 1000 })
	alice, bob := s.create("alice"), s.create("bob")
	s.om.down()
	s.om.lose()
	s.om.setRefuse(status.Error(codes.Unavailable, "not yet"))
	s.om.up()
	eventually.True(t, "alice's ticket is known to be lost", func() bool { return s.get("alice", alice.ID).Reason != "" })
	if got := s.do("alice", "DELETE", "/v1/tickets/"+alice.ID, "").ticket(t); got.State != "CANCELLED" {
		t.Errorf("cancelled: %+v", got)
	}
	s.om.setRefuse(nil)
	eventually.True(t, "bob's ticket is back", func() bool { return len(s.om.find(bob.ID)) == 1 })
	var got ticket
	eventually.True(t, "the frontend knows", func() bool { got = s.get("bob", bob.ID); return got.Reason == "" })
	if got.State != "SEARCHING" {
		t.Errorf("bob: %+v", got)
	}
	// One that was under way when she cancelled is deleted.
	eventually.True(t, "no Open Match ticket is there for a cancelled ticket", func() bool { return len(s.om.find(alice.ID)) == 0 })
}

// TestDirectorRestart misses an announcement while the director is away.
func TestDirectorRestart(t *testing.T) {
	s := start(t, nil)
	alice := s.create("alice")
	om := s.om.one(t, alice.ID).GetId()
	s.director.down()
	s.om.assign(om, assignment(t, announcement(nil)))
	s.director.up()
	got := s.await("alice", alice.ID, "ASSIGNED")
	s.checkJoin(got.JoinToken.JWT, "alice", "")
	bob := s.create("bob")
	eventually.True(t, "the director is heard again", func() bool { return s.director.count() > 0 })
	s.director.announce(announcement(nil, s.om.one(t, bob.ID).GetId()))
	s.await("bob", bob.ID, "ASSIGNED")
}

// TestCancelWhileOpenMatchIsDown: the ticket ends at once; Open Match's is deleted
// when it can be, and whatever is announced meanwhile comes too late.
func TestCancelWhileOpenMatchIsDown(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	om := s.om.one(t, made.ID).GetId()
	s.om.down()
	if got := s.do("alice", "DELETE", "/v1/tickets/"+made.ID, "").ticket(t); got.State != "CANCELLED" {
		t.Fatalf("cancelled: %+v", got)
	}
	s.director.announce(announcement(nil, om))
	eventually.True(t, "the announcement was heard", func() bool { return s.metric("torikumi_frontend_announcements_total") == "1" })
	if got := s.get("alice", made.ID); got.State != "CANCELLED" {
		t.Errorf("after the announcement: %+v", got)
	}
	s.om.up()
	eventually.True(t, "the ticket is deleted", func() bool { return s.om.count() == 0 })
}

func TestExpiry(t *testing.T) {
	s := start(t, func(c *settings) { c.TicketTimeout, c.EndedRetention = 3*time.Second, 5*time.Second })
	made := s.create("alice")
	stream := s.events(t.Context(), "alice", made.ID)
	got := stream.ticket()
	if got.State == "SEARCHING" { // else it has just expired
		got = stream.ticket()
	}
	if got.State != "EXPIRED" || got.Reason == "" {
		t.Errorf("watcher heard %+v", got)
	}
	eventually.True(t, "the ticket is deleted", func() bool { return s.om.count() == 0 })
	eventually.True(t, "the ticket is forgotten", func() bool {
		return s.do("alice", "GET", "/v1/tickets/"+made.ID, "").code == http.StatusNotFound
	})
	s.create("alice")
}

// TestReconcileRate: however many wait, Open Match is read at the set rate.
func TestReconcileRate(t *testing.T) {
	const rate = 50
	s := start(t, func(c *settings) { c.ReconcileRate, c.ReconcileEvery = rate, time.Millisecond })
	begin := time.Now()
	before := s.om.reads.Load()
	for i := range 100 {
		s.create(fmt.Sprint("p", i))
	}
	eventually.True(t, "thirty reads", func() bool { return s.om.reads.Load() >= before+30 })
	reads := s.om.reads.Load() - before
	if most := int64(time.Since(begin).Seconds()*rate) + 2; reads > most {
		t.Errorf("%d reads in %v, want at most %d", reads, time.Since(begin), most)
	}
}

// TestLostReply: Open Match makes a ticket, but its answer is lost. The player
// hears of it and can search; the unknown ticket's assignment changes nothing.
func TestLostReply(t *testing.T) {
	s := start(t, nil)
	s.om.setLoseReplies(true)
	if r := s.do("alice", "POST", "/v1/tickets", `{"queue":"session"}`); r.code != http.StatusServiceUnavailable {
		t.Fatalf("status %d: %s", r.code, r.body)
	}
	s.om.setLoseReplies(false)
	made := s.create("alice")
	s.director.announce(announcement(nil, "om-1"))
	eventually.True(t, "the announcement was heard", func() bool { return s.metric("torikumi_frontend_announcements_total") == "1" })
	if got := s.get("alice", made.ID); got.State != "SEARCHING" {
		t.Errorf("after the unknown ticket's assignment: %+v", got)
	}
}

// TestOpenMatchHangs: the player hears of it in time, and what was made after all
// is nobody's.
func TestOpenMatchHangs(t *testing.T) {
	t.Parallel()
	s := start(t, nil)
	release := make(chan struct{})
	s.om.setBeforeReply(func(*openmatch.Ticket) { <-release })
	r := s.do("alice", "POST", "/v1/tickets", `{"queue":"session"}`)
	close(release)
	if r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, "matchmaker_unavailable") {
		t.Fatalf("status %d: %s", r.code, r.body)
	}
	if got := s.create("alice"); got.State != "SEARCHING" {
		t.Errorf("ticket: %+v", got)
	}
}

// TestStopWithoutOpenMatch: the stop does not wait for ever for what it cannot
// delete.
func TestStopWithoutOpenMatch(t *testing.T) {
	s := start(t, func(c *settings) { c.ShutdownTimeout = 100 * time.Millisecond })
	s.create("alice")
	s.om.down()
	s.stop()
}

// TestStopDuringCreate: a ticket that is made while the service stops is deleted.
func TestStopDuringCreate(t *testing.T) {
	s := start(t, nil)
	reached, release := make(chan struct{}), make(chan struct{})
	s.om.setBeforeReply(func(*openmatch.Ticket) { close(reached); <-release }) // for one ticket alone
	answer := make(chan reply, 1)
	raw := s.token("alice")
	go func() {
		r, err := s.try(context.Background(), raw, "POST", "/v1/tickets", strings.NewReader(`{"queue":"session"}`))
		if err != nil {
			r.body = err.Error()
		}
		answer <- r
	}()
	<-reached
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.stop() }()
	eventually.True(t, "it stops", func() bool {
		r, err := s.try(t.Context(), "", "GET", "/readyz", http.NoBody)
		return err != nil || r.code == http.StatusServiceUnavailable
	})
	close(release)
	<-stopped
	// It depends on which came first; what counts is that nothing is left.
	if r := <-answer; r.code != http.StatusServiceUnavailable && r.code != http.StatusOK {
		t.Errorf("answer: %d %s", r.code, r.body)
	}
	if got := s.om.count(); got != 0 {
		t.Errorf("%d tickets left in Open Match", got)
	}
}

// TestTwoInOneProcess: two frontends share nothing but Open Match and director.
func TestTwoInOneProcess(t *testing.T) {
	s := start(t, nil)
	other := *s
	other.run()
	eventually.True(t, "both hear the director", func() bool { return s.director.count() == 2 })
	a, b := s.create("alice"), other.create("alice")
	if r := other.do("alice", "GET", "/v1/tickets/"+a.ID, ""); r.code != http.StatusNotFound {
		t.Errorf("a ticket of the other: %d", r.code)
	}
	s.director.announce(announcement(nil, s.om.one(t, a.ID).GetId(), s.om.one(t, b.ID).GetId()))
	s.await("alice", a.ID, "ASSIGNED")
	other.await("alice", b.ID, "ASSIGNED")
}
