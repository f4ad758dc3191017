package contract

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Assigned reads only the match and the time of allocation of an assignment,
// for whoever counts assignments and needs nothing else of them: a tenth of what
// Get takes. The zero time stands for none. The error is that of Get.
func Assigned(extensions map[string]*anypb.Any) (matchID string, at time.Time, err error) {
	if packed := extensions[AssignmentExtension]; packed.MessageIs((*structpb.Struct)(nil)) {
		if matchID, at, ok := scanAssignment(packed.GetValue()); ok {
			return matchID, at, nil
		}
	}
	var a torikumiv1.AssignmentDetails
	if err := Get(extensions, AssignmentExtension, &a); err != nil {
		return "", time.Time{}, err
	}
	if t := a.GetAllocateTime(); t.IsValid() {
		at = t.AsTime()
	}
	return a.GetMatchId(), at, nil
}

// Names reports whether an assignment says in which team the players of an Open Match
// ticket are. One that names nobody's ticket, as a director of another make may write,
// says so of all. One that names only others' was written before a place was given to the
// ticket's players: the director that gives them one assigns the ticket anew.
func Names(a *torikumiv1.AssignmentDetails, ticket string) bool {
	none := true
	for _, t := range a.GetTeams() {
		for _, m := range t.GetMembers() {
			if m.GetTicketId() == ticket {
				return true
			}
			none = none && m.GetTicketId() == ""
		}
	}
	return none
}

// Field numbers of google.protobuf.Struct and Value, and those of each entry of
// a map.
const (
	structFields = 1
	valueString  = 3
	entryKey     = 1
	entryValue   = 2
)

// scanAssignment passes over all other fields of a serialized Struct. It
// reports false unless both are there, once and as texts, in order.
func scanAssignment(b []byte) (matchID string, at time.Time, ok bool) {
	var match, allocated []byte
	for len(b) > 0 {
		entry, n := consumeBytes(b, structFields)
		if n < 0 {
			return "", at, false
		}
		b = b[n:]
		key, n := consumeBytes(entry, entryKey)
		if n < 0 {
			return "", at, false
		}
		var to *[]byte
		switch string(key) {
		case "match_id":
			to = &match
		case "allocate_time":
			to = &allocated
		default:
			continue
		}
		text, ok := onlyString(entry[n:])
		if !ok || *to != nil {
			return "", at, false
		}
		*to = text
	}
	if match == nil || allocated == nil {
		return "", at, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(allocated))
	return string(match), at.UTC(), err == nil
}

// onlyString reads the value of a map's entry that is a string and nothing else.
func onlyString(b []byte) ([]byte, bool) {
	value, n := consumeBytes(b, entryValue)
	if n != len(b) {
		return nil, false
	}
	text, n := consumeBytes(value, valueString)
	return text, n == len(value)
}

// consumeBytes reads a field that has to be the numbered one, of bytes. A
// negative n says that it is not.
func consumeBytes(b []byte, number protowire.Number) (v []byte, n int) {
	got, kind, tag := protowire.ConsumeTag(b)
	if tag < 0 || got != number || kind != protowire.BytesType {
		return nil, -1
	}
	v, n = protowire.ConsumeBytes(b[tag:])
	if n < 0 {
		return nil, n
	}
	return v, tag + n
}
