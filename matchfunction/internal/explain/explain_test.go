package explain_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestSummary(t *testing.T) {
	for want, x := range map[string]search.Explanation{
		"a match has been found":                                                    {Match: new(rule.Match)},
		"nobody else is waiting":                                                    {Needs: 3},
		"this search can't be matched: no region is near enough":                    {Reason: search.BadRegion},
		`this search can't be matched: no region is near enough by the rule "near"`: {Reason: search.BadRegion, Refusals: []search.Refusal{{Rule: "near"}}},
		`this search can't be matched: it has no region and no latencies, and the rules "a", "b" and "c" need them`: {Reason: search.BadRegion,
			Refusals: []search.Refusal{{Rule: "a", Lacks: true}, {Rule: "b", Lacks: true}, {Rule: "c", Lacks: true}}},
		`this search can't be matched: the rule "old" (attribute "hours") lets the player into no team`: {Reason: search.Divided, Size: 1,
			Refusals: []search.Refusal{{Rule: "old", Attribute: "hours"}}},
		`this search can't be matched: the rules "old" (attribute "hours") and "red" (attribute "side") let the party into no team`: {Reason: search.Divided, Size: 2,
			Refusals: []search.Refusal{{Rule: "old", Attribute: "hours"}, {Rule: "red", Attribute: "side"}}},
		`this search can't be matched before 8 s have passed: the rule "old" lets the player into no team`: {Reason: search.Divided,
			Refusals: []search.Refusal{{Rule: "old"}}, Later: []search.Later{{In: 7500 * time.Millisecond}}},
		`this search can't be matched: the rule "mode" (attribute "mode") keeps the players of the party apart`: {Reason: search.Divided, Size: 2,
			Refusals: []search.Refusal{{Rule: "mode", Attribute: "mode", Among: true}}},
		`this search can't be matched: the attribute "hours" is a string, must be a number; the attribute "mode" is missing; the attribute "x" must be a finite number`: {
			Reason: search.BadAttribute, Refusals: []search.Refusal{{Attribute: "hours", Got: ruleset.String, Want: ruleset.Number},
				{Attribute: "mode", Want: ruleset.String}, {Attribute: "x", Got: ruleset.Number, Want: ruleset.Number}}},
		`12 other searches are waiting, 3 could play with you; 4 more players are needed; the rule "close" keeps most of the others apart (8); in 3 s it will be up to 9`: {
			Others: 12, Candidates: 3, Players: 3, Needs: 7, Apart: []search.Apart{{Rule: "close", Tickets: 8}, {Rule: "mode", Tickets: 1}},
			Later: []search.Later{{In: 2100 * time.Millisecond, Candidates: 9}, {In: time.Minute, Candidates: 12}}},
		`9 other searches are waiting, 9 could play with you; together they don't keep the rule "fair"`: {
			Others: 9, Candidates: 9, Players: 9, Needs: 9, Broken: []string{"fair", "x"}, Later: []search.Later{{Candidates: 9}}},
		"1 other search is waiting, 0 could play with you; 1 more player is needed; most of the others play in other regions (1)": {
			Others: 1, Needs: 1, Apart: []search.Apart{{Rule: search.RegionRule, Tickets: 1}}},
	} {
		if got := explain.Summary(x); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestServer(t *testing.T) {
	now := time.Unix(1000, 0)
	d := &explain.Server{Now: func() time.Time { return now }}
	ask := func(ids ...string) int {
		t.Helper()
		r, err := d.Explain(t.Context(), &torikumiv1.ExplainRequest{TicketIds: ids})
		if err != nil {
			t.Fatal(err)
		}
		return len(r.GetExplanations())
	}
	if d.Wanted() || ask("a", "b") != 0 || !d.Wanted() {
		t.Error("something is known, or nothing is wanted")
	}
	pool := []string{"x", "b", "y"}
	picked := d.Pick(len(pool), func(i int) string { return pool[i] })
	if len(picked) != 1 || picked[0] != 1 {
		t.Errorf("picked %v", picked)
	}
	d.Learn([]*torikumiv1.Explanation{{TicketId: "b"}})
	if ask("a", "b") != 1 {
		t.Error("what a run saw is not known")
	}
	now = now.Add(31 * time.Second)
	if d.Pick(len(pool), func(i int) string { return pool[i] }) != nil || d.Wanted() || ask("b") != 0 {
		t.Error("old questions or answers are kept")
	}
}

// More tickets are asked for than one run looks at: the next runs look at the
// others.
func TestServerTakesTurns(t *testing.T) {
	now := time.Unix(1000, 0)
	d := &explain.Server{Now: func() time.Time { return now }}
	var ids []string
	for i := range 3 * explain.MostAtOnce {
		ids = append(ids, fmt.Sprint("t", i))
	}
	if _, err := d.Explain(t.Context(), &torikumiv1.ExplainRequest{TicketIds: ids}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		now = now.Add(time.Second)
		for _, i := range d.Pick(len(ids), func(i int) string { return ids[i] }) {
			d.Learn([]*torikumiv1.Explanation{{TicketId: ids[i]}})
		}
	}
	if r, err := d.Explain(t.Context(), &torikumiv1.ExplainRequest{TicketIds: ids}); err != nil || len(r.GetExplanations()) != len(ids) {
		t.Errorf("%d of %d are known, %v", len(r.GetExplanations()), len(ids), err)
	}
}

func TestServerRefuses(t *testing.T) {
	d := &explain.Server{Now: time.Now}
	for _, ids := range [][]string{make([]string, explain.MostIDs+1), {"a", ""}} {
		if _, err := d.Explain(t.Context(), &torikumiv1.ExplainRequest{TicketIds: ids}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%d ids: %v", len(ids), err)
		}
	}
	for i := range 100_000 { // asked by anybody, about anything
		if _, err := d.Explain(t.Context(), &torikumiv1.ExplainRequest{TicketIds: []string{fmt.Sprint(i)}}); err != nil {
			t.Fatal(err)
		}
	}
}
