package decide_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// waiting is a game server of a dead node that fits on no temporary node.
type waiting struct {
	node string
	cpu  int64
	// by is the failover that withdrew it from a node that is drained, and at when.
	by types.UID
	at time.Time
}

// memory is what a server requests besides cpu: 2 GiB for each core.
func memory(cpu int64) int64 { return cpu << 30 / 500 }

// led reports whether there is an open failover for a node that is no drill and
// has no parent.
func (w *harness) led(node string) bool {
	return slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool {
		return f.Spec.OnpremNodeName == node && f.Spec.ParentFailover == "" && !f.Spec.Drill && f.Status.Phase != v1.Completed && !w.deleted(f)
	})
}

// vanish removes a VM.
func (w *harness) vanish(key string) {
	m := w.vms[key]
	w.spent[m.owner] += int64(float64(w.price(m.kind)) * 1000 * w.now.Sub(m.created).Hours())
	delete(w.vms, key)
	w.changes++
}

// schedule is a temporary node with room, if there is one.
func (w *harness) schedule(cpu int64) string {
	for _, t := range slices.Sorted(maps.Keys(w.temps)) {
		room, count := w.capacity(w.temps[t].vm.kind)-cpu, int32(1)
		for _, s := range w.servers {
			if s.Node == t {
				room -= s.cpu
				count++
			}
		}
		if tn := w.temps[t]; tn.ready && !tn.uninit && len(tn.taints) == 0 && !tn.cordoned && !tn.drill && room >= 0 && count <= w.set.MaxServers {
			return t
		}
	}
	return ""
}

// capacity of a type of VM; its memory is never the shorter one.
func (w *harness) capacity(kind string) int64 { return w.kind(kind).MilliCPU }

func (w *harness) price(kind string) int64 { return w.kind(kind).MilliCost }

func (w *harness) kind(kind string) decide.MachineType {
	i := slices.IndexFunc(w.set.MachineTypes, func(m decide.MachineType) bool { return m.Name == kind })
	return w.set.MachineTypes[i]
}

// settle ends all faults but those of the nodes, and looks whether what they
// have lost is served.
func (w *harness) settle() {
	w.faults = faults{create: map[string]decide.Result{}}
	w.stale, w.crashIn = nil, 0
	for _, f := range w.failovers {
		f.Annotations = nil
	}
	w.say("-- only the nodes are down")
	w.advance(25 * time.Minute)
	w.served()
}

// served checks that all that was lost has room on the VMs, or that whoever
// has none says why. It packs by trying, with no regard to shares.
func (w *harness) served() {
	waits := map[string]bool{} // nodes
	var rooms, servers []int64
	for _, f := range w.failovers {
		switch f.Status.Phase {
		case v1.Pending, v1.Creating, "":
			waits[f.Spec.OnpremNodeName] = true
			n := w.nodes[f.Spec.OnpremNodeName]
			told := f.Status.SharesWith != "" || slices.ContainsFunc(f.Status.Conditions, func(c metav1.Condition) bool {
				return c.Type == v1.VMCreated || c.Type == v1.Admitted && c.Status == metav1.ConditionFalse
			})
			if n.health == decide.NotReady && w.now.Sub(n.downSince) > time.Minute && !w.deleted(f) {
				w.must(saysWhy, told, "failover %s is %s and does not say why: %v", f.Name, f.Status.Phase, f.Status.Conditions)
			}
		case v1.Active, v1.Recovering:
			temp := f.Status.GCPVMName
			for _, o := range w.failovers {
				if o.Name == f.Status.SharesWith && !w.deleted(o) {
					temp = o.Status.GCPVMName
				}
			}
			if t := w.temps[temp]; t == nil || !t.ready || len(t.taints) > 0 || t.noIP {
				waits[f.Spec.OnpremNodeName] = true // its condition NodeJoined tells
			} else if f.Status.SharesWith == "" {
				rooms = append(rooms, w.capacity(t.vm.kind))
			}
		}
	}
	for _, f := range w.failovers {
		st := &f.Status
		if st.Phase != v1.Active || f.Spec.ParentFailover != "" || waits[f.Spec.OnpremNodeName] || st.Lost == nil || f.DeletionTimestamp != nil {
			continue
		}
		if n := w.nodes[f.Spec.OnpremNodeName]; n.health == decide.NotReady && w.now.Sub(n.downSince) < time.Minute {
			continue
		}
		for _, z := range st.Lost.Sizes {
			for range z.Count {
				if c := z.CPU.MilliValue(); c <= w.set.MachineTypes[1].MilliCPU {
					servers = append(servers, c)
				}
			}
		}
	}
	slices.SortFunc(servers, func(a, b int64) int { return int(b - a) })
	if len(servers) > 0 {
		w.must(lostIsServed, packs(servers, rooms), "servers of %v have no room on VMs of %v", servers, rooms)
	}
}

