package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

// Single decisions in states that worlds seldom come to.

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) *v1.Instant { return v1.At(noon.Add(-d)) }

var running = decide.VM{Presence: decide.VMPresent, Instance: cloud.Instance{State: cloud.Running}}

// made is a failover of worker-1 with a VM of that age.
func made(name string, phase v1.Phase, age time.Duration) *v1.NodeFailover {
	f := &v1.NodeFailover{}
	f.Name, f.UID, f.Finalizers = name, types.UID("uid-"+name), []string{v1.Finalizer}
	f.Spec.OnpremNodeName = "worker-1"
	f.Status = v1.NodeFailoverStatus{
		Phase: phase, Recorded: &v1.RecordedNode{UID: "n"}, FailedAt: ago(age + time.Minute),
		GCPVMName: "vm-" + name, VM: &v1.VMStatus{Zone: "zone-a", StartedAt: *ago(age), SeenAt: ago(age)},
	}
	return f
}

func down(f *v1.NodeFailover) *v1.NodeFailover {
	f.Status.NotReadySince = f.Status.FailedAt
	return f
}

// dead are so many watched nodes, all of them down.
func dead(n int) []decide.WatchedNode {
	all := make([]decide.WatchedNode, n)
	for i := range all {
		all[i] = decide.WatchedNode{Name: fmt.Sprint(i), Health: decide.NotReady}
	}
	return all
}

// decided decides once.
func decided(s *decide.State) (v1.NodeFailoverStatus, decide.Plan) {
	set := settings()
	p := decide.Decide(&set, s, noon)
	if p.Status == nil {
		return s.Failover.Status, p
	}
	return *p.Status, p
}

func does(p decide.Plan, k decide.Kind) bool {
	return slices.ContainsFunc(p.Actions, func(a decide.Action) bool { return a.Kind == k })
}

// A status that this controller has not written is no reason to fall over, nor
// to leave the node without a failover.
func TestStatusOfAnotherWriter(t *testing.T) {
	for _, phase := range []v1.Phase{v1.Pending, v1.Creating, v1.Active, v1.Recovering, v1.Draining, v1.Completed} {
		for what, spoil := range map[string]func(*v1.NodeFailoverStatus){
			"no VM": func(st *v1.NodeFailoverStatus) { st.VM = nil },
			"unreadable instants": func(st *v1.NodeFailoverStatus) {
				zero := new(v1.Instant)
				st.FailedAt, st.NotReadySince, st.DrainStartedAt, st.ActiveAt, st.CompletedAt, st.RecoveryDetectedAt = zero, zero, zero, zero, zero, zero
			},
			"Active once, without a VM": func(st *v1.NodeFailoverStatus) {
				st.VM, st.ActiveAt, st.NotReadySince = nil, ago(time.Hour), ago(time.Hour)
			},
			"no instants": func(st *v1.NodeFailoverStatus) { st.FailedAt, st.VM.StartedAt = nil, v1.Instant{} },
			"only phase and name": func(st *v1.NodeFailoverStatus) {
				*st = v1.NodeFailoverStatus{Phase: st.Phase, GCPVMName: st.GCPVMName}
			},
		} {
			for _, health := range []decide.Health{decide.Gone, decide.NotReady, decide.Ready} {
				t.Run(fmt.Sprintf("%s/%s/%q", what, phase, health), func(t *testing.T) {
					f := made("a", phase, time.Hour)
					spoil(&f.Status)
					st, _ := decided(&decide.State{Failover: f, Node: decide.Node{Health: health, UID: "n"}, VM: decide.VM{Presence: decide.VMAbsent}})
					if (st.Phase == v1.Active || st.Phase == v1.Recovering) && st.VM == nil {
						t.Errorf("%s without a VM", st.Phase)
					}
				})
			}
		}
	}
	f := made("a", v1.Active, time.Hour)
	f.Status.VM = nil
	if st, _ := decided(&decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, VM: decide.VM{}}); st.Phase != v1.Pending || st.GCPVMName != "" {
		t.Errorf("Active without a VM becomes %s with %q", st.Phase, st.GCPVMName)
	}
}

