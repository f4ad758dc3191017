// Package report tells an operator in one table how far each failover is, what
// comes next and when, and what it has cost so far.
package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/gameserver"
	"torikumi/pkg/agones"
)

// Timing are the settings that say when the next step comes.
type Timing struct {
	Grace, Stability, MaxWait, JoinTimeout time.Duration
}

// Write writes the table. Servers are all game servers.
func Write(w io.Writer, failovers []v1.NodeFailover, servers []gameserver.GameServer, t Timing, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tNODE\tPHASE\tVM\tZONE\tSERVERS\tIN USE\tCOST\tNEXT")
	for i := range failovers {
		f := &failovers[i]
		total, inUse := count(servers, f.Status.GCPVMName)
		vm, zone := f.Status.GCPVMName, ""
		if f.Status.VM != nil {
			zone = f.Status.VM.Zone
		}
		if f.Status.SharesWith != "" {
			vm = "of " + f.Status.SharesWith
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n",
			f.Name, node(f), cmp.Or(string(f.Status.Phase), "Pending"), cmp.Or(vm, "-"), cmp.Or(zone, "-"), total, inUse, cost(f, now, 2), oneLine(next(f, t, now)))
	}
	return tw.Flush()
}

// node names the node, and which of its VMs this is if it has several.
func node(f *v1.NodeFailover) string {
	switch {
	case f.Spec.Drill:
		return f.Spec.OnpremNodeName + " (drill)"
	case f.Spec.SharedLoad != nil:
		return fmt.Sprintf("%s #%d", f.Spec.OnpremNodeName, f.Spec.SharedLoad.Number)
	case len(f.Status.SharedLoads) > 1:
		return f.Spec.OnpremNodeName + " #1"
	}
	return f.Spec.OnpremNodeName
}

// oneLine is a text that fits into a table, whatever a cloud has put into it.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func count(servers []gameserver.GameServer, node string) (total, inUse int) {
	for i := range servers {
		if s := servers[i].Status; node != "" && s.NodeName == node {
			total++
			if s.State == agones.Allocated || s.State == agones.Reserved {
				inUse++
			}
		}
	}
	return total, inUse
}

// next says what is waited for and until when.
func next(f *v1.NodeFailover, t Timing, now time.Time) string {
	st := &f.Status
	if f.On(v1.PausedAnnotation) {
		return "paused"
	}
	because := func(kind string) string {
		if c := meta.FindStatusCondition(st.Conditions, kind); c != nil && c.Status != "True" {
			return c.Reason + ": " + c.Message
		}
		return ""
	}
	if f.Spec.Drill {
		if c := meta.FindStatusCondition(st.Conditions, v1.Rehearsed); st.Phase == v1.Completed && c != nil {
			return c.Reason + ": " + c.Message
		}
		if st.Phase == v1.Active {
			return "a look at the node"
		}
	}
	switch st.Phase {
	case v1.Pending, "":
		if why := because(v1.Admitted); why != "" {
			return why
		}
		if st.NotReadySince != nil {
			return "a VM " + in(st.NotReadySince.Add(t.Grace), now)
		}
		return "waits for the controller"
	case v1.Creating:
		if c := meta.FindStatusCondition(st.Conditions, v1.VMCreated); c != nil && st.VM != nil && st.VM.GaveUp == "" && c.Reason == string(v1.GaveUpTokenRefused) {
			return because(v1.VMCreated)
		}
		if st.NextAttemptAt != nil {
			return "an attempt " + in(st.NextAttemptAt.Time, now) + " (" + st.LastError + ")"
		}
		if st.VM != nil && st.VM.GaveUp != "" {
			return fmt.Sprintf("the end of the VM that was given up (%s: %s)", st.VM.GaveUp, cmp.Or(st.LastError, "no reason was told"))
		}
		if st.VM != nil {
			return "the node joins, or is given up " + in(st.VM.StartedAt.Add(t.JoinTimeout), now)
		}
		return "a VM"
	case v1.Active:
		if c := meta.FindStatusCondition(st.Conditions, v1.TaintApplied); c != nil && c.Status != "True" && c.Reason == "Storm" {
			return "waits for the storm's end"
		}
		return cmp.Or(cmp.Or(because(v1.TaintApplied), because(v1.CapacityPlanned)), "the node's return")
	case v1.Recovering:
		if st.RecoveryDetectedAt != nil {
			return cmp.Or(because(v1.GameServersDrained), "the drain "+in(st.RecoveryDetectedAt.Add(t.Stability), now))
		}
	case v1.Draining:
		if st.VMDeletionStartedAt != nil {
			return "the VM's end"
		}
		if st.DrainStartedAt != nil {
			return "the servers leave, or are ended " + in(st.DrainStartedAt.Add(t.MaxWait), now)
		}
	}
	return "-"
}

// in is a time from now.
func in(at, now time.Time) string {
	if !at.After(now) {
		return "now"
	}
	return "in " + at.Sub(now).Round(time.Second).String()
}

// cost of all VMs so far, by the prices they were asked for at, to so many
// decimals.
func cost(f *v1.NodeFailover, now time.Time, decimals int) string {
	sum, vm := f.Status.Spent.Quantity.DeepCopy(), f.Status.VM
	if vm != nil && f.Status.Phase != v1.Completed {
		sum.Add(vm.Cost(now))
	}
	if sum.IsZero() && (vm == nil || vm.HourlyCost.IsZero()) {
		return "-"
	}
	return fmt.Sprintf("%.*f", decimals, sum.AsApproximateFloat64())
}
