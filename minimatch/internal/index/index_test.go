package index_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"torikumi/minimatch/internal/filter"
	"torikumi/minimatch/internal/index"
	"torikumi/proto/openmatch"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// thing is what a store would keep of a ticket.
type thing struct {
	index.Entry[*thing]
	fields  *openmatch.SearchFields
	created *timestamppb.Timestamp
}

func newThing(fields *openmatch.SearchFields, created *timestamppb.Timestamp) *thing {
	t := &thing{fields: fields, created: created}
	t.Item = t
	return t
}

func insert(x *index.Index[*thing], t *thing) { x.Insert(&t.Entry, t.fields, t.created) }

func pool(t interface{ Fatal(...any) }, p *openmatch.Pool) *filter.Filter {
	f, err := filter.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// compare holds the index against a look at every thing.
func compare(t interface {
	Helper()
	Fatalf(string, ...any)
}, x *index.Index[*thing], things map[*thing]bool, f *filter.Filter) {
	t.Helper()
	seen := map[*thing]bool{}
	for _, c := range x.Candidates(f, nil) {
		if seen[c] {
			t.Fatalf("%v came twice", c.fields)
		}
		if !things[c] {
			t.Fatalf("%v is not in the index", c.fields)
		}
		seen[c] = true
	}
	for c := range things {
		if f.Pass(c.fields, c.created) && !seen[c] {
			t.Fatalf("%v created %v is missing from %d", c.fields, c.created.AsTime(), len(seen))
		}
	}
}

var (
	someStrings = rapid.SampledFrom([]string{"", "a", "b", "c"})
	// evil values, and enough others to fill several buckets.
	evilDoubles = rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, 1,
		math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, math.MaxFloat64, -math.MaxFloat64,
		math.Float64frombits(0xfff8_0000_0000_0001)})
	someDoubles = rapid.OneOf(evilDoubles, rapid.Float64Range(-3, 3), rapid.Float64())
	someTimes   = rapid.OneOf(
		rapid.SampledFrom([]*timestamppb.Timestamp{nil, {}, timestamppb.New(time.Time{}), timestamppb.New(epoch),
			{Seconds: 253402300799, Nanos: 999999999}, {Seconds: math.MaxInt64}, {Seconds: math.MinInt64, Nanos: -5},
			timestamppb.New(time.Unix(0, math.MaxInt64)), timestamppb.New(time.Unix(0, math.MinInt64))}),
		rapid.Custom(func(rt *rapid.T) *timestamppb.Timestamp {
			return timestamppb.New(epoch.Add(time.Duration(rapid.IntRange(-50, 50).Draw(rt, "ns"))))
		}))
	someFields = rapid.Custom(func(rt *rapid.T) *openmatch.SearchFields {
		if rapid.IntRange(0, 9).Draw(rt, "nil") == 0 {
			return nil
		}
		return &openmatch.SearchFields{
			Tags:       rapid.SliceOfN(someStrings, 0, 5).Draw(rt, "tags"),
			StringArgs: rapid.MapOfN(someStrings, someStrings, 0, 3).Draw(rt, "strings"),
			DoubleArgs: rapid.MapOfN(someStrings, someDoubles, 0, 3).Draw(rt, "doubles"),
		}
	})
	someFilter = rapid.Custom(func(rt *rapid.T) *filter.Filter {
		p := &openmatch.Pool{}
		for _, tag := range rapid.SliceOfN(someStrings, 0, 2).Draw(rt, "tags") {
			p.TagPresentFilters = append(p.TagPresentFilters, &openmatch.TagPresentFilter{Tag: tag})
		}
		for range rapid.IntRange(0, 1).Draw(rt, "strings") {
			p.StringEqualsFilters = append(p.StringEqualsFilters, &openmatch.StringEqualsFilter{
				StringArg: someStrings.Draw(rt, "arg"), Value: someStrings.Draw(rt, "value")})
		}
		for range rapid.IntRange(0, 2).Draw(rt, "ranges") {
			p.DoubleRangeFilters = append(p.DoubleRangeFilters, &openmatch.DoubleRangeFilter{
				DoubleArg: someStrings.Draw(rt, "arg"), Min: someDoubles.Draw(rt, "min"), Max: someDoubles.Draw(rt, "max"),
				Exclude: openmatch.DoubleRangeFilter_Exclude(rapid.IntRange(-1, 4).Draw(rt, "exclude"))})
		}
		valid := someTimes.Filter(func(ts *timestamppb.Timestamp) bool { return ts == nil || ts.IsValid() })
		if rapid.Bool().Draw(rt, "bounded") {
			p.CreatedAfter, p.CreatedBefore = valid.Draw(rt, "after"), valid.Draw(rt, "before")
		}
		return pool(rt, p)
	})
)

