package engine

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/protobuf/proto"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/contract"
	"torikumi/pkg/ruleset"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// rules is the engine for a FlexMatch rule set.
type rules struct {
	set    *ruleset.RuleSet
	search *search.Engine
	// modules reports whether the rule set names modules, and version is that of
	// the modules that it was last readied with, or could not be.
	modules bool
	version uint64
}

// mostCompiled bounds how many rule sets a Compiler keeps.
const mostCompiled = 256

// Compiler understands profiles. It keeps the rule sets that it has compiled,
// by queue and text, as every profile carries its own in every cycle. It is
// safe for concurrent use.
type Compiler struct {
	// Options are what rule sets may name.
	Options search.Options
	// Failed, if not nil, hears of rules as search.Options.Failed does, and in
	// whose queue it was.
	Failed func(queue, rule string, err error)
	// ModuleVersion, if not nil, changes when Options.Module may find other
	// modules. Rule sets that name any are then readied again; those that cannot
	// be stay as they are, and NotReloaded hears why.
	ModuleVersion func() uint64
	NotReloaded   func(queue string, err error)

	mu       sync.Mutex
	compiled map[compiledKey]*rules
	// refused is why rule sets without a predecessor could not be compiled, for a while:
	// modules may take seconds to say so, and profiles come in every cycle.
	refused map[compiledKey]refused
	// making has each rule set compiled once at a time.
	making singleflight.Group
}

type compiledKey struct{ queue, text string }

// refused is an error of a version of the modules.
type refused struct {
	err     error
	version uint64
	until   time.Time
}

// refusedFor is how long a rule set that could not be compiled is not tried again.
const refusedFor = 10 * time.Second

// rules compiles the rule set of a queue, or finds it.
func (c *Compiler) rules(queue, text string) (*rules, error) {
	key := compiledKey{queue, text}
	version := uint64(0)
	if c.ModuleVersion != nil {
		version = c.ModuleVersion()
	}
	if known, err := c.find(key, version); known != nil || err != nil {
		return known, err
	}
	made, err, _ := c.making.Do(fmt.Sprintf("%d %q %s", version, queue, text), func() (any, error) { return c.make(key, version) })
	if err != nil {
		return nil, err
	}
	return made.(*rules), nil
}

// find returns what was made of a rule set, or why nothing could be.
func (c *Compiler) find(key compiledKey, version uint64) (*rules, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.compiled[key]; known != nil && (!known.modules || known.version == version) {
		return known, nil
	}
	if r, ok := c.refused[key]; ok && r.version == version && time.Now().Before(r.until) {
		return nil, r.err
	}
	return nil, nil
}

// make compiles a rule set, or keeps the one from before where a module has changed and
// can't be used.
func (c *Compiler) make(key compiledKey, version uint64) (*rules, error) {
	c.mu.Lock()
	known := c.compiled[key]
	c.mu.Unlock()
	made, err := c.compile(key)
	switch {
	case err == nil:
	case known == nil:
		c.refuse(key, refused{err, version, time.Now().Add(refusedFor)})
		return nil, err
	default:
		c.NotReloaded(key.queue, err)
		made = &rules{set: known.set, search: known.search, modules: true}
	}
	made.version = version
	c.keep(key, made)
	return made, nil
}

func (c *Compiler) refuse(key compiledKey, why refused) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil || len(c.refused) == mostCompiled {
		c.refused = make(map[compiledKey]refused)
	}
	c.refused[key] = why
}

func (c *Compiler) compile(key compiledKey) (*rules, error) {
	set, err := ruleset.Parse([]byte(key.text))
	if err != nil {
		return nil, err
	}
	options := c.Options
	if c.Failed != nil {
		options.Failed = func(r *ruleset.Rule, err error) { c.Failed(key.queue, r.Name, err) }
	}
	engine, err := search.Compile(set, options)
	if err != nil {
		return nil, err
	}
	return &rules{set: set, search: engine, modules: namesModules(set)}, nil
}

func namesModules(set *ruleset.RuleSet) bool {
	for i := range set.Stages {
		for j := range set.Stages[i].Rules {
			if search.IsModule(set.Stages[i].Rules[j].CustomRule) {
				return true
			}
		}
	}
	return false
}

