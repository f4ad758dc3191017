package engine_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"torikumi/matchfunction/internal/engine"
	"torikumi/matchfunction/internal/tickets"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// matched says who plays with whom: the players of each team of each match.
func matched(t *rapid.T, rules proto.Message, all []*openmatch.Ticket, backfills []*openmatch.Backfill) []string {
	p := &openmatch.MatchProfile{Pools: []*openmatch.Pool{{}}}
	if err := contract.Put(&p.Extensions, contract.ProfileExtension, rules); err != nil {
		t.Fatal(err)
	}
	compiled, err := new(engine.Compiler).Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	read := make([]tickets.Read, len(all))
	for i, k := range all {
		read[i] = tickets.Decode(k)
	}
	pool := engine.Pool{Tickets: compiled.Admit(read, now, ignore), Backfills: engine.AdmitBackfills(backfills)}
	var out []string
	for m := range compiled.Engine.Search(t.Context(), pool, now, ignore) {
		out = append(out, fmt.Sprint(m.Region, m.Teams, m.Backfill.GetId()))
	}
	return out
}

// breakages make of a sound ticket, each by one field, one that fits no match of
// the rules below.
var breakages = map[string]func(*openmatch.Ticket, *torikumiv1.TicketDetails){
	"no id":      func(k *openmatch.Ticket, _ *torikumiv1.TicketDetails) { k.Id = "" },
	"over":       func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) { d.ExpireTime = timestamppb.New(now) },
	"no players": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) { d.Players = nil },
	"nameless, last": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) {
		d.Players = append(d.Players, &torikumiv1.Player{})
	},
	"nameless, first": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) {
		d.Players = slices.Insert(d.Players, 0, &torikumiv1.Player{})
	},
	"one player twice": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) { d.Players = append(d.Players, d.Players[0]) },
	"not a number":     func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) { d.Players[0].Attributes = number(math.NaN()) },
	"infinite":         func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) { d.Players[0].Attributes = number(math.Inf(-1)) },
	"negative latency": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) {
		d.Players[0].Latencies = map[string]int32{"eu": -1}
	},
	"nowhere near": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) {
		d.Players[0].Latencies = map[string]int32{"eu": 999}
	},
	"unreadable details": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) { d.Players[0].Id = "\xff" },
	"too many": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) {
		for i := range 9 {
			d.Players = append(d.Players, &torikumiv1.Player{Id: fmt.Sprint("extra ", i)})
		}
	},
	"invented regions": func(_ *openmatch.Ticket, d *torikumiv1.TicketDetails) {
		d.Players[0].Attributes, d.Players[0].Latencies = number(math.NaN()), map[string]int32{}
		for i := range 70 {
			d.Players[0].Latencies[fmt.Sprint("a", i)] = 1
		}
	},
}

