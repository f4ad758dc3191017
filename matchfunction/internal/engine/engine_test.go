package engine_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/engine"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func duel() *torikumiv1.SkillRules {
	return &torikumiv1.SkillRules{
		Teams:          []*torikumiv1.TeamSpec{{Name: "red", MinPlayers: 1, MaxPlayers: 1}, {Name: "blue", MinPlayers: 1, MaxPlayers: 1}},
		SkillAttribute: "skill", Window: 200, WidenPerSecond: 50, AnySkillAfter: durationpb.New(8 * time.Second),
	}
}

func profile(t testing.TB, details proto.Message) *openmatch.MatchProfile {
	t.Helper()
	p := &openmatch.MatchProfile{Name: "session", Pools: []*openmatch.Pool{{Name: "all"}}}
	if details != nil {
		if err := contract.Put(&p.Extensions, contract.ProfileExtension, details); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func skill(r *torikumiv1.SkillRules) *torikumiv1.ProfileDetails {
	return &torikumiv1.ProfileDetails{Queue: "session", Rules: &torikumiv1.ProfileDetails_Skill{Skill: r}}
}

func TestCompileNamesTheField(t *testing.T) {
	broken := func(change func(*torikumiv1.SkillRules)) *openmatch.MatchProfile {
		r := duel()
		change(r)
		return profile(t, skill(r))
	}
	noPools := profile(t, skill(duel()))
	noPools.Pools = nil
	garbage := profile(t, nil)
	garbage.Extensions = map[string]*anypb.Any{contract.ProfileExtension: {TypeUrl: "type.googleapis.com/torikumi.v1.ProfileDetails", Value: []byte{255}}}
	const field = `profile.extensions["torikumi.v1.profile"]`
	for want, p := range map[string]*openmatch.MatchProfile{
		"profile: ":                      nil,
		"profile.pools: ":                noPools,
		field + ": required":             profile(t, nil),
		field + ": must hold":            garbage,
		field + ".rules: ":               profile(t, &torikumiv1.ProfileDetails{}),
		field + ".skill.teams: ":         broken(func(r *torikumiv1.SkillRules) { r.Teams = nil }),
		field + ".skill.teams[1].min_":   broken(func(r *torikumiv1.SkillRules) { r.Teams[1] = nil }),
		field + ".skill.window: ":        broken(func(r *torikumiv1.SkillRules) { r.Window = math.NaN() }),
		field + ".skill.any_skill_after": broken(func(r *torikumiv1.SkillRules) { r.AnySkillAfter.Seconds = -1 }),
		field + ".skill.max_latency_ms":  broken(func(r *torikumiv1.SkillRules) { r.MaxLatencyMs = -1 }),
		// all at once
		field + ".skill.widen_per_second": broken(func(r *torikumiv1.SkillRules) { r.Window = -1; r.WidenPerSecond = -1; r.AnySkillAfter.Nanos = -1 }),
	} {
		if _, err := new(engine.Compiler).Compile(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if p, err := new(engine.Compiler).Compile(profile(t, skill(duel()))); err != nil || p.Queue != "session" || p.Name != "session" {
		t.Errorf("got %v, %v", p, err)
	}
}

func ticket(id string, waited time.Duration, details *torikumiv1.TicketDetails) *openmatch.Ticket {
	t := &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now.Add(-waited))}
	if details != nil {
		if err := contract.Put(&t.Extensions, contract.TicketExtension, details); err != nil {
			panic(err)
		}
	}
	return t
}

func players(ids ...string) *torikumiv1.TicketDetails {
	d := &torikumiv1.TicketDetails{}
	for _, id := range ids {
		d.Players = append(d.Players, &torikumiv1.Player{Id: id})
	}
	return d
}

// expiring is a ticket whose search ends at a time.
func expiring(id string, at time.Time) *openmatch.Ticket {
	d := players("player of " + id)
	d.ExpireTime = timestamppb.New(at)
	return ticket(id, 0, d)
}

func TestAdmit(t *testing.T) {
	bad := ticket("bad", 0, nil)
	bad.Extensions = map[string]*anypb.Any{contract.TicketExtension: {TypeUrl: "x/y"}}
	old := ticket("old", time.Hour, players("p1"))
	tickets := []*openmatch.Ticket{
		ticket("foreign", 0, nil), ticket("", 0, nil), nil, bad, ticket("none", 0, players()),
		ticket("nameless", 0, players("p9", "")), ticket("double", 0, players("p8", "p8")),
		expiring("over", now), expiring("still", now.Add(time.Nanosecond)),
		old, ticket("young", 0, players("p1", "p2")), old, ticket("same", 0, players("p3")),
	}
	slices.Reverse(tickets)
	got := make(map[string]engine.Reason)
	var admitted []string
	for _, a := range admit(tickets, now, func(t *openmatch.Ticket, r engine.Reason) { got[t.GetId()] = r }) {
		admitted = append(admitted, a.Ticket.GetId())
	}
	if diff := cmp.Diff([]string{"foreign", "same", "still", "young"}, admitted); diff != "" {
		t.Error(diff)
	}
	want := map[string]engine.Reason{"": engine.BadID, "bad": engine.BadDetails, "none": engine.BadDetails,
		"nameless": engine.BadPlayers, "double": engine.BadPlayers, "over": engine.Expired, "old": engine.OtherTicket}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func search(t *testing.T, rules *torikumiv1.SkillRules, tickets ...*openmatch.Ticket) ([]engine.Match, map[string]engine.Reason) {
	t.Helper()
	p, err := new(engine.Compiler).Compile(profile(t, skill(rules)))
	if err != nil {
		t.Fatal(err)
	}
	skipped := make(map[string]engine.Reason)
	note := func(t *openmatch.Ticket, r engine.Reason) { skipped[t.GetId()] = r }
	return slices.Collect(p.Engine.Search(t.Context(), engine.Pool{Tickets: admit(tickets, now, note)}, now, note)), skipped
}

func number(v float64) map[string]*torikumiv1.Attribute {
	return map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: v}}}
}

