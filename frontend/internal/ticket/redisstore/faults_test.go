package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
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

// clock is a time that tests move. A store may look at it at any time, when Redis fails.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

// fake makes limits with a clock of their own.
func fake(l ticket.Limits) (*clock, ticket.Limits) {
	c := &clock{now: time.Unix(1_000_000_000, 0)}
	l.Now = c.Now
	return c, l
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

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
	clock, l := fake(limits)
	l.Gone = time.Minute
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
		clock.pass(d)
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
	clock.pass(2 * l.Gone)
	later := open(t, server.Addr(), p, "b", l)
	if n := pass(later, 0, nil) + pass(later, l.Gone-1, nil); n != 0 {
		t.Errorf("%d ended by a restart", n)
	}
	if n := pass(later, 1, nil); n != 1 {
		t.Errorf("%d ended, want the one that nobody asks for", n)
	}
}

// TestAwayForgetsNoMatch: an assigned ticket that would have been forgotten while Redis was
// away is not before there was time to keep it, and neither is by which ticket a player has got
// their match. One that is not kept is forgotten then, with that.
func TestAwayForgetsNoMatch(t *testing.T) {
	server := miniredis.RunT(t)
	clock, l := fake(limits)
	p := prefix()
	s := open(t, server.Addr(), p, "a", l)
	pass := func(d time.Duration, want error) {
		t.Helper()
		clock.pass(d)
		server.FastForward(d)
		if _, err := s.Expire(t.Context()); !errors.Is(err, want) {
			t.Errorf("expire: %v, want %v", err, want)
		}
	}
	has := func(player, want string) {
		t.Helper()
		if got, err := s.Last(t.Context(), player); got.ID != want || (err == nil) != (want != "") {
			t.Errorf("the last match of %s is by %q, %v; want %q", player, got.ID, err, want)
		}
	}
	for id, player := range map[string]string{"1": "alice", "2": "bob"} {
		if _, err := s.Create(t.Context(), draft(id, player, player+"-2")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Assign(t.Context(), "om-"+id, ticket.Assignment{Connection: "192.0.2.1:7777"}); err != nil {
			t.Fatal(err)
		}
	}
	before := ticket.KeepBefore(l.Assigned)
	pass(l.Assigned-before, nil)
	server.SetError("LOADING away")
	pass(2*before, ticket.ErrUnavailable)
	server.SetError("")
	pass(0, nil)
	has("alice", "1")
	has("bob-2", "2")
	old, err := s.AssignedBefore(t.Context(), l.Assigned-before)
	if err != nil || len(old) != 2 {
		t.Fatalf("assigned so long ago: %+v, %v", old, err)
	}
	pass(before-1, nil)
	has("bob", "2")
	alice := draft("1", "alice", "alice-2")
	if err := s.Keep(t.Context(), &alice); err != nil {
		t.Fatal(err)
	}
	pass(1, nil)
	has("alice", "1")
	has("alice-2", "1")
	has("bob", "")
	for player, want := range map[string]bool{"alice-2": true, "bob": false, "bob-2": false} {
		if got := server.Exists("{" + p + "}:played:" + player); got != want {
			t.Errorf("Redis remembers the last match of %s: %v", player, got)
		}
	}
}

// TestAwayIsNotLate: nobody is out who could perhaps not accept; they search on when Open
// Match shows them again.
func TestAwayIsNotLate(t *testing.T) {
	server := miniredis.RunT(t)
	clock, l := fake(limits)
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
			ID: "p", ExpireTime: clock.Now().Add(15 * time.Second), ReleaseTime: clock.Now().Add(time.Minute),
		}}); err != nil {
			t.Fatal(err)
		}
	}
	ask("before", "alice")
	clock.pass(5 * time.Second)
	server.SetError("LOADING away")
	if _, err := s.Expire(t.Context()); !errors.Is(err, ticket.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	server.SetError("")
	clock.pass(time.Second)
	ask("after", "bob")
	for _, c := range []struct {
		pass          time.Duration
		before, after ticket.State
	}{{15 * time.Second, ticket.Accepting, ticket.Cancelled}, {39 * time.Second, ticket.Waiting, ticket.Cancelled}} {
		clock.pass(c.pass)
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
		clock, l := fake(limits)
		l.Queues = func() map[string]time.Duration { return map[string]time.Duration{"q": time.Second} }
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
		clock.pass(time.Second)
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
		clock, l := fake(limits)
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
			clock.pass(c.pass)
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
	more := func(n int) func() error {
		before := count()
		return func() error {
			if made := count() - before; made <= n {
				return fmt.Errorf("%d tickets, want more than %d", made, n)
			}
			return nil
		}
	}
	for range 3 {
		// Each is written to the disk, which may be slow.
		eventually.Within(t, 2*time.Minute, "tickets are made", more(200))
		server.Kill()
		server.Run()
	}
	eventually.Within(t, 2*time.Minute, "tickets are made again", more(50))
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

// TestUnreadable: a ticket that cannot be read, as of a frontend of a later version, holds no other
// up, and the log says so once a minute.
func TestUnreadable(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	clock, l := fake(limits)
	p := prefix()
	log := new(lines)
	s := redisstore.Open(redisstore.Options{Client: client, Prefix: p, Name: "a", Limits: l, Logger: slog.New(slog.NewTextHandler(log, nil))})
	defer s.Stop()
	search := func(id, player string) {
		t.Helper()
		if _, err := s.Create(t.Context(), draft(id, player)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Update(t.Context(), id, ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-" + id}); err != nil {
			t.Fatal(err)
		}
	}
	spoil := func(id string) { server.HSet("{"+p+"}:t:"+id, "s", "99") }
	assign := func(id string) {
		t.Helper()
		if _, err := s.Assign(t.Context(), "om-"+id, ticket.Assignment{Connection: "192.0.2.1:7777"}); err != nil {
			t.Fatal(err)
		}
	}
	propose := func(id string) {
		t.Helper()
		e := ticket.Event{Kind: ticket.Propose, Acceptance: &ticket.Acceptance{ID: "p", Players: 2, ExpireTime: clock.Now().Add(24 * time.Hour), ReleaseTime: clock.Now().Add(24 * time.Hour)}}
		if c, err := s.UpdateOpenMatch(t.Context(), "om-"+id, e); err != nil || !c.Changed() {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	for i, do := range []func(string){spoil, nil, assign, assign, propose, propose} {
		id := fmt.Sprint(i + 1)
		search(id, "player-"+id)
		if do != nil {
			do(id)
		}
		clock.pass(time.Second)
	}
	spoil("3")
	spoil("5")
	ids := func(all []ticket.Ticket, err error) (ids string) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		for _, one := range all {
			ids += one.ID
		}
		return ids
	}
	if got := ids(s.Accepting(t.Context())); got != "6" {
		t.Errorf("accepting: %q, want 6", got)
	}
	if got := ids(s.AssignedBefore(t.Context(), time.Second)); got != "4" {
		t.Errorf("assigned: %q, want 4", got)
	}
	if n := log.count("cannot be read"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	clock.pass(l.Timeout)
	changes, err := s.Expire(t.Context())
	if err != nil {
		t.Error(err)
	}
	expired := map[string]bool{}
	for _, c := range changes {
		expired[c.Ticket.ID] = c.Ticket.State == ticket.Expired
	}
	if !expired["2"] || expired["1"] {
		t.Errorf("expired: %v, want ticket 2", expired)
	}
	if n := log.count("cannot be read"); n != 2 {
		t.Errorf("logged %d times", n)
	}
	if _, err := s.Of(t.Context(), "player-1"); err == nil {
		t.Error("a player whose ticket cannot be read is told that there is none")
	}
}

// TestUnreadableWait: one wait that cannot be read leaves the estimate the others.
func TestUnreadableWait(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	p := prefix()
	s := redisstore.Open(redisstore.Options{Client: client, Prefix: p, Name: "a", Limits: limits, Logger: slog.New(slog.DiscardHandler)})
	defer s.Stop()
	if _, err := server.Push("{"+p+"}:waits:q", "0x"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Waits(t.Context(), "q"); err == nil {
		t.Error("that no wait can be read is not said")
	}
	if _, err := s.Create(t.Context(), draft("1", "alice")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), "1", ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Assign(t.Context(), "om-1", ticket.Assignment{Connection: "192.0.2.1:7777"}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "soon", "1 later"} {
		if _, err := server.Lpush("{"+p+"}:waits:q", text); err != nil {
			t.Fatal(err)
		}
	}
	if waits, err := s.Waits(t.Context(), "q"); err != nil || len(waits) != 1 {
		t.Errorf("%v, %v; want the wait of ticket 1", waits, err)
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count returns how often the log has a text.
func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}
