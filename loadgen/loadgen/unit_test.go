package loadgen

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Against a sorted list of all values.
func TestQuantileBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Int64Range(0, int64(time.Hour)), 1, 200).Draw(t, "values")
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		var h histogram
		for _, v := range values {
			h.add(time.Duration(v))
		}
		slices.Sort(values)
		rank := 0
		for float64(rank+1) < q*float64(len(values)) {
			rank++
		}
		want := time.Duration(values[rank])
		got := h.quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/subs)+float64(2*time.Microsecond) {
			t.Fatalf("quantile %g of %v: got %s, want %s", q, values, got, want)
		}
		if h.quantile(1) != time.Duration(values[len(values)-1]) {
			t.Fatal("the last quantile is not the largest value")
		}
	})
}

func TestEmptyHistogram(t *testing.T) {
	var h histogram
	if got := h.quantiles(); got != (Quantiles{}) {
		t.Error(got)
	}
	h.add(-time.Second)
	if got := h.quantiles(); got != (Quantiles{}) {
		t.Error(got)
	}
}

// The schedule of a clock that is looked at now and then: each ticket is due
// exactly from its own time on.
func TestDueAgreesWithAt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSchedule(rapid.Float64Range(0.1, 100_000).Draw(t, "rate"), rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(time.Second)).Draw(t, "ns"))
		}).Draw(t, "duration"), 2, 2)
		s.start = time.Unix(1_000_000, 0)
		now := s.start.Add(time.Duration(rapid.Int64Range(-1000, int64(2*time.Second)).Draw(t, "now")))
		n := s.due(now)
		if n < 0 || n > s.total {
			t.Fatalf("%d of %d tickets are due", n, s.total)
		}
		if n > 0 && s.at(n-1).After(now) {
			t.Fatalf("ticket %d is due at %s, which is after %s", n-1, s.at(n-1), now)
		}
		if n < s.total && !s.at(n).After(now) {
			t.Fatalf("ticket %d was due at %s, now is %s", n, s.at(n), now)
		}
	})
}

// A generator that was held up makes up for all that came due meanwhile.
func TestScheduleCatchesUp(t *testing.T) {
	s := schedule{start: time.Now().Add(-time.Hour), rate: 10, total: 40}
	var got []int
	s.run(t.Context(), func(i int) { got = append(got, i) })
	if len(got) != 40 || !slices.IsSorted(got) {
		t.Errorf("%v", got)
	}
}

func TestTicketsPerRegion(t *testing.T) {
	for _, c := range []struct {
		rate          float64
		duration      time.Duration
		regions, size int
		want          int
	}{
		{100, time.Second, 2, 2, 100}, {101, time.Second, 2, 2, 104}, {5, time.Second, 3, 2, 6},
		{7, time.Second, 0, 0, 7}, {0.1, time.Second, 1, 2, 0}, {0, time.Second, 2, 2, 0}, {3, time.Second, 1, 5, 5},
	} {
		if s := newSchedule(c.rate, c.duration, c.regions, c.size); s.total != c.want {
			t.Errorf("%+v: %d tickets", c, s.total)
		}
	}
}

func TestJudge(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	at := func(s float64) time.Time { return now.Add(time.Duration(s * float64(time.Second))) }
	type seen struct {
		match, connection string
		region            int
		at                float64
	}
	for name, c := range map[string]struct {
		seen             []seen
		lost             int
		total, malformed int
		reasons          map[string]int
	}{
		"right":               {seen: []seen{{"a", "x", 0, 0}, {"b", "y", 1, 0}, {"b", "y", 1, 0}, {"a", "x", 0, 0}}, total: 2},
		"three":               {seen: []seen{{"a", "x", 0, 0}, {"a", "x", 0, 0}, {"a", "x", 0, 0}}, total: 1, malformed: 1, reasons: map[string]int{tooMany: 1}},
		"four count once":     {seen: []seen{{"a", "x", 0, 0}, {"a", "x", 0, 0}, {"a", "x", 0, 0}, {"a", "x", 0, 0}}, total: 1, malformed: 1, reasons: map[string]int{tooMany: 1}},
		"one":                 {seen: []seen{{"a", "x", 0, 0}}, total: 1, malformed: 1, reasons: map[string]int{tooFew: 1}},
		"one, one lost":       {seen: []seen{{"a", "x", 0, 0}}, lost: 1, total: 1},
		"regions":             {seen: []seen{{"a", "x", 0, 0}, {"a", "x", 1, 0}}, total: 1, malformed: 1, reasons: map[string]int{crossRegion: 1}},
		"two servers":         {seen: []seen{{"a", "x", 0, 0}, {"a", "y", 0, 0}}, total: 1, malformed: 1, reasons: map[string]int{manyServers: 1}},
		"shared":              {seen: []seen{{"a", "x", 0, 0}, {"a", "x", 0, 0}, {"b", "x", 0, 0.5}, {"b", "x", 0, 0.5}}, total: 2, malformed: 2, reasons: map[string]int{sharedServer: 2}},
		"used again":          {seen: []seen{{"a", "x", 0, 0}, {"a", "x", 0, 0}, {"b", "x", 0, 1}, {"b", "x", 0, 1}}, total: 2},
		"late but earlier":    {seen: []seen{{"b", "x", 0, 5}, {"b", "x", 0, 5}, {"a", "x", 0, 0}, {"a", "x", 0, 0}}, total: 2},
		"no ids":              {seen: []seen{{"", "x", 0, 0}, {"", "y", 1, 0}, {"", "x", 0, 0.1}, {"", "y", 1, 0.2}}, total: 2},
		"no ids, used again":  {seen: []seen{{"", "x", 0, 0}, {"", "x", 0, 0}, {"", "x", 0, 2}, {"", "x", 0, 2}}, total: 2},
		"no ids, three":       {seen: []seen{{"", "x", 0, 0}, {"", "x", 0, 0}, {"", "x", 0, 0}}, total: 1, malformed: 1, reasons: map[string]int{tooMany: 1}},
		"wrong in two manner": {seen: []seen{{"a", "x", 0, 0}, {"a", "y", 1, 0}}, total: 1, malformed: 1, reasons: map[string]int{crossRegion: 1, manyServers: 1}},
	} {
		m := newMatches(2, time.Second, time.Minute)
		for _, s := range c.seen {
			m.add(place{match: s.match, connection: s.connection, allocated: at(s.at)}, s.region, now)
		}
		total, malformed, reasons := m.finish(c.lost)
		if total != c.total || malformed != c.malformed || !maps.Equal(reasons, c.reasons) {
			t.Errorf("%s: %d matches, %d malformed: %v", name, total, malformed, reasons)
		}
	}
}

