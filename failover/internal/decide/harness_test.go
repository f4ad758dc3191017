package decide_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/join"
	"torikumi/pkg/statediagram"
)

// harness is a cluster, a cloud and a controller in memory. It persists and acts
// as the controller does, keeps its own truth about what players would feel,
// and notes every breach of a promise.
type harness struct {
	set   decide.Settings
	now   time.Time
	start time.Time

	failovers []*v1.NodeFailover // as stored; completed ones without finalizer stay
	nodes     map[string]*node
	temps     map[string]*temp
	servers   map[string]*server
	vms       map[string]*machine // by name and zone
	waiting   []waiting           // game servers that pend
	cpu       int64               // what each new server requests (milli)
	batches   map[types.UID]batch // of servers that were withdrawn, by failover
	spent     map[types.UID]int64 // what VMs that are gone have cost (millionths)
	turned    bool                // the clock was: what a VM has cost by then is not known
	requests  map[string]string   // request id → zone/name
	tokens    map[string]time.Time

	records         map[types.UID]*decide.Record
	stale           map[string]server // what the controller believes of the servers; nil: the truth
	memory          map[string]bool   // tokens whose secret half the controller knows
	apiHealthySince time.Time
	skips           []decide.Skip
	looked          map[types.UID]looked
	hindered        time.Time // when somebody or something last kept the controller from acting
	serial          int
	changes         int // of what is stored: more of them make the controller look again

	faults  faults
	phases  []statediagram.Transition // that were persisted
	checked map[invariant]int         // how often each was looked at
	vmsMade int
	drained map[types.UID]drained
	probes  map[types.UID]*probe // pods of drills
	pods    map[string]*pod      // others, on temporary nodes
	version decide.Versions
	fenced  map[types.UID]time.Time // when the webhook has confirmed last, by failover
	breach  []string
	log     []string
	crashIn int // writes until the controller crashes; 0 never
	crashed error
}

// looked is a look at a failover: the changes that it knew of, and when the
// controller wanted to look again.
type looked struct {
	changes int
	wake    time.Time
}

type faults struct {
	create     map[string]decide.Result // by zone or machine type; "*" any
	createLost bool                     // committed, but the answer is lost
	get        bool                     // the cloud's reads fail
	neverJoins bool
	tokens     bool   // the API server takes none
	unusable   string // how VMs join from now on: tainted, no-address, metadata-open
	noNetwork  string // a zone whose VMs do not join
	fence      bool   // the webhook refuses
	probe      string // what becomes of drills' pods: waits, fails, refused
	writes     bool   // the API server refuses writes
	evict      string // why evictions are refused: budget, two-budgets
	podsHang   bool   // pods that are deleted do not go
	unlisted   bool   // pods can't be listed
}

// probe is the pod of a drill.
type probe struct {
	node string
	made time.Time
}

// pod is one that is no game server's, on a temporary node.
type pod struct {
	node    string
	created time.Time
	deleted time.Time
	refused string // as it was told
	returns bool   // it tolerates the cordon, and is made again at once
}

const ends = 6 * time.Second // from a pod's deletion to its end, which its grace allows twice

const starts = 4 * time.Second // from a probe pod to its container

type node struct {
	name      string
	uid       types.UID
	health    decide.Health
	downSince time.Time
	extra     []corev1.Taint
	planned   bool // somebody works on it
	cordoned  bool
	stuck     bool      // no game starts there
	reports   bool      // its kubelet says so itself
	silent    time.Time // since when it does not
	labels    map[string]string
	taint     string // "", "ours" or "foreign"
}

type temp struct {
	taints   []string
	kubelet  string // its version
	noIP     bool   // no ExternalIP
	uid      types.UID
	vm       *machine
	ready    bool
	cordoned bool
	uninit   bool
	drill    bool // it has registered with a taint: no pod comes
	labels   map[string]string
}

type server struct {
	decide.Server
	cpu int64
	rv  int
}

type machine struct {
	spec    cloud.Ref
	owner   types.UID // failover
	kind    string
	kubelet string // the image's
	foreign bool
	state   cloud.State
	created time.Time
	deleted time.Time
	token   string
	joined  bool
}

const (
	boots  = 20 * time.Second // from the insert to Running
	joins  = 30 * time.Second // from the insert to a Ready Node
	ending = 10 * time.Second // from the deletion to the absence
)

