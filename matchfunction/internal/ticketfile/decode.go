package ticketfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// mistake is an Error that does not know its line.
type mistake struct{ member, rule string }

// value is a JSON value and where it stands.
type value struct {
	text json.RawMessage
	path string
}

func (v value) wrong(format string, args ...any) *mistake {
	return &mistake{v.path, fmt.Sprintf(format, args...)}
}

// object reads the members of an object. Names are exact: encoding/json would
// take "ticketid" for "TicketId". A member that is null is not there; one that is
// there twice is wrong, as one of the two would be lost.
func (v value) object() (map[string]value, *mistake) {
	if v.text[0] != '{' {
		return nil, v.wrong("must be an object")
	}
	out, null := make(map[string]value), make(map[string]bool)
	for name, text := range members(v.text) {
		path := name
		if v.path != "" {
			path = v.path + "." + name
		}
		if _, ok := out[name]; ok || null[name] {
			return nil, &mistake{path, "is there more than once"}
		}
		if string(text) == "null" {
			null[name] = true
			continue
		}
		out[name] = value{text, path}
	}
	return out, nil
}

// members are the members of an object that is valid JSON, in their order.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(name string, text []byte) bool) {
		for rest := object[1:]; ; {
			rest = bytes.TrimLeft(rest, ","+blanks)
			if rest[0] == '}' {
				return
			}
			n := valueEnd(rest)
			name := string(rest[1 : n-1])
			if strings.Contains(name, `\`) {
				_ = json.Unmarshal(rest[:n], &name) // it is a string
			}
			rest = bytes.TrimLeft(rest[n:], ":"+blanks)
			n = valueEnd(rest)
			if !yield(name, rest[:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}

// valueEnd is where the value ends that valid JSON begins with.
func valueEnd(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 { // behind a number or a word
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && strings.IndexByte(","+blanks, c) >= 0:
			return i
		}
	}
	return len(text)
}

func (v value) list() ([]value, *mistake) {
	var items []json.RawMessage
	if err := json.Unmarshal(v.text, &items); err != nil || items == nil {
		return nil, v.wrong("must be a list")
	}
	out := make([]value, len(items))
	for i, text := range items {
		out[i] = value{text, fmt.Sprintf("%s[%d]", v.path, i)}
	}
	return out, nil
}

func (v value) string() (string, *mistake) {
	var s *string
	if err := json.Unmarshal(v.text, &s); err != nil || s == nil {
		return "", v.wrong("must be a string")
	}
	return *s, nil
}

// id is a string that is not empty.
func id(members map[string]value, path, name string) (string, *mistake) {
	v, ok := members[name]
	if !ok {
		return "", &mistake{path + name, "is missing"}
	}
	s, err := v.string()
	if err == nil && s == "" {
		err = v.wrong("must not be empty")
	}
	return s, err
}

// numberText is a number of JSON, which FlexMatch also writes as a string.
var numberText = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

func (v value) number() (float64, *mistake) {
	text := string(v.text)
	if s, err := v.string(); err == nil {
		text = s
	}
	if !numberText.MatchString(text) {
		return 0, v.wrong("must be a number")
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(x, 0) {
		return 0, v.wrong("must be a finite number")
	}
	return x, nil
}

// decode reads a ticket, and when it ended, the zero time if that is not known.
func decode(text []byte) (t rule.Ticket, ended time.Time, err *mistake) {
	if !utf8.Valid(text) {
		return t, ended, &mistake{"", "must be UTF-8"}
	}
	if !json.Valid(text) {
		return t, ended, &mistake{"", "must be one JSON object"}
	}
	members, err := value{text: bytes.TrimLeft(text, blanks)}.object()
	if err != nil {
		return t, ended, err
	}
	if end, ok := members["EndTime"]; ok {
		if ended, err = end.time(); err != nil {
			return t, ended, err
		}
	}
	t, err = ticket(members)
	return t, ended, err
}

func ticket(members map[string]value) (t rule.Ticket, err *mistake) {
	if t.ID, err = id(members, "", "TicketId"); err != nil {
		return t, err
	}
	start, ok := members["StartTime"]
	if !ok {
		return t, &mistake{"StartTime", "is missing"}
	}
	if t.Created, err = start.time(); err != nil {
		return t, err
	}
	list, ok := members["Players"]
	if !ok {
		return t, &mistake{"Players", "is missing"}
	}
	players, err := list.list()
	if err == nil && len(players) == 0 {
		err = list.wrong("must have at least one player")
	}
	if err == nil {
		err = list.entries(len(players), maxPlayers)
	}
	if err != nil {
		return t, err
	}
	for _, v := range players {
		var p rule.Player
		if p, err = v.player(); err != nil {
			break
		}
		t.Players = append(t.Players, p)
	}
	return t, err
}

// The times that RFC 3339 can write, in seconds since 1970.
const (
	firstSecond = -62167219200 // year 0
	lastSecond  = 253402300799 // the end of 9999
)

// time reads RFC 3339, or seconds since 1970 to the microsecond, as the AWS
// command line prints them.
func (v value) time() (time.Time, *mistake) {
	const rule = "must be a time as RFC 3339, or seconds since 1970"
	var t time.Time
	if s, err := v.string(); err == nil {
		parsed, failed := time.Parse(time.RFC3339Nano, s)
		if failed != nil {
			return t, v.wrong(rule)
		}
		t = parsed
	} else {
		seconds, err := v.number()
		if err != nil || seconds < firstSecond || seconds > lastSecond {
			return t, v.wrong(rule)
		}
		whole, fraction := math.Modf(seconds)
		t = time.Unix(int64(whole), int64(math.Round(fraction*1e6))*1000)
	}
	if t = t.UTC(); t.Unix() < firstSecond || t.Unix() > lastSecond {
		return t, v.wrong(rule)
	}
	return t, nil
}

func (v value) player() (rule.Player, *mistake) {
	var p rule.Player
	members, err := v.object()
	if err != nil {
		return p, err
	}
	if p.ID, err = id(members, v.path+".", "PlayerId"); err != nil {
		return p, err
	}
	if !isName(p.ID) {
		return p, members["PlayerId"].wrong("%s", named)
	}
	if list, ok := members["PlayerAttributes"]; ok {
		if p.Attributes, err = list.attributes(); err != nil {
			return p, err
		}
	}
	if list, ok := members["LatencyInMs"]; ok {
		p.Latencies, err = list.latencies()
	}
	return p, err
}

func (v value) attributes() ([]rule.Attribute, *mistake) {
	members, err := v.object()
	if err != nil {
		return nil, err
	}
	names, err := v.names(members, maxEntries)
	if err != nil {
		return nil, err
	}
	var out []rule.Attribute
	for _, name := range names {
		a := rule.Attribute{Name: name}
		if a.Value, err = members[name].attribute(); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// attribute reads a value, which says what it is: {"N": 23}.
func (v value) attribute() (ruleset.Value, *mistake) {
	members, err := v.object()
	if err != nil {
		return ruleset.Value{}, err
	}
	var out ruleset.Value
	found := 0
	for _, name := range []string{"S", "N", "SL", "SDM"} {
		m, ok := members[name]
		if !ok {
			continue
		}
		if found++; found > 1 {
			break
		}
		switch name {
		case "S":
			out.Type = ruleset.String
			if out.String, err = m.string(); err == nil {
				err = m.length(out.String)
			}
		case "N":
			out.Type = ruleset.Number
			out.Number, err = m.number()
		case "SL":
			out.Type = ruleset.StringList
			out.List, err = m.strings()
		default:
			out.Type = ruleset.StringNumberMap
			out.Map, err = m.numbers(maxEntries)
		}
		if err != nil {
			return out, err
		}
	}
	if found != 1 {
		return out, v.wrong("must have exactly one of S, N, SL and SDM")
	}
	return out, nil
}

func (v value) strings() ([]string, *mistake) {
	items, err := v.list()
	if err != nil {
		return nil, err
	}
	if err := v.entries(len(items), maxEntries); err != nil {
		return nil, err
	}
	out := make([]string, len(items))
	for i, item := range items {
		if out[i], err = item.string(); err != nil {
			return nil, err
		}
		if err := item.length(out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (v value) numbers(most int) (map[string]float64, *mistake) {
	members, err := v.object()
	if err != nil {
		return nil, err
	}
	sorted, err := v.names(members, most)
	if err != nil {
		return nil, err
	}
	out := make(map[string]float64, len(members))
	for _, name := range sorted {
		if out[name], err = members[name].number(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (v value) latencies() ([]rule.Latency, *mistake) {
	ms, err := v.numbers(maxRegions)
	if err != nil {
		return nil, err
	}
	var out []rule.Latency
	for _, region := range slices.Sorted(maps.Keys(ms)) {
		if ms[region] < 0 {
			return nil, &mistake{v.path + "." + region, "must be at least 0 milliseconds"}
		}
		out = append(out, rule.Latency{Region: region, Milliseconds: ms[region]})
	}
	return out, nil
}
