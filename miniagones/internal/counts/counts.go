// Package counts holds the counters and lists of game servers, which Agones has so
// that a server can say for how many more players or matches it has room. What an
// allocation asks of them and changes there is decided here, for all backends.
package counts

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxList is the largest capacity of a list.
const MaxList = 1000

// Counter is a number from 0 to a capacity.
type Counter struct {
	Count    int64 `json:"count"`
	Capacity int64 `json:"capacity"`
}

// Same reports whether two counters are equal.
func (c Counter) Same(as Counter) bool { return c == as }

// List holds different values, at most as many as its capacity.
type List struct {
	Capacity int64    `json:"capacity"`
	Values   []string `json:"values"`
}

// Same reports whether two lists are equal.
func (l List) Same(as List) bool {
	return l.Capacity == as.Capacity && slices.Equal(l.Values, as.Values)
}

// Players are who a server says is there, in the order of their coming, and how many
// may be.
type Players struct {
	Capacity int64
	IDs      []string
}

// Set is what a server has, by name. Its maps and slices are never changed: it is
// safe to share.
type Set struct {
	Counters map[string]Counter
	Lists    map[string]List
	// Players is nil until the server has said something of them.
	Players *Players
}

// CounterSelector bounds a counter. A bound of 0 for the most is none.
type CounterSelector struct {
	MinCount     int64 `json:"minCount"`
	MaxCount     int64 `json:"maxCount"`
	MinAvailable int64 `json:"minAvailable"`
	MaxAvailable int64 `json:"maxAvailable"`
}

// ListSelector bounds the room in a list, and names a value that it has to hold
// unless that is empty.
type ListSelector struct {
	ContainsValue string `json:"containsValue"`
	MinAvailable  int64  `json:"minAvailable"`
	MaxAvailable  int64  `json:"maxAvailable"`
}

// Selector says which servers fit.
type Selector struct {
	Counters map[string]CounterSelector `json:"counters,omitempty"`
	Lists    map[string]ListSelector    `json:"lists,omitempty"`
}

// Matches reports whether a server fits: one that lacks a counter or list does not.
func (s Selector) Matches(of Set) bool {
	for name, want := range s.Counters {
		have, ok := of.Counters[name]
		if !ok || !within(have.Count, want.MinCount, want.MaxCount) || !within(have.Capacity-have.Count, want.MinAvailable, want.MaxAvailable) {
			return false
		}
	}
	for name, want := range s.Lists {
		have, ok := of.Lists[name]
		if !ok || !within(have.available(), want.MinAvailable, want.MaxAvailable) ||
			want.ContainsValue != "" && !slices.Contains(have.Values, want.ContainsValue) {
			return false
		}
	}
	return true
}

func (l List) available() int64 { return l.Capacity - int64(len(l.Values)) }

func within(n, least, most int64) bool { return n >= least && (most == 0 || n <= most) }

// Actions of a CounterAction.
const (
	Increment = "Increment"
	Decrement = "Decrement"
)

// CounterAction changes a counter: first its capacity, then the count. Both are
// optional.
type CounterAction struct {
	Action   *string `json:"action,omitempty"`
	Amount   *int64  `json:"amount,omitempty"`
	Capacity *int64  `json:"capacity,omitempty"`
}

// ListAction changes a list: its capacity, then it takes values out and puts others
// in.
type ListAction struct {
	AddValues    []string `json:"addValues,omitempty"`
	DeleteValues []string `json:"deleteValues,omitempty"`
	Capacity     *int64   `json:"capacity,omitempty"`
}

// Actions are what an allocation changes.
type Actions struct {
	Counters map[string]CounterAction `json:"counters,omitempty"`
	Lists    map[string]ListAction    `json:"lists,omitempty"`
}

