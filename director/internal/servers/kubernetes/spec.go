package kubernetes

import (
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/pkg/agones"
	pb "torikumi/proto/agones/allocation"
)

// allocationSpec is that of a GameServerAllocation. It says what an AllocationRequest
// does, in other types.
type allocationSpec struct {
	Selectors  []selector               `json:"selectors"`
	Scheduling string                   `json:"scheduling,omitempty"`
	Priorities []priority               `json:"priorities,omitempty"`
	Counters   map[string]counterAction `json:"counters,omitempty"`
	Lists      map[string]listAction    `json:"lists,omitempty"`
	Metadata   stamp                    `json:"metadata"`
}

type selector struct {
	MatchLabels     map[string]string          `json:"matchLabels"`
	GameServerState string                     `json:"gameServerState,omitempty"`
	Players         *playerSelector            `json:"players,omitempty"`
	Counters        map[string]counterSelector `json:"counters,omitempty"`
	Lists           map[string]listSelector    `json:"lists,omitempty"`
}

type playerSelector struct {
	MinAvailable uint64 `json:"minAvailable,omitempty"`
	MaxAvailable uint64 `json:"maxAvailable,omitempty"`
}

type counterSelector struct {
	MinCount     int64 `json:"minCount"`
	MaxCount     int64 `json:"maxCount"`
	MinAvailable int64 `json:"minAvailable"`
	MaxAvailable int64 `json:"maxAvailable"`
}

type listSelector struct {
	ContainsValue string `json:"containsValue"`
	MinAvailable  int64  `json:"minAvailable"`
	MaxAvailable  int64  `json:"maxAvailable"`
}

type priority struct {
	Type  string `json:"type"`
	Key   string `json:"key"`
	Order string `json:"order"`
}

type counterAction struct {
	Action   *string `json:"action,omitempty"`
	Amount   *int64  `json:"amount,omitempty"`
	Capacity *int64  `json:"capacity,omitempty"`
}

type listAction struct {
	AddValues    []string `json:"addValues,omitempty"`
	DeleteValues []string `json:"deleteValues,omitempty"`
	Capacity     *int64   `json:"capacity,omitempty"`
}

func newSpec(r *pb.AllocationRequest) *allocationSpec {
	s := &allocationSpec{
		Scheduling: r.GetScheduling().String(), Metadata: stamp{r.GetMetadata().GetLabels(), r.GetMetadata().GetAnnotations()},
		Counters: convert(r.GetCounters(), func(c *pb.CounterAction) counterAction {
			to := counterAction{Amount: number(c.GetAmount()), Capacity: number(c.GetCapacity())}
			if c.GetAction() != nil {
				to.Action = &c.Action.Value
			}
			return to
		}),
		Lists: convert(r.GetLists(), func(l *pb.ListAction) listAction {
			return listAction{l.GetAddValues(), l.GetDeleteValues(), number(l.GetCapacity())}
		}),
	}
	for _, sel := range r.GetGameServerSelectors() {
		s.Selectors = append(s.Selectors, newSelector(sel))
	}
	for _, p := range r.GetPriorities() {
		s.Priorities = append(s.Priorities, priority{p.GetType().String(), p.GetKey(), p.GetOrder().String()})
	}
	return s
}

func newSelector(from *pb.GameServerSelector) selector {
	to := selector{
		MatchLabels: from.GetMatchLabels(),
		Counters: convert(from.GetCounters(), func(c *pb.CounterSelector) counterSelector {
			return counterSelector{c.GetMinCount(), c.GetMaxCount(), c.GetMinAvailable(), c.GetMaxAvailable()}
		}),
		Lists: convert(from.GetLists(), func(l *pb.ListSelector) listSelector {
			return listSelector{l.GetContainsValue(), l.GetMinAvailable(), l.GetMaxAvailable()}
		}),
	}
	if from.GetGameServerState() == pb.GameServerSelector_ALLOCATED {
		to.GameServerState = agones.Allocated
	}
	if p := from.GetPlayers(); p != nil {
		to.Players = &playerSelector{p.GetMinAvailable(), p.GetMaxAvailable()}
	}
	return to
}

func convert[From, To any](from map[string]From, each func(From) To) map[string]To {
	to := make(map[string]To, len(from))
	for name, v := range from {
		to[name] = each(v)
	}
	return to
}

func number(v *wrapperspb.Int64Value) *int64 {
	if v == nil {
		return nil
	}
	return &v.Value
}