// What was seen long ago is forgotten, and judged before that.
func TestSettle(t *testing.T) {
	m, now := newMatches(2, time.Second, time.Minute), time.Unix(1_000_000, 0)
	for i := range 100 {
		p := place{match: string(rune('a' + i)), connection: "x", allocated: now.Add(time.Duration(2*i) * time.Second)}
		m.add(p, 0, now)
		if i%2 == 0 {
			m.add(p, 0, now)
		}
	}
	m.expire(now.Add(time.Minute - 1))
	if len(m.order) != 100 {
		t.Error("forgotten too soon")
	}
	m.expire(now.Add(time.Minute))
	if len(m.order) != 0 || len(m.byID) != 0 || len(m.byConnection) != 0 {
		t.Errorf("%d matches are kept", len(m.order))
	}
	if total, malformed, reasons := m.finish(0); total != 100 || malformed != 50 || reasons[tooFew] != 50 {
		t.Errorf("%d, %d, %v", total, malformed, reasons)
	}
}

func TestChangedAssignment(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	a, b := place{match: "a", connection: "x"}, place{match: "b", connection: "y"}
	m := newMatches(2, time.Second, time.Minute)
	for _, p := range []place{a, a, b} {
		m.add(p, 0, now)
	}
	m.change(a, b, 0, now)
	if total, malformed, reasons := m.finish(0); total != 2 || malformed != 1 || reasons[changedTicket] != 1 {
		t.Errorf("%d, %d, %v", total, malformed, reasons)
	}
}

func TestDecodeID(t *testing.T) {
	full, err := proto.Marshal(&openmatch.Ticket{
		Id: "abc", CreateTime: timestamppb.Now(), SearchFields: &openmatch.SearchFields{Tags: []string{"x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := decodeID(full); id != "abc" || err != nil {
		t.Error(id, err)
	}
	for _, bad := range [][]byte{nil, {255}, {10, 5, 'a'}, {0x12}, full[5:]} {
		if id, err := decodeID(bad); err == nil {
			t.Errorf("%v: got %q", bad, id)
		}
	}
}

// FuzzDecodeID compares with the whole decoder.
func FuzzDecodeID(f *testing.F) {
	seed, err := proto.Marshal(&openmatch.Ticket{Id: "abc", CreateTime: timestamppb.Now()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decodeID(b)
		var full openmatch.Ticket
		if proto.Unmarshal(b, &full) != nil || full.GetId() == "" {
			return // ours looks at the id alone
		}
		if err != nil || got != full.GetId() {
			t.Errorf("got %q, %v, want %q", got, err, full.GetId())
		}
	})
}

// FuzzTicket reads any file.
func FuzzTicket(f *testing.F) {
	f.Add([]byte(`{"search_fields":{"tags":["mode.session"]}}`))
	f.Add([]byte(`{"id":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parseTicket(b); err == nil && (got.GetId() != "" || got.GetAssignment() != nil || got.GetCreateTime() != nil) {
			t.Errorf("took %v", got)
		}
	})
}

// FuzzPlayerTicket reads any answer of a frontend.
func FuzzPlayerTicket(f *testing.F) {
	f.Add([]byte(`{"id":"x","state":"ASSIGNED","server":{"match_id":"m"},"new_field":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, err := parsePlayerTicket(b); err == nil {
			_, _ = over(got, func(place) {})
		}
	})
}

func BenchmarkMatches(b *testing.B) {
	m, now := newMatches(2, time.Second, time.Minute), time.Unix(1_000_000, 0)
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = string(rune(i)) + string(rune(rand.IntN(1000)))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.add(place{match: ids[i/2%len(ids)], connection: ids[i/2%len(ids)], allocated: now}, 0, now)
	}
}
