package frontend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/frontend/frontend"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
)

// TestSentinelFailover kills the master of Redis while players make tickets at two
// frontends. What the replica had is there, and so is what is made afterwards. What it had not
// got yet may be gone: then its player is told, by a 404 and on the stream, and can ask again.
// Nobody searches with two tickets, and no answer is anything but a ticket or a problem that
// says when to come again.
func TestSentinelFailover(t *testing.T) {
	for name, lags := range map[string]bool{"a replica that has all": false, "a replica that lags": true} {
		t.Run(name, func(t *testing.T) { failOver(t, lags) })
	}
}

// seeker is a player who makes a ticket, and another one for each that is there.
type seeker struct {
	mu sync.Mutex
	// before are those that were asked for while the master lived, after the others.
	before, after []string
	// sure are those that an answer has confirmed. What is only in the way may come to
	// nothing: its frontend could not write down that Open Match has it.
	sure map[string]bool
}

func (s *seeker) made(id string, killed, sure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sure[id] = s.sure[id] || sure
	if killed {
		s.after = append(s.after, id)
	} else {
		s.before = append(s.before, id)
	}
}

func (s *seeker) hasAgain() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.after) > 0 }

// seekers are players who make tickets at several frontends.
type seekers struct {
	t         *testing.T
	at        []*harness
	all       []*seeker
	stop      atomic.Bool
	killed    atomic.Bool
	confirmed atomic.Int64

	mu            sync.Mutex
	begin         time.Time
	last, longest time.Duration
}

// seek makes tickets until it is to stop.
func (c *seekers) seek(i int, raw string) {
	for n := i; !c.stop.Load(); n++ {
		at, killed := c.at[n%len(c.at)], c.killed.Load()
		r, err := at.try(c.t.Context(), raw, "POST", "/v1/tickets", strings.NewReader(inEU))
		var got struct {
			ID       string `json:"id"`
			TicketID string `json:"ticket_id"`
		}
		if err == nil {
			err = json.Unmarshal([]byte(r.body), &got)
		}
		switch {
		case err != nil:
			c.t.Errorf("p%d: %v", i, err)
			return
		case r.code == http.StatusOK:
			c.all[i].made(got.ID, killed, true)
			c.confirmed.Add(1)
			c.mu.Lock()
			now := time.Since(c.begin)
			c.longest, c.last = max(c.longest, now-c.last), now
			c.mu.Unlock()
		case r.code == http.StatusConflict: // it is there: it ends, so that another can be made
			c.all[i].made(got.TicketID, killed, false)
			_, _ = at.try(c.t.Context(), raw, "DELETE", "/v1/tickets/"+got.TicketID, http.NoBody)
		case r.code != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "":
			c.t.Errorf("p%d makes a ticket: %d %s", i, r.code, r.body)
		}
	}
}

func failOver(t *testing.T, lags bool) {
	sentinels := redistest.StartSentinels(t)
	a := start(t, func(c *frontend.Config) {
		c.Redis, c.RedisMaster, c.RedisSentinels = "redis://any:6379", sentinels.Name, sentinels.Addresses
		c.EndedRetention = time.Hour // those that have ended are looked at too
		c.GoneAfter = 0              // however long the failover takes
	})
	twin := *a
	b := &twin
	b.run()
	early := a.create("early")
	events := b.events(t.Context(), "early", early.ID)
	events.ticket()
	kept := make(map[string]string) // on the replica, by player
	for i := range 10 {
		player := fmt.Sprint("kept-", i)
		kept[player] = a.create(player).ID
	}
	sentinels.Replicated(t)

	c := &seekers{t: t, at: []*harness{a, b}, begin: time.Now()}
	var work sync.WaitGroup
	defer work.Wait()
	defer c.stop.Store(true)
	for i := range 20 {
		c.all = append(c.all, &seeker{sure: make(map[string]bool)})
		raw := a.token(fmt.Sprint("p", i))
		work.Go(func() { c.seek(i, raw) })
	}
	eventually.True(t, "tickets are made", func() bool { return c.confirmed.Load() > 100 })
	late := make(map[string]string) // on the master alone
	var missing *eventStream
	if lags {
		sentinels.Lag(t)
		for i := range 10 {
			player := fmt.Sprint("late-", i)
			late[player] = b.create(player).ID
		}
		missing = b.events(t.Context(), "late-0", late["late-0"])
		missing.ticket()
	}
	sentinels.KillMaster(t)
	c.killed.Store(true)
	for i, p := range c.all {
		eventually.Within(t, 2*time.Minute, fmt.Sprintf("p%d makes a ticket again", i), func() error {
			if !p.hasAgain() {
				return errors.New("none")
			}
			return nil
		})
	}
	c.stop.Store(true)
	work.Wait()
	for i, at := range c.at { // each finds the new master by itself
		eventually.True(t, fmt.Sprintf("frontend %d has Redis again", i), func() bool {
			return at.do("early", "GET", "/v1/tickets", "").code == http.StatusOK
		})
	}
	t.Logf("%d tickets confirmed; none for %v when the master died", c.confirmed.Load(), c.longest.Round(time.Millisecond))

	for player, id := range kept {
		if got := a.get(player, id); got.State != "SEARCHING" {
			t.Errorf("%s, whose ticket the replica had: %+v", player, got)
		}
	}
	for i, p := range c.all {
		c.check(fmt.Sprint("p", i), p)
	}
	for player, id := range late {
		if r := a.do(player, "GET", "/v1/tickets/"+id, ""); r.code != http.StatusNotFound {
			t.Fatalf("%s, whose ticket the replica had not: %d %s", player, r.code, r.body)
		}
		a.create(player)
	}
	if lags {
		if got := missing.event(); got["event"] != "problem" || !strings.Contains(got["data"], `"status":404`) {
			t.Errorf("who follows a ticket that is lost hears %v", got)
		}
	}
	// Who waited all the time still does, and is told.
	a.director.announce(announcement(nil, a.om.one(t, early.ID).GetId()))
	if got := events.ticket(); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("who waited: %+v", got)
	}
}

