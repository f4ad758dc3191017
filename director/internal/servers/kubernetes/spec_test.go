package kubernetes

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "torikumi/proto/agones/allocation"
)

// TestSpec: the names and types are those of Agones's GameServerAllocation.
func TestSpec(t *testing.T) {
	got, err := json.Marshal(newSpec(&pb.AllocationRequest{
		Scheduling: pb.AllocationRequest_Distributed,
		GameServerSelectors: []*pb.GameServerSelector{
			{
				MatchLabels: map[string]string{"a": "b"}, GameServerState: pb.GameServerSelector_ALLOCATED, Players: &pb.PlayerSelector{MinAvailable: 1, MaxAvailable: 2},
				Counters: map[string]*pb.CounterSelector{"rooms": {MinCount: 1, MaxCount: 2, MinAvailable: 3, MaxAvailable: 4}},
				Lists:    map[string]*pb.ListSelector{"ids": {ContainsValue: "x", MinAvailable: 5, MaxAvailable: 6}},
			},
			{MatchLabels: map[string]string{"c": "d"}},
		},
		Priorities: []*pb.Priority{{Key: "rooms"}, {Type: pb.Priority_List, Key: "ids", Order: pb.Priority_Descending}},
		Counters:   map[string]*pb.CounterAction{"rooms": {Action: wrapperspb.String("Increment"), Amount: wrapperspb.Int64(7), Capacity: wrapperspb.Int64(8)}, "cap": {Capacity: wrapperspb.Int64(0)}},
		Lists:      map[string]*pb.ListAction{"ids": {AddValues: []string{"y"}, DeleteValues: []string{"z"}, Capacity: wrapperspb.Int64(9)}},
		Metadata:   &pb.MetaPatch{Labels: map[string]string{"e": "f"}, Annotations: map[string]string{"g": "h"}},
	}))
	const want = `{"selectors":[` +
		`{"matchLabels":{"a":"b"},"gameServerState":"Allocated","players":{"minAvailable":1,"maxAvailable":2},` +
		`"counters":{"rooms":{"minCount":1,"maxCount":2,"minAvailable":3,"maxAvailable":4}},"lists":{"ids":{"containsValue":"x","minAvailable":5,"maxAvailable":6}}},` +
		`{"matchLabels":{"c":"d"}}],"scheduling":"Distributed",` +
		`"priorities":[{"type":"Counter","key":"rooms","order":"Ascending"},{"type":"List","key":"ids","order":"Descending"}],` +
		`"counters":{"cap":{"capacity":0},"rooms":{"action":"Increment","amount":7,"capacity":8}},` +
		`"lists":{"ids":{"addValues":["y"],"deleteValues":["z"],"capacity":9}},` +
		`"metadata":{"labels":{"e":"f"},"annotations":{"g":"h"}}}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
}
