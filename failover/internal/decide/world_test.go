package decide_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

// world is a cluster, a cloud and a controller in memory. It persists and acts
// as the controller does, keeps its own truth about what players would feel,
// and notes every breach of a promise.
type world struct {
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
	spent     map[types.UID]int64 // what VMs that are gone have cost (millionths)
	turned    bool                // the clock was: what a VM has cost by then is not known
	requests  map[string]string   // request id → zone/name
	tokens    map[string]time.Time

	records   map[types.UID]*decide.Record
	stale     map[string]server // what the controller believes of the servers; nil: the truth
	memory    map[string]bool   // tokens whose secret half the controller knows
	viewSince time.Time
	skips     []decide.Skip
	serial    int
	changes   int // of what is stored: more of them make the controller look again

	faults  faults
	breach  []string
	log     []string
	crashIn int // writes until the controller crashes; 0 never
	crashed error
}

type faults struct {
	create     map[string]decide.Result // by zone or machine type; "*" any
	createLost bool                     // committed, but the answer is lost
	get        bool                     // the cloud's reads fail
	neverJoins bool
	fence      bool // the webhook refuses
	writes     bool // the API server refuses writes
}

type node struct {
	name      string
	uid       types.UID
	health    decide.Health
	downSince time.Time
	labels    map[string]string
	taint     string // "", "ours" or "foreign"
}

type temp struct {
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
		Grace: 30 * time.Second, Stability: time.Minute, MaxWait: 3 * time.Hour, Settle: 3 * time.Second, JoinTimeout: 10 * time.Minute,
		MaxAttempts: 3, Backoff: 10 * time.Second, BackoffMax: 2 * time.Minute, ExhaustedPause: 10 * time.Minute,
		Poll: 2 * time.Second, Watch: 30 * time.Second, MaxFailovers: 5, MaxVMs: 5, StormNodes: 4, StormShare: 0.5, StormGrace: 5 * time.Minute,
		Lifetime: 24 * time.Hour, ReplaceLead: 4 * time.Hour, KeepCompleted: 72 * time.Hour,
		Fencing: decide.FenceNone, NamePrefix: "gcp-temp-", Zones: []string{"zone-a", "zone-b"},
		Machines:   []decide.Machine{{Type: "n2-standard-4", MilliCPU: 3500, Memory: 14 << 30, MilliCost: 190}, {Type: "n2-standard-8", MilliCPU: 7500, Memory: 29 << 30, MilliCost: 380}},
		MaxServers: 100,
		TempLabels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp"},
		CopyLabels: []string{"hardware"},
	}
}

func newWorld() *world {
	t0 := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	return &world{
		set: settings(), cpu: 500, spent: map[types.UID]int64{}, now: t0, start: t0, viewSince: t0,
		nodes: map[string]*node{}, temps: map[string]*temp{}, servers: map[string]*server{},
		vms: map[string]*machine{}, requests: map[string]string{}, tokens: map[string]time.Time{}, memory: map[string]bool{}, records: map[types.UID]*decide.Record{},
		faults: faults{create: map[string]decide.Result{}},
	}
}

func (w *world) say(format string, args ...any) {
	at := w.now.Sub(w.start).Round(10 * time.Millisecond)
	w.log = append(w.log, fmt.Sprintf("%8s  %s", at, fmt.Sprintf(format, args...)))
}

func (w *world) broken(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	w.breach = append(w.breach, s)
	w.say("BREACH %s", s)
}

func (w *world) next(kind string) types.UID {
	w.serial++
	return types.UID(fmt.Sprintf("%s-%d", kind, w.serial))
}

// watch makes the failovers, as the watcher does.
func (w *world) watch() {
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
		w.records[f.UID] = &decide.Record{UID: n.uid, Labels: maps.Clone(n.labels), FailedAt: w.now}
		w.changes++
		w.failovers = append(w.failovers, f)
		w.say("%s: failover made", name)
	}
}

func (w *world) open(node string) bool {
	return slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool {
		return f.Spec.OnpremNodeName == node && !f.Spec.Drill && f.Status.Phase != v1.Completed
	})
}