// check looks what has become of a player's tickets.
func (c *seekers) check(player string, p *seeker) {
	a, b := c.at[0], c.at[1]
	searching, lost := make(map[string]bool), 0
	for i, id := range slices.Concat(p.before, p.after) {
		r := c.at[i%2].do(player, "GET", "/v1/tickets/"+id, "")
		switch {
		case r.code == http.StatusNotFound && i < len(p.before):
			lost++ // which the replica had not
		case r.code == http.StatusNotFound && !p.sure[id]:
		case r.code != http.StatusOK:
			c.t.Errorf("%s reads ticket %d of %d, of which %d were made before the master died: %d %s", player, i+1, len(p.before)+len(p.after), len(p.before), r.code, r.body)
		case r.ticket(c.t).State == "SEARCHING":
			searching[id] = true
		}
	}
	if len(searching) > 1 {
		c.t.Errorf("%s searches with %d tickets: %v", player, len(searching), searching)
	}
	if lost > 0 {
		c.t.Logf("%s has lost %d tickets of %d", player, lost, len(p.before))
	}
	// Whoever has none can ask again, and who has one is told which.
	var where struct{ Tickets []ticket }
	decode(c.t, b.do(player, "GET", "/v1/tickets", ""), http.StatusOK, &where)
	if len(where.Tickets) != len(searching) || len(searching) == 1 && !searching[where.Tickets[0].ID] {
		c.t.Errorf("%s is told %+v, and searches with %v", player, where.Tickets, searching)
	}
	r := a.do(player, "POST", "/v1/tickets", inEU)
	if r.code != http.StatusOK && (r.code != http.StatusConflict || len(where.Tickets) != 1 || !strings.Contains(r.body, where.Tickets[0].ID)) {
		c.t.Errorf("%s, with %d tickets, asks again: %d %s", player, len(where.Tickets), r.code, r.body)
	}
}

// TestTooFewReplicas: a master that must not write alone refuses to, and tickets are asked
// for again.
func TestTooFewReplicas(t *testing.T) {
	server := redistest.Start(t)
	s := start(t, func(c *frontend.Config) { c.Redis = "redis://" + server.Address })
	client := redis.NewClient(&redis.Options{Addr: server.Address})
	defer client.Close()
	made := s.create("alice")
	for i, code := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		setting := fmt.Sprint(i)
		if err := client.ConfigSet(t.Context(), "min-replicas-to-write", setting).Err(); err != nil {
			t.Fatal(err)
		}
		r := s.do("bob-"+setting, "POST", "/v1/tickets", `{"queue":"session","region":"eu"}`)
		if r.code != code || code != http.StatusOK && r.header.Get("Retry-After") == "" {
			t.Errorf("with %s replicas to write to: %d %v %s", setting, r.code, r.header, r.body)
		}
		s.get("alice", made.ID)
	}
}