var errCrash = errors.New("crash")

func settings() decide.Settings {
	return decide.Settings{
		Grace: 30 * time.Second, FalseGrace: 5 * time.Minute, FalseStartsVM: true, Stability: time.Minute, StabilityMax: 30 * time.Minute, FlapWindow: 2 * time.Hour, EmptyStartsVM: true, MaxWait: 3 * time.Hour, ReturnTimeout: 15 * time.Minute, EvictTimeout: 10 * time.Minute, Settle: 3 * time.Second, CordonedGrace: 10 * time.Minute, JoinTimeout: 10 * time.Minute, CreateTimeout: time.Minute,
		MaxAttempts: 3, Backoff: 10 * time.Second, BackoffMax: 2 * time.Minute, ExhaustedPause: 10 * time.Minute,
		Poll: 2 * time.Second, Watch: 30 * time.Second, MaxFailovers: 5, MaxVMs: 5, StormNodes: 4, StormShare: 0.5, StormGrace: 5 * time.Minute,
		Lifetime: 24 * time.Hour, ReplaceLead: 4 * time.Hour, KeepCompleted: 72 * time.Hour,
		Fencing: decide.FenceNone, NamePrefix: "gcp-temp-", Zones: []string{"zone-a", "zone-b"},
		MachineTypes: []decide.MachineType{{Name: "n2-standard-4", MilliCPU: 3500, Memory: 14 << 30, MilliCost: 190}, {Name: "n2-standard-8", MilliCPU: 7500, Memory: 29 << 30, MilliCost: 380}},
		MaxServers:   100,
		TempLabels:   map[string]string{"node-type": "gcp-temporary", "node-location": "gcp"},
		CopyLabels:   []string{"hardware"},
	}
}

func newHarness() *harness {
	t0 := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	return &harness{
		set: settings(), cpu: 500, batches: map[types.UID]batch{}, spent: map[types.UID]int64{}, now: t0, start: t0, apiHealthySince: t0,
		nodes: map[string]*node{}, temps: map[string]*temp{}, servers: map[string]*server{},
		vms: map[string]*machine{}, requests: map[string]string{}, tokens: map[string]time.Time{}, memory: map[string]bool{}, records: map[types.UID]*decide.Record{},
		faults: faults{create: map[string]decide.Result{}}, looked: map[types.UID]looked{}, checked: map[invariant]int{}, probes: map[types.UID]*probe{}, pods: map[string]*pod{}, version: decide.Versions{Image: "1.34.4", APIServer: "1.34.6"}, drained: map[types.UID]drained{}, fenced: map[types.UID]time.Time{},
	}
}

func (w *harness) say(format string, args ...any) {
	at := w.now.Sub(w.start).Round(10 * time.Millisecond)
	w.log = append(w.log, fmt.Sprintf("%8s  %s", at, fmt.Sprintf(format, args...)))
}

func (w *harness) next(kind string) types.UID {
	w.serial++
	return types.UID(fmt.Sprintf("%s-%d", kind, w.serial))
}

// watch makes the failovers, as the watcher does.
func (w *harness) watch() {
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		n := w.nodes[name]
		if n.health != decide.NotReady || n.labels["node-type"] != "onpremise" || w.led(name) {
			continue
		}
		f := &v1.NodeFailover{}
		f.Name = decide.Name(name, n.uid, n.downSince.String())
		for _, o := range w.failovers {
			if o.Name == f.Name && !w.deleted(o) { // as the watcher follows on one that has completed
				f.Name = decide.Name(name, n.uid, n.downSince.String()+"/"+string(o.UID))
			}
		}
		f.UID = w.next("failover")
		f.Spec.OnpremNodeName = name
		f.Finalizers = []string{v1.Finalizer}
		f.CreationTimestamp = metav1.Time{Time: w.now}
		w.records[f.UID] = &decide.Record{UID: n.uid, Labels: maps.Clone(n.labels), Taints: slices.Clone(n.extra), Unschedulable: n.cordoned, FailedAt: w.now}
		w.changes++
		w.failovers = append(w.failovers, f)
		w.say("%s: failover made", name)
	}
}

func (w *harness) open(node string) bool {
	return slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool {
		return f.Spec.OnpremNodeName == node && !f.Spec.Drill && f.Status.Phase != v1.Completed
	})
}

