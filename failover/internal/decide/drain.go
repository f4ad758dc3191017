package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
)

// hangs is how long servers may take to go once they are deleted, in the end.
const hangs = 2 * time.Minute

// leave begins the end: the temporary node is drained and deleted.
func (d *decision) leave(why string) {
	d.enter(v1.Draining)
	if d.st.DrainStartedAt == nil {
		d.st.DrainStartedAt = d.instant()
	}
	d.event(Normal, "Draining", why)
	d.draining()
}

// WellKnown reports whether the key of a label, annotation or taint is Kubernetes's
// own.
func WellKnown(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return ok && (domain == "kubernetes.io" || domain == "k8s.io" ||
		strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io"))
}

// Restricted reports whether the key of a label is one that an administrator gives a
// node, and no kubelet itself.
func Restricted(key string) bool {
	const protected = "node-restriction.kubernetes.io"
	domain, _, ok := strings.Cut(key, "/")
	return ok && (domain == protected || strings.HasSuffix(domain, "."+protected))
}

// onTemp are the servers on the temporary node.
func (d *decision) onTemp() []Server {
	var on []Server
	for _, s := range d.s.Servers {
		if s.Node == d.st.GCPVMName && s.Node != "" {
			on = append(on, s)
		}
	}
	return on
}

func (d *decision) draining() {
	next := d.next()
	if d.down() && !d.deleting() && next == nil && d.st.VMDeletionStartedAt == nil {
		d.failedAgain()
		return
	}
	switch {
	case next == nil && d.st.Taint != v1.TaintNone:
		return
	case next != nil && (next.Status.Taint != v1.TaintNone || !d.s.Node.Tainted):
		d.st.Taint = v1.TaintNone // the successor's now
	}
	if d.s.Node.Health == Ready && !d.restored() {
		return
	}
	if d.st.VM != nil {
		d.endedMeanwhile()
		if (d.st.VMDeletionStartedAt == nil || d.joinedLate()) && !d.drained() {
			return
		}
		if !d.gone() {
			return
		}
	}
	d.complete("Completed", "the VM, its Node and its tokens are gone")
}

// endedMeanwhile notices that the cloud has ended the VM that is drained: its
// games are over.
func (d *decision) endedMeanwhile() {
	if d.st.VMDeletionStartedAt != nil {
		return
	}
	vm := d.s.VM
	if vm.Presence == VMAbsent && d.st.VM.SeenAt != nil || vm.Presence == VMPresent && (vm.Instance.State == cloud.Stopping || vm.Instance.State == cloud.Stopped) {
		d.st.VMDeletionStartedAt = d.instant()
		const message = "the cloud has ended the VM while it was drained"
		d.condition(v1.GameServersDrained, metav1.ConditionFalse, "Lost", message)
		d.event(Warning, "Lost", message)
		return
	}
	d.wakeAt(d.now.Add(d.set.Watch))
}

// joinedLate reports whether games have begun on a VM that was found empty: it
// joined when its deletion had begun already, and had not come about.
func (d *decision) joinedLate() bool {
	running := d.s.VM.Presence == VMPresent && (d.s.VM.Instance.State == cloud.Creating || d.s.VM.Instance.State == cloud.Running)
	return running && slices.ContainsFunc(d.onTemp(), func(s Server) bool { return s.InUse() && !s.Deleting })
}

// failedAgain goes back: the VM is still there.
func (d *decision) failedAgain() {
	d.relapsed()
	d.condition(v1.OnPremRecovered, metav1.ConditionFalse, "FailedAgain", "the node is not Ready again")
	d.condition(v1.GameServersDrained, metav1.ConditionFalse, "FailedAgain", "the temporary node is needed again")
	d.forgetPods()
	d.event(Warning, "FailedAgain", "the node is not Ready again: the temporary node stays")
	if d.st.ActiveAt == nil {
		d.enter(v1.Creating)
		d.st.DrainStartedAt, d.st.Handover = nil, nil
		d.creating()
		return
	}
	d.enter(v1.Active)
	d.active()
}

// drained moves the game servers away from the temporary node and reports
// whether none is left.
func (d *decision) drained() bool {
	if d.st.DrainStartedAt == nil {
		d.st.DrainStartedAt = d.instant()
	}
	t, exists := d.temp()
	if exists && !t.Cordoned {
		d.do(Action{Kind: Cordon, Node: d.st.GCPVMName, UID: t.UID})
	}
	end := d.after(d.st.DrainStartedAt.Time, d.set.MaxWait)
	over, hung := d.reached(end), d.now.After(end.Add(hangs))
	if exists && !d.s.PodsSeen && d.s.PodsErr == "" && !hung {
		d.lookAtPods = true
		return false
	}
	left, inUse := 0, 0
	var late []string
	var idle []Server
	for _, s := range d.onTemp() {
		left++
		switch {
		case s.Deleting:
		case s.InUse() && !over:
			inUse++
			d.hideServer(s)
		case s.isReady() && !over:
			idle = append(idle, s)
		default:
			if s.InUse() {
				late = append(late, s.Namespace+"/"+s.Name)
			}
			d.remove(s)
		}
	}
	if len(late) > 0 { // one event: of several alike, only the first would be told
		slices.Sort(late)
		d.event(Warning, "MaxWaitOver", fmt.Sprintf("still in use after %s, and ended: %s", d.set.MaxWait, strings.Join(late, ", ")))
	}
	if wait := d.handOver(idle); wait > 0 {
		d.condition(v1.GameServersDrained, metav1.ConditionFalse, "WaitingForReplacements", fmt.Sprintf("%d game servers left, %d in use; %d are Ready and stay until as many are Ready elsewhere", left, inUse, wait))
	} else {
		d.condition(v1.GameServersDrained, metav1.ConditionFalse, "Draining", fmt.Sprintf("%d game servers left, %d in use", left, inUse))
	}
	pods := d.podsLeave(exists && t.Cordoned, left == 0, over)
	switch {
	case left > 0 && !hung:
		if left > inUse {
			d.poll()
		}
		return false
	case exists && !t.Cordoned && !hung:
		d.poll()
		return false
	case exists && !d.s.PodsSeen && !hung: // what would end with the VM is not known
		d.poll()
		return false
	case exists && !d.reached(d.after(d.st.DrainStartedAt.Time, d.set.Settle)):
		return false
	case exists && !hung && d.gamePods() > 0:
		d.poll()
		return false
	case exists && !hung && pods > 0:
		return false
	}
	if d.st.VMDeletionStartedAt != nil {
		return true // it was found so before
	}
	d.st.VMDeletionStartedAt = d.instant()
	if hung && (left > 0 || exists && (!d.s.PodsSeen || len(d.s.Pods) > 0)) {
		message := fmt.Sprintf("what was deleted has not gone within %s: %d game servers are left, and end with the VM", hangs, left)
		d.condition(v1.GameServersDrained, metav1.ConditionFalse, "Hung", message)
		d.event(Warning, "Hung", message)
		return true
	}
	d.condition(v1.GameServersDrained, metav1.ConditionTrue, "Drained", "no game server is left on the temporary node")
	d.event(Normal, "Drained", "no game server is left on the temporary node")
	return true
}
