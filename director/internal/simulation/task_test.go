package simulation_test

import (
	"slices"

	"torikumi/director/internal/placement"
)

// task is a match that a director places, as placement.Placer does: the steps are
// those of Decide, and their results go to Apply.
type task struct {
	*world
	director            *director
	match               string
	tickets             []*ticket
	token               int
	state               placement.State
	workEnd, cleanupEnd int
	pauseEnd            int
	server              *server
	claimed, confirmed  bool
	confirming          bool // the match may be confirmed
	others              []int
	step                placement.Step
	call                *call
	// looked is the event of the last look for servers to delete; failed says that a
	// deletion has.
	looked int
	failed bool
}

// call is one that a task has made.
type call struct {
	task     *task
	step     placement.Step
	effect   func(*call) placement.Result
	deadline int // the caller's
	// server and others are what the answer says.
	server *server
	others []int
	// notAfter is when the network forgets it; 0: never.
	notAfter int
	// lost is the result when no answer comes; unsent when it has not left.
	lost, unsent placement.Result
}

func (t *task) phase() placement.Phase {
	if t.now >= t.workEnd {
		return placement.Over
	}
	return placement.Open
}

// next takes the next step, if it is not waiting.
func (t *task) next() {
	if t.call != nil || t.now < t.pauseEnd {
		return
	}
	switch t.step = placement.Decide(t.state, t.phase()); t.step {
	case placement.End:
		t.end()
	case placement.GiveUp:
		t.apply(placement.Done)
	case placement.Claim:
		t.send(t.workEnd, placement.NotDone, placement.NotDone, t.claim)
	case placement.Adopt:
		t.send(t.workEnd, placement.Unknown, placement.Unknown, t.adopt)
	case placement.Allocate:
		t.send(t.workEnd, placement.Unknown, placement.NotDone, t.allocate)
	case placement.Assign:
		t.confirming = true
		t.send(t.workEnd, placement.NotDone, placement.NotDone, t.confirm)
	case placement.Verify:
		t.send(t.cleanupEnd, placement.Unknown, placement.Unknown, t.verify)
	case placement.Announce:
		t.announce()
	case placement.Withdraw:
		t.withdraw()
	case placement.DeleteExtra, placement.Deallocate:
		lost := placement.Unknown
		if t.step == placement.DeleteExtra {
			lost = placement.Done // what fails is left to the no-show time-out
		}
		t.send(t.cleanupEnd, lost, lost, t.remove())
	case placement.Release:
		t.director.claims.MarkReleasing(texts(t.tickets))
		t.send(t.cleanupEnd, placement.Unknown, placement.Unknown, t.drop)
	}
}

// send makes a call, if there is time for it.
func (t *task) send(limit int, lost, unsent placement.Result, effect func(*call) placement.Result) {
	if t.now >= limit || t.chance(15, "not sent") {
		t.noteFailure()
		t.apply(unsent)
		return
	}
	c := &call{task: t, step: t.step, effect: effect, deadline: min(t.now+callTimeout, limit), lost: lost, unsent: unsent}
	if t.reclaims { // which rests on that
		c.notAfter = t.workEnd + settle
	}
	t.call, t.calls = c, append(t.calls, c)
}

func (t *task) noteFailure() {
	t.failed = t.failed || t.step == placement.DeleteExtra || t.step == placement.Deallocate
}

// answer brings the result of a call.
func (t *task) answer(c *call, r placement.Result) {
	t.call = nil
	if c.server != nil {
		t.server = c.server
	}
	t.others = append(t.others, c.others...)
	t.claimed = t.claimed || t.step == placement.Claim && r == placement.Done
	switch {
	case t.step == placement.Assign && t.confirmed:
		t.confirmed = false
	case t.step == placement.Assign && r == placement.Done: // the claim is confirmed
		t.confirmed = true
		if t.now >= c.deadline {
			t.confirmed = false
			t.apply(placement.NotDone)
			return
		}
		t.send(t.workEnd, placement.Unknown, placement.NotDone, t.assign)
		return
	case t.step == placement.Release && r == placement.None: // the claim is dropped
		t.send(t.cleanupEnd, placement.Unknown, placement.Unknown, t.release)
		return
	}
	t.apply(r)
}

// expire gives up a call without an answer.
func (t *task) expire() {
	if c := t.call; c != nil && t.now >= c.deadline {
		t.noteFailure()
		t.call, t.confirmed = nil, false
		t.apply(c.lost)
	}
}

func (t *task) apply(r placement.Result) {
	from := t.state
	t.confirmed = t.confirmed && t.call != nil
	if t.state = placement.Apply(from, t.step, r); placement.Waits(from, t.step, r) {
		t.pauseEnd = t.now + 1
	}
}

func (t *task) claim(c *call) placement.Result {
	answer, taken, wait := t.redis.acquire(t.token, ids(t.tickets), t.cleanupEnd-t.now, t.now)
	switch {
	case answer == "claimed":
		return placement.Done
	case answer == "revoked":
		c.others = ids(t.tickets)
		return placement.Refused
	case wait >= 0 && wait <= 1:
		return placement.NotDone
	}
	c.others = taken
	return placement.Refused
}

