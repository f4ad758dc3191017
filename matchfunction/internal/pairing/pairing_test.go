package pairing_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"torikumi/matchfunction/internal/pairing"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func duel() *pairing.Rules {
	return &pairing.Rules{
		Teams:  []pairing.Team{{Name: "red", Min: 1, Max: 1}, {Name: "blue", Min: 1, Max: 1}},
		Window: 200, WidenPerSecond: 50, AnySkillAfter: 8 * time.Second,
	}
}

func drawRules(t *rapid.T) *pairing.Rules {
	r := &pairing.Rules{
		Window:         rapid.SampledFrom([]float64{0, 1, 10, 100, 1e300, math.MaxFloat64}).Draw(t, "window"),
		WidenPerSecond: rapid.SampledFrom([]float64{0, 0.5, 20, math.MaxFloat64}).Draw(t, "widen"),
		AnySkillAfter:  rapid.SampledFrom([]time.Duration{pairing.Never, 0, 1, 8 * time.Second, math.MaxInt64}).Draw(t, "any skill"),
		MaxLatencyMS:   rapid.SampledFrom([]int32{0, 50, 1000}).Draw(t, "max latency"),
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "teams") {
		least := rapid.IntRange(1, 4).Draw(t, "min")
		most := least + rapid.IntRange(0, 3).Draw(t, "more")
		r.Teams = append(r.Teams, pairing.Team{Name: fmt.Sprint("team", i), Min: least, Max: most})
	}
	return r
}

func drawTickets(t *rapid.T, maxParty int) []pairing.Ticket {
	one := rapid.Custom(func(t *rapid.T) pairing.Ticket {
		k := pairing.Ticket{
			Size: rapid.IntRange(1, maxParty).Draw(t, "size"),
			Skill: rapid.OneOf(
				rapid.Float64Range(0, 200),
				rapid.Map(rapid.IntRange(0, 9), func(i int) float64 { return float64(10 * i) }),
				rapid.SampledFrom([]float64{0, -50, 1e308, -1e308, math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 5e-324}),
			).Draw(t, "skill"),
			Created: now.Add(-time.Duration(rapid.OneOf(
				rapid.SampledFrom([]int{-1000, 0, 1000, 4000, 8000, 9000}),
				rapid.IntRange(-2000, 20_000),
			).Draw(t, "age")) * time.Millisecond),
			Region: rapid.SampledFrom([]string{"", "", "eu", "us"}).Draw(t, "region"),
		}
		if rapid.IntRange(0, 50).Draw(t, "ancient") == 0 {
			k.Created = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		for range rapid.IntRange(0, k.Size).Draw(t, "who know latencies") {
			k.Latencies = append(k.Latencies, rapid.MapOfN(
				rapid.SampledFrom([]string{"eu", "us", "ap"}), rapid.Int32Range(-1, 100), 1, 3).Draw(t, "latencies"))
		}
		return k
	})
	tickets := rapid.SliceOfN(one, 0, 40).Draw(t, "tickets")
	for i := range tickets {
		tickets[i].ID = fmt.Sprintf("t%02d", i)
	}
	return tickets
}

// readable names the tickets of proposals by id.
func readable(tickets []pairing.Ticket, proposals []pairing.Proposal) []string {
	var out []string
	for _, p := range proposals {
		s := fmt.Sprintf("%q %v:", p.Region, p.Score)
		for _, team := range p.Teams {
			s += " |"
			for _, at := range team {
				s += " " + tickets[at].ID
			}
		}
		out = append(out, s)
	}
	return out
}

func TestEveryProposalSatisfiesTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := drawRules(t)
		if err := rules.Validate(); err != nil {
			t.Fatalf("drawn rules: %v", err)
		}
		tickets := drawTickets(t, 5)
		got := pair(rules, tickets, now)
		if err := check(rules, tickets, now, got); err != nil {
			t.Fatal(err)
		}

		shuffled := rapid.Permutation(tickets).Draw(t, "order")
		again := pair(rules, shuffled, now)
		if diff := cmp.Diff(readable(tickets, got), readable(shuffled, again)); diff != "" {
			t.Fatalf("order matters: %s", diff)
		}
	})
}

func TestNobodyStaysInADuel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := duel()
		rules.MaxLatencyMS = rapid.SampledFrom([]int32{0, 50}).Draw(t, "max latency")
		tickets := drawTickets(t, 1)
		got := pair(rules, tickets, now)
		if err := check(rules, tickets, now, got); err != nil {
			t.Fatal(err)
		}
		if err := checkNobodyStays(rules, tickets, now, got); err != nil {
			t.Fatalf("%v\n%v", err, readable(tickets, got))
		}
	})
}

