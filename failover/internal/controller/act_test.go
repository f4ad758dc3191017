package controller

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud/memory"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/join"
	"torikumi/pkg/contract"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// tracked is a cluster in memory that notes the writes to it: verb, kind,
// subresource and name, and the body of patches.
type tracked struct {
	client.WithWatch
	writes []string
	bodies []string
}

func (c *tracked) note(verb string, o client.Object, p client.Patch) {
	c.writes = append(c.writes, verb+" "+typeName(o)+" "+o.GetName())
	if p != nil {
		body, _ := p.Data(o)
		c.bodies = append(c.bodies, string(body))
	}
}

// mayDelete looks at the UID that has to be the object's, which the fake client
// does not.
func (c *tracked) mayDelete(ctx context.Context, r client.Reader, o client.Object, opts []client.DeleteOption) error {
	all := new(client.DeleteOptions).ApplyOptions(opts)
	found, ok := o.DeepCopyObject().(client.Object)
	if !ok || all.Preconditions == nil || all.Preconditions.UID == nil || r.Get(ctx, client.ObjectKeyFromObject(o), found) != nil || found.GetUID() == *all.Preconditions.UID {
		return nil
	}
	return apierrors.NewConflict(corev1.Resource(typeName(o)), o.GetName(), errors.New("another UID"))
}

func typeName(o client.Object) string {
	switch o.(type) {
	case *corev1.Node:
		return "Node"
	case *corev1.Secret:
		return "Secret"
	case *v1.NodeFailover:
		return "NodeFailover"
	case *gameserver.GameServer:
		return "GameServer"
	}
	return "other"
}

// fakeCluster makes a Reconciler that works on the objects, and what notes its
// writes.
func fakeCluster(t *testing.T, objects ...client.Object) (*Reconciler, *tracked) {
	t.Helper()
	scheme, err := Scheme()
	if err != nil {
		t.Fatal(err)
	}
	c := new(tracked)
	c.WithWatch = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1.NodeFailover{}).
		WithIndex(&gameserver.GameServer{}, byNode, nodeOf).
		WithIndex(&corev1.Pod{}, "spec.nodeName", func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				c.note("create", o, nil)
				return w.Create(ctx, o, opts...)
			},
			Delete: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				c.note("delete", o, nil)
				if err := c.mayDelete(ctx, w, o, opts); err != nil {
					return err
				}
				return w.Delete(ctx, o, opts...)
			},
			Update: func(ctx context.Context, w client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
				c.note("update", o, nil)
				return w.Update(ctx, o, opts...)
			},
			Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				c.note("patch", o, p)
				return w.Patch(ctx, o, p, opts...)
			},
			SubResourceUpdate: func(ctx context.Context, w client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
				c.note("update "+sub+" of", o, nil)
				return w.SubResource(sub).Update(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, w client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				c.note("patch "+sub+" of", o, p)
				return w.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	return NewReconciler(&Options{
		Client: c, Live: c, Cloud: memory.New("zone-a"), Cluster: "c", Clock: testclock.NewFakeClock(noon), Log: slog.New(slog.DiscardHandler),
		Events: events.NewFakeRecorder(100), Metrics: NewMetrics(prometheus.NewRegistry()), Settings: &decide.Settings{Grace: 30 * time.Second, Poll: time.Second, Watch: time.Minute, WatchedKey: "node-type", WatchedValue: "onpremise"},
		APIHealthySince: func() time.Time { return noon }, Skips: func() []decide.Skip { return nil },
	}), c
}

func aNode(name string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid-n", Labels: map[string]string{"node-type": "onpremise"}, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))}}
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	if change != nil {
		change(n)
	}
	return n
}

func aServer(name, node, state string) *gameserver.GameServer {
	return &gameserver.GameServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: "games", Name: name, UID: "uid-g", Labels: map[string]string{contract.AllocatableLabel: "true"}},
		Status:     gameserver.GameServerStatus{State: state, NodeName: node},
	}
}

func aFailover(change func(*v1.NodeFailover)) *v1.NodeFailover {
	f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "f", UID: "uid-f", Finalizers: []string{v1.Finalizer}}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
	f.Status.Phase = v1.Pending
	if change != nil {
		change(f)
	}
	return f
}

