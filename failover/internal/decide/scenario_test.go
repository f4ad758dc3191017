package decide_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/pkg/statediagram"
)

var update = flag.Bool("update", false, "write what happens into the scenario files")

// TestScenarios plays the scenarios in testdata. A file is a script, one command
// a line, and what the harness logs while it is played. Together they go through
// each phase transition that the docs draw, and no other. The table of phases is
// what the docs draw.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	var phases []statediagram.Transition
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			phases = append(phases, scenario(t, file).phases...)
		})
	}
	t.Run("phases", func(t *testing.T) { statediagram.Check(t, phasesDoc, phasesHeading, phases) })
	t.Run("table", func(t *testing.T) { statediagram.Check(t, phasesDoc, phasesHeading, table()) })
}

// table is the table of phases as transitions, with the end of a failover.
func table() []statediagram.Transition {
	all := []statediagram.Transition{{From: string(v1.Completed), To: statediagram.Terminal}}
	for _, from := range decide.Phases() {
		for _, to := range decide.Next(from) {
			all = append(all, statediagram.Transition{From: cmpOr(from, statediagram.Terminal), To: string(to)})
		}
	}
	return all
}

// Where the phases of a NodeFailover are drawn.
const phasesDoc, phasesHeading = "../../../docs/failover-design.md", "Phases"

// transition notes that a failover's phase has changed; "" is before the first
// phase and after the last.
func (w *harness) transition(from, to v1.Phase) {
	w.phases = append(w.phases, statediagram.Transition{From: cmpOr(from, statediagram.Terminal), To: cmpOr(to, statediagram.Terminal)})
}

const logMark = "-- log --\n"

func scenario(t *testing.T, file string) *harness {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	script, want, _ := strings.Cut(string(data), logMark)
	w := newHarness()
	for i, line := range strings.Split(script, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			if err := w.command(words); err != nil {
				t.Fatalf("%s:%d: %s: %v", file, i+1, line, err)
			}
		}
	}
	for _, b := range w.breach {
		t.Error(b)
	}
	got := strings.Join(w.log, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(script+logMark+got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("it went differently (-want +got):\n%s", diff)
	}
	return w
}

// command is one line of a script. The commands: see testdata/README.md.
func (w *harness) command(words []string) error {
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch words[0] {
	case "set":
		return w.setting(arg(1), arg(2))
	case "node":
		w.setNode(arg(1), arg(2))
	case "taint":
		w.nodes[arg(1)].taint = "foreign"
	case "servers":
		on := arg(1)
		if on == "temp" {
			on = w.theTemp()
		}
		for _, state := range words[2:] {
			w.serve(on, state)
		}
	case "versions": // versions IMAGE SERVER [name]
		w.version = decide.Versions{Image: strings.TrimPrefix(arg(1), "?"), APIServer: arg(2)}
		if arg(3) == "name" {
			w.version.Source = decide.FromName
		}
	case "pods": // pods NODE N [again]: of no game server, on the temporary node
		n, err := strconv.Atoi(arg(2))
		for range n {
			w.addPod(w.theTemp(), arg(3) == "again")
		}
		if err != nil {
			return err
		}
	case "server": // server STATE STATE: the first server in the one state gets the other
		return w.setServer(arg(1), arg(2))
	case "allocate": // allocate N: as the director does, Ready servers with the label
		return w.allocate(arg(1))
	case "wait":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			return err
		}
		w.say("-- %s", strings.Join(words, " "))
		w.advance(d)
		return nil
	case "cloud":
		return w.setCloud(arg(1), arg(2))
	case "vm":
		return w.setVM(arg(1))
	case "temp":
		t := w.temps[w.theTemp()]
		switch arg(1) {
		case "fit":
			t.taints, t.noIP = nil, false
		case "tainted":
			t.taints = []string{"node.kubernetes.io/disk-pressure"}
		default:
			t.ready = arg(1) == "ready"
		}
	case "annotate":
		w.failovers[len(w.failovers)-1].Annotations = map[string]string{"failover.operator.io/" + arg(1): arg(2)}
	case "delete": // delete N: the n-th failover, by hand
		n, _ := strconv.Atoi(arg(1))
		w.failovers[n].DeletionTimestamp = &metav1.Time{Time: w.now}
	case "failover": // failover NODE: made by hand
		f := &v1.NodeFailover{}
		f.Name, f.UID = "by-hand", w.next("failover")
		f.CreationTimestamp = metav1.Time{Time: w.now}
		f.Spec.OnpremNodeName = arg(1)
		for _, kv := range words[2:] {
			k, v, _ := strings.Cut(kv, "=")
			if f.Spec.TargetNodeLabels == nil {
				f.Spec.TargetNodeLabels = map[string]v1.LabelValue{}
			}
			f.Spec.TargetNodeLabels[k] = v1.LabelValue(v)
		}
		w.failovers = append(w.failovers, f)
	case "drill": // drill NODE
		w.drill(arg(1))
	case "crash":
		n, err := strconv.Atoi(arg(1))
		w.crashIn = n
		return err
	case "outage": // the controller was blind until now
		w.apiHealthySince = w.now
	case "stale": // what the controller sees of the servers stays as it is
		w.stale = nil
		if arg(1) != "no" {
			w.stale = map[string]server{}
			for name, s := range w.servers {
				w.stale[name] = *s
			}
		}
	case "api": // api refuses, api ok: the API server's writes
		w.faults.writes = arg(1) == "refuses"
	case "webhook":
		w.faults.fence = arg(1) == "refuses"
	case "show":
		w.show()
		return nil
	default:
		return fmt.Errorf("unknown command")
	}
	w.say("-- %s", strings.Join(words, " "))
	return nil
}

