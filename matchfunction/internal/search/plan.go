package search

import (
	"fmt"
	"math"
	"slices"
	"time"

	"torikumi/pkg/ruleset"
)

// plan is one stage of a rule set, sorted by how its rules help the search:
//
//   - equals split the pool into parts that never meet;
//   - limits say which regions a ticket can be played in;
//   - fits say which teams a ticket can be in;
//   - windows bound how far apart tickets may be in a number;
//   - incremental rules are checked after each ticket that is added;
//   - complete rules are checked when a match is complete.
//
// The first four hold by construction and are not looked at again. All rules
// are in checks.
type plan struct {
	stage      int
	definition *ruleset.Definition
	slots      []ruleset.TeamSlot
	least      int // players of the smallest match
	most       int // players of a full match
	maxParty   int

	equals []equal
	limits []latencyLimit
	// needsRegion reports whether a ticket which says nothing of regions fits no
	// match: a rule asks for latencies, if only in a statement.
	needsRegion bool
	fits        []fit
	windows     []window
	incremental []*check
	complete    []*check
	checks      []*check
	// lookCost is what a check of the complete rules costs in steps.
	lookCost int
	// common is the list column of an intersection over all teams, or -1: the
	// search tries its words one by one.
	common int
	// pairwise are the custom rules that tell of two tickets that they never
	// meet; not those in statements, which may hold while such a rule doesn't.
	pairwise []*check

	// patience: see ruleset.Algorithm.
	patience time.Duration

	// sortKey is the column that tickets are sorted by, -1 for age alone.
	sortKey int
	// balance is the column whose sums the teams should share, or -1.
	balance int
	// quotas are the role quotas that ask for somebody.
	quotas []quotaRule
	// sorts put candidates in another order than that of their distance.
	sorts []order
	// requires has a bit for each column that the rules in force read.
	requires uint64
	// nodes is how many values a state needs.
	nodes int
}

// equal is a column in which all players of a match have the same.
type equal struct {
	column int
	rule   *ruleset.Rule
}

// latencyLimit is the maxLatency of a latency rule.
type latencyLimit struct {
	most        float64
	aggregation ruleset.Aggregation
	rule        *ruleset.Rule
}

// fit is a rule that each player of some teams has to keep alone.
type fit struct {
	slots  []int
	column int
	scalar scalar
	// allows a number or a word.
	allows func(x float64, id int32) bool
	rule   *ruleset.Rule
}

func (f *fit) ok(p *pool, player int32) bool {
	if f.scalar == numbers {
		return f.allows(p.numbers[f.column][player], 0)
	}
	return f.allows(0, p.strings[f.column][player])
}

// quotaRule is a role quota with the roles that somebody has to have.
type quotaRule struct {
	column int
	kind   ruleset.AttributeType
	roles  []int32
}

// addQuota notes which roles are asked for: tickets that bring them are looked
// for wherever they are.
func (p *plan) addQuota(c *checks, r *ruleset.Rule) error {
	if r.Kind != ruleset.RoleQuota {
		return nil
	}
	a, _ := c.definition.Attribute(r.SortAttribute)
	column, err := c.schema.column(a, own)
	if err != nil {
		return err
	}
	q := quotaRule{column: column, kind: a.Type}
	for _, role := range r.Roles {
		if role.Min > 0 {
			q.roles = append(q.roles, c.schema.word(role.Name))
		}
	}
	if len(q.roles) > 0 {
		p.quotas = append(p.quotas, q)
	}
	return nil
}

// brings are the roles that the players of a ticket have, as bits, of the
// first 64 that are asked for.
func (p *plan) brings(pool *pool, t int32) uint64 {
	var bits uint64
	n := 0
	for i := range p.quotas {
		q := &p.quotas[i]
		for _, role := range q.roles {
			if n == 64 {
				return bits
			}
			for player := pool.first[t]; player < pool.first[t+1]; player++ {
				if pool.has(q.kind, q.column, player, role) {
					bits |= 1 << n
				}
			}
			n++
		}
	}
	return bits
}

// window bounds the difference of two tickets in a column.
type window struct {
	column int
	most   float64
	rule   *ruleset.Rule
}

// relax is how much of its windows a match may use when its longest waiting
// ticket has waited so long.
func (p *plan) relax(wait time.Duration) float64 {
	if wait >= p.patience {
		return 1
	}
	return (1 + float64(wait)/float64(p.patience)) / 2
}

