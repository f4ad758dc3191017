package frontend_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/frontend"
	tickets "torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/pkg/eventually"
	"torikumi/pkg/problem"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// another is the store of one more frontend, which does nothing but what the test does.
func (s *harness) another(store *miniredis.Miniredis, now func() time.Time) *redisstore.Store {
	client := redis.NewClient(&redis.Options{Addr: store.Addr()})
	other := redisstore.Open(redisstore.Options{
		Client: client, Prefix: s.cfg.RedisPrefix, Name: "another", Logger: slog.New(slog.DiscardHandler),
		Limits: tickets.Limits{Timeout: time.Hour, Gathering: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 100, Now: now},
	})
	s.t.Cleanup(func() {
		other.Stop()
		_ = client.Close() // nothing is under way any more
	})
	return other
}

// assign gives the ticket of a player a match, and waits until they are told.
func (s *harness) assign(player, id string, change func(*torikumiv1.Announcement)) {
	s.t.Helper()
	a := announcement(nil, s.om.one(s.t, id).GetId())
	if change != nil {
		change(a)
	}
	s.director.announce(a)
	s.await(player, id, "ASSIGNED")
}

// refusedPlaying is the answer to who plays by a ticket.
func refusedPlaying(id string) problem.Problem {
	p := problem.New(409, "a player of the ticket still plays a match")
	p.Reason, p.TicketID = "already_playing", id
	return p
}

const mixed = `{queues: [
	{name: session, teams: [{name: a, players: 1}], skill: {attribute: skill, window: 1}},
	{name: squad, teams: [{name: a, players: 5}], skill: {attribute: skill, window: 1}},
	{name: lobby, teams: [{name: a, players: 5}], skill: {attribute: skill, window: 1}, while_playing: true},
	{name: ranked-solo, teams: [{name: a, players: 1}], skill: {attribute: skill, window: 1}, ticket_group: ranked},
	{name: ranked-duo, teams: [{name: a, players: 2}], skill: {attribute: skill, window: 1}, ticket_group: ranked}]}`

// Who plays is not matched again while their match lives, but in queues that allow it:
// not alone, not in a party, not by a backend, at no frontend.
func TestPlayerWhoPlays(t *testing.T) {
	a, b, _ := replicasOf(t, mixed)
	allocated := time.Now().Truncate(time.Millisecond)
	a.director.setLives("m-1")
	made := a.ask(a.token("alice"), inEU, "k-1").ticket(t)
	a.assign("alice", made.ID, func(x *torikumiv1.Announcement) { x.Details.AllocateTime = timestamppb.New(allocated) })
	want := refusedPlaying(made.ID)
	checkProblem(t, b.do("alice", "POST", "/v1/tickets", `{"queue":"squad"}`), want)
	checkProblem(t, b.do("alice", "POST", "/v1/tickets", `{"queue":"squad","party":{"size":2}}`), want)
	checkProblem(t, b.backend("POST", "/v1/tickets", `{"queue":"squad","players":[{"id":"bob"},{"id":"alice"}]}`), want)
	checkProblem(t, b.do("alice", "GET", "/play/eu", ""), want)
	party := a.do("carol", "POST", "/v1/tickets", `{"queue":"squad","party":{"size":2}}`).ticket(t)
	checkProblem(t, b.do("alice", "POST", "/v1/parties/join", `{"code":"`+party.Party.Code+`"}`), want)
	if got := b.get("carol", party.ID); len(got.Players) != 1 {
		t.Errorf("the party: %+v", got)
	}
	if got := b.ask(b.token("alice"), inEU, "k-1").ticket(t); got.ID != made.ID {
		t.Errorf("the request of this match again: %+v", got)
	}
	if r := a.do("bob", "POST", "/v1/tickets", `{"queue":"squad"}`); r.code != http.StatusOK {
		t.Errorf("bob, whose party was refused: %d %s", r.code, r.body)
	}
	if a.om.count() != 2 {
		t.Errorf("%d tickets in Open Match, want those of alice's match and of bob", a.om.count())
	}
	a.director.mu.Lock()
	for _, req := range a.director.asked {
		if w := (&torikumiv1.GetMatchRequest{
			MatchId: "m-1", GameServer: "games/arena-1", Queue: "squad", PlayerId: "alice", AllocateTime: timestamppb.New(allocated),
		}); !proto.Equal(req, w) {
			t.Errorf("the director is asked %v, want %v", req, w)
		}
	}
	a.director.mu.Unlock()
	allowed := b.do("alice", "POST", "/v1/tickets", `{"queue":"lobby"}`).ticket(t)
	b.do("alice", "DELETE", "/v1/tickets/"+allowed.ID, "")

	a.director.setLives()
	if got := b.do("alice", "POST", "/v1/tickets", `{"queue":"squad"}`).ticket(t); got.State != "SEARCHING" {
		t.Errorf("after the match: %+v", got)
	}
}