// Where all have waited long enough and everyone is alone, only so many are
// left as fill no team.
func TestNobodyStaysInSolos(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		teams := rapid.IntRange(1, 4).Draw(t, "teams")
		size := rapid.IntRange(1, 5).Draw(t, "size")
		rules := &pairing.Rules{AnySkillAfter: 8 * time.Second}
		for i := range teams {
			rules.Teams = append(rules.Teams, pairing.Team{Name: fmt.Sprint(i), Min: size, Max: size})
		}
		n := rapid.IntRange(0, 60).Draw(t, "tickets")
		tickets := make([]pairing.Ticket, n)
		for i := range tickets {
			tickets[i] = pairing.Ticket{ID: fmt.Sprint(i), Size: 1, Skill: rapid.Float64().Draw(t, "skill"), Created: now.Add(-8 * time.Second)}
		}
		got := pair(rules, tickets, now)
		if err := check(rules, tickets, now, got); err != nil {
			t.Fatal(err)
		}
		if want := n / (teams * size); len(got) != want {
			t.Fatalf("%d matches of %d, want %d", len(got), n, want)
		}
	})
}

// solo is a ticket of one player in the region "eu".
func solo(id string, skill float64, waited time.Duration) pairing.Ticket {
	return pairing.Ticket{ID: id, Size: 1, Skill: skill, Created: now.Add(-waited), Region: "eu"}
}

func party(id string, size int, skill float64) pairing.Ticket {
	t := solo(id, skill, time.Second)
	t.Size = size
	return t
}

func far(t pairing.Ticket, latencies ...map[string]int32) pairing.Ticket {
	t.Region, t.Latencies = "", latencies
	return t
}

func versus(least, most int) *pairing.Rules {
	r := duel()
	for i := range r.Teams {
		r.Teams[i].Min, r.Teams[i].Max = least, most
	}
	return r
}