// What each action writes, and what of it is done if the object is another one
// than was seen.
func TestActions(t *testing.T) {
	ready := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue }
	other := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "studio/works", Effect: corev1.TaintEffectNoSchedule}, {Key: TaintKey, Value: "x", Effect: corev1.TaintEffectNoSchedule}}
	}
	seen := decide.Server{Namespace: "games", Name: "gs", UID: "uid-g", ResourceVersion: "999", State: "Ready", Node: "worker-1"}
	for name, tt := range map[string]struct {
		objects []client.Object
		action  decide.Action
		writes  string
		want    result
		fails   func(error) bool
		check   func(t *testing.T, c *tracked)
	}{
		"taint a dead node": {
			objects: []client.Object{aNode("worker-1", other)}, action: decide.Action{Kind: decide.Taint, Node: "worker-1", UID: "uid-n"}, writes: "patch Node worker-1",
			check: func(t *testing.T, c *tracked) {
				if got := getNode(t, c, "worker-1").Spec.Taints; len(got) != 3 || got[0].Key != "studio/works" || got[2].Key != TaintKey || got[2].Effect != corev1.TaintEffectNoExecute {
					t.Errorf("%v", got)
				}
			},
		},
		"taint a node that is Ready by now": {
			objects: []client.Object{aNode("worker-1", ready)}, action: decide.Action{Kind: decide.Taint, Node: "worker-1", UID: "uid-n"}, fails: apierrors.IsConflict,
		},
		"taint a Node of the same name": {
			objects: []client.Object{aNode("worker-1", nil)}, action: decide.Action{Kind: decide.Taint, Node: "worker-1", UID: "earlier"}, fails: apierrors.IsConflict,
		},
		"taint a Node that is gone": {action: decide.Action{Kind: decide.Taint, Node: "worker-1", UID: "uid-n"}},
		"untaint leaves others": {
			objects: []client.Object{aNode("worker-1", other)}, action: decide.Action{Kind: decide.Untaint, Node: "worker-1", UID: "uid-n"},
			check: func(t *testing.T, c *tracked) {
				if got := getNode(t, c, "worker-1").Spec.Taints; len(got) != 2 {
					t.Errorf("%v", got)
				}
			},
		},
		"untaint": {
			objects: []client.Object{aNode("worker-1", func(n *corev1.Node) {
				other(n)
				n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: TaintKey, Effect: corev1.TaintEffectNoExecute})
			})}, action: decide.Action{Kind: decide.Untaint, Node: "worker-1", UID: "uid-n"}, writes: "patch Node worker-1",
			check: func(t *testing.T, c *tracked) {
				if got := getNode(t, c, "worker-1").Spec.Taints; len(got) != 2 || got[1].Effect != corev1.TaintEffectNoSchedule {
					t.Errorf("%v", got)
				}
			},
		},
		"delete a Node of the same name": {
			objects: []client.Object{aNode("vm", nil)}, action: decide.Action{Kind: decide.DeleteNode, Node: "vm", UID: "earlier"}, writes: "delete Node vm", fails: apierrors.IsConflict,
		},
		"hide a server":         {objects: []client.Object{aServer("gs", "worker-1", "Ready")}, action: decide.Action{Kind: decide.HideServer, Server: seen}, writes: "patch GameServer gs"},
		"hide one that is gone": {action: decide.Action{Kind: decide.HideServer, Server: seen}, writes: "patch GameServer gs"},
		"delete a server": {
			objects: []client.Object{aServer("gs", "worker-1", "Ready")}, action: decide.Action{Kind: decide.DeleteServer, Server: seen}, writes: "patch GameServer gs, delete GameServer gs",
		},
		"make a token": {
			action: decide.Action{Kind: decide.CreateToken, ID: "abc123"}, writes: "create Secret " + join.SecretName("abc123"),
			check: func(t *testing.T, c *tracked) {
				var s corev1.Secret
				if err := c.Get(t.Context(), client.ObjectKey{Namespace: join.TokenNamespace, Name: join.SecretName("abc123")}, &s); err != nil || s.StringData["expiration"] != "2026-01-02T12:39:00Z" {
					t.Errorf("%v, it expires at %q", err, s.StringData["expiration"])
				}
			},
		},
		"delete a token that is gone": {
			action: decide.Action{Kind: decide.DeleteToken, ID: "abc123"}, writes: "delete Secret " + join.SecretName("abc123"), want: learnt,
		},
		"nobody knows": {action: decide.Action{Kind: "Frob"}, fails: func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			f := aFailover(func(f *v1.NodeFailover) { f.Status.VM = &v1.VMStatus{StartedAt: *v1.At(noon.Add(-time.Minute))} })
			r, c := fakeCluster(t, append(tt.objects, f)...)
			r.opts.Settings.JoinTimeout = 40 * time.Minute
			if tt.action.Server.Name != "" && len(tt.objects) > 0 {
				var g gameserver.GameServer
				if err := c.Get(t.Context(), client.ObjectKeyFromObject(tt.objects[0]), &g); err != nil {
					t.Fatal(err)
				}
				tt.action.Server.ResourceVersion = g.ResourceVersion
			}
			got, err := r.act(t.Context(), &decide.State{Failover: f}, tt.action)
			if tt.fails == nil && err != nil || tt.fails != nil && !tt.fails(err) {
				t.Errorf("error %v", err)
			}
			if writes := strings.Join(c.writes, ", "); got != tt.want || writes != tt.writes {
				t.Errorf("result %v, writes %q; want %v, %q", got, writes, tt.want, tt.writes)
			}
			if tt.check != nil {
				tt.check(t, c)
			}
		})
	}
}

