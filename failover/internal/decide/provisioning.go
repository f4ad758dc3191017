package decide

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
)

// attempt decides on a new VM, and asks for it.
func (d *decision) attempt() {
	c, at := d.choose()
	if !d.reached(at) {
		d.st.NextAttemptAt = v1.At(at)
		return
	}
	zone, m := c.zone, c.machine
	d.st.DeprecatedZonesTried = nil
	d.st.LastError = "" // else this attempt would end by the error of the one before
	d.st.VMCreationAttempts = c.failures + 1
	d.st.TotalAttempts++
	d.st.GCPVMName = vmName(d.set.NamePrefix, d.f.Spec.OnpremNodeName, d.f.UID, d.st.TotalAttempts)
	d.st.NextAttemptAt = nil
	d.st.VM = &v1.VMStatus{
		Zone: zone, RequestID: requestID(d.f.UID, d.st.TotalAttempts), MachineType: m.Name,
		StartedAt: *d.instant(), HourlyCost: v1.Milli(m.MilliCost),
	}
	d.condition(v1.VMCreated, metav1.ConditionFalse, "Requested", fmt.Sprintf("attempt %d in %s", d.st.VMCreationAttempts, zone))
	d.event(Normal, "CreatingVM", fmt.Sprintf("%s %s in %s, attempt %d of %d", m.Name, d.st.GCPVMName, zone, d.st.VMCreationAttempts, d.set.MaxAttempts))
	d.insert()
}

func (d *decision) creating() {
	if d.st.SharesWith != "" {
		d.sharing()
		return
	}
	if d.st.VM != nil && d.st.VM.GaveUp != "" {
		d.abandon()
		return
	}
	if d.deleting() {
		d.leave(d.whyDeleting())
		return
	}
	if d.stable() {
		d.leave("the node is Ready again")
		return
	}
	if d.next() != nil {
		d.leave("the next VM has taken over")
		return
	}
	if d.st.VM == nil && d.relieved() {
		d.wakeAt(d.now.Add(heldRetry))
		return
	}
	if d.st.VM == nil {
		// While the node is Ready, nothing new begins.
		if (d.down() || d.f.Spec.Drill) && (d.st.NextAttemptAt == nil || d.reached(d.st.NextAttemptAt.Time)) && !d.skewed() {
			d.attempt()
		}
		return
	}
	if d.s.Created != NotCalled {
		d.insert()
		d.poll()
		return
	}
	d.deleteReadyLater()
	d.poll()
	late := d.reached(d.after(d.st.VM.StartedAt.Time, d.set.JoinTimeout))
	switch d.s.VM.Presence {
	case VMForeign:
		d.giveUp(v1.GaveUpForeign, "a VM of that name is not ours")
	case VMPresent:
		d.seen(late)
	case VMAbsent:
		switch {
		case d.st.VM.SeenAt != nil:
			d.giveUp(v1.GaveUpLost, "the VM has vanished")
		case late && d.waitsForToken() != "":
			d.giveUp(v1.GaveUpTokenRefused, fmt.Sprintf("no token within %s: %s", d.set.JoinTimeout, d.waitsForToken()))
		case late:
			d.giveUp(v1.GaveUpNeverJoined, fmt.Sprintf("no VM within %s", d.set.JoinTimeout))
		case d.st.LastError != "" && d.reached(d.after(d.st.VM.StartedAt.Time, d.set.CreateTimeout)):
			d.giveUp(v1.GaveUpNeverJoined, fmt.Sprintf("no VM within %s: %s", d.set.CreateTimeout, d.st.LastError))
		case d.down(), d.f.Spec.Drill:
			d.insert()
		}
	case VMUnknown:
		if d.s.VM.Err != "" {
			d.st.LastError = d.s.VM.Err
		}
		switch {
		case d.tempReady():
			d.joined() // the Node says more than the cloud can't
		case late:
			d.giveUp(v1.GaveUpNeverJoined, fmt.Sprintf("within %s: %s", d.set.JoinTimeout, d.notReady()))
		default:
			d.notFit()
		}
	}
}

