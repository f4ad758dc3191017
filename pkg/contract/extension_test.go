package contract_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestPutAndGet(t *testing.T) {
	m := &openmatch.Match{}
	want := &torikumiv1.MatchDetails{Queue: "session", Score: 3}
	if err := contract.Put(&m.Extensions, contract.MatchExtension, want); err != nil {
		t.Fatal(err)
	}
	got := new(torikumiv1.MatchDetails)
	if err := contract.Get(m.Extensions, contract.MatchExtension, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if err := contract.Get(m.Extensions, contract.TicketExtension, new(torikumiv1.TicketDetails)); !errors.Is(err, contract.ErrNoExtension) {
		t.Errorf("missing extension: %v", err)
	}
	err := contract.Get(m.Extensions, contract.MatchExtension, new(torikumiv1.TicketDetails))
	if err == nil || errors.Is(err, contract.ErrNoExtension) {
		t.Errorf("extension of another type: %v", err)
	}
	if err := contract.Put(&m.Extensions, contract.TicketExtension, want); err == nil {
		t.Error("Put took a message under another's name")
	}
}

// TestForms checks which type carries each message, and that Get reads it from
// every form.
func TestForms(t *testing.T) {
	carriers := map[string]string{contract.AssignmentExtension: "google.protobuf.Struct"}
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			carrier := carriers[s.extension]
			if carrier == "" {
				carrier = "google.protobuf.BytesValue"
			}
			var extensions map[string]*anypb.Any
			if err := contract.Put(&extensions, s.extension, s.m); err != nil {
				t.Fatal(err)
			}
			if got := extensions[s.extension]; string(got.MessageName()) != carrier {
				t.Errorf("Put wrote %s, want %s", got.MessageName(), carrier)
			}
			check := func(form string) {
				got := s.m.ProtoReflect().New().Interface()
				if err := contract.Get(extensions, s.extension, got); err != nil || !proto.Equal(got, s.m) {
					t.Errorf("%s: got %v, %v, want %v", form, got, err, s.m)
				}
			}
			check("Put")
			for _, form := range forms {
				if form.name == "StringValue" {
					continue
				}
				packed, err := anypb.New(form.put(s.m))
				if err != nil {
					t.Fatal(err)
				}
				extensions[s.extension] = packed
				check(form.name)
			}
		})
	}
}