func TestIndexFindsWhatPasses(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		x := index.New[*thing]()
		in := map[*thing]bool{}
		var all []*thing // in and out
		some := func(rt *rapid.T) []*thing {
			if len(all) == 0 {
				return nil
			}
			from := rapid.IntRange(0, len(all)-1).Draw(rt, "from")
			return all[from:min(len(all), from+rapid.IntRange(1, 300).Draw(rt, "n"))]
		}
		rt.Repeat(map[string]func(*rapid.T){
			"insert": func(rt *rapid.T) {
				c := newThing(someFields.Draw(rt, "fields"), someTimes.Draw(rt, "created"))
				all, in[c] = append(all, c), true
				insert(x, c)
			},
			"insertMany": func(rt *rapid.T) {
				from, step := someDoubles.Draw(rt, "from"), rapid.SampledFrom([]float64{0, 0.001, -0.5}).Draw(rt, "step")
				name, at := someStrings.Draw(rt, "arg"), rapid.IntRange(-50, 50).Draw(rt, "at")
				for i := range rapid.IntRange(100, 400).Draw(rt, "n") {
					c := newThing(&openmatch.SearchFields{Tags: []string{name},
						DoubleArgs: map[string]float64{name: from + float64(i)*step}},
						timestamppb.New(epoch.Add(time.Duration(at+i%7))))
					all, in[c] = append(all, c), true
					insert(x, c)
				}
			},
			"remove": func(rt *rapid.T) {
				for _, c := range some(rt) {
					x.Remove(&c.Entry) // some of them again
					delete(in, c)
				}
			},
			"reinsert": func(rt *rapid.T) {
				for _, c := range some(rt) {
					if !in[c] {
						in[c] = true
						insert(x, c)
					}
				}
			},
			"query": func(rt *rapid.T) { compare(rt, x, in, someFilter.Draw(rt, "filter")) },
			"": func(rt *rapid.T) {
				if err := x.Check(); err != nil {
					rt.Fatal(err)
				}
				if x.Len() != len(in) {
					rt.Fatalf("%d, want %d", x.Len(), len(in))
				}
				compare(rt, x, in, &filter.Filter{})
			},
		})
	})
}

func TestTheWholeRangeOfExclusions(t *testing.T) {
	x := index.New[*thing]()
	in := map[*thing]bool{}
	values := []float64{math.NaN(), math.Inf(-1), -math.MaxFloat64, -1, -math.SmallestNonzeroFloat64,
		math.Copysign(0, -1), 0, math.SmallestNonzeroFloat64, 1, math.MaxFloat64, math.Inf(1)}
	for i, v := range slices.Concat(values, values) {
		c := newThing(&openmatch.SearchFields{DoubleArgs: map[string]float64{"v": v}}, timestamppb.New(epoch.Add(time.Duration(i))))
		in[c] = true
		insert(x, c)
	}
	for _, lo := range values {
		for _, hi := range values {
			for exclude := openmatch.DoubleRangeFilter_Exclude(-1); exclude < 6; exclude++ {
				f := pool(t, &openmatch.Pool{DoubleRangeFilters: []*openmatch.DoubleRangeFilter{
					{DoubleArg: "v", Min: lo, Max: hi, Exclude: exclude}}})
				compare(t, x, in, f)
				// A range is found exactly, unless it takes in all.
				if got := x.Candidates(f, nil); len(got) < len(in) {
					for _, c := range got {
						if !f.Pass(c.fields, c.created) {
							t.Errorf("%v is not in [%v, %v] without %v", c.fields, lo, hi, exclude)
						}
					}
				}
			}
		}
	}
}

