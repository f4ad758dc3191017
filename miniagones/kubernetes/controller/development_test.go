package controller_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
)

func (h *harness) development(name, address string, policy v1.PortPolicy) *v1.GameServer {
	port := v1.GameServerPort{Name: "game", PortPolicy: policy, ContainerPort: 7777}
	if policy == v1.Static {
		port.HostPort = 27000 // the first that a fleet's server would get
	}
	return &v1.GameServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: name, Annotations: map[string]string{agones.DevAddressAnnotation: address}},
		Spec: v1.GameServerSpec{
			Ports:    []v1.GameServerPort{port},
			Template: runtime.RawExtension{Raw: []byte(`{"spec":{"containers":[{"name":"dev","image":"dev"}]}}`)},
		},
	}
}

// TestDevelopment: a server at an address of somebody's own has no pod, is Ready by itself
// and again after its match, and is gone after Shutdown, as with Agones.
func TestDevelopment(t *testing.T) {
	h := newHarness(t, "development")
	h.controller()
	gs := h.development("editor", "192.0.2.7", v1.Static)
	h.create(gs)
	state := func(want string) {
		t.Helper()
		h.eventually("the server is "+want, func() error {
			if err := h.Admin.Get(t.Context(), client.ObjectKeyFromObject(gs), gs); err != nil || gs.Status.State != want {
				return fmt.Errorf("%q, %w", gs.Status.State, err)
			}
			return nil
		})
	}
	state(agones.Ready)
	if s := gs.Status; s.Address != "192.0.2.7" || s.NodeName != "192.0.2.7" || len(s.Ports) != 1 || s.Ports[0] != (v1.GameServerStatusPort{Name: "game", Port: 27000}) ||
		len(s.Addresses) != 1 || s.Addresses[0] != (corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "192.0.2.7"}) {
		t.Errorf("status %+v", s)
	}
	for _, in := range []string{`{"status":{"state":"Allocated"}}`, `{"status":{"state":"RequestReady"}}`} {
		h.patch(gs, in)
	}
	state(agones.Ready)
	h.patch(gs, `{"status":{"state":"Reserved","reservedUntil":"2001-01-01T00:00:00.000000Z"}}`)
	state(agones.Ready)
	pods := new(corev1.PodList)
	if err := h.Admin.List(t.Context(), pods, client.InNamespace(h.namespace)); err != nil || len(pods.Items) > 0 {
		t.Errorf("%d pods, %v", len(pods.Items), err)
	}
	h.patch(gs, `{"status":{"state":"Shutdown"}}`)
	h.eventually("the server is gone", func() error { return count(h.servers(), 0) })

	h.create(h.development("name", "editor.example", v1.Static))
	h.event("GameServer", "name", "metadata.annotations[agones.dev/dev-address]: must be an IP address")
	h.create(h.development("dynamic", "192.0.2.7", v1.Dynamic))
	h.event("GameServer", "dynamic", "spec.ports: must be Static with agones.dev/dev-address")
	if n := len(h.in(agones.Error)); n != 2 {
		t.Errorf("%d servers in Error, want 2", n)
	}
}
