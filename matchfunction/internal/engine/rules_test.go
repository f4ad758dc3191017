package engine_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/engine"
	searching "torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/tickets"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const duelRules = `{
  "name": "duel", "ruleLanguageVersion": "1.0",
  "playerAttributes": [{"name": "skill", "type": "number", "default": 1000}],
  "teams": [{"name": "east", "minPlayers": 1, "maxPlayers": 2}, {"name": "west", "minPlayers": 1, "maxPlayers": 2}],
  "rules": [{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100}],
  "expansions": [{"target": "rules[close].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 500}]}]
}`

func ruleSet(text string) *torikumiv1.ProfileDetails {
	return &torikumiv1.ProfileDetails{Queue: "session", Rules: &torikumiv1.ProfileDetails_RuleSet{RuleSet: text}}
}

func matches(t *testing.T, text string, pool engine.Pool) []engine.Match {
	t.Helper()
	p, err := new(engine.Compiler).Compile(profile(t, ruleSet(text)))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(p.Engine.Search(t.Context(), pool, now, func(k *openmatch.Ticket, r engine.Reason) { t.Errorf("%s: %s", k.GetId(), r) }))
}

// admit reads tickets as a run does.
func admit(all []*openmatch.Ticket, now time.Time, skipped func(*openmatch.Ticket, engine.Reason)) []engine.Ticket {
	read := make([]tickets.Read, len(all))
	for i, t := range all {
		read[i] = tickets.Decode(t)
	}
	rules := duel()
	rules.Teams[0].MaxPlayers = 2
	details := skill(rules)
	p := &openmatch.MatchProfile{Pools: []*openmatch.Pool{{}}}
	if err := contract.Put(&p.Extensions, contract.ProfileExtension, details); err != nil {
		panic(err)
	}
	compiled, err := new(engine.Compiler).Compile(p)
	if err != nil {
		panic(err)
	}
	return compiled.Admit(read, now, skipped)
}

func skilled(id string, skill float64, waited time.Duration) *openmatch.Ticket {
	d := players("player of " + id)
	d.Players[0].Attributes = number(skill)
	return ticket(id, waited, d)
}

// A profile's rule set decides, and its expansions count from the creation of
// Open Match's tickets.
func TestRuleSetOfAProfile(t *testing.T) {
	pool := []*openmatch.Ticket{skilled("a", 1000, time.Second), skilled("b", 1400, 20*time.Second)}
	if got := matches(t, duelRules, engine.Pool{Tickets: admit(pool, now, ignore)}); len(got) != 0 {
		t.Errorf("400 apart, and one has just come: %v", got)
	}
	pool[0].CreateTime = timestamppb.New(now.Add(-10 * time.Second))
	got := matches(t, duelRules, engine.Pool{Tickets: admit(pool, now, ignore)})
	if len(got) != 1 || len(got[0].Tickets) != 2 || got[0].MinPlayers != 2 || !(got[0].Score > 0) {
		t.Fatalf("got %+v", got)
	}
}

// A ticket that was created in the place of another one keeps the wait of that one, by a rule
// set and by skill.
func TestATicketMadeAgainKeepsItsWait(t *testing.T) {
	again := skilled("b", 1400, 0)
	pool := []*openmatch.Ticket{skilled("a", 1000, 20*time.Second), again}
	bySkill := func() int {
		got, _ := search(t, duel(), pool...)
		return len(got)
	}
	byRules := func() int { return len(matches(t, duelRules, engine.Pool{Tickets: admit(pool, now, ignore)})) }
	byYoungest := byRules()
	if err := contract.Put(&again.Extensions, contract.SearchTimeExtension, timestamppb.New(now.Add(-10*time.Second))); err != nil {
		t.Fatal(err)
	}
	if n := byRules(); byYoungest != 0 || n != 1 {
		t.Errorf("400 apart, and one has just come: %d matches; and searched for 10 s before: %d", byYoungest, n)
	}
	pool = []*openmatch.Ticket{skilled("c", 0, 0), skilled("d", 1e12, 0)}
	fresh := bySkill()
	if err := contract.Put(&pool[1].Extensions, contract.SearchTimeExtension, timestamppb.New(now.Add(-time.Minute))); err != nil {
		t.Fatal(err)
	}
	if n := bySkill(); fresh != 0 || n != 1 {
		t.Errorf("far apart by skill: %d matches; and one has searched for a minute: %d", fresh, n)
	}
}

func TestABadRuleSetIsNamed(t *testing.T) {
	for _, text := range []string{"", "{", `{"ruleLanguageVersion": "1.0"}`} {
		if _, err := new(engine.Compiler).Compile(profile(t, ruleSet(text))); err == nil {
			t.Errorf("accepted %q", text)
		}
	}
}

