package cli

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
)

// What is said to players and to developers of what is still to come.
func TestExplainTexts(t *testing.T) {
	const s = time.Second
	for name, c := range map[string]struct {
		x             search.Explanation
		summary, text string
	}{
		"bots": {
			search.Explanation{Ticket: "me", Needs: 1, Later: []search.Later{{In: 10 * s}}},
			"nobody else is waiting; in 10 s nobody else is needed",
			"me has waited 0s and is in no match.\nNobody else is waiting; in 10 s nobody else is needed.\nThe smallest match needs 1 player.\n" +
				"In 10s, as the rules loosen, the smallest match needs 0.\n",
		},
		"smaller teams": {
			search.Explanation{Ticket: "me", Others: 1, Candidates: 1, Players: 1, Needs: 5, Later: []search.Later{{In: 30 * s, Candidates: 1, Players: 1, Needs: 3}}},
			"1 other search is waiting, 1 could play with you; 4 more players are needed; in 30 s a match needs 3 players beside you",
			"me has waited 0s and is in no match.\n1 other tickets wait.\n     1 could play with it: 1 players, and the smallest match needs 5\n" +
				"In 30s, as the rules loosen, the smallest match needs 3.\n",
		},
		"more, and smaller": {
			search.Explanation{Ticket: "me", Others: 3, Needs: 3, Later: []search.Later{
				{In: 5 * s, Candidates: 1, Players: 2, Needs: 3}, {In: 30 * s, Candidates: 3, Players: 4, Needs: 1},
			}},
			"3 other searches are waiting, 0 could play with you; 3 more players are needed; in 5 s it will be up to 1",
			"me has waited 0s and is in no match.\n3 other tickets wait.\n     0 could play with it: 0 players, and the smallest match needs 3\n" +
				"In 5s, as the rules loosen, up to 1 of them could play with it: 2 players.\n" +
				"In 30s, as the rules loosen, up to 3 of them could play with it: 4 players, and the smallest match needs 1.\n",
		},
		"patience": {
			search.Explanation{Ticket: "me", Others: 1, Candidates: 1, Players: 1, Needs: 1, Held: &search.Held{Spread: 80, Most: 50, In: 60 * s, Patience: true}},
			"1 other search is waiting, 1 could play with you; a match is possible, and a closer one is waited for, 60 s at most",
			"me has waited 0s and is in no match.\n1 other tickets wait.\n     1 could play with it: 1 players, and the smallest match needs 1\n" +
				"With some of them it could be in a match now whose spread is 80. By the patience 50 is close enough; in 1m0s this match is, unless a closer one is there before.\n",
		},
		"alike but for a little": {
			search.Explanation{Ticket: "me", Others: 1, Needs: 1, Apart: []search.Apart{{Rule: "R", Kind: "batchDistance", Tickets: 1, Threshold: search.Threshold{Most: 2000, Needed: 2000.4}}}},
			`1 other search is waiting, 0 could play with you; 1 more player is needed; the rule "R" keeps most of the others apart (1)`,
			"me has waited 0s and is in no match.\n1 other tickets wait.\n" +
				"     1 are kept apart by the rule \"R\" (batchDistance): it allows a difference of 2000, the nearest is 2000.4 away; it never allows that\n" +
				"     0 could play with it: 0 players, and the smallest match needs 1\n",
		},
	} {
		if got := explain.Summary(c.x); got != c.summary {
			t.Errorf("%s: %s", name, got)
		}
		if diff := cmp.Diff(c.text, explanation(c.x)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, c := range []struct{ a, b float64 }{{1, math.Nextafter(1, 2)}, {1e15, 1e15 + 1}, {0.1, 0.1 + 1e-9}} {
		if most, needed := figures(search.Threshold{Most: c.a, Needed: c.b}); most == needed {
			t.Errorf("%v and %v are both %s", c.a, c.b, most)
		}
	}
	soon := explained(search.Explanation{Broken: []string{"R"}, Thresholds: []search.Threshold{{Most: 1, Loosens: true, In: 10 * s, Then: 2}}})
	if in := soon.Breaches[0].AllowedInS; in == nil || *in != 10 {
		t.Errorf("the text says that it allows more in 10 s, JSON says %v", in)
	}
}
