package report_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/report"
)

var began = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(seconds float64) *v1.Instant {
	return v1.At(began.Add(time.Duration(seconds * float64(time.Second))))
}

func drillVM(id string) *v1.VMStatus {
	return &v1.VMStatus{RequestID: id, MachineType: "n2", Zone: "zone-" + id, StartedAt: *at(2), HourlyCost: v1.Amount{Quantity: resource.MustParse("0.36")}}
}

// TestDrillProgress: each step is told once, also if several come at a time.
func TestDrillProgress(t *testing.T) {
	f := &v1.NodeFailover{Spec: v1.NodeFailoverSpec{OnpremNodeName: "w1", Drill: true}}
	f.Status.Phase = v1.Pending
	s := report.NewDrillProgress(began)
	var told []string
	for i, change := range []func(*v1.NodeFailoverStatus){
		func(*v1.NodeFailoverStatus) {},
		func(st *v1.NodeFailoverStatus) {
			f.Finalizers = []string{v1.Finalizer}
			st.Conditions = []metav1.Condition{{Type: v1.Admitted, Status: metav1.ConditionFalse, Reason: "TooManyVMs", Message: "4 VMs exist"}}
		},
		func(st *v1.NodeFailoverStatus) {
			st.Phase, st.GCPVMName, st.VM = v1.Creating, "vm-1", drillVM("a")
			st.Conditions = []metav1.Condition{{Type: v1.VersionsFit, Status: metav1.ConditionTrue, Reason: "Fits", Message: "1.34.4 and 1.34.6"}}
		},
		func(st *v1.NodeFailoverStatus) { st.VM.GaveUp, st.LastError = v1.GaveUpStockout, "no machines" },
		func(st *v1.NodeFailoverStatus) { st.GCPVMName, st.VM = "vm-2", drillVM("b") },
		func(st *v1.NodeFailoverStatus) { st.VM.SeenAt, st.LastError = at(10), "" },
		func(st *v1.NodeFailoverStatus) { st.VM.JoinedAt = at(30) },
		func(st *v1.NodeFailoverStatus) {
			st.Phase, st.ActiveAt, st.DrainStartedAt, st.VMDeletionStartedAt = v1.Draining, at(40), at(40), at(43.5)
			st.Conditions = []metav1.Condition{{Type: v1.Rehearsed, Status: metav1.ConditionTrue, Reason: "Passed", Message: "well"}}
		},
		func(st *v1.NodeFailoverStatus) {
			st.Phase, st.CompletedAt, st.Spent = v1.Completed, at(102), v1.Amount{Quantity: resource.MustParse("0.0123")}
		},
	} {
		change(&f.Status)
		told = append(told, s.Update(f.DeepCopy(), began.Add(time.Duration(i)*time.Second))...)
		if again := s.Update(f.DeepCopy(), began); len(again) > 0 {
			t.Errorf("told again: %q", again)
		}
	}
	if diff := cmp.Diff([]string{
		"the controller has taken it up",
		"waits: TooManyVMs: 4 VMs exist",
		"versions: 1.34.4 and 1.34.6",
		"VM asked for: n2 vm-1 in zone-a",
		"VM given up: Stockout: no machines",
		"VM asked for: n2 vm-2 in zone-b",
		"VM created",
		"its Node has joined",
		"its Node is Ready",
		"found fit: well; it is drained",
		"drained; the VM is being deleted",
		"VM, Node and tokens are gone",
	}, told); diff != "" {
		t.Error(diff)
	}
	table(t, s, `          STEP  SECONDS
  VM asked for      2.0
    VM created      8.0
        joined     20.0
         Ready     10.0
       drained      3.5
       VM gone     58.5
        in all    102.0
          cost   0.0123
`)
	if err := report.Verdict(f); err != nil {
		t.Error(err)
	}
}

func table(t *testing.T, s *report.DrillProgress, want string) {
	t.Helper()
	var b strings.Builder
	if err := s.Table(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// TestDrillWithoutToken: why there is no VM is told once, while it is so.
func TestDrillWithoutToken(t *testing.T) {
	f := &v1.NodeFailover{Spec: v1.NodeFailoverSpec{OnpremNodeName: "w1", Drill: true}}
	f.Status.Phase, f.Status.GCPVMName, f.Status.VM = v1.Creating, "vm-1", drillVM("a")
	f.Status.Conditions = []metav1.Condition{{Type: v1.VMCreated, Status: metav1.ConditionFalse, Reason: string(v1.GaveUpTokenRefused), Message: "the API server refuses the bootstrap token: no"}}
	s := report.NewDrillProgress(began)
	told := s.Update(f.DeepCopy(), began)
	told = append(told, s.Update(f.DeepCopy(), began)...)
	f.Status.VM.GaveUp, f.Status.LastError = v1.GaveUpTokenRefused, "no token within 10m0s"
	f.Status.Conditions[0].Message = f.Status.LastError
	told = append(told, s.Update(f.DeepCopy(), began)...)
	if diff := cmp.Diff([]string{
		"the controller has taken it up", "VM asked for: n2 vm-1 in zone-a", "no VM yet: the API server refuses the bootstrap token: no", "VM given up: TokenRefused: no token within 10m0s",
	}, told); diff != "" {
		t.Error(diff)
	}
}

// TestDrillEndsEarly: steps that were not reached have no time, and what was
// never made has no cost.
func TestDrillEndsEarly(t *testing.T) {
	f := &v1.NodeFailover{Spec: v1.NodeFailoverSpec{Drill: true}, Status: v1.NodeFailoverStatus{Phase: v1.Creating, VM: drillVM("a")}}
	s := report.NewDrillProgress(began)
	table(t, s, "          STEP  SECONDS\n  VM asked for        -\n")
	s.Update(f, began.Add(time.Second))
	f.Status = v1.NodeFailoverStatus{Phase: v1.Completed, CompletedAt: at(5), Conditions: []metav1.Condition{
		{Type: v1.Rehearsed, Status: metav1.ConditionFalse, Reason: "Quota", Message: "no more"}}}
	s.Update(f, began)
	table(t, s, `          STEP  SECONDS
  VM asked for      1.0
    VM created        -
        joined        -
         Ready        -
       drained        -
       VM gone      3.0
        in all      4.0
          cost        -
`)
	if err := report.Verdict(f); err == nil || err.Error() != "Quota: no more" {
		t.Error(err)
	}
	f.Status.Conditions = nil
	if report.Verdict(f) == nil {
		t.Error("no verdict is taken for a good one")
	}
}
