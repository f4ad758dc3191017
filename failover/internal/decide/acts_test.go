package decide_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

// run lets the controller look at one failover once, and returns when it wants
// to look again.
func (w *harness) run(f *v1.NodeFailover) (wake time.Time) {
	s := w.state(f)
	done := map[string]bool{}
	for range 6 {
		p := decide.Decide(&w.set, s, w.now)
		if w.serial%32 == 0 { // it costs as much as the decision itself
			again := decide.Decide(&w.set, s, w.now)
			w.must(pure, fmt.Sprint(again.Actions) == fmt.Sprint(p.Actions), "the same decision comes out as %v and %v", p.Actions, again.Actions)
		}
		wake = p.Wake
		if p.Status != nil {
			if !w.write("status") {
				return w.now.Add(time.Second)
			}
			w.persist(f, s.Failover.Status, *p.Status)
			s.Failover.Status = *p.Status.DeepCopy()
		}
		for _, e := range p.Events {
			w.say("%s: (%s) %s", f.Spec.OnpremNodeName, e.Reason, e.Message)
		}
		before := fmt.Sprint(s.Created, s.Fenced, s.TokensDeleted, s.Restored, s.ProbeErr, s.TokenErr, len(s.Refused))
		for _, a := range p.Actions {
			if done[a.String()] || a.Kind == decide.CreateVM && s.TokenErr != "" {
				continue
			}
			done[a.String()] = true
			if !w.write(a.String()) {
				return w.now.Add(time.Second)
			}
			if a.Kind != decide.EvictPod { // a refusal is told once
				w.say("%s: %s", f.Spec.OnpremNodeName, a)
			}
			if !w.act(f, a, s) {
				return w.now.Add(time.Second)
			}
		}
		if p.LookAtPods {
			w.seePods(f, s)
			continue
		}
		if before == fmt.Sprint(s.Created, s.Fenced, s.TokensDeleted, s.Restored, s.ProbeErr, s.TokenErr, len(s.Refused)) {
			break
		}
	}
	return wake
}

// write counts the writes, and crashes the controller before the one it is told.
func (w *harness) write(what string) bool {
	if w.faults.writes {
		return false
	}
	if w.crashIn > 0 {
		w.crashIn--
		if w.crashIn == 0 {
			w.say("CRASH before %s", what)
			w.crashed = errCrash
			clear(w.memory)
			w.apiHealthySince = w.now
			return false
		}
	}
	return true
}

// persist stores a status. A look that the cloud did not answer is no change.
func (w *harness) persist(f *v1.NodeFailover, old, status v1.NodeFailoverStatus) {
	if old.Phase != status.Phase {
		w.say("%s: %s → %s", f.Spec.OnpremNodeName, cmpOr(old.Phase, "new"), status.Phase)
		w.transition(old.Phase, status.Phase)
		w.must(inTable, decide.Follows(old.Phase, status.Phase), "%q is followed by %q, which the table of phases does not have", old.Phase, status.Phase)
	}
	w.changes++
	if old.DrainStartedAt != nil && status.DrainStartedAt == nil {
		w.drained[f.UID] = drained{from: old.DrainStartedAt.Time, until: w.now}
	}
	f.Status = *status.DeepCopy()
	if status.Phase == v1.Completed {
		w.checkCompleted(f)
	}
}

func cmpOr(p v1.Phase, or string) string {
	if p == "" {
		return or
	}
	return string(p)
}

