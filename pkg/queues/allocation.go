package queues

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/pkg/contract"
	"torikumi/pkg/ruleset"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Allocation says which game servers will do for a queue, and what a match changes
// on its server. Its words, and what they mean, are those of Agones's
// GameServerAllocation.
type Allocation struct {
	// Namespace of the game servers; the director's default when empty.
	Namespace string `json:"namespace,omitempty"`
	// Labels that a server has to carry, whichever selector it fits.
	Labels map[string]string `json:"labels,omitempty"`
	// Selectors in order of preference; one for servers that are Ready when empty.
	Selectors []Selector `json:"selectors,omitempty"`
	// Port is the name of the port that players connect to: "default" or "game", else
	// the first, when empty.
	Port string `json:"port,omitempty"`
	// Scheduling is Packed, also when empty, or Distributed.
	Scheduling string     `json:"scheduling,omitempty"`
	Priorities []Priority `json:"priorities,omitempty"`
	// Counters and Lists of the server that a match changes.
	Counters map[string]CounterAction `json:"counters,omitempty"`
	Lists    map[string]ListAction    `json:"lists,omitempty"`
	Metadata Metadata                 `json:"metadata,omitempty"`
	// MatchData is what the server is told of its match beside the roster.
	MatchData MatchData `json:"match_data,omitempty"`
	// Tracking is what the gate keeps up on the server while the match lasts.
	Tracking Tracking `json:"tracking,omitempty"`
}

// Tracking is where Agones is told who is in a match; nowhere when zero.
type Tracking struct {
	// Counter has as its count how many players are there.
	Counter string `json:"counter,omitempty"`
	// List has their ids as its values.
	List string `json:"list,omitempty"`
	// Players are in Agones's player tracking.
	Players bool `json:"players,omitempty"`
}

// Proto is the tracking as the gate reads it; nil if there is none.
func (t Tracking) Proto() *torikumiv1.Tracking {
	if t == (Tracking{}) {
		return nil
	}
	return &torikumiv1.Tracking{Counter: t.Counter, List: t.List, Players: t.Players}
}

// What fields hold that have names of Agones.
const (
	Ready       = "Ready"
	Allocated   = "Allocated"
	Packed      = "Packed"
	Distributed = "Distributed"
	Counter     = "Counter"
	List        = "List"
	Ascending   = "Ascending"
	Descending  = "Descending"
	Increment   = "Increment"
	Decrement   = "Decrement"
)

// Selector says which servers fit.
type Selector struct {
	Labels map[string]string `json:"labels,omitempty"`
	// State is Ready, also when empty, or Allocated.
	State    string                     `json:"state,omitempty"`
	Players  PlayerSelector             `json:"players,omitempty"`
	Counters map[string]CounterSelector `json:"counters,omitempty"`
	Lists    map[string]ListSelector    `json:"lists,omitempty"`
}

// PlayerSelector is for Agones's player tracking; none when zero.
type PlayerSelector struct {
	MinAvailable Quantity `json:"min_available,omitempty"`
	MaxAvailable Quantity `json:"max_available,omitempty"`
}

// CounterSelector bounds a counter; there is no upper bound when that is 0.
type CounterSelector struct {
	MinCount     Quantity `json:"min_count,omitempty"`
	MaxCount     Quantity `json:"max_count,omitempty"`
	MinAvailable Quantity `json:"min_available,omitempty"`
	MaxAvailable Quantity `json:"max_available,omitempty"`
}

// ListSelector bounds the room in a list, and says what has to be in it.
type ListSelector struct {
	ContainsValue string   `json:"contains_value,omitempty"`
	MinAvailable  Quantity `json:"min_available,omitempty"`
	MaxAvailable  Quantity `json:"max_available,omitempty"`
}

// Priority says which of the servers that fit one selector is taken.
type Priority struct {
	// Type is Counter or List.
	Type string `json:"type"`
	Key  string `json:"key"`
	// Order is Ascending, also when empty, or Descending.
	Order string `json:"order,omitempty"`
}

// CounterAction changes a counter.
type CounterAction struct {
	// Action is Increment or Decrement, by Amount; none when empty.
	Action string   `json:"action,omitempty"`
	Amount Quantity `json:"amount,omitempty"`
	// Capacity is set first; not when 0.
	Capacity Quantity `json:"capacity,omitempty"`
}

