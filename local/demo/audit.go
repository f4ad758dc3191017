package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"torikumi/miniagones/miniagones"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// match is what the audit knows of one match, from two sides: the roster that
// the director stamped on the server, and what players saw.
type match struct {
	server   string
	roster   string            // as it was last
	expected map[string]string // player -> team, as on the roster at any time
	admitted map[string]string // player -> team, as the server said
	gone     bool
}

// audit follows the fleet and the players, and finds what does not fit.
type audit struct {
	mu      sync.Mutex
	matches map[string]*match // by match id
	changed chan struct{}
	wrong   []error
	waits   []time.Duration

	searching, playing, left int
	admitted, refused        int
	measured                 int // players, their latencies
}

func newAudit() *audit {
	return &audit{matches: make(map[string]*match), changed: make(chan struct{})}
}

// update changes the audit and wakes who waits for it.
func (a *audit) update(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *audit) failf(format string, args ...any) {
	a.update(func() { a.wrong = append(a.wrong, fmt.Errorf(format, args...)) })
}

// match returns the match with the id. The lock is held.
func (a *audit) match(id string) *match {
	m, ok := a.matches[id]
	if !ok {
		m = &match{admitted: make(map[string]string)}
		a.matches[id] = m
	}
	return m
}

// follow records what becomes of the fleet's servers, until ctx ends.
func (a *audit) follow(ctx context.Context, sub *miniagones.Subscription) {
	for e, err := sub.Next(ctx); err == nil; e, err = sub.Next(ctx) {
		a.observe(e)
	}
}

func (a *audit) observe(e miniagones.Event) {
	id := e.Server.Labels[contract.MatchLabel]
	if id == "" {
		return
	}
	a.update(func() {
		m := a.match(id)
		if m.expected == nil {
			m.server = e.Server.Name
			m.expected = make(map[string]string)
		} else if m.server != e.Server.Name {
			a.wrong = append(a.wrong, fmt.Errorf("match %s has two servers, %s and %s", id, m.server, e.Server.Name))
		}
		if text := e.Server.Annotations[contract.RosterAnnotation]; text != m.roster || m.roster == "" {
			m.roster = text
			roster, err := contract.DecodeRoster(text)
			if err != nil {
				a.wrong = append(a.wrong, fmt.Errorf("server %s: %w", e.Server.Name, err))
			}
			record(m.expected, roster)
		}
		m.gone = m.gone || e.Gone
	})
}

func record(players map[string]string, roster *torikumiv1.Roster) {
	for _, t := range roster.GetTeams() {
		for _, m := range t.GetMembers() {
			players[m.GetPlayerId()] = t.GetName()
		}
	}
}

// enter records that a server has let a player in.
func (a *audit) enter(player, team, id string) {
	a.update(func() {
		m := a.match(id)
		if _, twice := m.admitted[player]; twice {
			a.wrong = append(a.wrong, fmt.Errorf("player %s was admitted twice to match %s", player, id))
		}
		m.admitted[player] = team
	})
}

// admit records that a server has let one of those in who are to play.
func (a *audit) admit(player, team, id string, wait time.Duration) {
	a.enter(player, team, id)
	a.update(func() {
		a.admitted++
		a.playing++
		a.searching--
		a.waits = append(a.waits, wait)
	})
}

// recycled counts the servers of matches that are gone again.
func (a *audit) recycled() (gone, all int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.matches {
		if m.gone {
			gone++
		}
	}
	return gone, len(a.matches)
}

// waitRecycled waits until the servers of all matches are gone.
func (a *audit) waitRecycled(ctx context.Context) error {
	for {
		a.mu.Lock()
		changed := a.changed
		a.mu.Unlock()
		if gone, all := a.recycled(); gone == all {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// verify compares what the director wanted with what the players saw, and
// returns all that is wrong.
func (a *audit) verify() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	errs := slices.Clone(a.wrong)
	where := make(map[string]string)
	for id, m := range a.matches {
		for player, team := range m.expected {
			if got, ok := m.admitted[player]; !ok {
				errs = append(errs, fmt.Errorf("match %s: player %s was expected and never came in", id, player))
			} else if got != team {
				errs = append(errs, fmt.Errorf("match %s: player %s is in team %q, not %q", id, player, got, team))
			}
		}
		for player := range m.admitted {
			if _, ok := m.expected[player]; !ok {
				errs = append(errs, fmt.Errorf("match %s: player %s does not belong there", id, player))
			}
			if other, ok := where[player]; ok {
				errs = append(errs, fmt.Errorf("player %s is in two matches, %s and %s", player, id, other))
			}
			where[player] = id
		}
		if !m.gone {
			errs = append(errs, fmt.Errorf("match %s: server %s was not recycled", id, m.server))
		}
	}
	return errors.Join(errs...)
}

// percentile is the wait that a share of the players did not exceed (nearest
// rank).
func percentile(waits []time.Duration, share float64) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(waits))
	rank := int(share*float64(len(sorted))+0.9999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}
