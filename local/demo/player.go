package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/frontend/latency"
	"torikumi/gameserver/client"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// How long a player stays in a match once all are there, and between two pings.
const (
	playTime  = 600 * time.Millisecond // in which all others see them
	pingEvery = 100 * time.Millisecond
)

// playLane lets the groups of a lane play, each when the one before has been
// matched or has failed, and waits for none to end.
func (d *demo) playLane(ctx context.Context, lane [][]ticket, players *sync.WaitGroup) {
	for _, group := range lane {
		var searching sync.WaitGroup
		for _, s := range group {
			searching.Add(1)
			players.Go(func() {
				searched := sync.OnceFunc(searching.Done)
				defer searched()
				d.play(ctx, s, searched)
			})
		}
		searching.Wait()
		if ctx.Err() != nil {
			return
		}
	}
}

// play takes one ticket's players from Play to the end of their match. It calls
// searched when they have one.
func (d *demo) play(ctx context.Context, s ticket, searched func()) {
	if pause(ctx, s.after) != nil {
		return
	}
	var tokens []string
	if s.method != byPlay {
		for _, p := range s.players {
			t, err := d.access.playerToken(ctx, p.GetId())
			if err != nil {
				d.audit.failf("%s could not sign in: %w", p.GetId(), err)
				return
			}
			tokens = append(tokens, t)
		}
	}
	if err := d.measure(ctx, s); err != nil {
		d.audit.failf("%s could not measure: %w", s.players[0].GetId(), err)
		return
	}
	start := time.Now()
	d.audit.update(func() { d.audit.searching += len(s.players) })
	places, err := d.access.search(ctx, s, tokens)
	if err != nil {
		d.audit.failf("%s did not get a match in queue %s: %w", s.players[0].GetId(), s.queue, err)
		return
	}
	searched()
	var party errgroup.Group
	for i, p := range places {
		party.Go(func() error {
			name, attacks := s.players[i].GetId(), s.intruders
			if i > 0 {
				attacks = nil
			}
			if err := d.inMatch(ctx, s, name, p, start, attacks); err != nil {
				d.audit.failf("%s at %s: %w", name, p.connection, err)
			}
			return nil
		})
	}
	_ = party.Wait() // failures are in the audit
}

// measure fills in how far away the regions are, as each player finds it. The players of
// queues that are not built in have latencies already that suit the rules.
func (d *demo) measure(ctx context.Context, s ticket) error {
	list := new(torikumiv1.ListRegionsResponse)
	if err := d.access.call(ctx, http.MethodGet, d.access.frontend+"/v1/regions", "", nil, list); err != nil {
		return err
	}
	for _, p := range s.players {
		latencies := latency.Measure(ctx, list.GetRegions(), latency.Options{Samples: 2})
		if len(latencies) != len(list.GetRegions()) || len(latencies) == 0 {
			return fmt.Errorf("%d of %d regions have answered", len(latencies), len(list.GetRegions()))
		}
		d.audit.update(func() { d.audit.measured++ })
		if p.GetLatencies() == nil {
			p.Latencies = latencies
		}
	}
	return nil
}

// inMatch joins, sees that exactly the match's players are there, lets the
// intruders try, plays and leaves.
func (d *demo) inMatch(ctx context.Context, s ticket, name string, p place, start time.Time, intruders []kind) error {
	c, err := client.Dial(p.connection)
	if err != nil {
		return err
	}
	defer c.Close()
	renew := p.again
	if renew != nil {
		renew = func(ctx context.Context) (jwt string, err error) {
			p.jwt, err = p.again(ctx)
			return p.jwt, err
		}
	}
	welcome, err := client.Enter(ctx, c, p.jwt, renew)
	if err != nil {
		return fmt.Errorf("join: %w", err)
	}
	d.audit.admit(welcome.Player, welcome.Team, welcome.MatchID, time.Since(start))
	defer d.audit.update(func() { d.audit.playing--; d.audit.left++ })
	switch {
	case s.method != byPlay && welcome.Player != name:
		return fmt.Errorf("the server took the player for %q", welcome.Player)
	case p.match != "" && welcome.MatchID != p.match:
		return fmt.Errorf("the server plays match %q, the frontend said %q", welcome.MatchID, p.match)
	}
	if err := everybody(ctx, c, welcome.Roster, s.size); err != nil {
		return err
	}
	for _, k := range intruders {
		if err := d.forger.intrude(ctx, k, p.connection, p.jwt); err != nil {
			return err
		}
		d.audit.update(func() { d.audit.refused++ })
	}
	for end := time.Now().Add(playTime); time.Now().Before(end); {
		if _, err := c.Ping(ctx); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		if err := pause(ctx, pingEvery); err != nil {
			return err
		}
	}
	return c.Leave(ctx)
}

// everybody waits until the match has as many players as it should, and sees
// that it has no more: some were met on entering. Somebody who has come and gone
// before does not count.
func everybody(ctx context.Context, c *client.Client, some []client.Player, size int) error {
	limit, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	met := make(map[string]bool)
	for _, p := range some {
		met[p.Player] = true
	}
	for {
		_, present, err := c.Roster(limit)
		if err != nil {
			return fmt.Errorf("roster: %w", err)
		}
		for _, p := range present {
			met[p.Player] = true
		}
		if len(met) > size {
			return fmt.Errorf("the match has %d players, not %d", len(met), size)
		}
		if len(met) == size {
			return nil
		}
		if err := pause(limit, pingEvery/2); err != nil {
			return errors.New("the others did not come")
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	limit, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-limit.Done()
	return ctx.Err()
}