func (w *harness) setting(key, value string) error {
	durations := map[string]*time.Duration{
		"grace": &w.set.Grace, "stability": &w.set.Stability, "max-wait": &w.set.MaxWait, "lifetime": &w.set.Lifetime,
		"replace-lead": &w.set.ReplaceLead, "storm-grace": &w.set.StormGrace, "keep": &w.set.KeepCompleted, "stability-max": &w.set.StabilityMax, "flap-window": &w.set.FlapWindow, "false-grace": &w.set.FalseGrace, "taint-grace": &w.set.TaintGrace, "return-timeout": &w.set.ReturnTimeout, "evict-timeout": &w.set.EvictTimeout, "cordoned-grace": &w.set.CordonedGrace,
	}
	ints := map[string]*int{"max-failovers": &w.set.MaxFailovers, "max-vms": &w.set.MaxVMs, "storm-nodes": &w.set.StormNodes}
	var err error
	switch {
	case durations[key] != nil:
		*durations[key], err = time.ParseDuration(value)
	case ints[key] != nil:
		*ints[key], err = strconv.Atoi(value)
	case key == "zones":
		w.set.Zones = strings.Split(value, ",")
	case key == "max-cost":
		w.set.MaxMilliCost, err = strconv.ParseInt(value, 10, 64)
	case key == "max-servers":
		n, bad := strconv.ParseInt(value, 10, 32)
		w.set.MaxServers, err = int32(n), bad
	case key == "server-cpu":
		w.cpu, err = strconv.ParseInt(value, 10, 64)
	case key == "fencing":
		w.set.Fencing = decide.Fencing(value)
	case key == "false-starts-vm":
		w.set.FalseStartsVM = value == "true"
	case key == "empty-starts-vm":
		w.set.EmptyStartsVM = value == "true"
	case key == "init-nodes":
		w.set.InitNodes = value == "true"
	default:
		err = fmt.Errorf("no such setting")
	}
	return err
}

// allocate gives away so many servers, those on watched nodes first, and logs where
// they are.
func (w *harness) allocate(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	w.say("-- allocate %d", n)
	names := slices.Sorted(maps.Keys(w.servers))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(w.servers[b].Node, w.servers[a].Node) })
	for _, name := range names {
		if s := w.servers[name]; n > 0 && s.State == "Ready" && s.Allocatable && !s.Deleting {
			s.State = "Allocated"
			s.rv++
			n--
			w.say("  players are sent to %s on %s", name, s.Node)
		}
	}
	if n > 0 {
		w.say("  %d matches wait", n)
	}
	return nil
}

// setNode changes a Node: ready, notready, deleted, returns (new and bare).
func (w *harness) setNode(name, how string) {
	n := w.nodes[name]
	if n == nil {
		n = &node{name: name, uid: w.next("node"), labels: map[string]string{"node-type": "onpremise", "node-location": "onprem", "hardware": "game-runner", "kubernetes.io/hostname": name}}
		w.nodes[name] = n
	}
	switch how {
	case "ready":
		n.health = decide.Ready
	case "notready":
		if n.health != decide.NotReady {
			n.downSince = w.now
		}
		if n.health != decide.NotReady || n.reports {
			n.silent = w.now
		}
		n.health, n.reports = decide.NotReady, false
	case "reports": // Ready is False, and its lease is renewed
		if n.health != decide.NotReady {
			n.downSince = w.now
		}
		n.health, n.reports = decide.NotReady, true
	case "stuck": // Ready, and no game starts there; "works" ends it
		n.stuck = true
	case "planned": // paused, or cordoned
		n.planned = true
	case "cordoned", "uncordoned":
		n.cordoned = how == "cordoned"
	case "has-taint": // an operator's
		n.extra = []corev1.Taint{{Key: "studio/tournament", Effect: corev1.TaintEffectNoSchedule}}
	case "works":
		n.stuck = false
	case "deleted":
		if n.health == decide.Ready {
			n.downSince = w.now
		}
		n.health, n.taint, n.reports, n.extra = decide.Gone, "", false, nil
	case "returns":
		n.health, n.uid, n.labels, n.taint = decide.Ready, w.next("node"), map[string]string{"kubernetes.io/hostname": name}, ""
	case "returns-dead":
		n.health, n.uid, n.labels, n.taint = decide.NotReady, w.next("node"), map[string]string{"kubernetes.io/hostname": name}, ""
		n.reports, n.silent = false, n.downSince
	}
}

