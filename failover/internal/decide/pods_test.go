package decide_test

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// What the harness knows of pods that are not game servers'.

func (w *harness) addPod(on string, returns bool) {
	w.pods[string(w.next("pod"))] = &pod{node: on, created: w.now.Truncate(time.Second), returns: returns}
}

// endPods lets pods that were deleted end, if their kubelet lives.
func (w *harness) endPods() {
	for _, name := range slices.Sorted(maps.Keys(w.pods)) {
		p := w.pods[name]
		if t := w.temps[p.node]; t == nil || !t.ready || w.faults.podsHang || p.deleted.IsZero() || w.now.Sub(p.deleted) < ends {
			continue
		}
		delete(w.pods, name)
		if p.returns {
			w.addPod(p.node, true)
			w.changes++
		}
	}
}

const unlisted = "list pods: the server is currently unable to handle the request"

// seePods is the live list of what would end with the temporary node.
func (w *harness) seePods(f *v1.NodeFailover, s *decide.State) {
	if w.faults.unlisted {
		s.PodsErr = unlisted
		return
	}
	s.Pods, s.PodsSeen = nil, true
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		if sv := w.servers[name]; sv.Node == f.Status.GCPVMName {
			s.Pods = append(s.Pods, decide.Pod{Namespace: "games", Name: name, UID: sv.UID, Game: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.pods)) {
		if p := w.pods[name]; p.node == f.Status.GCPVMName {
			s.Pods = append(s.Pods, decide.Pod{Namespace: "studio", Name: name, UID: types.UID(name), Deleting: !p.deleted.IsZero(), Grace: 2 * ends, Created: p.created})
		}
	}
}

// endPod evicts or deletes a pod, or does not.
func (w *harness) endPod(f *v1.NodeFailover, a decide.Action, s *decide.State) {
	w.must(gamesGoOn, !a.Pod.Game, "the pod of game server %s is evicted", a.Pod.Name)
	p := w.pods[a.Pod.Name]
	if p == nil {
		return
	}
	t := w.temps[p.node]
	w.must(budgetsKept, p.node == f.Status.GCPVMName && t != nil && t.cordoned && f.Status.DrainStartedAt != nil, "%s is evicted from a node that is not drained", a.Pod.Name)
	if a.Kind == decide.DeletePod {
		w.must(budgetsKept, !w.now.Before(w.evictLimit(f)), "%s is deleted in spite of its budget, before %s are over", a.Pod.Name, w.set.EvictTimeout)
		for _, sv := range w.servers {
			if sv.Node == p.node && !w.waitOver(f) {
				w.must(budgetsKept, false, "%s is deleted in spite of its budget, while %s holds the VM anyway", a.Pod.Name, sv.Name)
			}
		}
	} else if why := w.faults.evict; why != "" {
		if s.Refused == nil {
			s.Refused = map[types.UID]string{}
		}
		s.Refused[a.Pod.UID] = map[string]string{
			"budget": "the disruption budget voice needs 1 healthy pods and has 1 currently", "two-budgets": "this pod has more than one PodDisruptionBudget",
		}[why]
		if p.refused != why {
			w.say("%s: %s: %s", f.Spec.OnpremNodeName, a, s.Refused[a.Pod.UID])
		}
		p.refused = why
		return
	} else {
		w.say("%s: %s", f.Spec.OnpremNodeName, a)
	}
	if p.deleted.IsZero() {
		p.deleted = w.now
		w.changes++
	}
}

func (w *harness) evictLimit(f *v1.NodeFailover) time.Time {
	return f.Status.DrainStartedAt.Add(min(w.set.EvictTimeout, w.set.MaxWait))
}

// podsLeft checks what a VM that is deleted ends.
func (w *harness) podsLeft(f *v1.NodeFailover, m *machine, over bool) {
	for _, name := range slices.Sorted(maps.Keys(w.pods)) {
		if p := w.pods[name]; p.node == m.spec.Name && f.Status.DrainStartedAt != nil {
			late := !w.now.Before(w.evictLimit(f)) // and it could not be deleted
			comesAgain := p.returns && p.created.After(f.Status.DrainStartedAt.Time)
			w.must(budgetsKept, over || late || comesAgain || !p.deleted.IsZero() && w.now.Sub(p.deleted) >= 2*ends, "VM %s is deleted under pod %s", m.spec.Name, name)
		}
	}
}