// order is a sorting rule.
type order struct {
	column    int
	kind      ruleset.AttributeType
	absolute  bool
	ascending bool
	key       ruleset.MapKey
	agg       ruleset.Aggregation
}

// newPlan sorts the rules of a stage. Those that compound rules name are left
// out, but for those of a variant.
func newPlan(s *schema, rs *ruleset.RuleSet, stage int, o *Options, variant []int) (*plan, error) {
	d := &rs.Stages[stage].Definition
	p := &plan{
		stage: stage, definition: d, slots: d.TeamSlots(), least: d.MinPlayers(), most: d.MaxPlayers(), maxParty: d.MaxParty(),
		sortKey: -1, balance: -1, common: -1, patience: d.Algorithm.Patience,
	}
	c := &checks{nodes: nodes{schema: s, definition: d}, options: o, stage: stage}
	named := d.Named()
	for i := range d.Rules {
		r := &d.Rules[i]
		if (named[i] && !slices.Contains(variant, i)) || r.Optional {
			continue
		}
		if err := p.add(c, r); err != nil {
			return nil, err
		}
	}
	if err := p.chooseSortKey(c); err != nil {
		return nil, err
	}
	p.nodes = c.nodes.count
	for _, k := range p.complete {
		p.lookCost++
		if k.slow {
			p.lookCost += stepsSlow
		}
	}
	for _, name := range d.UsedAttributes() {
		a, _ := d.Attribute(name)
		column, err := s.column(a, "")
		if err != nil {
			return nil, err
		}
		p.requires |= 1 << column
	}
	for i, demanded := range d.Demanded() {
		p.needsRegion = p.needsRegion || (demanded && d.Rules[i].Kind == ruleset.Latency)
	}
	return p, nil
}

// add puts a rule where it belongs.
func (p *plan) add(c *checks, r *ruleset.Rule) error {
	k, err := c.compile(r)
	if err != nil {
		return err
	}
	if k == nil {
		return p.addSort(c, r)
	}
	p.checks = append(p.checks, k)
	if err := p.addQuota(c, r); err != nil {
		return err
	}
	if k.pairwise != nil {
		p.pairwise = append(p.pairwise, k)
	}
	exact, err := p.structure(c, r)
	switch {
	case err != nil:
		return err
	case exact:
	case k.guard:
		p.incremental = append(p.incremental, k)
		if r.Kind == ruleset.Comparison || r.Kind == ruleset.Collection {
			p.complete = append(p.complete, k) // empty teams and repairs
		}
	default:
		p.complete = append(p.complete, k)
	}
	// The slow ones come last.
	slices.SortStableFunc(p.complete, func(a, b *check) int { return int(one(a.slow) - one(b.slow)) })
	return nil
}

// structure takes from a rule what helps the search. It reports whether that is
// all that the rule says.
func (p *plan) structure(c *checks, r *ruleset.Rule) (exact bool, err error) {
	switch r.Kind {
	case ruleset.BatchDistance:
		a, _ := c.definition.Attribute(r.BatchAttribute)
		column, err := c.schema.column(a, r.PartyAggregation)
		if err != nil {
			return false, err
		}
		if a.Type == ruleset.String {
			p.equals = append(p.equals, equal{column, r})
		} else {
			p.windows = append(p.windows, window{column, *r.MaxDistance, r})
		}
		return true, nil
	case ruleset.Latency:
		if r.MaxLatency != nil {
			p.limits = append(p.limits, latencyLimit{*r.MaxLatency, r.PartyAggregation, r})
		} else {
			p.limits = append(p.limits, latencyLimit{math.Inf(1), r.PartyAggregation, r})
		}
		return r.MaxDistance == nil, nil
	case ruleset.Comparison:
		return p.comparisonStructure(c, r), nil
	case ruleset.Distance:
		return p.distanceStructure(c, r), nil
	case ruleset.Collection:
		if r.Operation == ruleset.CollectionIntersection && r.MinCount != nil && *r.MinCount > 0 && len(r.Measurements) == 1 {
			if n, err := c.nodes.compile(&r.Measurements[0], r.PartyAggregation); err == nil && n.allPlayers(len(p.slots)) && n.root().scalar == wordLists {
				p.common = n.root().column
			}
		}
	}
	return false, nil
}