func (t *task) adopt(c *call) placement.Result {
	list := t.of(t.match)
	if len(list) == 0 {
		return placement.None
	}
	list[0].version++
	list[0].stamped = t.now
	if c.server = list[0]; c.server.unreachable {
		return placement.DoneUnreachable
	}
	if len(list) > 1 {
		return placement.DoneSeveral
	}
	return placement.Done
}

func (t *task) allocate(c *call) placement.Result {
	switch {
	case t.chance(6, "nothing ready"):
		return placement.NotDone
	case t.chance(20, "refused"):
		return placement.Refused
	}
	s := &server{id: len(t.servers) + 1, match: t.match, roster: t.tickets, owner: t, made: t.event, stamped: t.now, unreachable: t.chance(20, "unreachable")}
	t.servers = append(t.servers, s)
	c.server = s
	if s.unreachable {
		return placement.DoneUnreachable
	}
	return placement.Done
}

func (t *task) confirm(_ *call) placement.Result {
	switch t.redis.set(t.token, "confirmed", t.match, t.server.id) {
	case "revoked", "":
		return placement.Revoked
	}
	return placement.Done
}

func (t *task) assign(_ *call) placement.Result {
	if t.chance(20, "assignment refused") {
		return placement.Refused
	}
	found := 0
	for _, ticket := range t.tickets {
		if !ticket.gone {
			ticket.to = &assignment{t.match, t.server.id, t.token}
			t.found[t.token] = append(t.found[t.token], ticket)
			found++
		}
	}
	switch {
	case found == 0:
		return placement.None
	case found < minPlayers:
		return placement.DoneTooFew
	}
	return placement.Done
}

func (t *task) verify(_ *call) placement.Result {
	for _, ticket := range t.tickets {
		if !ticket.gone && ticket.to != nil && ticket.to.match == t.match && ticket.to.server == t.server.id {
			return placement.Done
		}
	}
	return placement.Unknown
}

func (t *task) announce() {
	t.announced = append(t.announced, announcement{t.tickets, assignment{t.match, t.server.id, t.token}})
	if !t.chance(4, "mark lost") {
		t.redis.set(t.token, "assigned", "", 0)
	}
	t.apply(placement.Done)
}

func (t *task) withdraw() {
	if !t.chance(4, "revoke lost") {
		t.redis.set(t.token, "revoked", "", 0)
	}
	if !t.chance(4, "overwrite lost") {
		for _, ticket := range t.tickets {
			if !ticket.gone {
				ticket.to = &assignment{match: t.match}
			}
		}
	}
	t.announced = append(t.announced, announcement{t.tickets, assignment{match: t.match}})
	t.apply(placement.Done)
}

// remove deletes the servers of the match, or all but its own, that are there now.
func (t *task) remove() func(*call) placement.Result {
	extra := t.step == placement.DeleteExtra
	t.looked = t.event
	var listed []doomed
	for _, s := range t.of(t.match) {
		if !extra || s != t.server {
			listed = append(listed, doomed{s, s.version})
		}
	}
	return func(*call) placement.Result {
		if !extra && t.confirming && t.redis.set(t.token, "abandoned", "", 0) == "assigned" {
			t.failed = true
			return placement.Unknown
		}
		r := placement.Done
		for _, d := range listed {
			switch {
			case d.server.gone:
			case d.server.version != d.version: // another director has taken it over
				t.failed = true
				if r = placement.Unknown; extra {
					r = placement.Done
				}
			default:
				t.delete(d.server)
			}
		}
		return r
	}
}

// drop ends the claim, before the tickets are released.
func (t *task) drop(_ *call) placement.Result {
	if t.claimed {
		t.redis.drop(t.token, ids(t.tickets))
	}
	return placement.None
}

func (t *task) release(_ *call) placement.Result {
	for _, ticket := range t.tickets {
		if !slices.Contains(t.others, ticket.id) {
			ticket.pendingUntil = t.now
		}
	}
	return placement.Done
}

// end is fetch.Intake's: and of a match that has ended no server is forgotten.
func (t *task) end() {
	d := t.director
	t.Logf("%d s: task %d of match %q ends in stage %d", t.now, t.token, t.match, t.state.Stage)
	d.tasks = slices.DeleteFunc(d.tasks, func(other *task) bool { return other == t })
	stage := t.state.Stage
	if stage == placement.Announced || stage == placement.Withdrawn {
		d.claims.MarkAssigned(texts(t.tickets), t.clock())
	} else {
		d.claims.Drop(texts(t.tickets))
	}
	if t.failed || stage != placement.Announced && stage != placement.Released && stage != placement.Abandoned {
		return
	}
	for _, s := range t.of(t.match) {
		kept := stage == placement.Announced && s == t.server
		if s.owner == t && !kept && (t.looked == 0 || s.made < t.looked) {
			t.Fatalf("server %d of match %s is forgotten in stage %d", s.id, t.match, stage)
		}
	}
}