// relieved reports whether a replacement is on its way, which makes this one's own
// next VM one too many.
func (d *decision) relieved() bool {
	return slices.ContainsFunc(d.s.Siblings, func(o v1.NodeFailover) bool {
		return o.Spec.Replaces == d.f.Name && o.Spec.OnpremNodeName == d.f.Spec.OnpremNodeName && o.Status.Phase == v1.Creating && o.DeletionTimestamp == nil
	})
}

// insert asks for the VM of this attempt, which may have been done before, and
// reads the answer when there is one.
func (d *decision) insert() {
	if d.s.Created != NotCalled {
		d.tokenTaken()
	}
	switch d.s.Created {
	case NotCalled:
		if d.st.NextAttemptAt != nil && !d.reached(d.st.NextAttemptAt.Time) {
			return
		}
		d.st.NextAttemptAt = nil
		if d.s.TokenErr != "" {
			d.tokenRefused()
			return
		}
		if !d.s.TokenInMemory || len(d.st.VM.TokenIDs) == 0 {
			// Either the first, or its secret half was lost with a controller.
			d.st.VM.TokenIDs = append(d.st.VM.TokenIDs, d.s.FreshTokenID)
			d.do(Action{Kind: CreateToken, ID: d.s.FreshTokenID})
		}
		d.do(Action{Kind: CreateVM, ID: d.st.GCPVMName})
		d.poll()
	case Accepted:
		d.st.LastError = "" // what came before is over: --create-timeout is for a cloud that says nothing clear
	case Stockout:
		d.giveUp(v1.GaveUpStockout, d.s.CreateErr)
	case Quota:
		d.giveUp(v1.GaveUpQuota, d.s.CreateErr)
	case Invalid:
		d.giveUp(v1.GaveUpInvalid, d.s.CreateErr)
	case Foreign:
		d.giveUp(v1.GaveUpForeign, d.s.CreateErr)
	case Unclear:
		// It may have worked: the same request again, ever more slowly.
		d.st.LastError = d.s.CreateErr
		d.insertLater()
	}
}

// insertLater waits with the next call for this attempt's VM.
func (d *decision) insertLater() {
	age := d.now.Sub(d.st.VM.StartedAt.Time)
	d.st.NextAttemptAt = v1.At(d.now.Add(min(max(age/2, time.Second), 15*time.Second)))
	d.reached(d.st.NextAttemptAt.Time)
}

// tokenRefused waits until the API server takes a bootstrap token: no placement and no cloud
// is to blame for it.
func (d *decision) tokenRefused() {
	message := "the API server refuses the bootstrap token: " + d.s.TokenErr
	if d.waitsForToken() == "" {
		d.event(Warning, string(v1.GaveUpTokenRefused), message)
	}
	d.condition(v1.VMCreated, metav1.ConditionFalse, string(v1.GaveUpTokenRefused), message)
	if n := len(d.st.VM.TokenIDs); d.s.TokenUnmade && n > 0 {
		d.st.VM.TokenIDs = d.st.VM.TokenIDs[:n-1]
	}
	d.insertLater()
}

// waitsForToken is why the API server refuses the bootstrap token of the attempt's VM, or "".
func (d *decision) waitsForToken() string {
	if c := meta.FindStatusCondition(d.st.Conditions, v1.VMCreated); c != nil && c.Reason == string(v1.GaveUpTokenRefused) {
		return c.Message
	}
	return ""
}

// tokenTaken forgets that a bootstrap token was refused.
func (d *decision) tokenTaken() {
	if d.waitsForToken() != "" {
		d.condition(v1.VMCreated, metav1.ConditionFalse, "Requested", fmt.Sprintf("attempt %d in %s", d.st.VMCreationAttempts, d.st.VM.Zone))
	}
}