// The VM joins when its deletion has begun: nobody is sent there any more, and
// who got there in between may play to the end.
func TestJoinsWhileItIsDeleted(t *testing.T) {
	f := made("a", v1.Draining, 2*time.Minute)
	f.Status.DrainStartedAt, f.Status.VMDeletionStartedAt = ago(time.Minute), ago(time.Minute)
	s := &decide.State{Failover: f, Node: decide.Node{Health: decide.Ready, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running, PodsSeen: true}
	if _, p := decided(s); !does(p, decide.Cordon) || !does(p, decide.DeleteVM) {
		t.Errorf("empty: %v", p.Actions)
	}
	s.Servers = []decide.Server{{Name: "gs", Node: "vm-a", State: "Allocated", Allocatable: true}}
	if _, p := decided(s); !does(p, decide.Cordon) || !does(p, decide.HideServer) || does(p, decide.DeleteVM) {
		t.Errorf("with a game: %v", p.Actions)
	}
	s.VM.Instance.State = cloud.Stopping // too late
	if st, p := decided(s); does(p, decide.HideServer) || st.VMDeletionStartedAt == nil {
		t.Errorf("it stops: %v", p.Actions)
	}
}

// What a drain had come to says nothing of the next one.
func TestDrainIsForgottenWhenTheNodeFailsAgain(t *testing.T) {
	for name, active := range map[string]*v1.Instant{"before it was Active": nil, "later": ago(time.Hour)} {
		f := down(made("a", v1.Draining, time.Hour))
		f.Status.ActiveAt, f.Status.DrainStartedAt = active, ago(time.Hour)
		f.Status.Eviction, f.Status.Handover = &v1.Eviction{ForcedAt: ago(time.Minute)}, &v1.Handover{Running: 9}
		st, _ := decided(&decide.State{
			Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true, Cordoned: true}, VM: running,
			PodsSeen: true, Pods: []decide.Pod{{Namespace: "n", Name: "held", UID: "p"}},
		})
		if st.Eviction != nil || active == nil && st.Handover != nil || st.Phase == v1.Draining {
			t.Errorf("%s: %s, %+v, %+v", name, st.Phase, st.Eviction, st.Handover)
		}
	}
}

func TestGivenUpVMIsCordonedWhenItJoins(t *testing.T) {
	f := down(made("a", v1.Creating, time.Hour))
	f.Status.VM.GaveUp = v1.GaveUpNeverJoined
	s := &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running}
	if _, p := decided(s); len(p.Actions) < 2 || p.Actions[0].Kind != decide.Cordon || p.Actions[1].Kind != decide.DeleteVM {
		t.Errorf("%v", p.Actions)
	}
}

// A cloud that cannot be asked about a VM can still be told to delete it.
func TestDeletesWhatItCannotSee(t *testing.T) {
	f := made("a", v1.Draining, time.Hour)
	f.Status.DrainStartedAt, f.Status.VMDeletionStartedAt = ago(time.Hour), ago(time.Hour)
	_, p := decided(&decide.State{Failover: f, Node: decide.Node{Health: decide.Ready, UID: "n"}, VM: decide.VM{Err: "deadline exceeded"}})
	if !does(p, decide.DeleteVM) {
		t.Errorf("%v", p.Actions)
	}
}

func TestServersThatHangAreToldOf(t *testing.T) {
	f := made("a", v1.Draining, 9*time.Hour)
	f.Status.DrainStartedAt = ago(4 * time.Hour)
	st, _ := decided(&decide.State{
		Failover: f, Node: decide.Node{Health: decide.Ready, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true, Cordoned: true}, VM: running,
		Servers: []decide.Server{{Name: "gs", Node: "vm-a", State: "Allocated", Deleting: true}},
	})
	c := meta.FindStatusCondition(st.Conditions, v1.GameServersDrained)
	if c.Status != metav1.ConditionFalse || c.Reason != "Hung" || !strings.Contains(c.Message, "1 game servers") || st.VMDeletionStartedAt == nil {
		t.Errorf("%+v, deletion at %v", c, st.VMDeletionStartedAt)
	}
}

