package attach

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestLeftovers: only a mark that stands still for the lease, seen from its first sight to
// the question for the last one, is left behind. What it says does not matter.
func TestLeftovers(t *testing.T) {
	const lease = 90 * time.Second
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	list := func(marks ...string) (all []v1.GameServer) {
		for i, m := range marks {
			if m == "" {
				continue
			}
			all = append(all, v1.GameServer{ObjectMeta: metav1.ObjectMeta{UID: types.UID('a' + rune(i)), Annotations: map[string]string{renewedAnnotation: m}}})
		}
		return all
	}
	type look struct {
		asked time.Duration // after the begin; the answer comes a second later
		list  []v1.GameServer
		fails bool
		want  string // UIDs
	}
	for name, looks := range map[string][]look{
		"renewed by a clock that is years behind": {
			{0, list("2001-01-01T00:00:00Z"), false, ""}, {60 * time.Second, list("2001-01-01T00:01:00Z"), false, ""},
			{120 * time.Second, list("2001-01-01T00:02:00Z"), false, ""}, {180 * time.Second, list("2001-01-01T00:03:00Z"), false, ""},
		},
		"a clock that is years ahead does not keep it": {{0, list("2099-01-01T00:00:00Z"), false, ""}, {91 * time.Second, list("2099-01-01T00:00:00Z"), false, "a"}},
		"not a moment before":                          {{0, list("x"), false, ""}, {lease, list("x"), false, ""}, {lease + time.Second, list("x"), false, "a"}},
		"another one":                                  {{0, list("x", ""), false, ""}, {60 * time.Second, list("x", "y"), false, ""}, {100 * time.Second, list("x", "y"), false, "a"}, {160 * time.Second, list("", "y"), false, "b"}},
		"nobody could renew it": {
			{0, list("x"), false, ""}, {60 * time.Second, nil, true, ""}, {120 * time.Second, list("x"), false, ""},
			{180 * time.Second, list("x2"), false, ""}, {300 * time.Second, list("x2"), false, "a"},
		},
		"without a mark": {{0, list(" "), false, ""}, {91 * time.Second, list(" "), false, "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &leftovers{times: Times{Lease: lease}}
			for i, k := range looks {
				if k.fails {
					l.forget()
					continue
				}
				var got string
				for _, gs := range l.look(k.list, begin.Add(k.asked), begin.Add(k.asked+time.Second)) {
					got += string(gs.UID)
				}
				if got != k.want {
					t.Errorf("look %d: %q, want %q", i, got, k.want)
				}
			}
		})
	}
}

// TestLeftoversWithMatch: a server with a match is left behind only when its own gate would
// have ended it, as its machine may be out of the cluster's reach alone.
func TestLeftoversWithMatch(t *testing.T) {
	times := Times{Lease: 90 * time.Second, NoShow: 2 * time.Minute, LongestMatch: 24 * time.Hour}
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	limits := func(l *torikumiv1.TimeLimits) string {
		text, err := contract.EncodeRoster(&torikumiv1.Roster{Queue: "raid", TimeLimits: l})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	own := limits(&torikumiv1.TimeLimits{NoShow: durationpb.New(time.Minute), LongestMatch: durationpb.New(time.Hour)})
	const never = -1
	for name, c := range map[string]struct {
		state, match, admitted, roster string
		times                          Times
		host                           string
		want                           time.Duration // after the lease
	}{
		"none":                              {state: agones.Ready, times: times, want: 0},
		"not Ready yet":                     {state: agones.Starting, times: times, want: 0},
		"over":                              {state: agones.Shutdown, match: "m", admitted: "m", times: times, want: 0},
		"players have come":                 {state: agones.Allocated, match: "m", admitted: "m", times: times, want: 24 * time.Hour},
		"nobody has come":                   {state: agones.Allocated, match: "m", times: times, want: 2 * time.Minute},
		"nobody has come, but to the last":  {state: agones.Allocated, match: "m", admitted: "l", times: times, want: 2 * time.Minute},
		"times of its own":                  {state: agones.Allocated, match: "m", admitted: "m", roster: own, times: times, want: time.Hour},
		"times of its own, nobody has come": {state: agones.Allocated, match: "m", roster: own, times: times, want: time.Minute},
		"a roster that says no times":       {state: agones.Allocated, match: "m", admitted: "m", roster: limits(nil), times: times, want: 24 * time.Hour},
		"a roster that cannot be read":      {state: agones.Allocated, match: "m", admitted: "m", roster: "{", times: times, want: 24 * time.Hour},
		"times without end": {
			state: agones.Allocated, match: "m", admitted: "m", times: times, want: never,
			roster: limits(&torikumiv1.TimeLimits{LongestMatch: &durationpb.Duration{Seconds: 315_576_000_000}}),
		},
		"no longest match":          {state: agones.Allocated, match: "m", admitted: "m", times: Times{Lease: times.Lease, NoShow: times.NoShow}, want: never},
		"several matches, or none":  {state: agones.Allocated, times: times, want: 24 * time.Hour},
		"Reserved":                  {state: agones.Reserved, times: times, want: 24 * time.Hour},
		"at the address of another": {state: agones.Allocated, match: "m", admitted: "m", times: times, host: "192.0.2.8", want: 24 * time.Hour},
		"at the own address":        {state: agones.Allocated, match: "m", admitted: "m", times: times, host: "192.0.2.7", want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			gs := v1.GameServer{
				ObjectMeta: metav1.ObjectMeta{UID: "a", Labels: map[string]string{contract.MatchLabel: c.match}, Annotations: map[string]string{
					renewedAnnotation: "x", contract.AdmittedAnnotation: c.admitted, contract.RosterAnnotation: c.roster, agones.DevAddressAnnotation: c.host,
				}},
				Spec: v1.GameServerSpec{Ports: []v1.GameServerPort{{HostPort: 7777}}}, Status: v1.GameServerStatus{State: c.state},
			}
			l := &leftovers{times: c.times, address: "192.0.2.7:7777"}
			looks := func(after time.Duration) bool { return len(l.look([]v1.GameServer{gs}, begin.Add(after), begin)) > 0 }
			before, at := times.Lease+c.want-time.Second, times.Lease+c.want
			if c.want == never {
				before, at = 200*365*24*time.Hour, 0
			}
			if looks(0) || looks(before) {
				t.Errorf("left behind after %v", before)
			}
			if at > 0 && !looks(at) {
				t.Errorf("not left behind after %v", at)
			}
		})
	}

	// A match that comes meanwhile has its time from then on.
	l, gs := &leftovers{times: times, address: "192.0.2.7:7777"}, v1.GameServer{ObjectMeta: metav1.ObjectMeta{UID: "a"}, Status: v1.GameServerStatus{State: agones.Ready}}
	l.look([]v1.GameServer{gs}, begin, begin)
	gs.Status.State, gs.Labels = agones.Allocated, map[string]string{contract.MatchLabel: "m"}
	allocated := begin.Add(80 * time.Second)
	l.look([]v1.GameServer{gs}, allocated, allocated)
	asked := allocated.Add(times.Lease + times.NoShow - time.Second)
	if len(l.look([]v1.GameServer{gs}, asked, asked)) > 0 {
		t.Error("left behind before its players could come")
	}
	if l.seen["a"].renewed {
		t.Error("a match is taken for a sign that somebody keeps the server")
	}
	asked = asked.Add(time.Second)
	if len(l.look([]v1.GameServer{gs}, asked, asked)) == 0 {
		t.Error("not left behind, though nobody has come")
	}
}