// act does what an action says and checks that it may be done.
func (w *harness) act(f *v1.NodeFailover, a decide.Action, s *decide.State) bool {
	w.drillMay(f, a)
	switch a.Kind {
	case decide.AddFinalizer:
		w.changes++
		f.Finalizers = []string{v1.Finalizer}
	case decide.RemoveFinalizer:
		w.must(inOrder, f.Status.Phase == v1.Completed, "finalizer removed in phase %s", f.Status.Phase)
		f.Finalizers = nil
		w.changes++
	case decide.DeleteFailover:
		w.transition(f.Status.Phase, "")
		f.DeletionTimestamp = &metav1.Time{Time: w.now}
	case decide.CreateToken:
		w.must(persistedFirst, slices.Contains(f.Status.VM.TokenIDs, a.ID), "token %s made before it was persisted", a.ID)
		if w.faults.tokens {
			s.TokenErr, s.TokenUnmade = "no secret without a ticket", true
			return true
		}
		w.tokens[a.ID], w.memory[a.ID] = w.now, true
	case decide.DeleteToken:
		delete(w.tokens, a.ID)
		s.TokensDeleted = append(s.TokensDeleted, a.ID)
	case decide.CreateVM:
		w.create(f, s)
	case decide.DeleteVM:
		w.deleteVM(f)
	case decide.InitNode:
		w.temps[a.Node].uninit = false
		w.changes++
	case decide.LabelNode:
		w.changes++
		if n := w.nodes[a.Node]; n != nil {
			maps.Copy(n.labels, a.Labels)
		} else if t := w.temps[a.Node]; t != nil {
			maps.Copy(t.labels, a.Labels)
		}
	case decide.RestoreNode:
		w.nodes[a.Node].extra = slices.Clone(f.Status.Recorded.Taints)
		s.Restored = true
		w.changes++
	case decide.Cordon:
		w.temps[a.Node].cordoned = true
		w.changes++
	case decide.Uncordon:
		w.temps[a.Node].cordoned = false
		w.changes++
	case decide.DeleteNode:
		if t := w.temps[a.Node]; t != nil && t.uid == a.UID {
			exists := t.vm.state != "" && w.vms[t.vm.spec.Zone+"/"+t.vm.spec.Name] != nil
			w.must(inOrder, !exists, "Node %s deleted while its VM exists", a.Node)
			w.removeTemp(a.Node)
		}
	case decide.Fence:
		s.Fenced = decide.Accepted
		if w.faults.fence {
			s.Fenced, s.FenceErr = decide.Unclear, "the webhook says no"
		} else {
			w.fenced[f.UID] = w.now
		}
	case decide.Taint:
		return w.taint(f, a)
	case decide.Untaint:
		n := w.nodes[a.Node]
		w.must(foreignStays, n.taint != "foreign", "a foreign taint on %s is removed", a.Node)
		n.taint = ""
		w.changes++
	case decide.DeleteServer:
		w.deleteServer(f, a.Server)
	case decide.HideServer, decide.ShowServer:
		if sv := w.servers[a.Server.Name]; sv != nil && fmt.Sprint(sv.rv) == a.Server.ResourceVersion {
			sv.Hidden = a.Kind == decide.HideServer
			sv.Allocatable = !sv.Hidden
			w.changes++
			sv.rv++
		}
	case decide.CreateProbe:
		w.must(persistedFirst, f.Status.Probe != nil && f.Status.Probe.RequestedAt != nil, "a probe pod made before it was persisted")
		if w.faults.probe == "refused" {
			s.ProbeErr = "forbidden: RuntimeClass kata not found"
		} else if w.probes[f.UID] == nil {
			w.probes[f.UID] = &probe{node: a.Node, made: w.now}
		}
		w.changes++
	case decide.DeleteProbe:
		delete(w.probes, f.UID)
		w.changes++
	case decide.EvictPod, decide.DeletePod:
		w.endPod(f, a, s)
	case decide.RemoveAnswers:
		delete(f.Annotations, v1.FencedAnnotation)
		delete(f.Annotations, v1.ProceedAnnotation)
		w.changes++
	case decide.CreateReplacement:
		w.another(f, a.ID, v1.NodeFailoverSpec{Replaces: f.Name, ParentFailover: f.Parent(), SharedLoad: f.Spec.SharedLoad})
	case decide.CreateAdded:
		w.another(f, a.ID, v1.NodeFailoverSpec{ParentFailover: f.Name, SharedLoad: a.SharedLoad})
	default:
		w.must(pure, false, "unknown action %s", a)
	}
	return true
}

func (w *harness) another(f *v1.NodeFailover, name string, spec v1.NodeFailoverSpec) {
	for _, o := range w.failovers {
		if o.Name == name && !w.deleted(o) {
			return
		}
	}
	r := &v1.NodeFailover{}
	r.Name, r.UID = name, w.next("failover")
	r.Spec = spec
	r.Spec.OnpremNodeName = f.Spec.OnpremNodeName
	if f.Status.NotReadySince != nil {
		w.records[r.UID] = &decide.Record{UID: f.Status.Recorded.UID, Labels: f.Status.Recorded.Labels, Taints: f.Status.Recorded.Taints, Unschedulable: f.Status.Recorded.Unschedulable, FailedAt: f.Status.NotReadySince.Time}
	}
	r.Finalizers = []string{v1.Finalizer}
	r.CreationTimestamp = metav1.Time{Time: w.now}
	w.changes++
	w.failovers = append(w.failovers, r)
}

