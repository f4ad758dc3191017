package backfill

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// place is where the model has a player.
type place struct {
	team string
	// joined is zero for those who are there from the beginning.
	joined time.Time
}

// places is the model: who has which place, and how many each team has.
type places struct {
	of    map[string]place
	sizes map[string]int
	bots  map[string]int
	// latest is the latest join time that there ever was.
	latest time.Time
}

func (p *places) taken(team string) (n int) {
	for _, at := range p.of {
		if at.team == team {
			n++
		}
	}
	return n
}

// keep takes their places from those who are not named and have joined by then.
func (p *places) keep(named map[string]bool, seen time.Time) {
	maps.DeleteFunc(p.of, func(player string, at place) bool { return !named[player] && !at.joined.After(seen) })
}

// admits gives places, or none at all if one has no place.
func (p *places) admits(joining []string, team map[string]string) bool {
	all := maps.Clone(p.of)
	for _, player := range joining {
		if _, ok := all[player]; ok {
			continue
		}
		n := 0
		for _, at := range all {
			if at.team == team[player] {
				n++
			}
		}
		if n >= p.sizes[team[player]] {
			return false
		}
		all[player] = place{team: team[player]}
	}
	p.of = all
	return true
}

const (
	// leastReserve is the shortest time for which a place is kept, and skew how much the clocks
	// of two directors may differ: less than that.
	leastReserve = 10 * time.Second
	skew         = leastReserve - 100*time.Millisecond
)

