package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/ticket/redisstore"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

var limits = ticket.Limits{Timeout: 10 * time.Minute, Assigned: time.Hour, Ended: time.Minute, Tickets: 100_000}

func draft(id string, players ...string) ticket.Ticket {
	t := ticket.Ticket{ID: id, Queue: "q"}
	for _, p := range players {
		t.Players = append(t.Players, &torikumiv1.Player{Id: p})
	}
	return t
}

// lossy passes connections on to Redis, and breaks some of them after Redis has
// done what it was told and before it can say so.
func lossy(t *testing.T, redis string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	t.Cleanup(func() { l.Close(); work.Wait() })
	pass := func(client net.Conn) {
		defer client.Close()
		server, err := net.Dial("tcp", redis)
		if err != nil {
			return
		}
		defer server.Close()
		work.Go(func() { _, _ = io.Copy(server, client); server.Close() })
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil || rand.IntN(8) == 0 {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	work.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { pass(client) })
		}
	})
	return l.Addr().String()
}

// TestLostAnswers: a call whose answer was lost is made again, and comes to the
// same as if it had not been.
func TestLostAnswers(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		client := redis.NewClient(&redis.Options{Addr: lossy(t, address), MaxRetries: 50, MinRetryBackoff: -1, MaxRetryBackoff: -1})
		s := redisstore.Open(redisstore.Options{Client: client, Prefix: prefix(), Name: "a", Limits: limits, Logger: slog.New(slog.DiscardHandler)})
		defer client.Close()
		defer s.Stop()
		for i := range 100 {
			id := fmt.Sprint(i)
			if _, err := s.Create(t.Context(), draft(id, id)); err != nil {
				t.Fatalf("create %s: %v", id, err)
			}
			c, err := s.Update(t.Context(), id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id})
			if err != nil || !c.Changed() || c.Effect != ticket.Nothing {
				t.Fatalf("attach %s: %+v, %v", id, c, err)
			}
			if i%2 == 0 {
				c, err = s.Assign(t.Context(), "om-"+id, ticket.Assignment{Connection: "192.0.2.1:7777"})
			} else {
				c, err = s.Update(t.Context(), id, ticket.Event{Kind: ticket.Cancel})
			}
			if err != nil || !c.Changed() || (c.Effect == ticket.DeleteOpenMatch) != (i%2 == 1) {
				t.Fatalf("end %s: %+v, %v", id, c, err)
			}
			var conflict *ticket.ConflictError
			if _, err := s.Create(t.Context(), draft(id+"b", id)); err != nil {
				t.Fatalf("create %s again: %v", id, err)
			}
			joinWithLosses(t, s, id)
			if _, err := s.Create(t.Context(), draft(id+"c", id)); !errors.As(err, &conflict) || conflict.ID != id+"b" {
				t.Fatalf("a third time: %v", err)
			}
		}
	})
}

// joinWithLosses has a player join a party, which completes it, and ends it.
func joinWithLosses(t *testing.T, s *redisstore.Store, id string) {
	t.Helper()
	lead := draft(id+"p", id+"lead")
	lead.Party = &ticket.Party{Leader: id + "lead", Size: 2, Code: id}
	if _, err := s.Create(t.Context(), lead); err != nil {
		t.Fatalf("gather %s: %v", id, err)
	}
	one := ticket.Event{Kind: ticket.Join, Player: &torikumiv1.Player{Id: id + "one"}}
	steps := []ticket.Event{one, {Kind: ticket.Cancel}}
	for i, e := range steps {
		if c, err := s.Update(t.Context(), lead.ID, e); err != nil || !c.Changed() || (c.Effect == ticket.CreateOpenMatch) != (i == 0) {
			t.Fatalf("%v of %s: %+v, %v", e.Kind, id, c, err)
		}
	}
	if _, err := s.Create(t.Context(), draft(id+"free", id+"one")); err != nil {
		t.Fatalf("who has left is held: %v", err)
	}
}