// A broken item anywhere in a list changes nothing for the others, whichever of
// its fields is wrong and whoever's name it bears.
func TestBrokenItemsChangeNothing(t *testing.T) {
	const text = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 2}, {"name": "blue", "minPlayers": 1, "maxPlayers": 2}],
		"rules": [{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 200},
			{"name": "Near", "type": "latency", "maxLatency": 100}]}`
	skills := duel()
	skills.MaxLatencyMs = 100
	for i := range skills.Teams {
		skills.Teams[i].MaxPlayers = 2
	}
	for name, rules := range map[string]proto.Message{"skill": skill(skills), "rule set": ruleSet(text)} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				details := func(players int) *torikumiv1.TicketDetails {
					d := new(torikumiv1.TicketDetails)
					for i := range players {
						d.Players = append(d.Players, &torikumiv1.Player{
							Id:         rapid.StringMatching("[a-f]").Draw(t, "player") + fmt.Sprint(i),
							Attributes: number(float64(rapid.IntRange(0, 400).Draw(t, "skill"))),
							Latencies:  map[string]int32{"eu": int32(rapid.IntRange(0, 90).Draw(t, "ms"))},
						})
					}
					return d
				}
				wait := func() time.Duration { return time.Duration(rapid.IntRange(0, 10).Draw(t, "wait")) * time.Second }
				var sound []*openmatch.Ticket
				for i := range rapid.IntRange(0, 6).Draw(t, "tickets") {
					sound = append(sound, ticket(fmt.Sprint("t", 10*i), wait(), details(rapid.IntRange(1, 2).Draw(t, "size"))))
				}
				all := slices.Clone(sound)
				for i := range rapid.IntRange(1, 3).Draw(t, "broken tickets") {
					how := rapid.SampledFrom(slices.Sorted(maps.Keys(breakages))).Draw(t, "how")
					d := details(1)
					k := ticket(fmt.Sprint("t", 10*rapid.IntRange(0, 6).Draw(t, "id")+1+i), wait(), nil)
					breakages[how](k, d)
					packed, err := proto.MarshalOptions{}.Marshal(d)
					if err != nil { // a text that is no UTF-8
						packed = []byte{255}
					}
					k.Extensions = map[string]*anypb.Any{contract.TicketExtension: {TypeUrl: "type.googleapis.com/torikumi.v1.TicketDetails", Value: packed}}
					all = slices.Insert(all, rapid.IntRange(0, len(all)).Draw(t, "at"), k)
				}
				var running []*openmatch.Backfill
				if rapid.Bool().Draw(t, "a running match") {
					running = append(running, backfill(t, "b1", "red", 1))
				}
				mixed := slices.Clone(running)
				for range rapid.IntRange(0, 2).Draw(t, "broken backfills") {
					mixed = slices.Insert(mixed, rapid.IntRange(0, len(mixed)).Draw(t, "at"), rapid.SampledFrom([]*openmatch.Backfill{
						nil, {}, {Id: "a foreign one"}, {Id: "b1"}, backfill(t, "", "red", 1), backfill(t, "a2", "no such team", 1), backfill(t, "a3", "red", 7),
						{Id: "a4", Extensions: map[string]*anypb.Any{contract.BackfillExtension: {TypeUrl: "x/y", Value: []byte{255}}}},
					}).Draw(t, "broken backfill"))
				}
				want, got := matched(t, rules, sound, running), matched(t, rules, all, mixed)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatal(diff)
				}
			})
		})
	}
}

// backfill is a running match with so many players in a team.
func backfill(t *rapid.T, id, team string, players int) *openmatch.Backfill {
	b := &openmatch.Backfill{Id: id, CreateTime: timestamppb.New(now), Generation: 1}
	side := &torikumiv1.BackfillTeam{Name: team}
	for i := range players {
		side.Players = append(side.Players, &torikumiv1.Player{Id: fmt.Sprint(id, " plays ", i), Attributes: number(200), Latencies: map[string]int32{"eu": 9}})
	}
	if err := contract.Put(&b.Extensions, contract.BackfillExtension, &torikumiv1.BackfillDetails{Region: "eu", Teams: []*torikumiv1.BackfillTeam{side}}); err != nil {
		t.Fatal(err)
	}
	return b
}

// The tickets of the report: the refused one left its player at the next's place.
func TestARefusedTicketLeavesNobodyBehind(t *testing.T) {
	x := players("x", "")
	got, skipped := search(t, duel(), ticket("1", 0, x), ticket("2", 0, players("x")), ticket("3", 0, players("y")))
	if len(got) != 1 || len(skipped) != 1 || skipped["1"] != engine.BadPlayers {
		t.Errorf("got %v, skipped %v", got, skipped)
	}
}

// Tickets that fit no match do not use up the regions that count in a run.
func TestInventedRegionsLose(t *testing.T) {
	const text = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}],
		"rules": [{"name": "Near", "type": "latency", "maxLatency": 100},
			{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 200}]}`
	of := func(id string, skill float64, latencies map[string]int32) *openmatch.Ticket {
		d := players(id)
		d.Players[0].Attributes, d.Players[0].Latencies = number(skill), latencies
		return ticket(id, 0, d)
	}
	invented := make(map[string]int32)
	for i := range 70 {
		invented[fmt.Sprint("a", i)] = 1
	}
	all := []*openmatch.Ticket{of("x", 1, map[string]int32{"eu": 1}), of("y", 1, map[string]int32{"eu": 1})}
	for i := range 3 {
		all = append(all, of(fmt.Sprint("broken", i), math.NaN(), invented))
	}
	p, err := new(engine.Compiler).Compile(profile(t, ruleSet(text)))
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Collect(p.Engine.Search(t.Context(), engine.Pool{Tickets: admit(all, now, ignore)}, now, ignore))
	if len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// The words of a refused ticket are not the first that others are matched by.
func TestWordsOfARefusedTicket(t *testing.T) {
	const text = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "maps", "type": "string_list"}, {"name": "skill", "type": "number"}],
		"teams": [{"name": "all", "minPlayers": 3, "maxPlayers": 3}],
		"rules": [{"name": "Map", "type": "collection", "operation": "intersection", "measurements": ["flatten(teams[*].players.attributes[maps])"], "minCount": 1},
			{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 200}]}`
	of := func(id string, waited time.Duration, skill float64, maps ...string) *openmatch.Ticket {
		d := players(id)
		d.Players[0].Attributes = number(skill)
		d.Players[0].Attributes["maps"] = &torikumiv1.Attribute{Value: &torikumiv1.Attribute_StringList_{StringList: &torikumiv1.Attribute_StringList{Values: maps}}}
		return ticket(id, waited, d)
	}
	p, err := new(engine.Compiler).Compile(profile(t, ruleSet(text)))
	if err != nil {
		t.Fatal(err)
	}
	partner := func(more ...*openmatch.Ticket) string {
		// The nearest leads nowhere; then the words that k has are tried one by one.
		all := append([]*openmatch.Ticket{of("k", 2*time.Second, 100, "w", "y", "x"), of("l", time.Second, 101, "w"),
			of("m", time.Second, 110, "x"), of("n", time.Second, 110, "y"), of("o", time.Second, 111, "x"), of("p", time.Second, 111, "y")}, more...)
		got := slices.Collect(p.Engine.Search(t.Context(), engine.Pool{Tickets: admit(all, now, ignore)}, now, ignore))
		if len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		return fmt.Sprint(got[0].Teams)
	}
	alone := partner()
	for _, maps := range [][]string{{"x", "y"}, {"y", "x"}, {"x"}, {"y"}} {
		if got := partner(of("a", time.Minute, math.NaN(), maps...)); got != alone {
			t.Errorf("beside a refused ticket with %q: %s, alone %s", maps, got, alone)
		}
	}
}