// A Node that is Ready when it is first seen gets its labels all the same:
// game servers wait for them.
func TestReadyAtFirstSightIsLabelled(t *testing.T) {
	f := down(made("a", v1.Creating, time.Minute))
	f.Status.Recorded.Labels = map[string]string{"hardware": "game-runner"}
	st, p := decided(&decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running})
	if st.Phase != v1.Active {
		t.Fatalf("it is %s", st.Phase)
	}
	label := slices.IndexFunc(p.Actions, func(a decide.Action) bool { return a.Kind == decide.LabelNode && a.Labels["hardware"] == "game-runner" })
	taint := slices.IndexFunc(p.Actions, func(a decide.Action) bool { return a.Kind == decide.Taint })
	if label < 0 || taint < label {
		t.Errorf("%v", p.Actions)
	}
}

// The predecessor has tainted the node in the moment in which its replacement
// took over: that one removes the taint.
func TestTaintOfTheMomentOfTakingOver(t *testing.T) {
	old, next := made("old", v1.Draining, 20*time.Hour), made("next", v1.Recovering, time.Hour)
	old.Status.DrainStartedAt, old.Status.Taint, old.Status.ActiveAt = ago(time.Hour), v1.TaintApplying, ago(20*time.Hour)
	next.Spec.Replaces, next.Status.ActiveAt = "old", ago(time.Hour)
	for _, health := range []decide.Health{decide.Ready, decide.NotReady} {
		next := next.DeepCopy()
		if health == decide.NotReady {
			next.Status.Phase = v1.Active
			down(next)
		}
		st, p := decided(&decide.State{
			Failover: next, Node: decide.Node{Health: health, UID: "n", Tainted: true}, VM: running,
			Temp: decide.Temp{Exists: true, Ready: true}, Siblings: []v1.NodeFailover{*old},
		})
		if st.Taint != v1.TaintSet || does(p, decide.Untaint) != (health == decide.Ready) {
			t.Errorf("%s: the taint is %q, %v", health, st.Taint, p.Actions)
		}
	}
}

// TestOldWait: a drain that was broken off hours ago, with a VM that is lost, is
// not where the next VM's maximum wait counts from.
func TestOldWait(t *testing.T) {
	w := newHarness()
	w.play(t, `
		node worker-1 ready
		node worker-1 notready
		wait 3m
		servers temp Allocated
		node worker-1 ready
		wait 2m
		cloud * quota
		vm vanishes
		node worker-1 notready
		wait 4h
		cloud ok`)
	for i := 0; i < 2000 && len(w.vms) == 0; i++ {
		w.advance(time.Second)
	}
	w.setNode("worker-1", "ready")
	w.advance(35 * time.Second)
	game := w.serve(w.theTemp(), "Allocated")
	w.advance(40 * time.Second)
	if w.servers[game] == nil {
		t.Error("a game of 40 seconds has been ended")
	}
	delete(w.servers, game)
	w.heal()
	w.verdict(t)
}

// One that is taken away while somebody works on the node leaves no server
// hidden: nobody would show it again.
func TestNothingStaysHidden(t *testing.T) {
	for watched, want := range map[bool]bool{true: false, false: true} { // watched: the next failover goes on
		f := down(made("a", v1.Draining, time.Hour))
		f.Status.DrainStartedAt, f.DeletionTimestamp = ago(time.Minute), &metav1.Time{Time: noon}
		_, p := decided(&decide.State{
			Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n", Watched: watched}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running,
			Servers: []decide.Server{{Name: "gs", Node: "worker-1", State: "Allocated", Hidden: true}},
		})
		if got := does(p, decide.ShowServer); got != want {
			t.Errorf("watched %v: %v", watched, p.Actions)
		}
	}
}

// A further failover goes with the first one it was made for, and not with a
// later one of that name.
func TestAnotherLeaderOfTheSameName(t *testing.T) {
	lead, f := down(made("lead", v1.Active, time.Hour)), down(made("a", v1.Active, time.Hour))
	f.Spec.ParentFailover, f.Spec.SharedLoad, f.Status.ActiveAt = "lead", &v1.SharedLoad{Number: 2}, ago(time.Hour)
	s := &decide.State{
		Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running,
		Siblings: []v1.NodeFailover{*lead},
	}
	st, _ := decided(s)
	if st.Phase != v1.Active || st.ParentFailoverUID != lead.UID {
		t.Fatalf("%s with %q", st.Phase, st.ParentFailoverUID)
	}
	f.Status = st
	s.Siblings[0].UID = "another"
	if st, _ := decided(s); st.Phase != v1.Draining {
		t.Errorf("it is %s", st.Phase)
	}
}

