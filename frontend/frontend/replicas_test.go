package frontend_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/frontend/frontend"
	"torikumi/frontend/internal/api"
	"torikumi/pkg/claims"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// replicas starts two frontends that share their tickets; changes may alter their
// settings.
func replicas(t *testing.T, changes ...func(*frontend.Config)) (a, b *harness, store *miniredis.Miniredis) {
	t.Helper()
	store = miniredis.NewMiniRedis()
	if err := store.StartAddr(porttest.Hold(t).String()); err != nil { // nobody else gets it while it is away
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	a = start(t, func(c *frontend.Config) {
		c.Redis = "redis://" + store.Addr()
		for _, change := range changes {
			change(c)
		}
	})
	twin := *a
	b = &twin
	b.run()
	eventually.True(t, "both hear the director", func() bool { return a.director.count() == 2 })
	return a, b, store
}

// replicasOf is replicas with a queues.yaml.
func replicasOf(t *testing.T, queues string, changes ...func(*frontend.Config)) (a, b *harness, store *miniredis.Miniredis) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte(queues), 0o600); err != nil {
		t.Fatal(err)
	}
	return replicas(t, append(changes, func(c *frontend.Config) { c.Queues = file })...)
}

// A ticket that one frontend has made is every frontend's: they read, follow and
// cancel it, refuse a second one, and one of them tells Open Match.
func TestReplicas(t *testing.T) {
	a, b, _ := replicas(t)
	made := a.create("alice")
	events := b.events(t.Context(), "alice", made.ID)
	if got := events.ticket(); got.State != "SEARCHING" {
		t.Errorf("followed at the other: %+v", got)
	}
	if r := b.do("alice", "POST", "/v1/tickets", `{"queue":"session","region":"eu"}`); r.code != http.StatusConflict || !strings.Contains(r.body, made.ID) {
		t.Errorf("a second ticket at the other: %d %s", r.code, r.body)
	}
	if r := b.do("bob", "GET", "/v1/tickets/"+made.ID, ""); r.code != http.StatusNotFound {
		t.Errorf("somebody else's ticket: %d %s", r.code, r.body)
	}
	a.director.announce(announcement(nil, "om-1"))
	if got := events.ticket(); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("assigned: %+v", got)
	}
	if got := a.delivered("alice", made.ID); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("read at the first: %+v", got)
	}

	second := b.create("bob")
	if got := a.do("bob", "DELETE", "/v1/tickets/"+second.ID, "").ticket(t); got.State != "CANCELLED" {
		t.Errorf("cancelled at the other: %+v", got)
	}
	eventually.True(t, "its ticket is deleted from Open Match", func() bool { return a.om.count() == 1 })
}

// A frontend that stops leaves its tickets to the others: they stay in Open Match,
// and whoever waited goes on at another frontend.
func TestReplicaStops(t *testing.T) {
	a, b, _ := replicas(t)
	made := a.create("alice")
	events := a.events(t.Context(), "alice", made.ID)
	events.ticket()
	a.stop()
	for events.next() != nil {
	} // it ends
	if got := b.get("alice", made.ID); got.State != "SEARCHING" || a.om.count() != 1 {
		t.Errorf("after the stop: %+v, %d tickets in Open Match", got, a.om.count())
	}
	again := b.events(t.Context(), "alice", made.ID)
	again.ticket()
	b.director.announce(announcement(nil, "om-1"))
	if got := again.ticket(); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("assigned: %+v", got)
	}
}

// While Redis is away creates are refused and streams stay; an assignment that came
// meanwhile is found when it is back.
func TestRedisAway(t *testing.T) {
	a, b, store := replicas(t)
	made := a.create("alice")
	events := b.events(t.Context(), "alice", made.ID)
	events.ticket()
	store.Close()
	for what, r := range map[string]reply{
		"create": a.do("bob", "POST", "/v1/tickets", `{"queue":"session","region":"eu"}`),
		"read":   b.do("alice", "GET", "/v1/tickets/"+made.ID, ""),
		"cancel": a.do("alice", "DELETE", "/v1/tickets/"+made.ID, ""),
	} {
		if r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, "ticket_store_unavailable") || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", what, r.code, r.header, r.body)
		}
	}
	if r := a.do("", "GET", "/readyz", ""); r.code != http.StatusOK {
		t.Errorf("ready: %d %s", r.code, r.body)
	}
	a.om.assign("om-1", assignment(t, announcement(nil, "om-1")))
	a.director.announce(announcement(nil, "om-1"))
	if err := store.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := events.ticket(); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("after Redis was away: %+v", got)
	}
}

