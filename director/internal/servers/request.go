package servers

import (
	"fmt"
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/director/internal/match"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Selector says which servers will do for a queue, and what a match changes there.
type Selector struct {
	Namespace  string
	Allocation queues.Allocation
	TimeLimits queues.TimeLimits
	// Backfill is nil if the match stays as it is. If it may be filled up, the server
	// keeps the Attributes of its players.
	Backfill   *torikumiv1.BackfillPolicy
	Attributes []string
	// Placing is how long a match may have a server before its tickets are assigned.
	Placing time.Duration
}

// Shared reports whether a server may have several matches: then it is never deleted
// for one of them, nor taken over.
func (s Selector) Shared() bool { return s.Allocation.Shared() }

// Request is the allocation of a server for a match. Whether it goes to the allocator
// service or to the Kubernetes API, it says the same.
func (s Selector) Request(m *match.Match) (*allocation.AllocationRequest, error) {
	labels, annotations, err := s.stamp(m)
	if err != nil {
		return nil, err
	}
	a, players := &s.Allocation, m.Players(nil)
	r := &allocation.AllocationRequest{
		Namespace: s.Namespace, Metadata: &allocation.MetaPatch{Labels: labels, Annotations: annotations},
		Counters: counterActions(a.Counters, players), Lists: listActions(a.Lists, m),
	}
	if a.Scheduling == queues.Distributed {
		r.Scheduling = allocation.AllocationRequest_Distributed
	}
	selectors := a.Selectors
	if len(selectors) == 0 {
		selectors = []queues.Selector{{}}
	}
	for _, sel := range selectors {
		r.GameServerSelectors = append(r.GameServerSelectors, s.selector(sel, players))
	}
	for _, p := range a.Priorities {
		to := &allocation.Priority{Key: p.Key}
		if p.Type == queues.List {
			to.Type = allocation.Priority_List
		}
		if p.Order == queues.Descending {
			to.Order = allocation.Priority_Descending
		}
		r.Priorities = append(r.Priorities, to)
	}
	return r, nil
}

func (s Selector) selector(sel queues.Selector, players int) *allocation.GameServerSelector {
	out := &allocation.GameServerSelector{MatchLabels: map[string]string{contract.AllocatableLabel: "true"}}
	maps.Copy(out.MatchLabels, s.Allocation.Labels)
	maps.Copy(out.MatchLabels, sel.Labels)
	if sel.State == queues.Allocated {
		out.MatchLabels[contract.SharedLabel] = "true" // not the server of one match
		out.GameServerState = allocation.GameServerSelector_ALLOCATED
	}
	if p := sel.Players; p != (queues.PlayerSelector{}) {
		out.Players = &allocation.PlayerSelector{MinAvailable: uint64(p.MinAvailable.For(players)), MaxAvailable: uint64(p.MaxAvailable.For(players))}
	}
	for name, c := range sel.Counters {
		put(&out.Counters, name, &allocation.CounterSelector{
			MinCount: c.MinCount.For(players), MaxCount: c.MaxCount.For(players),
			MinAvailable: c.MinAvailable.For(players), MaxAvailable: c.MaxAvailable.For(players),
		})
	}
	for name, l := range sel.Lists {
		put(&out.Lists, name, &allocation.ListSelector{
			ContainsValue: l.ContainsValue, MinAvailable: l.MinAvailable.For(players), MaxAvailable: l.MaxAvailable.For(players),
		})
	}
	return out
}

func counterActions(actions map[string]queues.CounterAction, players int) (out map[string]*allocation.CounterAction) {
	for name, c := range actions {
		to := &allocation.CounterAction{Capacity: capacity(c.Capacity, players)}
		if c.Action != "" {
			to.Action, to.Amount = wrapperspb.String(c.Action), wrapperspb.Int64(c.Amount.For(players))
		}
		put(&out, name, to)
	}
	return out
}

func listActions(actions map[string]queues.ListAction, m *match.Match) (out map[string]*allocation.ListAction) {
	for name, l := range actions {
		put(&out, name, &allocation.ListAction{
			AddValues: values(l.AddValues, m), DeleteValues: values(l.DeleteValues, m), Capacity: capacity(l.Capacity, m.Players(nil)),
		})
	}
	return out
}

func capacity(q queues.Quantity, players int) *wrapperspb.Int64Value {
	if q == 0 {
		return nil
	}
	return wrapperspb.Int64(q.For(players))
}

// values replaces what stands for something of the match.
func values(from []string, m *match.Match) (out []string) {
	for _, v := range from {
		switch v {
		case queues.MatchID:
			out = append(out, m.Label)
		case queues.PlayerIDs:
			for _, t := range m.Teams {
				for _, member := range t.GetMembers() {
					out = append(out, member.GetPlayerId())
				}
			}
		default:
			out = append(out, v)
		}
	}
	return out
}

func put[V any](m *map[string]V, key string, v V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[key] = v
}

// stamp is what an allocation for a match puts on its server: what the queue says, and
// what belongs to the match. On a server that may have several matches, each has
// annotations of its own and none the label, which may be there from an earlier match:
// nobody may take the server for that of one match.
func (s Selector) stamp(m *match.Match) (labels, annotations map[string]string, err error) {
	policy, players, err := s.filling(m)
	if err != nil {
		return nil, nil, fmt.Errorf("encode players: %w", err)
	}
	roster, err := m.Roster(s.TimeLimits.Proto(), policy, s.Allocation.Tracking.Proto())
	if err != nil {
		return nil, nil, fmt.Errorf("encode roster: %w", err)
	}
	data, _, err := m.Data(s.Allocation.MatchData)
	if err != nil {
		return nil, nil, fmt.Errorf("encode match data: %w", err)
	}
	labels, annotations = make(map[string]string), make(map[string]string)
	maps.Copy(labels, s.Allocation.Metadata.Labels)
	maps.Copy(annotations, s.Allocation.Metadata.Annotations)
	labels[contract.QueueLabel] = m.Queue
	labels[contract.MatchLabel], labels[contract.SharedLabel] = "", "true"
	key := func(annotation string) string { return contract.OfMatch(annotation, m.Label) }
	if !s.Shared() {
		labels[contract.SharedLabel] = "false"
		key = func(annotation string) string { return annotation }
		labels[contract.MatchLabel] = m.Label
		annotations[contract.PlacingAnnotation] = Placing(s.Placing)
	}
	annotations[key(contract.RosterAnnotation)] = roster
	if policy != nil {
		annotations[contract.PlayersAnnotation] = players
	}
	if data != "" {
		annotations[key(s.Allocation.MatchData.Annotation)] = data
	}
	return labels, annotations, nil
}

// filling says how a match may be filled up, and what its players are like: not at all
// if they are larger together than a server may keep.
func (s Selector) filling(m *match.Match) (policy *torikumiv1.BackfillPolicy, players string, err error) {
	if s.Backfill == nil || s.Shared() {
		return nil, "", nil
	}
	players, fits, err := contract.EncodePlayers(m.RosterPlayers(s.Attributes))
	if err != nil || !fits {
		return nil, "", err
	}
	return s.Backfill, players, nil
}

// CannotFill reports that a match of a queue that fills matches up is not filled up.
func (s Selector) CannotFill(m *match.Match) bool {
	policy, _, err := s.filling(m)
	return err == nil && policy == nil && s.Backfill != nil
}