// comparisonStructure finds equality of all players, and what a player has to
// be for a team.
func (p *plan) comparisonStructure(c *checks, r *ruleset.Rule) bool {
	for i := range r.Measurements {
		n, err := c.nodes.compile(&r.Measurements[i], r.PartyAggregation)
		if err != nil || !n.perPlayer() {
			return false
		}
		root := n.root()
		if root.column < 0 {
			return false
		}
		switch {
		case r.Reference == nil && r.Operation == ruleset.Equal && n.allPlayers(len(p.slots)) && n.depth == 1:
			p.equals = append(p.equals, equal{root.column, r})
		case r.Reference != nil && r.Reference.Literal != nil && root.scalar != wordLists:
			p.fits = append(p.fits, fit{root.slots, root.column, root.scalar, allows(c, r), r})
		default:
			return false
		}
	}
	return true
}

// allows is a comparison with a literal.
func allows(c *checks, r *ruleset.Rule) func(float64, int32) bool {
	ref := new(node)
	c.literal(ref, r.Reference.Literal)
	return func(x float64, id int32) bool {
		for _, y := range ref.literal.numbers {
			if compare(r.Operation, x, y) != 0 {
				return false
			}
		}
		for _, y := range ref.literal.ids {
			if (id == y) != (r.Operation == ruleset.Equal) {
				return false
			}
		}
		return true
	}
}

// distanceStructure finds the difference of any two players, and what is
// near enough to a literal.
func (p *plan) distanceStructure(c *checks, r *ruleset.Rule) bool {
	if len(r.Measurements) != 1 {
		return false
	}
	m, err := c.nodes.compile(&r.Measurements[0], r.PartyAggregation)
	if err != nil {
		return false
	}
	ref, err := c.nodes.compile(r.Reference, r.PartyAggregation)
	if err != nil {
		return false
	}
	if r.Reference.Literal != nil && m.perPlayer() && m.scalar == numbers {
		least, most := distances(r)
		p.fits = append(p.fits, fit{m.root().slots, m.root().column, numbers, func(x float64, _ int32) bool {
			for _, y := range ref.literal.numbers {
				if d := math.Abs(x - y); over(d, most)+over(least, d) > 0 {
					return false
				}
			}
			return true
		}, r})
		return true
	}
	if r.MaxDistance == nil || m.root() == nil || ref.root() == nil || m.root().column != ref.root().column || m.root().column < 0 {
		return false
	}
	players := len(p.slots)
	onlyMost := r.MinDistance == nil || *r.MinDistance <= 0
	of := func(f ruleset.Function, n *node) bool {
		return n.function == f && n.depth == 0 && n.argument.allPlayers(players)
	}
	lowest, highest := of(ruleset.FnMin, ref), of(ruleset.FnMax, ref)
	all := m.allPlayers(players)
	switch {
	case of(ruleset.FnMin, m) && highest, of(ruleset.FnMax, m) && lowest, all && (lowest || highest):
		p.windows = append(p.windows, window{m.root().column, *r.MaxDistance, r})
		return onlyMost
	case all && of(ruleset.FnAvg, ref):
		p.windows = append(p.windows, window{m.root().column, 2 * *r.MaxDistance, r})
	}
	return false
}

// distances are the bounds of a distance rule.
func distances(r *ruleset.Rule) (least, most float64) {
	most = math.Inf(1)
	if r.MinDistance != nil {
		least = *r.MinDistance
	}
	if r.MaxDistance != nil {
		most = *r.MaxDistance
	}
	return least, most
}

// root is the path inside an expression, nil if there is none.
func (n *node) root() *node {
	for n.argument != nil {
		n = n.argument
	}
	if n.literal != nil {
		return nil
	}
	return n
}

// allPlayers reports whether an expression yields a value of each player of the
// match.
func (n *node) allPlayers(slots int) bool {
	return n != nil && n.perPlayer() && len(n.root().slots) == slots
}

func (p *plan) addSort(c *checks, r *ruleset.Rule) error {
	a, ok := c.definition.Attribute(r.SortAttribute)
	if !ok {
		return fmt.Errorf("%s.sortAttribute: the attribute %q is not declared", r.Path, r.SortAttribute)
	}
	column, err := c.schema.column(a, r.PartyAggregation)
	if err != nil {
		return err
	}
	p.sorts = append(p.sorts, order{column: column, kind: a.Type, absolute: r.Kind == ruleset.AbsoluteSort,
		ascending: r.SortAscending, key: r.MapKey, agg: r.PartyAggregation})
	return nil
}