func TestPair(t *testing.T) {
	sec := time.Second
	lone := func(t pairing.Ticket) pairing.Ticket { t.Region = ""; return t }
	tests := map[string]struct {
		rules   *pairing.Rules
		tickets []pairing.Ticket
		// teams by id, in the order of proposals
		want [][][]string
	}{
		"within the window":   {duel(), []pairing.Ticket{solo("a", 0, 0), solo("b", 200, 0)}, [][][]string{{{"b"}, {"a"}}}},
		"outside the window":  {duel(), []pairing.Ticket{solo("a", 0, 0), solo("b", 201, 0)}, nil},
		"the window widens":   {duel(), []pairing.Ticket{solo("a", 0, 2*sec), solo("b", 300, 0)}, [][][]string{{{"b"}, {"a"}}}},
		"any skill":           {duel(), []pairing.Ticket{solo("a", 0, 8*sec), solo("b", 1e9, 0)}, [][][]string{{{"b"}, {"a"}}}},
		"not yet any skill":   {duel(), []pairing.Ticket{solo("a", 0, 8*sec-1), solo("b", 1e9, 0)}, nil},
		"nearest of several":  {duel(), []pairing.Ticket{solo("a", 100, sec), solo("b", 0, 0), solo("c", 110, 0), solo("d", 125, 0)}, [][][]string{{{"c"}, {"a"}}, {{"d"}, {"b"}}}},
		"oldest chooses":      {duel(), []pairing.Ticket{solo("a", 0, 0), solo("b", 100, 2*sec), solo("c", 190, sec)}, [][][]string{{{"c"}, {"b"}}}},
		"a lone one is alone": {duel(), []pairing.Ticket{solo("z", 1e6, 7*sec), solo("a", 0, 0), solo("b", 1, 0)}, [][][]string{{{"b"}, {"a"}}}},
		"regions apart": {duel(), []pairing.Ticket{solo("a", 0, 9*sec),
			{ID: "b", Size: 1, Created: now.Add(-9 * sec), Region: "us"}}, nil},
		"any region among themselves": {duel(), []pairing.Ticket{lone(solo("a", 0, 9*sec)), solo("b", 0, 9*sec), lone(solo("c", 9, 0))}, [][][]string{{{"c"}, {"a"}}}},
		"best region first":           {duel(), []pairing.Ticket{far(solo("a", 0, sec), map[string]int32{"eu": 90, "us": 30}), solo("b", 0, 0)}, nil},
		"all regions later":           {duel(), []pairing.Ticket{far(solo("a", 0, 4*sec), map[string]int32{"eu": 90, "us": 30}), solo("b", 0, 0)}, [][][]string{{{"a"}, {"b"}}}},
		"for one who waits too long, all regions at once": {duel(), []pairing.Ticket{
			far(solo("a", 0, 0), map[string]int32{"eu": 90, "us": 30}), solo("b", 1, 8*sec)}, [][][]string{{{"b"}, {"a"}}}},
		"the worst player's latency counts": {&pairing.Rules{Teams: versus(2, 2).Teams, Window: 200, AnySkillAfter: pairing.Never, MaxLatencyMS: 50}, []pairing.Ticket{
			far(party("a", 2, 0), map[string]int32{"eu": 20, "us": 40}, map[string]int32{"eu": 60, "us": 40}), party("b", 2, 0)}, nil},
		"a party of one team": {versus(2, 2), []pairing.Ticket{party("p", 2, 10), solo("a", 0, 0), solo("b", 50, 0)}, [][][]string{{{"p"}, {"b", "a"}}}},
		"parties leave gaps for solos": {versus(3, 3), []pairing.Ticket{
			solo("a", 0, 2*sec), solo("b", 1, sec), solo("c", 2, sec), solo("d", 3, sec), party("p", 3, 20)}, [][][]string{{{"p"}, {"c", "b", "a"}}}},
		"a near one that rules out others": {versus(2, 2), []pairing.Ticket{
			solo("a", 0, 2*sec), solo("b", -150, 0), solo("c", 160, 0), solo("d", 170, 0), solo("e", 250, 0)}, [][][]string{{{"e", "a"}, {"d", "c"}}}},
		"two near ones, of whom one is too much": {versus(2, 2), []pairing.Ticket{
			solo("a", 0, 2*sec), solo("b", -100, 0), solo("c", -150, 0), solo("d", 180, 0), solo("e", 200, 0)}, [][][]string{{{"e", "b"}, {"d", "a"}}}},
		"parties that fit by number only": {versus(3, 3), []pairing.Ticket{
			party("p", 2, 0), party("q", 2, 1), party("r", 2, 2), solo("s", 50, 0), solo("t", 60, 0)}, [][][]string{{{"q", "s"}, {"p", "t"}}}},
		"full if it can be":   {versus(1, 2), []pairing.Ticket{solo("a", 0, 0), solo("b", 1, 0), solo("c", 2, 0), solo("d", 3, 0)}, [][][]string{{{"d", "a"}, {"c", "b"}}}},
		"smaller if it can't": {versus(1, 2), []pairing.Ticket{solo("a", 0, 0), solo("b", 1, 0), solo("c", 2, 0)}, [][][]string{{{"b"}, {"c", "a"}}}},
		"too few":             {versus(2, 2), []pairing.Ticket{solo("a", 0, 9*sec), solo("b", 1, 9*sec), solo("c", 2, 9*sec)}, nil},
		"unequal teams": {&pairing.Rules{Teams: []pairing.Team{{Name: "hunter", Min: 1, Max: 1}, {Name: "prey", Min: 2, Max: 4}}, Window: 9, AnySkillAfter: pairing.Never},
			[]pairing.Ticket{solo("a", 1, 0), solo("b", 2, 0), solo("c", 3, 0)}, [][][]string{{{"b"}, {"c", "a"}}}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := pair(c.rules, c.tickets, now)
			if err := check(c.rules, c.tickets, now, got); err != nil {
				t.Error(err)
			}
			var ids [][][]string
			for _, p := range got {
				var teams [][]string
				for _, team := range p.Teams {
					var members []string
					for _, at := range team {
						members = append(members, c.tickets[at].ID)
					}
					teams = append(teams, members)
				}
				ids = append(ids, teams)
			}
			if diff := cmp.Diff(c.want, ids); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestSearchEndsWithItsContext(t *testing.T) {
	tickets := make([]pairing.Ticket, 1000)
	for i := range tickets {
		tickets[i] = solo(fmt.Sprint(i), float64(i), 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	found := 0
	for range pairing.Search(ctx, duel(), tickets, now, nil) {
		found++
		cancel()
	}
	if found == 0 || found >= len(tickets)/2 {
		t.Errorf("%d matches after the cancellation", found)
	}
	for range pairing.Search(t.Context(), duel(), tickets, now, nil) {
		break // must not panic
	}
}

func TestSkippedTicketsHaveAReason(t *testing.T) {
	tickets := []pairing.Ticket{
		solo("ok", 0, 0), solo("nan", math.NaN(), 0), solo("inf", math.Inf(-1), 0), party("large", 2, 0), party("empty", 0, 0),
		far(solo("negative", 0, 0), map[string]int32{"eu": -1}),
		far(solo("nowhere", 0, 0), map[string]int32{"eu": 300}),
	}
	rules := duel()
	rules.MaxLatencyMS = 200
	got := make(map[string]pairing.Reason)
	for range pairing.Search(t.Context(), rules, tickets, now, func(i int, r pairing.Reason) { got[tickets[i].ID] = r }) {
		t.Error("a match of broken tickets")
	}
	want := map[string]pairing.Reason{"nan": pairing.BadSkill, "inf": pairing.BadSkill, "large": pairing.BadSize, "empty": pairing.BadSize,
		"negative": pairing.BadLatency, "nowhere": pairing.NoRegion}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBalance(t *testing.T) {
	var tickets []pairing.Ticket
	for i, skill := range []float64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1} {
		tickets = append(tickets, solo(fmt.Sprint(i), skill, 0))
	}
	p := pair(versus(5, 5), tickets, now)[0]
	sum := func(team []int) (s float64) {
		for _, at := range team {
			s += tickets[at].Skill
		}
		return s
	}
	if d := math.Abs(sum(p.Teams[0]) - sum(p.Teams[1])); d > 1 {
		t.Errorf("sums differ by %v: %v", d, p.Teams)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*pairing.Rules){
		"teams: ":                func(r *pairing.Rules) { r.Teams = nil },
		"teams[1].name: ":        func(r *pairing.Rules) { r.Teams[1].Name = "red" },
		"teams[0].name: ":        func(r *pairing.Rules) { r.Teams[0].Name = "" },
		"teams[0].min_players: ": func(r *pairing.Rules) { r.Teams[0].Min = 0 },
		"teams[1].max_players: ": func(r *pairing.Rules) { r.Teams[1].Max = 0 },
		"window: ":               func(r *pairing.Rules) { r.Window = math.NaN() },
		"widen_per_second: ":     func(r *pairing.Rules) { r.WidenPerSecond = math.Inf(1) },
		"any_skill_after: ":      func(r *pairing.Rules) { r.AnySkillAfter = -2 },
		"max_latency_ms: ":       func(r *pairing.Rules) { r.MaxLatencyMS = -1 },
	} {
		r := duel()
		change(r)
		if err := r.Validate(); err == nil || len(err.Error()) < len(field) || err.Error()[:len(field)] != field {
			t.Errorf("%s got %v", field, err)
		}
	}
	if err := duel().Validate(); err != nil {
		t.Error(err)
	}
	big := duel()
	big.Teams = slices.Repeat(big.Teams, 60)
	if big.Validate() == nil {
		t.Error("120 teams were accepted")
	}
}

// FuzzPair feeds rules and tickets that are rubbish in every number.
func FuzzPair(f *testing.F) {
	f.Add(1, 1, 200.0, 50.0, int64(8e9), int32(0), 1.0, 2.0, 3.0, int64(0), int64(9e9), "eu")
	f.Add(2, 3, math.Inf(1), math.NaN(), int64(-5), int32(-1), math.NaN(), math.Inf(-1), -1e308, int64(math.MaxInt64), int64(math.MinInt64), "")
	f.Add(1, 1, math.MaxFloat64, math.MaxFloat64, int64(math.MaxInt64), int32(1), math.MaxFloat64, -math.MaxFloat64, 0.0, int64(-1), int64(1), "x")
	f.Fuzz(func(t *testing.T, least, most int, window, widen float64, after int64, latency int32, s1, s2, s3 float64, w1, w2 int64, region string) {
		rules := versus(least, most)
		rules.Window, rules.WidenPerSecond, rules.AnySkillAfter, rules.MaxLatencyMS = window, widen, time.Duration(after), latency
		if rules.Validate() != nil {
			return
		}
		tickets := []pairing.Ticket{
			{ID: "a", Size: least, Skill: s1, Created: now.Add(time.Duration(w1)), Region: region},
			{ID: "b", Size: 1, Skill: s2, Created: now.Add(time.Duration(w2)), Region: region},
			{ID: "c", Size: most, Skill: s3, Created: now, Latencies: []map[string]int32{{region: latency}}},
			{ID: "d", Size: 1, Skill: (s1 + s2) / 2, Created: now, Latencies: []map[string]int32{{region: latency + 1, "other": 3}}},
			{ID: "e", Size: 1, Skill: -s3, Created: time.Time{}, Region: region},
		}
		if err := check(rules, tickets, now, pair(rules, tickets, now)); err != nil {
			t.Error(err)
		}
	})
}
