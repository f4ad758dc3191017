package frontend_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/eventually"
)

const duels = "- {name: duel, teams: [{name: a, players: 1}, {name: b, players: 1}], skill: {attribute: elo, window: 100}}\n"

// TestQueuesAreReloaded: what players may search for changes with the file, and
// a ticket that waits in a queue that was removed is neither lost nor left in the
// dark.
func TestQueuesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "queues.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("queues.yaml", "queues:\n"+duels)
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue = file, "duel" })
	search := func(player string) reply {
		return s.do(player, "POST", "/v1/tickets", `{"queue":"raid","region":"eu"}`)
	}
	checkProblem(t, search("alice"), bad("queue", "must be one of duel"))

	write("queues.yaml", "queues:\n"+duels+"- {name: raid, rule_set: raid.json}\n")
	write("raid.json", `{"ruleLanguageVersion": "1.0", "teams": [{"name": "a", "minPlayers": 2, "maxPlayers": 2}]}`)
	var made [4]ticket
	eventually.True(t, "the queue is there", func() bool {
		r := search("alice")
		if r.code == 200 {
			made[0] = r.ticket(t)
		}
		return r.code == 200
	})
	for i, player := range []string{"bob", "carol"} {
		made[i+1] = search(player).ticket(t)
	}

	// The rule set alone changes.
	write("raid.json", `{"ruleLanguageVersion": "1.0", "teams": [{"name": "a", "minPlayers": 2, "maxPlayers": 2}],
		"playerAttributes": [{"name": "elo", "type": "number"}],
		"rules": [{"name": "Close", "type": "batchDistance", "batchAttribute": "elo", "maxDistance": 80}]}`)
	eventually.True(t, "the new rules bind", func() bool {
		r := search("dora")
		if r.code == 200 {
			s.do("dora", "DELETE", "/v1/tickets/"+r.ticket(t).ID, "")
		}
		return strings.Contains(r.body, "players[0].attributes.elo")
	})

	// A mistake changes nothing.
	for _, wrong := range []string{"queues:\n- {name: Duel}\n", "queues:\n- {name: raid}\n"} {
		write("queues.yaml", wrong)
		eventually.True(t, "it is refused", func() bool { return s.metric("torikumi_queues_last_reload_successful") == "0" })
		if r := s.do("", "GET", "/readyz", ""); r.code != 200 {
			t.Errorf("readiness: %+v", r)
		}
		if r := search("dora"); !strings.Contains(r.body, "players[0].attributes.elo") {
			t.Errorf("the queues have changed: %+v", r)
		}
		write("queues.yaml", "queues:\n"+duels+"- {name: raid, rule_set: raid.json}\n")
		eventually.True(t, "it is right again", func() bool { return s.metric("torikumi_queues_last_reload_successful") == "1" })
	}

	events := s.events(t.Context(), "alice", made[0].ID)
	if first := events.next()["data"]; !strings.Contains(first, "SEARCHING") || strings.Contains(first, "reason") {
		t.Errorf("before: %s", first)
	}
	write("queues.yaml", "queues:\n"+duels)
	if told := events.event()["data"]; !strings.Contains(told, "SEARCHING") || !strings.Contains(told, "takes no new tickets") {
		t.Errorf("told: %s", told)
	}
	checkProblem(t, search("dora"), bad("queue", "must be one of duel"))
	if got := s.get("bob", made[1].ID); got.State != "SEARCHING" || !strings.Contains(got.Reason, "takes no new tickets") {
		t.Errorf("bob: %+v", got)
	}
	var where struct{ Tickets []ticket }
	decode(t, s.do("bob", "GET", "/v1/tickets", ""), 200, &where)
	if len(where.Tickets) != 1 || where.Tickets[0].ID != made[1].ID || !strings.Contains(where.Tickets[0].Reason, "takes no new tickets") {
		t.Errorf("where bob is: %+v", where)
	}
	if got := s.do("bob", "DELETE", "/v1/tickets/"+made[1].ID, "").ticket(t); got.State != "CANCELLED" {
		t.Errorf("bob: %+v", got)
	}
	// Open Match forgets carol's: it is made again, with the tag of the queue.
	s.om.down()
	s.om.lose()
	s.om.up()
	eventually.True(t, "the tickets are made again", func() bool { return len(s.om.find(made[2].ID)) == 1 && len(s.om.find(made[0].ID)) == 1 })
	if tags := s.om.one(t, made[2].ID).GetSearchFields().GetTags(); len(tags) != 1 || tags[0] != "mode.raid" {
		t.Errorf("tags: %v", tags)
	}
	s.director.announce(announcement(nil, s.om.one(t, made[0].ID).GetId()))
	s.await("alice", made[0].ID, "ASSIGNED")
	if got := s.get("alice", made[0].ID); got.Reason != "" {
		t.Errorf("assigned: %+v", got)
	}
}

// TestQueueShrinks: nobody joins a party that would be too large for its queue as that
// is now; who is in it already can search.
func TestQueueShrinks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	write := func(size string) {
		t.Helper()
		text := "queues:\n- {name: raid, skill: {attribute: elo, window: 100}, teams: [{name: a, players: 3}, {name: b, players: 3}]}\n"
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "3", size)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("3")
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue = file, "raid" })
	gather := func(player string) reply {
		return s.do(player, "POST", "/v1/tickets", `{"queue":"raid","region":"eu","party":{"size":3}}`)
	}
	made := gather("alice").ticket(t)
	write("2")
	eventually.True(t, "the queue is smaller", func() bool { return strings.Contains(gather("eve").body, "at most 2 in queue") })
	s.join("bob", made.Party.Code).ticket(t)
	if r := s.join("carol", made.Party.Code); r.code != 404 {
		t.Errorf("carol: %d %s", r.code, r.body)
	}
	if got := s.do("alice", "POST", "/v1/tickets/"+made.ID+"/start", "").ticket(t); got.State != "SEARCHING" || len(got.Players) != 2 {
		t.Errorf("started: %+v", got)
	}
}

// TestPlayQueueIsRemoved: directors stop making matches in a queue that is removed, so that
// its tickets must not be made any more, by GET /play/{region} either.
func TestPlayQueueIsRemoved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	write := func(text string) { t.Helper(); writeQueues(t, file, text) }
	write(duels)
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue, c.PlayTimeout = file, "duel", 10*time.Millisecond })
	for _, queue := range []struct {
		text string
		code int
	}{{strings.Replace(duels, "duel", "duo", 1), 503}, {duels, 408}} {
		write(queue.text)
		eventually.True(t, "the queues are reloaded", func() bool { return s.play(playToken, "/play/eu").code == queue.code })
		if r := s.play(playToken, "/play/eu"); queue.code == 503 && (!strings.Contains(r.body, `"queue_removed"`) || r.header.Get("Retry-After") == "") {
			t.Errorf("the queue is removed: %v %s", r.header, r.body)
		}
	}
}

// writeQueues makes a file one of these queues.
func writeQueues(t *testing.T, file, queues string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("queues:\n"+queues), 0o600); err != nil {
		t.Fatal(err)
	}
}