// state observes, as the controller does.
func (w *harness) state(f *v1.NodeFailover) *decide.State {
	s := &decide.State{Failover: f.DeepCopy(), APIHealthySince: w.apiHealthySince, Skips: w.skips, Versions: w.version, Record: w.records[f.UID]}
	w.serial++
	s.FreshTokenID = fmt.Sprintf("tok%03d", w.serial)
	if n := w.nodes[f.Spec.OnpremNodeName]; n != nil && n.health != decide.Gone {
		s.Node = decide.Node{Health: n.health, UID: n.uid, Labels: maps.Clone(n.labels), Tainted: n.taint != "", Reports: n.health == decide.NotReady && n.reports, Watched: n.labels["node-type"] == "onpremise", Cordoned: n.cordoned}
	}
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		n := w.nodes[name]
		failed := slices.ContainsFunc(w.failovers, func(o *v1.NodeFailover) bool {
			return o.Spec.OnpremNodeName == name && o.Status.Phase != v1.Completed && !o.Spec.Drill && o.Status.NotReadySince != nil && !w.deleted(o)
		})
		if n.health != decide.Gone && n.labels["node-type"] == "onpremise" || n.health == decide.Gone && failed {
			s.Nodes = append(s.Nodes, decide.WatchedNode{Name: name, Health: n.health, Planned: n.planned || n.cordoned})
		}
	}
	for _, o := range w.failovers {
		if o.UID != f.UID && !w.deleted(o) {
			s.Siblings = append(s.Siblings, *o.DeepCopy())
		}
	}
	vmName := f.Status.GCPVMName
	if f.Status.SharesWith != "" {
		for _, o := range w.failovers {
			if o.Name == f.Status.SharesWith {
				vmName = o.Status.GCPVMName
			}
		}
	}
	if t := w.temps[vmName]; t != nil {
		s.Temp = decide.Temp{Exists: true, UID: t.uid, Ready: t.ready, Cordoned: t.cordoned, Uninitialised: t.uninit, Labels: maps.Clone(t.labels), Taints: t.taints, Kubelet: t.kubelet, ExternalIP: !t.noIP, MilliCPU: w.capacity(t.vm.kind), Memory: 29 << 30}
	}
	if vm := f.Status.VM; vm != nil {
		s.VM = w.look(cloud.Ref{Name: f.Status.GCPVMName, Zone: vm.Zone}, f.UID)
		if n := len(vm.TokenIDs); n > 0 {
			s.TokenInMemory = w.memory[vm.TokenIDs[n-1]]
		}
	}
	for _, sv := range w.servers {
		if sv.State == "Ready" || sv.InUse() {
			s.Running++
		}
	}
	lost, cpu, bytes := &v1.LostServers{}, int64(0), int64(0)
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		sv := *w.servers[name]
		if old, ok := w.stale[name]; ok {
			sv = old
		}
		if sv.Node == f.Spec.OnpremNodeName || (vmName != "" && sv.Node == vmName) {
			v := sv.Server
			v.ResourceVersion = fmt.Sprint(sv.rv)
			s.Servers = append(s.Servers, v)
		}
		if sv.Node == f.Spec.OnpremNodeName {
			lost.GameServers++
			cpu, bytes = cpu+sv.cpu, bytes+memory(sv.cpu)
			size := v1.Size{CPU: v1.Milli(sv.cpu), Memory: v1.Bytes(memory(sv.cpu)), Count: 1}
			if i := slices.IndexFunc(lost.Sizes, func(z v1.Size) bool { return z.CPU.Cmp(size.CPU.Quantity) == 0 }); i >= 0 {
				lost.Sizes[i].Count++
			} else {
				lost.Sizes = append(lost.Sizes, size)
			}
		}
	}
	if lost.GameServers > 0 && f.Spec.Drill && f.Status.Lost == nil {
		s.Probe = &v1.Probe{Image: "game", RuntimeClassName: "kata"}
	}
	if p := w.probes[f.UID]; p != nil {
		t := w.temps[p.node]
		runs := w.faults.probe == "" && t != nil && t.ready && w.now.Sub(p.made) >= starts
		s.ProbePod = decide.ProbePod{Exists: true, Started: runs, Failed: w.faults.probe == "fails" && w.now.Sub(p.made) >= starts}
		if !runs {
			s.ProbePod.Waiting = "ContainerCreating: no runtime for kata is configured"
		}
	}
	lost.CPU = v1.Milli(cpu)
	lost.Memory = v1.Bytes(bytes)
	s.Lost = lost
	if w.faults.unlisted && !f.Spec.Drill {
		s.Lost, s.LostErr = nil, unlisted
	}
	return s
}

