package check_test

import (
	"testing"

	"pgregory.net/rapid"

	"torikumi/matchfunction/internal/check"
	"torikumi/pkg/ruleset"
)

func TestRoleQuota(t *testing.T) {
	quota := func(roles ...ruleset.Role) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.RoleQuota, Attribute: "maps", Roles: roles, RoleTeams: []string{"red"}}
	}
	inBoth := quota(ruleset.Role{Name: "tank", Min: 1, Max: 1}, ruleset.Role{Name: "heal", Max: 5})
	inBoth.RoleTeams = nil
	byMode := quota(ruleset.Role{Name: "tank", Min: 1, Max: 1})
	byMode.Attribute = "mode"
	tank, heal := solo("a", strs("maps", "tank")), solo("b", strs("maps", "heal"))
	either := solo("c", strs("maps", "tank", "heal"))
	// One who can only tank, one who can do both, in a party: each has his or
	// her own roles.
	duo := ticket("duo", player("d", strs("maps", "tank")), player("e", strs("maps", "tank")))
	union := ticket("union", player("f", strs("maps", "tank")), player("g", strs("maps", "heal")))

	oneEach := quota(ruleset.Role{Name: "tank", Min: 1, Max: 1}, ruleset.Role{Name: "heal", Min: 1, Max: 1})
	run(t, []row{
		{"one each", oneEach, match(tickets(tank, heal), nil), ""},
		{"whoever is first", oneEach, match(tickets(either, tank), nil), ""},
		{"nobody for a role", oneEach, match(tickets(tank), nil), `team "red" can't fill its roles`},
		{"too many for a role", oneEach, match(tickets(duo), nil), `team "red" can't fill its roles`},
		{"too many players", oneEach, match(tickets(tank, heal, either), nil), `team "red" can't fill its roles`},
		{"roles are each player's own", quota(ruleset.Role{Name: "tank", Max: 2}), match(tickets(union), nil), `team "red" can't fill its roles`},
		{"at the most", quota(ruleset.Role{Name: "tank", Max: 2}), match(tickets(duo), nil), ""},
		{"nobody asks for the role", quota(ruleset.Role{Name: "tank", Max: 2}), match(tickets(heal), nil), `team "red" can't fill its roles`},
		{"other teams don't matter", oneEach, match(tickets(tank, heal), tickets(duo)), ""},
		{"all teams", inBoth, match(tickets(tank), tickets(heal)), `team "blue" can't fill its roles`},
		{"all teams can", inBoth, match(tickets(tank), tickets(either)), ""},
		{"a string", byMode, match(tickets(solo("h", str("mode", "tank"))), nil), ""},
		{"another string", byMode, match(tickets(solo("h", str("mode", "heal"))), nil), `team "red" can't fill its roles`},
		{"a team without players", inBoth, match(tickets(tank), nil), `team "blue" can't fill its roles`},
	})
}

func TestRoleQuotaOfQuantity(t *testing.T) {
	r := ruleset.Rule{Name: "r", Kind: ruleset.RoleQuota, Attribute: "mode", Roles: []ruleset.Role{{Name: "tank", Max: 1}}, RoleTeams: []string{"pair"}}
	d := definition(r)
	d.Teams = []ruleset.Team{{Name: "pair", MaxPlayers: 2, Quantity: 2}}
	m := match(nil, tickets(solo("a", str("mode", "tank")), solo("b", str("mode", "tank"))))
	m.Teams[0].Name, m.Teams[1].Name = "pair_1", "pair_2"
	if got, want := said(checker(t, d).Match(m, now)), `r: team "pair_2" can't fill its roles`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAssignable compares with all assignments there are.
func TestAssignable(t *testing.T) {
	names := []string{"a", "b", "c"}
	var try func(players [][]string, roles []ruleset.Role, given map[string]int) bool
	try = func(players [][]string, roles []ruleset.Role, given map[string]int) bool {
		if len(players) == 0 {
			for _, r := range roles {
				if given[r.Name] < r.Min || given[r.Name] > r.Max {
					return false
				}
			}
			return true
		}
		for _, r := range roles {
			for _, can := range players[0] {
				if can != r.Name {
					continue
				}
				given[can]++
				ok := try(players[1:], roles, given)
				given[can]--
				if ok {
					return true
				}
			}
		}
		return false
	}
	yes, no := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var roles []ruleset.Role
		for _, name := range names {
			least := rapid.IntRange(0, 2).Draw(t, "min")
			roles = append(roles, ruleset.Role{Name: name, Min: least, Max: least + rapid.IntRange(0, 2).Draw(t, "more")})
		}
		players := rapid.SliceOfN(rapid.SliceOfN(rapid.SampledFrom(append(names, "other")), 0, 3), 0, 6).Draw(t, "players")
		want := try(players, roles, make(map[string]int))
		if want {
			yes++
		} else {
			no++
		}
		if got := check.Assignable(players, roles); got != want {
			t.Errorf("%v for %v: %v, want %v", players, roles, got, want)
		}
	})
	t.Logf("%d can be assigned, %d can't", yes, no)
}
