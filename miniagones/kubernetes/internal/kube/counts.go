package kube

import (
	"torikumi/miniagones/internal/counts"
	v1 "torikumi/miniagones/kubernetes/api/v1"
)

// Counts are the counters and lists of a server.
func Counts(gs *v1.GameServer) counts.Set {
	s := counts.Set{Counters: make(map[string]counts.Counter), Lists: make(map[string]counts.List)}
	for name, c := range gs.Status.Counters {
		s.Counters[name] = counts.Counter(c)
	}
	for name, l := range gs.Status.Lists {
		s.Lists[name] = counts.List{Capacity: l.Capacity, Values: l.Values}
	}
	return s
}

// SetCounts changes them.
func SetCounts(gs *v1.GameServer, to counts.Set) {
	gs.Status.Counters, gs.Status.Lists = nil, nil
	for name, c := range to.Counters {
		if gs.Status.Counters == nil {
			gs.Status.Counters = make(map[string]v1.CounterStatus)
		}
		gs.Status.Counters[name] = v1.CounterStatus(c)
	}
	for name, l := range to.Lists {
		if gs.Status.Lists == nil {
			gs.Status.Lists = make(map[string]v1.ListStatus)
		}
		gs.Status.Lists[name] = v1.ListStatus{Capacity: l.Capacity, Values: l.Values}
	}
}