func (w *harness) deleted(f *v1.NodeFailover) bool {
	return f.DeletionTimestamp != nil && len(f.Finalizers) == 0
}

func (w *harness) look(r cloud.Ref, owner types.UID) decide.VM {
	m := w.vms[r.Zone+"/"+r.Name]
	switch {
	case w.faults.get:
		return decide.VM{Err: "503 from the cloud"}
	case m == nil:
		return decide.VM{Presence: decide.VMAbsent}
	case m.foreign || m.owner != owner:
		return decide.VM{Presence: decide.VMForeign}
	}
	return decide.VM{Presence: decide.VMPresent, Instance: cloud.Instance{
		Ref: r, State: m.state, ProviderID: "gce://p/" + r.Zone + "/" + r.Name, InternalIP: "10.0.0.9", ExternalIP: "203.0.113.9",
	}}
}

// evolve lets the cloud and the cluster do what they do by themselves.
func (w *harness) evolve() {
	if w.faults.writes || w.faults.get || slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool { return f.On(v1.PausedAnnotation) }) {
		w.hindered = w.now
	}
	for _, key := range slices.Sorted(maps.Keys(w.vms)) {
		m := w.vms[key]
		age := w.now.Sub(m.created)
		switch {
		case !m.deleted.IsZero() && w.now.Sub(m.deleted) >= ending:
			w.vanish(key)
			if t := w.temps[m.spec.Name]; t != nil {
				t.ready = false
			}
		case m.deleted.IsZero() && !m.foreign && m.state != cloud.Stopped && age >= w.set.MaxRun():
			for _, sv := range w.servers {
				if sv.Node == m.spec.Name && m.created.After(w.hindered) {
					w.must(gamesGoOn, !sv.InUse(), "the cloud ends VM %s under %s, which is %s", m.spec.Name, sv.Name, sv.State)
				}
			}
			m.state = cloud.Stopped
			if t := w.temps[m.spec.Name]; t != nil {
				t.ready = false
			}
			w.changes++
		case m.deleted.IsZero() && m.state == cloud.Creating && age >= boots:
			m.state = cloud.Running // which nobody tells the controller
		}
		made, valid := w.tokens[m.token]
		if m.state == cloud.Running && !m.joined && age >= joins && !w.faults.neverJoins && w.faults.noNetwork != m.spec.Zone && valid && w.now.Sub(made) <= w.set.JoinTimeout {
			m.joined = true
			w.changes++
			w.temps[m.spec.Name] = &temp{uid: w.next("node"), vm: m, ready: true, uninit: w.set.InitNodes, drill: w.isDrill(m.owner), kubelet: m.kubelet, labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"}}
			switch w.faults.unusable {
			case "tainted":
				w.temps[m.spec.Name].taints = []string{"studio/not-yet"}
			case "no-address":
				w.temps[m.spec.Name].noIP = true
			case "metadata-open":
				w.temps[m.spec.Name].labels[join.MetadataOpenLabel] = "true"
			}
			w.say("%s joins", m.spec.Name)
		}
	}
	w.evict()
	w.endPods()
}

// evict does what the taint is for: the dead node's servers are deleted, and
// their fleet makes new ones on a temporary node.
func (w *harness) evict() {
	for _, node := range slices.Sorted(maps.Keys(w.nodes)) {
		n := w.nodes[node]
		if n.taint == "" && n.health != decide.Gone {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(w.servers)) {
			if w.servers[name].Node != n.name {
				continue
			}
			cpu := w.servers[name].cpu
			delete(w.servers, name)
			w.changes++
			if temp := w.schedule(cpu); temp != "" {
				w.place(temp, "Ready", cpu)
			} else if w.schedule(0) != "" {
				w.waiting = append(w.waiting, waiting{node: node, cpu: cpu})
			}
		}
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(s waiting) bool {
		on := w.schedule(s.cpu)
		if n := w.nodes[s.node]; n.health == decide.Ready && n.taint == "" && !n.stuck {
			on = s.node
		}
		if on != "" {
			w.place(on, "Ready", s.cpu)
		}
		return on != ""
	})
}

