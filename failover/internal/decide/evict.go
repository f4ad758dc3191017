package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// What runs on a temporary node besides game servers: pods of the dead node that
// went there, of DaemonSets, of the kubelet. Those of the first kind are evicted, as
// their disruption budgets let them go, when the node is drained.

// gamePods counts the pods of game servers.
func (d *decision) gamePods() int {
	n := 0
	for _, p := range d.s.Pods {
		if p.Game {
			n++
		}
	}
	return n
}

// podsLeave evicts the pods that are not game servers', once the node takes no new
// ones, and returns how many of them the VM has to wait for. Those that a budget holds
// stay for as long as games hold the VM anyway, and for EvictTimeout at least; then
// they are deleted, with their grace. What does not go by then ends with the VM, and so
// does what comes although the node is cordoned: it would come again for ever.
func (d *decision) podsLeave(cordoned, empty, over bool) int {
	if !d.s.PodsSeen {
		if d.s.PodsErr != "" {
			d.condition(v1.PodsEvicted, metav1.ConditionUnknown, "NotListed", "whether other pods are left on the temporary node is not known: "+d.s.PodsErr)
		}
		return 0
	}
	var held, ending, back []Pod
	for _, p := range d.s.Pods {
		switch {
		case p.Game:
		case d.cameLate(p):
			back = append(back, p)
		case p.Deleting:
			ending = append(ending, p)
		default:
			held = append(held, p)
		}
	}
	if d.st.Eviction == nil {
		if len(held)+len(ending) == 0 {
			d.forgetPods() // that they could not be listed
			return 0
		}
		d.st.Eviction = new(v1.Eviction)
	}
	e := d.st.Eviction
	if e.NewestAt == nil && cordoned && len(held)+len(ending) > 0 && d.reached(d.after(d.st.DrainStartedAt.Time, d.set.Settle+heldRetry)) { // the scheduler knows of the cordon
		newest := slices.MaxFunc(slices.Concat(held, ending), func(a, b Pod) int { return a.Created.Compare(b.Created) })
		e.NewestAt = v1.At(newest.Created)
	}
	limit := min(d.set.EvictTimeout, d.set.MaxWait)
	if late := d.reached(d.after(d.st.DrainStartedAt.Time, limit)); len(held) > 0 && e.ForcedAt == nil && (over || late && empty) {
		e.ForcedAt = d.instant()
		d.event(Warning, "PodsForced", fmt.Sprintf("still there %s after the drain began, and deleted whatever their disruption budgets say: %s", limit, names(held)))
	}
	waitFor := len(held)
	if e.ForcedAt != nil && d.reached(d.after(e.ForcedAt.Time, hangs)) {
		waitFor = 0 // they can't be deleted
	}
	for _, p := range held {
		switch {
		case !cordoned: // it would come back
		case e.ForcedAt != nil:
			d.do(Action{Kind: DeletePod, Pod: p})
		default:
			d.do(Action{Kind: EvictPod, Pod: p})
		}
	}
	waitFor += d.endingPods(e, waitFor > 0, ending)
	d.podsTold(held, ending, back, waitFor)
	return waitFor
}

// cameLate reports whether a pod is newer than all that ran there when the cordon was
// known. Both instants are the API server's.
func (d *decision) cameLate(p Pod) bool {
	return d.st.Eviction != nil && d.st.Eviction.NewestAt != nil && p.Created.After(d.st.Eviction.NewestAt.Time)
}

// endingPods is how many of the pods that have been deleted are waited for. One whose
// kubelet or finalizer does not let it go is not waited for for ever.
func (d *decision) endingPods(e *v1.Eviction, others bool, ending []Pod) int {
	if others || len(ending) == 0 {
		e.EndingSince = nil
		return len(ending)
	}
	if e.EndingSince == nil {
		e.EndingSince = d.instant()
	}
	longest := slices.MaxFunc(ending, func(a, b Pod) int { return cmp.Compare(a.Grace, b.Grace) }).Grace
	if d.reached(d.after(e.EndingSince.Time, longest+hangs)) {
		return 0
	}
	return len(ending)
}

// podsTold says how far the pods are, and looks again.
func (d *decision) podsTold(held, ending, back []Pod, waitFor int) {
	was := meta.FindStatusCondition(d.st.Conditions, v1.PodsEvicted)
	is := func(reason string) bool { return was != nil && was.Reason == reason }
	switch {
	case len(held)+len(ending) == 0 && len(back) > 0:
		message := "come again at once, as they tolerate the cordon, and end with the VM: " + names(back)
		if !is("ComeAgain") {
			d.event(Warning, "PodsComeAgain", message)
		}
		d.condition(v1.PodsEvicted, metav1.ConditionFalse, "ComeAgain", message)
		return
	case len(held)+len(ending) == 0:
		d.condition(v1.PodsEvicted, metav1.ConditionTrue, "Evicted", "no other pod is left on the temporary node")
		return
	case waitFor == 0:
		message := "do not go, and end with the VM: " + names(append(held, ending...))
		if !is("Stuck") {
			d.event(Warning, "PodsStuck", message)
		}
		d.condition(v1.PodsEvicted, metav1.ConditionFalse, "Stuck", message)
		return
	case len(d.s.Refused) > 0:
		if !is("Blocked") {
			d.event(Warning, "EvictionBlocked", d.refusals())
		}
		d.condition(v1.PodsEvicted, metav1.ConditionFalse, "Blocked", d.refusals())
		d.wakeAt(d.now.Add(heldRetry))
		return
	case len(held) > 0 && is("Blocked"): // until it is asked for again
	default:
		d.condition(v1.PodsEvicted, metav1.ConditionFalse, "Evicting", "other pods are left: "+names(append(held, ending...)))
	}
	d.poll()
}

// refusals are the API server's words, each once.
func (d *decision) refusals() string {
	all := slices.Sorted(maps.Values(d.s.Refused))
	return strings.Join(slices.Compact(all), "; ")
}

// names of pods, for people.
func names(pods []Pod) string {
	const most = 10
	var all []string
	for _, p := range pods {
		all = append(all, p.Namespace+"/"+p.Name)
	}
	slices.Sort(all)
	if n := len(all) - most; n > 0 {
		all = append(all[:most], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(all, ", ")
}

// forgetPods: the drain is over, or begins anew.
func (d *decision) forgetPods() {
	d.st.Eviction = nil
	meta.RemoveStatusCondition(&d.st.Conditions, v1.PodsEvicted)
}