// One from our frontend and one from another, a party's mean, and latencies.
func TestSkillReadsTickets(t *testing.T) {
	rules := duel()
	for _, team := range rules.Teams {
		team.MaxPlayers = 2
	}
	party := players("p1", "p2")
	party.Players[0].Attributes, party.Players[1].Attributes = number(100), number(300)
	party.Players[1].Latencies = map[string]int32{"eu": 20}
	foreign := ticket("foreign", time.Second, nil)
	foreign.SearchFields = &openmatch.SearchFields{DoubleArgs: map[string]float64{"skill": 400}, StringArgs: map[string]string{"region": "eu"}}
	got, skipped := search(t, rules, ticket("party", 0, party), foreign)
	if len(got) != 1 || len(skipped) != 0 {
		t.Fatalf("got %v, skipped %v", got, skipped)
	}
	want := []engine.Team{
		{Name: "red", Members: []engine.Member{{Player: "p1", Ticket: "party"}, {Player: "p2", Ticket: "party"}}},
		{Name: "blue", Members: []engine.Member{{Player: "foreign", Ticket: "foreign"}}},
	}
	if diff := cmp.Diff(want, got[0].Teams); diff != "" || got[0].Region != "eu" || got[0].MinPlayers != 2 {
		t.Errorf("%+v %s", got[0], diff)
	}
}

// The latency of another client's ticket counts.
func TestLatencyOfForeignTickets(t *testing.T) {
	foreign := func(id string, args map[string]float64, region string) *openmatch.Ticket {
		k := ticket(id, time.Hour, nil)
		k.SearchFields = &openmatch.SearchFields{DoubleArgs: args, StringArgs: map[string]string{"region": region}}
		return k
	}
	const near = `{"ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}], "rules": [{"name": "Near", "type": "latency", "maxLatency": 120}]}`
	for name, c := range map[string]struct {
		args   map[string]float64
		region string
		match  bool
		why    engine.Reason
	}{
		"near":         {map[string]float64{"latency": 120}, "eu", true, ""},
		"none":         {nil, "eu", true, ""},
		"too far":      {map[string]float64{"latency": 120.5}, "eu", false, "region"},
		"huge":         {map[string]float64{"latency": math.Inf(1)}, "eu", false, "region"},
		"negative":     {map[string]float64{"latency": -1}, "eu", false, "latency"},
		"not a number": {map[string]float64{"latency": math.NaN()}, "eu", false, "latency"},
	} {
		t.Run(name, func(t *testing.T) {
			rules := duel()
			rules.MaxLatencyMs = 120
			one, other := foreign("one", c.args, c.region), foreign("other", map[string]float64{"latency": 10}, "eu")
			got, skipped := search(t, rules, one, other)
			if (len(got) == 1) != c.match || skipped["one"] != c.why {
				t.Errorf("by skill: %d matches, skipped %v", len(got), skipped)
			}
			p, err := new(engine.Compiler).Compile(profile(t, ruleSet(near)))
			if err != nil {
				t.Fatal(err)
			}
			pool := engine.Pool{Tickets: admit([]*openmatch.Ticket{one, other}, now, ignore)}
			if n := len(slices.Collect(p.Engine.Search(t.Context(), pool, now, ignore))); (n == 1) != c.match {
				t.Errorf("by a rule set: %d matches", n)
			}
		})
	}
}