func (w *harness) serve(on, state string) string { return w.place(on, state, w.cpu) }

func (w *harness) place(on, state string, cpu int64) string {
	uid := w.next("gs")
	w.servers[string(uid)] = &server{Server: decide.Server{Namespace: "games", Name: string(uid), UID: uid, State: state, Node: on, Allocatable: true}, cpu: cpu, rv: 1}
	return string(uid)
}

// advance lets d pass, in steps of what the controller and the harness want.
func (w *harness) advance(d time.Duration) {
	end := w.now.Add(d)
	w.changes++             // whatever the test has done before
	for len(w.breach) < 5 { // a world that is broken so often goes on for ever
		w.evolve()
		next := end
		step := func(t time.Time) {
			if t.After(w.now) && t.Before(next) {
				next = t
			}
		}
		w.watch()
		for _, m := range w.vms {
			if !m.deleted.IsZero() || !m.joined && w.now.Sub(m.created) < time.Minute {
				step(w.now.Add(2 * time.Second))
			}
		}
		// A change of the state makes the controller look again. Each zone and machine
		// type may refuse for several nodes at one instant.
		rounds := 12 + 3*len(w.set.Zones)*len(w.set.MachineTypes)
		for round := range rounds {
			before := w.changes
			for _, f := range slices.Clone(w.failovers) {
				if w.deleted(f) {
					continue
				}
				// Without a change, the controller looks again when it wanted to.
				if last, ok := w.looked[f.UID]; ok && last.changes == w.changes && (last.wake.IsZero() || w.now.Before(last.wake)) {
					if !last.wake.IsZero() {
						step(last.wake)
					}
					continue
				}
				seen := w.changes
				w.crashed = nil
				t := w.run(f)
				if w.crashed != nil {
					t = w.run(f) // the next leader
				}
				w.looked[f.UID] = looked{seen, t}
				if !t.IsZero() {
					step(t)
				}
			}
			w.evolve()
			w.watch()
			if before == w.changes {
				break
			}
			w.must(rests, round < rounds-1, "no rest: the controller changes its mind for ever")
		}
		w.count()
		if !w.now.Before(end) {
			return
		}
		w.now = next
	}
}

// count checks what must be true at every instant.
func (w *harness) count() {
	vms := 0
	live := map[types.UID]int{}
	for _, m := range w.vms {
		if !m.foreign {
			live[m.owner]++
			vms++
		}
	}
	for uid, n := range live {
		w.must(oneVM, n == 1, "%s has %d VMs", uid, n)
	}
	type share struct {
		lead   string
		number int32
	}
	added := map[share]int{}
	for _, f := range w.failovers {
		if f.Spec.SharedLoad != nil && f.Spec.Replaces == "" && f.Status.Phase != v1.Completed && f.Status.Phase != v1.Draining {
			added[share{f.Parent(), f.Spec.SharedLoad.Number}]++
		}
	}
	for s, n := range added {
		w.must(oneForEachVM, n == 1, "%d failovers for VM %d of %s", n, s.number, s.lead)
	}
	w.allocatable()
	cost := int64(0)
	for _, m := range w.vms {
		if !m.foreign {
			cost += w.price(m.kind)
		}
	}
	if vms > 0 && w.set.MaxMilliCost > 0 {
		w.must(withinBudget, cost <= w.set.MaxMilliCost, "VMs cost %d an hour, the limit is %d", cost, w.set.MaxMilliCost)
	}
	if vms > 0 {
		w.must(withinBudget, vms <= w.set.MaxVMs, "%d VMs, the limit is %d", vms, w.set.MaxVMs)
	}
}

// allocatable checks that nobody can be sent to a node that is not Ready, unless
// somebody has kept the controller from acting.
func (w *harness) allocatable() {
	if w.now.Sub(w.hindered) < 5*time.Second || w.stale != nil || w.faults.writes {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		sv := w.servers[name]
		n, t := w.nodes[sv.Node], w.temps[sv.Node]
		if n != nil && n.health == decide.NotReady && n.labels["node-type"] == "onpremise" || t != nil && !t.ready {
			w.must(nobodyToTheDead, !sv.Allocatable || sv.Deleting, "players can be sent to %s on %s, which is not Ready", name, sv.Node)
		}
	}
}