// What no director knows is not held against a player.
func TestNobodyKnowsWhoPlays(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	s.assign("alice", made.ID, nil)
	again := s.create("alice") // the director does not know
	s.assign("alice", again.ID, nil)
	s.director.setLives("m-1")
	if r := s.do("alice", "POST", "/v1/tickets", inEU); r.code != http.StatusConflict {
		t.Errorf("while the director knows: %d %s", r.code, r.body)
	}
	s.director.down()
	eventually.True(t, "the director is gone", func() bool { return s.metric("torikumi_frontend_directors_subscribed") == "0" })
	s.create("alice")
}

// Who gets a match leaves their other tickets, but in queues that allow it: alone they
// end, with why; of a party the others search on.
func TestMatchEndsOtherSearches(t *testing.T) {
	a, b, _ := replicasOf(t, mixed)
	party := a.do("carol", "POST", "/v1/tickets", `{"queue":"squad","party":{"size":2}}`).ticket(t)
	a.join("alice", party.Party.Code)
	solo := b.do("alice", "POST", "/v1/tickets", `{"queue":"ranked-solo"}`).ticket(t)
	lobby := b.do("alice", "POST", "/v1/tickets", `{"queue":"lobby"}`).ticket(t)
	events := b.events(t.Context(), "alice", solo.ID)
	events.ticket()
	made := a.create("alice")
	a.assign("alice", made.ID, nil)
	if got := events.ticket(); got.State != "CANCELLED" || got.Reason != "a player has got a match with another ticket" {
		t.Errorf("the other ticket: %+v", got)
	}
	eventually.True(t, "the party goes on without alice", func() bool {
		got := b.get("carol", party.ID)
		return len(got.Players) == 1 && got.State == "SEARCHING" && len(a.om.find(party.ID)) == 1
	})
	if got := b.get("alice", lobby.ID); got.State != "SEARCHING" {
		t.Errorf("in the queue that allows it: %+v", got)
	}
	eventually.True(t, "Open Match has three tickets: of the match, the party and the lobby", func() bool { return a.om.count() == 3 })
}

// Who gets a match while they join a party does not stay in it.
func TestMatchMeetsJoin(t *testing.T) {
	s := start(t, func(c *frontend.Config) { c.ReconcileEvery, c.ReconcileRate = 10*time.Millisecond, 1000 })
	one := s.create("alice")
	party := s.do("bob", "POST", "/v1/tickets", `{"queue":"squad","party":{"size":2}}`).ticket(t)
	asked, held := make(chan struct{}), make(chan struct{})
	s.om.setBeforeReply(func(*openmatch.Ticket) { close(asked); <-held })
	joined := make(chan reply, 1)
	raw := s.token("alice")
	go func() {
		r, err := s.try(t.Context(), raw, "POST", "/v1/parties/join", strings.NewReader(`{"code":"`+party.Party.Code+`"}`))
		if err != nil {
			r.body = err.Error()
		}
		joined <- r
	}()
	select {
	case <-asked:
	case r := <-joined:
		t.Fatalf("answered before Open Match was: %d %s", r.code, r.body)
	}
	s.om.setBeforeReply(nil)
	s.assign("alice", one.ID, nil)
	if got := s.get("bob", party.ID); len(got.Players) != 2 {
		t.Errorf("while Open Match is asked: %+v", got)
	}
	close(held)
	if r := <-joined; r.code != http.StatusConflict || !strings.Contains(r.body, one.ID) {
		t.Errorf("alice, who plays, has joined: %d %s", r.code, r.body)
	}
	eventually.True(t, "alice has left", func() bool {
		got := s.get("bob", party.ID)
		return len(got.Players) == 1 && got.State == "SEARCHING" && len(s.om.find(party.ID)) == 1
	})
}