func (w *harness) setServer(from, to string) error {
	for _, name := range slices.Sorted(maps.Keys(w.servers)) {
		if s := w.servers[name]; s.State == from {
			s.State = to
			s.rv++
			if to == "gone" {
				delete(w.servers, name)
			}
			return nil
		}
	}
	return fmt.Errorf("no server is %s", from)
}

func (w *harness) setCloud(what, value string) error {
	switch what {
	case "create-lost":
		w.faults.createLost = true
	case "get-fails":
		w.faults.get = value != "no"
	case "token-refused":
		w.faults.tokens = value != "no"
	case "never-joins":
		w.faults.neverJoins = value != "no"
	case "probe": // probe waits, fails, refused: what becomes of a drill's pod
		w.faults.probe = value
	case "unusable": // VMs join tainted, with no-address, with metadata-open, or well: no
		w.faults.unusable = value
	case "evict": // evict budget, two-budgets: why evictions are refused, or no
		w.faults.evict = strings.TrimPrefix(value, "no")
	case "pods-unlisted":
		w.faults.unlisted = value != "no"
	case "pods-hang":
		w.faults.podsHang = value != "no"
	case "no-network": // VMs of that zone do not join
		w.faults.noNetwork = value
	case "ok":
		w.faults = faults{create: map[string]decide.Result{}}
	case "foreign": // foreign NAME: somebody else's VM of that name
		w.vms["zone-a/"+value] = &machine{spec: cloud.Ref{Name: value, Zone: "zone-a"}, foreign: true, state: cloud.Running}
	default:
		w.faults.create[what] = decide.Result(value)
	}
	return nil
}

func (w *harness) theTemp() string {
	for _, name := range slices.Sorted(maps.Keys(w.temps)) {
		return name
	}
	return ""
}

func (w *harness) setVM(how string) error {
	for _, key := range slices.Sorted(maps.Keys(w.vms)) {
		m := w.vms[key]
		if m.foreign {
			continue
		}
		switch how {
		case "preempted":
			m.state = cloud.Stopped
		case "vanishes":
			w.vanish(key)
		}
		if t := w.temps[m.spec.Name]; t != nil {
			t.ready = false
		}
		return nil
	}
	return fmt.Errorf("no VM")
}

// show logs what there is.
func (w *harness) show() {
	for _, f := range w.failovers {
		line := string(f.Status.Phase)
		if f.Status.SharesWith != "" {
			line += " sharing"
		}
		if f.Status.LastError != "" {
			line += " error=" + f.Status.LastError
		}
		if len(f.Finalizers) > 0 {
			line += " finalizer"
		}
		if w.deleted(f) {
			line = "deleted"
		}
		kind := "failover"
		if f.Spec.Drill {
			kind = "drill"
		}
		w.say("  %s of %s: %s", kind, f.Spec.OnpremNodeName, line)
		for _, c := range f.Status.Conditions {
			if c.Reason == "Fits" {
				continue // as in all scenarios but those of versions
			}
			w.say("    %s=%s %s", c.Type, c.Status, c.Reason)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(w.nodes)) {
		x := w.nodes[n]
		line := fmt.Sprintf("  node %s %s taint=%q labels=%v", n, x.health, x.taint, x.labels)
		for _, t := range x.extra {
			line += " " + t.Key
		}
		w.say("%s", line)
	}
	for _, n := range slices.Sorted(maps.Keys(w.temps)) {
		w.say("  node %s ready=%v cordoned=%v", n, w.temps[n].ready, w.temps[n].cordoned)
	}
	for _, n := range slices.Sorted(maps.Keys(w.vms)) {
		w.say("  vm %s %s", n, w.vms[n].state)
	}
	for _, n := range slices.Sorted(maps.Keys(w.servers)) {
		s := w.servers[n]
		w.say("  server %s %s on %s allocatable=%v", n, s.State, s.Node, s.Allocatable)
	}
	if len(w.waiting) > 0 {
		w.say("  game servers that pend: %d", len(w.waiting))
	}
	for _, n := range slices.Sorted(maps.Keys(w.pods)) {
		w.say("  pod %s on %s deleted=%v", n, w.pods[n].node, !w.pods[n].deleted.IsZero())
	}
	if len(w.probes) > 0 {
		w.say("  probe pods: %d", len(w.probes))
	}
	w.say("  tokens: %d", len(w.tokens))
}