func TestBrokenTicketsHurtNobody(t *testing.T) {
	of := func(id string, attributes map[string]*torikumiv1.Attribute) *openmatch.Ticket {
		d := players("player of " + id)
		d.Players[0].Attributes = attributes
		return ticket(id, time.Minute, d)
	}
	both := players("x", "y")
	both.Players[0].Attributes, both.Players[1].Attributes = number(math.Inf(1)), number(math.Inf(-1))
	ageless := of("ageless", number(1e12))
	ageless.CreateTime = nil
	strange := of("strange", number(2))
	strange.CreateTime = &timestamppb.Timestamp{Seconds: math.MaxInt64}
	rules := duel()
	got, skipped := search(t, rules, of("nan", number(math.NaN())), of("inf", number(math.Inf(1))), ticket("both", 0, both),
		of("lacks it", nil), ageless, strange, of("huge", number(math.MaxFloat64)), of("tiny", number(-math.MaxFloat64)), of("one", number(1)))
	want := map[string]engine.Reason{"nan": "skill", "inf": "skill", "both": "skill"}
	if diff := cmp.Diff(want, skipped); diff != "" {
		t.Error(diff)
	}
	if len(got) != 3 {
		t.Errorf("%d matches of six sound tickets that have waited for a minute", len(got))
	}
}

// FuzzTicket feeds any bytes as the extension of a ticket.
func FuzzTicket(f *testing.F) {
	seed, err := proto.Marshal(players("p1", "p2"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, 1.0, "eu")
	f.Add([]byte{255}, math.NaN(), "")
	f.Fuzz(func(t *testing.T, details []byte, skill float64, region string) {
		odd := &openmatch.Ticket{Id: "odd", Extensions: map[string]*anypb.Any{
			contract.TicketExtension: {TypeUrl: "type.googleapis.com/torikumi.v1.TicketDetails", Value: details}}}
		foreign := ticket("foreign", time.Minute, nil)
		foreign.SearchFields = &openmatch.SearchFields{DoubleArgs: map[string]float64{"skill": skill}, StringArgs: map[string]string{"region": region}}
		a, b := ticket("a", time.Minute, nil), ticket("b", 0, nil)
		got, _ := search(t, duel(), odd, foreign, a, b)
		matched := make(map[string]bool)
		for _, m := range got {
			for _, k := range m.Tickets {
				matched[k.GetId()] = true
			}
		}
		if !matched["a"] && !matched["b"] {
			t.Errorf("two sound tickets were left: %v", got)
		}
	})
}

// FuzzProfile feeds any bytes as the rules.
func FuzzProfile(f *testing.F) {
	seed, err := proto.Marshal(skill(duel()))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, details []byte) {
		p := profile(t, nil)
		p.Extensions = map[string]*anypb.Any{contract.ProfileExtension: {TypeUrl: "type.googleapis.com/torikumi.v1.ProfileDetails", Value: details}}
		compiled, err := new(engine.Compiler).Compile(p)
		if err != nil {
			return
		}
		pool := admit([]*openmatch.Ticket{ticket("a", time.Minute, nil), ticket("b", 0, players("p1", "p2")), ticket("c", 0, nil)}, now, ignore)
		for m := range compiled.Engine.Search(t.Context(), engine.Pool{Tickets: pool}, now, ignore) {
			if math.IsNaN(m.Score) || math.IsInf(m.Score, 0) || m.MinPlayers < 1 || len(m.Tickets) == 0 {
				t.Errorf("got %+v", m)
			}
		}
	})
}
