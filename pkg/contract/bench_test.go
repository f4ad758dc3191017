package contract_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// forms are the ways in which a message could stand in extensions: what
// docs/decisions/0004 compares.
var forms = []struct {
	name string
	put  func(proto.Message) proto.Message
	get  func(*anypb.Any, proto.Message) error
}{
	{"Any", func(m proto.Message) proto.Message { return m },
		func(a *anypb.Any, m proto.Message) error { return a.UnmarshalTo(m) }},
	{"BytesValue",
		func(m proto.Message) proto.Message { b, _ := proto.Marshal(m); return wrapperspb.Bytes(b) },
		func(a *anypb.Any, m proto.Message) error {
			var b wrapperspb.BytesValue
			if err := a.UnmarshalTo(&b); err != nil {
				return err
			}
			return proto.Unmarshal(b.GetValue(), m)
		}},
	{"StringValue",
		func(m proto.Message) proto.Message { b, _ := protojson.Marshal(m); return wrapperspb.String(string(b)) },
		func(a *anypb.Any, m proto.Message) error {
			var s wrapperspb.StringValue
			if err := a.UnmarshalTo(&s); err != nil {
				return err
			}
			return protojson.Unmarshal([]byte(s.GetValue()), m)
		}},
	{"Struct",
		func(m proto.Message) proto.Message {
			b, _ := protojson.Marshal(m)
			var s structpb.Struct
			_ = protojson.Unmarshal(b, &s)
			return &s
		},
		func(a *anypb.Any, m proto.Message) error {
			var s structpb.Struct
			if err := a.UnmarshalTo(&s); err != nil {
				return err
			}
			b, err := protojson.Marshal(&s)
			if err != nil {
				return err
			}
			return protojson.Unmarshal(b, m)
		}},
}

// samples are what a duel and a match of 5 against 5 carry.
func samples() []struct {
	name, extension string
	m               proto.Message
} {
	player := func(i int) *torikumiv1.Player {
		return &torikumiv1.Player{Id: fmt.Sprintf("player-%04d", i),
			Attributes: map[string]*torikumiv1.Attribute{
				"skill": {Value: &torikumiv1.Attribute_Number{Number: 1500}},
				"role":  {Value: &torikumiv1.Attribute_String_{String_: "healer"}}},
			Latencies: map[string]int32{"eu": 31, "us": 112}}
	}
	teams := func(size int) []*torikumiv1.Team {
		out := []*torikumiv1.Team{{Name: "red"}, {Name: "blue"}}
		for i := range 2 * size {
			out[i%2].Members = append(out[i%2].Members, &torikumiv1.TeamMember{
				PlayerId: fmt.Sprintf("player-%04d", i), TicketId: fmt.Sprintf("cm8v0q1l0pr3j4v5%04d", i)})
		}
		return out
	}
	assignment := func(size int) proto.Message {
		return &torikumiv1.AssignmentDetails{MatchId: "m-0123456789abcdef0123456789abcdef", GameServer: "default/arena-x7k2p-8fjqm",
			Address: "203.0.113.17", Port: 7654, Ports: map[string]int32{"default": 7654, "voice": 7655}, Queue: "arena", Region: "eu",
			Teams: teams(size), AllocateTime: &timestamppb.Timestamp{Seconds: 1767225600, Nanos: 123456789}}
	}
	return []struct {
		name, extension string
		m               proto.Message
	}{
		{"ticket", contract.TicketExtension, &torikumiv1.TicketDetails{Queue: "arena", Players: []*torikumiv1.Player{player(1)}, Region: "eu",
			FrontendTicketId: "01jg4z3y6w8t0000000000abcd", ExpireTime: &timestamppb.Timestamp{Seconds: 1767225600}}},
		{"profile", contract.ProfileExtension, &torikumiv1.ProfileDetails{Queue: "arena", Rules: &torikumiv1.ProfileDetails_Skill{
			Skill: &torikumiv1.SkillRules{Teams: []*torikumiv1.TeamSpec{{Name: "red", MinPlayers: 1, MaxPlayers: 1},
				{Name: "blue", MinPlayers: 1, MaxPlayers: 1}}, SkillAttribute: "skill", Window: 100, WidenPerSecond: 10}}}},
		{"match-duel", contract.MatchExtension, &torikumiv1.MatchDetails{Queue: "arena", Region: "eu", Teams: teams(1), Score: 0.93, MinPlayers: 2}},
		{"match-5v5", contract.MatchExtension, &torikumiv1.MatchDetails{Queue: "arena", Region: "eu", Teams: teams(5), Score: 0.93, MinPlayers: 6}},
		{"backfill", contract.BackfillExtension, &torikumiv1.BackfillDetails{Queue: "arena", Region: "eu", Teams: []*torikumiv1.BackfillTeam{
			{Name: "red", Players: []*torikumiv1.Player{player(1), player(2)}}, {Name: "blue", Players: []*torikumiv1.Player{player(3)}}}}},
		{"assignment-duel", contract.AssignmentExtension, assignment(1)},
		{"assignment-5v5", contract.AssignmentExtension, assignment(5)},
	}
}

// BenchmarkForms compares the forms; bytes are those of the packed extension.
func BenchmarkForms(b *testing.B) {
	for _, s := range samples() {
		for _, form := range forms {
			packed, err := anypb.New(form.put(s.m))
			if err != nil {
				b.Fatal(err)
			}
			b.Run("put/"+s.name+"/"+form.name, func(b *testing.B) {
				for b.Loop() {
					_, _ = anypb.New(form.put(s.m))
				}
				b.ReportMetric(float64(proto.Size(packed)), "bytes")
			})
			b.Run("get/"+s.name+"/"+form.name, func(b *testing.B) {
				for b.Loop() {
					if err := form.get(packed, s.m.ProtoReflect().New().Interface()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkPutGet measures what the services call.
func BenchmarkPutGet(b *testing.B) {
	for _, s := range samples() {
		b.Run("put/"+s.name, func(b *testing.B) {
			var extensions map[string]*anypb.Any
			for b.Loop() {
				if err := contract.Put(&extensions, s.extension, s.m); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(proto.Size(extensions[s.extension])), "bytes")
		})
		b.Run("get/"+s.name, func(b *testing.B) {
			var extensions map[string]*anypb.Any
			if err := contract.Put(&extensions, s.extension, s.m); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := contract.Get(extensions, s.extension, s.m.ProtoReflect().New().Interface()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