// seen goes on with a VM that exists.
func (d *decision) seen(late bool) {
	vm := d.s.VM.Instance
	if d.st.VM.SeenAt == nil {
		d.st.VM.SeenAt = d.instant()
		d.st.VM.ProviderID = vm.ProviderID
		d.st.LastError = ""
		d.st.NextAttemptAt = nil
		d.condition(v1.VMCreated, metav1.ConditionTrue, "Created", fmt.Sprintf("%s in %s", vm.Name, vm.Zone))
		d.event(Normal, "VMCreated", fmt.Sprintf("%s in %s", vm.Name, vm.Zone))
	}
	if vm.ExternalIP != "" {
		d.st.VM.ExternalIP = vm.ExternalIP // what is right when the cloud says nothing
	}
	if _, ok := d.temp(); ok && d.st.VM.JoinedAt == nil {
		d.st.VM.JoinedAt = d.instant()
	}
	switch {
	case (vm.State == cloud.Stopping || vm.State == cloud.Stopped) && d.st.VM.JoinedAt == nil:
		d.giveUp(v1.GaveUpNeverJoined, "the VM has stopped before it joined: its startup script says why in the serial console (torikumi-join: FAILED), or the cloud has ended it")
	case vm.State == cloud.Stopping || vm.State == cloud.Stopped:
		d.giveUp(v1.GaveUpLost, "the cloud has ended the VM")
	case d.tempReady():
		d.joined()
	case late:
		d.giveUp(v1.GaveUpNeverJoined, fmt.Sprintf("within %s: %s", d.set.JoinTimeout, d.notReady()))
	default:
		d.notFit()
		d.prepare()
	}
}

// notFit shows why a temporary node that is Ready is not used yet, and so why the
// taint waits.
func (d *decision) notFit() {
	if t, ok := d.temp(); ok && t.Ready {
		d.condition(v1.NodeJoined, metav1.ConditionFalse, "NotFit", d.unfit(t))
	}
}

// temp is the temporary Node, if it is that of our VM.
func (d *decision) temp() (Temp, bool) {
	t := d.s.Temp
	if vm := d.st.VM; vm != nil && t.ProviderID != "" && vm.ProviderID != "" && t.ProviderID != vm.ProviderID {
		return Temp{}, false // a Node of the same name on another VM
	}
	return t, t.Exists
}

func (d *decision) tempReady() bool {
	t, ok := d.temp()
	return ok && t.Ready && d.unfit(t) == ""
}

// notReady says why a temporary node that has joined can't be used.
func (d *decision) notReady() string {
	if t, ok := d.temp(); ok && t.Ready {
		return d.unfit(t)
	}
	return "not Ready"
}

// prepare does for the temporary Node what nobody else does.
func (d *decision) prepare() {
	t, ok := d.temp()
	if !ok {
		return
	}
	if t.Uninitialised && d.set.InitNodes && d.s.VM.Instance.InternalIP != "" {
		d.do(Action{Kind: InitNode, Node: d.st.GCPVMName})
	}
	if diff := missing(Labels(d.set, d.f, d.st.Recorded), t.Labels); diff != nil {
		d.do(Action{Kind: LabelNode, Node: d.st.GCPVMName, Labels: diff})
	}
}

// joined makes the failover Active.
func (d *decision) joined() {
	d.enter(v1.Active)
	d.st.ActiveAt = d.instant()
	d.st.VMCreationAttempts = 0
	d.forgetFailure()
	d.st.LastError = ""
	if d.st.VM.JoinedAt == nil {
		d.st.VM.JoinedAt = d.instant()
	}
	d.inherit()
	took := d.now.Sub(d.st.VM.StartedAt.Time).Round(time.Second)
	d.condition(v1.NodeJoined, metav1.ConditionTrue, "Ready", fmt.Sprintf("after %s", took))
	d.event(Normal, "NodeJoined", fmt.Sprintf("%s is Ready %s after it was asked for", d.st.GCPVMName, took))
	if t, _ := d.temp(); openMetadata(t) && !d.f.Spec.Drill {
		d.event(Warning, "MetadataOpen", metadataOpen(d.st.GCPVMName))
	}
	d.active()
}