// What an operator says of the first failover goes for the further ones.
func TestProceedOfTheLeader(t *testing.T) {
	lead, f := down(made("lead", v1.Creating, time.Hour)), down(made("a", v1.Pending, time.Hour))
	f.Spec.ParentFailover, f.Spec.SharedLoad = "lead", &v1.SharedLoad{Number: 2}
	f.Status = v1.NodeFailoverStatus{Phase: v1.Pending, FailedAt: f.Status.FailedAt, NotReadySince: ago(time.Minute), Recorded: f.Status.Recorded}
	s := &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: []v1.NodeFailover{*lead}, Nodes: dead(4)}
	if st, _ := decided(s); st.Phase != v1.Pending {
		t.Fatalf("it is %s in a storm", st.Phase)
	}
	s.Siblings[0].Annotations = map[string]string{v1.ProceedAnnotation: "true"}
	if st, _ := decided(s); st.Phase != v1.Creating {
		t.Errorf("it is %s", st.Phase)
	}
}

// A further VM that is another failover's is as Ready as that one says.
func TestFurtherVMIsShared(t *testing.T) {
	for ready, want := range map[bool]bool{true: true, false: false} {
		lead, further, host := down(made("a", v1.Creating, time.Hour)), down(made("b", v1.Active, time.Hour)), down(made("host", v1.Active, time.Hour))
		further.Spec.ParentFailover, further.Spec.SharedLoad = "a", &v1.SharedLoad{Number: 2}
		further.Status.VM, further.Status.GCPVMName, further.Status.SharesWith = nil, "", "host"
		host.Spec.OnpremNodeName = "worker-2"
		if !ready {
			host.Status.TempNotReadySince = ago(time.Minute)
		}
		lead.Status.VM, lead.Status.NextAttemptAt = nil, v1.At(noon.Add(time.Hour))
		_, p := decided(&decide.State{Failover: lead, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: []v1.NodeFailover{*further, *host}})
		if does(p, decide.Taint) != want {
			t.Errorf("the host's VM is Ready: %v; %v", ready, p.Actions)
		}
	}
}

// What a Ready temporary node lacks is named, and keeps the dead node from being
// tainted.
func TestUnfit(t *testing.T) {
	vm := decide.VM{Presence: decide.VMPresent, Instance: cloud.Instance{State: cloud.Running, ExternalIP: "203.0.113.9"}}
	well := decide.Temp{Exists: true, Ready: true, ExternalIP: true, MilliCPU: 3500, Memory: 1 << 34}
	for name, tt := range map[string]struct {
		spoil  func(*decide.Temp)
		set    func(*decide.Settings)
		unread bool // the cloud does not say what the VM has
		want   string
	}{
		"well":            {},
		"not reported":    {spoil: func(t *decide.Temp) { t.MilliCPU, t.Memory = 0, 0 }},
		"tainted":         {spoil: func(t *decide.Temp) { t.Taints = []string{"b", "a", "b"} }, want: "its taints a, b;"},
		"tolerated":       {spoil: func(t *decide.Temp) { t.Taints = []string{"a"} }, set: func(s *decide.Settings) { s.ToleratedTaints = []string{"a"} }},
		"one is":          {spoil: func(t *decide.Temp) { t.Taints = []string{"a", "b"} }, set: func(s *decide.Settings) { s.ToleratedTaints = []string{"a"} }, want: "its taints b;"},
		"uninitialised":   {spoil: func(t *decide.Temp) { t.Uninitialised = true }, want: "--init-nodes"},
		"no address":      {spoil: func(t *decide.Temp) { t.ExternalIP = false }, want: "players cannot reach it"},
		"none, unread":    {spoil: func(t *decide.Temp) { t.ExternalIP = false }, unread: true, set: func(s *decide.Settings) { s.NeedExternalIP = true }, want: "players cannot reach it"},
		"too little CPU":  {spoil: func(t *decide.Temp) { t.MilliCPU = 400 }, want: "no game server fits there: it has 400m CPU"},
		"too little room": {spoil: func(t *decide.Temp) { t.Memory = 1 << 20 }, want: "no game server fits there"},
	} {
		t.Run(name, func(t *testing.T) {
			f := down(made("a", v1.Creating, time.Minute))
			f.Status.Lost = &v1.LostServers{Sizes: []v1.Size{
				{CPU: v1.Milli(2000), Memory: v1.Bytes(1 << 30), Count: 1}, {CPU: v1.Milli(500), Memory: v1.Bytes(2 << 30), Count: 1},
			}}
			temp, set := well, settings()
			if tt.spoil != nil {
				tt.spoil(&temp)
			}
			if tt.set != nil {
				tt.set(&set)
			}
			vm := vm
			if tt.unread {
				vm = decide.VM{Err: "the cloud is away"}
			}
			p := decide.Decide(&set, &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: temp, VM: vm}, noon)
			c := meta.FindStatusCondition(p.Status.Conditions, v1.NodeJoined)
			if tainted := does(p, decide.Taint); c == nil || tainted != (tt.want == "") || tainted != (p.Status.Phase == v1.Active) || !tainted && (c.Reason != "NotFit" || !strings.Contains(c.Message, tt.want)) {
				t.Errorf("%s, tainted %v: %+v", p.Status.Phase, tainted, c)
			}
		})
	}
}

