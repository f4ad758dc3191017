package anyjson_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"torikumi/minimatch/internal/anyjson"
	"torikumi/proto/openmatch"
)

func packed(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a := new(anypb.Any)
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestUnknownTypesComeBack(t *testing.T) {
	score := packed(t, &openmatch.DefaultEvaluationCriteria{Score: 2})
	text, err := structpb.NewStruct(map[string]any{"type_url": "type.googleapis.com/google.protobuf.Struct", "value": ""})
	if err != nil {
		t.Fatal(err)
	}
	strange := func() map[string]*anypb.Any {
		return map[string]*anypb.Any{
			"unknown": {TypeUrl: "type.googleapis.com/stranger.v1.Details", Value: []byte{1, 0xff}},
			"no URL":  {Value: []byte("x")},
			"score":   score,
			"struct":  packed(t, text),
		}
	}
	want := &openmatch.Match{MatchId: "m", Extensions: strange(), Backfill: &openmatch.Backfill{Extensions: strange()},
		Tickets: []*openmatch.Ticket{{Id: "t", Extensions: strange(), Assignment: &openmatch.Assignment{Extensions: strange()}}, {Id: "u"}}}
	before := proto.Clone(want)
	b, err := anyjson.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got := new(openmatch.Match)
	if err := anyjson.Unmarshal(b, got); err != nil || !proto.Equal(got, before) {
		t.Errorf("%s came back as %v, %v", b, got, err)
	}
	if !proto.Equal(want, before) {
		t.Error("Marshal changed the message")
	}
	if !strings.Contains(string(b), `"Af8="`) {
		t.Errorf("the value is not in %s", b)
	}
}

func TestExtensionsThatDoNotPrintComeBack(t *testing.T) {
	nan := packed(t, &structpb.Struct{Fields: map[string]*structpb.Value{"x": structpb.NewNumberValue(math.NaN())}})
	deep := structpb.NewNumberValue(1)
	for range 4000 {
		deep = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"a": deep}})
	}
	want := &openmatch.Ticket{Id: "t", Extensions: map[string]*anypb.Any{
		"broken": {TypeUrl: "type.googleapis.com/openmatch.DefaultEvaluationCriteria", Value: []byte{0xff}},
		"nan":    nan,
		"nested": packed(t, &openmatch.Ticket{Extensions: map[string]*anypb.Any{"x": {TypeUrl: "type.googleapis.com/stranger.v1.Details", Value: []byte{1}}}}),
		"deep":   packed(t, deep.GetStructValue()),
	}}
	b, err := anyjson.Marshal(want)
	got := new(openmatch.Ticket)
	if err != nil || anyjson.Unmarshal(b, got) != nil || !proto.Equal(got, want) {
		t.Errorf("%.2000s came back as %v, %v", b, got, err)
	}
}

func TestStructsOfOthersStay(t *testing.T) {
	for name, text := range map[string]string{
		"known type":  `{"type_url":"type.googleapis.com/openmatch.Ticket","value":""}`,
		"not base64":  `{"type_url":"x/y","value":"%"}`,
		"other field": `{"type_url":"x/y","value":"","more":1}`,
		"no string":   `{"type_url":"x/y","value":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			m := new(openmatch.Ticket)
			err := anyjson.Unmarshal([]byte(`{"extensions":{"e":{"@type":"type.googleapis.com/google.protobuf.Struct","value":`+text+`}}}`), m)
			if err != nil || !m.GetExtensions()["e"].MessageIs((*structpb.Struct)(nil)) {
				t.Errorf("got %v, %v", m, err)
			}
		})
	}
}
