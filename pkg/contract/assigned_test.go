package contract_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestAssigned(t *testing.T) {
	at := time.Unix(1_700_000_000, 123).UTC()
	full := &torikumiv1.AssignmentDetails{MatchId: "m", AllocateTime: timestamppb.New(at), Ports: map[string]int32{"match_id": 1},
		Teams: []*torikumiv1.Team{{Name: "match_id", Members: []*torikumiv1.TeamMember{{PlayerId: "allocate_time"}}}}}
	timeless := &torikumiv1.AssignmentDetails{MatchId: "m"}
	for name, tc := range map[string]struct {
		extensions map[string]*anypb.Any
		match      string
		at         time.Time
	}{
		"as put":           {put(t, full), "m", at},
		"without a time":   {put(t, timeless), "m", time.Time{}},
		"own type":         {under(t, full), "m", at},
		"names of JSON":    {under(t, object(t, map[string]any{"matchId": "m", "allocateTime": at.Format(time.RFC3339Nano)})), "m", at},
		"offset of a zone": {under(t, object(t, map[string]any{"match_id": "m", "allocate_time": "2023-11-14T23:13:20.000000123+01:00"})), "m", at},
	} {
		t.Run(name, func(t *testing.T) {
			match, got, err := contract.Assigned(tc.extensions)
			if err != nil || match != tc.match || !got.Equal(tc.at) || got.Location() != tc.at.Location() {
				t.Errorf("got %q, %v, %v; want %q, %v", match, got, err, tc.match, tc.at)
			}
		})
	}
}

func TestAssignedRefuses(t *testing.T) {
	if _, _, err := contract.Assigned(nil); !errors.Is(err, contract.ErrNoExtension) {
		t.Errorf("no extension: %v", err)
	}
	for name, m := range map[string]proto.Message{
		"a number for the match": object(t, map[string]any{"match_id": 7, "allocate_time": "2023-11-14T23:13:20Z"}),
		"no time at all":         object(t, map[string]any{"match_id": "m", "allocate_time": "soon"}),
		"another message":        &torikumiv1.TicketDetails{},
	} {
		if match, at, err := contract.Assigned(under(t, m)); err == nil || errors.Is(err, contract.ErrNoExtension) {
			t.Errorf("%s: got %q, %v, %v", name, match, at, err)
		}
	}
}

// FuzzAssigned compares with the whole reading, wherever that succeeds.
func FuzzAssigned(f *testing.F) {
	for _, s := range samples() {
		if s.extension == contract.AssignmentExtension {
			var extensions map[string]*anypb.Any
			if err := contract.Put(&extensions, s.extension, s.m); err != nil {
				f.Fatal(err)
			}
			f.Add(extensions[s.extension].GetValue())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		extensions := map[string]*anypb.Any{contract.AssignmentExtension: {TypeUrl: "type.googleapis.com/google.protobuf.Struct", Value: b}}
		match, at, err := contract.Assigned(extensions)
		var want torikumiv1.AssignmentDetails
		if contract.Get(extensions, contract.AssignmentExtension, &want) != nil {
			return
		}
		if err != nil || match != want.GetMatchId() {
			t.Fatalf("got %q, %v; want %q", match, err, want.GetMatchId())
		}
		if w := want.GetAllocateTime(); w.IsValid() && !w.AsTime().Equal(at) {
			t.Fatalf("got %v, want %v", at, w.AsTime())
		}
	})
}

func BenchmarkAssigned(b *testing.B) {
	for _, s := range samples() {
		if s.extension != contract.AssignmentExtension {
			continue
		}
		b.Run(s.name, func(b *testing.B) {
			var extensions map[string]*anypb.Any
			if err := contract.Put(&extensions, s.extension, s.m); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := contract.Assigned(extensions); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func put(t *testing.T, a *torikumiv1.AssignmentDetails) map[string]*anypb.Any {
	t.Helper()
	var extensions map[string]*anypb.Any
	if err := contract.Put(&extensions, contract.AssignmentExtension, a); err != nil {
		t.Fatal(err)
	}
	return extensions
}

func under(t *testing.T, m proto.Message) map[string]*anypb.Any {
	t.Helper()
	return map[string]*anypb.Any{contract.AssignmentExtension: packed(t, m)[contract.TicketExtension]}
}

func object(t *testing.T, fields map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestNames: an assignment names the tickets of its teams' players; one that names no
// ticket at all says nothing against any.
func TestNames(t *testing.T) {
	teams := func(tickets ...string) *torikumiv1.AssignmentDetails {
		a := &torikumiv1.AssignmentDetails{Teams: []*torikumiv1.Team{{Name: "bots"}}}
		for _, id := range tickets {
			a.Teams = append(a.Teams, &torikumiv1.Team{Members: []*torikumiv1.TeamMember{{PlayerId: "player", TicketId: id}}})
		}
		return a
	}
	for name, c := range map[string]struct {
		a    *torikumiv1.AssignmentDetails
		want bool
	}{
		"no details":       {nil, true},
		"nobody":           {teams(), true},
		"players alone":    {teams("", ""), true},
		"the ticket":       {teams("x", "mine"), true},
		"others":           {teams("x", "y"), false},
		"others and no id": {teams("", "y"), false},
	} {
		if got := contract.Names(c.a, "mine"); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