// Apply returns what a server has after the actions. Those on what it lacks do
// nothing, a count stays between 0 and the capacity, and values beyond the capacity are
// left out: as in Agones, none of that keeps a server from being allocated.
func (a Actions) Apply(to Set) Set {
	if len(a.Counters) > 0 && len(to.Counters) > 0 {
		to.Counters = maps.Clone(to.Counters)
		for name, do := range a.Counters {
			if c, ok := to.Counters[name]; ok {
				to.Counters[name] = do.apply(c)
			}
		}
	}
	if len(a.Lists) > 0 && len(to.Lists) > 0 {
		to.Lists = maps.Clone(to.Lists)
		for name, do := range a.Lists {
			if l, ok := to.Lists[name]; ok {
				to.Lists[name] = do.Apply(l)
			}
		}
	}
	return to
}

func (a CounterAction) apply(c Counter) Counter {
	if a.Capacity != nil {
		c.Capacity = *a.Capacity
		c.Count = min(c.Count, c.Capacity)
	}
	if a.Action == nil || a.Amount == nil {
		return c
	}
	if *a.Action == Increment {
		c.Count += min(*a.Amount, c.Capacity-c.Count) // no overflow
	} else {
		c.Count = max(c.Count-*a.Amount, 0)
	}
	return c
}

// Apply returns a list after the action. Values beyond the capacity are left out.
func (a ListAction) Apply(l List) List {
	if a.Capacity != nil {
		l.Capacity = *a.Capacity
	}
	kept := make([]string, 0, len(l.Values)+len(a.AddValues))
	for _, v := range l.Values {
		if !slices.Contains(a.DeleteValues, v) {
			kept = append(kept, v)
		}
	}
	for _, v := range a.AddValues {
		if !slices.Contains(kept, v) {
			kept = append(kept, v)
		}
	}
	l.Values = slices.Clip(kept[:min(int64(len(kept)), l.Capacity)])
	return l
}

// Priority says which of two servers is taken first.
type Priority struct {
	// Type is Counter or List.
	Type string `json:"type"`
	Key  string `json:"key"`
	// Order is Ascending, also when empty, for the one with less room, or
	// Descending.
	Order string `json:"order"`
}