// state observes, as the controller does.
func (w *world) state(f *v1.NodeFailover) *decide.State {
	s := &decide.State{Failover: f.DeepCopy(), ViewSince: w.viewSince, Skips: w.skips, Record: w.records[f.UID]}
	w.serial++
	s.FreshTokenID = fmt.Sprintf("tok%03d", w.serial)
	if n := w.nodes[f.Spec.OnpremNodeName]; n != nil && n.health != decide.Gone {
		s.Node = decide.Node{Health: n.health, UID: n.uid, Labels: maps.Clone(n.labels), Tainted: n.taint != "", Watched: n.labels["node-type"] == "onpremise"}
	}
	for _, n := range w.nodes {
		if n.labels["node-type"] == "onpremise" && n.health != decide.Gone {
			s.Watched++
			if n.health == decide.NotReady {
				s.Down++
			}
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
		s.Temp = decide.Temp{Exists: true, UID: t.uid, Ready: t.ready, Cordoned: t.cordoned, Uninitialised: t.uninit, Labels: maps.Clone(t.labels)}
	}
	if vm := f.Status.VM; vm != nil {
		s.VM = w.look(cloud.Ref{Name: f.Status.GCPVMName, Zone: vm.Zone}, f.UID)
		if n := len(vm.TokenIDs); n > 0 {
			s.TokenInMemory = w.memory[vm.TokenIDs[n-1]]
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
			size := v1.Size{CPU: *resource.NewMilliQuantity(sv.cpu, resource.DecimalSI), Memory: *resource.NewQuantity(memory(sv.cpu), resource.BinarySI), Count: 1}
			if i := slices.IndexFunc(lost.Sizes, func(z v1.Size) bool { return z.CPU.Equal(size.CPU) }); i >= 0 {
				lost.Sizes[i].Count++
			} else {
				lost.Sizes = append(lost.Sizes, size)
			}
		}
	}
	lost.CPU = *resource.NewMilliQuantity(cpu, resource.DecimalSI)
	lost.Memory = *resource.NewQuantity(bytes, resource.BinarySI)
	s.Lost = lost
	return s
}

func (w *world) deleted(f *v1.NodeFailover) bool {
	return f.DeletionTimestamp != nil && len(f.Finalizers) == 0
}

func (w *world) look(r cloud.Ref, owner types.UID) decide.VM {
	m := w.vms[r.Zone+"/"+r.Name]
	switch {
	case w.faults.get:
		return decide.VM{Err: "503 from the cloud"}
	case m == nil:
		return decide.VM{Known: decide.Absent}
	case m.foreign || m.owner != owner:
		return decide.VM{Known: decide.Foreign}
	}
	return decide.VM{Known: decide.Present, Instance: cloud.Instance{
		Ref: r, State: m.state, ProviderID: "gce://p/" + r.Zone + "/" + r.Name, InternalIP: "10.0.0.9", ExternalIP: "203.0.113.9",
	}}
}

// run lets the controller look at one failover once, and returns when it wants
// to look again.
func (w *world) run(f *v1.NodeFailover) (wake time.Time) {
	s := w.state(f)
	done := map[string]bool{}
	for range 6 {
		p := decide.Decide(&w.set, s, w.now)
		if again := decide.Decide(&w.set, s, w.now); len(again.Actions) != len(p.Actions) {
			w.broken("Decide is not pure")
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
		before := fmt.Sprint(s.Created, s.Fenced, s.TokensDeleted)
		for _, a := range p.Actions {
			if done[a.String()] {
				continue
			}
			done[a.String()] = true
			if !w.write(a.String()) {
				return w.now.Add(time.Second)
			}
			w.say("%s: %s", f.Spec.OnpremNodeName, a)
			if !w.act(f, a, s) {
				return w.now.Add(time.Second)
			}
		}
		if p.LookAtPods {
			n := 0
			for _, sv := range w.servers {
				if sv.Node == f.Status.GCPVMName {
					n++
				}
			}
			s.PodsOnTemp = &n
			continue
		}
		if before == fmt.Sprint(s.Created, s.Fenced, s.TokensDeleted) {
			break
		}
	}
	return wake
}

// write counts the writes, and crashes the controller before the one it is told.
func (w *world) write(what string) bool {
	if w.faults.writes {
		return false
	}
	if w.crashIn > 0 {
		w.crashIn--
		if w.crashIn == 0 {
			w.say("CRASH before %s", what)
			w.crashed = errCrash
			clear(w.memory)
			w.viewSince = w.now
			return false
		}
	}
	return true
}

// persist stores a status. A look that the cloud did not answer is no change.
func (w *world) persist(f *v1.NodeFailover, old, status v1.NodeFailoverStatus) {
	if old.Phase != status.Phase {
		w.say("%s: %s → %s", f.Spec.OnpremNodeName, cmpOr(old.Phase, "new"), status.Phase)
	}
	w.changes++
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
func (w *world) act(f *v1.NodeFailover, a decide.Action, s *decide.State) bool {
	w.drillMay(f, a)
	switch a.Kind {
	case decide.AddFinalizer:
		w.changes++
		f.Finalizers = []string{v1.Finalizer}
	case decide.RemoveFinalizer:
		if f.Status.Phase != v1.Completed {
			w.broken("finalizer removed in phase %s", f.Status.Phase)
		}
		f.Finalizers = nil
		w.changes++
	case decide.DeleteFailover:
		f.DeletionTimestamp = &metav1.Time{Time: w.now}
	case decide.CreateToken:
		if !slices.Contains(f.Status.VM.TokenIDs, a.ID) {
			w.broken("token %s made before it was persisted", a.ID)
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
	case decide.Cordon:
		w.temps[a.Node].cordoned = true
		w.changes++
	case decide.Uncordon:
		w.temps[a.Node].cordoned = false
		w.changes++
	case decide.DeleteNode:
		if t := w.temps[a.Node]; t != nil && t.uid == a.UID {
			if t.vm.state != "" && w.vms[t.vm.spec.Zone+"/"+t.vm.spec.Name] != nil {
				w.broken("Node %s deleted while its VM exists", a.Node)
			}
			w.removeTemp(a.Node)
		}
	case decide.Fence:
		s.Fenced = decide.Accepted
		if w.faults.fence {
			s.Fenced, s.FenceErr = decide.Unclear, "the webhook says no"
		}
	case decide.Taint:
		return w.taint(f, a)
	case decide.Untaint:
		n := w.nodes[a.Node]
		if n.taint == "foreign" {
			w.broken("a foreign taint on %s is removed", a.Node)
		}
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
	case decide.CreateReplacement:
		w.another(f, f.Name+"-r", v1.NodeFailoverSpec{Replaces: f.Name, Adds: f.Leader(), Share: f.Spec.Share})
	case decide.CreateAdded:
		w.another(f, a.ID, v1.NodeFailoverSpec{Adds: f.Name, Share: a.Share})
	default:
		w.broken("unknown action %s", a)
	}
	return true
}

func (w *world) another(f *v1.NodeFailover, name string, spec v1.NodeFailoverSpec) {
	for _, o := range w.failovers {
		if o.Name == name && !w.deleted(o) {
			return
		}
	}
	r := &v1.NodeFailover{}
	r.Name, r.UID = name, w.next("failover")
	r.Spec = spec
	r.Spec.OnpremNodeName = f.Spec.OnpremNodeName
	if spec.Adds != "" {
		w.records[r.UID] = &decide.Record{UID: f.Status.Recorded.UID, Labels: f.Status.Recorded.Labels, FailedAt: f.Status.NotReadySince.Time}
	}
	r.Finalizers = []string{v1.Finalizer}
	r.CreationTimestamp = metav1.Time{Time: w.now}
	w.changes++
	w.failovers = append(w.failovers, r)
}

func (w *world) create(f *v1.NodeFailover, s *decide.State) {
	st := f.Status
	key := st.VM.Zone + "/" + st.GCPVMName
	if !slices.Contains(f.Finalizers, v1.Finalizer) {
		w.broken("insert without a finalizer")
	}
	tok := st.VM.TokenIDs[len(st.VM.TokenIDs)-1]
	if !w.memory[tok] {
		w.broken("insert with a token whose secret is not known")
	}
	s.Created = decide.Accepted
	if w.requests[st.VM.RequestID] == key {
		return // this very request has been done
	}
	if m := w.vms[key]; m != nil {
		if m.owner != f.UID || m.foreign {
			s.Created, s.CreateErr = decide.Alien, "there is a machine of that name that is not ours"
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
		if m.owner == f.UID {
			w.broken("failover %s gets a second VM beside %s", f.Spec.OnpremNodeName, m.spec.Name)
		}
	}
	w.requests[st.VM.RequestID] = key
	w.vms[key] = &machine{spec: cloud.Ref{Name: st.GCPVMName, Zone: st.VM.Zone}, owner: f.UID, kind: st.VM.MachineType, state: cloud.Creating, created: w.now, token: tok}
	if w.faults.createLost {
		w.faults.createLost = false
		s.Created, s.CreateErr = decide.Unclear, "connection reset"
	}
}

func (w *world) deleteVM(f *v1.NodeFailover) {
	m := w.vms[f.Status.VM.Zone+"/"+f.Status.GCPVMName]
	if m == nil {
		return
	}
	if m.foreign || m.owner != f.UID {
		w.broken("a foreign VM is deleted")
		return
	}
	over := f.Status.DrainStartedAt != nil && !w.now.Before(f.Status.DrainStartedAt.Add(w.set.MaxWait))
	lost := f.Status.VM.GaveUp != ""
	for _, sv := range w.servers {
		if sv.Node == m.spec.Name && sv.InUse() && !over && !lost {
			w.broken("VM %s deleted under %s, which is %s", m.spec.Name, sv.Name, sv.State)
		}
	}
	if m.deleted.IsZero() {
		m.state, m.deleted = cloud.Stopping, w.now
	}
}

func (w *world) taint(f *v1.NodeFailover, a decide.Action) bool {
	n := w.nodes[a.Node]
	switch {
	case n == nil || n.health == decide.Gone || n.uid != a.UID:
		return false // the API server's answer: not found, or a conflict
	case n.taint == "foreign":
		w.broken("a foreign taint on %s is overwritten", a.Node)
	case f.Spec.Adds != "":
		w.broken("%s is tainted by a further failover", a.Node)
	case n.health != decide.NotReady:
		w.broken("%s is tainted while it is Ready", a.Node)
	case w.now.Sub(n.downSince) < w.set.Grace && f.Spec.Replaces == "":
		w.broken("%s is tainted within the grace", a.Node)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(w.temps)), func(t *temp) bool { return t.ready && !t.uninit && !t.drill }) {
		w.broken("%s is tainted before a temporary node is Ready", a.Node)
	}
	n.taint = "ours"
	w.changes++
	return true
}

func (w *world) deleteServer(f *v1.NodeFailover, seen decide.Server) {
	sv := w.servers[seen.Name]
	if sv == nil || sv.UID != seen.UID || fmt.Sprint(sv.rv) != seen.ResourceVersion {
		w.say("%s: refused, %s has changed", f.Spec.OnpremNodeName, seen.Name)
		return
	}
	over := f.Status.DrainStartedAt != nil && !w.now.Before(f.Status.DrainStartedAt.Add(w.set.MaxWait))
	if sv.InUse() && (!over || sv.Node == f.Spec.OnpremNodeName) {
		w.broken("%s is deleted while it is %s", seen.Name, sv.State)
	}
	if n := w.nodes[sv.Node]; n != nil && n.health == decide.Ready {
		w.broken("%s is deleted from %s, which is Ready", seen.Name, sv.Node)
	}
	if sv.Node == f.Spec.OnpremNodeName && f.Spec.Adds != "" {
		w.broken("%s of the dead node is deleted by a further failover", seen.Name)
	}
	delete(w.servers, seen.Name)
	w.changes++
}

func (w *world) removeTemp(name string) {
	delete(w.temps, name)
	w.changes++
	for n, sv := range w.servers {
		if sv.Node == name {
			delete(w.servers, n)
		}
	}
}

// checkCompleted is called when a failover says that it is over.
func (w *world) checkCompleted(f *v1.NodeFailover) {
	// All that it has had is counted, but for the rounding and before a turn of the clock.
	if told := f.Status.Spent.ScaledValue(resource.Micro); !w.turned && told+int64(f.Status.TotalAttempts) < w.spent[f.UID] {
		w.broken("completed: it says that its VMs have cost %d, they have cost %d", told, w.spent[f.UID])
	}
	for _, m := range w.vms {
		if m.owner == f.UID && !m.foreign {
			w.broken("completed, but VM %s exists", m.spec.Name)
		}
	}
	if f.Status.VM != nil {
		if w.temps[f.Status.GCPVMName] != nil {
			w.broken("completed, but Node %s exists", f.Status.GCPVMName)
		}
		for _, id := range f.Status.VM.TokenIDs {
			w.broken("completed, but token %s may exist", id)
		}
	}
}

// evolve lets the cloud and the cluster do what they do by themselves.
func (w *world) evolve() {
	for _, key := range slices.Sorted(maps.Keys(w.vms)) {
		m := w.vms[key]
		age := w.now.Sub(m.created)
		switch {
		case !m.deleted.IsZero() && w.now.Sub(m.deleted) >= ending:
			w.vanish(key)
			if t := w.temps[m.spec.Name]; t != nil {
				t.ready = false
			}
		case m.deleted.IsZero() && m.state == cloud.Creating && age >= boots:
			m.state = cloud.Running
			w.changes++
		}
		made, valid := w.tokens[m.token]
		if m.state == cloud.Running && !m.joined && age >= joins && !w.faults.neverJoins && valid && w.now.Sub(made) <= 15*time.Minute {
			m.joined = true
			w.changes++
			w.temps[m.spec.Name] = &temp{uid: w.next("node"), vm: m, ready: true, uninit: w.set.InitNodes, drill: w.isDrill(m.owner), labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"}}
			w.say("%s joins", m.spec.Name)
		}
	}
	w.evict()
}

// evict does what the taint is for: the dead node's servers are deleted, and
// their fleet makes new ones on a temporary node.
func (w *world) evict() {
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
				w.waiting = append(w.waiting, waiting{node, cpu})
			}
		}
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(s waiting) bool {
		on := w.schedule(s.cpu)
		if n := w.nodes[s.node]; n.health == decide.Ready && n.taint == "" {
			on = s.node
		}
		if on != "" {
			w.place(on, "Ready", s.cpu)
		}
		return on != ""
	})
}

func (w *world) serve(on, state string) string { return w.place(on, state, w.cpu) }

func (w *world) place(on, state string, cpu int64) string {
	uid := w.next("gs")
	w.servers[string(uid)] = &server{Server: decide.Server{Namespace: "games", Name: string(uid), UID: uid, State: state, Node: on, Allocatable: true}, cpu: cpu, rv: 1}
	return string(uid)
}

// advance lets d pass, in steps of what the controller and the world want.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
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
		for round := range 12 { // a change of the state makes the controller look again
			before := w.changes
			for _, f := range slices.Clone(w.failovers) {
				if w.deleted(f) {
					continue
				}
				w.crashed = nil
				t := w.run(f)
				if w.crashed != nil {
					t = w.run(f) // the next leader
				}
				if !t.IsZero() {
					step(t)
				}
			}
			w.evolve()
			w.watch()
			if before == w.changes {
				break
			}
			if round == 11 {
				w.broken("no rest: the controller changes its mind for ever")
			}
		}
		w.count()
		if !w.now.Before(end) {
			return
		}
		w.now = next
	}
}

// count checks what must be true at every instant.
func (w *world) count() {
	vms := 0
	live := map[types.UID]int{}
	for _, m := range w.vms {
		if !m.foreign {
			live[m.owner]++
			vms++
		}
	}
	for uid, n := range live {
		if n > 1 {
			w.broken("%s has %d VMs", uid, n)
		}
	}
	type share struct {
		lead   string
		number int32
	}
	added := map[share]int{}
	for _, f := range w.failovers {
		if f.Spec.Share != nil && f.Spec.Replaces == "" && f.Status.Phase != v1.Completed && f.Status.Phase != v1.Draining {
			added[share{f.Leader(), f.Spec.Share.Number}]++
		}
	}
	for s, n := range added {
		if n > 1 {
			w.broken("%d failovers for VM %d of %s", n, s.number, s.lead)
		}
	}
	if vms > w.set.MaxVMs {
		w.broken("%d VMs, the limit is %d", vms, w.set.MaxVMs)
	}
}