// What directors announce while Redis is away is not left to the reading of all tickets: it
// is applied when Redis is back.
func TestAnnouncedWithoutRedis(t *testing.T) {
	a, b, store := replicas(t)
	made := a.create("alice")
	events := b.events(t.Context(), "alice", made.ID)
	events.ticket()
	store.Close()
	a.director.announce(announcement(nil, a.om.one(t, made.ID).GetId()))
	for _, at := range []*harness{a, b} {
		eventually.True(t, "it is heard", func() bool { return at.metric("torikumi_frontend_announcements_total") == "1" })
	}
	if err := store.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := events.ticket(); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("after Redis was away: %+v", got)
	}
}

// A frontend that has never reached its Redis is not ready.
func TestRedisNeverReached(t *testing.T) {
	s := start(t, func(c *frontend.Config) { c.Redis = "redis://" + porttest.Hold(t).String() })
	eventually.True(t, "the frontend is not ready, and says why", func() bool {
		r := s.do("", "GET", "/readyz", "")
		return r.code == http.StatusServiceUnavailable && strings.Contains(r.body, `"player_keys":"ok","ticket_store":"Redis`)
	})
}

// Only what the holder of a ticket's claim has assigned is delivered, wherever a
// frontend hears of another assignment. Tickets of a match that is not played any more
// are made again.
func TestClaims(t *testing.T) {
	a, b, store := replicas(t)
	client := redis.NewClient(&redis.Options{Addr: store.Addr()})
	defer client.Close()
	held := claims.New(client, a.cfg.RedisPrefix)
	acquire := func(token string, hold time.Duration, ids ...string) {
		t.Helper()
		eventually.NoError(t, "tickets are claimed", func() error {
			return held.Acquire(t.Context(), claims.Match{Token: token, Tickets: ids, Hold: hold, Keep: time.Hour})
		})
	}
	heard := func(x *torikumiv1.Announcement) {
		t.Helper()
		before := []string{a.metric("torikumi_frontend_announcements_total"), b.metric("torikumi_frontend_announcements_total")}
		a.director.announce(x)
		eventually.True(t, "both have heard it", func() bool {
			return a.metric("torikumi_frontend_announcements_total") != before[0] && b.metric("torikumi_frontend_announcements_total") != before[1]
		})
	}
	alice, bob := a.create("alice"), b.create("bob")
	one, two := a.om.one(t, alice.ID).GetId(), a.om.one(t, bob.ID).GetId()

	// A match that has lost bob's ticket to another before it was assigned.
	acquire("slow", 0, one, two)
	acquire("quick", time.Hour, two)
	heard(announcement(nil, one, two))
	if got := b.get("bob", bob.ID); got.State != "SEARCHING" || len(a.om.find(bob.ID)) != 1 {
		t.Errorf("bob, whose ticket is another's: %+v", got)
	}
	eventually.True(t, "alice's ticket is made again", func() bool { return len(a.om.find(alice.ID)) == 2 })
	// A director has fetched a match with the first one before Open Match was told, and wants it now.
	var taken *claims.TakenError
	err := held.Acquire(t.Context(), claims.Match{Token: "fetched", Tickets: []string{one, "another"}, Hold: time.Hour, Keep: time.Hour})
	if !errors.As(err, &taken) || len(taken.Tickets) != 1 || taken.Tickets[0] != one || taken.Wait >= 0 {
		t.Errorf("alice's first ticket, in whose place another one is: %v (%+v)", err, taken)
	}
	// One that was faster has it, and nothing is made in its place.
	eve := a.create("eve")
	three := a.om.one(t, eve.ID).GetId()
	acquire("faster", time.Hour, three)
	withdrawn := announcement(nil, three)
	withdrawn.Connection = ""
	heard(withdrawn)
	if got := b.get("eve", eve.ID); got.State != "SEARCHING" || len(a.om.find(eve.ID)) != 1 {
		t.Errorf("eve, whose ticket another match holds: %+v, %d tickets", got, len(a.om.find(eve.ID)))
	}

	played := announcement(nil, two)
	played.Details.MatchId, played.Connection = "m-2", "10.0.0.8:7001"
	if err := held.Confirm(t.Context(), "quick", played.GetConnection(), played.GetDetails()); err != nil {
		t.Fatal(err)
	}
	heard(announcement(nil, two))
	if got := b.get("bob", bob.ID); got.State != "SEARCHING" {
		t.Errorf("bob, of whom a match speaks that is not his: %+v", got)
	}
	heard(played)
	if got := b.await("bob", bob.ID, "ASSIGNED"); got.Server.MatchID != "m-2" {
		t.Errorf("bob: %+v", got)
	}
}