// TestAssignmentIsWhole fails when a field is added to the assignment and not to
// its Struct: the sample sets all fields, and all have to come back. When somebody
// joined stands in rosters alone.
func TestAssignmentIsWhole(t *testing.T) {
	teams := []*torikumiv1.Team{{Name: "red", Bots: 2, Members: []*torikumiv1.TeamMember{{PlayerId: "p", TicketId: "t"}}}}
	a := samples()[5].m.(*torikumiv1.AssignmentDetails)
	a.Teams = teams
	for _, m := range []proto.Message{a, teams[0], teams[0].Members[0]} {
		r := m.ProtoReflect()
		for fields, i := r.Descriptor().Fields(), 0; i < fields.Len(); i++ {
			if f := fields.Get(i); !r.Has(f) && f.Name() != "join_time" {
				t.Errorf("the sample lacks %s", fields.Get(i).FullName())
			}
		}
	}
	var extensions map[string]*anypb.Any
	if err := contract.Put(&extensions, contract.AssignmentExtension, a); err != nil {
		t.Fatal(err)
	}
	var s structpb.Struct
	if err := extensions[contract.AssignmentExtension].UnmarshalTo(&s); err != nil {
		t.Fatal(err)
	}
	if s.Fields["ports"].GetStructValue().GetFields()["voice"].GetNumberValue() != 7655 || s.Fields["match_id"].GetStringValue() != a.MatchId {
		t.Errorf("got %v", &s)
	}
	got := new(torikumiv1.AssignmentDetails)
	if err := contract.Get(extensions, contract.AssignmentExtension, got); err != nil || !proto.Equal(got, a) {
		t.Errorf("got %v, %v", got, err)
	}
	empty := new(torikumiv1.AssignmentDetails)
	if err := contract.Put(&extensions, contract.AssignmentExtension, empty); err != nil {
		t.Fatal(err)
	}
	if err := contract.Get(extensions, contract.AssignmentExtension, got); err != nil || !proto.Equal(got, empty) {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestAssignmentsAreReadStrictly changes one value of an assignment: what Get
// makes of it is what the JSON mapping says.
func TestAssignmentsAreReadStrictly(t *testing.T) {
	made := func() *structpb.Struct {
		var extensions map[string]*anypb.Any
		if err := contract.Put(&extensions, contract.AssignmentExtension, samples()[5].m); err != nil {
			t.Fatal(err)
		}
		s := new(structpb.Struct)
		if err := extensions[contract.AssignmentExtension].UnmarshalTo(s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	values := []*structpb.Value{nil, structpb.NewNullValue(), structpb.NewNumberValue(1.5), structpb.NewNumberValue(1e10),
		structpb.NewNumberValue(7), structpb.NewStringValue("8"), structpb.NewStringValue("2026-01-01T00:00:00Z"),
		structpb.NewBoolValue(true), structpb.NewStructValue(&structpb.Struct{}), structpb.NewListValue(&structpb.ListValue{}), {}}
	for _, where := range []func(*structpb.Struct) *structpb.Struct{
		func(s *structpb.Struct) *structpb.Struct { return s },
		func(s *structpb.Struct) *structpb.Struct { return s.Fields["ports"].GetStructValue() },
		func(s *structpb.Struct) *structpb.Struct {
			return s.Fields["teams"].GetListValue().GetValues()[0].GetStructValue()
		},
		func(s *structpb.Struct) *structpb.Struct {
			team := s.Fields["teams"].GetListValue().GetValues()[0].GetStructValue()
			return team.Fields["members"].GetListValue().GetValues()[0].GetStructValue()
		},
	} {
		names := append(slices.Collect(maps.Keys(where(made()).Fields)), "later")
		for _, name := range names {
			for _, v := range values {
				s := made()
				if delete(where(s).Fields, name); v != nil {
					where(s).Fields[name] = v
				}
				a, err := anypb.New(s)
				if err != nil {
					t.Fatal(err)
				}
				got, want := new(torikumiv1.AssignmentDetails), new(torikumiv1.AssignmentDetails)
				text, wantErr := protojson.Marshal(s)
				if wantErr == nil {
					wantErr = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, want)
				}
				err = contract.Get(map[string]*anypb.Any{contract.AssignmentExtension: a}, contract.AssignmentExtension, got)
				if (err == nil) != (wantErr == nil) || err == nil && !proto.Equal(got, want) {
					t.Errorf("%s = %v: got %v, %v, want %v, %v", name, v, got, err, want, wantErr)
				}
			}
		}
	}
}

func TestGetPassesOverNewFields(t *testing.T) {
	newer := &torikumiv1.TicketDetails{Queue: "duel"}
	newer.ProtoReflect().SetUnknown(protoreflect.RawFields{0xf8, 0x06, 1}) // field 111
	serialized, err := proto.Marshal(newer)
	if err != nil {
		t.Fatal(err)
	}
	text, err := structpb.NewStruct(map[string]any{"queue": "duel", "later": 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []proto.Message{wrapperspb.Bytes(serialized), text} {
		got := new(torikumiv1.TicketDetails)
		if err := contract.Get(packed(t, form), contract.TicketExtension, got); err != nil || got.GetQueue() != "duel" {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

func TestGetRefusesWhatIsMalformed(t *testing.T) {
	match, err := proto.Marshal(&torikumiv1.MatchDetails{Score: 1})
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := structpb.NewStruct(map[string]any{"queue": 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, extensions := range map[string]map[string]*anypb.Any{
		"foreign type":       {contract.TicketExtension: {TypeUrl: "x/y", Value: []byte{1}}},
		"no type":            {contract.TicketExtension: {}},
		"another of ours":    packed(t, &torikumiv1.MatchDetails{Queue: "duel"}),
		"well-known type":    packed(t, wrapperspb.String("{}")),
		"broken BytesValue":  {contract.TicketExtension: {TypeUrl: "type.googleapis.com/google.protobuf.BytesValue", Value: []byte{0xff}}},
		"bytes cut off":      packed(t, wrapperspb.Bytes([]byte{0x0a, 5, 'd'})),
		"bytes of a match":   packed(t, wrapperspb.Bytes(match)),
		"broken Struct":      {contract.TicketExtension: {TypeUrl: "type.googleapis.com/google.protobuf.Struct", Value: []byte{0xff}}},
		"wrong Struct field": packed(t, wrong),
		"broken own type":    {contract.TicketExtension: {TypeUrl: "type.googleapis.com/torikumi.v1.TicketDetails", Value: []byte{0xff}}},
	} {
		t.Run(name, func(t *testing.T) {
			err := contract.Get(extensions, contract.TicketExtension, new(torikumiv1.TicketDetails))
			if err == nil || errors.Is(err, contract.ErrNoExtension) || !strings.Contains(err.Error(), `"torikumi.v1.ticket"`) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// packed returns extensions with m under the ticket's name.
func packed(t *testing.T, m proto.Message) map[string]*anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*anypb.Any{contract.TicketExtension: a}
}
