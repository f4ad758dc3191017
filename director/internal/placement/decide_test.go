package placement

import (
	"fmt"
	"testing"
)

// results are what can come of each step.
func results(step Step) []Result {
	return map[Step][]Result{
		Claim:       {Done, NotDone, Refused},
		Ask:         {Done, NotDone, Refused},
		Adopt:       {Done, DoneSeveral, DoneUnreachable, None, Unknown},
		Allocate:    {Done, DoneUnreachable, NotDone, Refused, Unknown},
		Assign:      {Done, DoneTooFew, None, NotDone, Refused, Revoked, Unknown},
		Verify:      {Done, Unknown},
		Announce:    {Done},
		Withdraw:    {Done},
		DeleteExtra: {Done},
		GiveUp:      {Done},
		Deallocate:  {Done, Unknown},
		Release:     {Done, Unknown},
	}[step]
}

// facts are what has happened, noted without the help of State.
type facts struct {
	// open: directors claim tickets, and this one has not. taken: others have some.
	// revoked: others have taken some over.
	open, taken, revoked bool
	// unasked: players have to be asked, and have not all accepted. declined: they do not
	// play.
	unasked, declined bool
	// sought: a search for a server was tried. known: a server surely carries the
	// match. doubt: one may carry it that no search since then has shown.
	sought, known, doubt bool
	// unreachable: players cannot be sent to the server. several: more than one
	// server may carry the match.
	unreachable, several bool
	// maybe: an assignment may be in effect. assigned: it surely is. empty: an
	// answer said that no ticket exists. few: it is in effect for too few.
	maybe, assigned, empty, few, withdrawn         bool
	verified, announced, deletedExtra, deallocated bool
	// dying: a server may be deleted later on.
	dying                    bool
	released, releasedSurely bool
	// allocRefused, assignRefused: an answer said that no try will help.
	allocRefused, assignRefused bool
}

// after returns the facts once a step has had a result.
func (f facts) after(step Step, r Result) facts {
	switch step {
	case Claim:
		f.open, f.taken = r == NotDone, r == Refused
	case Ask:
		f.unasked, f.declined = r != Done, r == Refused
	case Adopt:
		f.sought = true
		switch r {
		case Done, DoneSeveral, DoneUnreachable:
			f.known, f.doubt = true, false
			f.unreachable, f.several = r == DoneUnreachable, f.several || r == DoneSeveral
		case None:
			f.doubt = false
		}
	case Allocate:
		f.known = r == Done || r == DoneUnreachable
		f.unreachable, f.doubt, f.several = r == DoneUnreachable, r == Unknown, f.several || r == Unknown
		f.allocRefused = r == Refused
	case Assign:
		f.maybe = f.maybe || r == Done || r == DoneTooFew || r == Unknown
		f.assigned, f.empty, f.few = r == Done, f.empty || r == None, r == DoneTooFew
		f.assignRefused, f.revoked = f.assignRefused || r == Refused, r == Revoked
	case Verify:
		f.verified, f.assigned = true, r == Done
	case Announce:
		f.announced = true
	case Withdraw:
		f.withdrawn = true
	case DeleteExtra:
		f.deletedExtra = true
	case Deallocate:
		f.deallocated, f.dying = true, r == Unknown
	case Release:
		f.released, f.releasedSurely = true, r == Done
	}
	return f
}

// broken names the promise that a step would break.
func broken(s State, f facts, step Step, now Phase) string {
	serverMayBe := f.known || f.doubt || f.several
	switch {
	case f.open && step != Claim && step != End:
		return "something done with tickets that may be another's"
	case f.taken && step != Release && step != End:
		return "a match placed whose tickets are another's"
	case f.unasked && (step == Adopt || step == Allocate || step == Assign || step == Announce):
		return "a server before all have accepted"
	case f.declined && step != Release && step != End:
		return "a match placed that players have declined"
	case f.revoked && step != End:
		return "something done with tickets that another has taken over"
	}
	switch step {
	case Claim:
		switch {
		case !f.open:
			return "a claim without need"
		case now == Over:
			return "a claim when the time is over"
		}
	case Ask:
		switch {
		case !f.unasked || f.declined:
			return "players asked who were asked already"
		case now != Open:
			return "players asked for a match that is not played"
		}
	case Adopt:
		switch {
		case !s.CanList:
			return "a list that is not there"
		case f.known:
			return "a search for a server that is known"
		case now != Open:
			return "a search when no server is wanted any more"
		}
	case Allocate:
		switch {
		case f.known || f.doubt:
			return "a second server for one match"
		case s.CanList && !f.sought:
			return "a server of an earlier director is forgotten"
		case now != Open || f.allocRefused:
			return "a server allocated too late"
		}
	case Assign:
		switch {
		case !f.known || f.unreachable:
			return "players sent to no server"
		case f.assigned || f.few || f.empty || f.assignRefused:
			return "an assignment repeated in vain"
		case now == Over:
			return "no end when the time is over"
		}
	case Verify:
		switch {
		case !s.CanRead:
			return "tickets that cannot be read"
		case !f.maybe || f.assigned || f.few || f.verified:
			return "tickets read for nothing"
		}
	case Announce:
		if !f.assigned || f.announced {
			return "an announcement of what is not so, or a second one"
		}
	case Withdraw:
		if !f.few || f.withdrawn {
			return "an assignment withdrawn that is enough for a match, or twice"
		}
	case DeleteExtra:
		if !s.CanList || !f.announced && !f.withdrawn || !f.several {
			return "servers deleted beside the match's without need or before players know theirs"
		}
	case GiveUp:
		switch {
		case f.maybe || f.empty:
			return "a match given up that may be assigned, or that nobody waits for"
		case now == Open && !(f.doubt && !s.CanList):
			return "a match given up before its time"
		}
	case Deallocate:
		switch {
		case f.maybe:
			return "a server deallocated that players may be on"
		case !s.CanList || !serverMayBe || f.deallocated:
			return "a deallocation of nothing"
		}
	case Release:
		switch {
		case f.maybe:
			return "tickets released that may be assigned"
		case f.dying:
			return "tickets released to a server that is about to be deleted"
		case serverMayBe && s.CanList && !f.deallocated:
			return "tickets released before their server was deallocated"
		case f.empty || f.released:
			return "a release of nothing"
		}
	case End:
		return brokenEnd(s, f, now)
	}
	return ""
}