// Compare is negative if a server with x comes before one with y. A server that lacks
// what a priority names comes after one that has it.
func Compare(priorities []Priority, x, y Set) int {
	for _, p := range priorities {
		a, inX := p.available(x)
		b, inY := p.available(y)
		var c int
		switch {
		case inX != inY && inX:
			c = -1
		case inX != inY:
			c = 1
		case p.Order == "Descending":
			c = cmp.Compare(b, a)
		default:
			c = cmp.Compare(a, b)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func (p Priority) available(of Set) (int64, bool) {
	if p.Type == "List" {
		l, ok := of.Lists[p.Key]
		return l.available(), ok
	}
	c, ok := of.Counters[p.Key]
	return c.Capacity - c.Count, ok
}

// Problem is what is wrong with a field.
type Problem struct{ Field, Rule string }

// Check returns what is wrong with a selector, by its fields.
func (s Selector) Check() (wrong []Problem) {
	bounds := func(field string, least, most int64) {
		if least < 0 || most < 0 || most != 0 && most < least {
			wrong = append(wrong, Problem{field, "must not be negative, and the most must be 0, for no bound, or at least the least"})
		}
	}
	for _, name := range sorted(s.Counters) {
		c := s.Counters[name]
		bounds("counters["+name+"].count", c.MinCount, c.MaxCount)
		bounds("counters["+name+"].available", c.MinAvailable, c.MaxAvailable)
	}
	for _, name := range sorted(s.Lists) {
		bounds("lists["+name+"].available", s.Lists[name].MinAvailable, s.Lists[name].MaxAvailable)
	}
	return wrong
}

// Check returns what is wrong with actions, by their fields.
func (a Actions) Check() (wrong []Problem) {
	bad := func(field, rule string) { wrong = append(wrong, Problem{field, rule}) }
	for _, name := range sorted(a.Counters) {
		c, path := a.Counters[name], "counters["+name+"]"
		if c.Action != nil && *c.Action != Increment && *c.Action != Decrement {
			bad(path+".action", "must be Increment or Decrement")
		}
		if (c.Action == nil) != (c.Amount == nil) || c.Amount != nil && *c.Amount < 0 {
			bad(path+".amount", "must not be negative, and be there exactly if action is")
		}
		if c.Capacity != nil && *c.Capacity < 0 {
			bad(path+".capacity", "must not be negative")
		}
	}
	for _, name := range sorted(a.Lists) {
		if c := a.Lists[name].Capacity; c != nil && (*c < 0 || *c > MaxList) {
			bad("lists["+name+"].capacity", fmt.Sprintf("must be from 0 to %d", MaxList))
		}
	}
	return wrong
}

// CheckPriorities returns what is wrong with priorities, by their fields.
func CheckPriorities(priorities []Priority) (wrong []Problem) {
	for i, p := range priorities {
		path := fmt.Sprintf("priorities[%d]", i)
		if p.Type != "Counter" && p.Type != "List" {
			wrong = append(wrong, Problem{path + ".type", "must be Counter or List"})
		}
		if p.Key == "" {
			wrong = append(wrong, Problem{path + ".key", "must not be empty"})
		}
		if p.Order != "" && p.Order != "Ascending" && p.Order != "Descending" {
			wrong = append(wrong, Problem{path + ".order", "must be Ascending or Descending"})
		}
	}
	return wrong
}

// Check reports whether a server can have what is in the set.
func (s Set) Check() error {
	var errs []error
	for _, name := range sorted(s.Counters) {
		if c := s.Counters[name]; c.Count < 0 || c.Count > c.Capacity {
			errs = append(errs, fmt.Errorf("counter %q: the count must be from 0 to the capacity, got %d of %d", name, c.Count, c.Capacity))
		}
	}
	for _, name := range sorted(s.Lists) {
		if l := s.Lists[name]; l.Capacity < int64(len(l.Values)) || l.Capacity > MaxList {
			errs = append(errs, fmt.Errorf("list %q: the capacity must be from the number of values to %d, got %d", name, MaxList, l.Capacity))
		}
	}
	return errors.Join(errs...)
}

// counterText is a counter, or a list, on a command line.
var counterText = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*)=(?:(\d+)/)?(\d+)$`)

// Parse reads counters, NAME=CAPACITY or NAME=COUNT/CAPACITY, and empty lists,
// NAME=CAPACITY. The error names what is wrong.
func Parse(counters, lists []string) (Set, error) {
	s := Set{Counters: make(map[string]Counter), Lists: make(map[string]List)}
	for _, text := range counters {
		m := counterText.FindStringSubmatch(text)
		if m == nil {
			return Set{}, fmt.Errorf("counter %q: must be NAME=CAPACITY or NAME=COUNT/CAPACITY", text)
		}
		var c Counter
		var err error
		if m[2] != "" {
			c.Count, err = strconv.ParseInt(m[2], 10, 64)
		}
		if err == nil {
			c.Capacity, err = strconv.ParseInt(m[3], 10, 64)
		}
		if _, double := s.Counters[m[1]]; err != nil || double {
			return Set{}, fmt.Errorf("counter %q: must be there once, with numbers of at most 64 bits", text)
		}
		s.Counters[m[1]] = c
	}
	for _, text := range lists {
		m := counterText.FindStringSubmatch(text)
		if m == nil || strings.Contains(text, "/") {
			return Set{}, fmt.Errorf("list %q: must be NAME=CAPACITY", text)
		}
		capacity, err := strconv.ParseInt(m[3], 10, 64)
		if _, double := s.Lists[m[1]]; err != nil || double {
			return Set{}, fmt.Errorf("list %q: must be there once, with a number of at most 64 bits", text)
		}
		s.Lists[m[1]] = List{Capacity: capacity}
	}
	return s, s.Check()
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
