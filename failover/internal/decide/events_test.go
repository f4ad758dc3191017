package decide_test

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

// event is one kind of thing that happens in a world. happen reports whether it
// could.
type event struct {
	weight int
	happen func(t *rapid.T, w *harness, node string) bool
}

// draw is one of all, each as likely as the others: rapid prefers small numbers. It
// shrinks to the first.
func draw[T any](t *rapid.T, all []T, what string) T {
	n := 0
	for _, bit := range rapid.SliceOfN(rapid.Bool(), 10, 10).Draw(t, what) {
		n *= 2
		if bit {
			n++
		}
	}
	return all[n%len(all)]
}

// weighted are the names of all events, each as often as it weighs. The heaviest are
// the first: worlds shrink to those.
func weighted() []string {
	names := slices.Sorted(maps.Keys(events))
	slices.SortStableFunc(names, func(a, b string) int { return events[b].weight - events[a].weight })
	var all []string
	for _, name := range names {
		for range events[name].weight {
			all = append(all, name)
		}
	}
	return all
}

var events = map[string]event{
	// Nodes.
	"node dies":                    {8, nodeDies},
	"kubelet reports False":        {3, nodeEvent("reports", func(n *node) bool { return n.health != decide.Gone })},
	"node is back":                 {5, nodeEvent("ready", func(n *node) bool { return n.health == decide.NotReady })},
	"Node deleted":                 {1, nodeEvent("deleted", func(n *node) bool { return n.health != decide.Gone })},
	"Node returns":                 {1, nodeReturns},
	"no game starts there":         {2, nodeEvent("stuck", func(n *node) bool { return !n.stuck })},
	"games start again":            {2, nodeEvent("works", func(n *node) bool { return n.stuck })},
	"operator's taint":             {1, nodeEvent("has-taint", func(n *node) bool { return n.health != decide.Gone })},
	"node cordoned":                {2, nodeEvent("cordoned", func(n *node) bool { return !n.cordoned && n.health != decide.Gone })},
	"node uncordoned":              {1, nodeEvent("uncordoned", func(n *node) bool { return n.cordoned })},
	"planned work":                 {1, nodeEvent("planned", func(n *node) bool { return !n.planned })},
	"all nodes die":                {2, allDie},
	"flapping":                     {2, flapping},
	"foreign out-of-service taint": {1, foreignTaint},

	// Games.
	"match":        {4, func(_ *rapid.T, w *harness, _ string) bool { return w.setServer("Ready", "Allocated") == nil }},
	"game ends":    {3, func(_ *rapid.T, w *harness, _ string) bool { return w.setServer("Allocated", "gone") == nil }},
	"server Ready": {4, serverReady},

	// The cloud.
	"zone stocked out": {1, createFails(decide.Stockout)},
	"type stocked out": {1, func(_ *rapid.T, w *harness, _ string) bool {
		w.faults.create["n2-standard-4"] = decide.Stockout
		return true
	}},
	"over quota":           {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.create["*"] = decide.Quota; return true }},
	"zone refuses":         {1, createFails(decide.Invalid)},
	"creation unclear":     {1, createFails(decide.Unclear)},
	"answer lost":          {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.createLost = true; return true }},
	"reads fail":           {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.get = true; return true }},
	"VMs never join":       {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.neverJoins = true; return true }},
	"tokens are refused":   {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.tokens = true; return true }},
	"zone without network": {1, func(t *rapid.T, w *harness, _ string) bool { w.faults.noNetwork = w.zone(t); return true }},
	"cloud ok": {3, func(_ *rapid.T, w *harness, _ string) bool {
		w.faults = faults{create: map[string]decide.Result{}}
		return true
	}},
	"VM preempted": {1, func(_ *rapid.T, w *harness, _ string) bool { return w.setVM("preempted") == nil }},
	"VM vanishes":  {1, func(_ *rapid.T, w *harness, _ string) bool { return w.setVM("vanishes") == nil }},

	// Temporary nodes.
	"VMs join unusable":       {1, joinUnusable},
	"temporary nodes are fit": {2, fit},
	"temporary node tainted":  {1, tempTainted},
	"temporary node dies":     {2, tempReady(false)},
	"temporary node is back":  {2, tempReady(true)},

	// Other pods on temporary nodes.
	"other pod comes":        {3, podComes(false)},
	"pod comes again":        {1, podComes(true)},
	"budget blocks":          {2, evictionsRefused("budget")},
	"evictions end in 500":   {1, evictionsRefused("two-budgets")},
	"evictions are accepted": {2, evictionsRefused("")},
	"pods can't be listed":   {2, podsListed(false)},
	"pods can be listed":     {2, podsListed(true)},
	"pods hang":              {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.podsHang = true; return true }},

	"probe pods do not start": {2, probesFail},

	// The controller.
	"crash": {3, func(t *rapid.T, w *harness, _ string) bool {
		w.crashIn = rapid.IntRange(1, 6).Draw(t, "in")
		return true
	}},
	"blind until now":  {1, func(_ *rapid.T, w *harness, _ string) bool { w.apiHealthySince = w.now; return true }},
	"writes fail":      {1, func(_ *rapid.T, w *harness, _ string) bool { w.faults.writes = true; return true }},
	"sees old servers": {2, seesOld},
	"webhook refuses": {1, func(_ *rapid.T, w *harness, _ string) bool {
		w.faults.fence = true
		return w.set.Fencing == decide.FenceWebhook
	}},

	// Upgrades.
	"API server upgraded": {1, upgraded},
	"image made anew": {2, func(_ *rapid.T, w *harness, _ string) bool {
		old := w.version.Image
		w.version.Image, w.version.Source = w.version.APIServer, ""
		return old != w.version.Image
	}},
	"image of an unknown version": {1, imageSays("", "")},
	"image too new":               {1, imageSays("1.39.0", "")},
	"image's name misleads":       {1, imageSays("1.39.0", decide.FromName)},

	// Operators.
	"drill":            {2, func(_ *rapid.T, w *harness, node string) bool { w.drill(node); return true }},
	"failover paused":  {1, steer(func(w *harness, f *v1.NodeFailover) { f.Annotations = map[string]string{v1.PausedAnnotation: "true"} })},
	"failover resumed": {1, steer(func(w *harness, f *v1.NodeFailover) { f.Annotations = nil })},
	"failover deleted": {2, steer(func(w *harness, f *v1.NodeFailover) { f.DeletionTimestamp = &metav1.Time{Time: w.now} })},
	"said to be off":   {3, steer(func(w *harness, f *v1.NodeFailover) { f.Annotations = map[string]string{v1.FencedAnnotation: "true"} })},
	"told to proceed":  {2, steer(func(w *harness, f *v1.NodeFailover) { f.Annotations = map[string]string{v1.ProceedAnnotation: "true"} })},
}