// TestAwayIsNotGone: nobody has gone only because it could not be noted that they are
// there, or because all frontends were down.
func TestAwayIsNotGone(t *testing.T) {
	server := miniredis.RunT(t)
	var mu sync.Mutex
	now := time.Unix(1_000_000_000, 0)
	l := limits
	l.Gone = time.Minute
	l.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	p := prefix()
	s := open(t, server.Addr(), p, "a", l)
	if _, err := s.Create(t.Context(), draft("1", "alice")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), "1", ticket.Event{Kind: ticket.Attach, OpenMatchID: "om"}); err != nil {
		t.Fatal(err)
	}
	// pass returns what is ended after a while.
	pass := func(s *redisstore.Store, d time.Duration, want error) int {
		t.Helper()
		mu.Lock()
		now = now.Add(d)
		mu.Unlock()
		ended, err := s.Expire(t.Context())
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		return len(ended)
	}
	server.SetError("LOADING away")
	pass(s, 2*l.Gone, ticket.ErrUnavailable)
	server.SetError("")
	if n := pass(s, 0, nil) + pass(s, l.Gone-1, nil); n != 0 {
		t.Errorf("%d ended by an outage", n)
	}
	// Another frontend begins, after a time in which there was none.
	mu.Lock()
	now = now.Add(2 * l.Gone)
	mu.Unlock()
	later := open(t, server.Addr(), p, "b", l)
	if n := pass(later, 0, nil) + pass(later, l.Gone-1, nil); n != 0 {
		t.Errorf("%d ended by a restart", n)
	}
	if n := pass(later, 1, nil); n != 1 {
		t.Errorf("%d ended, want the one that nobody asks for", n)
	}
}

// TestAwayIsNotLate: nobody is out who could perhaps not accept; they search on when Open
// Match shows them again.
func TestAwayIsNotLate(t *testing.T) {
	server := miniredis.RunT(t)
	now := time.Unix(1_000_000_000, 0)
	l := limits
	l.Now = func() time.Time { return now }
	s := open(t, server.Addr(), prefix(), "a", l)
	ask := func(id, player string) {
		t.Helper()
		if _, err := s.Create(t.Context(), draft(id, player)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.UpdateOpenMatch(t.Context(), "om-"+id, ticket.Event{Kind: ticket.Propose, Acceptance: &ticket.Acceptance{
			ID: "p", ExpireTime: now.Add(15 * time.Second), ReleaseTime: now.Add(time.Minute),
		}}); err != nil {
			t.Fatal(err)
		}
	}
	ask("before", "alice")
	now = now.Add(5 * time.Second)
	server.SetError("LOADING away")
	if _, err := s.Expire(t.Context()); !errors.Is(err, ticket.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	server.SetError("")
	now = now.Add(time.Second)
	ask("after", "bob")
	for _, c := range []struct {
		pass          time.Duration
		before, after ticket.State
	}{{15 * time.Second, ticket.Accepting, ticket.Cancelled}, {39 * time.Second, ticket.Waiting, ticket.Cancelled}} {
		now = now.Add(c.pass)
		if _, err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]ticket.State{"before": c.before, "after": c.after} {
			if got, err := s.Get(t.Context(), id); err != nil || got.State != want {
				t.Errorf("%v later %s is %v, %v, want %v", c.pass, id, got.State, err, want)
			}
		}
	}
}

// TestNobodyIsAskedForEver: the list of those who are asked has nobody else.
func TestNobodyIsAskedForEver(t *testing.T) {
	server := miniredis.RunT(t)
	p := prefix()
	s := open(t, server.Addr(), p, "a", limits)
	for _, over := range []ticket.Event{{Kind: ticket.Recall, Proposal: "p"}, {Kind: ticket.Decline}, {Kind: ticket.Cancel}, {Kind: ticket.MarkLost}} {
		id := over.Kind.String()
		if _, err := s.Create(t.Context(), draft(id, id)); err != nil {
			t.Fatal(err)
		}
		asked := &ticket.Acceptance{ID: "p", ExpireTime: time.Now().Add(time.Hour), ReleaseTime: time.Now().Add(time.Hour)}
		over.OpenMatchID = "om-" + id
		for i, e := range []ticket.Event{{Kind: ticket.Attach, OpenMatchID: over.OpenMatchID}, {Kind: ticket.Propose, OpenMatchID: over.OpenMatchID, Acceptance: asked}, over} {
			if c, err := s.Update(t.Context(), id, e); err != nil || !c.Changed() {
				t.Fatalf("%v: %+v, %v", e.Kind, c, err)
			}
			members, err := server.ZMembers("{" + p + "}:accepting")
			if n := len(members); (n == 1) != (i == 1) {
				t.Errorf("after %v %d are asked, %v", e.Kind, n, err)
			}
		}
	}
}

// TestEndedByOlderFrontend: one that does not know the lists of queues leaves the tickets
// in them that it ends. However many these are, the others still end by their queue's limit.
func TestEndedByOlderFrontend(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		now := time.Unix(1_000_000_000, 0)
		l := limits
		l.Now, l.Queues = func() time.Time { return now }, func() map[string]time.Duration { return map[string]time.Duration{"q": time.Second} }
		p := prefix()
		s := open(t, address, p, "a", l)
		client := redis.NewClient(&redis.Options{Addr: address})
		defer client.Close()
		const left = 1500
		list := "{" + p + "}:waiting:q"
		for i := range left {
			client.ZAdd(t.Context(), list, redis.Z{Score: 1, Member: fmt.Sprintf("%016xgone-%d", i, i)})
		}
		made, err := s.Create(t.Context(), draft("last", "alice"))
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
		ended, err := s.Expire(t.Context())
		if err != nil || len(ended) != 1 || ended[0].Ticket.ID != made.ID {
			t.Errorf("ended %+v, %v", ended, err)
		}
		if n, err := client.ZCard(t.Context(), list).Result(); err != nil || n != 0 {
			t.Errorf("%d are left in the list, %v", n, err)
		}
	})
}