func packs(servers, rooms []int64) bool {
	if len(servers) == 0 {
		return true
	}
	for i := range rooms {
		if slices.Contains(rooms[:i], rooms[i]) || rooms[i] < servers[0] {
			continue
		}
		rooms[i] -= servers[0]
		if packs(servers[1:], rooms) {
			return true
		}
		rooms[i] += servers[0]
	}
	return false
}

// TestCrashWithTwoVMs is TestCrashBeforeEveryWrite for a node that needs two.
func TestCrashWithTwoVMs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for _, lost := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newHarness()
			w.cpu = 2000
			w.setNode("worker-1", "ready")
			for range 4 {
				w.serve("worker-1", "Allocated")
			}
			w.faults.createLost = lost
			w.crashIn = n
			w.setNode("worker-1", "notready")
			w.advance(3 * time.Minute)
			w.served()
			if len(w.vms) != 2 || len(w.servers) != 4 || len(w.waiting) > 0 {
				t.Errorf("crash before write %d: %d VMs, %d servers run, %d pend", n, len(w.vms), len(w.servers), len(w.waiting))
			}
			for _, s := range w.servers {
				s.State = "Allocated"
				s.rv++
			}
			w.setNode("worker-1", "ready")
			w.advance(4 * time.Minute)
			if len(w.servers) != 4 || len(w.failovers) != 2 {
				t.Errorf("crash before write %d: %d games go on, in %d failovers", n, len(w.servers), len(w.failovers))
			}
			clear(w.servers)
			over := w.crashIn > 0
			w.advance(2 * time.Minute)
			w.verdict(t)
			if over && w.crashIn > 0 {
				t.Logf("%d writes", n-1)
				if n < 30 {
					t.Errorf("only %d writes: these are not two whole failovers", n-1)
				}
				break
			}
		}
	}
}

// TestPack compares the plan with what trying finds.
func TestPack(t *testing.T) {
	for name, tt := range map[string]struct {
		servers []int64
		want    string
	}{
		"nothing":             {nil, "[]"},
		"one VM":              {[]int64{3500, 3500, 500}, "[]"},
		"by the largest":      {[]int64{500, 3500, 500, 3500}, "[7500 500]"},
		"not by the sum":      {[]int64{2500, 2500, 2500, 2500}, "[7500 2500]"},
		"each its own":        {[]int64{4000, 4000, 4000}, "[4000 4000 4000]"},
		"what fits no VM":     {[]int64{8000, 4000}, "[4000]"},
		"nothing fits any VM": {[]int64{8000}, "[0]"},
	} {
		w := newHarness()
		w.setNode("worker-1", "ready")
		for _, w.cpu = range tt.servers {
			w.serve("worker-1", "Allocated")
		}
		w.setNode("worker-1", "notready")
		w.advance(3 * time.Minute)
		got := []int64{}
		for _, l := range w.failovers[0].Status.SharedLoads {
			got = append(got, l.CPU.MilliValue())
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: shares %v, want %s", name, got, tt.want)
		}
		w.served()
		for _, b := range w.breach {
			t.Errorf("%s: %s", name, b)
		}
	}
}

// TestSpent: a failover whose first VM is refused, whose second is preempted
// after an hour and whose third is drained after another has cost two hours.
func TestSpent(t *testing.T) {
	w := newHarness()
	w.setNode("worker-1", "ready")
	w.faults.create["*"] = decide.Quota
	w.setNode("worker-1", "notready")
	w.advance(31 * time.Second)
	f := w.failovers[0]
	if !f.Status.Spent.IsZero() || f.Status.VM != nil {
		t.Errorf("a VM that was refused has cost %s", f.Status.Spent.String())
	}
	w.faults.create = map[string]decide.Result{}
	w.advance(time.Hour)
	if err := w.setVM("preempted"); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Hour)
	w.setNode("worker-1", "ready")
	w.advance(5 * time.Minute)
	w.verdict(t)
	truth, told := w.spent[f.UID], f.Status.Spent.ScaledValue(resource.Micro)
	if f.Status.Phase != v1.Completed || truth < 2*190_000 || told < truth || told > truth+truth/100 {
		t.Errorf("%s: two VMs have cost %d, it says %d", f.Status.Phase, truth, told)
	}
	later := f.Status.Spent.Quantity.DeepCopy()
	w.advance(time.Hour)
	if !later.Equal(f.Status.Spent.Quantity) {
		t.Error("it goes on counting")
	}
}
