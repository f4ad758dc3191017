package director_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
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
	if n := metric(t, i, `torikumi_director_matches_total{outcome="released",queue="session"}`); n != 1 {
		t.Errorf("%v matches were released", n)
	}
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
