package controller_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/conformance"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	allocationpb "torikumi/proto/agones/allocation"
)

func (h *harness) patch(o client.Object, patch string) {
	h.Helper()
	if err := h.Admin.Patch(h.Context(), o, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) scale(f *v1.Fleet, replicas int) {
	h.Helper()
	h.patch(f, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// take waits until an allocator, which may learn later than a test that a server is
// Ready, gives one of a fleet.
func (h *harness) take(addr, fleet string) *allocationpb.AllocationResponse {
	h.Helper()
	return h.waitTake(addr, h.ofFleet(fleet))
}

func (h *harness) waitTake(addr string, req *allocationpb.AllocationRequest) *allocationpb.AllocationResponse {
	h.Helper()
	var got *allocationpb.AllocationResponse
	h.eventually("a server is allocated", func() (err error) {
		got, err = allocationpb.NewAllocationServiceClient(h.dial(addr)).Allocate(h.Context(), req)
		if err != nil && status.Code(err) != codes.ResourceExhausted {
			h.Fatal(err)
		}
		return err
	})
	return got
}

// tryTake asks an allocator for a server of a fleet once.
func (h *harness) tryTake(addr, fleet string) (*allocationpb.AllocationResponse, error) {
	return allocationpb.NewAllocationServiceClient(h.dial(addr)).Allocate(h.Context(), h.ofFleet(fleet))
}

func (h *harness) ofFleet(name string) *allocationpb.AllocationRequest {
	return &allocationpb.AllocationRequest{
		Namespace:           h.namespace,
		GameServerSelectors: []*allocationpb.GameServerSelector{{MatchLabels: map[string]string{agones.FleetLabel: name}}},
	}
}

// event waits for an Event of an object that says so.
func (h *harness) event(kind, name string, says ...string) {
	h.Helper()
	h.eventually(fmt.Sprintf("an event of %s %s says %q", kind, name, says), func() error {
		list := new(eventsv1.EventList)
		if err := h.Admin.List(h.Context(), list, client.InNamespace(h.namespace)); err != nil {
			return err
		}
		var notes []string
		for _, e := range list.Items {
			if e.Regarding.Kind != kind || !strings.HasPrefix(e.Regarding.Name, name) {
				continue
			}
			missing := slices.ContainsFunc(says, func(s string) bool { return !strings.Contains(e.Note, s) })
			if !missing {
				return nil
			}
			notes = append(notes, e.Note)
		}
		return fmt.Errorf("there are %q", notes)
	})
}

// TestScale: a fleet grows and shrinks, and what is in use stays.
func TestScale(t *testing.T) {
	h := newHarness(t, "scale")
	a := h.controller()
	f := h.fleet("arena", conformance.ModeServe, 1)
	h.create(f)
	h.ready(1)
	held := h.take(a.GRPC, "arena")
	h.scale(f, 3)
	h.eventually("two more are Ready", func() error { return count(h.in(agones.Ready), 2) })
	h.scale(f, 0)
	h.eventually("only the one in use is left", func() error { return count(h.servers(), 1) })
	if gs := h.servers()[0]; gs.Name != held.GetGameServerName() || gs.Status.State != agones.Allocated {
		t.Errorf("%s is left, %s", gs.Name, gs.Status.State)
	}
	h.eventually("its pod alone is left", func() error {
		pods := new(corev1.PodList)
		if err := h.Admin.List(t.Context(), pods, client.InNamespace(h.namespace)); err != nil || len(pods.Items) != 1 || pods.Items[0].Name != held.GetGameServerName() {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		return nil
	})
	h.eventually("the status says so", func() error {
		now := new(v1.Fleet)
		if err := h.Admin.Get(t.Context(), client.ObjectKeyFromObject(f), now); err != nil {
			return err
		}
		if want := (v1.FleetStatus{Replicas: 1, AllocatedReplicas: 1}); now.Status != want {
			return fmt.Errorf("%+v", now.Status)
		}
		return nil
	})
}

func count(servers []v1.GameServer, want int) error {
	if len(servers) != want {
		return fmt.Errorf("%d servers", len(servers))
	}
	return nil
}

// TestCounters: a fleet's servers begin with its counters and lists, an allocation
// changes them, and what the game server sees of them is that.
func TestCounters(t *testing.T) {
	h := newHarness(t, "counters")
	addrs := h.controller()
	h.create(changed(t, h.fleet("dense", conformance.ModeServe, 1),
		`{"spec":{"template":{"spec":{"counters":{"rooms":{"count":1,"capacity":2}},"lists":{"ids":{"capacity":3,"values":["a"]}}}}}}`))
	gs := h.ready(1)[0]
	if gs.Status.Counters["rooms"] != (v1.CounterStatus{Count: 1, Capacity: 2}) || gs.Status.Lists["ids"].Capacity != 3 || !slices.Equal(gs.Status.Lists["ids"].Values, []string{"a"}) {
		t.Fatalf("at the start: %+v", gs.Status)
	}
	req := &allocationpb.AllocationRequest{
		Namespace: h.namespace, GameServerSelectors: []*allocationpb.GameServerSelector{{Counters: map[string]*allocationpb.CounterSelector{"rooms": {MinAvailable: 1}}}},
		Counters: map[string]*allocationpb.CounterAction{"rooms": {Action: wrapperspb.String("Increment"), Amount: wrapperspb.Int64(1)}},
		Lists:    map[string]*allocationpb.ListAction{"ids": {AddValues: []string{"b"}}},
	}
	got := h.waitTake(addrs.GRPC, req)
	if got.GetGameServerName() != gs.Name || got.GetCounters()["rooms"].GetCount().GetValue() != 2 || !slices.Equal(got.GetLists()["ids"].GetValues(), []string{"a", "b"}) {
		t.Fatalf("%v", got)
	}
	held := h.in(agones.Allocated)
	if len(held) != 1 || held[0].Status.Counters["rooms"].Count != 2 || !slices.Equal(held[0].Status.Lists["ids"].Values, []string{"a", "b"}) {
		t.Errorf("allocated: %+v", held)
	}
}

// TestRollingUpdate: a new template replaces Ready servers and leaves the one in
// use.
func TestRollingUpdate(t *testing.T) {
	h := newHarness(t, "rollout")
	a := h.controller()
	f := h.fleet("arena", conformance.ModeServe, 3)
	h.create(f)
	old := h.ready(3)
	held := h.take(a.GRPC, "arena")
	h.patch(f, `{"spec":{"template":{"metadata":{"labels":{"version":"2"}}}}}`)
	h.eventually("the Ready ones are new", func() error {
		ready := h.in(agones.Ready)
		for _, gs := range ready {
			if gs.Labels["version"] != "2" {
				return fmt.Errorf("%s is old", gs.Name)
			}
		}
		return count(ready, 2)
	})
	for _, gs := range h.in(agones.Allocated) {
		if gs.Name != held.GetGameServerName() || gs.Labels["version"] != "" {
			t.Errorf("%s is in use, labels %v", gs.Name, gs.Labels)
		}
	}
	h.eventually("three in all", func() error { return count(h.servers(), 3) })
	for _, gs := range old {
		if err := h.Admin.Get(t.Context(), client.ObjectKeyFromObject(&gs), new(v1.GameServer)); (err == nil) != (gs.Name == held.GetGameServerName()) {
			t.Errorf("%s: %v", gs.Name, err)
		}
	}
}

// TestReplacements: servers that say nothing, lose their pod or their node are
// replaced.
func TestReplacements(t *testing.T) {
	h := newHarness(t, "replacements")
	a := h.controller("--start-timeout=10s") // the others have to start within it, on a busy machine too
	t.Run("Mute", func(t *testing.T) {
		f := h.fleet("mute", conformance.ModeMute, 1)
		f.Spec.Template.Spec.Health.FailureThreshold = 2
		h.create(f)
		var first []v1.GameServer
		h.eventually("a server runs", func() error {
			first = h.in(agones.Scheduled)
			return count(first, 1)
		})
		h.gone(&first[0])
		h.remove(f)
	})
	t.Run("NeverStarts", func(t *testing.T) {
		f := h.fleet("never", "missing", 1)
		h.create(f)
		h.event("GameServer", "never-", "did not start within 10s", "container game", "ImagePullBackOff")
		h.eventually("there is another one", func() error { return count(h.servers(), 1) })
		h.remove(f)
	})
	f := h.fleet("arena", conformance.ModeServe, 1)
	h.create(f)
	t.Run("PodDeleted", func(t *testing.T) {
		gs := h.ready(1)[0]
		if err := h.Admin.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: gs.Name}}); err != nil {
			t.Fatal(err)
		}
		h.gone(&gs)
		h.ready(1)
	})
	t.Run("NodeGone", func(t *testing.T) {
		held := h.take(a.GRPC, "arena")
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: held.GetNodeName()}}
		if err := h.Admin.Delete(t.Context(), node); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := h.Node(t.Context(), node.Name); err != nil {
				t.Error(err)
			}
		}()
		h.gone(&v1.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: held.GetGameServerName()}})
		h.ready(1)
	})
}