// TestFrontendDies: a ticket whose frontend died while Open Match was asked holds
// its player only for a while; one that had one before waits again.
func TestFrontendDies(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		now := time.Unix(1_000_000_000, 0)
		l := limits
		l.Now = func() time.Time { return now }
		p := prefix()
		dead, s := open(t, address, p, "dead", l), open(t, address, p, "a", l)
		step := func(s *redisstore.Store, id string, e ticket.Event) {
			t.Helper()
			if c, err := s.Update(t.Context(), id, e); err != nil || !c.Changed() {
				t.Fatalf("%v: %+v, %v", e.Kind, c, err)
			}
		}
		for _, id := range []string{"new", "lost"} {
			if _, err := dead.Create(t.Context(), draft(id, id)); err != nil {
				t.Fatal(err)
			}
		}
		step(dead, "lost", ticket.Event{Kind: ticket.Attach, OpenMatchID: "om"})
		step(dead, "lost", ticket.Event{Kind: ticket.MarkLost, OpenMatchID: "om"})
		step(dead, "lost", ticket.Event{Kind: ticket.BeginRetry})
		for _, c := range []struct {
			pass     time.Duration
			newState ticket.State
			lost     ticket.State
		}{{29 * time.Second, ticket.Creating, ticket.Recreating}, {2 * time.Second, ticket.None, ticket.Lost}} {
			now = now.Add(c.pass)
			if _, err := s.Expire(t.Context()); err != nil {
				t.Fatal(err)
			}
			for id, want := range map[string]ticket.State{"new": c.newState, "lost": c.lost} {
				got, err := s.Get(t.Context(), id)
				if got.State != want || (err != nil) != (want == ticket.None) {
					t.Errorf("after %v %s is %v, %v, want %v", c.pass, id, got.State, err, want)
				}
			}
		}
		if _, err := s.Create(t.Context(), draft("again", "new")); err != nil {
			t.Errorf("the player is still held: %v", err)
		}
		if c, err := dead.Update(t.Context(), "lost", ticket.Event{Kind: ticket.Attach, OpenMatchID: "late"}); err != nil || c.Effect != ticket.DeleteOpenMatch {
			t.Errorf("it was not dead but slow: %+v, %v", c, err)
		}
	})
}

// TestPowerCut kills Redis again and again under load: what it has confirmed is
// there afterwards, and whoever watches hears of what comes then.
func TestPowerCut(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.Address, prefix(), "a", limits)
	confirmed := map[string]ticket.State{}
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprint(w, "-", i)
				_, err := s.Create(ctx, draft(id, id))
				state := ticket.Creating
				if err == nil {
					var c ticket.Change
					if c, err = s.Update(ctx, id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id}); err == nil {
						state = c.Ticket.State
					}
				} else {
					state = ticket.None
				}
				mu.Lock()
				confirmed[id] = state
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(confirmed) }
	for range 3 {
		before := count()
		eventually.True(t, "tickets are made", func() bool { return count() > before+200 })
		server.Kill()
		server.Run()
	}
	before := count()
	eventually.True(t, "tickets are made again", func() bool { return count() > before+50 })
	cancel()
	work.Wait()
	lost := 0
	for id, want := range confirmed {
		if got, err := s.Get(t.Context(), id); err != nil && want != ticket.None || err == nil && got.State < want {
			lost++
			t.Logf("%s was confirmed as %v, and is %v, %v", id, want, got.State, err)
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d are lost", lost, len(confirmed))
	}

	if _, err := s.Create(t.Context(), draft("watched", "w")); err != nil {
		t.Fatal(err)
	}
	_, changed, err := s.Watch(t.Context(), "watched")
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	server.Run()
	select {
	case <-changed:
	case <-time.After(30 * time.Second):
		t.Error("a watcher does not hear that changes may have been missed")
	}
}
