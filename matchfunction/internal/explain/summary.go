// Package explain puts into words why tickets wait, and keeps those words for
// the frontends that ask. On the player's path it stands beside the runs of
// the match function: they look, it remembers.
package explain

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/matchfunction/internal/search"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// reasons are what players hear of tickets that fit no match, where no more is
// known.
var reasons = map[search.Reason]string{
	search.BadAttribute: "a player lacks an attribute that the rules of the queue need",
	search.BadLatency:   "a latency is not a sound number",
	search.BadParty:     "the party is larger than any team",
	search.BadRegion:    "no region is near enough",
	search.Divided:      "the rules of the queue let it into no team",
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
		if len(x.Later) > 0 {
			return fmt.Sprintf("this search can't be matched before %s have passed: %s", seconds(x.Later[0].In), Flaw(x))
		}
		return "this search can't be matched: " + Flaw(x)
	case x.Others == 0:
		return "nobody else is waiting" + fewer(x)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s waiting, %d could play with you", Count(x.Others, "other search is", "other searches are"), x.Candidates)
	switch {
	case x.Players < x.Needs:
		fmt.Fprintf(&b, "; %s needed", Count(x.Needs-x.Players, "more player is", "more players are"))
	case len(x.Broken) > 0:
		fmt.Fprintf(&b, "; together they don't keep the rule %q", x.Broken[0])
	case x.Elsewhere:
		b.WriteString("; they are in other matches now")
	case x.Held != nil:
		fmt.Fprintf(&b, "; a match is possible, and a closer one is waited for, %s at most", seconds(x.Held.In))
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
	} else if x.Players < x.Needs {
		b.WriteString(fewer(x))
	}
	return b.String()
}

// fewer says when a match needs fewer players than now.
func fewer(x search.Explanation) string {
	for _, l := range x.Later {
		switch {
		case l.Needs >= x.Needs:
			continue
		case l.Needs == 0:
			return fmt.Sprintf("; in %s nobody else is needed", seconds(l.In))
		}
		return fmt.Sprintf("; in %s a match needs %s beside you", seconds(l.In), Count(l.Needs, "player", "players"))
	}
	return ""
}

// Flaw says why a ticket fits no match whoever else waits. It names rules and
// attributes, and no values: tickets with the same flaw have the same text.
func Flaw(x search.Explanation) string {
	who, rules := "the player", ""
	if x.Size > 1 {
		who = "the party"
	}
	var parts []string
	for i, r := range x.Refusals {
		switch {
		case r.Rule == "":
			parts = append(parts, wrong(r))
			continue
		case i > 0 && i == len(x.Refusals)-1:
			rules += " and "
		case i > 0:
			rules += ", "
		}
		rules += fmt.Sprintf("%q", r.Rule)
		if r.Attribute != "" {
			rules += fmt.Sprintf(" (attribute %q)", r.Attribute)
		}
	}
	if rules == "" {
		return cmp.Or(strings.Join(parts, "; "), reasons[x.Reason])
	}
	s := "" // of a verb that one rule does
	if rules = "the rules " + rules; len(x.Refusals) == 1 {
		rules, s = strings.Replace(rules, "rules", "rule", 1), "s"
	}
	switch first := x.Refusals[0]; {
	case first.Lacks:
		return fmt.Sprintf("it has no region and no latencies, and %s need%s them", rules, s)
	case first.LacksSome:
		return fmt.Sprintf("there is no region to which all players have a latency, and %s need%s one", rules, s)
	case first.Among:
		return fmt.Sprintf("%s keep%s the players of the party apart", rules, s)
	case x.Reason == search.BadRegion:
		return "no region is near enough by " + rules
	default:
		return fmt.Sprintf("%s let%s %s into no team", rules, s, who)
	}
}

func wrong(r search.Refusal) string {
	switch r.Got {
	case "":
		return fmt.Sprintf("the attribute %q is missing", r.Attribute)
	case r.Want:
		return fmt.Sprintf("the attribute %q must be a finite number", r.Attribute)
	default:
		return fmt.Sprintf("the attribute %q is a %s, must be a %s", r.Attribute, r.Got, r.Want)
	}
}

// Count is "1 match", "2 matches".
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// seconds rounds up: a moment later it is true.
func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", math.Ceil(max(0, d).Seconds())) }