// nodeEvent changes a node that may be changed so. To report that is a write too.
func nodeEvent(how string, may func(*node) bool) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, name string) bool {
		if w.faults.writes || !may(w.nodes[name]) {
			return false
		}
		w.setNode(name, how)
		return true
	}
}

var nodeDies = nodeEvent("notready", func(n *node) bool { return n.health == decide.Ready || n.reports })

func nodeReturns(t *rapid.T, w *harness, name string) bool {
	n := w.nodes[name]
	if w.faults.writes || n.health != decide.Gone {
		return false
	}
	w.setNode(name, rapid.SampledFrom([]string{"returns", "returns-dead"}).Draw(t, "how"))
	n.labels["node-type"] = "onpremise"
	return true
}

// allDie is a storm: the view is broken, or a switch.
func allDie(t *rapid.T, w *harness, _ string) bool {
	died := 0
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		if nodeDies(t, w, name) {
			died++
		}
	}
	return died > 1
}

// flapping is an uplink that is down for longer than the grace, and up for longer than
// the stability delay, a few times.
func flapping(t *rapid.T, w *harness, name string) bool {
	if w.faults.writes || w.nodes[name].health != decide.Ready {
		return false
	}
	for range rapid.IntRange(2, 4).Draw(t, "times") {
		w.setNode(name, "notready")
		w.advance(70 * time.Second)
		w.setNode(name, "ready")
		w.advance(75 * time.Second)
	}
	return true
}