func TestCandidatesAppends(t *testing.T) {
	x := index.New[int]()
	e := index.Entry[int]{Item: 2}
	x.Insert(&e, nil, nil)
	if got := x.Candidates(&filter.Filter{}, []int{1}); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("got %v", got)
	}
	none := pool(t, &openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: "x"}}})
	if got := x.Candidates(none, []int{1}); !slices.Equal(got, []int{1}) {
		t.Errorf("got %v", got)
	}
}

func TestInsertTwicePanics(t *testing.T) {
	x := index.New[int]()
	var e index.Entry[int]
	x.Insert(&e, nil, nil)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	x.Insert(&e, nil, nil)
}

func TestHugeTagListsStayCheap(t *testing.T) {
	tags := make([]string, 200_000)
	for i := range tags {
		tags[i] = fmt.Sprint(i / 2)
	}
	x := index.New[*thing]()
	var things []*thing
	for range 3 {
		c := newThing(&openmatch.SearchFields{Tags: tags}, nil)
		things = append(things, c)
		insert(x, c)
	}
	f := pool(t, &openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: "7"}}})
	if got := x.Candidates(f, nil); len(got) != 3 {
		t.Errorf("%d candidates, want 3", len(got))
	}
	for _, c := range things {
		x.Remove(&c.Entry)
	}
	if err := x.Check(); err != nil || len(x.Candidates(f, nil)) != 0 {
		t.Errorf("something is left: %v", err)
	}
}

// session is the n-th ticket of a typical load: 100 share a region, the skills
// are arbitrary, the latencies few.
func session(n int) *thing {
	r := rand.New(rand.NewPCG(7, uint64(n)))
	return newThing(&openmatch.SearchFields{
		Tags:       []string{"mode.session"},
		StringArgs: map[string]string{"region": fmt.Sprint("region-", n/100)},
		DoubleArgs: map[string]float64{"skill": r.NormFloat64()*300 + 1500, "latency": float64(r.IntN(200))},
	}, timestamppb.New(epoch.Add(time.Duration(n)*time.Millisecond)))
}

func filled(n int) (*index.Index[*thing], []*thing) {
	x := index.New[*thing]()
	things := make([]*thing, n)
	for i := range things {
		things[i] = session(i)
		insert(x, things[i])
	}
	return x, things
}

// selective are pools that about 100 of n tickets pass.
func selective(n int) map[string]*openmatch.Pool {
	tag := []*openmatch.TagPresentFilter{{Tag: "mode.session"}}
	// The density of skills in the middle is n / (300 √2π).
	width := 100 * 300 * math.Sqrt(2*math.Pi) / float64(n)
	skill := &openmatch.DoubleRangeFilter{DoubleArg: "skill", Min: 1500, Max: 1500 + width}
	broad := &openmatch.DoubleRangeFilter{DoubleArg: "latency", Min: 0, Max: 150}
	after := epoch.Add(time.Duration(n/2) * time.Millisecond)
	return map[string]*openmatch.Pool{
		"string": {TagPresentFilters: tag, StringEqualsFilters: []*openmatch.StringEqualsFilter{
			{StringArg: "region", Value: fmt.Sprint("region-", n/200)}}},
		"range": {TagPresentFilters: tag, DoubleRangeFilters: []*openmatch.DoubleRangeFilter{broad, skill}},
		"created": {TagPresentFilters: tag, DoubleRangeFilters: []*openmatch.DoubleRangeFilter{broad},
			CreatedAfter: timestamppb.New(after), CreatedBefore: timestamppb.New(after.Add(101 * time.Millisecond))},
		"latest": {CreatedAfter: timestamppb.New(epoch.Add(time.Duration(n-101) * time.Millisecond))},
	}
}

