// Package engine is the seam between the rules of a queue and whatever makes
// matches by them. On the player's path it stands between the tickets as Open
// Match knows them and the search in torikumi/matchfunction/internal/pairing:
// it compiles the rules that a profile carries, reads of each ticket what they
// need, and says who plays with whom. An engine keeps nothing from one run to
// the next.
package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Ticket is a ticket of Open Match and what it says of its players.
type Ticket struct {
	Ticket  *openmatch.Ticket
	Details *torikumiv1.TicketDetails
}

// Match is a proposal: who plays with whom.
type Match struct {
	Region  string
	Teams   []Team
	Tickets []*openmatch.Ticket
	// Score is finite; higher is better.
	Score float64
	// MinPlayers is the size of the smallest match of the queue.
	MinPlayers int
	// Backfill, if not nil, is the running match that the tickets join.
	Backfill *openmatch.Backfill
}

// Team is one side of a match.
type Team struct {
	Name    string
	Members []Member
	// Bots is how many bots fill it up.
	Bots int
}

// Member is one player of a team.
type Member struct {
	Player string
	Ticket string
}

// Reason says, as the value of a metric's label, why a ticket cannot be
// matched whoever else waits.
type Reason string

// Backfill is a running match that is to be filled up.
type Backfill struct {
	Backfill *openmatch.Backfill
	Details  *torikumiv1.BackfillDetails
}

// Pool is what matches are made of.
type Pool struct {
	// Tickets have unique ids.
	Tickets   []Ticket
	Backfills []Backfill
}

// Engine makes matches by the rules of one queue.
type Engine interface {
	// Search yields matches as they are found and ends early with ctx. No
	// ticket and no backfill is in two. Skipped hears of each ticket that fits
	// no match at all.
	Search(ctx context.Context, pool Pool, now time.Time, skipped func(*openmatch.Ticket, Reason)) iter.Seq[Match]
	// Unfit tells of those of the tickets that fit no match at all, as Search
	// does.
	Unfit(tickets []Ticket, now time.Time, skipped func(*openmatch.Ticket, Reason))
	// Fills reports whether the engine fills running matches up.
	Fills() bool
}

// Explainer is an Engine that can say why tickets are in no match.
type Explainer interface {
	// Why explains the tickets at the positions, which were in no match of the
	// pool. It ends early with ctx, with fewer answers.
	Why(ctx context.Context, pool Pool, positions []int, now time.Time) []*torikumiv1.Explanation
}

// Profile is a profile of Open Match whose rules have been understood.
type Profile struct {
	Name   string
	Queue  string
	Pools  []*openmatch.Pool
	Engine Engine
}

// Compile reads a profile. The error names the fields that are wrong.
func (c *Compiler) Compile(p *openmatch.MatchProfile) (*Profile, error) {
	if p == nil {
		return nil, errors.New("profile: required")
	}
	if len(p.GetPools()) == 0 {
		return nil, errors.New("profile.pools: must have at least one, as tickets come from pools")
	}
	for i, pool := range p.GetPools() {
		if pool == nil {
			return nil, fmt.Errorf("profile.pools[%d]: required", i)
		}
	}
	field := fmt.Sprintf("profile.extensions[%q]", contract.ProfileExtension)
	details := new(torikumiv1.ProfileDetails)
	switch err := contract.Get(p.GetExtensions(), contract.ProfileExtension, details); {
	case errors.Is(err, contract.ErrNoExtension):
		return nil, fmt.Errorf("%s: required: the rules of the queue", field)
	case err != nil:
		return nil, fmt.Errorf("%s: must hold a %s", field, details.ProtoReflect().Descriptor().FullName())
	}
	e, err := c.engine(details)
	if err != nil {
		return nil, prefix(field+".", err)
	}
	return &Profile{Name: p.GetName(), Queue: details.GetQueue(), Pools: p.GetPools(), Engine: e}, nil
}

// engine makes the engine for the kind of rules that the profile carries.
func (c *Compiler) engine(details *torikumiv1.ProfileDetails) (Engine, error) {
	switch rules := details.GetRules().(type) {
	case *torikumiv1.ProfileDetails_Skill:
		e, err := newSkill(rules.Skill)
		if err != nil {
			return nil, prefix("skill.", err)
		}
		return e, nil
	case *torikumiv1.ProfileDetails_RuleSet:
		e, err := c.rules(details.GetQueue(), rules.RuleSet)
		if err != nil {
			return nil, prefix("rule_set: ", err)
		}
		return e, nil
	default:
		return nil, errors.New("rules: required: none of the known kinds is set")
	}
}

// prefix puts the path of the parent before each of the joined errors.
func prefix(path string, err error) error {
	var many interface{ Unwrap() []error }
	if !errors.As(err, &many) {
		return fmt.Errorf("%s%w", path, err)
	}
	errs := many.Unwrap()
	out := make([]error, len(errs))
	for i, e := range errs {
		out[i] = prefix(path, e)
	}
	return errors.Join(out...)
}
