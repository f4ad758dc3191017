package search_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// exists tries every way to put the tickets into the teams, in every region,
// until the checker has nothing against one.
func exists(judge *check.Checker, rs *ruleset.RuleSet, tickets []rule.Ticket) bool {
	regions := []string{"", "ap", "eu", "us"}
	team := make([]int, len(tickets)) // 0 is none
	for {
		i := 0
		for ; i < len(team); i++ {
			if team[i]++; team[i] <= len(rs.Stages[0].Places()) {
				break
			}
			team[i] = 0
		}
		if i == len(team) {
			return false
		}
		var wait time.Duration
		first := true
		for i, at := range team {
			if w := max(0, now.Sub(tickets[i].Created)); at > 0 && (first || (w > wait) == rs.ByOldest()) {
				wait, first = w, false
			}
		}
		for _, region := range regions {
			m := &rule.Match{Region: region, Wait: wait}
			for _, p := range rs.Stages[rs.At(wait)].Places() {
				m.Teams = append(m.Teams, rule.Team{Name: p.Name})
			}
			for i, at := range team {
				if at == 0 {
					continue
				}
				m.Tickets = append(m.Tickets, &tickets[i])
				for j := range tickets[i].Players {
					m.Teams[at-1].Members = append(m.Teams[at-1].Members, rule.Member{Player: &tickets[i].Players[j], Ticket: &tickets[i]})
				}
			}
			for i, p := range rs.Stages[rs.At(wait)].Places() {
				if p.Bots {
					m.Teams[i].Bots = max(0, p.Min-len(m.Teams[i].Members))
				}
			}
			if len(judge.Match(m, now)) == 0 {
				return true
			}
		}
	}
}

// Where there is any match at all, one is found. The search is bounded and so
// may miss some; in small pools, for random rules of all kinds, it hardly
// does.
func TestMatchesAreFoundWhereThereAreSome(t *testing.T) {
	there, missed := 0, []uint64(nil)
	for seed := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, 2))
		rs, err := ruleset.Parse([]byte(randomRules(rng)))
		if err != nil || len(rs.Stages[0].Places()) > 2 {
			continue
		}
		e, err := search.Compile(rs, options)
		if err != nil {
			t.Fatal(err)
		}
		judge, err := check.New(rs, options.Custom, judged(rs))
		if err != nil {
			t.Fatal(err)
		}
		tickets := slices.DeleteFunc(randomTickets(rng, rs, 6), func(k rule.Ticket) bool { return k.Teams != nil })
		found := false
		for range e.Search(t.Context(), tickets, now, nil) {
			found = true
			break
		}
		if found {
			there++
		} else if exists(judge, rs, tickets) {
			there++
			missed = append(missed, seed)
		}
	}
	t.Logf("%d pools have a match; %d were missed: %v", there, len(missed), missed)
	if there < 300 || len(missed)*100 > there {
		t.Errorf("%d of %d were missed", len(missed), there)
	}
}