// gone waits until a server is no more.
func (h *harness) gone(gs *v1.GameServer) {
	h.Helper()
	h.eventually(gs.Name+" is gone", func() error {
		now := new(v1.GameServer)
		err := h.Admin.Get(h.Context(), client.ObjectKeyFromObject(gs), now)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is %s, %w", now.Status.State, err)
	})
}

// remove deletes a fleet and its servers, as the garbage collector would.
func (h *harness) remove(f *v1.Fleet) {
	h.Helper()
	if err := h.Admin.Delete(h.Context(), f); err != nil {
		h.Fatal(err)
	}
	h.eventually("no servers", func() error {
		if err := h.Admin.DeleteAllOf(h.Context(), &v1.GameServer{}, client.InNamespace(h.namespace)); err != nil {
			return err
		}
		return count(h.servers(), 0)
	})
}

// TestRefusals: what is not supported is refused by name, by the API server or
// with an Event.
func TestRefusals(t *testing.T) {
	h := newHarness(t, "refusals")
	h.controller()
	for field, patch := range map[string]string{
		"count":              `{"spec":{"template":{"spec":{"counters":{"rooms":{"count":2,"capacity":1}}}}}}`,
		"values":             `{"spec":{"template":{"spec":{"lists":{"ids":{"capacity":1,"values":["a","b"]}}}}}}`,
		"capacity":           `{"spec":{"template":{"spec":{"lists":{"ids":{"capacity":1001}}}}}}`,
		"players":            `{"spec":{"template":{"spec":{"players":{"initialCapacity":1}}}}}`,
		"priorities":         `{"spec":{"priorities":[{"type":"Counter","key":"rooms"}]}}`,
		"allocationOverflow": `{"spec":{"allocationOverflow":{"labels":{"a":"b"}}}}`,
		"portPolicy":         `{"spec":{"template":{"spec":{"ports":[{"name":"a","portPolicy":"None","containerPort":1}]}}}}`,
		"protocol":           `{"spec":{"template":{"spec":{"ports":[{"name":"a","protocol":"TCPUDP","containerPort":1}]}}}}`,
		"hostPort":           `{"spec":{"template":{"spec":{"ports":[{"name":"a","portPolicy":"Static","containerPort":1}]}}}}`,
		"containerPort":      `{"spec":{"template":{"spec":{"ports":[{"name":"a"}]}}}}`,
		"periodSeconds":      `{"spec":{"template":{"spec":{"health":{"periodSeconds":0}}}}}`,
	} {
		f := changed(t, h.fleet("refused", conformance.ModeServe, 1), patch)
		if err := h.Admin.Create(t.Context(), f); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	for name, c := range map[string]struct{ patch, field, says string }{
		"misspelt": {`{"spec":{"template":{"spec":{"template":{"spec":{"nodeSelektor":{"a":"b"}}}}}}}`, "spec.template.spec.template", "nodeSelektor"},
		"nameless": {`{"spec":{"template":{"spec":{"container":"other"}}}}`, "spec.template.spec.container", "other"},
		"network":  {`{"spec":{"template":{"spec":{"template":{"spec":{"hostNetwork":true}}}}}}`, "spec.template.spec.template.spec.hostNetwork", "host ports"},
		"surge":    {`{"spec":{"strategy":{"rollingUpdate":{"maxSurge":"many"}}}}`, "spec.strategy.rollingUpdate.maxSurge", "percentage"},
		"label":    {`{"spec":{"template":{"metadata":{"labels":{"a":"b:c"}}}}}`, "spec.template.metadata.labels", "b:c"},
	} {
		h.create(changed(t, h.fleet(name, conformance.ModeServe, 1), c.patch))
		h.event("Fleet", name, c.field, c.says)
	}
	if n := len(h.servers()); n != 0 {
		t.Errorf("%d servers of refused fleets", n)
	}
	// What only the API server can judge is an Event of the game server.
	h.create(changed(t, h.fleet("image", conformance.ModeServe, 1),
		`{"spec":{"template":{"spec":{"template":{"spec":{"containers":[{"name":"game"}]}}}}}}`))
	h.event("GameServer", "image-", "spec.containers[0].image", "Required")
}

// changed applies a merge patch to a Fleet that does not exist yet.
func changed(t *testing.T, f *v1.Fleet, patch string) *unstructured.Unstructured {
	t.Helper()
	obj, err := runtime.DefaultUnstructuredConverter.ToUnstructured(f)
	if err != nil {
		t.Fatal(err)
	}
	var more map[string]any
	if err := json.Unmarshal([]byte(patch), &more); err != nil {
		t.Fatal(err)
	}
	merge(obj, more)
	u := &unstructured.Unstructured{Object: obj}
	u.SetGroupVersionKind(v1.GroupVersion.WithKind("Fleet"))
	return u
}

func merge(into, more map[string]any) {
	for k, v := range more {
		if deeper, ok := v.(map[string]any); ok {
			if at, ok := into[k].(map[string]any); ok {
				merge(at, deeper)
				continue
			}
		}
		into[k] = v
	}
}
