package compile

import (
	"fmt"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

type roleQuota struct{}

func (roleQuota) compile(c *checks, k *check) error {
	a, column, err := c.own(k.rule.Attribute)
	if err != nil {
		return err
	}
	if len(k.rule.Roles) > 64 {
		return fmt.Errorf("roles: must be at most 64, got %d", len(k.rule.Roles))
	}
	k.broken = c.quota(k.rule, a, column)
	return nil
}

// help notes which roles are asked for: tickets that bring them are looked
// for wherever they are.
func (roleQuota) help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error) {
	a, column, err := c.own(r.Attribute)
	if err != nil {
		return false, err
	}
	q := quotaRule{column: column, kind: a.Type}
	for _, role := range r.Roles {
		if role.Min > 0 {
			q.roles = append(q.roles, c.schema.Word(role.Name))
		}
	}
	if len(q.roles) > 0 {
		p.quotas = append(p.quotas, q)
	}
	return false, nil
}

// quotaRule is a role quota with the roles that somebody has to have.
type quotaRule struct {
	column int
	kind   ruleset.AttributeType
	roles  []int32
}

// AsksRoles reports whether somebody has to have a role.
func (pl *Plan) AsksRoles() bool { return len(pl.quotas) > 0 }

// Brings are the roles that the players of a ticket have, as bits, of the
// first 64 that are asked for.
func (pl *Plan) Brings(p *pool.Pool, t int32) uint64 {
	var bits uint64
	n := 0
	for i := range pl.quotas {
		q := &pl.quotas[i]
		for _, role := range q.roles {
			if n == 64 {
				return bits
			}
			for player := p.First[t]; player < p.First[t+1]; player++ {
				if p.Has(q.kind, q.column, player, role) {
					bits |= 1 << n
				}
			}
			n++
		}
	}
	return bits
}

// quota checks that roles can be dealt out in each team.
func (c *checks) quota(r *ruleset.Rule, a ruleset.Attribute, column int) func(*Match) float64 {
	ids := make([]int32, len(r.Roles))
	for i, role := range r.Roles {
		ids[i] = c.schema.Word(role.Name)
	}
	slots := c.definition.RoleSlots(r)
	return func(m *Match) float64 {
		sum := 0
		for _, slot := range slots {
			m.options = m.options[:0]
			for from, to := range m.Players(slot) {
				for player := from; player < to; player++ {
					var can uint64
					for i, id := range ids {
						if m.Pool.Has(a.Type, column, player, id) {
							can |= 1 << i
						}
					}
					m.options = append(m.options, can)
				}
			}
			sum += m.quota.missing(m.options, r.Roles)
		}
		return float64(sum)
	}
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
