package director_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// withQueue makes the director's only queue "session", for two players, with more
// fields.
func withQueue(t *testing.T, fields string) func(*director.Config) {
	file := newQueuesFile(t, "- {name: session, teams: [{name: a, players: 2}], skill: {attribute: skill}, "+fields+"}\n")
	return func(c *director.Config) { c.Queues = file.path }
}

// TestSmallestMatch: the queue's word counts, whatever the match function says.
func TestSmallestMatch(t *testing.T) {
	h := newHarness(t)
	h.addServers(1)
	h.least = 2
	first := true
	h.hook = func(_ context.Context, method, _ string) error {
		h.do(func() {
			if method == "AssignTickets" && first {
				first = false
				delete(h.tickets, "ticket-0000")
			}
		})
		return nil
	}
	i := start(t, h, withQueue(t, "smallest_match: 1"))
	h.addTickets(2)
	eventually.True(t, "the match is played", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="assigned",queue="session"}`) == 1
	})
}

// TestSharedServerIsLeftAlone: a server that has other matches is not deleted when one
// comes to nothing, and is not taken for that match's own.
func TestSharedServerIsLeftAlone(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	h.hook = failing("AssignTickets", "before", 1, status.Error(codes.PermissionDenied, "no"))
	ids := h.addTickets(2)
	i := start(t, h, withQueue(t, `allocation: {
		selectors: [{state: Ready}, {state: Allocated, counters: {rooms: {min_available: 1}}}], counters: {rooms: {action: Increment, amount: 1}},
		match_data: {values: {map: arena}}}`))
	eventually.True(t, "assigned at the second try", func() bool { return h.assigned(ids...) == 2 })
	eventually.True(t, "one match is released", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="released",queue="session"}`) == 1
	})
	label := contract.MatchLabelValue(matchID(ids))
	h.do(func() {
		if len(h.deleted) > 0 || len(h.allocs) != 2 {
			t.Errorf("deleted %v, allocated %d times", h.deleted, len(h.allocs))
		}
		for _, name := range []string{"gs-0001", "gs-0002"} {
			s := h.server(name)
			if match, ok := s.GetLabels()[contract.MatchLabel]; match != "" || !ok || s.GetAnnotations()["torikumi/roster."+label] == "" || s.GetAnnotations()[contract.PlacingAnnotation] != "" ||
				!strings.Contains(s.GetAnnotations()["torikumi/match-data."+label], `"values":{"map":"arena"}`) {
				t.Errorf("%v", s)
			}
		}
	})
}

// TestAddress: players get the address and the port that the settings prefer, and a
// server that has none is given back.
func TestAddress(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	h.servers["gs-0001"].Addresses = []*torikumiv1.GameServerAddress{{Type: "InternalIP", Address: "192.0.2.1"}, {Type: "ExternalIP", Address: "169.254.1.1"}}
	h.servers["gs-0002"].Addresses = []*torikumiv1.GameServerAddress{{Type: "InternalIP", Address: "192.0.2.1"}, {Type: "ExternalIP", Address: "2001:db8::7"}}
	queue := withQueue(t, "allocation: {port: admin}")
	ids := h.addTickets(2)
	start(t, h, func(c *director.Config) {
		queue(c)
		c.AddressTypes = []string{"ExternalDNS", "ExternalIP"}
	})
	eventually.True(t, "the players are assigned", func() bool { return h.assigned(ids...) == 2 })
	h.do(func() {
		d, a := new(torikumiv1.AssignmentDetails), h.tickets[ids[0]].GetAssignment()
		if err := contract.Get(a.GetExtensions(), contract.AssignmentExtension, d); err != nil {
			t.Fatal(err)
		}
		if a.GetConnection() != "[2001:db8::7]:1" || d.GetAddress() != "2001:db8::7" || d.GetPort() != 1 || d.GetPorts()["default"] != 7002 || d.GetGameServer() != "default/gs-0002" {
			t.Errorf("players are sent to %s: %v", a.GetConnection(), d)
		}
		if len(h.deleted) != 1 || h.deleted[0] != "gs-0001" {
			t.Errorf("deleted %v", h.deleted)
		}
	})
}

// TestBotsOfTheQueue: the teams of a short match get bots, for the game server and for
// whoever reads the assignment.
func TestBotsOfTheQueue(t *testing.T) {
	h := newHarness(t)
	h.addServers(1)
	file := newQueuesFile(t, "- {name: session, teams: [{name: a, players: 5, min_players: 1}, {name: b, players: 5, min_players: 1}], skill: {attribute: skill}, bots: 6}\n")
	ids := h.addTickets(2)
	h.do(func() {
		m := h.match(ids, time.Now())
		if err := contract.Put(&m.Extensions, contract.MatchExtension, &torikumiv1.MatchDetails{Queue: "session", Teams: []*torikumiv1.Team{
			{Name: "a", Members: []*torikumiv1.TeamMember{{PlayerId: ids[0], TicketId: ids[0]}}}, {Name: "b", Members: []*torikumiv1.TeamMember{{PlayerId: ids[1], TicketId: ids[1]}}},
		}}); err != nil {
			t.Fatal(err)
		}
		h.script = []answer{{matches: []*openmatch.Match{m}}}
	})
	start(t, h, func(c *director.Config) { c.Queues = file.path })
	eventually.True(t, "the players are assigned", func() bool { return h.assigned(ids...) == 2 })
	h.do(func() {
		roster, err := contract.DecodeRoster(h.server("gs-0001").GetAnnotations()[contract.RosterAnnotation])
		d := new(torikumiv1.AssignmentDetails)
		if err == nil {
			err = contract.Get(h.tickets[ids[0]].GetAssignment().GetExtensions(), contract.AssignmentExtension, d)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, teams := range [][]*torikumiv1.Team{roster.GetTeams(), d.GetTeams()} {
			if len(teams) != 2 || teams[0].GetBots() != 3 || teams[1].GetBots() != 3 {
				t.Errorf("teams: %v", teams)
			}
		}
	})
}
