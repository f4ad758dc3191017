package search

import (
	"fmt"
	"math"
	"slices"

	"torikumi/pkg/ruleset"
)

// addition compiles the kinds of rules that FlexMatch lacks.
func (c *checks) addition(r *ruleset.Rule) (func(*state) float64, error) {
	switch r.Kind {
	case ruleset.TeamSizeBalance:
		return func(st *state) float64 {
			lo, hi := math.MaxInt, 0
			for _, n := range st.fill {
				lo, hi = min(lo, n), max(hi, n)
			}
			return over(float64(hi-lo), *r.MaxDistance)
		}, nil
	case ruleset.PartySizes:
		return func(st *state) float64 {
			lo, hi := math.MaxInt, 0
			for slot := range st.plan.slots {
				if n := st.largestParty(slot); n > 0 {
					lo, hi = min(lo, n), max(hi, n)
				}
			}
			return over(float64(hi-min(lo, hi)), *r.MaxDistance)
		}, nil
	}
	a, ok := c.definition.Attribute(r.SortAttribute)
	if !ok {
		return nil, fmt.Errorf("the attribute %q is not declared", r.SortAttribute)
	}
	column, err := c.schema.column(a, own)
	if err != nil {
		return nil, err
	}
	switch r.Kind {
	case ruleset.TeamDifference:
		return func(st *state) float64 { return over(st.teamDifference(column, r.TeamAggregate), *r.MaxDistance) }, nil
	case ruleset.RoleQuota:
		if len(r.Roles) > 64 {
			return nil, fmt.Errorf("roles: must be at most 64, got %d", len(r.Roles))
		}
		return c.roleQuota(r, a, column), nil
	default:
		return nil, fmt.Errorf("type: %q is not known", r.Kind)
	}
}

// largestParty is the size of the largest party in a team, 0 if it is empty.
func (st *state) largestParty(slot int) int {
	n := 0
	for _, t := range st.teams[slot] {
		n = max(n, st.run.pool.size(t))
	}
	if len(st.pinned[slot]) > 0 {
		n = max(n, 1) // those who already play count alone
	}
	return n
}

func (st *state) teamDifference(column int, aggregate string) float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for slot := range st.plan.slots {
		if st.fill[slot] == 0 {
			continue
		}
		st.numbers = st.numbers[:0]
		for from, to := range st.players(slot) {
			st.numbers = append(st.numbers, st.run.pool.numbers[column][from:to]...)
		}
		x, _ := st.aggregate(ruleset.Function(aggregate), st.numbers)
		lo, hi = min(lo, x), max(hi, x)
	}
	if lo > hi {
		return 0
	}
	return hi - lo
}

// roleQuota checks that roles can be dealt out in each team.
func (c *checks) roleQuota(r *ruleset.Rule, a ruleset.Attribute, column int) func(*state) float64 {
	ids := make([]int32, len(r.Roles))
	for i, role := range r.Roles {
		ids[i] = c.schema.word(role.Name)
	}
	slots := c.definition.RoleSlots(r)
	return func(st *state) float64 {
		sum := 0
		for _, slot := range slots {
			st.options = st.options[:0]
			for from, to := range st.players(slot) {
				for player := from; player < to; player++ {
					var can uint64
					for i, id := range ids {
						if st.run.pool.has(a.Type, column, player, id) {
							can |= 1 << i
						}
					}
					st.options = append(st.options, can)
				}
			}
			sum += st.quota.missing(st.options, r.Roles)
		}
		return float64(sum)
	}
}

// has reports whether a player's attribute is, or holds, a word.
func (p *pool) has(t ruleset.AttributeType, column int, player, word int32) bool {
	if t == ruleset.String {
		return p.strings[column][player] == word
	}
	return slices.Contains(p.lists[column][player], word)
}

// quota deals out roles to the players of a team. It is reused.
type quota struct {
	options []uint64
	roles   []ruleset.Role
	role    []int // by player, -1 if none
	count   []int // by role
	visited uint64
}

// missing is how many players or roles are left without: 0 if each player can
// be given a role so that all roles have from their least to their most
// players. First the least are filled, along augmenting paths, then the
// players who have no role yet are put where there is room.
func (q *quota) missing(options []uint64, roles []ruleset.Role) int {
	q.options, q.roles = options, roles
	q.role = append(q.role[:0], make([]int, len(options))...)
	q.count = append(q.count[:0], make([]int, len(roles))...)
	for i := range q.role {
		q.role[i] = -1
	}
	missing := 0
	for role := range roles {
		for q.count[role] < roles[role].Min {
			q.visited = 0
			if !q.recruit(role) {
				missing += roles[role].Min - q.count[role]
				break
			}
		}
	}
	for player := range options {
		if q.role[player] < 0 {
			q.visited = 0
			if !q.assign(player) {
				missing++
			}
		}
	}
	return missing
}

// recruit finds one more player for a role who has none, if need be by
// passing players on from role to role.
func (q *quota) recruit(role int) bool {
	q.visited |= 1 << role
	for player, can := range q.options {
		if q.role[player] < 0 && can&(1<<role) != 0 {
			q.role[player] = role
			q.count[role]++
			return true
		}
	}
	for player, can := range q.options {
		from := q.role[player]
		if from < 0 || can&(1<<role) == 0 || q.visited&(1<<from) != 0 {
			continue
		}
		if q.recruit(from) { // from has one too many then, who goes over
			q.role[player] = role
			q.count[from]--
			q.count[role]++
			return true
		}
	}
	return false
}

// assign finds a role for a player, if need be by passing others on.
func (q *quota) assign(player int) bool {
	for role := range q.roles {
		if q.options[player]&(1<<role) == 0 || q.visited&(1<<role) != 0 {
			continue
		}
		q.visited |= 1 << role
		if q.count[role] < q.roles[role].Max {
			q.role[player] = role
			q.count[role]++
			return true
		}
		for other, at := range q.role {
			if at == role && q.assign(other) {
				q.role[player] = role // other has left it and counts elsewhere
				return true
			}
		}
	}
	return false
}