func (c *Compiler) keep(key compiledKey, made *rules) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compiled == nil {
		c.compiled = make(map[compiledKey]*rules)
	}
	if len(c.compiled) == mostCompiled && c.compiled[key] == nil {
		clear(c.compiled) // those in use come back with their next profile
	}
	c.compiled[key] = made
}

// Fills implements Engine.
func (e *rules) Fills() bool { return true }

// Search implements Engine.
func (e *rules) Search(ctx context.Context, pool Pool, now time.Time, skipped func(*openmatch.Ticket, Reason)) iter.Seq[Match] {
	return func(yield func(Match) bool) {
		tickets := e.readPool(pool, now)
		leftOut := func(i int, reason search.Reason) {
			if i < len(pool.Tickets) {
				skipped(pool.Tickets[i].Ticket, Reason(reason))
			} else {
				// For the log: it will never be filled.
				skipped(&openmatch.Ticket{Id: tickets[i].ID}, Reason(reason))
			}
		}
		for p := range e.search.Search(ctx, tickets, now, leftOut) {
			m, err := e.match(&p, tickets, pool)
			if err != nil {
				continue // a backfill that can't be packed; its tickets wait
			}
			if !yield(m) {
				return
			}
		}
	}
}

// Unfit implements Engine.
func (e *rules) Unfit(tickets []Ticket, now time.Time, skipped func(*openmatch.Ticket, Reason)) {
	e.search.Unfit(e.readPool(Pool{Tickets: tickets}, now), now, func(i int, reason search.Reason) {
		skipped(tickets[i].Ticket, Reason(reason))
	})
}

// Why implements Explainer.
func (e *rules) Why(ctx context.Context, pool Pool, positions []int, now time.Time) []*torikumiv1.Explanation {
	var out []*torikumiv1.Explanation
	for _, x := range e.search.Why(ctx, e.readPool(pool, now), positions, now) {
		out = append(out, explain.Message(x))
	}
	return out
}

// readPool reads the tickets, and after them the backfills.
func (e *rules) readPool(pool Pool, now time.Time) []rule.Ticket {
	tickets := make([]rule.Ticket, 0, len(pool.Tickets)+len(pool.Backfills))
	longest := e.set.Stages[len(e.set.Stages)-1].After
	for _, t := range pool.Tickets {
		tickets = append(tickets, e.read(t, searching(t.Ticket, now, longest)))
	}
	for _, b := range pool.Backfills {
		tickets = append(tickets, e.readBackfill(b, created(b.Backfill, now, longest)))
	}
	return tickets
}

func (e *rules) read(from Ticket, created time.Time) rule.Ticket {
	players := from.Details.GetPlayers()
	t := rule.Ticket{ID: from.Ticket.GetId(), Created: created, Region: from.Details.GetRegion(), Players: make([]rule.Player, len(players))}
	for i, p := range players {
		t.Players[i] = e.player(p)
	}
	return t
}

// player reads the attributes that the rule set declares. Defaults are filled
// in for custom rules, which know nothing of the rule set.
func (e *rules) player(p *torikumiv1.Player) rule.Player {
	declared := e.set.Stages[0].Attributes
	out := rule.Player{ID: p.GetId(), Attributes: make([]rule.Attribute, 0, len(declared))}
	for _, a := range declared {
		if v, ok := value(p.GetAttributes()[a.Name]); ok {
			out.Attributes = append(out.Attributes, rule.Attribute{Name: a.Name, Value: v})
		} else if a.Default != nil {
			out.Attributes = append(out.Attributes, rule.Attribute{Name: a.Name, Value: *a.Default})
		}
	}
	for _, region := range slices.Sorted(maps.Keys(p.GetLatencies())) {
		out.Latencies = append(out.Latencies, rule.Latency{Region: region, Milliseconds: float64(p.GetLatencies()[region])})
	}
	return out
}

