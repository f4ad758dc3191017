package api

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"torikumi/frontend/internal/regions"
	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
)

// Limit is what a field has to satisfy beside its type. The OpenAPI document
// shows it, and both protocols check it. The zero value allows everything.
type Limit struct {
	// Required: it must not be empty.
	Required bool
	// Pattern is for a text that is not empty, for the texts in a list, or for the
	// names in a map.
	Pattern string
	// Entries is the most that a list or a map may have; zero: any number.
	Entries int
	// Unique: no two entries of a list may be the same.
	Unique bool
	// Length is the most characters that a text, or each in a list, may have;
	// zero: any number.
	Length int
	// Min and Max bound a number if Max is not zero, and each in a map; Unit is
	// theirs. A number that is zero and not in a map is as if it were not there.
	Min, Max float64
	Unit     string
}

// The patterns of what players and regions may be called.
const (
	playerPattern = `^[A-Za-z0-9._:@|-]{1,128}$`
	regionPattern = regions.NamePattern
)

// OneOf returns the fields of a message of which at least one must not be empty; none for
// most.
func OneOf(message protoreflect.FullName) []string {
	if message == "torikumi.v1.PartyRequest" {
		return []string{"invited", "size"} // [draftParty] sees to it
	}
	return nil
}

// LimitOf returns the limit of a field of the API.
func LimitOf(field protoreflect.FullName) Limit {
	switch field {
	case "torikumi.v1.CreateTicketRequest.queue":
		return Limit{Required: true} // which ones there are is the operator's
	case "torikumi.v1.CreateTicketRequest.region":
		return Limit{Pattern: regionPattern}
	case "torikumi.v1.CreateTicketRequest.players":
		return Limit{Entries: queues.MaxPlayers}
	case "torikumi.v1.PartyRequest.invited":
		return Limit{Pattern: playerPattern, Entries: queues.MaxPlayers, Unique: true} // [draftParty] sees to it
	case "torikumi.v1.PartyRequest.size":
		return Limit{Min: 2, Max: queues.MaxPlayers, Unit: "players"}
	case "torikumi.v1.JoinPartyRequest.code":
		return Limit{Required: true, Length: 64}
	case "torikumi.v1.Player.id":
		return Limit{Pattern: playerPattern}
	case "torikumi.v1.Player.attributes":
		return Limit{Pattern: ruleset.NamePattern, Entries: ruleset.MaxAttributes}
	case "torikumi.v1.Player.latencies":
		return Limit{Pattern: regionPattern, Entries: regions.Max, Max: 60_000, Unit: "milliseconds"}
	case "torikumi.v1.Attribute.string":
		return Limit{Length: 256}
	case "torikumi.v1.Attribute.StringList.values":
		return Limit{Entries: 64, Length: 256}
	case "torikumi.v1.Attribute.StringNumberMap.values":
		return Limit{Pattern: ruleset.NamePattern, Entries: 64}
	}
	return Limit{}
}

// patterns are the compiled patterns, with what they say in words.
var patterns = map[string]struct {
	re   *regexp.Regexp
	rule string
}{
	playerPattern:       {regexp.MustCompile(playerPattern), "must have 1 to 128 characters of [A-Za-z0-9._:@|-]"},
	regionPattern:       {regexp.MustCompile(regionPattern), regions.NameRule},
	ruleset.NamePattern: {regexp.MustCompile(ruleset.NamePattern), ruleset.NameRule},
}

// CheckRegion returns the rule that the name of a region breaks, or nothing.
func CheckRegion(region string) string {
	p := patterns[regionPattern]
	if p.re.MatchString(region) {
		return ""
	}
	return p.rule
}

// maxViolations bounds the answer to rubbish.
const maxViolations = 20

// violations collects what is wrong with a request.
type violations []problem.Field

func (v *violations) add(field, rule string, args ...any) {
	if len(*v) < maxViolations {
		*v = append(*v, problem.Field{Field: field, Rule: fmt.Sprintf(rule, args...)})
	}
}

// message checks the limits of everything in a message. A message with a oneof
// has nothing else, and one of it has to be set.
func (v *violations) message(path string, m protoreflect.Message) {
	md := m.Descriptor()
	if md.Oneofs().Len() > 0 && m.WhichOneof(md.Oneofs().Get(0)) == nil {
		v.add(path, "must have one of %s", FieldNames(md))
	}
	for i := range md.Fields().Len() {
		if fd := md.Fields().Get(i); m.Has(fd) {
			v.field(strings.TrimPrefix(path+"."+string(fd.Name()), "."), fd, m.Get(fd))
		}
	}
}

func (v *violations) field(path string, fd protoreflect.FieldDescriptor, value protoreflect.Value) {
	l := LimitOf(fd.FullName())
	switch {
	case fd.IsList():
		list := value.List()
		v.entries(path, l, list.Len())
		for i := range list.Len() {
			at := fmt.Sprintf("%s[%d]", path, i)
			if p, ok := patterns[l.Pattern]; ok && !p.re.MatchString(list.Get(i).String()) {
				v.add(at, "%s", p.rule)
			}
			v.value(at, fd, l, list.Get(i))
		}
	case fd.IsMap():
		v.entries(path, l, value.Map().Len())
		var keys []string
		value.Map().Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool { keys = append(keys, k.String()); return true })
		slices.Sort(keys)
		for _, k := range keys {
			if p, ok := patterns[l.Pattern]; ok && !p.re.MatchString(k) {
				v.add(path, "names %s", p.rule)
				continue
			}
			v.value(path+"."+k, fd.MapValue(), l, value.Map().Get(protoreflect.ValueOfString(k).MapKey()))
		}
	default:
		if p, ok := patterns[l.Pattern]; ok && !p.re.MatchString(value.String()) {
			v.add(path, "%s", p.rule)
		}
		v.value(path, fd, l, value)
	}
}

func (v *violations) entries(path string, l Limit, n int) {
	if l.Entries > 0 && n > l.Entries {
		v.add(path, "must have at most %d entries", l.Entries)
	}
}

func (v *violations) value(path string, fd protoreflect.FieldDescriptor, l Limit, value protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		v.message(path, value.Message())
	case protoreflect.StringKind:
		if l.Length > 0 && utf8.RuneCountInString(value.String()) > l.Length {
			v.add(path, "must have at most %d characters", l.Length)
		}
	case protoreflect.DoubleKind:
		if n := value.Float(); math.IsNaN(n) || math.IsInf(n, 0) {
			v.add(path, "must be finite")
		}
	case protoreflect.Int32Kind:
		if n := float64(value.Int()); l.Max > 0 && (n < l.Min || n > l.Max) {
			v.add(path, "must be %v to %v %s", l.Min, l.Max, l.Unit)
		}
	}
}

// FieldNames lists the fields of a message.
func FieldNames(md protoreflect.MessageDescriptor) string {
	names := make([]string, md.Fields().Len())
	for i := range names {
		names[i] = string(md.Fields().Get(i).Name())
	}
	return strings.Join(names, ", ")
}