// TestPlaces plays random matches whose players come and go, and holds them to the model:
// no player has two places, no team has more than it may, and who has lost a place
// has it again only by joining anew, later than anybody ever has: so gates tell the places
// apart.
func TestPlaces(t *testing.T) {
	seeds := uint64(500)
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		if err := playPlaces(rand.New(rand.NewPCG(seed, 1))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// playPlaces plays one match.
func playPlaces(r *rand.Rand) error {
	p := &places{of: make(map[string]place), sizes: make(map[string]int), bots: make(map[string]int)}
	roster := begin(r, p)
	clock := time.Unix(1_700_000_000, 0)
	for step := range 40 {
		clock = clock.Add(time.Duration(r.IntN(1000)) * time.Millisecond)
		before := proto.CloneOf(roster)
		var after *torikumiv1.Roster
		var err error
		if r.IntN(3) == 0 {
			clock = clock.Add(leastReserve)
			after, err = leave(r, p, roster)
		} else {
			after, err = arrive(r, p, roster, clock.Add(time.Duration(r.Int64N(int64(skew)))))
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if !proto.Equal(before, roster) {
			return fmt.Errorf("step %d changes the roster that it is given", step)
		}
		roster = after
		if err := p.compare(roster); err != nil {
			return fmt.Errorf("step %d: %w: %v", step, err, roster)
		}
	}
	return nil
}

// begin makes the roster of a match and its model.
func begin(r *rand.Rand, p *places) *torikumiv1.Roster {
	roster := new(torikumiv1.Roster)
	for i := range 1 + r.IntN(3) {
		name := fmt.Sprint("team", i)
		p.sizes[name] = 1 + r.IntN(4)
		if r.IntN(4) == 0 {
			continue // it has nobody, and does not stand in the roster
		}
		team := &torikumiv1.Team{Name: name}
		for n := range r.IntN(p.sizes[name] + 1) {
			player := fmt.Sprint("first", i, n)
			team.Members = append(team.Members, &torikumiv1.TeamMember{PlayerId: player, TicketId: "ticket of " + player})
			p.of[player] = place{team: name}
		}
		team.Bots = int32(r.IntN(p.sizes[name] - len(team.GetMembers()) + 1))
		p.bots[name] = int(team.GetBots())
		roster.Teams = append(roster.Teams, team)
	}
	return roster
}

// leave has a gate name some of those on the roster.
func leave(r *rand.Rand, p *places, roster *torikumiv1.Roster) (*torikumiv1.Roster, error) {
	named := map[string]bool{"stranger": true}
	var seen time.Time
	for player, at := range p.of {
		if r.IntN(4) > 0 {
			named[player] = true
		}
		if r.IntN(2) == 0 && at.joined.After(seen) {
			seen = at.joined // it may be behind
		}
	}
	p.keep(named, seen)
	return keep(roster, named, seen), nil
}

// arrive has some join, of whom some are there already, come twice, or are in a team that
// there is not.
func arrive(r *rand.Rand, p *places, roster *torikumiv1.Roster, now time.Time) (*torikumiv1.Roster, error) {
	d, team := new(torikumiv1.BackfillDetails), make(map[string]string)
	var joining []string
	names := append(slices.Sorted(maps.Keys(p.sizes)), "none")
	for range 1 + r.IntN(3) {
		player := fmt.Sprint("p", r.IntN(12))
		joining = append(joining, player)
		if team[player] == "" {
			team[player] = names[r.IntN(len(names)*8-1)/8] // seldom the last
		}
		d.Joining = append(d.Joining, &torikumiv1.TeamMember{PlayerId: player, TicketId: "ticket of " + player})
	}
	for _, name := range names {
		of := &torikumiv1.BackfillTeam{Name: name}
		for _, player := range slices.Sorted(maps.Keys(team)) {
			if team[player] == name {
				of.Players = append(of.Players, &torikumiv1.Player{Id: player})
			}
		}
		d.Teams = append(d.Teams, of)
	}
	latest, before := p.latest, maps.Clone(p.of)
	after, ok := join(roster, d, p.sizes, now)
	if want := p.admits(joining, team); ok != want {
		return nil, fmt.Errorf("%q join their teams %v: %v, want %v: %v", joining, team, ok, want, roster)
	}
	if !ok && !proto.Equal(after, roster) {
		return nil, fmt.Errorf("those without a place change the roster")
	}
	for player, m := range members(after) {
		if _, was := before[player]; was {
			continue
		}
		at := m.GetJoinTime().AsTime()
		if m.GetJoinTime() == nil || !at.After(latest) || at.Before(now) {
			return nil, fmt.Errorf("%s joins at %v; the latest ever was %v", player, m.GetJoinTime(), latest)
		}
		if at.After(p.latest) {
			p.latest = at
		}
		of := p.of[player]
		p.of[player] = place{team: of.team, joined: at}
	}
	return after, nil
}

// compare holds a roster, and what is told and asked by it, to the model.
func (p *places) compare(roster *torikumiv1.Roster) error {
	seen := make(map[string]bool)
	for _, team := range roster.GetTeams() {
		n := len(team.GetMembers())
		if n > p.sizes[team.GetName()] {
			return fmt.Errorf("team %s has %d players", team.GetName(), n)
		}
		if bots := int(team.GetBots()); bots > p.bots[team.GetName()] || bots < 0 || bots > 0 && n+bots > p.sizes[team.GetName()] {
			return fmt.Errorf("team %s has %d players and %d bots", team.GetName(), n, bots)
		}
		for _, m := range team.GetMembers() {
			at, ok := p.of[m.GetPlayerId()]
			switch joined := m.GetJoinTime(); {
			case seen[m.GetPlayerId()]:
				return fmt.Errorf("%s has two places", m.GetPlayerId())
			case !ok || at.team != team.GetName():
				return fmt.Errorf("%s is in %s, want %+v", m.GetPlayerId(), team.GetName(), at)
			case at.joined.IsZero() != (joined == nil) || joined != nil && !joined.AsTime().Equal(at.joined):
				return fmt.Errorf("%s joined at %v, want %v", m.GetPlayerId(), joined, at.joined)
			}
			seen[m.GetPlayerId()] = true
		}
	}
	free := 0
	for name, size := range p.sizes {
		free += size - p.taken(name)
	}
	asked := ask(roster, nil, []string{"x"}, "games/gs", "m")
	stale := proto.CloneOf(asked)
	stale.Joining = []*torikumiv1.TeamMember{{PlayerId: "x"}}
	switch {
	case len(seen) != len(p.of):
		return fmt.Errorf("on the roster are %d, want %d", len(seen), len(p.of))
	case open(roster, p.sizes) != free:
		return fmt.Errorf("%d places are free, want %d", open(roster, p.sizes), free)
	case !current(asked, roster, []string{"x"}) || current(stale, roster, []string{"x"}) || current(asked, roster, nil):
		return fmt.Errorf("what is asked for a roster does not say of it what it says now")
	}
	return nil
}

// TestJoinTimeOfAnotherClock: who joins by a director whose clock is behind has a later
// time than all on the roster.
func TestJoinTimeOfAnotherClock(t *testing.T) {
	ahead := time.Unix(1_700_000_100, 0)
	roster := &torikumiv1.Roster{Teams: []*torikumiv1.Team{{Name: "red", Members: []*torikumiv1.TeamMember{{PlayerId: "ann", JoinTime: timestamppb.New(ahead)}}}}}
	d := &torikumiv1.BackfillDetails{
		Teams:   []*torikumiv1.BackfillTeam{{Name: "red", Players: []*torikumiv1.Player{{Id: "bob"}}}},
		Joining: []*torikumiv1.TeamMember{{PlayerId: "bob", TicketId: "b"}},
	}
	after, ok := join(roster, d, map[string]int{"red": 2}, ahead.Add(-time.Minute))
	if at := members(after)["bob"].GetJoinTime().AsTime(); !ok || !at.After(ahead) {
		t.Errorf("bob joins at %v, %v", at, ok)
	}
}