// A running match is filled by the same rules: those who still play count, the
// one who joins is told apart, and the backfill that goes back to Open Match
// has all of them.
func TestABackfillIsFilled(t *testing.T) {
	b := &openmatch.Backfill{Id: "b1", Generation: 3, CreateTime: timestamppb.New(now.Add(-time.Second))}
	still := players("veteran")
	still.Players[0].Attributes = number(2000)
	if err := contract.Put(&b.Extensions, contract.BackfillExtension, &torikumiv1.BackfillDetails{
		Teams: []*torikumiv1.BackfillTeam{{Name: "west", Players: still.Players}}, GameServer: "games/gs", MatchId: "m-1",
		Joining: []*torikumiv1.TeamMember{{PlayerId: "veteran", TicketId: "t"}}}); err != nil {
		t.Fatal(err)
	}
	foreign := &openmatch.Backfill{Id: "b2"}
	pool := []*openmatch.Ticket{skilled("far", 1000, 0), skilled("near", 2050, 0), skilled("nearer", 2010, 0)}
	got := matches(t, duelRules, engine.Pool{
		Tickets: admit(pool, now, ignore), Backfills: engine.AdmitBackfills([]*openmatch.Backfill{b, foreign, b, nil})})
	if len(got) != 1 || got[0].Backfill.GetId() != "b1" || got[0].Backfill.GetGeneration() != 3 {
		t.Fatalf("got %+v", got)
	}
	var joined []string
	for _, k := range got[0].Tickets {
		joined = append(joined, k.GetId())
	}
	slices.Sort(joined)
	if diff := cmp.Diff([]string{"near", "nearer"}, joined); diff != "" {
		t.Error(diff)
	}
	members := 0
	for _, team := range got[0].Teams {
		members += len(team.Members)
	}
	after := new(torikumiv1.BackfillDetails)
	if err := contract.Get(got[0].Backfill.GetExtensions(), contract.BackfillExtension, after); err != nil {
		t.Fatal(err)
	}
	playing := 0
	for _, team := range after.GetTeams() {
		playing += len(team.GetPlayers())
	}
	if members != 2 || playing != 3 {
		t.Errorf("%d join, %d play", members, playing)
	}
	if after.GetGameServer() != "games/gs" || after.GetMatchId() != "m-1" {
		t.Errorf("it is played on %q, match %q", after.GetGameServer(), after.GetMatchId())
	}
	var joining []string
	for _, m := range after.GetJoining() {
		joining = append(joining, m.GetTicketId()+": "+m.GetPlayerId())
	}
	slices.Sort(joining)
	if diff := cmp.Diff([]string{"near: player of near", "nearer: player of nearer", "t: veteran"}, joining); diff != "" {
		t.Error(diff)
	}
}

// One who left a match and searches again does not join it a second time, nor does one who
// is banned from it.
func TestNobodyJoinsTheMatchTheyAreIn(t *testing.T) {
	b := &openmatch.Backfill{Id: "b1", CreateTime: timestamppb.New(now)}
	if err := contract.Put(&b.Extensions, contract.BackfillExtension, &torikumiv1.BackfillDetails{
		Teams: []*torikumiv1.BackfillTeam{{Name: "west", Players: players("player of x").Players}}}); err != nil {
		t.Fatal(err)
	}
	banning := &openmatch.Backfill{Id: "b2", CreateTime: timestamppb.New(now)}
	if err := contract.Put(&banning.Extensions, contract.BackfillExtension, &torikumiv1.BackfillDetails{
		Teams:  []*torikumiv1.BackfillTeam{{Name: "west", Players: players("veteran").Players}},
		Banned: []string{"zoe", "player of x"}}); err != nil {
		t.Fatal(err)
	}
	got := matches(t, duelRules, engine.Pool{Tickets: admit([]*openmatch.Ticket{skilled("x", 1000, 0)}, now, ignore),
		Backfills: engine.AdmitBackfills([]*openmatch.Backfill{b, banning})})
	if len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// seen is a custom rule that looks at all players.
type seen func(*rule.Player)

func (s seen) Allows(m *rule.Match) error {
	for _, team := range m.Teams {
		for _, member := range team.Members {
			s(member.Player)
		}
	}
	return errors.New("only looking")
}

// A custom rule sees what the rule set declares and no more, with its defaults,
// and who hears of its failures hears in whose queue it was.
func TestWhatCustomRulesSee(t *testing.T) {
	const text = `{"name": "duel", "ruleLanguageVersion": "1.0",
	  "playerAttributes": [{"name": "skill", "type": "number", "default": 1000}, {"name": "clan", "type": "string", "default": "none"}, {"name": "rank", "type": "number"}],
	  "teams": [{"name": "duel", "minPlayers": 2, "maxPlayers": 2}], "rules": [{"name": "look", "type": "custom", "rule": "look"}]}`
	var failed []string
	looked := 0
	c := &engine.Compiler{
		Options: searching.Options{Custom: rule.Registry{"look": func(json.RawMessage) (rule.Rule, error) {
			return seen(func(p *rule.Player) {
				looked++
				skill, _ := p.Number("skill")
				clan, _ := p.Text("clan")
				if _, ranked := p.Number("rank"); skill != 7 || clan != "none" || ranked || len(p.Attributes) != 2 {
					t.Errorf("%+v", p)
				}
				panic("seen")
			}), nil
		}}},
		Failed: func(queue, rule string, err error) { failed = append(failed, queue+" "+rule+" "+err.Error()) },
	}
	a, b := players("x"), players("y")
	a.Players[0].Attributes, b.Players[0].Attributes = number(7), number(7)
	a.Players[0].Attributes["undeclared"] = number(1)["skill"]
	pool := engine.Pool{Tickets: admit([]*openmatch.Ticket{ticket("a", time.Second, a), ticket("b", time.Second, b)}, now, ignore)}
	for _, queue := range []string{"session", "squad"} { // with the same text
		details := ruleSet(text)
		details.Queue = queue
		p, err := c.Compile(profile(t, details))
		if err != nil {
			t.Fatal(err)
		}
		for m := range p.Engine.Search(t.Context(), pool, now, ignore) {
			t.Errorf("matched %+v", m)
		}
	}
	failed = slices.Compact(failed)
	if diff := cmp.Diff([]string{"session look panic: seen", "squad look panic: seen"}, failed); diff != "" || looked == 0 {
		t.Error(looked, diff)
	}
}