// A ticket whose player has got a match is left also if the frontend died that was to
// do so: when another one looks after it.
func TestMatchEndsOtherSearchesLate(t *testing.T) {
	a, _, store := replicasOf(t, mixed, func(c *frontend.Config) { c.ReconcileEvery, c.ReconcileRate = 10*time.Millisecond, 1000 })
	one := a.create("alice")
	other := a.do("alice", "POST", "/v1/tickets", `{"queue":"squad"}`).ticket(t)
	dead := a.another(store, time.Now)
	c, err := dead.Assign(t.Context(), a.om.one(t, one.ID).GetId(), tickets.Assignment{Connection: "10.0.0.7:7001"})
	if err != nil || !slices.Equal(c.Others, []string{other.ID}) {
		t.Fatalf("assigned: %+v, %v", c, err)
	}
	if _, err := dead.Close(t.Context()); err != nil { // the others are to look after the ticket
		t.Fatal(err)
	}
	if got := a.await("alice", other.ID, "CANCELLED"); got.Reason != "a player has got a match with another ticket" {
		t.Errorf("the other ticket: %+v", got)
	}
}

// In the queues of a group a player has one ticket.
func TestTicketGroup(t *testing.T) {
	a, b, _ := replicasOf(t, mixed)
	made := a.do("alice", "POST", "/v1/tickets", `{"queue":"ranked-solo"}`).ticket(t)
	r := b.do("alice", "POST", "/v1/tickets", `{"queue":"ranked-duo"}`)
	if r.code != http.StatusConflict || !strings.Contains(r.body, fmt.Sprintf("%q", made.ID)) || !strings.Contains(r.body, "already_searching") {
		t.Errorf("a second ticket in the group: %d %s", r.code, r.body)
	}
	b.do("alice", "POST", "/v1/tickets", inEU).ticket(t)
	a.do("alice", "DELETE", "/v1/tickets/"+made.ID, "")
	b.do("alice", "POST", "/v1/tickets", `{"queue":"ranked-duo"}`).ticket(t)
}

// TestMatchOutlastsRetention: where a player plays is known for as long as the match lives,
// and while nobody can say whether it does; one that is over is forgotten in time.
func TestMatchOutlastsRetention(t *testing.T) {
	for _, store := range []string{"memory", "Redis"} {
		t.Run(store, func(t *testing.T) {
			s := start(t, func(c *settings) {
				c.Retention = time.Second
				if store == "Redis" {
					c.Redis = "redis://" + miniredis.RunT(t).Addr()
				}
			})
			s.director.setLives("m-1")
			gone := func(player, id string) bool { return s.do(player, "GET", "/v1/tickets/"+id, "").code == 404 }
			players := 0
			plays := func(match string) (player, id string) {
				t.Helper()
				players++
				player = fmt.Sprint("player-", players)
				made := s.create(player)
				announced := announcement(nil, s.om.one(t, made.ID).GetId())
				announced.Details.MatchId = match
				s.director.announce(announced)
				return player, made.ID
			}
			over := func() {
				t.Helper()
				player, id := plays("m-2")
				eventually.True(t, "a match that is over is forgotten", func() bool { return gone(player, id) })
			}
			var player, id string
			// One that lives is asked for in the last tenth of the second: a machine that is too busy
			// in that moment gets another player.
			eventually.Within(t, 2*time.Minute, "where a player plays is known for as long as the match lives", func() error {
				player, id = plays("m-1")
				over()
				over()
				if r := s.do(player, "POST", "/v1/tickets", `{"queue":"squad"}`); r.code != 409 || !strings.Contains(r.body, "already_playing") {
					return fmt.Errorf("one who plays asks for another: %d %s", r.code, r.body)
				}
				return nil
			})
			s.director.setLives()
			eventually.True(t, "the match is over, and forgotten", func() bool { return gone(player, id) })
		})
	}
}
