package search_test

import (
	"math/rand/v2"
	"testing"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// exists tries every way to put tickets into the teams, or into those of one
// match that is running, in every region, until the checker has nothing
// against one.
func exists(judge *check.Checker, rs *ruleset.RuleSet, tickets []rule.Ticket) bool {
	running := []*rule.Ticket{nil}
	var free []*rule.Ticket
	for i := range tickets {
		if t := &tickets[i]; t.Teams != nil {
			running = append(running, t)
		} else {
			free = append(free, t)
		}
	}
	for _, backfill := range running {
		team := make([]int, len(free)) // 0 is none
		for next(team, len(rs.Stages[0].TeamSlots())) {
			for _, region := range []string{"", "ap", "eu", "us"} {
				if len(judge.Match(newMatch(rs, backfill, free, team, region), now)) == 0 {
					return true
				}
			}
		}
	}
	return false
}

// next counts up: digits from 0 to most.
func next(digits []int, most int) bool {
	for i := range digits {
		if digits[i]++; digits[i] <= most {
			return true
		}
		digits[i] = 0
	}
	return false
}

// newMatch builds a match.
func newMatch(rs *ruleset.RuleSet, backfill *rule.Ticket, free []*rule.Ticket, team []int, region string) *rule.Match {
	m := &rule.Match{Region: region}
	add := func(t *rule.Ticket) {
		if w := max(0, now.Sub(t.Created)); len(m.Tickets) == 0 || (w > m.Wait) == rs.ByOldest() {
			m.Wait = w
		}
		m.Tickets = append(m.Tickets, t)
	}
	if backfill != nil {
		add(backfill)
	}
	for i, at := range team {
		if at > 0 {
			add(free[i])
		}
	}
	slots := rs.Stages[rs.At(m.Wait)].TeamSlots()
	for _, p := range slots {
		m.Teams = append(m.Teams, rule.Team{Name: p.Name})
	}
	join := func(t *rule.Ticket, slot func(i int) int) {
		for i := range t.Players {
			at := &m.Teams[slot(i)]
			at.Members = append(at.Members, rule.Member{Player: &t.Players[i], Ticket: t})
		}
	}
	if backfill != nil {
		join(backfill, func(i int) int { return backfill.Teams[i] })
	}
	for i, at := range team {
		if at > 0 {
			join(free[i], func(int) int { return at - 1 })
		}
	}
	for i, p := range slots {
		if p.Bots {
			m.Teams[i].Bots = max(0, p.Min-len(m.Teams[i].Members))
		}
	}
	return m
}

// Where there is any match at all, or a running one that can be filled, one is
// found. The search is bounded and so may miss some; in small pools, for random
// rules of all kinds, it hardly does. What it misses breaks no rule that gets
// easier with each player: a word that may not be in too often, two rules of
// which just one may hold.
func TestMatchesAreFoundWhereThereAreSome(t *testing.T) {
	there, filled, missed := 0, 0, []uint64(nil)
	seeds := uint64(2000)
	if testing.Short() {
		seeds = 200
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 2))
		rs, err := ruleset.Parse([]byte(randomRules(rng)))
		if err != nil || len(rs.Stages[0].TeamSlots()) > 4 {
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
		n := 6
		if len(rs.Stages[0].TeamSlots()) > 2 {
			n = 5
		}
		tickets := randomTickets(rng, rs, n)
		found := false
		for p := range e.Search(t.Context(), tickets, now, nil) {
			found = true
			if p.Backfill >= 0 {
				filled++
			}
			break
		}
		if found {
			there++
		} else if exists(judge, rs, tickets) {
			there++
			missed = append(missed, seed)
		}
	}
	t.Logf("%d pools have a match, %d of them found one that is running; %d were missed: %v", there, filled, len(missed), missed)
	if uint64(there) < seeds*3/20 || uint64(filled) < seeds/40 || len(missed)*60 > there {
		t.Errorf("%d of %d were missed", len(missed), there)
	}
}