// TestLimitsOfReplicas: a player makes no more tickets, and tries no more codes, at two
// frontends than at one; nor does an address.
func TestLimitsOfReplicas(t *testing.T) {
	a, b, _ := replicas(t, func(c *frontend.Config) {
		c.CreateBurst, c.CreateInterval = 3, time.Hour
		c.AddressPerSecond = 0.4 // four at once
	})
	both, begin := []*harness{a, b}, time.Now()
	create := func(at *harness, player string) reply {
		r := at.do(player, "POST", "/v1/tickets", `{"queue":"session","region":"eu"}`)
		if r.code == http.StatusOK {
			at.do(player, "DELETE", "/v1/tickets/"+r.ticket(t).ID, "")
		}
		return r
	}
	for i := range 6 {
		r := create(both[i%2], "alice")
		if i < 3 && r.code != http.StatusOK || i >= 3 && (r.code != http.StatusTooManyRequests || !strings.Contains(r.body, `"too_many_requests"`)) {
			t.Errorf("alice's ticket %d: %d %s", i, r.code, r.body)
		}
	}
	friends := 0
	for i := range 8 {
		r := create(both[i%2], fmt.Sprint("friend-", i))
		if r.code == http.StatusOK {
			friends++
		} else if r.code != http.StatusTooManyRequests || !strings.Contains(r.body, `"too_many_from_address"`) {
			t.Errorf("ticket %d of others from the address: %d %s", i, r.code, r.body)
		}
	}
	if most := 1 + int(time.Since(begin)/(2500*time.Millisecond)); friends < 1 || friends > most { // more come with time
		t.Errorf("%d tickets of others from the address, want 1 to %d", friends, most)
	}
	codes := 0
	begin = time.Now()
	for i := range 2 * api.CodeBurst {
		if r := both[i%2].do("mallory", "POST", "/v1/parties/join", `{"code":"AAAABBBBCCCC"}`); r.code != http.StatusTooManyRequests {
			codes++
		}
	}
	if most := api.CodeBurst + int(time.Since(begin)/api.CodeInterval); codes < api.CodeBurst || codes > most {
		t.Errorf("mallory tries %d codes at two frontends, want %d to %d", codes, api.CodeBurst, most)
	}
}

// TestLimitsWithoutRedis: while Redis is away each frontend limits for itself.
func TestLimitsWithoutRedis(t *testing.T) {
	a, _, store := replicas(t, func(c *frontend.Config) { c.CreateBurst, c.CreateInterval = 3, time.Hour })
	store.Close()
	for i := range 8 {
		r := a.do("bob", "POST", "/v1/tickets", `{"queue":"session","region":"eu"}`)
		if want := map[bool]string{true: "ticket_store_unavailable", false: "too_many_requests"}[i < 3]; !strings.Contains(r.body, want) {
			t.Errorf("bob's ticket %d without Redis: %d %s", i, r.code, r.body)
		}
	}
}