// Why a node whose kubelet reports is not tainted says nothing of a VM, which is
// there by then.
func TestReportingWithVM(t *testing.T) {
	f := down(made("a", v1.Active, time.Hour))
	st, p := decided(&decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n", Reports: true}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running})
	c := meta.FindStatusCondition(st.Conditions, v1.TaintApplied)
	if c == nil || c.Reason != "KubeletAlive" || strings.Contains(c.Message, "VM") || does(p, decide.Taint) {
		t.Errorf("%+v, %v", c, p.Actions)
	}
}

// A failover that has replaced another one, and whose larger VM others share, gets
// as large a one again.
func TestSharersNeedTheirRoomAgain(t *testing.T) {
	old, f, sharer := made("old", v1.Completed, 20*time.Hour), down(made("a", v1.Creating, time.Hour)), down(made("sharer", v1.Active, time.Hour))
	old.Status.VM.MachineType = "n2-standard-4"
	f.Spec.Replaces, f.Status.VM, f.Status.GCPVMName = "old", nil, ""
	f.Status.Lost = &v1.LostServers{Load: v1.Load{GameServers: 1, CPU: v1.Milli(500)}}
	sharer.Spec.OnpremNodeName, sharer.Status.VM, sharer.Status.GCPVMName, sharer.Status.SharesWith = "worker-2", nil, "", "a"
	for cpu, want := range map[int64]string{500: "n2-standard-4", 4000: "n2-standard-8"} {
		sharer.Status.Lost = &v1.LostServers{Load: v1.Load{GameServers: 1, CPU: v1.Milli(cpu)}}
		st, _ := decided(&decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: []v1.NodeFailover{*old, *sharer}})
		if st.VM == nil || st.VM.MachineType != want {
			t.Errorf("a sharer of %d: %+v", cpu, st.VM)
		}
	}
}

// A failover and the one that replaces it are one for the limit.
func TestReplacedCountsOnce(t *testing.T) {
	old, next := made("old", v1.Draining, 20*time.Hour), made("next", v1.Active, time.Hour)
	next.Spec.Replaces = "old"
	f := down(made("a", v1.Pending, time.Hour))
	f.Spec.OnpremNodeName, f.Status.VM = "worker-2", nil
	set := settings()
	set.MaxFailovers = 2
	p := decide.Decide(&set, &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: []v1.NodeFailover{*old, *next}}, noon)
	if p.Status.Phase != v1.Creating {
		t.Errorf("%s: %+v", p.Status.Phase, p.Status.Conditions)
	}
}

// A storm that holds back the taint of a failover under way is told of.
func TestStormOfAnActiveOne(t *testing.T) {
	f := down(made("a", v1.Active, time.Minute))
	f.Status.NotReadySince = ago(time.Minute)
	st, p := decided(&decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running, Nodes: dead(4)})
	if c := meta.FindStatusCondition(st.Conditions, v1.TaintApplied); c == nil || c.Reason != "Storm" || does(p, decide.Taint) {
		t.Errorf("%+v, %v", c, p.Actions)
	}
}

