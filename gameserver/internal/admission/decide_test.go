package admission

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

var (
	t0     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	policy = Policy{NoShow: 2 * time.Minute, Empty: 10 * time.Second, Presence: 30 * time.Second, Longest: 3 * time.Hour}
)

func at(d time.Duration) time.Time { return t0.Add(d) }

// given makes the state of a server that was allocated at t0.
func given(state string, expected, present, departed []string, lastLeft time.Time) *State {
	s := &State{Phase: PhaseOpen, Server: watch.View{State: state}, Expected: map[string]Place{}, Presence: &journal.Presence{
		Match: "m-1", Since: t0, Present: map[string]journal.Player{}, Departed: map[string]journal.Player{}, Given: map[string]time.Time{}, Banned: map[string]bool{},
	}}
	for _, p := range expected {
		s.Expected[p] = Place{Team: "red", Seen: t0}
	}
	for _, p := range present {
		s.Presence.Enter(journal.Player{Player: p})
	}
	for _, p := range departed {
		s.Presence.Enter(journal.Player{Player: p})
		s.Presence.Leave(p, lastLeft, false)
	}
	return s
}

// TestDecideShared: the gate knows none of the players of a server that has several
// matches, so that it looks empty.
func TestDecideShared(t *testing.T) {
	s := given(agones.Allocated, nil, nil, nil, time.Time{})
	s.Server.Shared, s.Presence.Match = true, ""
	for _, now := range []time.Duration{policy.NoShow, policy.Longest} {
		if got := Decide(s, policy, at(now)); got != (Plan{}) {
			t.Errorf("after %v: %+v, want to leave it alone", now, got)
		}
	}
	s.Server.Shared = false // allocated by somebody else, for no match of ours
	if got, want := Decide(s, policy, at(policy.NoShow)), (Plan{End: EndNoShow}); got != want {
		t.Errorf("not shared: %+v, want %+v", got, want)
	}
}

