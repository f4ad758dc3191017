//go:build unix

package test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"

	"torikumi/miniagones/miniagones"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// rosters is what the fleet knows of matches: what directors stamped on
// allocated servers.
type rosters struct {
	sub    *miniagones.Subscription
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	servers map[string][]string // by match
	players map[string][]string // by match
	wrong   []error
	then    func() // called once, at the next match
}

func followFleet(f *miniagones.Fleet) *rosters {
	ctx, cancel := context.WithCancel(context.Background())
	r := &rosters{sub: f.Subscribe(), cancel: cancel, done: make(chan struct{}), servers: make(map[string][]string), players: make(map[string][]string)}
	go func() {
		defer close(r.done)
		for {
			e, err := r.sub.Next(ctx)
			if err != nil {
				return
			}
			r.note(e.Server)
		}
	}()
	return r
}

func (r *rosters) note(s *miniagones.Server) {
	match := s.Labels[contract.MatchLabel]
	if match == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.servers[match], s.Name) {
		return
	}
	if r.then != nil {
		r.then()
		r.then = nil
	}
	r.servers[match] = append(r.servers[match], s.Name)
	roster, err := contract.DecodeRoster(s.Annotations[contract.RosterAnnotation])
	if err != nil {
		r.wrong = append(r.wrong, err)
		return
	}
	var players []string
	for _, t := range roster.GetTeams() {
		for _, m := range t.GetMembers() {
			players = append(players, m.GetPlayerId())
		}
	}
	slices.Sort(players)
	r.players[match] = players
}

// onMatch calls f, once, as soon as a server is allocated to another match.
func (r *rosters) onMatch(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.then = f
}

func (r *rosters) close() {
	r.cancel()
	<-r.done
	r.sub.Close()
}

// audit compares what the players were told with what is on the servers:
// every player is in one match, which has two players, one server, and that
// server's roster. Matches that no player was told of are allowed only for
// strict false: a director that is killed between allocating and assigning
// leaves its server behind, to end by itself. It returns their number.
func (w *harness) audit(strict bool) int {
	w.t.Helper()
	w.mu.Lock()
	told := maps.Clone(w.assigned)
	w.mu.Unlock()
	w.until("the fleet has shown the server of each match", func() bool {
		w.fleet.mu.Lock()
		defer w.fleet.mu.Unlock()
		for _, t := range told {
			if len(w.fleet.servers[t.GetServer().GetMatchId()]) == 0 {
				return false
			}
		}
		return true
	})
	w.fleet.mu.Lock()
	defer w.fleet.mu.Unlock()
	for _, err := range w.fleet.wrong {
		w.t.Error(err)
	}
	if lost := w.fleet.sub.Lost(); lost > 0 {
		w.t.Errorf("%d changes of the fleet were missed", lost)
	}
	byMatch := make(map[string][]string)
	servers := make(map[string]string)    // match by connection
	connection := make(map[string]string) // connection by match
	for player, t := range told {
		match, where := t.GetServer().GetMatchId(), t.GetServer().GetConnection()
		byMatch[match] = append(byMatch[match], player)
		if was, ok := connection[match]; ok && was != where {
			w.t.Errorf("match %s is at %s and at %s", match, was, where)
		}
		if other, ok := servers[where]; ok && other != match {
			w.t.Errorf("%s has two matches, %s and %s", where, match, other)
		}
		connection[match], servers[where] = where, match
		if t.GetJoinToken().GetJwt() == "" {
			w.t.Errorf("%s has no join token", player)
		}
		w.unchanged(player, t)
	}
	for match, players := range byMatch {
		slices.Sort(players)
		if len(players) != 2 || !slices.Equal(players, w.fleet.players[match]) {
			w.t.Errorf("match %s: %v were sent there, %v are on the roster", match, players, w.fleet.players[match])
		}
		if len(w.fleet.servers[match]) != 1 {
			w.t.Errorf("match %s has the servers %v", match, w.fleet.servers[match])
		}
	}
	orphans := 0
	for match, players := range w.fleet.players {
		if _, ok := byMatch[match]; !ok {
			orphans++
			if strict {
				w.t.Errorf("match %s of %v got a server, and its players never heard of it", match, players)
			}
		}
	}
	return orphans
}

// unchanged sees that the ticket, read again, still says the same.
func (w *harness) unchanged(player string, was *torikumiv1.Ticket) {
	t, err := w.call(w.t.Context(), player, http.MethodGet, "/v1/tickets/"+was.GetId(), nil)
	if err != nil {
		w.t.Errorf("%s reads the ticket again: %v", player, err)
		return
	}
	if t.GetState() != was.GetState() || t.GetServer().GetMatchId() != was.GetServer().GetMatchId() ||
		t.GetServer().GetConnection() != was.GetServer().GetConnection() {
		w.t.Errorf("%s was sent to %v, and then to %v", player, was, t)
	}
}
