package director_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"torikumi/director/director"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// subscribe returns the stream of a subscription that stands.
func subscribe(t *testing.T, i *instance) grpc.ServerStreamingClient[torikumiv1.Announcement] {
	t.Helper()
	conn, err := rpc.Dial(i.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// What never comes fails the test, instead of holding it up.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	stream, err := torikumiv1.NewAnnouncementServiceClient(conn).Subscribe(ctx, &torikumiv1.SubscribeRequest{Subscriber: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil {
		t.Fatal(err)
	}
	return stream
}

func TestPlayersAreAssignedAndAnnounced(t *testing.T) {
	h := newHarness(t)
	h.addServers(3)
	stream := subscribe(t, start(t, h, nil))
	ids := h.addTickets(2)

	a, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	d := a.GetDetails()
	id := matchID(ids)
	if len(a.GetTicketIds()) != 2 || a.GetConnection() != "192.0.2.1:7001" || d.GetMatchId() != contract.MatchLabelValue(id) ||
		d.GetGameServer() != "default/gs-0001" || d.GetPort() != 7001 || d.GetPorts()["admin"] != 1 || d.GetQueue() != "session" ||
		d.GetRegion() != "eu" || len(d.GetTeams()) != 1 || len(d.GetTeams()[0].GetMembers()) != 2 || d.GetAllocateTime() == nil {
		t.Errorf("announcement = %v", a)
	}
	if n := h.assigned(ids...); n != 2 {
		t.Errorf("%d tickets are assigned", n)
	}
	h.do(func() {
		s := h.server("gs-0001")
		roster, err := contract.DecodeRoster(s.GetAnnotations()[contract.RosterAnnotation])
		if err != nil || roster.GetOpenMatchId() != id || s.GetLabels()[contract.QueueLabel] != "session" {
			t.Errorf("server = %v, %v", s, err)
		}
	})
	h.check(t)
}

// A match that bots fill up: the game server reads their number from the
// roster, everybody else from the assignment.
func TestBotsReachTheGameServer(t *testing.T) {
	h := newHarness(t)
	h.addServers(1)
	ids := h.addTickets(1)
	h.do(func() {
		m := h.match(ids, time.Now())
		if err := contract.Put(&m.Extensions, contract.MatchExtension, &torikumiv1.MatchDetails{Queue: "session", Region: "eu", Teams: []*torikumiv1.Team{
			{Name: "east", Members: []*torikumiv1.TeamMember{{PlayerId: "ann", TicketId: ids[0]}}}, {Name: "west", Bots: 3},
		}}); err != nil {
			t.Fatal(err)
		}
		h.script = []answer{{matches: []*openmatch.Match{m}}}
	})
	bots := func(teams []*torikumiv1.Team) bool {
		return len(teams) == 2 && teams[0].GetBots() == 0 && len(teams[0].GetMembers()) == 1 && teams[1].GetName() == "west" && teams[1].GetBots() == 3
	}
	start(t, h, nil)
	eventually.True(t, "the player is assigned", func() bool { return h.assigned(ids...) == 1 })
	h.do(func() {
		roster, err := contract.DecodeRoster(h.server("gs-0001").GetAnnotations()[contract.RosterAnnotation])
		if err != nil || !bots(roster.GetTeams()) {
			t.Errorf("roster: %v, %v", roster, err)
		}
		d := new(torikumiv1.AssignmentDetails)
		if err := contract.Get(h.tickets[ids[0]].GetAssignment().GetExtensions(), contract.AssignmentExtension, d); err != nil || !bots(d.GetTeams()) {
			t.Errorf("assignment: %v, %v", d, err)
		}
	})
	h.check(t)
}

// A queue's rule set goes to the match function with the profile, as it is
// written.
func TestRuleSetGoesWithTheProfile(t *testing.T) {
	const text = `{"ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 4}]} // as written
`
	dir := t.TempDir()
	file := filepath.Join(dir, "queues.yaml")
	for name, content := range map[string]string{"queues.yaml": "queues: [{name: melee, rule_set: melee.json}]", "melee.json": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := newHarness(t)
	start(t, h, func(c *director.Config) { c.Queues = file })
	var profile *openmatch.MatchProfile
	eventually.True(t, "matches are fetched", func() bool {
		h.do(func() { profile = h.profiles["melee"] })
		return profile != nil
	})
	d := new(torikumiv1.ProfileDetails)
	if err := contract.Get(profile.GetExtensions(), contract.ProfileExtension, d); err != nil || d.GetRuleSet() != text || d.GetQueue() != "melee" {
		t.Errorf("profile: %v, %v", d, err)
	}
}

func TestManyMatchesAtOnce(t *testing.T) {
	h := newHarness(t)
	h.addServers(100)
	ids := h.addTickets(200)
	start(t, h, nil)
	eventually.True(t, "all are assigned", func() bool { return h.assigned(ids...) == len(ids) })
	h.check(t)
	if n := h.inState("Allocated"); n != 100 {
		t.Errorf("%d servers are allocated", n)
	}
}

func TestTwoDirectors(t *testing.T) {
	h := newHarness(t)
	h.addServers(60)
	a := start(t, h, nil)
	start(t, h, nil)
	ids := h.addTickets(60)
	eventually.True(t, "all are assigned", func() bool { return h.assigned(ids...) == len(ids) })
	a.stop()
	if err := a.wait(); err != nil {
		t.Error(err)
	}
	more := h.addTickets(60)
	eventually.True(t, "the other goes on", func() bool { return h.assigned(more...) == len(more) })
	h.check(t)
	if n := h.inState("Allocated"); n != 60 {
		t.Errorf("%d servers are allocated", n)
	}
}
