package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/report"
)

func TestWrite(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *v1.Instant { return v1.At(now.Add(-d)) }
	vm := func(d time.Duration) *v1.VMStatus {
		return &v1.VMStatus{Zone: "zone-a", StartedAt: *ago(d), HourlyCost: v1.Amount{Quantity: resource.MustParse("0.24")}}
	}
	one := func(node string, st v1.NodeFailoverStatus) v1.NodeFailover {
		return v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: node + "-1a2b"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: node}, Status: st}
	}
	held := one("w2", v1.NodeFailoverStatus{Phase: v1.Pending, NotReadySince: ago(time.Minute), Conditions: []metav1.Condition{
		{Type: v1.Admitted, Status: metav1.ConditionFalse, Reason: "TooManyVMs", Message: "4 VMs exist"}}})
	paused := one("w6", v1.NodeFailoverStatus{Phase: v1.Active, SharesWith: "w4-x"})
	paused.Annotations = map[string]string{v1.PausedAnnotation: "true"}
	refused := vm(time.Hour)
	refused.GaveUp = v1.GaveUpQuota
	never := vm(11 * time.Minute)
	never.GaveUp = v1.GaveUpNeverJoined
	all := []v1.NodeFailover{
		one("w1", v1.NodeFailoverStatus{Phase: v1.Pending, NotReadySince: ago(10 * time.Second)}),
		held,
		one("w3", v1.NodeFailoverStatus{Phase: v1.Creating, GCPVMName: "vm-3", VM: vm(time.Minute)}),
		one("w4", v1.NodeFailoverStatus{Phase: v1.Active, GCPVMName: "vm-4", VM: vm(90 * time.Minute)}),
		one("w5", v1.NodeFailoverStatus{Phase: v1.Draining, GCPVMName: "vm-5", VM: vm(2 * time.Hour), DrainStartedAt: ago(time.Hour)}),
		paused,
		one("w7", v1.NodeFailoverStatus{Phase: v1.Completed, GCPVMName: "vm-7", VM: vm(3 * time.Hour), CompletedAt: ago(2 * time.Hour), Spent: v1.Amount{Quantity: resource.MustParse("310m")}}),
		one("w8", v1.NodeFailoverStatus{Phase: v1.Active, GCPVMName: "vm-8", VM: vm(time.Hour), Spent: v1.Amount{Quantity: resource.MustParse("1500m")}, SharedLoads: make([]v1.Load, 2)}),
		one("w8", v1.NodeFailoverStatus{Phase: v1.Creating, VM: refused, Spent: v1.Amount{Quantity: resource.MustParse("20m")}, NextAttemptAt: ago(-time.Minute), LastError: "no quota"}),
		one("w9", v1.NodeFailoverStatus{Phase: v1.Active, GCPVMName: "vm-9", Conditions: []metav1.Condition{
			{Type: v1.TaintApplied, Status: metav1.ConditionTrue}, {Type: v1.CapacityPlanned, Status: metav1.ConditionFalse, Reason: "TooLarge", Message: "1 game server"}}}),
		one("x1", v1.NodeFailoverStatus{Phase: v1.Creating, GCPVMName: "vm-x1", VM: never, LastError: "not Ready within 10m0s,\n\tthe VM is Running"}),
		one("x2", v1.NodeFailoverStatus{Phase: v1.Active, GCPVMName: "vm-x2", Conditions: []metav1.Condition{
			{Type: v1.TaintApplied, Status: metav1.ConditionFalse, Reason: "Storm", Message: "3 of 5 nodes are down"}}}),
		one("x3", v1.NodeFailoverStatus{Phase: v1.Active, GCPVMName: "vm-x3", Conditions: []metav1.Condition{
			{Type: v1.TaintApplied, Status: metav1.ConditionFalse, Reason: "Foreign", Message: "somebody else has tainted the node"}}}),
		one("x4", v1.NodeFailoverStatus{Phase: v1.Creating, GCPVMName: "vm-x4", NextAttemptAt: ago(-time.Second), VM: &v1.VMStatus{Zone: "zone-a", StartedAt: *ago(0)}, Conditions: []metav1.Condition{
			{Type: v1.VMCreated, Status: metav1.ConditionFalse, Reason: string(v1.GaveUpTokenRefused), Message: "no secret without a ticket"}}}),
	}
	all[8].Name, all[8].Spec.ParentFailover, all[8].Spec.SharedLoad = "w8-1a2b-2", "w8-1a2b", &v1.SharedLoad{Number: 2}
	server := func(node, state string) gameserver.GameServer {
		return gameserver.GameServer{Status: gameserver.GameServerStatus{NodeName: node, State: state}}
	}
	servers := []gameserver.GameServer{server("vm-5", "Allocated"), server("vm-5", "Shutdown"), server("w9", "Ready"), server("vm-4", "Reserved")}
	var b strings.Builder
	timing := report.Timing{Grace: 30 * time.Second, Stability: time.Minute, MaxWait: 3 * time.Hour, JoinTimeout: 10 * time.Minute}
	if err := report.Write(&b, all, servers, timing, now); err != nil {
		t.Fatal(err)
	}
	want := `NAME       NODE   PHASE      VM       ZONE    SERVERS  IN USE  COST  NEXT
w1-1a2b    w1     Pending    -        -       0        0       -     a VM in 20s
w2-1a2b    w2     Pending    -        -       0        0       -     TooManyVMs: 4 VMs exist
w3-1a2b    w3     Creating   vm-3     zone-a  0        0       0.00  the node joins, or is given up in 9m0s
w4-1a2b    w4     Active     vm-4     zone-a  1        1       0.36  the node's return
w5-1a2b    w5     Draining   vm-5     zone-a  2        1       0.48  the servers leave, or are ended in 2h0m0s
w6-1a2b    w6     Active     of w4-x  -       0        0       -     paused
w7-1a2b    w7     Completed  vm-7     zone-a  0        0       0.31  -
w8-1a2b    w8 #1  Active     vm-8     zone-a  0        0       1.74  the node's return
w8-1a2b-2  w8 #2  Creating   -        zone-a  0        0       0.02  an attempt in 1m0s (no quota)
w9-1a2b    w9     Active     vm-9     -       0        0       -     TooLarge: 1 game server
x1-1a2b    x1     Creating   vm-x1    zone-a  0        0       0.04  the end of the VM that was given up (NeverJoined: not Ready within 10m0s, the VM is Running)
x2-1a2b    x2     Active     vm-x2    -       0        0       -     waits for the storm's end
x3-1a2b    x3     Active     vm-x3    -       0        0       -     Foreign: somebody else has tainted the node
x4-1a2b    x4     Creating   vm-x4    zone-a  0        0       -     TokenRefused: no secret without a ticket
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}
