package counts_test

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"torikumi/miniagones/internal/counts"
)

func pointer[T any](v T) *T { return &v }

func TestMatches(t *testing.T) {
	has := counts.Set{
		Counters: map[string]counts.Counter{"rooms": {Count: 2, Capacity: 5}, "none": {}},
		Lists:    map[string]counts.List{"ids": {Capacity: 3, Values: []string{"x"}}},
	}
	counter := func(name string, c counts.CounterSelector) counts.Selector {
		return counts.Selector{Counters: map[string]counts.CounterSelector{name: c}}
	}
	list := func(name string, l counts.ListSelector) counts.Selector {
		return counts.Selector{Lists: map[string]counts.ListSelector{name: l}}
	}
	for _, c := range []struct {
		sel  counts.Selector
		want bool
	}{
		{counts.Selector{}, true},
		{counter("rooms", counts.CounterSelector{}), true},
		{counter("other", counts.CounterSelector{}), false},
		{counter("rooms", counts.CounterSelector{MinCount: 2, MaxCount: 2, MinAvailable: 3, MaxAvailable: 3}), true},
		{counter("rooms", counts.CounterSelector{MinCount: 3}), false},
		{counter("rooms", counts.CounterSelector{MaxCount: 1}), false},
		{counter("rooms", counts.CounterSelector{MinAvailable: 4}), false},
		{counter("rooms", counts.CounterSelector{MaxAvailable: 2}), false},
		{counter("none", counts.CounterSelector{MinAvailable: 1}), false},
		{list("ids", counts.ListSelector{}), true},
		{list("other", counts.ListSelector{}), false},
		{list("ids", counts.ListSelector{ContainsValue: "x", MinAvailable: 2, MaxAvailable: 2}), true},
		{list("ids", counts.ListSelector{ContainsValue: "y"}), false},
		{list("ids", counts.ListSelector{MinAvailable: 3}), false},
		{list("ids", counts.ListSelector{MaxAvailable: 1}), false},
	} {
		if got := c.sel.Matches(has); got != c.want {
			t.Errorf("%+v: %v", c.sel, got)
		}
	}
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name string
		do   counts.CounterAction
		want counts.Counter
	}{
		{"nothing", counts.CounterAction{}, counts.Counter{Count: 2, Capacity: 5}},
		{"up", counts.CounterAction{Action: pointer("Increment"), Amount: pointer(int64(2))}, counts.Counter{Count: 4, Capacity: 5}},
		{"up to the capacity", counts.CounterAction{Action: pointer("Increment"), Amount: pointer(int64(math.MaxInt64))}, counts.Counter{Count: 5, Capacity: 5}},
		{"down", counts.CounterAction{Action: pointer("Decrement"), Amount: pointer(int64(1))}, counts.Counter{Count: 1, Capacity: 5}},
		{"down to 0", counts.CounterAction{Action: pointer("Decrement"), Amount: pointer(int64(9))}, counts.Counter{Count: 0, Capacity: 5}},
		{"smaller", counts.CounterAction{Capacity: pointer(int64(1))}, counts.Counter{Count: 1, Capacity: 1}},
		{"larger, then up", counts.CounterAction{Action: pointer("Increment"), Amount: pointer(int64(9)), Capacity: pointer(int64(20))}, counts.Counter{Count: 11, Capacity: 20}},
	} {
		has := counts.Set{Counters: map[string]counts.Counter{"rooms": {Count: 2, Capacity: 5}}}
		got := counts.Actions{Counters: map[string]counts.CounterAction{"rooms": c.do, "other": c.do}}.Apply(has)
		if got.Counters["rooms"] != c.want || len(got.Counters) != 1 || has.Counters["rooms"].Count != 2 {
			t.Errorf("%s: %+v from %+v", c.name, got, has)
		}
	}
	for _, c := range []struct {
		name string
		do   counts.ListAction
		want []string
	}{
		{"nothing", counts.ListAction{}, []string{"a", "b"}},
		{"in", counts.ListAction{AddValues: []string{"c", "a", "c"}}, []string{"a", "b", "c"}},
		{"in as far as it goes", counts.ListAction{AddValues: []string{"c", "d"}}, []string{"a", "b", "c"}},
		{"out", counts.ListAction{DeleteValues: []string{"a", "x"}}, []string{"b"}},
		{"out and in", counts.ListAction{DeleteValues: []string{"a"}, AddValues: []string{"c", "a"}}, []string{"b", "c", "a"}},
		{"smaller", counts.ListAction{Capacity: pointer(int64(1))}, []string{"a"}},
		{"larger", counts.ListAction{Capacity: pointer(int64(5)), AddValues: []string{"c", "d"}}, []string{"a", "b", "c", "d"}},
	} {
		has := counts.Set{Lists: map[string]counts.List{"ids": {Capacity: 3, Values: []string{"a", "b"}}}}
		got := counts.Actions{Lists: map[string]counts.ListAction{"ids": c.do, "other": c.do}}.Apply(has)
		if !slices.Equal(got.Lists["ids"].Values, c.want) || len(got.Lists) != 1 || !slices.Equal(has.Lists["ids"].Values, []string{"a", "b"}) {
			t.Errorf("%s: %+v from %+v", c.name, got, has)
		}
	}
}