// ListAction changes a list.
type ListAction struct {
	// AddValues and DeleteValues may be MatchID and PlayerIDs.
	AddValues    []string `json:"add_values,omitempty"`
	DeleteValues []string `json:"delete_values,omitempty"`
	// Capacity is set first; not when 0.
	Capacity Quantity `json:"capacity,omitempty"`
}

// Values that stand for something of the match.
const (
	// MatchID is the value of contract.MatchLabel.
	MatchID = "$(match)"
	// PlayerIDs is the id of each player, in a list, and their number else.
	PlayerIDs = "$(players)"
)

// Metadata are labels and annotations that the server gets.
type Metadata struct {
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// MatchData is an annotation with a contract.MatchData as JSON. There is none
// without values and attributes.
type MatchData struct {
	// Annotation is contract.MatchDataAnnotation when the file does not say.
	Annotation string `json:"annotation,omitempty"`
	// MaxBytes is the largest value of the annotation: DefaultMatchData when the
	// file does not say.
	MaxBytes int32 `json:"max_bytes,omitempty"`
	// Values are told as they are: the map, the mode.
	Values map[string]string `json:"values,omitempty"`
	// Attributes of each player that are told.
	Attributes []string `json:"attributes,omitempty"`
}

// Bounds of match data and of the metadata, in bytes. Kubernetes allows 256 KiB for
// all annotations of an object.
const (
	minMatchData     = 512
	DefaultMatchData = 16 << 10
	maxMatchData     = 128 << 10
	// maxSharedMatchData leaves room for a second match on a server.
	maxSharedMatchData = 64 << 10
	maxMetadata        = 32 << 10
)

// Wanted reports whether the server is to be told anything.
func (d MatchData) Wanted() bool { return len(d.Values)+len(d.Attributes) > 0 }

// Shared reports whether a server may get further matches while it has some.
func (a Allocation) Shared() bool {
	return slices.ContainsFunc(a.Selectors, func(s Selector) bool { return s.State == Allocated })
}

// TimeLimits are those of a ticket, and of a match on its server. One that is 0 is the
// frontend's or the gate's own setting.
type TimeLimits struct {
	// Search is how long a ticket waits for a match.
	Search Duration `json:"search,omitempty"`
	// NoShow is how long a server waits for its first player.
	NoShow Duration `json:"no_show,omitempty"`
	// Empty is how long it stays after the last player has left.
	Empty Duration `json:"empty,omitempty"`
	// LongestMatch is how long after the allocation it ends, whoever is there.
	LongestMatch Duration `json:"longest_match,omitempty"`
}

// Bounds of the limits. A server has to wait until its players have heard of it and
// have come.
const (
	minNoShow = 10 * time.Second
	maxTime   = 7 * 24 * time.Hour
)

func (l TimeLimits) check(bad report) {
	for _, of := range []struct {
		field string
		least time.Duration
		Duration
	}{{"search", time.Second, l.Search}, {"no_show", minNoShow, l.NoShow}, {"empty", time.Second, l.Empty}, {"longest_match", minNoShow, l.LongestMatch}} {
		if d := of.Duration.Duration; d != 0 && (d < of.least || d > maxTime) {
			bad(of.field, "must be from %v to %v, got %v", of.least, maxTime, d)
		}
	}
	if l.LongestMatch.Duration > 0 && l.LongestMatch.Duration < l.NoShow.Duration {
		bad("longest_match", "must be at least no_show (%v), got %v", l.NoShow, l.LongestMatch)
	}
}

// Proto are the limits as the gate reads them; nil if there are none.
func (l TimeLimits) Proto() *torikumiv1.TimeLimits {
	if l.Search = (Duration{}); l == (TimeLimits{}) {
		return nil
	}
	limit := func(d Duration) *durationpb.Duration {
		if d.Duration == 0 {
			return nil
		}
		return durationpb.New(d.Duration)
	}
	return &torikumiv1.TimeLimits{NoShow: limit(l.NoShow), Empty: limit(l.Empty), LongestMatch: limit(l.LongestMatch)}
}

// SearchLimits are how long tickets wait for a match, of the queues that say it.
func (s *Set) SearchLimits() map[string]time.Duration {
	limits := make(map[string]time.Duration)
	for _, q := range s.Queues {
		if d := q.TimeLimits.Search.Duration; d > 0 {
			limits[q.Name] = d
		}
	}
	return limits
}

// Quantity is a number, or that of the match's players.
type Quantity int64

// Players is the Quantity written PlayerIDs.
const Players Quantity = -1

// For returns the number for a match of so many players.
func (q Quantity) For(players int) int64 {
	if q == Players {
		return int64(players)
	}
	return int64(q)
}

// most is the largest that it can be.
func (q Quantity) most() int64 { return q.For(MaxPlayers) }

// UnmarshalJSON reads a number or PlayerIDs.
func (q *Quantity) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) != nil {
		text = string(b)
	}
	v, err := parseQuantity(text)
	*q = v
	return err
}

