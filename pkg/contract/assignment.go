package contract

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// assignmentStruct is the JSON mapping of an assignment with the names of the
// .proto. Made by way of JSON it takes more than twice the time.
func assignmentStruct(a *torikumiv1.AssignmentDetails) *structpb.Struct {
	ports := make(map[string]*structpb.Value, len(a.GetPorts()))
	for name, port := range a.GetPorts() {
		ports[name] = number(port)
	}
	teams := make([]*structpb.Value, 0, len(a.GetTeams()))
	for _, t := range a.GetTeams() {
		members := make([]*structpb.Value, 0, len(t.GetMembers()))
		for _, member := range t.GetMembers() {
			members = append(members, object(map[string]*structpb.Value{
				"player_id": structpb.NewStringValue(member.GetPlayerId()),
				"ticket_id": structpb.NewStringValue(member.GetTicketId()),
			}))
		}
		teams = append(teams, object(map[string]*structpb.Value{
			"name":    structpb.NewStringValue(t.GetName()),
			"members": list(members),
			"bots":    number(t.GetBots()),
		}))
	}
	fields := map[string]*structpb.Value{
		"match_id":    structpb.NewStringValue(a.GetMatchId()),
		"game_server": structpb.NewStringValue(a.GetGameServer()),
		"address":     structpb.NewStringValue(a.GetAddress()),
		"port":        number(a.GetPort()),
		"ports":       object(ports),
		"queue":       structpb.NewStringValue(a.GetQueue()),
		"region":      structpb.NewStringValue(a.GetRegion()),
		"teams":       list(teams),
	}
	if at := a.GetAllocateTime(); at != nil {
		fields["allocate_time"] = structpb.NewStringValue(at.AsTime().Format(time.RFC3339Nano))
	}
	return &structpb.Struct{Fields: fields}
}

func number(n int32) *structpb.Value { return structpb.NewNumberValue(float64(n)) }

func object(fields map[string]*structpb.Value) *structpb.Value {
	return structpb.NewStructValue(&structpb.Struct{Fields: fields})
}

func list(values []*structpb.Value) *structpb.Value {
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}

// readAssignment reads what assignmentStruct makes, several times faster than by
// way of JSON. It reports false, with a undefined, for anything else.
func readAssignment(s *structpb.Struct, a *torikumiv1.AssignmentDetails) bool {
	f := fields{s.GetFields(), true}
	proto.Reset(a)
	a.MatchId, a.GameServer, a.Address = f.text("match_id"), f.text("game_server"), f.text("address")
	a.Port, a.Queue, a.Region = f.number("port"), f.text("queue"), f.text("region")
	known := 8
	if f.in["allocate_time"] != nil {
		at, err := time.Parse(time.RFC3339Nano, f.text("allocate_time"))
		if err != nil {
			return false
		}
		a.AllocateTime = timestamppb.New(at)
		known++
	}
	ports := fields{f.in["ports"].GetStructValue().GetFields(), true}
	for name := range ports.in {
		if a.Ports == nil {
			a.Ports = make(map[string]int32, len(ports.in))
		}
		a.Ports[name] = ports.number(name)
	}
	for _, v := range f.in["teams"].GetListValue().GetValues() {
		team, ok := readTeam(v.GetStructValue())
		if !ok {
			return false
		}
		a.Teams = append(a.Teams, team)
	}
	_, isObject := f.in["ports"].GetKind().(*structpb.Value_StructValue)
	_, isList := f.in["teams"].GetKind().(*structpb.Value_ListValue)
	return f.ok && ports.ok && isObject && isList && len(f.in) == known
}

func readTeam(s *structpb.Struct) (*torikumiv1.Team, bool) {
	f := fields{s.GetFields(), true}
	team := &torikumiv1.Team{Name: f.text("name"), Bots: f.number("bots")}
	for _, v := range f.in["members"].GetListValue().GetValues() {
		member := fields{v.GetStructValue().GetFields(), true}
		team.Members = append(team.Members, &torikumiv1.TeamMember{PlayerId: member.text("player_id"), TicketId: member.text("ticket_id")})
		f.ok = f.ok && member.ok && len(member.in) == 2
	}
	_, isList := f.in["members"].GetKind().(*structpb.Value_ListValue)
	return team, f.ok && isList && len(f.in) == 3
}

// fields are those of a Struct; ok turns false when one is not there or of
// another type.
type fields struct {
	in map[string]*structpb.Value
	ok bool
}

func (f *fields) text(name string) string {
	v, ok := f.in[name].GetKind().(*structpb.Value_StringValue)
	if !ok {
		f.ok = false
		return ""
	}
	return v.StringValue
}

func (f *fields) number(name string) int32 {
	v, ok := f.in[name].GetKind().(*structpb.Value_NumberValue)
	if !ok || float64(int32(v.NumberValue)) != v.NumberValue {
		f.ok = false
		return 0
	}
	return int32(v.NumberValue)
}