// seesOld is a view of the servers that lags behind by a few seconds, in which matches
// are made and a node may die.
func seesOld(t *rapid.T, w *harness, name string) bool {
	if len(w.servers) == 0 {
		return false
	}
	w.stale = map[string]server{}
	for name, s := range w.servers {
		w.stale[name] = *s
	}
	for range rapid.IntRange(1, 4).Draw(t, "seconds") {
		if rapid.Bool().Draw(t, "dies") {
			nodeDies(t, w, name)
		} else {
			_ = w.setServer("Ready", "Allocated")
		}
		w.advance(time.Second)
	}
	w.stale = nil
	return true
}

func foreignTaint(_ *rapid.T, w *harness, name string) bool {
	n := w.nodes[name]
	ours := slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool {
		return f.Spec.OnpremNodeName == name && f.Status.Taint != v1.TaintNone
	})
	if n.taint != "" || n.health == decide.Gone || ours {
		return false
	}
	n.taint = "foreign"
	return true
}

func serverReady(t *rapid.T, w *harness, name string) bool {
	n := w.nodes[name]
	if temp := w.theTemp(); temp != "" && !w.temps[temp].cordoned {
		w.serve(temp, rapid.SampledFrom([]string{"Ready", "Allocated"}).Draw(t, "state"))
	} else if n.health == decide.Ready && n.taint == "" {
		w.serve(name, "Ready")
	} else {
		return false
	}
	return true
}

func (w *harness) zone(t *rapid.T) string { return draw(t, w.set.Zones, "zone") }

// createFails lets all inserts of a zone end so.
func createFails(with decide.Result) func(*rapid.T, *harness, string) bool {
	return func(t *rapid.T, w *harness, _ string) bool {
		w.faults.create[w.zone(t)] = with
		return true
	}
}

func joinUnusable(t *rapid.T, w *harness, _ string) bool {
	w.faults.unusable = rapid.SampledFrom([]string{"tainted", "no-address", "metadata-open"}).Draw(t, "how")
	return true
}

func fit(_ *rapid.T, w *harness, _ string) bool {
	w.faults.unusable = ""
	for _, t := range w.temps {
		t.taints, t.noIP = nil, false
	}
	return true
}

func probesFail(t *rapid.T, w *harness, _ string) bool {
	w.faults.probe = rapid.SampledFrom([]string{"waits", "fails", "refused"}).Draw(t, "how")
	return true
}

// upgraded lets the API server be one minor version newer, or as many as one that
// nobody has looked after for a year.
func upgraded(t *rapid.T, w *harness, _ string) bool {
	w.version.APIServer = rapid.SampledFrom([]string{"1.35.1", "1.38.0"}).Draw(t, "version")
	return true
}

func imageSays(version string, source decide.Source) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, _ string) bool {
		w.version.Image, w.version.Source = version, source
		return true
	}
}

func podComes(again bool) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, _ string) bool {
		t := w.temps[w.theTemp()]
		if t == nil || t.cordoned || t.drill {
			return false
		}
		w.addPod(w.theTemp(), again)
		return true
	}
}

func podsListed(can bool) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, _ string) bool {
		changed := w.faults.unlisted == can
		w.faults.unlisted = !can
		return changed
	}
}

func evictionsRefused(why string) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, _ string) bool {
		changed := w.faults.evict != why
		w.faults.evict = why
		return changed
	}
}

func tempTainted(_ *rapid.T, w *harness, _ string) bool {
	if w.theTemp() == "" {
		return false
	}
	w.temps[w.theTemp()].taints = []string{"node.kubernetes.io/disk-pressure"}
	return true
}

func tempReady(ready bool) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, _ string) bool {
		t := w.temps[w.theTemp()]
		if t == nil || ready && t.vm.state != cloud.Running {
			return false
		}
		t.ready = ready
		return true
	}
}

// steer is what an operator does with the failovers of a node.
func steer(do func(*harness, *v1.NodeFailover)) func(*rapid.T, *harness, string) bool {
	return func(_ *rapid.T, w *harness, name string) bool {
		steered := false
		for _, f := range w.failovers {
			if f.Spec.OnpremNodeName == name && f.Status.Phase != v1.Completed {
				do(w, f)
				steered = true
			}
		}
		return steered
	}
}