// brokenEnd names the promise that ending here would break.
func brokenEnd(s State, f facts, now Phase) string {
	switch {
	case f.open && now != Over:
		return "tickets that were not claimed"
	case f.open || f.revoked:
		// Open Match shows the tickets again, or the other has them.
	case f.assigned && !f.announced:
		return "an assignment that nobody hears of"
	case f.few && !f.withdrawn:
		return "players sent to a match of too few"
	case (f.assigned || f.few) && f.several && s.CanList && !f.deletedExtra:
		return "a second server that nobody will ever reach"
	case !f.maybe && !f.empty && !f.dying && !f.released:
		return "stranded tickets"
	case !f.maybe && (f.known || f.several) && s.CanList && !f.deallocated:
		return "a server that nobody will ever reach"
	case f.maybe && !f.assigned && !f.few && s.CanRead && !f.verified:
		return "tickets that could have been read"
	case f.maybe && !f.assigned && !f.few && now != Over && !f.empty && !f.assignRefused:
		return "an assignment that was not tried to the end"
	}
	want := OutcomePending
	switch {
	case f.revoked:
		want = OutcomeSuperseded
	case f.assigned:
		want = OutcomeAssigned
	case f.few:
		want = OutcomeWithdrawn
	case f.maybe:
		want = OutcomeUnknown
	case f.empty:
		want = OutcomeAbandoned
	case f.releasedSurely:
		want = OutcomeReleased
	}
	if got := s.Stage.outcome(); got != want {
		return fmt.Sprintf("the outcome %s of what is %s", got, want)
	}
	return ""
}

type node struct {
	State
	facts
	now Phase
}

// explore walks through every state that can come about, with every result of
// every step and time running out at any moment, and calls visit for each step.
func explore(visit func(from node, step Step, r Result, to node)) (seen map[node]bool) {
	seen = make(map[node]bool)
	var todo []node
	for i := range 16 {
		todo = append(todo, node{State: Start(i&4 != 0, i&8 != 0, i&1 != 0, i&2 != 0), facts: facts{open: i&4 != 0, unasked: i&8 != 0}})
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		step := Decide(n.State, n.now)
		for _, r := range results(step) {
			to := node{Apply(n.State, step, r), n.facts.after(step, r), n.now}
			visit(n, step, r, to)
			todo = append(todo, to)
		}
		if n.now != Over {
			n.now++
			todo = append(todo, n)
		}
	}
	return seen
}

func TestPromises(t *testing.T) {
	seen := explore(func(node, Step, Result, node) {})
	stages := make(map[Stage]bool)
	for n := range seen {
		stages[n.Stage] = true
		step := Decide(n.State, n.now)
		if msg := broken(n.State, n.facts, step, n.now); msg != "" {
			t.Fatalf("%s: %v in %+v", msg, step, n)
		}
	}
	for s := Unclaimed; s <= Pending; s++ {
		if !stages[s] {
			t.Errorf("stage %v is never reached", s)
		}
	}
	t.Logf("%d states", len(seen))
}

// TestEnds: no path goes round without waiting, and once the match's time is over
// none goes round at all.
func TestEnds(t *testing.T) {
	next := make(map[node][]node)
	explore(func(from node, step Step, r Result, to node) {
		if from.now == Over || !Waits(from.State, step, r) {
			next[from] = append(next[from], to)
		}
	})
	const under, done = 1, 2
	mark := make(map[node]int)
	var walk func(n node)
	walk = func(n node) {
		switch mark[n] {
		case under:
			t.Fatalf("no end: %v in %+v", Decide(n.State, n.now), n)
		case done:
			return
		}
		mark[n] = under
		for _, to := range next[n] {
			walk(to)
		}
		mark[n] = done
	}
	for n := range next {
		walk(n)
	}
}
