package compile

import (
	"math"
	"slices"
	"time"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// Plan is one stage of a rule set, sorted by how its rules help the search:
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
type Plan struct {
	// Stage is the position of the stage in the rule set, Definition what it says.
	Stage      int
	Definition *ruleset.Definition
	// Slots are the teams of a match.
	Slots    []ruleset.TeamSlot
	Least    int // players of the smallest match
	Most     int // players of a full match
	MaxParty int // players of the largest party

	equals []equal
	limits []latencyLimit
	// needsRegion reports whether a ticket which says nothing of regions fits no
	// match: a rule asks for latencies, if only in a statement.
	needsRegion bool
	fits        []fit
	Windows     []Window
	incremental []*check
	complete    []*check
	checks      []*check
	// LookCost is what a check of the complete rules costs in steps.
	LookCost int
	// Common is the list column of an intersection over all teams, or -1: the
	// search tries its words one by one.
	Common int
	// pairwise are the custom rules that tell of two tickets that they never
	// meet; not those in statements, which may hold while such a rule doesn't.
	pairwise []*check

	// patience: see ruleset.Algorithm.
	patience time.Duration

	// SortKey is the column that tickets are sorted by, -1 for age alone.
	SortKey int
	// Balance is the column whose sums the teams should share, or -1.
	Balance int
	// quotas are the role quotas that ask for somebody.
	quotas []quotaRule
	// Sorts put candidates in another order than that of their distance.
	Sorts []Order
	// requires has a bit for each column that the rules in force read.
	requires uint64
	// nodes is how many values a match needs.
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

func (f *fit) ok(p *pool.Pool, player int32) bool {
	if f.scalar == numbers {
		return f.allows(p.Numbers[f.column][player], 0)
	}
	return f.allows(0, p.Strings[f.column][player])
}

// Window bounds the difference of two tickets in a column.
type Window struct {
	Column int
	// Most is the limit, and as much more as checks allow numbers that are not exact.
	Most  float64
	limit limit
	rule  *ruleset.Rule
}

func newWindow(column int, of limit, r *ruleset.Rule) Window {
	most, _ := of.of(r)
	return Window{Column: column, Most: most * (1 + tolerance), limit: of, rule: r}
}

// Limit is what the rule says.
func (w *Window) Limit() float64 {
	most, _ := w.limit.of(w.rule)
	return most
}

// threshold is that of two tickets that differ by so much.
func (w *Window) threshold(needed float64) Threshold {
	return Threshold{Most: w.Limit(), Needed: figure(needed), limit: w.limit}
}

// Relax is how much of its windows a match may use when its longest waiting
// ticket has waited so long.
func (p *Plan) Relax(wait time.Duration) float64 {
	if wait >= p.patience {
		return 1
	}
	return (1 + float64(wait)/float64(p.patience)) / 2
}

// Relaxed is the wait from which on Relax is at least so much.
func (p *Plan) Relaxed(relax float64) time.Duration {
	return time.Duration(math.Ceil((2*min(relax, 1) - 1) * float64(p.patience)))
}

// Relaxes reports whether Relax is ever less than 1.
func (p *Plan) Relaxes() bool { return p.patience > 0 }

// OneWindow reports whether all matches have the same size, anybody may be in any
// team, and beside equality the rules say no more than that the sort key differs by
// at most so much.
func (pl *Plan) OneWindow() bool {
	if len(pl.Windows) != 1 || pl.Windows[0].Column != pl.SortKey || len(pl.complete)+len(pl.incremental)+len(pl.fits)+len(pl.limits)+len(pl.Sorts)+len(pl.pairwise) > 0 {
		return false
	}
	return !slices.ContainsFunc(pl.Slots, func(s ruleset.TeamSlot) bool { return s.Min != s.Max || s.Bots })
}

// Loosens reports whether, of a plan with one window, a match which keeps the rules
// keeps those of all later stages, which some of its tickets may have reached: they
// are the same but for the window, which gets no smaller.
func (rs *Rules) Loosens(pl *Plan) bool {
	for _, later := range rs.Plans[pl.Stage+1:] {
		if len(later.checks) != len(pl.checks) || len(later.Windows) != 1 || later.Windows[0].Column != pl.Windows[0].Column ||
			later.Windows[0].Most < pl.Windows[0].Most || !slices.EqualFunc(later.equals, pl.equals, func(a, b equal) bool { return a.column == b.column }) ||
			len(later.complete)+len(later.incremental)+len(later.fits)+len(later.limits) > 0 || !slices.Equal(later.Slots, pl.Slots) {
			return false
		}
	}
	return true
}

// SortKeyWindow is the window of the sort key, if the first window is one.
func (pl *Plan) SortKeyWindow() (most float64, ok bool) {
	if len(pl.Windows) > 0 && pl.Windows[0].Column == pl.SortKey {
		return pl.Windows[0].Most, true
	}
	return 0, false
}

// slowLook is what a look at an expression or a custom rule costs, in steps.
const slowLook = 200

// newPlan sorts the rules of a stage. Those that compound rules name are left
// out, but for those of a variant.
func newPlan(s *pool.Schema, rs *ruleset.RuleSet, stage int, o *Options, variant []int) (*Plan, error) {
	d := &rs.Stages[stage].Definition
	p := &Plan{
		Stage: stage, Definition: d, Slots: d.TeamSlots(), Least: d.MinPlayers(), Most: d.MaxPlayers(), MaxParty: d.MaxParty(),
		SortKey: -1, Balance: -1, Common: -1, patience: d.Algorithm.Patience,
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
		p.LookCost++
		if k.slow {
			p.LookCost += slowLook
		}
	}
	for _, name := range d.UsedAttributes() {
		a, _ := d.Attribute(name)
		column, err := s.Column(a, "")
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
func (p *Plan) add(c *checks, r *ruleset.Rule) error {
	k, err := c.compile(r)
	if err != nil {
		return err
	}
	if k == nil {
		_, err := kinds[r.Kind].help(p, c, r)
		return err
	}
	p.checks = append(p.checks, k)
	if k.pairwise != nil {
		p.pairwise = append(p.pairwise, k)
	}
	exact, err := kinds[r.Kind].help(p, c, r)
	switch {
	case err != nil:
		return err
	case exact:
	case k.guard:
		p.incremental = append(p.incremental, k)
		if k.twice {
			p.complete = append(p.complete, k)
		}
	default:
		p.complete = append(p.complete, k)
	}
	// The slow ones come last.
	slices.SortStableFunc(p.complete, func(a, b *check) int { return int(one(a.slow) - one(b.slow)) })
	return nil
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