func parseQuantity(text string) (Quantity, error) {
	if text == PlayerIDs {
		return Players, nil
	}
	var n int64
	if err := json.Unmarshal([]byte(text), &n); err != nil || n < 0 {
		return 0, fmt.Errorf("must be a whole number from 0 to %d, or %q for that of the players, got %q", int64(math.MaxInt64), PlayerIDs, text)
	}
	return Quantity(n), nil
}

// report notes what is wrong with a field.
type report func(field, rule string, args ...any)

func (r report) in(parent string) report {
	return func(field, rule string, args ...any) {
		if !strings.HasPrefix(field, "[") && field != "" {
			field = "." + field
		}
		r(parent+field, rule, args...)
	}
}

// check fills in defaults and notes what is wrong.
func (a *Allocation) check(bad report) {
	if a.Namespace != "" && !namespaceName.MatchString(a.Namespace) {
		bad("namespace", "must be the name of a Kubernetes namespace, got %q", a.Namespace)
	}
	checkLabels(bad.in("labels"), a.Labels)
	if a.Port != "" {
		checkName(bad.in("port"), a.Port)
	}
	if a.Scheduling != "" && a.Scheduling != Packed && a.Scheduling != Distributed {
		bad("scheduling", "must be %s or %s, got %q", Packed, Distributed, a.Scheduling)
	}
	for i := range a.Selectors {
		a.checkSelector(bad.in(fmt.Sprintf("selectors[%d]", i)), &a.Selectors[i])
	}
	for i, p := range a.Priorities {
		checkPriority(bad.in(fmt.Sprintf("priorities[%d]", i)), p)
	}
	for _, name := range sorted(a.Counters) {
		checkCounterAction(bad.in("counters."+name), name, a.Counters[name])
	}
	for _, name := range sorted(a.Lists) {
		checkListAction(bad.in("lists."+name), name, a.Lists[name])
	}
	a.checkTracking(bad.in("tracking"))
	a.Metadata.check(bad.in("metadata"))
	a.MatchData.check(bad.in("match_data"), a.Metadata.Annotations, a.Shared())
}

func (a *Allocation) checkTracking(bad report) {
	t := a.Tracking
	if t != (Tracking{}) && a.Shared() {
		bad("", "must not be with state Allocated: the gate knows the players of one match alone")
	}
	if t.Counter != "" {
		checkName(bad.in("counter"), t.Counter)
		if _, both := a.Counters[t.Counter]; both {
			bad("counter", "must be another than those that allocation.counters change, got %q", t.Counter)
		}
	}
	if t.List != "" {
		checkName(bad.in("list"), t.List)
		if _, both := a.Lists[t.List]; both {
			bad("list", "must be another than those that allocation.lists change, got %q", t.List)
		}
	}
}