func TestDecide(t *testing.T) {
	both, ann, nobody := []string{"ann", "bob"}, []string{"ann"}, []string(nil)
	never := time.Time{}
	allocated := agones.Allocated
	closed := func(s *State) *State { s.Presence.Closed = true; return s }
	tests := map[string]struct {
		state *State
		now   time.Duration
		want  Plan
	}{
		"nothing known":                      {&State{Presence: &journal.Presence{}}, time.Hour, Plan{}},
		"Ready":                              {given(agones.Ready, nil, nil, nil, never), time.Hour, Plan{}},
		"already Shutdown":                   {given(agones.Shutdown, both, nobody, both, at(0)), time.Hour, Plan{}},
		"nobody yet":                         {given(allocated, both, nobody, nobody, never), time.Minute, Plan{At: at(2 * time.Minute)}},
		"a moment before no-show":            {given(allocated, both, nobody, nobody, never), 2*time.Minute - 1, Plan{At: at(2 * time.Minute)}},
		"no-show":                            {given(allocated, both, nobody, nobody, never), 2 * time.Minute, Plan{End: EndNoShow}},
		"no-show without a roster":           {given(allocated, nil, nobody, nobody, never), 2 * time.Minute, Plan{End: EndNoShow}},
		"one plays, the other never came":    {given(allocated, both, ann, nobody, never), time.Hour, Plan{At: at(3 * time.Hour)}},
		"one plays for too long":             {given(allocated, both, ann, nobody, never), 3 * time.Hour, Plan{End: EndLongest}},
		"both play for too long":             {given(allocated, both, both, nobody, never), 3 * time.Hour, Plan{End: EndLongest}},
		"the last leaves late":               {given(allocated, both, nobody, both, at(3*time.Hour-time.Second)), 3*time.Hour - time.Second, Plan{At: at(3 * time.Hour)}},
		"first left before second came":      {given(allocated, both, nobody, ann, at(5*time.Second)), time.Minute, Plan{At: at(2 * time.Minute)}},
		"first left, second never came":      {given(allocated, both, nobody, ann, at(5*time.Second)), 2 * time.Minute, Plan{End: EndEmpty}},
		"first left late, second never came": {given(allocated, both, nobody, ann, at(5*time.Minute)), 5*time.Minute + 9*time.Second, Plan{At: at(5*time.Minute + 10*time.Second)}},
		"one left, one plays":                {given(allocated, both, []string{"bob"}, ann, at(5*time.Second)), time.Hour, Plan{At: at(3 * time.Hour)}},
		"all left, not empty long enough":    {given(allocated, both, nobody, both, at(30*time.Second)), 39 * time.Second, Plan{At: at(40 * time.Second)}},
		"all left":                           {given(allocated, both, nobody, both, at(30*time.Second)), 40 * time.Second, Plan{End: EndEmpty}},
		"all left, no roster, early":         {given(allocated, nil, nobody, both, at(30*time.Second)), time.Minute, Plan{At: at(2 * time.Minute)}},
		"all left, no roster, late":          {given(allocated, nil, nobody, both, at(30*time.Second)), 2 * time.Minute, Plan{End: EndEmpty}},
		"someone else left":                  {given(allocated, both, nobody, []string{"x", "y"}, at(5*time.Second)), time.Minute, Plan{At: at(2 * time.Minute)}},
		"closed before anybody came":         {closed(given(allocated, both, nobody, nobody, never)), time.Minute, Plan{At: at(2 * time.Minute)}},
		"closed, and nobody came":            {closed(given(allocated, both, nobody, nobody, never)), 2 * time.Minute, Plan{End: EndNoShow}},
		"closed, and the first left":         {closed(given(allocated, both, nobody, ann, at(5*time.Second))), 15 * time.Second, Plan{End: EndEmpty}},
		"closed, no roster, and all left":    {closed(given(allocated, nil, nobody, ann, at(5*time.Second))), 15 * time.Second, Plan{End: EndEmpty}},
	}
	for name, test := range tests {
		if got := Decide(test.state, policy, at(test.now)); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// TestDecideByTheMatch: what the roster says comes before the gate's settings, as far as
// it says something.
func TestDecideByTheMatch(t *testing.T) {
	both := []string{"ann", "bob"}
	limits := &torikumiv1.TimeLimits{NoShow: durationpb.New(30 * time.Second), Empty: durationpb.New(time.Minute), LongestMatch: durationpb.New(10 * time.Minute)}
	wrong := &torikumiv1.TimeLimits{NoShow: durationpb.New(-time.Second), Empty: &durationpb.Duration{Seconds: 1, Nanos: -1}, LongestMatch: new(durationpb.Duration)}
	nobody, playing := given(agones.Allocated, both, nil, nil, time.Time{}), given(agones.Allocated, both, both, nil, time.Time{})
	left := given(agones.Allocated, both, nil, both, at(5*time.Minute))
	for name, c := range map[string]struct {
		state  *State
		limits *torikumiv1.TimeLimits
		want   Plan
	}{
		"no-show":          {nobody, limits, Plan{At: at(30 * time.Second)}},
		"empty":            {left, limits, Plan{At: at(6 * time.Minute)}},
		"longest":          {playing, limits, Plan{At: at(10 * time.Minute)}},
		"none":             {nobody, nil, Plan{At: at(2 * time.Minute)}},
		"wrong, no-show":   {nobody, wrong, Plan{At: at(2 * time.Minute)}},
		"wrong, empty":     {left, wrong, Plan{At: at(5*time.Minute + 10*time.Second)}},
		"wrong, longest":   {playing, wrong, Plan{At: at(3 * time.Hour)}},
		"one of the three": {playing, &torikumiv1.TimeLimits{NoShow: durationpb.New(time.Second)}, Plan{At: at(3 * time.Hour)}},
	} {
		t.Run(name, func(t *testing.T) {
			s := *c.state
			s.Roster = &torikumiv1.Roster{TimeLimits: c.limits}
			if got := Decide(&s, policy, t0); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestDecideUnbounded: a studio whose matches may last for ever.
func TestDecideUnbounded(t *testing.T) {
	unbounded := policy
	unbounded.Longest = 0
	if got := Decide(given(agones.Allocated, nil, []string{"ann"}, nil, time.Time{}), unbounded, at(1000*time.Hour)); got != (Plan{}) {
		t.Errorf("%+v", got)
	}
}

// FuzzDecide holds the decision against its promises over any history.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, uint16(60))
	f.Fuzz(func(t *testing.T, moves []byte, seconds uint16) {
		s := given(agones.Allocated, []string{"a", "b"}, nil, nil, time.Time{})
		now := t0
		for _, m := range moves {
			now = now.Add(time.Duration(m) * time.Second)
			player := string(rune('a' + m%3))
			if _, here := s.Presence.Present[player]; here {
				s.Presence.Leave(player, now, m%2 == 0)
			} else {
				s.Presence.Enter(journal.Player{Player: player, Since: now})
			}
		}
		now = now.Add(time.Duration(seconds) * time.Second)
		plan := Decide(s, policy, now)
		longest := now.Sub(t0) >= policy.Longest
		if longest && plan.End == "" {
			t.Errorf("a match of %v goes on: %+v", now.Sub(t0), plan)
		}
		if plan.End != "" && !longest && (len(s.Presence.Present) > 0 || now.Before(s.Presence.LastLeft().Add(policy.Empty))) {
			t.Errorf("ended too early: %+v", s)
		}
		if plan.End == "" && len(s.Presence.Present) == 0 && !plan.At.After(now) {
			t.Errorf("an empty server is forgotten: %+v, %+v", plan, s)
		}
		if !plan.At.IsZero() && Decide(s, policy, plan.At).End == "" {
			t.Errorf("nothing happens at the time that was named: %+v", plan)
		}
	})
}