// Whoever makes a failover by hand can write anything into its record.
func TestRecordWithRubbish(t *testing.T) {
	f := &v1.NodeFailover{Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
	f.Finalizers = []string{v1.Finalizer}
	st, _ := decided(&decide.State{Failover: f, Record: &decide.Record{UID: "n", FailedAt: noon, Labels: map[string]string{
		"hardware": "game-runner", "rack": "x --anonymous-auth=true", "a b": "c",
	}}})
	if got := st.Recorded.Labels; len(got) != 1 || got["hardware"] != "game-runner" {
		t.Errorf("%q", got)
	}
}

// Two failovers of a node that nobody watches: the one that goes hides and shows
// nothing while the other one goes on.
func TestOneOfTwoGoesQuietly(t *testing.T) {
	lead, f := down(made("lead", v1.Active, time.Hour)), down(made("a", v1.Draining, time.Hour))
	f.Spec.Replaces, f.Status.DrainStartedAt, f.DeletionTimestamp = "lead", ago(time.Minute), &metav1.Time{Time: noon}
	s := &decide.State{
		Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true}, VM: running,
		Servers: []decide.Server{{Name: "gs", Node: "worker-1", State: "Allocated", Hidden: true}}, Siblings: []v1.NodeFailover{*lead},
	}
	if _, p := decided(s); does(p, decide.ShowServer) {
		t.Errorf("%v", p.Actions)
	}
	s.Siblings[0].Status.Phase = v1.Draining
	if _, p := decided(s); !does(p, decide.ShowServer) {
		t.Errorf("alone: %v", p.Actions)
	}
}

// A failover whose VM is gone makes no other one while its replacement makes
// its own, and leaves when that one has taken over.
func TestNoVMBesidesTheReplacement(t *testing.T) {
	f, next := down(made("a", v1.Creating, 25*time.Hour)), down(made("next", v1.Creating, time.Minute))
	f.Status.VM, f.Status.GCPVMName, next.Spec.Replaces = nil, "", "a"
	s := &decide.State{Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: []v1.NodeFailover{*next}}
	if st, p := decided(s); st.VM != nil || p.Wake.IsZero() {
		t.Errorf("it is made all the same: %v, again at %v", p.Actions, p.Wake)
	}
	s.Siblings[0].Status.Phase, s.Siblings[0].Status.ActiveAt = v1.Active, ago(0)
	if st, p := decided(s); st.VM != nil || st.Phase != v1.Completed {
		t.Errorf("%s, %v", st.Phase, p.Actions)
	}
	s.Siblings = nil
	if st, _ := decided(s); st.VM == nil {
		t.Error("alone it makes none")
	}
}

// What hangs is told of once, and is no reason for a status that changes at
// each look.
func TestHungOnce(t *testing.T) {
	f := made("a", v1.Draining, 9*time.Hour)
	f.Status.DrainStartedAt = ago(4 * time.Hour)
	s := &decide.State{
		Failover: f, Node: decide.Node{Health: decide.Ready, UID: "n"}, Temp: decide.Temp{Exists: true, Ready: true, Cordoned: true}, VM: running,
		Servers: []decide.Server{{Name: "gs", Node: "vm-a", State: "Allocated", Deleting: true}, {Name: "refused", Node: "vm-a", State: "Allocated"}},
	}
	f.Status, _ = decided(s)
	f.Status, _ = decided(s)
	hung := func(e decide.Event) bool { return e.Reason == "Hung" }
	if _, p := decided(s); p.Status != nil || slices.ContainsFunc(p.Events, hung) || !does(p, decide.DeleteVM) {
		t.Errorf("%v, %v, changed %v", p.Actions, p.Events, p.Status != nil)
	}
}

func ExampleDecide() {
	set := settings()
	f := down(made("a", v1.Active, time.Minute))
	p := decide.Decide(&set, &decide.State{
		Failover: f, Node: decide.Node{Health: decide.NotReady, UID: "n"}, VM: running,
		Temp: decide.Temp{Exists: true, Ready: true, Labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp"}},
	}, noon)
	fmt.Println(p.Actions)
	// Output: [Taint worker-1]
}
