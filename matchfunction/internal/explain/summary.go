// Package explain puts into words why tickets wait, and keeps those words for
// the frontends that ask. On the player's path it stands beside the runs of
// the match function: they look, it remembers.
package explain

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/matchfunction/internal/search"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// reasons are what players hear of tickets that fit no match.
var reasons = map[search.Reason]string{
	search.BadAttribute: "a player lacks an attribute that the rules of the queue need",
	search.BadLatency:   "a latency is not a sound number",
	search.BadParty:     "the party is larger than any team",
	search.BadRegion:    "no region is near enough",
	search.Divided:      "the players of the party can't be in one match by the rules of the queue",
}

// Message is what frontends get of an explanation.
func Message(x search.Explanation) *torikumiv1.Explanation {
	m := &torikumiv1.Explanation{
		TicketId: x.Ticket, Summary: Summary(x), Reason: string(x.Reason), Others: int32(x.Others),
		Candidates: int32(x.Candidates), CandidatePlayers: int32(x.Players), Needs: int32(x.Needs), BrokenRules: x.Broken,
	}
	for _, a := range x.Apart {
		m.Apart = append(m.Apart, &torikumiv1.ApartRule{Rule: a.Rule, Tickets: int32(a.Tickets)})
	}
	if len(x.Later) > 0 {
		m.LoosensIn, m.CandidatesThen = durationpb.New(x.Later[0].In), int32(x.Later[0].Candidates)
	}
	return m
}

// Summary is one sentence for players.
func Summary(x search.Explanation) string {
	switch {
	case x.Match != nil:
		return "a match has been found"
	case x.Reason != "":
		return "this search can't be matched: " + reasons[x.Reason]
	case x.Others == 0:
		return "nobody else is waiting"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s waiting, %d could play with you", count(x.Others, "other search is", "other searches are"), x.Candidates)
	switch {
	case x.Players < x.Needs:
		fmt.Fprintf(&b, "; %s needed", count(x.Needs-x.Players, "more player is", "more players are"))
	case len(x.Broken) > 0:
		fmt.Fprintf(&b, "; together they don't keep the rule %q", x.Broken[0])
	}
	if len(x.Apart) > 0 && x.Players < x.Needs {
		a := x.Apart[0]
		if a.Rule == search.RegionRule {
			fmt.Fprintf(&b, "; most of the others play in other regions (%d)", a.Tickets)
		} else {
			fmt.Fprintf(&b, "; the rule %q keeps most of the others apart (%d)", a.Rule, a.Tickets)
		}
	}
	if len(x.Later) > 0 && x.Later[0].Candidates > x.Candidates {
		fmt.Fprintf(&b, "; in %s it will be up to %d", seconds(x.Later[0].In), x.Later[0].Candidates)
	}
	return b.String()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// seconds rounds up: a moment later it is true.
func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", math.Ceil(max(0, d).Seconds())) }