func getNode(t *testing.T, c client.Reader, name string) *corev1.Node {
	t.Helper()
	var n corev1.Node
	if err := c.Get(t.Context(), client.ObjectKey{Name: name}, &n); err != nil {
		t.Fatal(err)
	}
	return &n
}

// A status is patched: what has not changed is not written, and nothing is
// written over a change of somebody else's.
func TestPersistPatches(t *testing.T) {
	f := aFailover(func(f *v1.NodeFailover) { f.Status.LastError, f.Status.TotalAttempts = "quota", 3 })
	r, c := fakeCluster(t, f)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(f), f); err != nil {
		t.Fatal(err)
	}
	stale := f.DeepCopy()
	next := f.Status.DeepCopy()
	next.Phase, next.LastError = v1.Creating, ""
	if err := r.persist(t.Context(), &decide.State{Failover: f}, decide.Plan{Status: next}); err != nil {
		t.Fatal(err)
	}
	var body struct {
		Metadata map[string]any `json:"metadata"`
		Status   map[string]any `json:"status"`
	}
	if err := json.Unmarshal([]byte(strings.Join(c.bodies, "")), &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Metadata) != 1 || body.Metadata["resourceVersion"] == nil || len(body.Status) != 2 || body.Status["phase"] != "Creating" || c.writes[0] != "patch status of NodeFailover f" {
		t.Errorf("%v: %v", c.writes, c.bodies)
	}
	if f.Status.Phase != v1.Creating || f.Status.TotalAttempts != 3 {
		t.Errorf("%+v", f.Status)
	}
	err := r.persist(t.Context(), &decide.State{Failover: stale}, decide.Plan{Status: next})
	if !apierrors.IsConflict(errors.Unwrap(err)) || stale.Status.Phase != v1.Pending {
		t.Errorf("on an old object: %v, %s", err, stale.Status.Phase)
	}
}

// A node that is not Ready gets a failover at once, unless it was added just now
// and has never been Ready.
func TestWatcher(t *testing.T) {
	for name, tt := range map[string]struct {
		node    func(*corev1.Node)
		before  bool // it was seen Ready
		objects []client.Object
		made    bool
		again   time.Duration
	}{
		"dies":               {made: true},
		"reports itself":     {node: func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionFalse }, made: true},
		"no condition":       {node: func(n *corev1.Node) { n.Status.Conditions = nil }, made: true},
		"Ready":              {node: func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue }},
		"not watched":        {node: func(n *corev1.Node) { n.Labels = map[string]string{"node-type": "desk"} }},
		"paused":             {node: func(n *corev1.Node) { n.Annotations = map[string]string{nodePaused: "true"} }},
		"added just now":     {node: func(n *corev1.Node) { n.CreationTimestamp = metav1.NewTime(noon.Add(-10 * time.Second)) }, again: 20 * time.Second},
		"young, once Ready":  {node: func(n *corev1.Node) { n.CreationTimestamp = metav1.NewTime(noon.Add(-10 * time.Second)) }, before: true, made: true},
		"has a failover":     {objects: []client.Object{aFailover(nil)}},
		"had a failover":     {objects: []client.Object{aFailover(func(f *v1.NodeFailover) { f.Status.Phase = v1.Completed })}, made: true},
		"has a drill":        {objects: []client.Object{aFailover(func(f *v1.NodeFailover) { f.Spec.Drill = true })}, made: true},
		"has a further one":  {objects: []client.Object{aFailover(func(f *v1.NodeFailover) { f.Spec.ParentFailover = "x" })}, made: true},
		"another's failover": {objects: []client.Object{aFailover(func(f *v1.NodeFailover) { f.Spec.OnpremNodeName = "worker-10" })}, made: true},
	} {
		t.Run(name, func(t *testing.T) {
			n := aNode("worker-1", tt.node)
			r, c := fakeCluster(t, append(tt.objects, n)...)
			w := &Watcher{opts: r.opts}
			if tt.before {
				well := aNode("worker-1", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue })
				if _, err := w.Reconcile(t.Context(), well); err != nil {
					t.Fatal(err)
				}
			}
			res, err := w.Reconcile(t.Context(), n)
			if err != nil || res.RequeueAfter != tt.again || (len(c.writes) > 0) != tt.made {
				t.Errorf("%v, again after %s, writes %q", err, res.RequeueAfter, c.writes)
			}
			if tt.made {
				var all v1.NodeFailoverList
				if err := c.List(t.Context(), &all); err != nil || len(all.Items) != len(tt.objects)+1 {
					t.Errorf("%v, %d failovers", err, len(all.Items))
				}
			}
		})
	}
}