func (a *Allocation) checkSelector(bad report, s *Selector) {
	checkLabels(bad.in("labels"), s.Labels)
	for _, k := range sorted(s.Labels) {
		if v, ok := a.Labels[k]; ok && v != s.Labels[k] {
			bad("labels", "must not contradict allocation.labels, which want %s=%s for all, got %q", k, v, s.Labels[k])
		}
	}
	if s.State != "" && s.State != Ready && s.State != Allocated {
		bad("state", "must be %s or %s, got %q", Ready, Allocated, s.State)
	}
	if p := s.Players; p != (PlayerSelector{}) {
		if p.MaxAvailable == 0 { // Agones passes over a selector without
			bad("players.max_available", "required beside min_available")
		}
		checkRange(bad, "players", "available", p.MinAvailable, p.MaxAvailable)
	}
	for _, name := range sorted(s.Counters) {
		bad, c := bad.in("counters."+name), s.Counters[name]
		checkName(bad, name)
		checkRange(bad, "", "count", c.MinCount, c.MaxCount)
		checkRange(bad, "", "available", c.MinAvailable, c.MaxAvailable)
	}
	for _, name := range sorted(s.Lists) {
		bad, l := bad.in("lists."+name), s.Lists[name]
		checkName(bad, name)
		checkRange(bad, "", "available", l.MinAvailable, l.MaxAvailable)
	}
	if s.State == Allocated && !a.fillsUp(s) {
		bad("", "with state Allocated there must be a counter or list with a min_available, to which allocation.counters or allocation.lists add no more than that: "+
			"else a server that is full gets further matches")
	}
}

// fillsUp reports whether a server that a selector allows gets fuller with each match.
func (a *Allocation) fillsUp(s *Selector) bool {
	for name, c := range s.Counters {
		if do := a.Counters[name]; c.MinAvailable != 0 && do.Action == Increment && enough(c.MinAvailable, do.Amount) {
			return true
		}
	}
	for name, l := range s.Lists {
		values := a.Lists[name].AddValues
		adds := Quantity(0)
		switch {
		case slices.Contains(values, PlayerIDs) && len(values) == 1:
			adds = Players
		case slices.Contains(values, PlayerIDs):
			adds = Quantity(MaxPlayers + len(values) - 1)
		case slices.Contains(values, MatchID): // others may be in the list already
			adds = Quantity(len(values))
		}
		if l.MinAvailable != 0 && adds != 0 && enough(l.MinAvailable, adds) {
			return true
		}
	}
	return false
}

// enough reports whether there is room for what is added, whatever the match: Agones
// cuts a counter or a list off at its capacity.
func enough(room, adds Quantity) bool {
	switch {
	case adds == 0:
		return false
	case room == Players:
		return adds == Players || adds == 1
	case adds == Players:
		return room >= MaxPlayers
	}
	return room >= adds
}

func checkRange(bad report, parent, of string, least, most Quantity) {
	if parent != "" {
		bad = bad.in(parent)
	}
	if most != 0 && least.For(1) > most.most() {
		bad("max_"+of, "must be 0, for no bound, or at least min_%s, got %d", of, most)
	}
}

// checkName: Agones takes any name; ours are those that can be read in a log.
func checkName(bad report, name string) {
	if !contract.ValidLabelValue(name) {
		bad("", "its name must be 1 to 63 characters of A-Z, a-z, 0-9 and -_., got %q", name)
	}
}

func checkPriority(bad report, p Priority) {
	if p.Type != Counter && p.Type != List {
		bad("type", "must be %s or %s, got %q", Counter, List, p.Type)
	}
	if p.Order != "" && p.Order != Ascending && p.Order != Descending {
		bad("order", "must be %s or %s, got %q", Ascending, Descending, p.Order)
	}
	checkName(bad.in("key"), p.Key)
}

func checkCounterAction(bad report, name string, c CounterAction) {
	checkName(bad, name)
	switch {
	case c.Action == "" && c.Amount != 0:
		bad("action", "required beside amount: %s or %s", Increment, Decrement)
	case c.Action == "" && c.Capacity == 0:
		bad("", "must have an action with an amount, or a capacity")
	case c.Action != "" && c.Action != Increment && c.Action != Decrement:
		bad("action", "must be %s or %s, got %q", Increment, Decrement, c.Action)
	case c.Action != "" && c.Amount == 0:
		bad("amount", "required beside action, at least 1")
	}
}

// maxList is how many values Agones lets a list have.
const maxList = 1000