func (w *harness) create(f *v1.NodeFailover, s *decide.State) {
	st := f.Status
	key := st.VM.Zone + "/" + st.GCPVMName
	w.must(persistedFirst, slices.Contains(f.Finalizers, v1.Finalizer), "insert without a finalizer")
	tok := st.VM.TokenIDs[len(st.VM.TokenIDs)-1]
	w.must(persistedFirst, w.memory[tok], "insert with a token whose secret is not known")
	s.Created = decide.Accepted
	if w.requests[st.VM.RequestID] == key {
		return // this very request has been done
	}
	if m := w.vms[key]; m != nil {
		if m.owner != f.UID || m.foreign {
			s.Created, s.CreateErr = decide.Foreign, "there is a VM of that name that is not ours"
		}
		return
	}
	fault := w.faults.create[st.VM.Zone]
	if fault == "" {
		fault = cmp.Or(w.faults.create[st.VM.MachineType], w.faults.create["*"])
	}
	if fault != "" {
		s.Created, s.CreateErr = fault, "the cloud says "+string(fault)
		return
	}
	for _, m := range w.vms {
		w.must(oneVM, m.owner != f.UID, "failover %s gets a second VM beside %s", f.Spec.OnpremNodeName, m.spec.Name)
	}
	if text := w.version.Refused(); st.VM.StartedAt.Time.Equal(w.now) { // else it was asked for before
		w.must(versionFits, text == "" || f.On(v1.ProceedAnnotation), "a VM is asked for, and %s", text)
	}
	w.vmsMade++
	w.requests[st.VM.RequestID] = key
	w.vms[key] = &machine{spec: cloud.Ref{Name: st.GCPVMName, Zone: st.VM.Zone}, owner: f.UID, kind: st.VM.MachineType, kubelet: w.kubelet(), state: cloud.Creating, created: w.now, token: tok}
	if w.faults.createLost {
		w.faults.createLost = false
		s.Created, s.CreateErr = decide.Unclear, "connection reset"
	}
}

// kubelet is the version that joins: a name says nothing true.
func (w *harness) kubelet() string {
	if w.version.Source == decide.FromName {
		return w.version.APIServer
	}
	return w.version.Image
}

// drained is a drain that a decision has ended, in which it may still have ended
// games.
type drained struct{ from, until time.Time }

// waitOver reports whether games on the temporary node have had their time.
func (w *harness) waitOver(f *v1.NodeFailover) bool {
	if from := f.Status.DrainStartedAt; from != nil {
		return !w.now.Before(from.Add(w.set.MaxWait))
	}
	d, ok := w.drained[f.UID]
	return ok && d.until.Equal(w.now) && !w.now.Before(d.from.Add(w.set.MaxWait))
}

func (w *harness) deleteVM(f *v1.NodeFailover) {
	m := w.vms[f.Status.VM.Zone+"/"+f.Status.GCPVMName]
	if m == nil {
		return
	}
	if !w.must(foreignStays, !m.foreign && m.owner == f.UID, "a foreign VM is deleted") {
		return
	}
	over := w.waitOver(f)
	lost := f.Status.VM.GaveUp != "" || m.state == cloud.Stopped
	for _, sv := range w.servers {
		if sv.Node == m.spec.Name && sv.InUse() {
			w.must(gamesGoOn, over || lost, "VM %s deleted under %s, which is %s", m.spec.Name, sv.Name, sv.State)
		}
	}
	if m.deleted.IsZero() {
		w.podsLeft(f, m, over || lost)
		m.state, m.deleted = cloud.Stopping, w.now
	}
}

func (w *harness) taint(f *v1.NodeFailover, a decide.Action) bool {
	n := w.nodes[a.Node]
	if n == nil || n.health == decide.Gone || n.uid != a.UID {
		return false // the API server's answer: not found, or a conflict
	}
	w.must(foreignStays, n.taint != "foreign", "a foreign taint on %s is overwritten", a.Node)
	w.must(firstLeads, f.Spec.ParentFailover == "", "%s is tainted by a further failover", a.Node)
	if w.must(taintDead, n.health == decide.NotReady, "%s is tainted while it is Ready", a.Node) {
		w.must(taintDead, !n.reports, "%s is tainted while its kubelet reports", a.Node)
		w.must(taintAfterGrace, f.Spec.Replaces != "" || n.reports || w.now.Sub(n.silent) >= max(w.set.Grace, w.set.TaintGrace), "%s is tainted within the grace", a.Node)
	}
	usable := slices.ContainsFunc(slices.Collect(maps.Values(w.temps)), func(t *temp) bool { return t.ready && !t.uninit && !t.drill && len(t.taints) == 0 && !t.noIP })
	w.must(taintReplaced, usable, "%s is tainted before a game can start on a temporary node", a.Node)
	if w.set.Fencing == decide.FenceManual {
		w.must(taintFenced, f.On(v1.FencedAnnotation), "%s is tainted although nobody has said that it is off", a.Node)
	}
	if w.set.Fencing == decide.FenceWebhook {
		w.must(taintFenced, !w.fenced[f.UID].Before(n.downSince), "%s is tainted although the webhook has not confirmed that it is off", a.Node)
	}
	n.taint = "ours"
	w.changes++
	return true
}

