package admission

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const reserve = 20 * time.Second

var fillPolicy = Policy{NoShow: 2 * time.Minute, Empty: 10 * time.Second, Presence: 30 * time.Second, Longest: 3 * time.Hour, Backfill: true}

// running makes the state of a match of ann and bob, allocated at t0, whose queue has
// backfill. Joiner was found and seen after a minute.
func running(change func(s *State)) *State {
	s := given(agones.Allocated, []string{"ann", "bob"}, []string{"ann", "bob"}, nil, time.Time{})
	s.Roster = &torikumiv1.Roster{Backfill: &torikumiv1.BackfillPolicy{Reserve: durationpb.New(reserve)}}
	s.Presence.Backfill = journal.BackfillAsked
	if change != nil {
		change(s)
	}
	return s
}

func leave(s *State, player string, after time.Duration) { s.Presence.Leave(player, at(after), false) }

func join(s *State, player string) {
	s.Expected[player] = Place{Team: "red", Joined: at(time.Minute), Seen: at(time.Minute)}
}

func TestDecideFill(t *testing.T) {
	both := []string{"ann", "bob"}
	call := func(give []string, players ...string) FillPlan {
		return FillPlan{Call: true, Players: players, Give: give}
	}
	answered := func(s *State, due time.Duration, players ...string) {
		s.Fill = Fill{Open: true, Sent: players, Due: at(due), NotBefore: at(0)}
	}
	for name, test := range map[string]struct {
		change func(s *State)
		now    time.Duration
		want   FillPlan
	}{
		"asked":                {nil, time.Minute, call(nil, both...)},
		"asked, but no policy": {func(s *State) { s.Roster.Backfill = nil }, time.Minute, FillPlan{}},
		"not asked":            {func(s *State) { s.Presence.Backfill = "" }, time.Minute, FillPlan{}},
		"automatic":            {func(s *State) { s.Presence.Backfill, s.Roster.Backfill.Automatic = "", true }, time.Minute, call(nil, both...)},
		"automatic, but stopped": {func(s *State) {
			s.Presence.Backfill, s.Roster.Backfill.Automatic = journal.BackfillStopped, true
		}, time.Minute, FillPlan{}},
		"not allocated":   {func(s *State) { s.Server.State = agones.Ready }, time.Minute, FillPlan{}},
		"closing":         {func(s *State) { s.Phase = PhaseClosing }, time.Minute, FillPlan{}},
		"nobody there":    {func(s *State) { leave(s, "ann", 30*time.Second); leave(s, "bob", 30*time.Second) }, time.Minute, FillPlan{}},
		"nothing is new":  {func(s *State) { answered(s, 70*time.Second, both...) }, time.Minute, FillPlan{At: at(70 * time.Second)}},
		"time to call":    {func(s *State) { answered(s, 60*time.Second, both...) }, time.Minute, call(nil, both...)},
		"too early again": {func(s *State) { s.Fill.NotBefore = at(61 * time.Second) }, time.Minute, FillPlan{At: at(61 * time.Second)}},
		"after a failure": {func(s *State) {
			answered(s, 60*time.Second, both...)
			s.Fill.NotBefore = at(90 * time.Second)
		}, time.Minute, FillPlan{At: at(90 * time.Second)}},
		"left, place kept": {func(s *State) { leave(s, "bob", 50*time.Second); answered(s, 2*time.Minute, both...) }, time.Minute,
			FillPlan{At: at(70 * time.Second)}},
		"left, call before": {func(s *State) { leave(s, "bob", 50*time.Second); answered(s, 65*time.Second, both...) }, time.Minute,
			FillPlan{At: at(65 * time.Second)}},
		"left, reserve over": {func(s *State) { leave(s, "bob", 40*time.Second); answered(s, 2*time.Minute, both...) }, time.Minute,
			call([]string{"bob"}, "ann")},
		"left, a moment before": {func(s *State) { leave(s, "bob", 40*time.Second); answered(s, 2*time.Minute, both...) }, time.Minute - 1,
			FillPlan{At: at(time.Minute)}},
		"given before": {func(s *State) {
			leave(s, "bob", 30*time.Second)
			s.Presence.Given["bob"] = time.Time{}
			answered(s, 2*time.Minute, "ann")
		}, time.Minute, FillPlan{At: at(2 * time.Minute)}},
		"no reserve":          {func(s *State) { leave(s, "bob", time.Minute); s.Roster.Backfill.Reserve = nil }, time.Minute, call([]string{"bob"}, "ann")},
		"negative reserve":    {func(s *State) { leave(s, "bob", time.Minute); s.Roster.Backfill.Reserve.Seconds = -5 }, time.Minute, call([]string{"bob"}, "ann")},
		"not come yet":        {func(s *State) { delete(s.Presence.Present, "bob") }, 119 * time.Second, call(nil, both...)},
		"did not come":        {func(s *State) { delete(s.Presence.Present, "bob") }, 120 * time.Second, call([]string{"bob"}, "ann")},
		"joiner on their way": {func(s *State) { join(s, "cy") }, 79 * time.Second, call(nil, "ann", "bob", "cy")},
		"joiner missing":      {func(s *State) { join(s, "cy") }, 80 * time.Second, call([]string{"cy"}, both...)},
		"joiner is new": {func(s *State) { join(s, "cy"); answered(s, 2*time.Minute, both...) }, time.Minute,
			call(nil, "ann", "bob", "cy")},
		"found anew after leaving": {func(s *State) {
			leave(s, "bob", 5*time.Second)
			s.Presence.Given["bob"] = time.Time{}
			join(s, "bob")
		}, 70 * time.Second, call(nil, both...)},
		"found anew, missing": {func(s *State) {
			leave(s, "bob", 5*time.Second)
			s.Presence.Given["bob"] = time.Time{}
			join(s, "bob")
		}, 80 * time.Second, call([]string{"bob"}, "ann")},
		"banned": {func(s *State) { answered(s, 2*time.Minute, both...); s.Presence.Ban("bob", at(59*time.Second)) }, time.Minute,
			FillPlan{Call: true, Players: []string{"ann"}, Banned: []string{"bob"}, Give: []string{"bob"}}},
		"banned after the place was given": {func(s *State) {
			leave(s, "bob", 30*time.Second)
			s.Presence.Given["bob"] = time.Time{}
			answered(s, 2*time.Minute, "ann")
			s.Presence.Ban("bob", at(59*time.Second))
		}, time.Minute, FillPlan{Call: true, Players: []string{"ann"}, Banned: []string{"bob"}}},
		"banned, and told": {func(s *State) {
			s.Presence.Given["bob"] = time.Time{}
			s.Presence.Ban("bob", at(30*time.Second))
			answered(s, 2*time.Minute, "ann")
			s.Fill.Banned = []string{"bob"}
		}, time.Minute, FillPlan{At: at(2 * time.Minute)}},
		"stop": {func(s *State) { s.Presence.Backfill = journal.BackfillStopped; answered(s, 2*time.Minute, both...) }, time.Minute,
			FillPlan{Call: true, Stop: true, Players: both}},
		"stop, too early": {func(s *State) {
			s.Presence.Backfill = journal.BackfillStopped
			s.Fill = Fill{Open: true, NotBefore: at(61 * time.Second)}
		}, time.Minute, FillPlan{At: at(61 * time.Second)}},
		"stop when all have left": {func(s *State) {
			leave(s, "ann", 10*time.Second)
			leave(s, "bob", 10*time.Second)
			answered(s, 2*time.Minute, both...)
		}, time.Minute, FillPlan{Call: true, Stop: true, Players: both}},
		"restored, never asked": {func(s *State) { s.Presence.Backfill = ""; s.Fill.Open = true }, time.Minute, FillPlan{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(test.change)
			if test.want.Call {
				test.want.Seen = s.lastJoined()
			}
			if got := DecideFill(s, fillPolicy, at(test.now)); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
	without := fillPolicy
	without.Backfill = false
	if got := DecideFill(running(nil), without, t0); !reflect.DeepEqual(got, FillPlan{}) {
		t.Errorf("without a director: %+v", got)
	}
}

// TestDecideWhileFilling: who is found keeps a server alive, and nobody else does.
func TestDecideWhileFilling(t *testing.T) {
	allLeft := func(s *State) { leave(s, "ann", time.Minute); leave(s, "bob", time.Minute) }
	for name, test := range map[string]struct {
		change func(s *State)
		now    time.Duration
		want   Plan
	}{
		"all left":                {func(s *State) { allLeft(s) }, 70 * time.Second, Plan{End: EndEmpty}},
		"a joiner is coming":      {func(s *State) { allLeft(s); join(s, "cy") }, 70 * time.Second, Plan{At: at(80 * time.Second)}},
		"the joiner did not come": {func(s *State) { allLeft(s); join(s, "cy") }, 80 * time.Second, Plan{End: EndEmpty}},
		"the joiner came": {func(s *State) {
			allLeft(s)
			join(s, "cy")
			s.Presence.Enter(journal.Player{Player: "cy", Joined: at(time.Minute)})
		}, 2 * time.Minute, Plan{At: at(3 * time.Hour)}},
		"the joiner came and left": {func(s *State) {
			allLeft(s)
			join(s, "cy")
			s.Presence.Enter(journal.Player{Player: "cy", Joined: at(time.Minute)})
			leave(s, "cy", 65*time.Second)
		}, 75 * time.Second, Plan{End: EndEmpty}},
		"the joiner's place is gone": {func(s *State) { allLeft(s); join(s, "cy"); s.Presence.Given["cy"] = at(time.Minute) }, 70 * time.Second, Plan{End: EndEmpty}},
		"found anew":                 {func(s *State) { allLeft(s); s.Presence.Given["bob"] = time.Time{}; join(s, "bob") }, 70 * time.Second, Plan{At: at(80 * time.Second)}},
		"the other's place is gone": {func(s *State) {
			delete(s.Presence.Present, "bob")
			leave(s, "ann", 30*time.Second)
			s.Presence.Given["bob"] = time.Time{}
		}, 40 * time.Second, Plan{End: EndEmpty}},
		"only joiners are left on the roster": {func(s *State) { allLeft(s); s.Expected = map[string]Place{}; join(s, "cy") }, 80 * time.Second, Plan{End: EndEmpty}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Decide(running(test.change), fillPolicy, at(test.now)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	quick := fillPolicy
	quick.Empty = 0
	s := running(allLeft)
	s.Fill.Open = true
	if got, want := Decide(s, quick, at(time.Minute)), (Plan{At: at(time.Minute + stopWait)}); got != want {
		t.Errorf("while the search has not been stopped: %+v, want %+v", got, want)
	}
	if got := Decide(s, quick, at(time.Minute+stopWait)); got.End != EndEmpty {
		t.Errorf("without an answer: %+v", got)
	}
	if s.Fill.Open = false; Decide(s, quick, at(time.Minute)).End != EndEmpty {
		t.Error("the search is stopped, and the server stays")
	}
}

// A roster that has changed keeps when its places were seen, but for one that a player
// got anew.
func TestSetRosterKeepsSeen(t *testing.T) {
	roster := func(joined time.Duration) *torikumiv1.Roster {
		return &torikumiv1.Roster{Teams: []*torikumiv1.Team{{Name: "red", Members: []*torikumiv1.TeamMember{
			{PlayerId: "ann"}, {PlayerId: "cy", JoinTime: timestamppb.New(at(joined))},
		}}}}
	}
	var s State
	s.setRoster(roster(0), at(1))
	s.setRoster(roster(0), at(2))
	if s.Expected["ann"].Seen != at(1) || s.Expected["cy"].Seen != at(1) || !s.Expected["cy"].Joined.Equal(at(0)) || !s.Expected["ann"].Joined.IsZero() {
		t.Errorf("%+v", s.Expected)
	}
	s.setRoster(roster(time.Second), at(3))
	if s.Expected["ann"].Seen != at(1) || s.Expected["cy"].Seen != at(3) {
		t.Errorf("joined anew: %+v", s.Expected)
	}
}

// TestAnswered: who is searched for is asked for again in time, also where nobody says when,
// and no answer makes a gate call more than once a second.
func TestAnswered(t *testing.T) {
	searching, full := torikumiv1.FillResponse_SEARCHING, torikumiv1.FillResponse_FULL
	for name, c := range map[string]struct {
		answer *torikumiv1.FillResponse
		want   time.Duration
	}{
		"as it says":  {&torikumiv1.FillResponse{State: searching, Next: durationpb.New(2 * time.Second)}, 2 * time.Second},
		"no time":     {&torikumiv1.FillResponse{State: searching}, 2 * time.Second},
		"at once":     {&torikumiv1.FillResponse{State: searching, Next: durationpb.New(0)}, time.Second},
		"negative":    {&torikumiv1.FillResponse{State: searching, Next: durationpb.New(-time.Hour)}, time.Second},
		"in an hour":  {&torikumiv1.FillResponse{State: searching, Next: durationpb.New(time.Hour)}, 30 * time.Second},
		"nonsense":    {&torikumiv1.FillResponse{State: searching, Next: &durationpb.Duration{Seconds: 1, Nanos: -1}}, 2 * time.Second},
		"full":        {&torikumiv1.FillResponse{State: full, Next: durationpb.New(2 * time.Second)}, 30 * time.Second},
		"nothing set": {&torikumiv1.FillResponse{}, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := Fill{Open: true, Failure: "Unavailable"}
			f.answered(FillPlan{Players: []string{"ann"}}, c.answer, t0, 0)
			if f.Due != at(c.want) || f.NotBefore != at(fillSpacing) || !f.Open || f.Failure != "" {
				t.Errorf("%+v", f)
			}
			if f.answered(FillPlan{}, c.answer, t0, 1); f.Due != at(c.want-c.want/10) {
				t.Errorf("with jitter: %v", f.Due.Sub(t0))
			}
			f.answered(FillPlan{Stop: true}, c.answer, t0, 0)
			if !reflect.DeepEqual(f, Fill{NotBefore: at(fillSpacing)}) {
				t.Errorf("after a stop: %+v", f)
			}
		})
	}
}

// FuzzDecideFill holds the decision against its promises over any history.
func FuzzDecideFill(f *testing.F) {
	// A move is m%6, by the player m/6%4.
	f.Add([]byte{0, 1, 3, 2, 3, 27, 0, 1, 3, 201}, uint16(60))
	f.Add([]byte{6, 7, 0, 1, 3, 8, 51, 28, 3, 4, 255, 255}, uint16(7))
	f.Add([]byte{0, 1, 3, 5, 3, 6, 3, 11, 27, 0, 3}, uint16(0))
	f.Fuzz(func(t *testing.T, moves []byte, seconds uint16) {
		s, now := running(nil), t0
		for _, m := range moves {
			now = now.Add(time.Duration(m) * time.Second)
			player := string(rune('a' + m/6%4))
			switch m % 6 {
			case 0:
				s.Expected[player] = Place{Joined: now, Seen: now}
			case 1:
				if place, ok := s.Expected[player]; ok && !s.given(player) && !s.Presence.Banned[player] {
					s.Presence.Enter(journal.Player{Player: player, Since: now, Joined: place.Joined})
				}
			case 2:
				if _, here := s.Presence.Present[player]; here {
					s.Presence.Leave(player, now, m/24%2 == 0)
				}
			case 3:
				plan := DecideFill(s, fillPolicy, now)
				checkFill(t, s, plan, now)
				for _, p := range plan.Give {
					s.Presence.Given[p] = s.Expected[p].Joined
				}
				if plan.Call {
					s.Fill.Open = true
					s.Fill.answered(plan, &torikumiv1.FillResponse{State: torikumiv1.FillResponse_SEARCHING}, now, 0)
				}
			case 4:
				s.Presence.Backfill = []journal.Backfill{journal.BackfillAsked, journal.BackfillStopped}[m/24%2]
			case 5:
				s.Presence.Ban(player, now)
			}
		}
		now = now.Add(time.Duration(seconds) * time.Second)
		checkFill(t, s, DecideFill(s, fillPolicy, now), now)
		if end := Decide(s, fillPolicy, now); end.End == EndEmpty || end.End == EndNoShow {
			for player, place := range s.Expected {
				if joining(s, player, place) && now.Before(place.Seen.Add(reserve)) {
					t.Errorf("the server ends while %s is on the way: %+v", player, s)
				}
			}
		}
	})
}

func checkFill(t *testing.T, s *State, plan FillPlan, now time.Time) {
	t.Helper()
	if plan.Call && now.Before(s.Fill.NotBefore) {
		t.Errorf("called too early: %+v", plan)
	}
	for player := range s.Presence.Present {
		if _, expected := s.Expected[player]; plan.Call && expected && !s.given(player) && !slices.Contains(plan.Players, player) {
			t.Errorf("%s is there and left out: %+v", player, plan)
		}
	}
	for _, player := range plan.Players {
		if s.given(player) || slices.Contains(plan.Give, player) {
			t.Errorf("%s has a place that is given away: %+v", player, plan)
		}
	}
	for player := range s.Presence.Banned {
		if plan.Call && !plan.Stop && !slices.Contains(plan.Banned, player) || slices.Contains(plan.Players, player) && !plan.Stop {
			t.Errorf("%s is banned, and can be found: %+v", player, plan)
		}
	}
	if plan.Stop && (len(plan.Give) > 0 || s.wanted(fillPolicy)) {
		t.Errorf("a stop that gives away: %+v", plan)
	}
	if !plan.Call && s.wanted(fillPolicy) && !plan.At.After(now) {
		t.Errorf("players are wanted, and nothing will happen: %+v", plan)
	}
	if !plan.At.IsZero() {
		if later := DecideFill(s, fillPolicy, plan.At); !later.Call {
			t.Errorf("nothing happens at the time that was named: %+v", plan)
		}
	}
}