func checkListAction(bad report, name string, l ListAction) {
	checkName(bad, name)
	if len(l.AddValues)+len(l.DeleteValues) == 0 && l.Capacity == 0 {
		bad("", "must have add_values, delete_values or a capacity")
	}
	if l.Capacity.most() > maxList {
		bad("capacity", "must be at most %d, got %d", maxList, l.Capacity)
	}
	for field, values := range map[string][]string{"add_values": l.AddValues, "delete_values": l.DeleteValues} {
		if len(values) > maxList {
			bad(field, "must be at most %d, got %d", maxList, len(values))
		}
		for i, v := range values {
			if v == "" || strings.HasPrefix(v, "$(") && v != MatchID && v != PlayerIDs {
				bad(fmt.Sprintf("%s[%d]", field, i), "must be a value, %s or %s, got %q", MatchID, PlayerIDs, v)
			}
		}
	}
}

func (m *Metadata) check(bad report) {
	checkLabels(bad.in("labels"), m.Labels)
	size := 0
	for _, k := range sorted(m.Annotations) {
		if !contract.ValidKey(k) {
			bad("annotations", "must have keys as Kubernetes takes them, got %q", k)
		}
		size += len(k) + len(m.Annotations[k])
	}
	if size > maxMetadata {
		bad("annotations", "must have at most %d bytes together, got %d", maxMetadata, size)
	}
	for field, of := range map[string]map[string]string{"labels": m.Labels, "annotations": m.Annotations} {
		for _, k := range sorted(of) {
			if ours(k) {
				bad(field, "must not begin with torikumi/ or agones.dev/, which others set, got %q", k)
			}
		}
	}
}

// ours reports whether a key is one that Torikumi or Agones set.
func ours(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	return found && (domain == "torikumi" || domain == "agones.dev" || strings.HasSuffix(domain, ".agones.dev"))
}

func (d *MatchData) check(bad report, taken map[string]string, shared bool) {
	if d.Annotation == "" {
		d.Annotation = contract.MatchDataAnnotation
	}
	if d.MaxBytes == 0 {
		d.MaxBytes = DefaultMatchData
	}
	_, double := taken[d.Annotation]
	switch {
	case !contract.ValidKey(d.Annotation) || d.Annotation != contract.MatchDataAnnotation && ours(d.Annotation):
		bad("annotation", "must be the key of a Kubernetes annotation, not of torikumi/ or agones.dev/, got %q", d.Annotation)
	case double:
		bad("annotation", "must not be one of metadata.annotations, got %q", d.Annotation)
	case shared && !contract.ValidKey(contract.OfMatch(d.Annotation, contract.MatchLabelValue(""))):
		bad("annotation", "must be short enough for the id of a match behind it, as servers get several matches, got %q", d.Annotation)
	}
	if d.MaxBytes < minMatchData || d.MaxBytes > maxMatchData {
		bad("max_bytes", "must be from %d to %d, got %d", minMatchData, maxMatchData, d.MaxBytes)
	}
	if shared && d.MaxBytes > maxSharedMatchData {
		bad("max_bytes", "must be at most %d with state Allocated in a selector, as the annotations of all matches of a server, 256 KiB together, stay until it ends, got %d",
			maxSharedMatchData, d.MaxBytes)
	}
	size := 0
	for _, k := range sorted(d.Values) {
		if k == "" || !utf8.ValidString(k) || !utf8.ValidString(d.Values[k]) {
			bad("values", "must be text with names, got %q", k)
		}
		text, _ := json.Marshal(map[string]string{k: d.Values[k]}) // strings can be
		size += len(text)
	}
	// Beside them there is the match, its queue and region.
	if size > int(d.MaxBytes)/2 {
		bad("values", "must have at most half of max_bytes, %d bytes as JSON, got %d", d.MaxBytes/2, size)
	}
	for i, name := range d.Attributes {
		if !ruleset.ValidName(name) || slices.Index(d.Attributes, name) != i {
			bad(fmt.Sprintf("attributes[%d]", i), "must be unique, and "+ruleset.NameRule+", got %q", name)
		}
	}
}

func checkLabels(bad report, labels map[string]string) {
	for _, k := range sorted(labels) {
		if v := labels[k]; !contract.ValidKey(k) || (v != "" && !contract.ValidLabelValue(v)) {
			bad("", "must be Kubernetes labels, got %q: %q", k, v)
		}
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