// Whatever is done, a count stays in its bounds, a list holds nothing twice, and what
// was before is not changed.
func TestApplyKeepsBounds(t *testing.T) {
	number := rapid.OneOf(rapid.Int64Range(0, 8), rapid.Int64Range(math.MaxInt64-2, math.MaxInt64))
	value := rapid.SampledFrom([]string{"a", "b", "c", "d"})
	rapid.Check(t, func(t *rapid.T) {
		set := counts.Set{Counters: map[string]counts.Counter{"n": {Capacity: 4}}, Lists: map[string]counts.List{"l": {Capacity: 3}}}
		for range rapid.IntRange(1, 10).Draw(t, "steps") {
			do := counts.Actions{
				Counters: map[string]counts.CounterAction{"n": {
					Action: pointer(rapid.SampledFrom([]string{"Increment", "Decrement"}).Draw(t, "action")), Amount: pointer(number.Draw(t, "amount")),
				}},
				Lists: map[string]counts.ListAction{"l": {
					AddValues: rapid.SliceOfN(value, 0, 4).Draw(t, "add"), DeleteValues: rapid.SliceOfN(value, 0, 2).Draw(t, "delete"),
				}},
			}
			if rapid.Bool().Draw(t, "capacity") {
				c := do.Counters["n"]
				c.Capacity = pointer(number.Draw(t, "counter capacity"))
				do.Counters["n"] = c
				l := do.Lists["l"]
				l.Capacity = pointer(rapid.Int64Range(0, 4).Draw(t, "list capacity"))
				do.Lists["l"] = l
			}
			if wrong := do.Check(); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			before := counts.Set{Counters: map[string]counts.Counter{"n": set.Counters["n"]}, Lists: map[string]counts.List{"l": {Capacity: set.Lists["l"].Capacity, Values: slices.Clone(set.Lists["l"].Values)}}}
			next := do.Apply(set)
			if !reflect.DeepEqual(before.Counters, set.Counters) || !slices.Equal(before.Lists["l"].Values, set.Lists["l"].Values) {
				t.Fatalf("%+v was changed to %+v", before, set)
			}
			set = next
			sorted := slices.Sorted(slices.Values(set.Lists["l"].Values))
			if err := set.Check(); err != nil || len(slices.Compact(sorted)) != len(set.Lists["l"].Values) {
				t.Fatalf("%+v: %v", set, err)
			}
		}
	})
}

func TestCompare(t *testing.T) {
	room := func(n int64) counts.Set {
		return counts.Set{Counters: map[string]counts.Counter{"a": {Count: 10 - n, Capacity: 10}}, Lists: map[string]counts.List{"l": {Capacity: n}}}
	}
	counter := []counts.Priority{{Type: "Counter", Key: "a"}}
	down := []counts.Priority{{Type: "List", Key: "l", Order: "Descending"}}
	second := []counts.Priority{{Type: "Counter", Key: "none"}, {Type: "Counter", Key: "a", Order: "Ascending"}}
	for _, c := range []struct {
		by   []counts.Priority
		x, y counts.Set
		want int
	}{
		{counter, room(1), room(2), -1}, {counter, room(2), room(1), 1}, {counter, room(2), room(2), 0},
		{down, room(1), room(2), 1}, {down, room(2), room(1), -1},
		{counter, room(9), counts.Set{}, -1}, {counter, counts.Set{}, room(1), 1}, {second, room(1), room(2), -1}, {nil, room(1), room(2), 0},
	} {
		if got := counts.Compare(c.by, c.x, c.y); got != c.want {
			t.Errorf("%v, %v by %v: %d", c.x, c.y, c.by, got)
		}
	}
}

func TestParse(t *testing.T) {
	got, err := counts.Parse([]string{"rooms=2/5", "seats=9"}, []string{"ids=3"})
	if err != nil || got.Counters["rooms"] != (counts.Counter{Count: 2, Capacity: 5}) || got.Counters["seats"] != (counts.Counter{Capacity: 9}) || got.Lists["ids"].Capacity != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, wrong := range [][2]string{{"rooms", ""}, {"rooms=", ""}, {"rooms=-1", ""}, {"=1", ""}, {"rooms=3/2", ""}, {"rooms=99999999999999999999", ""}, {"", "ids=1001"}, {"", "ids=1/2"}, {"", "ids"}} {
		var counters, lists []string
		if wrong[0] != "" {
			counters = []string{wrong[0]}
		}
		if wrong[1] != "" {
			lists = []string{wrong[1]}
		}
		if _, err := counts.Parse(counters, lists); err == nil || !strings.Contains(err.Error(), strings.Split(strings.Join(wrong[:], ""), "=")[0]) {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	if _, err := counts.Parse([]string{"a=1", "a=2"}, nil); err == nil {
		t.Error("twice")
	}
}