func TestSelectiveQueriesLookAtFew(t *testing.T) {
	const n = 100_000
	x, things := filled(n)
	pools := selective(n)
	pools["nothing"] = &openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: "nobody"}}}
	pools["out of range"] = &openmatch.Pool{DoubleRangeFilters: []*openmatch.DoubleRangeFilter{
		{DoubleArg: "skill", Min: 1e9, Max: 1e10}}}
	check := func(t *testing.T) {
		for name, p := range pools {
			f := pool(t, p)
			got, steps := x.Steps(f, nil)
			// At both ends of a range stand entries that are not in it, and the
			// broader range is counted until it is longer than what is known.
			if most := 4*len(got) + 400; steps > most {
				t.Errorf("%s: %d steps for %d candidates", name, steps, len(got))
			}
			in := map[*thing]bool{}
			for _, c := range things {
				in[c] = true
			}
			compare(t, x, in, f)
		}
	}
	t.Run("all", check)
	// Leave every 16th, and the buckets have to be merged.
	var left []*thing
	for i, c := range things {
		if i%16 == 0 {
			left = append(left, c)
		} else {
			x.Remove(&c.Entry)
		}
	}
	things = left
	t.Run("thinned", check)
	if err := x.Check(); err != nil {
		t.Error(err)
	}
}

// Every order in which values can come must leave few buckets, and full ones.
func TestOrdersOfInsertion(t *testing.T) {
	const n = 20_000
	for name, value := range map[string]func(i int) float64{
		"rising":     func(i int) float64 { return float64(i) },
		"falling":    func(i int) float64 { return -float64(i) },
		"same":       func(int) float64 { return 1500 },
		"two":        func(i int) float64 { return float64(i % 2) },
		"beside hot": func(i int) float64 { return 1500 + float64(i%2)/float64(i+1) },
		"below hot":  func(i int) float64 { return 1500 - float64(i%2)/float64(i+1) },
		"inwards":    func(i int) float64 { return float64(1-i%2*2) / float64(i+1) },
		"outwards":   func(i int) float64 { return float64(1-i%2*2) * float64(i+1) },
		"scattered":  func(i int) float64 { return float64(i * 7919 % 10007) },
	} {
		t.Run(name, func(t *testing.T) {
			x := index.New[*thing]()
			things := make([]*thing, n)
			for i := range things {
				things[i] = newThing(&openmatch.SearchFields{DoubleArgs: map[string]float64{"v": value(i)}},
					timestamppb.New(epoch.Add(time.Duration(value(i)*1000))))
				insert(x, things[i])
			}
			if err := x.Check(); err != nil {
				t.Fatal(err)
			}
			for i, c := range things {
				x.Remove(&c.Entry)
				if i%1000 == 0 {
					if err := x.Check(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if x.Len() != 0 {
				t.Errorf("%d left", x.Len())
			}
		})
	}
}

func TestMemoryReturns(t *testing.T) {
	if testing.Short() {
		t.Skip("a million entries")
	}
	const n = 1_000_000
	x := index.New[*thing]()
	entries := make([]index.Entry[*thing], n)
	fields := &openmatch.SearchFields{Tags: []string{"mode.session"},
		StringArgs: map[string]string{"player": ""}, DoubleArgs: map[string]float64{"skill": 0}}
	base := heap()
	for i := range entries {
		fields.StringArgs["player"] = fmt.Sprint(i)
		fields.DoubleArgs["skill"] = float64(i * 7919 % n)
		x.Insert(&entries[i], fields, timestamppb.New(epoch.Add(time.Duration(i))))
	}
	peak := heap() - base
	for i := range entries {
		if i%10_000 != 0 {
			x.Remove(&entries[i])
		}
	}
	if err := x.Check(); err != nil {
		t.Error(err)
	}
	few := heap() - base
	for i := range entries {
		x.Remove(&entries[i])
	}
	left := heap() - base
	t.Logf("%d bytes with %d entries, %d with %d, %d without", peak, n, few, n/10_000, left)
	if few > peak/100 || left > peak/1000+100_000 {
		t.Errorf("%d bytes at most, %d with a ten-thousandth, %d when empty", peak, few, left)
	}
	runtime.KeepAlive(x)
	runtime.KeepAlive(entries)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestConcurrentCandidates(t *testing.T) {
	x, _ := filled(5000)
	want := map[string]int{}
	filters := map[string]*filter.Filter{}
	for name, p := range selective(5000) {
		filters[name] = pool(t, p)
		want[name] = len(x.Candidates(filters[name], nil))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				for name, f := range filters {
					if got := len(x.Candidates(f, nil)); got != want[name] {
						t.Errorf("%s: %d, want %d", name, got, want[name])
					}
				}
			}
		})
	}
	wg.Wait()
}