// A node that has just been paused gets no failover because the cache is behind: who
// uninstalls pauses the nodes first.
func TestWatcherOfStaleNode(t *testing.T) {
	cached := aNode("worker-1", nil)
	r, c := fakeCluster(t, aNode("worker-1", func(n *corev1.Node) { n.Annotations = map[string]string{nodePaused: "true"} }))
	if _, err := (&Watcher{opts: r.opts}).Reconcile(t.Context(), cached); err != nil || len(c.writes) > 0 {
		t.Errorf("%v, writes %q", err, c.writes)
	}
}

// A node counts as alive while its lease changes, by this side's clock: what the
// node's clock says is of no interest.
func TestReports(t *testing.T) {
	lease := func(renewed time.Time) *coordinationv1.Lease {
		at := metav1.NewMicroTime(renewed)
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "worker-1"}, Spec: coordinationv1.LeaseSpec{RenewTime: &at}}
	}
	says := func(s corev1.ConditionStatus) *corev1.Node {
		return aNode("worker-1", func(n *corev1.Node) { n.Status.Conditions[0].Status = s })
	}
	r, c := fakeCluster(t)
	now, ok := r.opts.Clock.(*testclock.FakeClock)
	if !ok {
		t.Fatal("the clock is a real one")
	}
	look := func(what string, n *corev1.Node, want bool) {
		t.Helper()
		if got := r.reports(t.Context(), n); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	dead := says(corev1.ConditionFalse)
	look("no lease", dead, false)
	l := lease(noon.Add(-time.Hour)) // its clock is slow
	if err := c.Create(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	look("Unknown", says(corev1.ConditionUnknown), false)
	look("first look", dead, true)
	now.Step(39 * time.Second)
	look("within the lease", dead, true)
	now.Step(2 * time.Second)
	look("not renewed", dead, false)
	at := metav1.NewMicroTime(noon.Add(-59 * time.Minute))
	l.Spec.RenewTime = &at
	if err := c.Update(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	look("renewed", dead, true)
	if _, err := r.taint(t.Context(), decide.Action{Node: "worker-1", UID: "uid-n"}); err != nil {
		t.Errorf("a Node that is gone: %v", err)
	}
	if err := c.Create(t.Context(), says(corev1.ConditionFalse)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.taint(t.Context(), decide.Action{Node: "worker-1", UID: "uid-n"}); !apierrors.IsConflict(err) {
		t.Errorf("it is tainted: %v", err)
	}
	r.opts.Live = forbidden{c}
	now.Step(time.Hour)
	look("not to be read", dead, true)
}

// forbidden is a cluster of which nothing can be read.
type forbidden struct{ client.Reader }

func (forbidden) Get(_ context.Context, k client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewForbidden(corev1.Resource("leases"), k.Name, errors.New("no"))
}

// Which taints keep game servers away, of those that a Node can have.
func TestForeignTaints(t *testing.T) {
	n := aNode("vm", func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{
			{Key: uninitialized, Effect: corev1.TaintEffectNoSchedule}, {Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute},
			{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}, {Key: DrillTaint, Effect: corev1.TaintEffectNoSchedule},
			{Key: "studio/rather-not", Effect: corev1.TaintEffectPreferNoSchedule},
			{Key: "node.cilium.io/agent-not-ready", Effect: corev1.TaintEffectNoExecute}, {Key: corev1.TaintNodeDiskPressure, Effect: corev1.TaintEffectNoSchedule},
		}
	})
	if got := strings.Join(foreignTaints(n), " "); got != "node.cilium.io/agent-not-ready node.kubernetes.io/disk-pressure" {
		t.Errorf("%q", got)
	}
}

// Which nodes a storm counts, and which somebody works on.
func TestWatchedNodes(t *testing.T) {
	named := func(name string, change func(*corev1.Node)) *corev1.Node {
		n := aNode(name, change)
		n.UID = types.UID(name)
		return n
	}
	r, _ := fakeCluster(t,
		named("dead", nil), named("well", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue }),
		named("paused", func(n *corev1.Node) { n.Annotations = map[string]string{nodePaused: "true"} }),
		named("drained", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
		named("desk", func(n *corev1.Node) { n.Labels = nil }),
	)
	gone := aFailover(func(f *v1.NodeFailover) { f.Spec.OnpremNodeName, f.Status.NotReadySince = "gone", v1.At(noon) })
	s := &decide.State{Failover: gone, Siblings: []v1.NodeFailover{*gone.DeepCopy()}}
	if err := errors.Join(r.observeWatched(t.Context(), s), r.observeGone(t.Context(), s)); err != nil {
		t.Fatal(err)
	}
	want := []decide.WatchedNode{{Name: "dead", Health: decide.NotReady}, {Name: "drained", Health: decide.NotReady, Planned: true}, {Name: "paused", Health: decide.NotReady, Planned: true}, {Name: "well", Health: decide.Ready}, {Name: "gone"}}
	if !slices.Equal(s.Nodes, want) {
		t.Errorf("%+v", s.Nodes)
	}
}

// What a Node had is recorded when it fails, and given to the Node of its name that
// comes back without it; what that one has by then, it keeps.
func TestRestore(t *testing.T) {
	own := corev1.Taint{Key: "studio/tournament", Value: "a", Effect: corev1.TaintEffectNoSchedule}
	n := aNode("worker-1", func(n *corev1.Node) {
		n.Annotations = map[string]string{"studio/rack": "7", "csi.volume.kubernetes.io/nodeid": "x", "studio/state": strings.Repeat("x", 2000), "studio/owner": "ops"}
		n.Spec.Taints = []corev1.Taint{own, {Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}, {Key: TaintKey, Effect: corev1.TaintEffectNoExecute}}
		n.Spec.Unschedulable = true
	})
	r, c := fakeCluster(t, n)
	cached := n.DeepCopy()
	if _, err := trimNode(cached); err != nil {
		t.Fatal(err)
	}
	if _, err := (&Watcher{opts: r.opts}).Reconcile(t.Context(), cached); err != nil {
		t.Fatal(err)
	}
	var all v1.NodeFailoverList
	if err := c.List(t.Context(), &all); err != nil || len(all.Items) != 1 {
		t.Fatalf("%v, %d failovers", err, len(all.Items))
	}
	f := &all.Items[0]
	s, err := r.observe(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	p := decide.Decide(r.opts.Settings, s, noon)
	if p.Status == nil || p.Status.Recorded == nil {
		t.Fatal("nothing is recorded")
	}
	f.Status = *p.Status
	if got := f.Status.Recorded; len(got.Annotations) != 2 || got.Annotations["studio/rack"] != "7" || len(got.Taints) != 1 || got.Taints[0] != own || !got.Unschedulable {
		t.Fatalf("%+v", got)
	}
	if err := c.Delete(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	back := aNode("worker-1", func(n *corev1.Node) {
		n.UID, n.Annotations = "another", map[string]string{"studio/owner": "others"}
		n.Spec.Taints = []corev1.Taint{{Key: own.Key, Value: "b", Effect: own.Effect}, {Key: "new", Effect: corev1.TaintEffectNoSchedule}}
	})
	if err := c.Create(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	s = &decide.State{Failover: f}
	if _, err := r.act(t.Context(), s, decide.Action{Kind: decide.RestoreNode, Node: "worker-1", UID: "earlier"}); !apierrors.IsConflict(err) || s.Restored {
		t.Errorf("another Node: %v", err)
	}
	if res, err := r.act(t.Context(), s, decide.Action{Kind: decide.RestoreNode, Node: "worker-1", UID: "another"}); err != nil || res != learnt || !s.Restored {
		t.Errorf("%v, %v", res, err)
	}
	got := getNode(t, c, "worker-1")
	if got.Annotations["studio/rack"] != "7" || got.Annotations["studio/owner"] != "others" || len(got.Spec.Taints) != 2 || got.Spec.Taints[0].Value != "b" || !got.Spec.Unschedulable {
		t.Errorf("%v, %v, cordoned %v", got.Annotations, got.Spec.Taints, got.Spec.Unschedulable)
	}
}
