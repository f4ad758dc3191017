package check

import (
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// teamDifference: the teams' aggregates of a number differ by at most
// MaxDistance, teams without players left out.
func (j *judge) teamDifference(r *ruleset.Rule) string {
	var teams []float64
	for _, team := range j.match.Teams {
		var players []float64
		for _, m := range team.Members {
			counting := party(m)
			if r.PartyAggregation == "" {
				counting = []*rule.Player{m.Player}
			}
			players = append(players, aggregate(j.numbers(counting, r.Attribute), r.PartyAggregation))
		}
		if len(players) > 0 {
			teams = append(teams, function(ruleset.Function(r.TeamAggregate), list(players)).(float64))
		}
	}
	return spread("teams", teams, *r.MaxDistance)
}

// teamSizeBalance: the teams' numbers of players differ by at most
// MaxDistance, those without players too. Bots are no players.
func (j *judge) teamSizeBalance(r *ruleset.Rule) string {
	var teams []float64
	for _, team := range j.match.Teams {
		teams = append(teams, float64(len(team.Members)))
	}
	return spread("team sizes", teams, *r.MaxDistance)
}

// partySizes: the largest party of each team, in players, differs by at most
// MaxDistance, teams without players left out.
func (j *judge) partySizes(r *ruleset.Rule) string {
	var teams []float64
	for _, team := range j.match.Teams {
		largest := 0
		for _, m := range team.Members {
			largest = max(largest, len(party(m)))
		}
		if largest > 0 {
			teams = append(teams, float64(largest))
		}
	}
	return spread("largest parties", teams, *r.MaxDistance)
}