func value(a *torikumiv1.Attribute) (ruleset.Value, bool) {
	switch v := a.GetValue().(type) {
	case *torikumiv1.Attribute_Number:
		return ruleset.Value{Type: ruleset.Number, Number: v.Number}, true
	case *torikumiv1.Attribute_String_:
		return ruleset.Value{Type: ruleset.String, String: v.String_}, true
	case *torikumiv1.Attribute_StringList_:
		return ruleset.Value{Type: ruleset.StringList, List: v.StringList.GetValues()}, true
	case *torikumiv1.Attribute_StringNumberMap_:
		return ruleset.Value{Type: ruleset.StringNumberMap, Map: v.StringNumberMap.GetValues()}, true
	default:
		return ruleset.Value{}, false
	}
}

// searching is when the wait of a ticket began. Open Match always knows it; where it is
// missing the ticket is taken to have waited for as long as rules change, as it
// would never grow older.
func searching(t *openmatch.Ticket, now time.Time, longest time.Duration) time.Time {
	if since, ok := contract.SearchTime(t); ok {
		return since
	}
	return now.Add(-max(0, longest))
}

// created is searching of a backfill.
func created(b *openmatch.Backfill, now time.Time, longest time.Duration) time.Time {
	if c := b.GetCreateTime(); c != nil && c.CheckValid() == nil {
		return c.AsTime()
	}
	return now.Add(-max(0, longest))
}

// readBackfill makes a ticket of those who still play.
func (e *rules) readBackfill(b Backfill, created time.Time) rule.Ticket {
	t := rule.Ticket{ID: "backfill/" + b.Backfill.GetId(), Created: created, Region: b.Details.GetRegion(), Teams: []int{},
		Banned: slices.Sorted(slices.Values(b.Details.GetBanned()))}
	slots := e.set.Stages[0].TeamSlots()
	for _, team := range b.Details.GetTeams() {
		at := slices.IndexFunc(slots, func(s ruleset.TeamSlot) bool { return s.Name == team.GetName() })
		for _, p := range team.GetPlayers() {
			t.Players = append(t.Players, e.player(p))
			t.Teams = append(t.Teams, at) // -1 fits no match
		}
	}
	return t
}

// match spells a proposal out in Open Match's tickets.
func (e *rules) match(p *search.Proposal, tickets []rule.Ticket, pool Pool) (Match, error) {
	spelled := p.Match(tickets)
	m := Match{Region: p.Region, Score: p.Score, MinPlayers: p.MinPlayers(), Teams: make([]Team, len(spelled.Teams))}
	for _, t := range p.Tickets {
		m.Tickets = append(m.Tickets, pool.Tickets[t].Ticket)
	}
	for i, team := range spelled.Teams {
		m.Teams[i] = Team{Name: team.Name, Bots: team.Bots}
		for _, member := range team.Members {
			if member.Ticket.Teams == nil {
				m.Teams[i].Members = append(m.Teams[i].Members, Member{Player: member.Player.ID, Ticket: member.Ticket.ID})
			}
		}
	}
	if p.Backfill < 0 {
		return m, nil
	}
	return m, fillUp(&m, p, pool)
}

// fillUp puts the backfill into a match, with those who join among its
// players, so that whoever reads it next sees them.
func fillUp(m *Match, p *search.Proposal, pool Pool) error {
	b := pool.Backfills[int(p.Backfill)-len(pool.Tickets)]
	details := proto.CloneOf(b.Details)
	for i, t := range p.Tickets {
		name := m.Teams[p.Team[i]].Name
		at := slices.IndexFunc(details.Teams, func(team *torikumiv1.BackfillTeam) bool { return team.GetName() == name })
		if at < 0 {
			at = len(details.Teams)
			details.Teams = append(details.Teams, &torikumiv1.BackfillTeam{Name: name})
		}
		for _, player := range pool.Tickets[t].Details.GetPlayers() {
			details.Teams[at].Players = append(details.Teams[at].Players, player)
			details.Joining = append(details.Joining, &torikumiv1.TeamMember{PlayerId: player.GetId(), TicketId: pool.Tickets[t].Ticket.GetId()})
		}
	}
	m.Backfill = proto.CloneOf(b.Backfill)
	if err := contract.Put(&m.Backfill.Extensions, contract.BackfillExtension, details); err != nil {
		return fmt.Errorf("backfill %q: %w", b.Backfill.GetId(), err)
	}
	return nil
}
