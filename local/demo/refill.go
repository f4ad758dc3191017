package demo

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/gameserver/client"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// refillQueue is a queue whose matches are filled up while they run, one against one.
const (
	refillQueue = "refill"
	refillYAML  = `
  # One against one; who leaves is replaced.
  - name: refill
    rule_set: refill.json
    backfill: {automatic: true, reserve: 10s}
`
)

//go:embed refill.json
var refillRules []byte

// writeQueues writes the built-in queues and refillQueue, and returns their file.
func writeQueues(dir string) (string, error) {
	path := filepath.Join(dir, "queues.yaml")
	return path, errors.Join(
		os.WriteFile(path, append(queues.DefaultFile(), refillYAML...), 0o600),
		os.WriteFile(filepath.Join(dir, "refill.json"), refillRules, 0o600))
}

// seat is a player in a match.
type seat struct {
	name    string
	place   place
	client  *client.Client
	welcome client.Welcome
}

// refill plays a match of two of whom one leaves, and sees that another comes in their
// place, to the same server, and that who has left does not come back then. It returns how
// long that took from the leaving on.
func (d *demo) refill(ctx context.Context) (time.Duration, error) {
	var stays, leaves *seat
	var group errgroup.Group
	group.Go(func() (err error) { stays, err = d.sit(ctx, "refill-1"); return err })
	group.Go(func() (err error) { leaves, err = d.sit(ctx, "refill-2"); return err })
	err := group.Wait()
	for _, s := range []*seat{stays, leaves} {
		if s != nil {
			defer s.client.Close()
		}
	}
	if err != nil {
		return 0, err
	}
	if stays.welcome.MatchID != leaves.welcome.MatchID {
		return 0, fmt.Errorf("%s and %s are in different matches", stays.name, leaves.name)
	}
	if err := leaves.client.Leave(ctx); err != nil {
		return 0, fmt.Errorf("%s leaves: %w", leaves.name, err)
	}
	left := time.Now()
	joins, err := d.replace(ctx, stays, leaves)
	if err != nil {
		return 0, err
	}
	defer joins.client.Close()
	took := time.Since(left)
	if err := d.comeBack(ctx, leaves); err != nil {
		return took, err
	}
	return took, errors.Join(joins.client.Leave(ctx), stays.client.Leave(ctx))
}

// replace has a player search while the match runs on, and checks where they come.
func (d *demo) replace(ctx context.Context, stays, leaves *seat) (*seat, error) {
	alive, end := context.WithCancel(ctx)
	defer end()
	var pings errgroup.Group
	pings.Go(func() error { return stayAlive(alive, stays) })
	joins, err := d.sit(ctx, "refill-3")
	end()
	if err = errors.Join(err, pings.Wait()); err != nil {
		if joins != nil {
			_ = joins.client.Close()
		}
		return nil, err
	}
	switch {
	case joins.welcome.MatchID != stays.welcome.MatchID || joins.place.connection != stays.place.connection:
		err = fmt.Errorf("%s did not come into the match that %s has left", joins.name, leaves.name)
	case joins.welcome.Team != leaves.welcome.Team:
		err = fmt.Errorf("%s is in team %q, %s was in %q", joins.name, joins.welcome.Team, leaves.name, leaves.welcome.Team)
	}
	if err != nil {
		return nil, errors.Join(err, joins.client.Close())
	}
	return joins, nil
}

// stayAlive pings until ctx ends.
func stayAlive(ctx context.Context, s *seat) error {
	for pause(ctx, pingEvery) == nil {
		if _, err := s.client.Ping(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: ping: %w", s.name, err)
		}
	}
	return nil
}

// comeBack lets who has left try with a new token.
func (d *demo) comeBack(ctx context.Context, s *seat) error {
	jwt, err := s.place.again(ctx)
	if err != nil {
		return fmt.Errorf("%s gets no new token: %w", s.name, err)
	}
	c, err := client.Dial(s.place.connection)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Join(ctx, jwt)
	var refused *client.RefusedError
	if !errors.As(err, &refused) || refused.Reason != "place_given" {
		return fmt.Errorf("%s came back into a place that was given away: %w", s.name, err)
	}
	return nil
}

// sit searches in refillQueue and joins.
func (d *demo) sit(ctx context.Context, name string) (*seat, error) {
	bearer, err := d.access.playerToken(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s could not sign in: %w", name, err)
	}
	places, err := d.access.search(ctx, ticket{
		players: []*torikumiv1.Player{{Id: name, Attributes: map[string]*torikumiv1.Attribute{
			contract.SkillArg: {Value: &torikumiv1.Attribute_Number{Number: 1500}},
		}}},
		queue: refillQueue, region: "eu", method: byWait,
	}, []string{bearer})
	if err != nil {
		return nil, fmt.Errorf("%s did not get a match in queue %s: %w", name, refillQueue, err)
	}
	s := &seat{name: name, place: places[0]}
	if s.client, err = client.Dial(s.place.connection); err != nil {
		return nil, err
	}
	if s.welcome, err = client.Enter(ctx, s.client, s.place.jwt, s.place.again); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: join: %w", name, err), s.client.Close())
	}
	d.audit.enter(s.welcome.Player, s.welcome.Team, s.welcome.MatchID)
	return s, nil
}