// giveUp ends the attempt. The next begins when its VM is proven gone.
func (d *decision) giveUp(why v1.GaveUp, message string) {
	d.st.VM.GaveUp = why
	d.noteFailure(why)
	d.enter(v1.Creating)
	d.st.LastError = message
	d.st.NextAttemptAt = nil
	d.st.TempNotReadySince = nil
	d.st.DrainStartedAt, d.st.VMDeletionStartedAt, d.st.Handover = nil, nil, nil // the next VM's games have all of their time
	meta.RemoveStatusCondition(&d.st.Conditions, v1.GameServersDrained)
	d.forgetPods()
	d.condition(v1.VMCreated, metav1.ConditionFalse, string(why), message)
	d.event(Warning, string(why), fmt.Sprintf("%s: %s", d.st.GCPVMName, message))
	if why == v1.GaveUpLost || d.st.ActiveAt != nil {
		d.condition(v1.NodeJoined, metav1.ConditionFalse, string(why), message)
	}
	d.poll()
}

// abandon clears away an attempt that is given up.
func (d *decision) abandon() {
	if d.s.Created != NotCalled {
		d.poll() // the look at the VM is older than the call
		return
	}
	if !d.gone() {
		return
	}
	why := d.st.VM.GaveUp
	d.spend()
	d.st.VM, d.st.GCPVMName = nil, ""
	if d.deleting() {
		d.leave(d.whyDeleting())
		return
	}
	if d.f.Spec.Drill && !d.drillMovesOn(why) {
		d.fail(string(why), d.st.LastError)
		return
	}
	d.st.ActiveAt = nil
	c, at := d.choose()
	d.poll()
	if at.After(d.now) {
		d.st.NextAttemptAt = v1.At(at)
		d.wake = time.Time{}
		d.reached(at)
	}
	if d.exhausted() {
		message := fmt.Sprintf("%d attempts failed with each zone and machine type (%s), the last with: %s; the next in %s",
			d.set.MaxAttempts, d.placementsTried(), d.st.LastError, c.retryAt.Sub(d.now).Round(time.Second))
		d.condition(v1.VMCreated, metav1.ConditionFalse, "Exhausted", message)
		d.event(Warning, "Exhausted", message)
	}
}

// gone sees to it that the VM is gone, then its Node, then its tokens, in this
// order, and reports whether all are.
func (d *decision) gone() bool {
	if d.s.VM.Presence == VMPresent || d.s.VM.Presence == VMUnknown {
		if t, ok := d.temp(); ok && !t.Cordoned { // it has joined after all
			d.do(Action{Kind: Cordon, Node: d.st.GCPVMName, UID: t.UID})
		}
	}
	if d.st.VM.GaveUp != "" {
		d.deleteLost()
	}
	switch d.s.VM.Presence {
	case VMPresent:
		if d.s.VM.Instance.State != cloud.Stopping {
			d.do(Action{Kind: DeleteVM, ID: d.st.GCPVMName})
		}
		d.poll()
		return false
	case VMUnknown:
		if d.s.VM.Err != "" { // a deletion waits for no look: the provider knows what is ours
			d.st.LastError = d.s.VM.Err
			d.do(Action{Kind: DeleteVM, ID: d.st.GCPVMName})
			d.wakeAt(d.now.Add(heldRetry))
			return false
		}
		d.poll()
		return false
	}
	if t, ok := d.temp(); ok {
		d.do(Action{Kind: DeleteNode, Node: d.st.GCPVMName, UID: t.UID})
		d.poll()
		return false
	}
	return d.tokensGone()
}

// spend adds up what the VM has cost, now that it is gone.
func (d *decision) spend() {
	if d.st.VM != nil {
		d.st.Spent.Add(d.st.VM.Cost(d.now))
	}
}

// tokensGone deletes the tokens of the VM, and reports whether they are.
func (d *decision) tokensGone() bool {
	var left []string
	for _, id := range d.st.VM.TokenIDs {
		if !slices.Contains(d.s.TokensDeleted, id) {
			left = append(left, id)
			d.do(Action{Kind: DeleteToken, ID: id})
		}
	}
	d.st.VM.TokenIDs = left
	if len(left) > 0 {
		d.poll()
	}
	return len(left) == 0
}
