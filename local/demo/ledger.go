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

// bout is what the ledger knows of one match, from two sides: the roster that
// the director stamped on the server, and what players saw.
type bout struct {
	server   string
	expected map[string]string // player -> team, as on the roster
	admitted map[string]string // player -> team, as the server said
	gone     bool
}

// ledger follows the fleet and the players, and finds what does not fit.
type ledger struct {
	mu      sync.Mutex
	bouts   map[string]*bout // by match id
	changed chan struct{}
	wrong   []error
	waits   []time.Duration

	searching, playing, left int
	admitted, refused        int
}

func newLedger() *ledger {
	return &ledger{bouts: make(map[string]*bout), changed: make(chan struct{})}
}

// note changes the ledger and wakes who waits for it.
func (l *ledger) note(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	close(l.changed)
	l.changed = make(chan struct{})
}

// fault records that something is wrong.
func (l *ledger) fault(format string, args ...any) {
	l.note(func() { l.wrong = append(l.wrong, fmt.Errorf(format, args...)) })
}

// bout returns the match with the id. The lock is held.
func (l *ledger) bout(match string) *bout {
	b, ok := l.bouts[match]
	if !ok {
		b = &bout{admitted: make(map[string]string)}
		l.bouts[match] = b
	}
	return b
}

// follow records what becomes of the fleet's servers, until ctx ends.
func (l *ledger) follow(ctx context.Context, sub *miniagones.Subscription) {
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			return
		}
		l.see(e)
	}
}

// see records one change of a server.
func (l *ledger) see(e miniagones.Event) {
	match := e.Server.Labels[contract.MatchLabel]
	if match == "" {
		return
	}
	l.note(func() {
		b := l.bout(match)
		if b.expected == nil {
			b.server = e.Server.Name
			b.expected = make(map[string]string)
			roster, err := contract.DecodeRoster(e.Server.Annotations[contract.RosterAnnotation])
			if err != nil {
				l.wrong = append(l.wrong, fmt.Errorf("server %s: %w", e.Server.Name, err))
			}
			record(b.expected, roster)
		} else if b.server != e.Server.Name {
			l.wrong = append(l.wrong, fmt.Errorf("match %s has two servers, %s and %s", match, b.server, e.Server.Name))
		}
		b.gone = b.gone || e.Gone
	})
}

func record(players map[string]string, roster *torikumiv1.Roster) {
	for _, t := range roster.GetTeams() {
		for _, m := range t.GetMembers() {
			players[m.GetPlayerId()] = t.GetName()
		}
	}
}

// admit records that a server has let a player in.
func (l *ledger) admit(player, team, match string, wait time.Duration) {
	l.note(func() {
		b := l.bout(match)
		if _, twice := b.admitted[player]; twice {
			l.wrong = append(l.wrong, fmt.Errorf("player %s was admitted twice to match %s", player, match))
		}
		b.admitted[player] = team
		l.admitted++
		l.playing++
		l.searching--
		l.waits = append(l.waits, wait)
	})
}

// recycled counts the servers of matches that are gone again.
func (l *ledger) recycled() (gone, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.bouts {
		if b.gone {
			gone++
		}
	}
	return gone, len(l.bouts)
}

// waitRecycled waits until the servers of all matches are gone.
func (l *ledger) waitRecycled(ctx context.Context) error {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if gone, all := l.recycled(); gone == all {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// audit compares what the director wanted with what the players saw, and
// returns all that is wrong.
func (l *ledger) audit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	errs := slices.Clone(l.wrong)
	where := make(map[string]string)
	for match, b := range l.bouts {
		for player, team := range b.expected {
			if got, ok := b.admitted[player]; !ok {
				errs = append(errs, fmt.Errorf("match %s: player %s was expected and never came in", match, player))
			} else if got != team {
				errs = append(errs, fmt.Errorf("match %s: player %s is in team %q, not %q", match, player, got, team))
			}
		}
		for player := range b.admitted {
			if _, ok := b.expected[player]; !ok {
				errs = append(errs, fmt.Errorf("match %s: player %s does not belong there", match, player))
			}
			if other, ok := where[player]; ok {
				errs = append(errs, fmt.Errorf("player %s is in two matches, %s and %s", player, match, other))
			}
			where[player] = match
		}
		if !b.gone {
			errs = append(errs, fmt.Errorf("match %s: server %s was not recycled", match, b.server))
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