func (w *harness) deleteServer(f *v1.NodeFailover, seen decide.Server) {
	sv := w.servers[seen.Name]
	if sv == nil || sv.UID != seen.UID || fmt.Sprint(sv.rv) != seen.ResourceVersion {
		w.say("%s: refused, %s has changed", f.Spec.OnpremNodeName, seen.Name)
		return
	}
	over := w.waitOver(f)
	w.must(gamesGoOn, !sv.InUse() || over && sv.Node != f.Spec.OnpremNodeName, "%s is deleted while it is %s", seen.Name, sv.State)
	if n := w.nodes[sv.Node]; n != nil {
		w.must(wellKeeps, n.health != decide.Ready, "%s is deleted from %s, which is Ready", seen.Name, sv.Node)
	}
	if sv.Node == f.Spec.OnpremNodeName {
		w.must(firstLeads, f.Spec.ParentFailover == "", "%s of the dead node is deleted by a further failover", seen.Name)
	}
	if sv.State == "Ready" && sv.Node == f.Status.GCPVMName && f.Status.Phase == v1.Draining {
		w.withdrawn(f, sv)
	}
	delete(w.servers, seen.Name)
	w.changes++
}

// batch is how many servers a drain has withdrawn at one instant, and before it.
type batch struct {
	at           time.Time
	size, before int
}

// withdrawn checks that what went before has been replaced and that no more go at
// once than that were, and lets the fleet replace this one too.
func (w *harness) withdrawn(f *v1.NodeFailover, sv *server) {
	n := w.nodes[f.Spec.OnpremNodeName]
	limit := f.Status.DrainStartedAt.Add(min(w.set.ReturnTimeout, w.set.MaxWait))
	b := w.batches[f.UID]
	if !b.at.Equal(w.now) {
		b = batch{at: w.now, before: b.before + b.size}
	}
	b.size++
	w.batches[f.UID] = b
	if n.health == decide.Ready && f.DeletionTimestamp == nil && w.now.Before(limit) && f.Spec.ParentFailover == "" && !w.turned {
		running := b.size - 1 // those that went at this instant
		for _, o := range w.servers {
			if o.State == "Ready" || o.InUse() {
				running++
			}
		}
		h := f.Status.Handover // others that have come up make up for one that waits
		for _, o := range w.waiting {
			if o.by == f.UID {
				w.must(replacedFirst, !o.at.Before(w.now) || h != nil && running >= int(h.Running), "%s is withdrawn although one that went before has no replacement", sv.Name)
			}
		}
		w.must(replacedFirst, b.size <= max(1, b.before), "%d servers are withdrawn at once, and %d went before", b.size, b.before)
	}
	w.waiting = append(w.waiting, waiting{node: f.Spec.OnpremNodeName, cpu: sv.cpu, by: f.UID, at: w.now})
}

func (w *harness) removeTemp(name string) {
	delete(w.temps, name)
	w.changes++
	for n, sv := range w.servers {
		if sv.Node == name {
			delete(w.servers, n)
		}
	}
	maps.DeleteFunc(w.pods, func(_ string, p *pod) bool { return p.node == name })
}

// checkCompleted is called when a failover says that it is over.
func (w *harness) checkCompleted(f *v1.NodeFailover) {
	// All that it has had is counted, but for the rounding and before a turn of the clock.
	if told := f.Status.Spent.ScaledValue(resource.Micro); !w.turned {
		w.must(costTold, told+int64(f.Status.TotalAttempts) >= w.spent[f.UID], "completed: it says that its VMs have cost %d, they have cost %d", told, w.spent[f.UID])
	}
	w.must(inOrder, w.probes[f.UID] == nil, "completed, but its probe pod exists")
	for _, m := range w.vms {
		w.must(inOrder, m.owner != f.UID || m.foreign, "completed, but VM %s exists", m.spec.Name)
	}
	if f.Status.VM != nil {
		w.must(inOrder, w.temps[f.Status.GCPVMName] == nil, "completed, but Node %s exists", f.Status.GCPVMName)
		w.must(inOrder, len(f.Status.VM.TokenIDs) == 0, "completed, but tokens %v may exist", f.Status.VM.TokenIDs)
	}
}
